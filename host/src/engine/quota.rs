//! What a hub may use: rates, open instances, memory, activities at once. What is over is refused by name; activities wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use durawasm_core::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::hubs::Hub;
use super::{Engine, Inner};
use crate::store::{AppRecord, AppVersion, HubName, StoreError};

/// How soon to ask again for a place that frees when an instance ends.
const SOON: Duration = Duration::from_secs(5);
/// A start at the limit looks again at least this often.
const LOOK: Duration = Duration::from_millis(50);

/// A hub is at one of its limits. Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The task hub '{hub}' is at its limit '{quota}' of {limit}.")]
pub struct QuotaExceeded {
    /// The hub.
    pub hub: HubName,
    /// The limit, as the configuration calls it.
    pub quota: &'static str,
    /// How much it is.
    pub limit: u64,
    /// When it is worth trying again; none: not before the hub has less.
    pub wait: Option<Duration>,
}

/// Why something that counts was not begun.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum QuotaError {
    #[error(transparent)]
    Exceeded(#[from] QuotaExceeded),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// So many in a second, all of them at once if nobody came for a second.
#[derive(Debug, Default)]
struct Bucket {
    /// What is taken and has not flowed back.
    taken: f64,
    at: Option<Timestamp>,
}

impl Bucket {
    /// Lets flow back what has until now; the rate.
    #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact beyond 2^52")]
    fn flow(&mut self, limit: u64, now: Timestamp) -> f64 {
        let rate = limit as f64;
        let passed = self.at.map_or(0.0, |at| now.duration_since(at).as_secs_f64()).max(0.0);
        self.at = Some(now);
        self.taken = (self.taken - passed * rate).max(0.0);
        rate
    }

    /// Takes what was used already, however much it is.
    #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact beyond 2^52")]
    fn used(&mut self, count: u64, limit: u64, now: Timestamp) {
        self.flow(limit, now);
        self.taken += count as f64;
    }

    /// What is taken now, rounded up.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; beyond the range it ends there"
    )]
    fn taken(&mut self, limit: u64, now: Timestamp) -> u64 {
        self.flow(limit, now);
        self.taken.ceil() as u64
    }

    /// Whether less than a second's worth is taken, or when it will be.
    fn has_room(&mut self, limit: u64, now: Timestamp) -> Result<(), Duration> {
        let rate = self.flow(limit, now);
        if self.taken < rate {
            return Ok(());
        }
        Err(Duration::try_from_secs_f64((self.taken - rate) / rate).unwrap_or(Duration::from_secs(1)))
    }

    /// Takes some, or says when there will be room for them.
    #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact beyond 2^52")]
    fn take(&mut self, count: u64, limit: u64, now: Timestamp) -> Result<(), Duration> {
        let rate = self.flow(limit, now);
        // More than a second's worth at once would never fit: it may go first, and those behind it wait for it.
        if self.taken > 0.0 && self.taken + count as f64 > rate || limit == 0 {
            let over = (self.taken + (count as f64).min(rate) - rate).max(0.0);
            return Err(Duration::try_from_secs_f64(over / rate).unwrap_or(Duration::from_secs(1)));
        }
        self.taken += count as f64;
        Ok(())
    }
}

/// How near a hub is to its limits per second: what it has taken that has not flowed back yet; none: not limited, and not
/// counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Starts.
    pub starts: Option<u64>,
    /// Requests.
    pub requests: Option<u64>,
    /// Fuel.
    pub fuel: Option<u64>,
    /// Connections to the outside.
    pub connections: Option<u64>,
    /// Bytes sent to the outside and received from it.
    pub egress_bytes: Option<u64>,
    /// Bytes of memory that its guests have: no rate, and always counted.
    pub memory: u64,
}

impl Engine {
    /// What a hub takes of its limits per second, and the memory of its guests.
    #[must_use]
    pub fn rates(&self, hub: &HubName) -> Rates {
        self.inner.hubs.get(hub).map(|hub| hub.rates(self.inner.now())).unwrap_or_default()
    }
}

/// What a hub uses now.
#[derive(Default)]
pub(super) struct Quota {
    starts: Mutex<Bucket>,
    requests: Mutex<Bucket>,
    fuel: Mutex<Bucket>,
    connections: Mutex<Bucket>,
    egress_bytes: Mutex<Bucket>,
    /// Bytes that its guests have.
    memory: AtomicU64,
    /// Starts that were let in and are not counted in the store yet.
    reserved: AtomicU64,
    deciding: tokio::sync::Mutex<()>,
    one_started: Notify,
    activities: Mutex<Option<(u64, Arc<Semaphore>)>>,
}

/// Places among the open instances of a hub, held until those that take them are durable.
pub(super) struct Reservation {
    hub: Arc<Hub>,
    count: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.hub.quota().reserved.fetch_sub(self.count, Ordering::SeqCst);
        self.hub.quota().one_started.notify_waiters();
    }
}

