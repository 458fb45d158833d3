use durawasm::prelude::*;

#[durawasm::orchestrator]
fn order(ctx: OrchestrationContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

durawasm::app!(order);

fn main() {}
