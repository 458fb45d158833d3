//! Activities that misbehave.

use durawasm::prelude::*;

use crate::deeds;

#[durawasm::activity(name = "LoopForever")]
pub(crate) fn loop_forever(_ctx: ActivityContext) -> Result<()> {
    deeds::loop_forever()
}

#[durawasm::activity(name = "GrowMemory")]
pub(crate) fn grow_memory(_ctx: ActivityContext) -> Result<()> {
    deeds::grow_memory()
}

#[durawasm::activity(name = "StackOverflow")]
pub(crate) fn stack_overflow(_ctx: ActivityContext) -> Result<u64> {
    Ok(deeds::stack_overflow(0))
}

#[durawasm::activity(name = "Panic")]
pub(crate) fn panics(_ctx: ActivityContext) -> Result<()> {
    panic!("boom at work")
}

#[durawasm::activity(name = "Return100MB")]
pub(crate) fn return_100mb(_ctx: ActivityContext) -> Result<String> {
    Ok(deeds::huge_text())
}

/// One line of 100 MiB, then 100,000 short ones.
#[durawasm::activity(name = "HugeLog")]
pub(crate) fn huge_log(ctx: ActivityContext) -> Result<()> {
    ctx.info(deeds::huge_text());
    (0..100_000).for_each(|line| ctx.info(line));
    Ok(())
}

/// A heartbeat that keeps more than there is room for.
#[durawasm::activity(name = "HugeHeartbeat")]
pub(crate) fn huge_heartbeat(ctx: ActivityContext, bytes: usize) -> Result<bool> {
    ctx.heartbeat("h".repeat(bytes))
}

#[durawasm::activity(name = "PrintForever")]
pub(crate) fn print_forever(_ctx: ActivityContext) -> Result<()> {
    deeds::print_forever()
}

/// Calls what only orchestrators may.
#[durawasm::activity(name = "WrongRole")]
pub(crate) fn wrong_role(_ctx: ActivityContext) -> Result<String> {
    Ok(durawasm::raw::orchestration::new_guid())
}
