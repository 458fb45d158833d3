//! `GET /metrics`: what the server measures of itself, for Prometheus.

use std::sync::OnceLock;
use std::time::Instant;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::ApiState;
use super::route::Op;

/// Everything that is not in the table of routes: HTTP functions, and paths where nothing is.
const FUNCTION: usize = Op::COUNT;
const OPERATIONS: usize = Op::COUNT + 1;

/// How a request ended: the first digit of its status, or it was given up by its client.
const ENDS: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "aborted"];
const FAILED: usize = 3;
const ABORTED: usize = 4;

type Times = Family<[(&'static str, String); 1], Histogram, fn() -> Histogram>;
type Ends = Family<[(&'static str, String); 2], Counter>;

/// Counts requests. A handle is looked up once; what never happened is not shown.
pub(super) struct HttpMeters {
    registry: Registry,
    in_flight: Gauge,
    ends: Ends,
    times: Times,
    handles: [Handles; OPERATIONS],
}

#[derive(Default)]
struct Handles {
    ends: [OnceLock<Counter>; ENDS.len()],
    time: OnceLock<Histogram>,
}

/// A request that is under way. Counted when it is dropped: as answered, or as given up.
pub(super) struct Timed<'a> {
    meters: &'a HttpMeters,
    op: Option<Op>,
    began: Instant,
    end: usize,
}

impl Default for HttpMeters {
    fn default() -> Self {
        // 100 microseconds to 52 seconds.
        let times = Times::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_1, 2.0, 20)));
        let (ends, in_flight) = (Ends::default(), Gauge::default());
        let mut registry = Registry::with_prefix("durawasm");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        registry.register("http_requests", "Requests that were answered or given up", ends.clone());
        registry.register("http_requests_in_flight", "Requests that are under way", in_flight.clone());
        let text = "From a request's head to its answer's head";
        registry.register_with_unit("http_request_duration", text, Unit::Seconds, times.clone());
        Self { registry, in_flight, ends, times, handles: std::array::from_fn(|_| Handles::default()) }
    }
}

impl HttpMeters {
    /// A request begins; none: it is not in the table of routes.
    pub(super) fn begin(&self, op: Option<Op>) -> Timed<'_> {
        self.in_flight.inc();
        Timed { meters: self, op, began: Instant::now(), end: ABORTED }
    }
}

impl Timed<'_> {
    pub(super) fn ended(mut self, status: StatusCode) {
        self.end = usize::from(status.as_u16() / 100).saturating_sub(2).min(FAILED);
    }

    fn count(&self, end: usize) -> Option<()> {
        let name = || self.op.map_or_else(|| "Function".to_owned(), |op| format!("{op:?}"));
        let handles = self.meters.handles.get(self.op.map_or(FUNCTION, |op| op as usize))?;
        let ends = || {
            let status = ENDS.get(end).copied().unwrap_or_default();
            self.meters.ends.get_or_create_owned(&[("operation", name()), ("status", status.to_owned())])
        };
        handles.ends.get(end)?.get_or_init(ends).inc();
        let time = || self.meters.times.get_or_create_owned(&[("operation", name())]);
        handles.time.get_or_init(time).observe(self.began.elapsed().as_secs_f64());
        Some(())
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.meters.in_flight.dec();
        // A panic is answered by a layer around us.
        let _counted = self.count(if std::thread::panicking() { FAILED } else { self.end });
    }
}

/// What the server measures of itself.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "server",
    responses((status = 200, description = "OpenMetrics text, which Prometheus reads.", body = String,
        content_type = "application/openmetrics-text")),
)]
// Nothing in it is named after what guests or clients choose, except hubs, which only the operator makes.
pub(super) async fn metrics(state: &ApiState) -> Response {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _written = encode_registry(&mut text, &state.meters.registry);
    if let Some(engine) = state.engine.get() {
        engine.write_metrics(&mut text).await;
    }
    let process = process();
    let _written = encode_registry(&mut text, &process).and_then(|()| encode_eof(&mut text));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    (StatusCode::OK, [(CONTENT_TYPE, kind)], text).into_response()
}

/// What the system says about this process; what it does not say is not there.
fn process() -> Registry {
    let mut registry = Registry::with_prefix("process");
    let mut gauge = |name: &str, help: &str, value: Option<i64>| {
        let Some(value) = value else { return };
        let gauge: Gauge = Gauge::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    gauge("resident_memory_bytes", "Memory of the process", resident.map(|kilobytes: i64| kilobytes * 1024));
    let files = std::fs::read_dir("/proc/self/fd").ok().and_then(|entries| i64::try_from(entries.count()).ok());
    gauge("open_fds", "Open files of the process", files);
    registry
}
