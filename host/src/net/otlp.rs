//! Spans to an OpenTelemetry collector: OTLP over HTTP, in protobuf.
//!
//! What is told waits in a bounded queue and leaves in batches. What finds the queue full, or no collector after a few
//! tries, is dropped and counted: nothing else ever waits for it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as WireSpan, Status, span, status};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use prost::Message;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::egress::Egress;
use super::exchange::{self, ExchangeError};
use super::rules::Rules;
use crate::engine::http::Unmetered;
use crate::engine::spans::{Attribute, Span, SpanKind, SpanSink};

/// Spans that wait at most; the texts of each are bounded.
const QUEUE: usize = 8_192;
/// Spans in a request at most.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The waits before a batch is tried again; after them it is dropped.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// How long what is left may take to leave when the server stops.
const FLUSH: Duration = Duration::from_secs(3);
/// How often the log says that spans are lost.
const WARNING: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read.
const ANSWER: usize = 64 << 10;
/// Who connects, as the log names it.
const HUB: &str = "(collector)";
/// Where a collector takes spans, below the endpoint.
const PATH: &str = "/v1/traces";

/// Where spans go.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpOptions {
    /// A collector's base URL, or the URL of its `/v1/traces`.
    pub endpoint: String,
    /// `NAME=VALUE`, the value percent-encoded where need be. Secret.
    pub headers: Vec<String>,
    /// What this server is called.
    pub service_name: String,
}

impl fmt::Debug for OtlpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpOptions").field("service_name", &self.service_name).finish_non_exhaustive()
    }
}

/// Hands spans to whoever sends them.
pub struct Exporter {
    queue: mpsc::Sender<Span>,
    counts: Counts,
    stop: watch::Sender<bool>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Clone, Default)]
struct Counts {
    exported: Counter,
    dropped: Counter,
}

/// Sends.
struct Worker {
    queue: mpsc::Receiver<Span>,
    counts: Counts,
    stop: watch::Receiver<bool>,
    target: Target,
    /// When the log said last that spans are lost, and how many were by then.
    warned: (Option<Instant>, u64),
}

struct Target {
    egress: Egress,
    uri: Uri,
    headers: HeaderMap,
    resource: Resource,
}

/// Why a batch was not taken.
struct Refusal {
    why: String,
    /// Another time it may be.
    again: bool,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl SpanSink for Exporter {
    fn take(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.counts.dropped.inc();
        }
    }

    fn register(&self, registry: &mut Registry) {
        let Counts { exported, dropped } = &self.counts;
        registry.register("spans_exported", "Spans that the collector has taken", exported.clone());
        registry.register("spans_dropped", "Spans that it has not taken", dropped.clone());
    }
}

impl Exporter {
    /// Sends spans from now on, on a task of its own. TLS trusts the public authorities and those in this file of PEM
    /// certificates.
    ///
    /// # Errors
    /// For people: what is wrong with the options. No header is told.
    pub fn start(options: &OtlpOptions, authorities: Option<&Path>) -> Result<Arc<Self>, String> {
        let target = Target::new(options, authorities)?;
        let (sender, queue) = mpsc::channel(QUEUE);
        let (stop, stopped) = watch::channel(false);
        let counts = Counts::default();
        let worker = Worker { queue, counts: counts.clone(), stop: stopped, target, warned: (None, 0) };
        let worker = Mutex::new(Some(tokio::spawn(worker.run())));
        Ok(Arc::new(Self { queue: sender, counts, stop, worker }))
    }

    /// Sends what waits, for at most 3 seconds; what comes later is dropped.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        let Some(mut worker) = self.worker.lock().await.take() else { return };
        if tokio::time::timeout(FLUSH, &mut worker).await.is_err() {
            worker.abort();
            tracing::warn!("the collector of spans did not take what was left in time");
        }
    }
}

impl Worker {
    async fn run(mut self) {
        loop {
            let first = tokio::select! {
                first = self.queue.recv() => first,
                () = stopped(&mut self.stop) => break,
            };
            let Some(first) = first else { return };
            let batch = self.gather(first).await;
            self.export(batch).await;
        }
        self.queue.close();
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {
            self.export(std::mem::take(&mut batch)).await;
        }
    }

