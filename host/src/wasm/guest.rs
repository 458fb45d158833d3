//! What the host keeps for one running guest: the data of its store.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::Poll;

use durawasm_core::{Failure, GuestFault};
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::engine::ticks;
use super::fuel::{self, Tank};
use super::http::Outgoing;
use super::limits::Limits;
use super::network::Reach;
use super::stdio::{GuestLog, Stream};
use super::virtual_wasi::Virtual;
use crate::engine::executor::{ActivityRun, FunctionRun, MemoryShort, Share};
use crate::engine::session::Session;
use crate::net::egress::Egress;

/// What a guest runs as. The role decides what its imports do.
pub(super) enum Role {
    /// Asked what it holds; may call nothing.
    Describe,
    /// Runs an orchestrator.
    Orchestrator(Arc<Session>, Arc<Share>),
    /// Runs an attempt of an activity.
    Activity(Box<ActivityRun>),
    /// Runs an HTTP, manual or timer function.
    Function(Box<FunctionRun>),
}

/// Why the host stopped a guest, carried through wasmtime as a trap.
#[derive(Debug)]
pub(super) enum Stop {
    /// The session refused a call; the session knows why.
    Faulted,
    /// The guest did something wrong that is the end of it.
    Failed(Failure),
    /// The host lacks something.
    Host(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faulted => f.write_str("the session refused the call"),
            Self::Failed(failure) => f.write_str(&failure.message),
            Self::Host(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Stop {}

/// A trap that ends the guest with a failure. What a guest does wrong it does again: no retry.
pub(super) fn fail(error_type: &str, message: impl Into<String>) -> wasmtime::Error {
    Stop::Failed(Failure::new(error_type, message).non_retriable()).into()
}

/// The data of a guest's store.
pub(super) struct Guest {
    pub(super) role: Role,
    pub(super) limits: Arc<Limits>,
    pub(super) table: ResourceTable,
    pub(super) virtual_wasi: Virtual,
    pub(super) log: Arc<GuestLog>,
    /// None: a guest without a network.
    pub(super) reach: Option<Arc<Reach>>,
    http: (WasiHttpCtx, Outgoing),
    /// Made on first use: most orchestrators never ask for files, sockets or arguments.
    wasi: Option<WasiCtx>,
    memory: Tally,
    running: Running,
    /// Calls of the host since the last wait, where they are counted.
    calls: Cell<u32>,
    pub(super) tank: Tank,
}

impl Guest {
    /// A store for a guest in this role, with all limits set.
    ///
    /// # Errors
    /// wasmtime's; the host's fault.
    pub(super) fn store(
        engine: &Engine,
        (role, code): (Role, u64),
        limits: &Arc<Limits>,
        egress: &Arc<Egress>,
    ) -> wasmtime::Result<Store<Self>> {
        let (memory, running) = match &role {
            Role::Describe => (limits.activity_memory, Some(limits.describe_time)),
            Role::Orchestrator(..) => (limits.orchestrator_memory, Some(limits.running_time)),
            // An activity's time limit is the timeout of its run.
            Role::Activity(_) | Role::Function(_) => (limits.activity_memory, None),
        };
        let memory = Tally::new(&role, memory);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let log = Arc::new(GuestLog::new(&role, limits));
        let reach = Reach::of(&role, egress, &log);
        let (tank, fuel) = Tank::new(&role, code, limits.episode_fuel);
        let guest = Self {
            log,
            http: (WasiHttpCtx::new(), Outgoing(reach.clone())),
            reach,
            virtual_wasi: Virtual::default(),
            role,
            limits: Arc::clone(limits),
            table,
            wasi: None,
            memory,
            running: Running { limit: running.map(ticks), used: 0, resumed: true },
            calls: Cell::new(0),
            tank,
        };
        let mut store = Store::new(engine, guest);
        store.set_hostcall_fuel(limits.hostcall_bytes());
        store.set_max_component_handles(limits.handles);
        store.limiter(|guest| &mut guest.memory);
        store.set_fuel(fuel)?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(on_tick);
        Ok(store)
    }

    /// Ends a run of a guest that may have another one: what it held of the hub's memory is given back, and nothing is
    /// left of the run, which leads to the engine and what that holds. The bytes of its memories and tables; none: it holds
    /// something else as well, and is to be dropped.
    pub(super) fn rest(&mut self) -> Option<usize> {
        // The context has streams that know the log of the run, and what the guest was told of its environment.
        if self.wasi.is_some() || !self.table.is_empty() {
            return None;
        }
        self.role = Role::Describe;
        self.log = Arc::new(GuestLog::new(&self.role, &self.limits));
        (self.reach, self.http) = (None, (WasiHttpCtx::new(), Outgoing(None)));
        Some(self.memory.rest())
    }

    /// Begins another run, in the same kind of role, which comes back if the hub has no memory left for it.
    pub(super) fn begin_again(store: &mut Store<Self>, role: Role, egress: &Arc<Egress>) -> Result<(), Role> {
        let (tank, fuel) = Tank::new(&role, 0, store.data().limits.episode_fuel);
        if !store.data_mut().memory.begin_again(&role) || store.set_fuel(fuel).is_err() {
            return Err(role);
        }
        store.set_epoch_deadline(1);
        let guest = store.data_mut();
        guest.log = Arc::new(GuestLog::new(&role, &guest.limits));
        guest.reach = Reach::of(&role, egress, &guest.log);
        guest.http = (WasiHttpCtx::new(), Outgoing(guest.reach.clone()));
        guest.virtual_wasi = Virtual::default();
        (guest.role, guest.tank) = (role, tank);
        guest.reset_running_time();
        Ok(())
    }

    /// Waits until `look` has an answer. Nobody is asked to wake this: whoever unblocks the session polls the guest again.
    pub(super) async fn wait<T>(
        &mut self,
        mut look: impl FnMut() -> Result<Option<T>, GuestFault>,
    ) -> wasmtime::Result<T> {
        self.reset_running_time();
        // A replay does not tell where the guest had to wait.
        if self.is_replaying() {
            self.calls.set(0);
        }
        let mut parked = false;
        let answer = poll_fn(|_| match look() {
            Ok(Some(answer)) => Poll::Ready(Ok(answer)),
            Ok(None) => {
                parked = true;
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(Stop::Faulted)),
        })
        .await?;
        self.tank.parked |= parked;
        if parked {
            self.calls.set(0);
        }
        self.reset_running_time();
        Ok(answer)
    }

    /// Counts a call of the host, by a guest that must come to a wait before it has made too many.
    pub(super) fn count_call(&self) -> wasmtime::Result<()> {
        match &self.role {
            Role::Orchestrator(..) | Role::Describe => {}
            // These have a time limit of their own, and real clocks.
            Role::Activity(_) | Role::Function(_) => return Ok(()),
        }
        let (calls, limit) = (self.calls.get() + 1, self.limits.host_calls);
        if calls > limit {
            let message = format!(
                "more than {limit} calls of the host without waiting for a task. The orchestrator's clock stands still while \
                 it runs: use a durable timer to wait, and leave long work to activities"
            );
            return Err(fail("LimitExceeded", message));
        }
        self.calls.set(calls);
        Ok(())
    }

    /// The guest enters or leaves a wait: only the time in between counts.
    fn reset_running_time(&mut self) {
        self.running.used = 0;
        self.running.resumed = true;
    }

    /// True: what this orchestrator does was done before.
    fn is_replaying(&self) -> bool {
        matches!(&self.role, Role::Orchestrator(session, _) if session.is_replaying())
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (log, reach) = (&self.log, &self.reach);
        // An orchestrator has none: what it sees must be the same in every replay, and configurations change.
        let env: &[(String, String)] = match &self.role {
            Role::Activity(run) => &run.env,
            Role::Function(run) => &run.env,
            Role::Describe | Role::Orchestrator(..) => &[],
        };
        let ctx = self.wasi.get_or_insert_with(|| {
            let mut builder = WasiCtxBuilder::new();
            builder
                .envs(env)
                .stdout(Stream::stdout(Arc::clone(log)))
                .stderr(Stream::stderr(Arc::clone(log)))
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false);
            if let Some(reach) = reach {
                reach.open(&mut builder);
            }
            builder.build()
        });
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (ctx, hooks) = &mut self.http;
        WasiHttpCtxView { ctx, hooks, table: &mut self.table }
    }
}

/// Running time in ticks of the epoch. A guest that waits is not running, however many ticks pass.
struct Running {
    limit: Option<u64>,
    used: u64,
    /// The guest has just begun to run: the deadline may have passed long ago, which says nothing.
    resumed: bool,
}

fn on_tick(mut store: StoreContextMut<'_, Guest>) -> wasmtime::Result<UpdateDeadline> {
    // A run may be given up at any time.
    let used = fuel::used(&store);
    match &store.data().role {
        Role::Activity(run) => run.fuel.tell(used),
        Role::Function(run) => run.fuel.tell(used),
        // Its session is told at each wait.
        Role::Orchestrator(..) | Role::Describe => {}
    }
    let guest = store.data_mut();
    let running = &mut guest.running;
    if mem::take(&mut running.resumed) {
        return Ok(UpdateDeadline::Continue(1));
    }
    running.used += 1;
    match running.limit {
        Some(limit) if running.used >= limit => Err(out_of_time(guest)),
        Some(_) | None => Ok(UpdateDeadline::Yield(1)),
    }
}

fn out_of_time(guest: &Guest) -> wasmtime::Error {
    match &guest.role {
        Role::Describe => fail("TimeLimit", format!("it ran for more than {:?}", guest.limits.describe_time)),
        Role::Orchestrator(..) | Role::Activity(_) | Role::Function(_) => fail(
            "TimeLimit",
            format!(
                "the orchestrator ran for {:?} without waiting for a task. Its clock stands still while it runs, so waiting \
                 in a loop for time to pass never ends: use a durable timer, and leave long work to activities",
                guest.limits.running_time
            ),
        ),
    }
}

/// Counts the bytes of all memories and tables of a guest.
struct Tally {
    limit: usize,
    used: usize,
    /// Bytes granted last, to be taken back should the growth fail.
    granted: Option<usize>,
    /// What all guests of the hub have together.
    share: Arc<Share>,
    /// Of an orchestrator.
    session: Option<Arc<Session>>,
}

impl Tally {
    fn new(role: &Role, limit: usize) -> Self {
        let (share, session) = match role {
            Role::Describe => (Arc::default(), None),
            Role::Orchestrator(session, share) => (Arc::clone(share), Some(Arc::clone(session))),
            Role::Activity(run) => (Arc::clone(&run.share), None),
            Role::Function(run) => (Arc::clone(&run.share), None),
        };
        Self { limit, used: 0, granted: None, share, session }
    }

    /// Gives back what the guest holds as long as nothing runs in it. Says how much that is.
    fn rest(&mut self) -> usize {
        self.granted = None;
        mem::take(&mut self.share).give_back(self.used as u64);
        self.used
    }

    /// Takes that again, for a run in this role. False: there is no room.
    fn begin_again(&mut self, role: &Role) -> bool {
        let mut next = Self::new(role, self.limit);
        let has_room = next.share.grow(self.used as u64).is_ok();
        if has_room {
            next.used = self.used;
            *self = next;
        }
        has_room
    }

    /// The hub has not so much left. That passes, unless this guest alone wants more than all may have; and what was run
    /// before had it once, so that nothing of what is recorded fails for a limit that was lowered since.
    fn short(&self, short: &MemoryShort) -> wasmtime::Error {
        let repeats = self.session.as_ref().is_some_and(|session| session.is_replaying());
        if short.alone && !repeats {
            fail("MemoryLimit", short.to_string())
        } else {
            Stop::Host(short.to_string()).into()
        }
    }

    fn grow(&mut self, bytes: usize) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(bytes);
        if used > self.limit {
            // A trap and not a refused growth: a refusal is something the guest could act on, and then a changed limit
            // would change a replay.
            return Err(fail(
                "MemoryLimit",
                format!("the guest wanted {used} bytes of memory; the limit is {}", self.limit),
            ));
        }
        self.share.grow(bytes as u64).map_err(|short| self.short(&short))?;
        self.used = used;
        self.granted = Some(bytes);
        Ok(true)
    }

    /// A failure may be reported without a growth before it: each grant is taken back at most once.
    fn failed(&mut self, error: &wasmtime::Error) -> wasmtime::Result<()> {
        if let Some(bytes) = self.granted.take() {
            self.used -= bytes;
            self.share.give_back(bytes as u64);
        }
        match error.downcast_ref::<std::io::Error>() {
            Some(error) => Err(Stop::Host(format!("memory could not be had: {error}")).into()),
            None => Ok(()),
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.share.give_back(self.used as u64);
    }
}

impl ResourceLimiter for Tally {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed(&error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current).saturating_mul(size_of::<usize>()))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed(&error)
    }
}
