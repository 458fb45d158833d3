//! What an orchestrator can ask for.

use std::fmt;

use jiff::Timestamp;

use crate::history::{Ending, EventKind};
use crate::model::{Payload, RetryPolicy, Tags};

/// A request of the orchestrator's code. The same call serves replay and live: it either matches the next recorded
/// command or becomes a new one.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Call an activity.
    CallActivity {
        /// The function.
        name: String,
        /// Its input.
        input: Option<Payload>,
        /// How it is tried again.
        retry: Option<RetryPolicy>,
        /// Milliseconds an attempt may take.
        timeout_ms: Option<f64>,
        /// Tags of the call.
        tags: Tags,
    },
    /// Call an orchestrator as a child.
    CallSubOrchestration {
        /// The child's instance id; none: derived from this execution.
        instance_id: Option<String>,
        /// The function.
        name: String,
        /// Its input.
        input: Option<Payload>,
        /// How it is tried again.
        retry: Option<RetryPolicy>,
        /// The version label; none: the app version's own.
        version: Option<String>,
        /// Tags of the child.
        tags: Tags,
    },
    /// Set a durable timer.
    CreateTimer {
        /// When it fires.
        fire_at: Timestamp,
    },
    /// Wait for an external event.
    AwaitEvent {
        /// Its name, compared ignoring case.
        name: String,
    },
}

/// A request that nothing comes back for.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Start an orchestrator as a child that nobody waits for.
    StartSubOrchestration {
        /// The child's instance id; none: derived from this execution.
        instance_id: Option<String>,
        /// The function.
        name: String,
        /// Its input.
        input: Option<Payload>,
        /// The version label; none: the app version's own.
        version: Option<String>,
        /// Tags of the child.
        tags: Tags,
    },
    /// Raise an event on another instance.
    SendEvent {
        /// Which.
        instance_id: String,
        /// The event's name.
        name: String,
        /// What goes with it.
        input: Option<Payload>,
    },
}

/// Says a command as the author of the orchestrator would; used on both sides of a non-determinism report.
pub(crate) struct Say<'a>(pub(crate) &'a EventKind);

impl fmt::Display for Say<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            EventKind::TaskScheduled { name, input, .. } => write!(f, "call activity '{name}'{}", input_of(input)),
            EventKind::SubOrchestrationCreated { name, input, chosen_id, instance_id, .. } => {
                let id = if *chosen_id { format!(" as '{instance_id}'") } else { String::new() };
                write!(f, "call sub-orchestration '{name}'{id}{}", input_of(input))
            }
            EventKind::SubOrchestrationStarted { name, input, instance_id, .. } => {
                write!(f, "start sub-orchestration '{name}' as '{instance_id}'{}", input_of(input))
            }
            EventKind::EventSent { instance_id, name, input } => {
                write!(f, "send event '{name}' to '{instance_id}'{}", input_of(input))
            }
            EventKind::TimerCreated { fire_at, .. } => write!(f, "create a timer for {fire_at}"),
            EventKind::EventAwaited { name, .. } => write!(f, "wait for event '{name}'"),
            EventKind::TaskCanceled { task } => write!(f, "cancel task {task}"),
            EventKind::OrchestratorReturned { ending: Ending::Returned(Ok(result)), .. } => {
                write!(f, "return{}", input_of(result))
            }
            EventKind::OrchestratorReturned { ending: Ending::Returned(Err(failure)), .. } => {
                write!(f, "fail with '{}'", shortened(&failure.message))
            }
            EventKind::OrchestratorReturned { ending: Ending::ContinuedAsNew { input, .. }, .. } => {
                write!(f, "continue as new{}", input_of(input))
            }
            EventKind::ExecutionStarted(_)
            | EventKind::TaskAttemptFailed { .. }
            | EventKind::TaskPostponed { .. }
            | EventKind::TaskRetried { .. }
            | EventKind::TaskCompleted { .. }
            | EventKind::TaskFailed { .. }
            | EventKind::TimerFired { .. }
            | EventKind::EventRaised { .. }
            | EventKind::ExecutionSuspended { .. }
            | EventKind::ExecutionResumed { .. }
            | EventKind::ExecutionTerminated { .. }
            | EventKind::ScheduledTimeReached
            | EventKind::FailureDelivered { .. }
            | EventKind::ExecutionRewound { .. }
            | EventKind::ParentRewound { .. }
            | EventKind::ExecutionMoved { .. }
            | EventKind::EpisodeCompleted { .. }
            | EventKind::ExecutionCompleted { .. } => f.write_str("(not a command)"),
        }
    }
}

fn input_of(input: &Option<Payload>) -> String {
    input.as_ref().map_or_else(String::new, |text| format!(" with {}", shortened(text)))
}

/// Payloads are the tenant's data and may be large: a report shows the beginning.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
