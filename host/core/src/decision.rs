//! What an episode came to: what to save, and what to do once it is saved.

use jiff::Timestamp;

use crate::history::HistoryEvent;
use crate::model::{Outcome, Payload, Status, Tags, TaskId};

/// What to save and what to do afterwards. Nothing of it may be acted on before all of it is durable.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Decision {
    /// New history, in order.
    pub events: Vec<HistoryEvent>,
    /// What to do, in order, after saving.
    pub effects: Vec<Effect>,
    /// A new custom status (inner none: cleared), if the code set one.
    pub custom_status: Option<Option<Payload>>,
}

impl Decision {
    /// This decision and a later one of the same execution as one.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        self.events.extend(later.events);
        self.effects.extend(later.effects);
        self.custom_status = later.custom_status.or(self.custom_status);
        self
    }
}

/// Something for the engine to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Run an attempt of an activity and bring its outcome back as a message.
    RunActivity(ActivityCall),
    /// Bring [`crate::Message::TimerDue`] at this time.
    SetTimer {
        /// The timer, or the call with a retry policy.
        task: TaskId,
        /// When.
        due: Timestamp,
    },
    /// No need for that any more.
    ClearTimer {
        /// Which.
        task: TaskId,
        /// When it would have been due: part of the timer's key in a store.
        due: Timestamp,
    },
    /// Nobody waits for this activity any more: tell it, if it still runs.
    CancelActivity {
        /// The call.
        task: TaskId,
    },
}

/// One attempt of an activity to run.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityCall {
    /// The call.
    pub task: TaskId,
    /// From 1.
    pub attempt: u32,
    /// The function.
    pub name: String,
    /// Its input.
    pub input: Option<Payload>,
    /// Milliseconds this attempt may take; none: the engine's default.
    pub timeout_ms: Option<f64>,
    /// Tags of the call.
    pub tags: Tags,
}

/// What an instance looks like from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Its code may run.
    Running,
    /// Its code stands still.
    Suspended {
        /// Why.
        reason: Option<String>,
    },
    /// It is over.
    Ended {
        /// Completed, Failed or Terminated.
        status: Status,
        /// The output or the failure; the reason when terminated.
        outcome: Outcome,
    },
    /// This execution is over and the next one is to be started.
    ContinuedAsNew {
        /// The next execution's input.
        input: Option<Payload>,
        /// Events nobody waited for, to be raised on the next execution, oldest first.
        events: Vec<(String, Option<Payload>)>,
    },
}
