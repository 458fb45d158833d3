//! What a store measures of itself.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::underway::Underway;

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
    underway: Underway,
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

impl StoreMeters {
    pub(super) fn new(underway: Underway) -> Self {
        // 50 microseconds to 1.6 seconds: from a fast disk to one that is in trouble.
        let times = || Histogram::new(exponential_buckets(0.000_05, 2.0, 16));
        Self(Arc::new(Meters {
            committed: Counter::default(),
            refused: Counter::default(),
            in_flight: Gauge::default(),
            commit: times(),
            sync: times(),
            group: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            underway,
        }))
    }

    /// The writes that the disk has not answered yet.
    pub(super) fn underway(&self) -> &Underway {
        &self.0.underway
    }

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
        let Meters { committed, refused, in_flight, commit, sync, group, underway } = &*self.0;
        registry.register("store_commits", "Commits that became durable", committed.clone());
        registry.register("store_commits_refused", "Commits that were refused, or failed", refused.clone());
        registry.register("store_commits_in_flight", "Commits that wait to be durable", in_flight.clone());
        let seconds = || Unit::Seconds;
        let text = "From sending a commit to its answer";
        registry.register_with_unit("store_commit_duration", text, seconds(), commit.clone());
        registry.register_with_unit("store_sync_duration", "Writing and syncing a batch", seconds(), sync.clone());
        registry.register("store_group_size", "Requests that share a sync", group.clone());
        let text = "Writes that the disk took too long to answer, and that have ended";
        registry.register("store_stalls", text, underway.stalls());
        registry.register_collector(Box::new(LongestWrite(self.clone())));
    }
}

/// Computed when it is asked for: what hangs tells nobody by itself.
#[derive(Debug)]
struct LongestWrite(StoreMeters);

impl Collector for LongestWrite {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let longest = self.0.underway().longest(Instant::now());
        let gauge = ConstGauge::new(longest.map_or(0.0, |write| write.lasts.as_secs_f64()));
        let text = "For how long the disk has owed an answer to a write";
        let unit = Unit::Seconds;
        gauge.encode(encoder.encode_descriptor("store_longest_write", text, Some(&unit), gauge.metric_type())?)
    }
}
