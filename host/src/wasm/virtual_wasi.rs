//! The parts of WASI that orchestrators get in a form of their own, so that unmodified standard libraries repeat in
//! every replay: clocks that show the orchestrator's time, random numbers from a seed, sleeping as a durable timer.
//!
//! Everything else of WASI is the real thing without anything in it: no files, no arguments, no network.

use std::collections::HashMap;
use std::sync::Arc;

use durawasm_core::{Command, TaskId, Timestamp};
use sha2::{Digest as _, Sha256};
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::bindings::wasi::io::poll;

use super::guest::{Guest, Role, Stop, fail};
use super::limits::RANDOM_BYTES;
use crate::engine::session::Session;

/// The virtual part of a guest's WASI.
#[derive(Default)]
pub(super) struct Virtual {
    /// Hashed when the first number is drawn: most runs draw none.
    seed: Option<[u8; 32]>,
    drawn: u64,
    /// The pollables that stand for a time.
    sleeps: HashMap<u32, Sleep>,
}

/// A pollable that becomes ready at a time.
#[derive(Clone, Copy)]
struct Sleep {
    /// Nanoseconds of the monotonic clock.
    due: u64,
    /// Its durable timer, made when something waits for it.
    timer: Option<TaskId>,
    fired: bool,
}

/// Selects a guest's virtual side in a linker.
pub(super) struct VirtualWasi;

impl HasData for VirtualWasi {
    type Data<'a> = VirtualView<'a>;
}

/// A guest seen by its virtual WASI.
pub(super) struct VirtualView<'a>(pub(super) &'a mut Guest);

impl VirtualView<'_> {
    fn session(&self) -> Option<&Arc<Session>> {
        match &self.0.role {
            Role::Orchestrator(session, _) => Some(session),
            Role::Describe | Role::Activity(_) | Role::Function(_) => None,
        }
    }

    fn now(&self) -> Timestamp {
        self.session().map_or(Timestamp::UNIX_EPOCH, |session| session.now())
    }

    /// The monotonic clock: nanoseconds since 1970, so that it follows from the orchestrator's time alone.
    fn now_ns(&self) -> u64 {
        u64::try_from(self.now().as_nanosecond()).unwrap_or(0)
    }

    fn draw(&mut self, mut len: usize) -> Vec<u8> {
        let seed = match self.0.virtual_wasi.seed {
            Some(seed) => seed,
            None => self.session().map_or([0; 32], |session| {
                let started = session.started();
                let mut hash = Sha256::new();
                for part in [&*started.instance_id, &*started.execution_id] {
                    // Lengths keep two different pairs from looking the same.
                    hash.update((part.len() as u64).to_le_bytes());
                    hash.update(part);
                }
                hash.finalize().into()
            }),
        };
        let own = &mut self.0.virtual_wasi;
        own.seed = Some(seed);
        let mut bytes = Vec::with_capacity(len);
        while len > 0 {
            let block = Sha256::new().chain_update(seed).chain_update(own.drawn.to_le_bytes()).finalize();
            own.drawn += 1;
            let taken = len.min(block.len());
            bytes.extend_from_slice(&block[..taken]);
            len -= taken;
        }
        bytes
    }

    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.0.count_call()?;
        if len > RANDOM_BYTES {
            return Err(fail("LimitExceeded", format!("{len} random bytes at once; the limit is {RANDOM_BYTES}")));
        }
        Ok(self.draw(usize::try_from(len)?))
    }

    fn number(&mut self) -> wasmtime::Result<u64> {
        self.0.count_call()?;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.draw(8));
        Ok(u64::from_le_bytes(bytes))
    }

    fn sleep(&mut self, due: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.0.count_call()?;
        let resource = self.0.table.push(Placeholder)?;
        let pollable = subscribe(&mut self.0.table, resource)?;
        self.0.virtual_wasi.sleeps.insert(pollable.rep(), Sleep { due, timer: None, fired: false });
        Ok(pollable)
    }

    /// Streams of a virtual guest never block: whatever is not a sleep is ready.
    fn is_ready(&self, pollable: u32) -> bool {
        self.0.virtual_wasi.sleeps.get(&pollable).is_none_or(|sleep| sleep.fired || sleep.due <= self.now_ns())
    }

    /// True: none of them is ready, so waiting for them is a wait for a durable timer.
    pub(super) fn must_wait(&self, pollables: &[Resource<DynPollable>]) -> bool {
        !pollables.iter().any(|pollable| self.is_ready(pollable.rep()))
    }

    /// Waits until one of the pollables, all of them sleeps, is due: on a durable timer for the earliest.
    async fn wait(&mut self, pollables: &[u32]) -> wasmtime::Result<()> {
        let earliest =
            pollables.iter().filter_map(|rep| self.0.virtual_wasi.sleeps.get(rep).map(|sleep| (sleep.due, *rep))).min();
        let Some((due, rep)) = earliest else { return Ok(()) };
        let Some(session) = self.session().cloned() else {
            return Err(fail("NotAllowed", "describe must not sleep: it only says what the app holds"));
        };
        let known = self.0.virtual_wasi.sleeps.get(&rep).and_then(|sleep| sleep.timer);
        let timer = match known {
            Some(timer) => timer,
            None => session.call(Command::CreateTimer { fire_at: moment(due) }).map_err(|_| Stop::Faulted)?,
        };
        self.0.wait(|| session.when_any(&[timer])).await?;
        self.0.virtual_wasi.sleeps.insert(rep, Sleep { due, timer: Some(timer), fired: true });
        Ok(())
    }
}

