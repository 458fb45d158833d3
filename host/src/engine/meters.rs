//! What the engine measures of itself. Everything is a handle that is made once; counting is an atomic addition.

use std::sync::Arc;
use std::time::Instant;

use durawasm_core::Status;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::executor::FuelGauge;
use super::spans::SpanSink;
use super::{Engine, Inner};
use crate::store::{HubName, Store};

/// Hubs that are shown by name; the instances of all others are counted together.
const HUBS: usize = 200;
/// Their name.
const OTHER_HUBS: &str = "(other)";

/// What runs in a place of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Activity,
    HttpCall,
    Function,
}

/// What a guest ran as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestRole {
    /// An orchestrator.
    Orchestrator,
    /// An attempt of an activity.
    Activity,
    /// An HTTP, manual or timer function.
    Function,
}

const ROLES: [(GuestRole, &str); 3] =
    [(GuestRole::Orchestrator, "orchestrator"), (GuestRole::Activity, "activity"), (GuestRole::Function, "function")];

/// What a guest is stopped for, by the type of the failure that it becomes.
const STOPS: [(&str, &str); 7] = [
    ("FuelLimit", "fuel"),
    ("TimeLimit", "time"),
    ("Timeout", "timeout"),
    ("MemoryLimit", "memory"),
    ("StackOverflow", "stack"),
    ("PayloadTooLarge", "payload"),
    ("LimitExceeded", "count"),
];

/// The limits of hubs, as the configuration calls them.
const QUOTAS: [&str; 9] = [
    "requestsPerSecond",
    "startsPerSecond",
    "openInstances",
    "apps",
    "componentBytes",
    "storedBytes",
    "fuelPerSecond",
    "memoryBytes",
    "connectionsPerSecond",
];

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Counts guests that were stopped by a limit.
#[derive(Debug)]
pub struct Stops {
    shown: Family<Labels<2>, Counter>,
    counters: Vec<(GuestRole, &'static str, Counter)>,
}

impl Default for Stops {
    fn default() -> Self {
        let shown = Family::default();
        let of = |(role, name)| STOPS.map(|(kind, limit)| (role, kind, [("role", name), ("limit", limit)]));
        let counters = ROLES.into_iter().flat_map(of);
        let counters = counters.map(|(role, kind, labels)| (role, kind, shown.get_or_create_owned(&labels))).collect();
        Self { shown, counters }
    }
}

impl Stops {
    /// The host stopped a guest, with a failure of this type. What is no limit is not counted.
    pub fn count(&self, role: GuestRole, error_type: &str) {
        if let Some((.., counter)) = self.counters.iter().find(|(known, kind, _)| (*known, *kind) == (role, error_type))
        {
            counter.inc();
        }
    }
}

/// A run whose fuel counts, however it ends.
pub(super) struct Burning<'a> {
    pub(super) gauge: Arc<FuelGauge>,
    role: GuestRole,
    meters: &'a Meters,
}

impl Drop for Burning<'_> {
    fn drop(&mut self) {
        self.meters.used(self.role, self.gauge.read());
    }
}

/// Counts what was refused for a limit of a hub.
#[derive(Debug)]
pub(super) struct Refusals {
    shown: Family<Labels<1>, Counter>,
    counters: [(&'static str, Counter); QUOTAS.len()],
}

impl Default for Refusals {
    fn default() -> Self {
        let shown = Family::default();
        let counters = QUOTAS.map(|quota| (quota, shown.get_or_create_owned(&[("quota", quota)])));
        Self { shown, counters }
    }
}

impl Refusals {
    pub(super) fn count(&self, quota: &str) {
        if let Some((_, counter)) = self.counters.iter().find(|(known, _)| *known == quota) {
            counter.inc();
        }
    }
}

/// What runs in places of one kind.
#[derive(Debug)]
struct Places {
    waiting: Gauge,
    running: Gauge,
    completed: Counter,
    failed: Counter,
    stopped: Counter,
    took: Histogram,
}

/// Something that waits for a place, or has one.
pub(super) struct Turn<'a> {
    places: &'a Places,
    began: Option<Instant>,
    ended: bool,
}

impl Turn<'_> {
    /// It has its place.
    pub(super) fn begins(&mut self) {
        if self.began.is_none() {
            self.places.waiting.dec();
            self.places.running.inc();
        }
        self.began = Some(Instant::now());
    }

