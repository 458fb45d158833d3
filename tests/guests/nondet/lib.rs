//! `Order` calls A, waits for the event `Go` and calls B; with the feature `swapped` it calls B first. Built once in
//! each way, under two names.

use durawasm::prelude::*;

const STEPS: [&str; 2] = if cfg!(feature = "swapped") { ["B", "A"] } else { ["A", "B"] };

#[durawasm::orchestrator(name = "Order")]
async fn order(ctx: OrchestrationContext) -> Result<Vec<String>> {
    let first = ctx.call_activity(STEPS[0], ()).await?;
    ctx.wait_for_event::<()>("Go").await?;
    let second = ctx.call_activity(STEPS[1], ()).await?;
    Ok(vec![first, second])
}

/// The same without a wait between the calls.
#[durawasm::orchestrator(name = "OrderAtOnce")]
async fn order_at_once(ctx: OrchestrationContext) -> Result<Vec<String>> {
    ctx.try_join_all(STEPS.map(|step| ctx.call_activity(step, ()))).await
}

#[durawasm::activity(name = "A")]
fn a(_ctx: ActivityContext) -> Result<&'static str> {
    Ok("A")
}

#[durawasm::activity(name = "B")]
fn b(_ctx: ActivityContext) -> Result<&'static str> {
    Ok("B")
}

durawasm::app!(order, order_at_once, a, b);