impl Hub {
    pub(super) fn exceeded(&self, quota: &'static str, limit: u64, wait: Option<Duration>) -> QuotaExceeded {
        self.refusals().count(quota);
        QuotaExceeded { hub: self.record().name.clone(), quota, limit, wait }
    }

    /// A request comes.
    pub(super) fn take_request(&self, now: Timestamp) -> Result<(), QuotaExceeded> {
        let Some(limit) = self.record().config.limits.requests_per_second else { return Ok(()) };
        let mut bucket = self.quota().requests.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(1, limit, now).map_err(|wait| self.exceeded("requestsPerSecond", limit, Some(wait)))
    }

    /// So many starts come.
    pub(super) fn take_starts(&self, count: u64, now: Timestamp) -> Result<(), QuotaExceeded> {
        let Some(limit) = self.record().config.limits.starts_per_second else { return Ok(()) };
        let mut bucket = self.quota().starts.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(count, limit, now).map_err(|wait| self.exceeded("startsPerSecond", limit, Some(wait)))
    }

    /// Guests of the hub have run for so much fuel.
    pub(super) fn burn(&self, fuel: u64, now: Timestamp) {
        if fuel > 0
            && let Some(limit) = self.record().config.limits.fuel_per_second
        {
            self.quota().fuel.lock().unwrap_or_else(PoisonError::into_inner).used(fuel, limit, now);
        }
    }

    /// Whether guests may be set off from outside: not while the hub has more behind it than its share.
    pub(super) fn check_fuel(&self, now: Timestamp) -> Result<(), QuotaExceeded> {
        let Some(limit) = self.record().config.limits.fuel_per_second else { return Ok(()) };
        let mut bucket = self.quota().fuel.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.has_room(limit, now).map_err(|wait| self.exceeded("fuelPerSecond", limit, Some(wait)))
    }

    /// A connection to the outside is about to be made.
    pub(super) fn take_connection(&self, now: Timestamp) -> Result<(), QuotaExceeded> {
        let Some(limit) = self.record().config.limits.connections_per_second else { return Ok(()) };
        let mut bucket = self.quota().connections.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(1, limit, now).map_err(|wait| self.exceeded("connectionsPerSecond", limit, Some(wait)))
    }

    /// So many bytes went to the outside, or came from there.
    pub(super) fn carried(&self, bytes: u64, now: Timestamp) {
        if let Some(limit) = self.record().config.limits.egress_bytes_per_second {
            self.quota().egress_bytes.lock().unwrap_or_else(PoisonError::into_inner).used(bytes, limit, now);
        }
    }

    /// Whether more may go to the outside and come from there. Who may not waits: it is not counted as refused.
    pub(super) fn check_carried(&self, now: Timestamp) -> Result<(), QuotaExceeded> {
        let record = self.record();
        let Some(limit) = record.config.limits.egress_bytes_per_second else { return Ok(()) };
        let mut bucket = self.quota().egress_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let (hub, quota) = (record.name.clone(), "egressBytesPerSecond");
        bucket.has_room(limit, now).map_err(|wait| QuotaExceeded { hub, quota, limit, wait: Some(wait) })
    }

    /// A guest is about to have so much more memory.
    pub(super) fn take_memory(&self, bytes: u64) -> Result<(), QuotaExceeded> {
        let before = self.quota().memory.fetch_add(bytes, Ordering::SeqCst);
        let limit = self.record().config.limits.memory_bytes;
        match limit.filter(|limit| before.saturating_add(bytes) > *limit) {
            None => Ok(()),
            Some(limit) => {
                self.give_memory_back(bytes);
                Err(self.short_of_memory(limit))
            }
        }
    }

    pub(super) fn give_memory_back(&self, bytes: u64) {
        self.quota().memory.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Whether its guests have less memory than they may have; else the limit.
    pub(super) fn check_memory(&self) -> Result<(), u64> {
        let limit = self.record().config.limits.memory_bytes;
        limit.filter(|limit| self.quota().memory.load(Ordering::SeqCst) >= *limit).map_or(Ok(()), Err)
    }

    pub(super) fn short_of_memory(&self, limit: u64) -> QuotaExceeded {
        self.exceeded("memoryBytes", limit, Some(SOON))
    }

    fn rates(&self, now: Timestamp) -> Rates {
        let (record, quota) = (self.record(), self.quota());
        let limits = &record.config.limits;
        let taken = |bucket: &Mutex<Bucket>, limit: Option<u64>| {
            limit.map(|limit| bucket.lock().unwrap_or_else(PoisonError::into_inner).taken(limit, now))
        };
        Rates {
            starts: taken(&quota.starts, limits.starts_per_second),
            requests: taken(&quota.requests, limits.requests_per_second),
            fuel: taken(&quota.fuel, limits.fuel_per_second),
            connections: taken(&quota.connections, limits.connections_per_second),
            egress_bytes: taken(&quota.egress_bytes, limits.egress_bytes_per_second),
            memory: quota.memory.load(Ordering::SeqCst),
        }
    }

    /// Waits for a place among the activities that run; none: they are not limited.
    pub(super) async fn activity_place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let limit = self.record().config.limits.concurrent_activities;
            let places = self.quota().activity_places(limit)?;
            // Closed when the limit was changed meanwhile: then another one holds.
            if let Ok(place) = places.acquire_owned().await {
                return Some(place);
            }
        }
    }
}

