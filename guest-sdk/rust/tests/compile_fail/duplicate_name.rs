use durawasm::prelude::*;

#[durawasm::activity(name = "Pack")]
fn pack(_ctx: ActivityContext) -> Result<()> {
    Ok(())
}

#[durawasm::activity(name = "Pack")]
fn pack_again(_ctx: ActivityContext) -> Result<()> {
    Ok(())
}

durawasm::app!(pack, pack_again);

fn main() {}