    async fn gather(&mut self, first: Span) -> Vec<Span> {
        let mut batch = vec![first];
        let until = Instant::now() + DELAY;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            tokio::select! {
                more = self.queue.recv_many(&mut batch, room) => if more == 0 { break },
                () = tokio::time::sleep_until(until) => break,
                () = stopped(&mut self.stop) => break,
            }
        }
        batch
    }

    async fn export(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = Bytes::from(self.target.message(batch).encode_to_vec());
        let mut pauses = PAUSES.iter();
        loop {
            let refusal = match self.target.send(body.clone()).await {
                Ok((rejected, why)) => {
                    let rejected = rejected.min(count);
                    self.counts.exported.inc_by(count - rejected);
                    self.counts.dropped.inc_by(rejected);
                    return self.warn(&why);
                }
                Err(refusal) => refusal,
            };
            let pause = pauses.next().filter(|_| refusal.again && !*self.stop.borrow());
            let Some(pause) = pause else {
                self.counts.dropped.inc_by(count);
                return self.warn(&refusal.why);
            };
            tokio::select! {
                () = tokio::time::sleep(*pause) => {}
                () = stopped(&mut self.stop) => {}
            }
        }
    }

    /// Says that spans were lost, if any were, but not all the time.
    fn warn(&mut self, why: &str) {
        let (last, told) = self.warned;
        let lost = self.counts.dropped.get();
        if lost == told || last.is_some_and(|last| last.elapsed() < WARNING) {
            return;
        }
        self.warned = (Some(Instant::now()), lost);
        let why = if why.is_empty() { "there were too many at once" } else { why };
        tracing::warn!(spans = lost - told, "spans were lost on their way to the collector: {why}");
    }
}

/// Returns once the exporter is closed, or gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _gone = stop.wait_for(|stop| *stop).await.is_err();
}

impl Target {
    fn new(options: &OtlpOptions, authorities: Option<&Path>) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "the endpoint of --otlp-endpoint is no URL of a collector: {why}; write it as http://127.0.0.1:4318"
            )
        };
        let base = options.endpoint.trim().trim_end_matches('/');
        let url = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
        let target = exchange::target(&uri).map_err(|error| wrong(&error.to_string()))?;
        // To a rule that would be any host.
        if target.host.contains('*') {
            return Err(wrong("its host is none"));
        }
        let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host };
        let rule = format!("{host}:{}", target.port).parse().map_err(|_| wrong("its host is none"))?;
        let egress = Egress::new(Rules::new(vec![rule]), authorities)?;
        let text = |key: &str, value: &str| key_value(key, Value::StringValue(value.to_owned()));
        let attributes = vec![
            text("service.name", &options.service_name),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &uuid::Uuid::now_v7().to_string()),
        ];
        let resource = Resource { attributes, ..Resource::default() };
        Ok(Self { egress, uri, headers: headers(&options.headers)?, resource })
    }

    fn message(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let scope = InstrumentationScope { name: "durawasm".to_owned(), version, ..InstrumentationScope::default() };
        let spans = spans.into_iter().map(on_wire).collect();
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let resource = Some(self.resource.clone());
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
        }
    }

    /// How many of the spans the collector would not have, and why.
    async fn send(&self, body: Bytes) -> Result<(u64, String), Refusal> {
        match tokio::time::timeout(TIMEOUT, self.exchange(body)).await {
            Ok(answer) => answer,
            Err(_) => Err(Refusal { why: format!("it did not answer within {TIMEOUT:?}"), again: true }),
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<(u64, String), Refusal> {
        let mut request = Request::post(self.uri.clone());
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
        }
        let request =
            request.body(Full::new(body)).map_err(|error| Refusal { why: error.to_string(), again: false })?;
        let failed = |error: ExchangeError| Refusal {
            again: !matches!(error, ExchangeError::BadRequest(_)),
            why: error.to_string(),
        };
        let (response, _carrier) =
            exchange::send(&self.egress, (&HUB.into(), Arc::new(Unmetered)), request).await.map_err(failed)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        if !status.is_success() {
            // As the protocol says.
            let again = matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            );
            return Err(Refusal { why: format!("it answered {status}"), again });
        }
        let answer = body.ok().and_then(|body| ExportTraceServiceResponse::decode(body.to_bytes()).ok());
        let partial = answer.and_then(|answer| answer.partial_success).unwrap_or_default();
        let why = format!("it rejected some: {}", partial.error_message.chars().take(200).collect::<String>());
        Ok((u64::try_from(partial.rejected_spans).unwrap_or_default(), why))
    }
}

