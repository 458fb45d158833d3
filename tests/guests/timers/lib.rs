//! Timer functions that start an orchestration with what they are given. Built twice, under two names: with the feature
//! `second` one has another schedule and one is gone.

use durawasm::prelude::*;
use serde_json::{Value, json};

fn started(ctx: FunctionContext, timer: Value) -> Result<()> {
    ctx.client().start_new("Ran").input(json!({ "function": ctx.name(), "timer": timer })).send()?;
    Ok(())
}

#[cfg(not(feature = "second"))]
#[durawasm::timer(name = "Tick", schedule = "0 */5 * * * *")]
fn tick(ctx: FunctionContext, timer: Value) -> Result<()> {
    started(ctx, timer)
}

#[cfg(feature = "second")]
#[durawasm::timer(name = "Tick", schedule = "30 0 * * * *")]
fn tick(ctx: FunctionContext, timer: Value) -> Result<()> {
    started(ctx, timer)
}

#[cfg(not(feature = "second"))]
#[durawasm::timer(name = "Gone", schedule = "0 0 12 * * *", use_monitor = false)]
fn gone(ctx: FunctionContext, timer: Value) -> Result<()> {
    started(ctx, timer)
}

#[cfg(feature = "second")]
#[durawasm::timer(name = "Eager", schedule = "0 0 0 1 1 *", run_on_startup = true)]
fn gone(ctx: FunctionContext, timer: Value) -> Result<()> {
    started(ctx, timer)
}

/// Fails each time; its schedule goes on.
#[durawasm::timer(name = "Fails", schedule = "0 0 1 * * *")]
fn fails(ctx: FunctionContext, timer: TimerInfo) -> Result<()> {
    started(ctx, json!(timer.is_past_due))?;
    durawasm::bail!("as it should");
}

/// Takes its time.
#[durawasm::timer(name = "Slow", schedule = "0 0 3 * * *")]
fn slow(ctx: FunctionContext, timer: Value) -> Result<()> {
    started(ctx, timer)?;
    std::thread::sleep(Duration::from_millis(300));
    ctx.client().start_new("Ran").input(json!({ "function": "Slow", "timer": "end" })).send()?;
    Ok(())
}

#[durawasm::orchestrator(name = "Ran")]
async fn ran(_ctx: OrchestrationContext) -> Result<()> {
    Ok(())
}

durawasm::app!(tick, gone, fails, slow, ran);
