//! What goes into a store and comes out of it.

use std::fmt;
use std::sync::Arc;

use durawasm_core::model::Tags;
use durawasm_core::{HistoryEvent, InstanceId, Letter, Payload, Status, TaskId, Timestamp};

use super::Usage;

/// The name of a task hub.
pub type HubName = Arc<str>;

/// A number that the store gives each instance when it is created, counting up and never used again. Rows are keyed
/// by it, so that what is written together lies together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceNumber(pub u64);

/// Counts the commits of an instance, from 1.
pub type Revision = u64;

/// The SHA-256 of a component.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The small row of an instance: all that lists and decisions need, without payloads.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceRecord {
    /// Its hub.
    pub hub: HubName,
    /// Its id.
    pub id: InstanceId,
    /// Given by the store at creation; what a creating commit has here is ignored.
    pub number: InstanceNumber,
    /// Set by the store.
    pub revision: Revision,
    /// The orchestrator function.
    pub name: String,
    /// What the world sees.
    pub status: Status,
    /// When this id was started.
    pub created: Timestamp,
    /// The last commit.
    pub updated: Timestamp,
    /// The version label.
    pub version: Option<String>,
    /// The app that holds the function.
    pub app: String,
    /// The component it is pinned to.
    pub digest: Digest,
    /// The current execution.
    pub execution_id: String,
    /// Which execution this is, from 0.
    pub generation: u32,
    /// The parent instance of a sub-orchestration.
    pub parent_instance_id: Option<InstanceId>,
    /// Tags given at the start.
    pub tags: Tags,
    /// Work is in flight: a restarted host must look at this instance.
    pub ready: bool,
}

/// The payloads of an instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Payloads {
    /// Of the current execution.
    pub input: Option<Payload>,
    /// The result as JSON, the failure's or the termination's text as a JSON string.
    pub output: Option<Payload>,
    /// As the code set it last.
    pub custom_status: Option<Payload>,
}

/// Which payloads a commit writes; none: left as it is, inner none: removed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PayloadChanges {
    /// See [`Payloads::input`].
    pub input: Option<Option<Payload>>,
    /// See [`Payloads::output`].
    pub output: Option<Option<Payload>>,
    /// See [`Payloads::custom_status`].
    pub custom_status: Option<Option<Payload>>,
}

/// Which existing instance a start may replace (http-api.md 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reuse {
    /// None.
    Never,
    /// One that has ended.
    #[default]
    Terminal,
}

/// What must be true for a commit to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No instance with this id, or one that may be replaced (its rows all go).
    Startable(Reuse),
    /// The instance with the record's number is at this revision.
    Revision(Revision),
}

/// One atomic, conditional change to one instance.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The condition.
    pub expect: Expect,
    /// The instance as it is after the commit. `revision` (and for a start `number`) are set by the store.
    pub record: InstanceRecord,
    /// New payloads.
    pub payloads: PayloadChanges,
    /// True: the history before this commit is removed first (continue-as-new).
    pub fresh_history: bool,
    /// New events, oldest first.
    pub events: Vec<HistoryEvent>,
    /// Timers to set.
    pub timers_set: Vec<(TaskId, Timestamp)>,
    /// Timers to remove; one that is not there is no error.
    pub timers_cleared: Vec<(TaskId, Timestamp)>,
    /// Messages for other instances of the hub, kept until they are taken.
    pub mail_sent: Vec<NewMail>,
    /// Messages that this commit takes. One that is not there any more is a conflict: it was taken before.
    pub mail_taken: Vec<MailId>,
    /// What the hub is charged for.
    pub usage: Usage,
}

/// A number that the store gives each message between instances, counting up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailId(pub u64);

/// The component that an instance was pinned to when it sent something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The app.
    pub app: String,
    /// The component.
    pub digest: Digest,
}

/// A message for another instance, before it has a number.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMail {
    /// Who gets it, in the sender's hub.
    pub to: InstanceId,
    /// The sender's component: a child takes it if it can.
    pub pin: Option<Pinned>,
    /// What it is about.
    pub letter: Letter,
}