fn headers(given: &[String]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("durawasm/", env!("CARGO_PKG_VERSION"))));
    for (index, text) in given.iter().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        // What is wrong is not shown: it may be the secret.
        let wrong = |why: &str| format!("header {} of --otlp-header {why}; write it as NAME=VALUE", index + 1);
        let (name, value) = text.split_once('=').ok_or_else(|| wrong("has no '='"))?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong("has no name that HTTP allows"))?;
        let value = percent_encoding::percent_decode_str(value.trim()).collect::<Vec<u8>>();
        let value = HeaderValue::from_bytes(&value).map_err(|_| wrong("has no value that HTTP allows"))?;
        headers.append(name, value);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    Ok(headers)
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn on_wire(span: Span) -> WireSpan {
    let nanoseconds = |time: durawasm_core::Timestamp| u64::try_from(time.as_nanosecond()).unwrap_or_default();
    let mut attributes: Vec<_> = span.attributes.into_iter().map(|(key, value)| key_value(key, any(value))).collect();
    let status = span.error.map(|error| {
        attributes.push(key_value("error.type", Value::StringValue(error.kind)));
        Status { message: error.message, code: status::StatusCode::Error.into() }
    });
    let kind = match span.kind {
        SpanKind::Start | SpanKind::Function => span::SpanKind::Server,
        SpanKind::HttpCall => span::SpanKind::Client,
        SpanKind::Orchestration | SpanKind::Episode | SpanKind::Activity => span::SpanKind::Internal,
    };
    WireSpan {
        trace_id: span.place.trace.to_vec(),
        span_id: span.place.span.to_vec(),
        parent_span_id: span.parent.map(Vec::from).unwrap_or_default(),
        name: span.name,
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(span.began),
        end_time_unix_nano: nanoseconds(span.ended).max(nanoseconds(span.began)),
        attributes,
        status,
        flags: 1,
        ..WireSpan::default()
    }
}

fn any(value: Attribute) -> Value {
    match value {
        Attribute::Text(text) => Value::StringValue(text),
        Attribute::Number(number) => Value::IntValue(number),
        Attribute::Flag(flag) => Value::BoolValue(flag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(endpoint: &str, headers: &[&str]) -> Result<Target, String> {
        let headers = headers.iter().map(ToString::to_string).collect();
        Target::new(&OtlpOptions { endpoint: endpoint.to_owned(), headers, service_name: "s".to_owned() }, None)
    }

    #[test]
    fn an_endpoint_is_a_base_or_the_whole_url() {
        let uri = |endpoint: &str| target(endpoint, &[]).map(|target| target.uri.to_string());
        assert_eq!(uri("http://127.0.0.1:4318").unwrap(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(uri("https://c.example/otlp/").unwrap(), "https://c.example/otlp/v1/traces");
        assert_eq!(uri("http://[::1]:4318/v1/traces").unwrap(), "http://[::1]:4318/v1/traces");
        for bad in ["127.0.0.1:4318", "collector", "ftp://a.b", "http://", "http://user:secret@a.b", "http://*"] {
            let error = uri(bad).unwrap_err();
            assert!(error.contains("--otlp-endpoint") && !error.contains("secret"), "{bad}: {error}");
        }
    }

    #[test]
    fn headers_are_read_and_never_told() {
        let read =
            target("http://a.b", &["authorization=Bearer%20x%2Cy=", " team = tea "]).map(|target| target.headers);
        let read = read.unwrap();
        assert_eq!(read["authorization"], "Bearer x,y=");
        assert_eq!(read["team"], "tea");
        assert_eq!(read["content-type"], "application/x-protobuf");
        for bad in ["s3cret", "na me=s3cret", "name=s3cret%0A"] {
            let error = target("http://a.b", &[bad]).map(|_| ()).unwrap_err();
            assert!(error.contains("header 1 of --otlp-header") && !error.contains("s3cret"), "{error}");
        }
        let headers = vec!["a=s3cret".to_owned()];
        let options = OtlpOptions { endpoint: "http://u:s3cret@a".to_owned(), headers, service_name: "s".to_owned() };
        assert!(!format!("{options:?}").contains("s3cret"));
    }
}