    /// It gave the place back and waits for another.
    pub(super) fn waits(&mut self) {
        if self.began.take().is_some() {
            self.places.running.dec();
            self.places.waiting.inc();
        }
    }

    pub(super) fn ended(mut self, completed: bool) {
        self.ended = true;
        let Some(began) = self.began else { return };
        self.places.took.observe(began.elapsed().as_secs_f64());
        if completed {
            self.places.completed.inc()
        } else {
            self.places.failed.inc()
        };
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.began.is_some() {
            self.places.running.dec()
        } else {
            self.places.waiting.dec()
        };
        if !self.ended {
            self.places.stopped.inc();
        }
    }
}

/// See the module.
pub(super) struct Meters {
    registry: Registry,
    pub(super) starts: Counter,
    pub(super) episodes: Counter,
    pub(super) replays: Counter,
    pub(super) stops: Arc<Stops>,
    fuel: [(GuestRole, Counter); ROLES.len()],
    activities: Places,
    http_calls: Places,
    functions: Places,
}

/// Families of what [`Places`] holds.
struct PlaceFamilies {
    waiting: Family<Labels<1>, Gauge>,
    running: Family<Labels<1>, Gauge>,
    ended: Family<Labels<2>, Counter>,
    took: Family<Labels<1>, Histogram, fn() -> Histogram>,
}

impl PlaceFamilies {
    fn new(registry: &mut Registry) -> Self {
        // 1 millisecond to 524 seconds.
        let times = || Histogram::new(exponential_buckets(0.001, 2.0, 20));
        let took = Family::new_with_constructor(times as fn() -> Histogram);
        let all = Self { waiting: Family::default(), running: Family::default(), ended: Family::default(), took };
        registry.register("runs_waiting", "Attempts and calls that wait for a place", all.waiting.clone());
        registry.register("runs_running", "Attempts and calls that run", all.running.clone());
        registry.register("runs", "Attempts and calls that have ended", all.ended.clone());
        let text = "How long attempts and calls took that have completed or failed";
        registry.register_with_unit("run_duration", text, Unit::Seconds, all.took.clone());
        all
    }

    fn of(&self, kind: &'static str) -> Places {
        let ended = |outcome| self.ended.get_or_create_owned(&[("kind", kind), ("outcome", outcome)]);
        Places {
            waiting: self.waiting.get_or_create_owned(&[("kind", kind)]),
            running: self.running.get_or_create_owned(&[("kind", kind)]),
            completed: ended("completed"),
            failed: ended("failed"),
            stopped: ended("stopped"),
            took: self.took.get_or_create_owned(&[("kind", kind)]),
        }
    }
}

impl Meters {
    pub(super) fn new(store: &dyn Store, refusals: &Refusals, spans: Option<&dyn SpanSink>) -> Self {
        let mut registry = Registry::with_prefix("durawasm");
        let (starts, episodes, replays) = (Counter::default(), Counter::default(), Counter::default());
        registry.register("starts", "Instances that were started", starts.clone());
        registry.register("episodes", "Episodes of orchestrators that ran", episodes.clone());
        registry.register("replays", "Orchestrators that were brought back by a replay", replays.clone());
        let families = PlaceFamilies::new(&mut registry);
        let stops = Stops::default();
        registry.register("guests_stopped", "Guests that were stopped by a limit", stops.shown.clone());
        let fuel = Family::<Labels<1>, Counter>::default();
        let text = "What guests have run, in units of fuel, about an instruction each; replays are not counted";
        registry.register("fuel", text, fuel.clone());
        let text = "What was refused because its hub was at a limit";
        registry.register("quota_refusals", text, refusals.shown.clone());
        if let Some(meters) = store.meters() {
            meters.register(&mut registry);
        }
        if let Some(spans) = spans {
            spans.register(&mut registry);
        }
        Self {
            starts,
            episodes,
            replays,
            stops: Arc::new(stops),
            fuel: ROLES.map(|(role, name)| (role, fuel.get_or_create_owned(&[("role", name)]))),
            activities: families.of("activity"),
            http_calls: families.of("http_call"),
            functions: families.of("function"),
            registry,
        }
    }

