//! What all guests of a hub share: memory, and connections to the outside. Each run has one of these, asks it before it takes
//! either, and is metered by it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use durawasm_core::Timestamp;

use super::http::Traffic;
use super::hubs::Hub;
use super::quota::QuotaExceeded;
use super::{Clock, Inner};
use crate::store::Usage;

/// Who waits for memory of its hub looks this often whether there is some.
const LOOK: Duration = Duration::from_millis(50);
/// An instance that waits for memory looks into its mailbox this often: it may have been terminated.
const PATIENCE: Duration = Duration::from_secs(5);

/// A run's part of what its hub has. By default it belongs to no hub, and may have as much as it likes.
#[derive(Default)]
pub struct Share {
    hub: Option<(Arc<Hub>, Clock)>,
    held: Mutex<Held>,
    refused: AtomicBool,
}

/// The memory of a run, and for how long it has had it.
#[derive(Default)]
struct Held {
    bytes: u64,
    since: Option<Instant>,
    /// Bytes times microseconds, as far as nobody has charged them.
    spent: u128,
}

impl Held {
    fn changes_to(&mut self, bytes: u64, now: Instant) {
        let passed = self.since.replace(now).map_or(0, |since| now.duration_since(since).as_micros());
        self.spent = self.spent.saturating_add(u128::from(self.bytes).saturating_mul(passed));
        self.bytes = bytes;
    }

    /// Takes what was spent until now, in MiB-milliseconds; what is less than one stays.
    fn take_spent(&mut self, now: Instant) -> u64 {
        const UNIT: u128 = 1_000 << 20;
        self.changes_to(self.bytes, now);
        let whole = self.spent / UNIT;
        self.spent %= UNIT;
        u64::try_from(whole).unwrap_or(u64::MAX)
    }
}

/// The guests of a hub have all the memory that they may have together.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the guest wanted {wanted} bytes of memory. {exceeded}")]
pub struct MemoryShort {
    /// Bytes that the guest would have had.
    pub wanted: u64,
    /// True: it alone wants more than all may have, so there is no use in waiting.
    pub alone: bool,
    exceeded: QuotaExceeded,
}

/// A hub from its creation to its deletion: another one that gets its name is not the same.
#[derive(Clone)]
pub struct SameHub(Weak<Hub>);

impl PartialEq for SameHub {
    fn eq(&self, other: &Self) -> bool {
        // What is held weakly keeps its address.
        self.0.ptr_eq(&other.0)
    }
}

impl Share {
    /// Whose it is; none: nobody's.
    #[must_use]
    pub fn hub(&self) -> Option<SameHub> {
        self.hub.as_ref().map(|(hub, _)| SameHub(Arc::downgrade(hub)))
    }

    pub(super) fn of(hub: &Arc<Hub>, clock: &Clock) -> Arc<Self> {
        let hub = Some((Arc::clone(hub), Arc::clone(clock)));
        Arc::new(Self { hub, held: Mutex::default(), refused: AtomicBool::default() })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Numbers only: each change is whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest is about to have so many bytes of memory more.
    ///
    /// # Errors
    /// The hub has none left; nothing was taken.
    pub fn grow(&self, bytes: u64) -> Result<(), MemoryShort> {
        let mut held = self.held();
        let wanted = held.bytes.saturating_add(bytes);
        if let Some((hub, _)) = &self.hub
            && let Err(exceeded) = hub.take_memory(bytes)
        {
            self.refused.store(true, Ordering::Relaxed);
            return Err(MemoryShort { wanted, alone: wanted > exceeded.limit, exceeded });
        }
        held.changes_to(wanted, Instant::now());
        Ok(())
    }

    /// The guest has so many bytes less: it is gone, or did not get them.
    pub fn give_back(&self, bytes: u64) {
        let mut held = self.held();
        let bytes = bytes.min(held.bytes);
        let left = held.bytes - bytes;
        held.changes_to(left, Instant::now());
        if let Some((hub, _)) = &self.hub {
            hub.give_memory_back(bytes);
        }
    }

    /// The guest is about to connect to the outside.
    ///
    /// # Errors
    /// The hub has made too many connections of late.
    pub fn connect(&self) -> Result<(), QuotaExceeded> {
        let Some((hub, clock)) = &self.hub else { return Ok(()) };
        hub.take_connection(clock())?;
        hub.uncharged().add(Usage { connections: 1, ..Usage::default() });
        Ok(())
    }

    /// The hub, and what time it is there.
    fn carrier(&self) -> Option<(&Arc<Hub>, Timestamp)> {
        self.hub.as_ref().map(|(hub, clock)| (hub, clock()))
    }

    /// Memory times how long it was had, in MiB-milliseconds: what has come since this was asked for last.
    pub(super) fn take_memory_time(&self) -> u64 {
        self.held().take_spent(Instant::now())
    }

    /// The hub, if it had no memory left for this run.
    fn refusing(&self) -> Option<&Arc<Hub>> {
        self.hub.as_ref().filter(|_| self.refused.load(Ordering::Relaxed)).map(|(hub, _)| hub)
    }
}

impl Traffic for Share {
    fn passed(&self, bytes: u64) {
        if let Some((hub, now)) = self.carrier() {
            hub.uncharged().add(Usage { egress_bytes: bytes, ..Usage::default() });
            hub.carried(bytes, now);
        }
    }

