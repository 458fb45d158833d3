//! What a store measures of itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The meters of a store. Cheap to clone: all clones count as one.
#[derive(Clone, Debug)]
pub struct StoreMeters(Arc<Meters>);

#[derive(Debug)]
struct Meters {
    committed: Counter,
    refused: Counter,
    in_flight: Gauge,
    commit: Histogram,
    sync: Histogram,
    group: Histogram,
}

/// A commit that is under way.
pub(super) struct Timed<'a> {
    meters: &'a Meters,
    began: Instant,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.meters.in_flight.dec();
    }
}

impl Timed<'_> {
    pub(super) fn ended(self, committed: bool) {
        if committed {
            self.meters.committed.inc();
            self.meters.commit.observe(self.began.elapsed().as_secs_f64());
        } else {
            self.meters.refused.inc();
        }
    }
}

impl Default for StoreMeters {
    fn default() -> Self {
        // 50 microseconds to 1.6 seconds: from a fast disk to one that is in trouble.
        let times = || Histogram::new(exponential_buckets(0.000_05, 2.0, 16));
        Self(Arc::new(Meters {
            committed: Counter::default(),
            refused: Counter::default(),
            in_flight: Gauge::default(),
            commit: times(),
            sync: times(),
            group: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
        }))
    }
}

impl StoreMeters {
    pub(super) fn begin(&self) -> Timed<'_> {
        self.0.in_flight.inc();
        Timed { meters: &self.0, began: Instant::now() }
    }

    /// A batch was written and synced.
    pub(super) fn synced(&self, took: Duration) {
        self.0.sync.observe(took.as_secs_f64());
    }

    /// So many requests were answered after one sync.
    #[allow(clippy::cast_precision_loss, reason = "groups are small")]
    pub(super) fn grouped(&self, size: usize) {
        self.0.group.observe(size as f64);
    }

    /// Shows them in this registry.
    pub fn register(&self, registry: &mut Registry) {
        let Meters { committed, refused, in_flight, commit, sync, group } = &*self.0;
        registry.register("store_commits", "Commits that became durable", committed.clone());
        registry.register("store_commits_refused", "Commits that were refused, or failed", refused.clone());
        registry.register("store_commits_in_flight", "Commits that wait to be durable", in_flight.clone());
        let seconds = || Unit::Seconds;
        let text = "From sending a commit to its answer";
        registry.register_with_unit("store_commit_duration", text, seconds(), commit.clone());
        registry.register_with_unit("store_sync_duration", "Writing and syncing a batch", seconds(), sync.clone());
        registry.register("store_group_size", "Requests that share a sync", group.clone());
    }
}