    /// Guests in this role have run for so much fuel.
    pub(super) fn used(&self, role: GuestRole, fuel: u64) {
        if let Some((_, counter)) = self.fuel.iter().find(|(known, _)| *known == role) {
            counter.inc_by(fuel);
        }
    }

    /// Counts what a run in this role will have used when it is over.
    pub(super) fn burning(&self, role: GuestRole) -> Burning<'_> {
        Burning { gauge: Arc::default(), role, meters: self }
    }

    /// Something waits for a place of this kind.
    pub(super) fn turn(&self, kind: Kind) -> Turn<'_> {
        let places = match kind {
            Kind::Activity => &self.activities,
            Kind::HttpCall => &self.http_calls,
            Kind::Function => &self.functions,
        };
        places.waiting.inc();
        Turn { places, began: None, ended: false }
    }
}

impl Engine {
    /// Appends what the engine measures, in the text format of `OpenMetrics`, without its end.
    pub async fn write_metrics(&self, text: &mut String) {
        let inner = &self.inner;
        let mut registry = Registry::with_prefix("durawasm");
        let mut gauge = |name: &str, help: &str, value: usize| {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register(name, help, gauge);
        };
        gauge("ready", "1: everything that had work in flight has been taken up again", usize::from(self.is_ready()));
        gauge("store_failed", "1: the store has stopped for good", usize::from(self.store_failed().is_some()));
        let (guests, weight) = inner.hot.used();
        gauge("hot_guests", "Orchestrators that wait in memory", guests);
        gauge("hot_guests_weight", "The same, those of large components counted as several", weight);
        gauge("hot_guests_limit", "Their weight at most", inner.settings.hot_guests);
        gauge("actors", "Instances that have something to do or are held in memory", inner.actors.count());
        gauge("mail_waiting", "Messages between instances that wait to be brought", inner.mailroom.waiting());
        let hubs: Vec<_> = inner.hubs.all().iter().map(|hub| hub.name.clone()).collect();
        gauge("hubs", "Task hubs", hubs.len());
        registry.register("instances", "Instances that have not ended", inner.instances_by_hub(hubs).await);
        // Writing to a string cannot fail.
        let _written = encode_registry(text, &inner.meters.registry).and_then(|()| encode_registry(text, &registry));
    }
}

type HubLabels = [(&'static str, String); 2];

impl Inner {
    /// By hub and status. What the store cannot tell now is not there.
    async fn instances_by_hub(&self, hubs: Vec<HubName>) -> Family<HubLabels, Gauge> {
        let shown = Family::<HubLabels, Gauge>::default();
        // It might wait for the disk as well, and what is measured of that would not be told.
        if self.store.stalled().is_some() {
            return shown;
        }
        for (index, hub) in hubs.iter().enumerate() {
            let Ok(counts) = self.store.counts(hub).await else { continue };
            let (name, counts) = (if index < HUBS { hub } else { OTHER_HUBS }, counts.all());
            for status in Status::ALL.into_iter().filter(|status| !status.is_terminal()) {
                let labels = [("hub", name.to_owned()), ("status", status.to_string())];
                shown.get_or_create(&labels).inc_by(i64::try_from(counts.get(status)).unwrap_or(i64::MAX));
            }
        }
        shown
    }
}
