//! How a run ended that did not return: who is to blame, and in which words.

use std::collections::HashSet;

use durawasm_core::Failure;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::guest::{Guest, Stop};
use super::limits::FAILURE_TEXT;
use super::stdio::cut;
use crate::engine::executor::HostFault;

/// Why a guest did not return.
#[derive(Debug)]
pub(super) enum Ended {
    /// The session refused a call.
    Faulted,
    /// The guest's own doing.
    Failed(Failure),
    /// The host's.
    Host(HostFault),
}

impl Ended {
    pub(super) fn host(error: impl ToString) -> Self {
        Self::Host(HostFault::Broken(error.to_string()))
    }

    /// Reads what wasmtime says about a guest that it stopped.
    pub(super) fn from_error(error: &wasmtime::Error, guest: &Guest) -> Self {
        match error.downcast_ref::<Stop>() {
            Some(Stop::Faulted) => return Self::Faulted,
            Some(Stop::Host(reason)) => return Self::host(reason),
            Some(Stop::Failed(failure)) => {
                let mut failure = failure.clone();
                failure.stack_trace = backtrace(error);
                return Self::Failed(failure);
            }
            None => {}
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Self::Host(HostFault::Full(format!("{error:#}")));
        }
        if error.is::<std::io::Error>() {
            return Self::host(format!("{error:#}"));
        }
        let (error_type, message) = reason(error, guest);
        let mut failure = Failure::new(error_type, message);
        failure.stack_trace = backtrace(error);
        failure.non_retriable = [TOO_MUCH, TOO_MANY, FUEL].contains(&error_type);
        Self::Failed(failure)
    }
}

const TOO_MUCH: &str = "PayloadTooLarge";
const TOO_MANY: &str = "LimitExceeded";
const FUEL: &str = "FuelLimit";

fn reason(error: &wasmtime::Error, guest: &Guest) -> (&'static str, String) {
    let stderr = guest.log.stderr_tail();
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return ("GuestExit", with_stderr(format!("the guest called exit({}) instead of returning", exit.0), &stderr));
    }
    if is_full(error) {
        let limit = guest.limits.handles;
        let message = "handles of pollables, streams, requests and so on: drop those that are needed no more";
        return (TOO_MANY, format!("the guest holds more than {limit} {message}"));
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::OutOfFuel) {
        let message = format!(
            "the orchestrator used more than {} units of fuel without having to wait for a task: leave long work to \
             activities, and do not wait again and again for what has completed",
            guest.limits.episode_fuel
        );
        return (FUEL, message);
    }
    if trap == Some(&Trap::StackOverflow) || (trap == Some(&Trap::MemoryOutOfBounds) && is_recursion(error)) {
        let message = "the guest's stack overflowed: its calls are nested too deeply";
        return ("StackOverflow", message.to_owned());
    }
    // A panic writes its message to stderr and then traps.
    if trap == Some(&Trap::UnreachableCodeReached)
        && let Some(panic) = panic_message(&stderr)
    {
        return ("GuestPanic", format!("panicked: {panic}"));
    }
    let text = trap.map_or_else(|| error.root_cause().to_string(), ToString::to_string);
    if trap.is_none() && text.contains("hostcall") {
        let limit = guest.limits.hostcall_bytes();
        return (TOO_MUCH, format!("the guest handed the host too much in one call; the limit is {limit} bytes"));
    }
    ("GuestTrap", with_stderr(format!("the guest trapped: {text}"), &stderr))
}

/// One of the tables of handles is full: the guest's, or that of what they stand for.
fn is_full(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full))
        || error.root_cause().to_string().contains("store handle limit exceeded")
}

/// A guest's stack lies in its memory as well, below everything else: deep recursion often shows as an access before
/// the memory's beginning. The frames tell: a few functions that call each other again and again.
fn is_recursion(error: &wasmtime::Error) -> bool {
    const FRAMES: usize = 16;
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return false };
    let functions: HashSet<u32> = trace.frames().iter().map(|frame| frame.func_index()).collect();
    trace.frames().len() >= FRAMES && functions.len() <= FRAMES / 2
}

fn with_stderr(message: String, stderr: &str) -> String {
    if stderr.is_empty() { message } else { format!("{message}; it last wrote: {stderr}") }
}

/// The message of a Rust panic in `stderr`: "thread 'main' panicked at src/lib.rs:1:2:", then the message, then notes.
fn panic_message(stderr: &str) -> Option<String> {
    let (_, panic) = stderr.rsplit_once("panicked at ")?;
    let (place, rest) = panic.split_once('\n').unwrap_or((panic, ""));
    let message = rest.split("\nnote: ").next().unwrap_or(rest).trim();
    let place = place.trim_end_matches(':');
    Some(if message.is_empty() { place.to_owned() } else { format!("{message} ({place})") })
}

fn backtrace(error: &wasmtime::Error) -> Option<String> {
    let trace = error.downcast_ref::<WasmBacktrace>()?.to_string();
    Some(cut(&trace, FAILURE_TEXT).to_owned())
}

#[cfg(test)]
mod tests {
    use super::panic_message;

    #[test]
    fn a_panic_is_read_from_stderr() {
        let stderr =
            "hello\nthread 'main' (1) panicked at src/lib.rs:10:5:\nno such order\nnote: run with `RUST_BACKTRACE=1`";
        assert_eq!(panic_message(stderr).as_deref(), Some("no such order (src/lib.rs:10:5)"));
        assert_eq!(panic_message("panicked at src/lib.rs:10:5:").as_deref(), Some("src/lib.rs:10:5"));
        assert_eq!(panic_message("all is well"), None);
    }
}
