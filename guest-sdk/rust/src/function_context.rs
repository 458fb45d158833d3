//! The context of HTTP, manual and timer functions.

use std::fmt::Display;

use serde::Deserialize;

use crate::bindings::durable::functions::function_context as host;
use crate::client::DurableClient;
use crate::log::Log;
use crate::{FunctionInfo, LogLevel, Timestamp};

/// What an HTTP, manual or timer function knows about its call and can do; its first parameter, and
/// [`FunctionContext::current`] for those that are called by `wasi:http/incoming-handler`.
///
/// ```no_run
/// use durawasm::prelude::*;
///
/// #[durawasm::manual(name = "HelloWorldManualStart")]
/// fn start(ctx: FunctionContext, name: String) -> Result<()> {
///     let id = ctx.client().start_new("HelloWorld").input(name).send()?;
///     durawasm::info!(ctx, "started the orchestration {id}");
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy)]
pub struct FunctionContext {
    /// Made by this crate only.
    private: (),
}

impl FunctionContext {
    pub(crate) fn new() -> Self {
        Self { private: () }
    }

    /// That of the call that is being answered, for code that is not given it. Elsewhere, in an activity say, using it traps.
    pub fn current() -> Self {
        Self::new()
    }

    /// Everything the host tells about the call.
    pub fn call(self) -> FunctionInfo {
        host::info()
    }

    /// The function's name.
    pub fn name(self) -> String {
        host::info().name
    }

    /// A new one for every call.
    pub fn invocation_id(self) -> String {
        host::info().invocation_id
    }

    /// The task hub that the app is deployed in.
    pub fn hub(self) -> String {
        host::info().hub
    }

    /// Starts and manages orchestrations of the hub.
    pub fn client(self) -> DurableClient {
        DurableClient::new()
    }
}

impl Log for FunctionContext {
    fn log(&self, level: LogLevel, message: impl Display) {
        let () = self.private;
        host::log(level, &message.to_string());
    }
}

/// What a timer function is given: its input, if it wants one.
///
/// ```no_run
/// use durawasm::prelude::*;
///
/// #[durawasm::timer(schedule = "0 */5 * * * *")]
/// fn look_around(ctx: FunctionContext, timer: TimerInfo) -> Result<()> {
///     if timer.is_past_due {
///         ctx.warn("late: the server was down when it was time");
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimerInfo {
    /// When it was to run and when it will.
    #[serde(default)]
    pub schedule_status: ScheduleStatus,
    /// The time it was to run at has passed: the server was down then, or is more than a minute late.
    #[serde(default)]
    pub is_past_due: bool,
}

/// When a timer function ran and will run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScheduleStatus {
    /// When the run before this one was due; none: this is the first.
    pub last: Option<Timestamp>,
    /// When the run after this one is due.
    pub next: Option<Timestamp>,
    /// When this was recorded.
    pub last_updated: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_timer_is_given_is_read() {
        let first = r#"{"scheduleStatus":{"last":null,"next":"2024-01-01T00:05:00Z"},"isPastDue":true}"#;
        let timer: TimerInfo = serde_json::from_str(first).expect("this is what the host sends");
        assert!(timer.is_past_due);
        assert_eq!(timer.schedule_status.last, None);
        assert_eq!(timer.schedule_status.next, "2024-01-01T00:05:00Z".parse().ok());
    }
}