impl Quota {
    fn activity_places(&self, limit: Option<u64>) -> Option<Arc<Semaphore>> {
        let mut known = self.activities.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().map(|(known, _)| *known) != limit
            && let Some((_, outdated)) = known.take()
        {
            outdated.close();
        }
        let limit = limit?;
        let places = || Semaphore::new(usize::try_from(limit).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS));
        Some(Arc::clone(&known.get_or_insert_with(|| (limit, Arc::new(places()))).1))
    }

    /// The limit was changed: who waits for a place looks anew.
    pub(super) fn limits_changed(&self, concurrent_activities: Option<u64>) {
        drop(self.activity_places(concurrent_activities));
    }
}

impl Inner {
    /// Lets so many instances begin in a hub, or says that it has too many; none: they are not limited. Counts are exact,
    /// however many starts come at once: one that is neither surely within the limit nor surely over it waits until the
    /// starts before it are durable.
    pub(super) async fn reserve(&self, hub: &Arc<Hub>, count: u64) -> Result<Option<Reservation>, QuotaError> {
        loop {
            let record = hub.record();
            let Some(limit) = record.config.limits.open_instances else { return Ok(None) };
            let changed = hub.quota().one_started.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                // One at a time decides: several that took places to see whether these fit would be in each other's way.
                let _deciding = hub.quota().deciding.lock().await;
                // Read before the counts: what becomes durable in between is counted twice, and nothing is missed.
                let reserved = hub.quota().reserved.load(Ordering::SeqCst);
                let open = self.store.counts(&record.name).await?.all().open();
                if open + reserved + count <= limit {
                    hub.quota().reserved.fetch_add(count, Ordering::SeqCst);
                    return Ok(Some(Reservation { hub: Arc::clone(hub), count }));
                }
                if open + count > limit {
                    return Err(hub.exceeded("openInstances", limit, Some(SOON)).into());
                }
            }
            let _looked = tokio::time::timeout(LOOK, changed).await;
        }
    }

    /// Whether a hub may have this version of an app.
    pub(super) fn check_deployment(
        &self,
        hub: &HubName,
        before: Option<&AppRecord>,
        version: &AppVersion,
    ) -> Result<(), QuotaExceeded> {
        let Some(hub) = self.hubs.get(hub) else { return Ok(()) };
        let record = hub.record();
        let apps = self.apps.of_hub(&record.name);
        if let Some(limit) = record.config.limits.apps
            && before.is_none()
            && apps.len() as u64 >= limit
        {
            return Err(hub.exceeded("apps", limit, None));
        }
        if let Some(limit) = record.config.limits.component_bytes
            && component_bytes(&apps, Some(version)) > limit
            && component_bytes(&apps, Some(version)) > component_bytes(&apps, None)
        {
            return Err(hub.exceeded("componentBytes", limit, None));
        }
        Ok(())
    }
}

/// Bytes of all components of a hub, each counted once, with those of one more.
pub(super) fn component_bytes(apps: &[AppRecord], more: Option<&AppVersion>) -> u64 {
    let versions = apps.iter().flat_map(|app| &app.versions).chain(more);
    let sizes: std::collections::BTreeMap<_, _> = versions.map(|version| (version.digest, version.size)).collect();
    sizes.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn a_second_has_its_share() {
        let mut bucket = Bucket::default();
        for _ in 0..10 {
            assert_eq!(bucket.take(1, 10, at(0)), Ok(()));
        }
        assert_eq!(bucket.take(1, 10, at(0)), Err(Duration::from_millis(100)));
        assert!(bucket.take(1, 10, at(99)).is_err());
        assert_eq!(bucket.take(1, 10, at(200)), Ok(()));
        assert_eq!(bucket.take(1, 10, at(200)), Ok(()));
        assert!(bucket.take(1, 10, at(200)).is_err());
        assert!(bucket.take(1, 10, at(100)).is_err(), "a clock that goes back gives nothing");
    }

    #[test]
    fn many_at_once_are_let_in_and_paid_for() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(30, 10, at(0)), Ok(()));
        assert!(bucket.take(1, 10, at(2_000)).is_err());
        assert_eq!(bucket.take(1, 10, at(2_200)), Ok(()));
        assert!(bucket.take(1, 0, at(9_000)).is_err(), "none at all");
    }
}