/// The time that a reading of the monotonic clock stands for, rounded up to the microseconds that a history keeps.
fn moment(ns: u64) -> Timestamp {
    Timestamp::from_microsecond(i64::try_from(ns.div_ceil(1_000)).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX)
}

/// What a sleep's pollable hangs on; its readiness is decided above and not by waiting for it.
struct Placeholder;

#[wasmtime_wasi_io::async_trait]
impl Pollable for Placeholder {
    async fn ready(&mut self) {}
}

impl wall_clock::Host for VirtualView<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        self.0.count_call()?;
        let now = Self::now(self);
        Ok(wall_clock::Datetime {
            seconds: u64::try_from(now.as_second()).unwrap_or(0),
            nanoseconds: u32::try_from(now.subsec_nanosecond()).unwrap_or(0),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000 })
    }
}

impl monotonic_clock::Host for VirtualView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.0.count_call()?;
        Ok(self.now_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1_000)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.sleep(when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.sleep(self.now_ns().saturating_add(duration))
    }
}

impl random::Host for VirtualView<'_> {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure::Host for VirtualView<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure_seed::Host for VirtualView<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.number()?, self.number()?))
    }
}

impl poll::Host for VirtualView<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.0.count_call()?;
        if pollables.is_empty() {
            return Err(fail("InvalidArgument", "poll was called with an empty list, which would wait for ever"));
        }
        let pollables: Vec<u32> = pollables.iter().map(Resource::rep).collect();
        if !pollables.iter().any(|rep| self.is_ready(*rep)) {
            self.wait(&pollables).await?;
        }
        let ready = pollables.iter().enumerate().filter(|(_, rep)| self.is_ready(**rep));
        ready.map(|(index, _)| Ok(u32::try_from(index)?)).collect()
    }
}

impl poll::HostPollable for VirtualView<'_> {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.0.count_call()?;
        if !self.is_ready(pollable.rep()) {
            self.wait(&[pollable.rep()]).await?;
        }
        Ok(())
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.0.count_call()?;
        Ok(self.is_ready(pollable.rep()))
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.0.virtual_wasi.sleeps.remove(&pollable.rep());
        poll::HostPollable::drop(&mut self.0.table, pollable)
    }
}
