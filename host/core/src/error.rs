//! What a guest can do wrong.

use crate::model::TaskId;

/// The code did something else than its history says: the code is not deterministic, or it is not the code that
/// made this history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "non-deterministic orchestrator: at history event {position} the code should {expected}, but now it wants to {found}. \
     An orchestrator must make the same calls in the same order whenever it runs"
)]
pub struct NonDeterminism {
    /// Index into the history of the event that the code should have made (the history's length: after its end).
    pub position: usize,
    /// What the history has there.
    pub expected: String,
    /// What the code did.
    pub found: String,
}

/// A call of the guest that cannot be answered. The guest is stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuestFault {
    /// Replay and history disagree; the instance stays as it is, for repair.
    #[error(transparent)]
    NonDeterminism(#[from] NonDeterminism),
    /// A task that was never made.
    #[error("task {task} does not exist: this execution has made {made} tasks so far")]
    UnknownTask {
        /// What the guest asked for.
        task: TaskId,
        /// How many there are.
        made: u32,
    },
    /// `when-any` of nothing would wait for ever.
    #[error("when-any was called with an empty list, which would wait for ever")]
    EmptyWait,
    /// The result of something that no wait has delivered.
    #[error("the result of task {task} was asked for before when-any or when-all delivered it")]
    NotDelivered {
        /// What the guest asked for.
        task: TaskId,
    },
    /// An instance id that no instance can have.
    #[error("the instance ID '{}' {why}", .id.chars().take(64).collect::<String>().escape_debug())]
    BadInstanceId {
        /// The id.
        id: String,
        /// Which rule it breaks.
        why: String,
    },
    /// A bound of the host was hit.
    #[error("{what}: the limit is {limit}")]
    Limit {
        /// What there was too much of.
        what: &'static str,
        /// The bound.
        limit: u32,
    },
}
