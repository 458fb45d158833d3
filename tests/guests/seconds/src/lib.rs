//! A timer function that is due every second: it tells that it runs, and does not end before there is an instance `gate`.

use durawasm::prelude::*;
use serde_json::Value;

#[durawasm::timer(name = "EverySecond", schedule = "* * * * * *")]
fn every_second(ctx: FunctionContext, timer: Value) -> Result<()> {
    ctx.client().start_new("Ran").input(timer).send()?;
    while ctx.client().get_status("gate").send()?.is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[durawasm::orchestrator(name = "Ran")]
async fn ran(_ctx: OrchestrationContext) -> Result<()> {
    Ok(())
}

#[durawasm::orchestrator(name = "Gate")]
async fn gate(_ctx: OrchestrationContext) -> Result<()> {
    Ok(())
}

durawasm::app!(every_second, ran, gate);
