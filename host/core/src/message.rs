//! What reaches an instance from outside its own code.

use jiff::Timestamp;

use crate::model::{AwaitedBy, Outcome, Payload, TaskId};

/// Something for an instance's mailbox.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// An attempt of an activity ended.
    ActivityEnded {
        /// The call.
        task: TaskId,
        /// Which attempt, from 1.
        attempt: u32,
        /// What it came to.
        outcome: Outcome,
        /// What it reported with its last heartbeat: the next attempt is told.
        heartbeat: Option<Payload>,
    },
    /// An attempt of a call was answered with "not yet": it is to ask again later.
    ActivityPostponed {
        /// The call.
        task: TaskId,
        /// Which attempt, from 1.
        attempt: u32,
        /// The answer, for people.
        answer: Option<Payload>,
        /// What the attempts from the next one on are called with.
        next: Payload,
        /// When to ask again.
        due: Timestamp,
    },
    /// A sub-orchestration ended.
    ChildEnded {
        /// The call.
        task: TaskId,
        /// Which attempt, from 1.
        attempt: u32,
        /// What it came to.
        outcome: Outcome,
    },
    /// The parent was rewound: another call of it waits for the outcome.
    ParentRewound {
        /// Which.
        awaited_by: AwaitedBy,
    },
    /// A timer's time has come.
    TimerDue {
        /// The timer, the call whose next attempt is due, or [`TaskId::SCHEDULED_START`].
        task: TaskId,
        /// What it was set to. A message that comes late may find the same number in a fresh execution, or a later
        /// attempt of the same call: it is not for them.
        due: Timestamp,
    },
    /// An external event.
    EventRaised {
        /// Its name.
        name: String,
        /// What came with it.
        input: Option<Payload>,
    },
    /// Stand still.
    Suspend {
        /// Why.
        reason: Option<String>,
    },
    /// Go on.
    Resume {
        /// Why.
        reason: Option<String>,
    },
    /// End now.
    Terminate {
        /// Why.
        reason: Option<String>,
        /// Whether the sub-orchestrations of this execution are to end, too.
        recursive: bool,
    },
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is now part of the history (not yet saved).
    Recorded,
    /// It changes nothing: a duplicate, or for a task that nobody waits for any more.
    Stale,
    /// The history is as long as it may get: an external event finds no room.
    Full,
    /// The execution is over; nothing can reach it.
    Ended,
}
