//! What the SDK does not let happen: calls of the contract as they come.

use durawasm::__private::{Definition, Function};
use durawasm::prelude::*;
use durawasm::raw::orchestration::{self as host, ActivityOptions};
use durawasm::raw::types::Failure as RawFailure;

use crate::deeds;

fn echo(input: Option<&str>) -> u32 {
    host::call_activity("Echo", input, &ActivityOptions { retry: None, timeout: None, tags: vec![] })
}

fn result(task: u32) -> Result<Option<String>> {
    host::get_result(task).map_err(|RawFailure { error_type, message, .. }| Error::new(error_type, message))
}

/// Asks for the result of a task that has not been delivered.
#[durawasm::orchestrator(name = "ForeignResult")]
pub(crate) async fn foreign_result(_ctx: OrchestrationContext) -> Result<Option<String>> {
    result(echo(None))
}

/// Asks for the result of a delivered task twice, which is allowed.
#[durawasm::orchestrator(name = "ResultTwice")]
pub(crate) async fn result_twice(_ctx: OrchestrationContext) -> Result<bool> {
    let timer = host::create_timer("2000-01-01T00:00:00Z");
    host::when_all(&[timer]);
    Ok(result(timer)? == result(timer)?)
}

/// Waits for a task that nobody made.
#[durawasm::orchestrator(name = "UnknownTask")]
pub(crate) async fn unknown_task(_ctx: OrchestrationContext) -> Result<u32> {
    Ok(host::when_any(&[4_000_000_000]))
}

/// Cancels a task that nobody made.
#[durawasm::orchestrator(name = "CancelUnknown")]
pub(crate) async fn cancel_unknown(_ctx: OrchestrationContext) -> Result<()> {
    host::cancel(0);
    Ok(())
}

#[durawasm::orchestrator(name = "EmptyAny")]
pub(crate) async fn empty_any(_ctx: OrchestrationContext) -> Result<u32> {
    Ok(host::when_any(&[]))
}

/// Waits for all of nothing, which is over at once.
#[durawasm::orchestrator(name = "EmptyAll")]
pub(crate) async fn empty_all(_ctx: OrchestrationContext) -> Result<()> {
    host::when_all(&[]);
    Ok(())
}

/// Waits again and again for what is over at once, so that it never runs for long and never stops.
#[durawasm::orchestrator(name = "ServedForever")]
pub(crate) async fn served_forever(_ctx: OrchestrationContext) -> Result<()> {
    loop {
        host::when_all(&[]);
    }
}

/// Makes a million activity calls without ever waiting.
#[durawasm::orchestrator(name = "MillionTasks")]
pub(crate) async fn million_tasks(_ctx: OrchestrationContext) -> Result<()> {
    (0..1_000_000).for_each(|_| {
        echo(None);
    });
    Ok(())
}

/// Makes a million timers without ever waiting.
#[durawasm::orchestrator(name = "MillionTimers")]
pub(crate) async fn million_timers(_ctx: OrchestrationContext) -> Result<()> {
    (0..1_000_000).for_each(|_| {
        host::create_timer("2999-01-01T00:00:00Z");
    });
    Ok(())
}

/// Calls an activity with an input that is no JSON.
#[durawasm::orchestrator(name = "BadJsonInput")]
pub(crate) async fn bad_json_input(_ctx: OrchestrationContext) -> Result<u32> {
    Ok(host::when_any(&[echo(Some("{not json"))]))
}

/// Calls an activity with an input of 100 MiB.
#[durawasm::orchestrator(name = "HugeInput")]
pub(crate) async fn huge_input(_ctx: OrchestrationContext) -> Result<u32> {
    Ok(host::when_any(&[echo(Some(&format!("{:?}", deeds::huge_text())))]))
}

/// A custom status that is no JSON.
#[durawasm::orchestrator(name = "BadStatus")]
pub(crate) async fn bad_status(_ctx: OrchestrationContext) -> Result<()> {
    host::set_custom_status(Some("]"));
    Ok(())
}

/// A custom status over 16 KiB.
#[durawasm::orchestrator(name = "HugeStatus")]
pub(crate) async fn huge_status(_ctx: OrchestrationContext) -> Result<()> {
    host::set_custom_status(Some(&format!("{:?}", "z".repeat(16 << 10))));
    Ok(())
}

/// A timer at no time.
#[durawasm::orchestrator(name = "BadTimer")]
pub(crate) async fn bad_timer(_ctx: OrchestrationContext) -> Result<u32> {
    Ok(host::create_timer("tomorrow"))
}

/// An orchestrator whose output is no JSON. Written without the macro, which allows JSON only.
#[allow(non_camel_case_types, reason = "like the types that the macro declares")]
pub(crate) struct bad_json {}

impl Function for bad_json {
    const DEFINITION: Definition = Definition::orchestrator("BadJson", |_| Ok(Some("{\"half\":".to_owned())));
}

/// An activity whose output is no JSON.
#[allow(non_camel_case_types, reason = "like the types that the macro declares")]
pub(crate) struct activity_bad_json {}

impl Function for activity_bad_json {
    const DEFINITION: Definition = Definition::activity("BadJson", |_| Ok(Some("{\"half\":".to_owned())));
}
