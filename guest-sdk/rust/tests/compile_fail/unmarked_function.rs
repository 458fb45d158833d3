use durawasm::prelude::*;

fn pack(_ctx: ActivityContext) -> Result<()> {
    Ok(())
}

durawasm::app!(pack);

fn main() {
    let _ = pack;
}
