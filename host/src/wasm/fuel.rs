//! Fuel: what a guest's instructions cost, counted exactly. An orchestrator's counts the same in every replay, so the
//! host calls that wait tell it to the session, and the session compares it with what is recorded.
//!
//! These calls are defined here, because they need the store and not only the guest's data.

use durawasm_core::Fuel;
use sha2::{Digest as _, Sha256};
use wasmtime::component::{Linker, Resource};
use wasmtime::{AsContext as _, StoreContextMut};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi_io::bindings::wasi::io::poll::{Host as _, HostPollable as _};

use super::bindings::durable::functions::orchestration::Host as _;
use super::guest::{Guest, Role};
use super::linker::CONTRACT;
use super::orchestration::DurableView;
use super::virtual_wasi::VirtualView;
use crate::store::Digest;

/// The version of wasmtime, which decides what an instruction costs. A test compares it with what is built.
const WASMTIME: &str = "48.0.8";
/// Raised with every change of what guests see or how they are compiled that changes what they cost: a text that the host
/// hands them, the engine's settings, the table of costs. What was recorded before is then not compared any more.
const REVISION: u32 = 1;
/// The version of `wasi:io` as wasmtime's linker names it.
const WASI_IO: &str = "wasi:io/poll@0.2.12";

/// Names what fuel depends on besides the history: two counts are compared only if they have the same name.
pub(super) fn code_of(digest: &Digest) -> u64 {
    let hash = Sha256::new()
        .chain_update(WASMTIME)
        .chain_update([0])
        .chain_update(CONTRACT)
        .chain_update([0])
        .chain_update(REVISION.to_be_bytes())
        .chain_update(digest.0)
        .finalize();
    let mut code = [0; 8];
    code.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(code)
}

/// The account of a guest's fuel.
pub(super) struct Tank {
    /// Names the code and the engine.
    code: u64,
    /// Fuel of an episode; none: as much as it likes.
    limit: Option<u64>,
    /// What the store was given last, and what had been used by then.
    granted: u64,
    used_before: u64,
    /// The guest repeats episodes that are recorded, which are not charged.
    repeating: bool,
    /// It waited since the store was given fuel last.
    pub(super) parked: bool,
}

impl Tank {
    /// For a guest before its first instruction, and the fuel that its store is to have.
    pub(super) fn new(role: &Role, code: u64, limit: u64) -> (Self, u64) {
        let (limit, repeating, granted) = match role {
            Role::Orchestrator(session, _) => match session.is_replaying() {
                // What is recorded has been paid for, however much it is. What other code takes for it nobody knows.
                true => {
                    let recorded = session.recorded_fuel(code);
                    (Some(limit), true, recorded.map_or(u64::MAX, |fuel| fuel.saturating_add(limit)))
                }
                false => (Some(limit), false, limit),
            },
            Role::Describe | Role::Activity(_) | Role::Function(_) => (None, false, u64::MAX),
        };
        (Self { code, limit, granted, used_before: 0, repeating, parked: false }, granted)
    }

    /// All that was used, given what the store has left.
    fn used(&self, left: u64) -> u64 {
        self.used_before.saturating_add(self.granted.saturating_sub(left))
    }
}

/// All the fuel that the guest has used since its start.
pub(super) fn used(store: impl wasmtime::AsContext<Data = Guest>) -> u64 {
    let store = store.as_context();
    // Fails only where fuel is not counted, and it is.
    store.data().tank.used(store.get_fuel().unwrap_or(u64::MAX))
}

/// The guest is at a wait: says what it has used so far, and ends the time in which nothing is charged where the record
/// ends.
fn arrive(store: &mut StoreContextMut<'_, Guest>) -> wasmtime::Result<()> {
    let total = used(store.as_context());
    let Guest { role: Role::Orchestrator(session, _), tank, .. } = store.data_mut() else { return Ok(()) };
    session.spent(Fuel { total, code: tank.code });
    tank.parked = false;
    if tank.repeating && !session.is_within_record() {
        tank.repeating = false;
        refill(store, total)?;
    }
    Ok(())
}

/// The guest goes on: with new fuel if it had to wait.
fn leave(store: &mut StoreContextMut<'_, Guest>) -> wasmtime::Result<()> {
    if std::mem::take(&mut store.data_mut().tank.parked) {
        let total = used(store.as_context());
        refill(store, total)?;
    }
    Ok(())
}

fn refill(store: &mut StoreContextMut<'_, Guest>, total: u64) -> wasmtime::Result<()> {
    let tank = &mut store.data_mut().tank;
    let granted = tank.limit.unwrap_or(u64::MAX);
    (tank.used_before, tank.granted) = (total, granted);
    store.set_fuel(granted)
}

/// Defines the waits of the contract in place of those that the bindings define.
pub(super) fn define_durable_waits(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut orchestration = linker.instance(&format!("durable:functions/orchestration@{CONTRACT}"))?;
    orchestration.func_wrap_async("when-any", |mut store: StoreContextMut<'_, Guest>, (tasks,): (Vec<u32>,)| {
        Box::new(async move {
            arrive(&mut store)?;
            let task = DurableView(store.data_mut()).when_any(tasks).await?;
            leave(&mut store)?;
            Ok((task,))
        })
    })?;
    orchestration.func_wrap_async("when-all", |mut store: StoreContextMut<'_, Guest>, (tasks,): (Vec<u32>,)| {
        Box::new(async move {
            arrive(&mut store)?;
            DurableView(store.data_mut()).when_all(tasks).await?;
            leave(&mut store)
        })
    })
}

type Pollable = Resource<DynPollable>;

/// The same for those of virtual WASI.
pub(super) fn define_virtual_waits(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut io = linker.instance(WASI_IO)?;
    io.func_wrap_async("poll", |mut store: StoreContextMut<'_, Guest>, (pollables,): (Vec<Pollable>,)| {
        Box::new(async move {
            if !pollables.is_empty() && VirtualView(store.data_mut()).must_wait(&pollables) {
                arrive(&mut store)?;
            }
            let ready = VirtualView(store.data_mut()).poll(pollables).await?;
            leave(&mut store)?;
            Ok((ready,))
        })
    })?;
    io.func_wrap_async("[method]pollable.block", |mut store: StoreContextMut<'_, Guest>, (pollable,): (Pollable,)| {
        Box::new(async move {
            if VirtualView(store.data_mut()).must_wait(std::slice::from_ref(&pollable)) {
                arrive(&mut store)?;
            }
            VirtualView(store.data_mut()).block(pollable).await?;
            leave(&mut store)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_version_of_wasmtime_is_the_one_that_is_built() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
        let package = format!("name = \"wasmtime\"\nversion = \"{WASMTIME}\"\n");
        assert!(lock.contains(&package), "WASMTIME must be the version in Cargo.lock");
    }

    #[test]
    fn each_component_has_a_name_of_its_own() {
        assert_ne!(code_of(&Digest([1; 32])), code_of(&Digest([2; 32])));
    }
}
