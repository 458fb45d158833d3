//! What the engine asks of whatever runs guests. `wasm` implements it; tests may, too.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use durawasm_core::model::Outcome;
use durawasm_core::{Failure, Payload};
use tokio::sync::SetOnce;

use super::guest_client::GuestClient;
use super::http::{HttpEnd, HttpRun};
pub use super::logs::{ActivityLog, LogLevel};
pub use super::meters::{GuestRole, Stops};
use super::session::Session;
pub use super::share::{MemoryShort, SameHub, Share};
pub use super::streams::{BrokenOff, Piece, PieceStream, StreamedCall, StreamedResponse};
use crate::store::{AppVersion, BoxFuture, Digest, HubName, InstanceNumber};

/// Runs guests, and reaches the outside on their behalf. Knows components; knows no store and no mailbox.
pub trait Executor: Send + Sync + 'static {
    /// A run of an orchestrator from its beginning. Nothing happens until the future is polled. While the session
    /// says that the guest is blocked, the future returns `Pending` without arranging to be woken: whoever unblocks the
    /// session polls again. Dropping the future drops the guest.
    fn orchestrate(&self, run: OrchestratorRun) -> BoxFuture<'static, RunEnd>;

    /// Runs one attempt of an activity in a fresh instance. Dropping the future stops it. Whatever others can see of it
    /// waits for [`Pulse::scheduled`]: it may run ahead of the commit that schedules it.
    fn run_activity(&self, run: ActivityRun) -> BoxFuture<'static, Result<Outcome, HostFault>>;

    /// Runs a call of an HTTP, manual or timer function in an instance of its own for that time: a fresh one, or for an HTTP call one that
    /// has answered before for the same code of the same hub and kept nothing but its memory. Dropping the future stops it.
    fn run_function(&self, run: FunctionRun, call: FunctionCall) -> BoxFuture<'static, FunctionEnd>;

    /// Removes a component that no app has any more, with its compiled form. What runs of it goes on. Who keeps no
    /// components has nothing to remove.
    fn forget(&self, _digest: Digest) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// The components that it keeps.
    fn kept(&self) -> BoxFuture<'_, Vec<Digest>> {
        Box::pin(async { Vec::new() })
    }

    /// From now on guests of this hub may reach what these rules allow, beside what those of every hub may; in the form
    /// of the server's `--egress`. Who reaches nothing for them has nothing to allow.
    fn allow(&self, _hub: &HubName, _rules: &[String]) {}

    /// Makes an attempt of an orchestrator's HTTP call. Dropping the future stops it.
    fn call_http(&self, run: HttpRun) -> BoxFuture<'static, HttpEnd>;

    /// Checks, compiles and keeps a component durably, and asks it what it holds. Refused components leave nothing
    /// behind. Deploying the same bytes again is cheap.
    fn admit(&self, component: Bytes) -> BoxFuture<'_, Result<AppVersion, AdmitError>>;

    /// The files of all components that were admitted, for a backup. They never change. By default there are none.
    fn components(&self) -> BoxFuture<'_, Result<Vec<(Digest, PathBuf)>, HostFault>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// An orchestrator to run.
pub struct OrchestratorRun {
    /// The code.
    pub digest: Digest,
    /// The function.
    pub name: String,
    /// Its input.
    pub input: Option<Payload>,
    /// The instance's side of the conversation.
    pub session: Arc<Session>,
    /// Counts what it is stopped for.
    pub stops: Arc<Stops>,
    /// Asked for memory.
    pub share: Arc<Share>,
}

/// Where an attempt of an activity and its caller meet while it runs.
#[derive(Debug, Default)]
pub struct Pulse {
    canceled: AtomicBool,
    last: Mutex<Option<Payload>>,
    scheduled: SetOnce<InstanceNumber>,
}

impl Pulse {
    /// The activity says that it is alive, with what it wants its next attempt to know. True: nobody waits for it any
    /// more and it should end.
    pub fn beat(&self, details: Option<Payload>) -> bool {
        if details.is_some() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = details;
        }
        self.canceled.load(Ordering::Acquire)
    }

    /// Waits until it is durable that the attempt is to be made. Before that it may run ahead, but nobody must see anything
    /// of it: whatever goes out of the guest, or comes in from what others change, waits for this.
    pub async fn scheduled(&self) {
        self.scheduled.wait().await;
    }

    /// The attempt is to be made, for this instance; says so once.
    pub(crate) fn schedule(&self, number: InstanceNumber) {
        // It is the same each time.
        drop(self.scheduled.set(number));
    }

    /// Whose it is, as soon as that is durable.
    pub(crate) async fn caller(&self) -> InstanceNumber {
        *self.scheduled.wait().await
    }

    pub(crate) fn cancel(&self) {
        self.canceled.store(true, Ordering::Release);
    }

    pub(crate) fn last(&self) -> Option<Payload> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How much fuel a run has used so far. It is told now and then, and at the end, however the run ends.
#[derive(Debug, Default)]
pub struct FuelGauge(AtomicU64);