    fn room(&self) -> Result<(), QuotaExceeded> {
        self.carrier().map_or(Ok(()), |(hub, now)| hub.check_carried(now))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let memory_time = self.take_memory_time();
        if let Some((hub, _)) = &self.hub
            && memory_time > 0
        {
            hub.uncharged().add(Usage { memory_time, ..Usage::default() });
        }
    }
}

impl Inner {
    /// For a guest that is about to be made.
    pub(super) fn share(&self, hub: &Arc<Hub>) -> Arc<Share> {
        Share::of(hub, &self.clock)
    }

    /// Whether a guest of the hub may be set off from outside: not while the others have all its memory.
    pub(super) fn check_memory(&self, hub: &Arc<Hub>) -> Result<(), QuotaExceeded> {
        match hub.check_memory() {
            Ok(()) => Ok(()),
            Err(_) => {
                self.make_room(hub);
                hub.check_memory().map_err(|limit| hub.short_of_memory(limit))
            }
        }
    }

    /// Waits until the guests of a hub have less memory than they may have.
    pub(super) async fn memory_room(&self, hub: &Arc<Hub>) {
        while hub.check_memory().is_err() {
            self.make_room(hub);
            if hub.check_memory().is_err() {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// The same for an instance, which must not wait for long. False: there is none yet.
    pub(super) async fn memory_room_soon(&self, hub: &Arc<Hub>) -> bool {
        tokio::time::timeout(PATIENCE, self.memory_room(hub)).await.is_ok()
    }

    /// A run has ended by a fault of the host. If that was its hub's lack of memory, the guests that only wait make room, and
    /// the reason is told.
    pub(super) fn was_short(&self, share: &Share) -> Option<QuotaExceeded> {
        let hub = share.refusing()?;
        self.make_room(hub);
        let limit = hub.record().config.limits.memory_bytes?;
        Some(hub.short_of_memory(limit))
    }

    /// Drops the guests of a hub that wait in memory; they are replayed when they are needed.
    fn make_room(&self, hub: &Arc<Hub>) {
        for number in self.actors.drop_idle_of(&hub.record().name) {
            self.hot.taken(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_metered_by_the_time_that_it_was_had() {
        let (mut held, begun) = (Held::default(), Instant::now());
        let at = |micros| begun + Duration::from_micros(micros);
        held.changes_to(64 << 20, at(0));
        held.changes_to(128 << 20, at(10_000));
        assert_eq!(held.take_spent(at(20_000)), 64 * 10 + 128 * 10);
        assert_eq!(held.take_spent(at(20_000)), 0, "what is charged is charged once");
        held.changes_to(1 << 20, at(20_000));
        assert_eq!((held.take_spent(at(20_600)), held.take_spent(at(21_200))), (0, 1), "parts are kept");
        held.changes_to(0, at(21_200));
        assert_eq!(held.take_spent(at(90_000)), 0, "nothing is had any more");
    }

    #[test]
    fn a_run_of_no_hub_has_no_limit() {
        let share = Share::default();
        share.grow(u64::MAX).unwrap();
        share.give_back(u64::MAX);
        assert!(share.connect().is_ok() && share.refusing().is_none());
    }
}
