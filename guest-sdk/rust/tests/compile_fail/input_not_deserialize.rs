use durawasm::prelude::*;

struct Parcel {
    weight: u32,
}

#[durawasm::activity]
fn weigh(_ctx: ActivityContext, parcel: Parcel) -> Result<u32> {
    Ok(parcel.weight)
}

durawasm::app!(weigh);

fn main() {}
