//! Names and values that everything else is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;

/// JSON as text, exactly as it came. Shared, because one payload is seen by history, ledger, guest and store.
pub type Payload = Arc<str>;

/// The name under which histories record HTTP calls of orchestrators: the original's.
pub const HTTP_ACTIVITY: &str = "BuiltIn::HttpActivity";
/// Names of activities that begin with this are the host's own; no app may declare one.
pub const BUILT_IN: &str = "BuiltIn::";

/// Characters of the name of an activity, an orchestrator, an event or a tag.
pub const NAME_CHARS: usize = 256;
/// Tags of an instance or a call: they are stored with each.
pub const TAGS: usize = 32;
/// Characters of a tag's value.
pub const TAG_VALUE_CHARS: usize = 1_024;
/// Bytes of all tags together: they are part of a row that every list reads.
pub const TAG_BYTES: usize = 8 * 1_024;

/// True: the tags are few and small enough to be kept.
#[must_use]
pub fn tags_fit(tags: &Tags) -> bool {
    tags.len() <= TAGS && tags.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= TAG_BYTES
}

/// Tags of an instance or a call.
pub type Tags = BTreeMap<String, String>;

/// The id of an orchestration instance, unique in its task hub while the instance exists.
pub type InstanceId = Arc<str>;

/// The rules for ids that somebody chooses (http-api.md 3).
///
/// # Errors
/// Which rule the id breaks, as the end of a sentence that begins with "The instance ID".
pub fn check_instance_id(id: &str) -> Result<(), String> {
    if id.chars().count() > LONGEST_INSTANCE_ID {
        return Err(format!("has more than {LONGEST_INSTANCE_ID} characters"));
    }
    if id.is_empty() {
        return Err("is empty".to_owned());
    }
    if id.starts_with('@') {
        return Err("begins with '@', which is reserved for entities".to_owned());
    }
    match id.chars().find(|c| matches!(c, '/' | '\\' | '#' | '?') || c.is_control()) {
        Some(bad) => Err(format!("contains {bad:?}; '/', '\\', '#', '?' and control characters are not allowed")),
        None => Ok(()),
    }
}

/// The rules for names of events and tags, and of functions that somebody calls.
///
/// # Errors
/// Which rule the name breaks, as the end of a sentence that begins with the name of what.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is empty".to_owned());
    }
    if name.chars().nth(NAME_CHARS).is_some() {
        return Err(format!("is longer than {NAME_CHARS} characters"));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("has control characters: {name:?}"));
    }
    Ok(())
}

/// Why a text is no time that can be kept, as the end of a sentence that begins with the text.
#[must_use]
pub fn why_no_time(text: &str) -> String {
    let is_out_of_range = Pieces::parse(text).is_ok_and(|pieces| {
        pieces.time().is_some_and(|time| {
            let utc = TimeZone::UTC.to_timestamp(pieces.date().to_datetime(time));
            pieces.offset().is_some() || utc.is_err()
        })
    });
    if is_out_of_range {
        format!("is out of range: the last time is {}", Timestamp::MAX.strftime("%Y-%m-%dT%H:%M:%SZ"))
    } else {
        "is not a time like 2026-01-31T12:00:00Z".to_owned()
    }
}

/// Characters of an instance id at most (http-api.md 3).
pub const LONGEST_INSTANCE_ID: usize = 256;

/// The handle of an open call, counted from 1 in the order in which the orchestrator made them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

impl TaskId {
    /// Stands for the scheduled start where a timer names its task; no call has this number.
    pub const SCHEDULED_START: Self = Self(0);
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The runtime status of an instance; the numbers are those of the wire (http-api.md 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// Its first episode has not ended yet.
    Running = 0,
    /// Ended with an output.
    Completed = 1,
    /// Between two executions; a transition that is never stored.
    ContinuedAsNew = 2,
    /// Ended with a failure.
    Failed = 3,
    /// Reserved by the wire; never stored.
    Canceled = 4,
    /// Ended from outside.
    Terminated = 5,
    /// Started, but no episode of it has run.
    Pending = 6,
    /// Its code stands still until it is resumed.
    Suspended = 7,
}

impl Status {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Completed,
        Self::ContinuedAsNew,
        Self::Failed,
        Self::Canceled,
        Self::Terminated,
        Self::Pending,
        Self::Suspended,
    ];

    /// The status with this number of the wire.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// True: the instance has ended, nothing will change it but a rewind, a restart or a purge.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Canceled | Self::Terminated => true,
            Self::Running | Self::ContinuedAsNew | Self::Pending | Self::Suspended => false,
        }
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::ContinuedAsNew => "ContinuedAsNew",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
            Self::Terminated => "Terminated",
            Self::Pending => "Pending",
            Self::Suspended => "Suspended",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One link in the chain of causes of a [`Failure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The kind of error in the words of the guest's language.
    pub error_type: String,
    /// What went wrong, for a person.
    pub message: String,
    /// The guest's own stack trace.
    pub stack_trace: Option<String>,
}

/// Why a function failed; kept unchanged from guest to guest and shown as `FailureDetails`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of error in the words of the guest's language.
    pub error_type: String,
    /// What went wrong, for a person.
    pub message: String,
    /// The guest's own stack trace.
    pub stack_trace: Option<String>,
    /// True: no retry policy tries again.
    pub non_retriable: bool,
    /// Inner causes, outermost first.
    pub causes: Vec<Cause>,
    /// Further facts as a JSON object.
    pub properties: Option<Payload>,
}

impl Failure {
    /// A failure that the host found.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            error_type: error_type.into(),
            message: message.into(),
            stack_trace: None,
            non_retriable: false,
            causes: Vec::new(),
            properties: None,
        }
    }

    /// The same, but no retry policy tries again.
    #[must_use]
    pub fn non_retriable(mut self) -> Self {
        self.non_retriable = true;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// How a failed call is tried again (semantics.md, retry policy). Durations are milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Before the second attempt; more than 0.
    pub first_retry_interval_ms: f64,
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// Each wait is the one before times this.
    pub backoff_coefficient: f64,
    /// The longest wait; none: 6 days.
    pub max_retry_interval_ms: Option<f64>,
    /// No attempt starts later than this after the first was scheduled; none: no such limit.
    pub retry_timeout_ms: Option<f64>,
}

/// How much code has run, counted by the engine that ran it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuel {
    /// All that the execution has used since its start, in units of the engine.
    pub total: u64,
    /// Names the code and the engine: only counts of the same name can be compared.
    pub code: u64,
}

/// Which call of its parent a sub-orchestration answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitedBy {
    /// The parent's execution. A fresh or rewound execution has another one: it does not wait for this answer.
    pub execution_id: String,
    /// The call.
    pub task: TaskId,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// What an activity, a child or an orchestrator came to.
pub type Outcome = Result<Option<Payload>, Failure>;
