use durawasm::prelude::*;

#[durawasm::activity(nmae = "Pack")]
fn pack(_ctx: ActivityContext) -> Result<()> {
    Ok(())
}

#[durawasm::activity("Ship")]
fn ship(_ctx: ActivityContext) -> Result<()> {
    Ok(())
}

#[durawasm::orchestrator(name = "")]
async fn order(_ctx: OrchestrationContext) -> Result<()> {
    Ok(())
}

durawasm::app!(pack, ship, order);

fn main() {}
