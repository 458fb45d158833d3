//! Orchestrators that misbehave.

use std::time::SystemTime;

use durawasm::prelude::*;

use crate::deeds;

#[durawasm::orchestrator(name = "LoopForever")]
pub(crate) async fn loop_forever(_ctx: OrchestrationContext) -> Result<()> {
    deeds::loop_forever()
}

#[durawasm::orchestrator(name = "GrowMemory")]
pub(crate) async fn grow_memory(_ctx: OrchestrationContext) -> Result<()> {
    deeds::grow_memory()
}

#[durawasm::orchestrator(name = "StackOverflow")]
pub(crate) async fn stack_overflow(_ctx: OrchestrationContext) -> Result<u64> {
    Ok(deeds::stack_overflow(0))
}

#[durawasm::orchestrator(name = "Panic")]
pub(crate) async fn panics(_ctx: OrchestrationContext) -> Result<()> {
    panic!("boom at work")
}

#[durawasm::orchestrator(name = "Return100MB")]
pub(crate) async fn return_100mb(_ctx: OrchestrationContext) -> Result<String> {
    Ok(deeds::huge_text())
}

/// One line of 100 MiB, then 100,000 short ones.
#[durawasm::orchestrator(name = "HugeLog")]
pub(crate) async fn huge_log(ctx: OrchestrationContext) -> Result<()> {
    ctx.info(deeds::huge_text());
    (0..100_000).for_each(|line| ctx.info(line));
    Ok(())
}

#[durawasm::orchestrator(name = "PrintForever")]
pub(crate) async fn print_forever(_ctx: OrchestrationContext) -> Result<()> {
    deeds::print_forever()
}

/// Reads the clock until a second has passed, which it never does while an orchestrator computes.
#[durawasm::orchestrator(name = "SpinOnClock")]
pub(crate) async fn spin_on_clock(_ctx: OrchestrationContext) -> Result<()> {
    let began = SystemTime::now();
    while began.elapsed()? < Duration::from_secs(1) {}
    Ok(())
}

/// Calls the client, which is for activities and client functions.
#[durawasm::orchestrator(name = "CallsClient")]
pub(crate) async fn calls_client(_ctx: OrchestrationContext) -> Result<()> {
    durawasm::raw::client::terminate("somebody", None, false).map_err(|_| Error::new("Refused", "it was refused"))
}

/// Calls what only activities may.
#[durawasm::orchestrator(name = "WrongRole")]
pub(crate) async fn wrong_role(_ctx: OrchestrationContext) -> Result<u32> {
    Ok(durawasm::raw::activity_context::info().attempt)
}
