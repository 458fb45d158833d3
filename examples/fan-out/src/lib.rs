//! Many activities at the same time.

use durawasm::prelude::*;

#[durawasm::orchestrator(name = "E2_FanOut")]
async fn fan_out(ctx: OrchestrationContext, n: u64) -> Result<u64> {
    let squares = ctx.try_join_all((1..=n).map(|i| ctx.call_activity::<u64>("E2_Square", i))).await?;
    Ok(squares.iter().sum())
}

#[durawasm::activity(name = "E2_Square")]
fn square(_ctx: ActivityContext, i: u64) -> Result<u64> {
    Ok(i * i)
}

durawasm::app!(fan_out, square);