/// A message that waits to be taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// Its number.
    pub id: MailId,
    /// The hub of both.
    pub hub: HubName,
    /// Who gets it.
    pub to: InstanceId,
    /// See [`NewMail::pin`].
    pub pin: Option<Pinned>,
    /// What it is about.
    pub letter: Letter,
}

/// What a commit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The instance's number.
    pub number: InstanceNumber,
    /// Its revision now.
    pub revision: Revision,
    /// The number of the first message sent; the others follow.
    pub first_mail: MailId,
}

impl Committed {
    /// An instance's place: its number and its revision.
    #[must_use]
    pub fn at(number: InstanceNumber, revision: Revision) -> Self {
        Self { number, revision, first_mail: MailId(0) }
    }
}

/// A durable timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerRow {
    /// When.
    pub due: Timestamp,
    /// Whose.
    pub number: InstanceNumber,
    /// Which.
    pub task: TaskId,
}

/// What a function of an app is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FunctionKind {
    /// Deterministic and durable.
    Orchestrator,
    /// Does the work.
    Activity,
}

/// One deployed version of an app.
#[derive(Clone, Debug, PartialEq)]
pub struct AppVersion {
    /// Which component.
    pub digest: Digest,
    /// Its label, if its author gave one.
    pub label: Option<String>,
    /// The SDK it was made with.
    pub sdk: String,
    /// When it was deployed first.
    pub deployed: Timestamp,
    /// Bytes of the component.
    pub size: u64,
    /// What it holds.
    pub functions: Vec<(FunctionKind, String)>,
    /// What it imports, for people.
    pub imports: Vec<String>,
    /// Functions that something outside sets off.
    pub triggers: Vec<Trigger>,
}

/// A function that is set off by a request, by hand or by a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The function's name.
    pub name: String,
    /// What sets it off.
    pub kind: TriggerKind,
}

/// What sets a function off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerKind {
    /// Requests to a route.
    Http(HttpTrigger),
    /// Somebody with a key that manages the hub.
    Manual,
    /// Time.
    Timer(TimerTrigger),
}

/// When a timer function runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerTrigger {
    /// Six fields from the second on, as the engine reads them.
    pub schedule: String,
    /// What was due while the host was down runs when it is up again; once, however often it was due.
    pub use_monitor: bool,
    /// It runs when the host starts and when the app is deployed, too.
    pub run_on_startup: bool,
}

/// Which timer function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleKey {
    /// The hub.
    pub hub: HubName,
    /// The app.
    pub app: String,
    /// The function.
    pub function: String,
}

/// Where a timer function is in its schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleState {
    /// What `due` was computed by; another one in the app makes this state void.
    pub schedule: String,
    /// When it runs next.
    pub due: Timestamp,
    /// The occurrence before, if it ran.
    pub last: Option<Timestamp>,
    /// When this was written.
    pub updated: Timestamp,
}

/// Which requests an HTTP function answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTrigger {
    /// The route below the prefix, without a slash at its ends.
    pub route: String,
    /// In capitals; empty: all.
    pub methods: Vec<String>,
    /// Which key a request needs.
    pub level: AuthLevel,
    /// The component's `wasi:http/incoming-handler` answers, and not its `http-function`: request and response are streams.
    pub streams: bool,
}

/// Which key a request to an HTTP function needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthLevel {
    /// None.
    Anonymous,
    /// The function's, or one that opens more.
    #[default]
    Function,
    /// The admin key, or one that manages the hub.
    Admin,
}

/// An app of a hub with its versions, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct AppRecord {
    /// The hub.
    pub hub: HubName,
    /// The app.
    pub name: String,
    /// Counts the changes of this record, from 1.
    pub generation: u32,
    /// The version new instances take; one of `versions`.
    pub current: Digest,
    /// All that are kept.
    pub versions: Vec<AppVersion>,
    /// How its instances run.
    pub options: AppOptions,
}

/// What whoever deploys an app can choose for its instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppOptions {
    /// An orchestrator that has returned is over at once, whatever it has left open. Applies to executions that start
    /// afterwards. Otherwise it stays Running while activities and awaited sub-orchestrations of it are open.
    pub completes_early: bool,
    /// Activities and children that an instance calls in its own app run on the app's current version. Otherwise on the
    /// version that the instance is pinned to.
    pub current_activities: bool,
}
