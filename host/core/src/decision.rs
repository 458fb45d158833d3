//! What an episode came to: what to save, and what to do once it is saved.

use jiff::Timestamp;

use crate::history::HistoryEvent;
use crate::model::{AwaitedBy, InstanceId, Outcome, Payload, Status, Tags, TaskId};

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
        /// The timer, the call with a retry policy, or [`TaskId::SCHEDULED_START`].
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
    /// Tell another instance something. Messages between two instances keep their order.
    Send(Outgoing),
}

/// A message for another instance of the hub, to be kept until that instance has taken it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Who gets it.
    pub to: InstanceId,
    /// What it is about.
    pub letter: Letter,
}

/// What one instance can tell another.
#[derive(Clone, Debug, PartialEq)]
pub enum Letter {
    /// Be a sub-orchestration.
    StartChild(Box<ChildStart>),
    /// The sub-orchestration that you called has ended.
    ChildEnded {
        /// The call.
        awaited_by: AwaitedBy,
        /// What it came to.
        outcome: Outcome,
    },
    /// An external event.
    EventRaised {
        /// Its name.
        name: String,
        /// What comes with it.
        input: Option<Payload>,
    },
    /// End now, and all your sub-orchestrations.
    Terminate {
        /// Who says so: only a parent can, and the id may have gone to somebody else meanwhile.
        parent_instance_id: InstanceId,
        /// Why.
        reason: Option<Payload>,
    },
}

/// A sub-orchestration to start.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildStart {
    /// The orchestrator function.
    pub name: String,
    /// Its input.
    pub input: Option<Payload>,
    /// The version label; none: the app version's own.
    pub version: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// Who starts it.
    pub parent_instance_id: InstanceId,
    /// The call that waits for the outcome; none: nobody does.
    pub awaited_by: Option<AwaitedBy>,
    /// How many levels of parents it has.
    pub depth: u32,
    /// W3C trace context.
    pub trace_parent: Option<String>,
    /// What goes with it.
    pub trace_state: Option<String>,
    /// The parent was rewound: a failed instance is to be rewound, a running or completed one is to answer this call.
    pub again: bool,
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
    /// What the attempt before reported with its last heartbeat.
    pub heartbeat: Option<Payload>,
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