impl FuelGauge {
    /// All that was used since the start.
    pub fn tell(&self, total: u64) {
        self.0.store(total, Ordering::Relaxed);
    }

    /// What was told last.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Names and values of environment variables.
pub type Environment = Arc<[(String, String)]>;

/// An attempt of an activity to run.
pub struct ActivityRun {
    /// The code.
    pub digest: Digest,
    /// The hub, for its limits and configuration.
    pub hub: HubName,
    /// The function.
    pub name: String,
    /// Its input.
    pub input: Option<Payload>,
    /// The caller.
    pub instance_id: Arc<str>,
    /// The call in the caller's execution.
    pub task: u32,
    /// From 1.
    pub attempt: u32,
    /// `{execution id}:{task}:{attempt}`: the same for every delivery of this attempt.
    pub idempotency_key: String,
    /// What the attempt before said with its last heartbeat.
    pub last_heartbeat: Option<Payload>,
    /// Its environment: variables and secrets of the hub. Not to be logged.
    pub env: Environment,
    /// Its heartbeats, and when it may be seen.
    pub pulse: Arc<Pulse>,
    /// Keeps what it logs.
    pub log: Arc<ActivityLog>,
    /// What it manages orchestrations with.
    pub client: GuestClient,
    /// Counts what it is stopped for.
    pub stops: Arc<Stops>,
    /// Told what it uses.
    pub fuel: Arc<FuelGauge>,
    /// Asked for memory and connections.
    pub share: Arc<Share>,
    /// After this the attempt is stopped and fails.
    pub timeout: Duration,
}

/// A call of an HTTP, manual or timer function to run.
pub struct FunctionRun {
    /// The code.
    pub digest: Digest,
    /// The function.
    pub name: String,
    /// A new one for every call.
    pub invocation_id: String,
    /// Its environment: variables and secrets of the hub. Not to be logged.
    pub env: Environment,
    /// What it manages orchestrations with; knows the hub.
    pub client: GuestClient,
    /// Counts what it is stopped for.
    pub stops: Arc<Stops>,
    /// Told what it uses.
    pub fuel: Arc<FuelGauge>,
    /// Asked for memory and connections.
    pub share: Arc<Share>,
    /// After this it is stopped and fails.
    pub timeout: Duration,
}

/// What a function came to, or what the host lacked to run it.
pub type FunctionEnd = Result<Result<FunctionAnswer, Failure>, HostFault>;

/// What set a function off.
#[derive(Debug)]
pub enum FunctionCall {
    /// A request.
    Http(HttpRequest),
    /// A request that is answered while it arrives.
    Streamed(StreamedCall),
    /// Somebody, or its schedule.
    Trigger(Option<Payload>),
}

/// A request that matched a function's route.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// In capitals.
    pub method: String,
    /// With scheme and host.
    pub url: String,
    /// `scheme://host` as the client sees this server: of the links that the function makes.
    pub origin: String,
    /// Names in lowercase.
    pub headers: Vec<(String, String)>,
    /// Decoded.
    pub query: Vec<(String, String)>,
    /// The route's parameters.
    pub params: Vec<(String, String)>,
    /// All of it.
    pub body: Bytes,
}

/// What a function came to.
#[derive(Clone, Debug)]
pub enum FunctionAnswer {
    /// The response to a request.
    Http(HttpResponse),
    /// It has streamed its response.
    Streamed,
    /// Of a manual or timer function.
    Trigger(Option<Payload>),
}

/// What an HTTP function answers; checked by whoever sends it.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, Bytes)>,
    /// All of it.
    pub body: Bytes,
}

/// How a guest's run ended.
#[derive(Debug)]
pub enum RunEnd {
    /// The function returned a result or a failure, or was stopped for something it did wrong (a trap, a limit), which is a
    /// failure as well.
    Returned(Outcome),
    /// The session refused what the guest did; the session has the fault.
    Faulted,
    /// The host could not run it; try again later. Never the guest's fault.
    Host(HostFault),
}

/// Something that is wrong with the host and not with the guest: worth retrying, never a reason to fail an instance.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HostFault {
    /// All places for guests are taken. There is one again soon.
    #[error("all places for guests are taken: {0}")]
    Full(String),
    /// Something is missing or failed.
    #[error("the host cannot run guests now: {0}")]
    Broken(String),
}

/// Why a component was not admitted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdmitError {
    /// Something is wrong with it; the text says what and what to do.
    #[error("{0}")]
    Refused(String),
    /// It is larger than the limit.
    #[error("the component has {size} bytes; the limit is {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// There was no place for a guest that says what the component holds.
    #[error("the component was not asked what it holds, because all places for guests are taken. Try again shortly")]
    Full,
    /// The host failed.
    #[error("the host could not take the component: {0}")]
    Host(String),
}

impl RunEnd {
    /// A failure that the host found in the guest.
    #[must_use]
    pub fn failed(failure: Failure) -> Self {
        Self::Returned(Err(failure))
    }
}
