//! What hubs use. What an episode or an activity has used is charged by the commit that saves what came of it, and so
//! exactly once. Requests and client functions have no commit: they are added up here and written every few seconds.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::executor::{FuelGauge, FunctionRun};
use super::hubs::Hub;
use super::quota::QuotaError;
use super::share::Share;
use super::{Engine, Inner};
use crate::store::{HubName, HubUsage, StoreError, Usage};

/// A crash loses what was not written by then.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// Hubs whose usage is written at once.
const WRITTEN_AT_ONCE: usize = 64;

/// What a hub has used that is in no commit.
#[derive(Default)]
pub(super) struct Uncharged(Mutex<Usage>);

impl Uncharged {
    pub(super) fn add(&self, more: Usage) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(more);
    }

    fn read(&self) -> Usage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Usage {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A run that has a place, and what it uses.
pub(super) struct Meter {
    began: Instant,
    gauge: Arc<FuelGauge>,
    share: Arc<Share>,
}

impl Meter {
    pub(super) fn new(gauge: &Arc<FuelGauge>, share: &Arc<Share>) -> Self {
        Self { began: Instant::now(), gauge: Arc::clone(gauge), share: Arc::clone(share) }
    }

    /// Fuel, microseconds, and MiB-milliseconds so far; the last once.
    fn read(&self) -> (u64, u64, u64) {
        let time = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        (self.gauge.read(), time, self.share.take_memory_time())
    }

    pub(super) fn of_activity(&self) -> Usage {
        let (activity_fuel, activity_time, memory_time) = self.read();
        Usage { activity_fuel, activities: 1, activity_time, memory_time, ..Usage::default() }
    }
}

/// A call of a client function, charged however it ends.
pub(super) struct FunctionMeter<'a> {
    meter: Meter,
    hub: &'a Arc<Hub>,
    engine: &'a Inner,
}

impl<'a> FunctionMeter<'a> {
    pub(super) fn new(engine: &'a Inner, hub: &'a Arc<Hub>, run: &FunctionRun) -> Self {
        Self { meter: Meter::new(&run.fuel, &run.share), hub, engine }
    }
}

impl Drop for FunctionMeter<'_> {
    fn drop(&mut self) {
        let (function_fuel, function_time, memory_time) = self.meter.read();
        self.hub.burn(function_fuel, self.engine.now());
        self.hub.uncharged().add(Usage { function_fuel, functions: 1, function_time, memory_time, ..Usage::default() });
    }
}

impl Inner {
    /// Writes what no commit carries. What cannot be written waits for the next time.
    async fn write_usage(&self) {
        let hubs = self.hubs.all().into_iter().filter_map(|record| self.hubs.get(&record.name));
        let written = hubs.filter(|hub| hub.is_open() && !hub.uncharged().read().is_nothing()).map(|hub| async move {
            let (name, used) = (hub.record().name.clone(), hub.uncharged().take());
            if let Err(error) = self.store.add_usage(&name, used).await {
                hub.uncharged().add(used);
                tracing::warn!(hub = %name, %error, "what a hub has used cannot be written");
            }
        });
        // Together, so that they share the syncs of the store.
        stream::iter(written).for_each_concurrent(WRITTEN_AT_ONCE, |written| written).await;
    }

    /// Whether more may be stored for a hub.
    pub(super) async fn check_stored(&self, hub: &Arc<Hub>) -> Result<(), QuotaError> {
        let record = hub.record();
        let Some(limit) = record.config.limits.stored_bytes else { return Ok(()) };
        if self.store.usage(&record.name).await?.stored_bytes >= limit {
            return Err(hub.exceeded("storedBytes", limit, None).into());
        }
        Ok(())
    }
}

/// Ends with the engine.
pub(super) async fn run(engine: Weak<Inner>) {
    loop {
        tokio::time::sleep(WRITE_EVERY).await;
        let Some(inner) = engine.upgrade() else { return };
        inner.write_usage().await;
    }
}

impl Engine {
    /// What a hub has used and what it stores.
    ///
    /// # Errors
    /// The store's.
    pub async fn usage(&self, hub: &HubName) -> Result<HubUsage, StoreError> {
        let mut usage = self.inner.store.usage(hub).await?;
        if let Some(hub) = self.inner.hubs.get(hub) {
            usage.used.add(hub.uncharged().read());
        }
        Ok(usage)
    }

    /// Activities and HTTP calls of a hub that run now, and client functions.
    #[must_use]
    pub fn running(&self, hub: &HubName) -> (usize, usize) {
        let Some(hub) = self.inner.hubs.get(hub) else { return (0, 0) };
        let lanes = hub.lanes();
        (lanes.activities.held() + lanes.http_calls.held(), lanes.functions.held())
    }

    /// Whether something that is stored may come for a hub from outside.
    ///
    /// # Errors
    /// The hub is at its limit, or the store failed.
    pub async fn admit_storing(&self, hub: &HubName) -> Result<(), super::StartError> {
        match self.inner.hubs.get(hub) {
            Some(hub) => Ok(self.inner.check_stored(&hub).await?),
            None => Ok(()),
        }
    }

    /// Makes durable what hubs have used. To be called before the process ends in order.
    pub async fn write_usage(&self) {
        self.inner.write_usage().await;
    }
}
