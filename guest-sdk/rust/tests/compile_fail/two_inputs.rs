use durawasm::prelude::*;

#[durawasm::activity]
fn add(_ctx: ActivityContext, a: u32, b: u32) -> Result<u32> {
    Ok(a + b)
}

durawasm::app!(add);

fn main() {}
