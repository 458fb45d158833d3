//! What the outside asks of the engine, and what it answers: the types of [`super::Engine`]'s methods.

use std::time::Duration;

use durawasm_core::model::Tags;
use durawasm_core::{HistoryEvent, InstanceId, Payload, Status, Timestamp};

use super::executor::AdmitError;
use super::quota::{QuotaError, QuotaExceeded};
use crate::store::{AppOptions, Digest, HubName, InstanceRecord, Payloads, StoreError};

/// What a start does about an instance that has its id already (http-api.md 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reuse {
    /// It is refused, whatever became of that instance.
    Never,
    /// It replaces one that has ended.
    #[default]
    Terminal,
    /// It replaces any; one that has not ended is terminated first.
    Any,
}

/// Start an instance.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// Where.
    pub hub: HubName,
    /// The orchestrator function.
    pub function: String,
    /// The id; none: a fresh one (UUIDv7, 32 hex digits).
    pub instance_id: Option<String>,
    /// The input, already known to be JSON.
    pub input: Option<Payload>,
    /// The version label; none: the app version's own.
    pub version: Option<String>,
    /// Tags.
    pub tags: Tags,
    /// What to do about an instance that has the id already.
    pub reuse: Reuse,
    /// W3C trace context of the caller.
    pub trace_parent: Option<String>,
    /// What goes with it; none without it.
    pub trace_state: Option<String>,
    /// Nothing of it runs before this time; it is Pending until then.
    pub scheduled_at: Option<Timestamp>,
}

/// Why an instance was not restarted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RestartError {
    /// There is no such instance.
    #[error("no such instance")]
    Unknown,
    /// The new one was not started.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Why an instance was not started. Nothing was changed, except that [`Reuse::Any`] may have terminated the instance that
/// had the id.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    /// The id has a forbidden form; the text says which rule it breaks (http-api.md 3).
    #[error("{0}")]
    BadInstanceId(String),
    /// No app of the hub declares the function. `known`: the orchestrators that exist, sorted, at most 20.
    #[error("the function '{function}' doesn't exist, is disabled, or is not an orchestrator function")]
    UnknownFunction {
        /// What was asked for.
        function: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The id is taken.
    #[error("An orchestration with instance ID '{id}' and status '{status}' already exists")]
    Exists {
        /// The id.
        id: InstanceId,
        /// The status of the instance that has it.
        status: Status,
    },
    /// The hub is at one of its limits.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    /// There is no such hub, or not for long.
    #[error("the task hub '{0}' does not exist")]
    NoHub(HubName),
    /// Too many starts in one call.
    #[error("{count} starts at once; the limit is {limit}")]
    TooMany {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The input is too large.
    #[error("the input has {size} bytes; the limit is {limit}")]
    InputTooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<QuotaError> for StartError {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::Exceeded(exceeded) => Self::Quota(exceeded),
            QuotaError::Store(error) => Self::Store(error),
        }
    }
}

/// Why a message did not reach an instance. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// There is no such instance.
    #[error("no such instance")]
    Unknown,
    /// It has ended.
    #[error("the instance has ended")]
    Ended,
    /// Only what has failed can be rewound.
    #[error("only a failed instance can be rewound")]
    NotFailed,
    /// The code that it ran on was removed with its app.
    #[error("the version of the app that the instance is on was removed")]
    NoVersion,
    /// Its history is as long as it may get; only continue-as-new makes room.
    #[error("the instance's history is full: it takes no further events in this execution")]
    Full,
    /// It is not any more as the sender saw it.
    #[error("the instance was changed meanwhile")]
    Changed,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which parts of an instance to load beside its record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// Input, output and custom status.
    pub payloads: bool,
    /// The history.
    pub history: bool,
}

/// An instance as the outside sees it; all of it durable.
#[derive(Clone, Debug)]
pub struct InstanceView {
    /// The small row.
    pub record: InstanceRecord,
    /// Loaded if asked for.
    pub payloads: Payloads,
    /// Loaded if asked for.
    pub history: Vec<HistoryEvent>,
}

/// What a wait for completion came to.
#[derive(Clone, Debug)]
pub enum Waited {
    /// The instance completed while the caller waited, with this output.
    Completed(Option<Payload>),
    /// The instance has ended: before the caller began to wait, or in another way.
    Ended(Box<InstanceView>),
    /// It did not in time.
    StillRunning,
    /// There is no such instance.
    Unknown,
}

/// How long a wait may take at the most, whatever the caller asks for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Why a deployment was refused. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeployError {
    /// The app's name has a forbidden form.
    #[error("{0}")]
    BadName(String),
    /// The hub is at one of its limits.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    /// The hub takes no apps; the text says why.
    #[error("{0}")]
    NoHub(String),
    /// The component was refused.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// Another app of the hub declares a function of the same name and kind.
    #[error(
        "{kind} '{function}' is already declared by app '{app}' of this hub; rename one of them, or deploy to app '{app}' to replace it"
    )]
    FunctionTaken {
        /// `orchestrator` or `activity`.
        kind: &'static str,
        /// The function.
        function: String,
        /// Who has it.
        app: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a deployment changes an app's options; none: as it was.
#[derive(Clone, Copy, Debug, Default)]
pub struct OptionChanges {
    /// See [`AppOptions::completes_early`].
    pub completes_early: Option<bool>,
    /// See [`AppOptions::current_activities`].
    pub current_activities: Option<bool>,
}

impl OptionChanges {
    pub(super) fn applied_to(self, before: AppOptions) -> AppOptions {
        AppOptions {
            completes_early: self.completes_early.unwrap_or(before.completes_early),
            current_activities: self.current_activities.unwrap_or(before.current_activities),
        }
    }
}

/// What a deployment came to.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The version that new instances take now.
    pub digest: Digest,
    /// False: this version was the app's current one already.
    pub changed: bool,
}
