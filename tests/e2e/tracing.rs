//! Spans, as a collector gets them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use durawasm_host::engine::spans::SpanSink;
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::net::otlp::{Exporter, OtlpOptions};
use durawasm_host::store::SharedStore;
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::{Host, Outside, guests};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as Code;
use prost::Message;
use serde_json::{Value, json};

use crate::program::{Program, port};
use crate::versions::comes_to;

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// What a collector was sent.
#[derive(Default)]
struct Kept {
    spans: Vec<Span>,
    resources: Vec<BTreeMap<String, String>>,
    headers: Vec<HeaderMap>,
    /// Requests that are still to be answered with 503.
    busy: usize,
}

#[derive(Clone)]
struct Collector {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.clone().and_then(|value| value.value) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::BoolValue(flag)) => flag.to_string(),
        other => panic!("{}: {other:?}", pair.key),
    };
    all.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

async fn take(State(kept): State<Arc<Mutex<Kept>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut kept = kept.lock().unwrap();
    if kept.busy > 0 {
        kept.busy -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    kept.headers.push(headers);
    for of_resource in request.resource_spans {
        kept.resources.push(attributes(&of_resource.resource.unwrap().attributes));
        kept.spans.extend(of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans));
    }
    StatusCode::OK
}

impl Collector {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, kept) = (listener.local_addr().unwrap(), Arc::<Mutex<Kept>>::default());
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&kept));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, kept }
    }

    fn exporter(&self) -> Arc<Exporter> {
        exporter(self.address)
    }

    fn spans(&self) -> Vec<Span> {
        self.kept.lock().unwrap().spans.clone()
    }
}

fn exporter(address: SocketAddr) -> Arc<Exporter> {
    let headers = vec!["authorization=Bearer%20s3cret".to_owned()];
    let options = OtlpOptions { endpoint: format!("http://{address}"), headers, service_name: "kitchen".to_owned() };
    Exporter::start(&options, None).unwrap()
}

async fn host(store: &SharedStore, exporter: &Arc<Exporter>) -> Host {
    let spans = Some(Arc::clone(exporter) as Arc<dyn SpanSink>);
    Host::with(Arc::clone(store), Settings { spans, run_ahead: Duration::ZERO, ..Settings::default() }, system_clock())
        .await
}

fn memory() -> SharedStore {
    Arc::new(MemoryStore::default())
}

/// Starts `Program` as a part of the caller's trace.
async fn start(host: &Host, id: &str, step: Value, flags: &str) {
    let path = format!("{WEBHOOKS}/orchestrators/Program/{id}");
    let parent = format!("00-{TRACE}-{CALLER}-{flags}");
    let headers = [("traceparent", parent.as_str()), ("tracestate", "kitchen=tea,other=1")];
    let answer = host.send_adding("POST", &path, &headers, json!({"step": step}).to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    match named(spans, name).as_slice() {
        [span] => span,
        other => panic!("{} spans are '{name}' in {:?}", other.len(), names(spans)),
    }
}

fn names(spans: &[Span]) -> Vec<&str> {
    let mut names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    names
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of(span: &Span, name: &str) -> String {
    attributes(&span.attributes).remove(name).unwrap_or_else(|| panic!("no {name} in {span:?}"))
}

fn assert_ids_are_unique(spans: &[Span]) {
    let mut ids: Vec<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "told twice: {:?}", names(spans));
    assert!(spans.iter().all(|span| span.start_time_unix_nano <= span.end_time_unix_nano));
}

/// The value of a line of the metrics.
async fn metric(host: &Host, line: &str) -> f64 {
    let text = host.send("GET", "/metrics", "").await.text();
    let value = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {line} in {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_with_its_children_and_calls_is_one_trace() {
    let (collector, outside) = (Collector::new().await, Outside::new().await);
    collector.kept.lock().unwrap().busy = 1;
    let exporter = collector.exporter();
    let host = host(&memory(), &exporter).await;
    host.deploy("flow", guests::guest("flow")).await;
    let child = json!({"child": {"label": "c", "step": {"flaky": {"succeeds": 2, "attempts": 2}}}});
    let call = json!({"http": {"url": outside.url("/status?code=500"), "method": "post"}});
    let heard = json!({"http": {"url": outside.url("/echo")}});
    start(&host, "root", json!({"seq": [child, call, heard]}), "01").await;
    assert_eq!(host.ended("root").await["runtimeStatus"], "Completed");
    // Tried again: it was answered with 503 at first. Closing does not wait for the second time.
    let deadline = Instant::now() + Duration::from_secs(60);
    while named(&collector.spans(), "orchestration Program").len() < 2 {
        assert!(Instant::now() < deadline, "{:?}", names(&collector.spans()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    exporter.close().await;
    let spans = collector.spans();
    assert_ids_are_unique(&spans);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:?}");
    let start = only(&spans, "start Program");
    assert_eq!((hex(&start.parent_span_id).as_str(), start.kind()), (CALLER, SpanKind::Server));
    let of_instance = |id: &str| {
        let all = named(&spans, "orchestration Program").into_iter();
        all.filter(|span| of(span, "durawasm.instance.id") == id).collect::<Vec<_>>()
    };
    let (root, child) = (of_instance("root")[0], of_instance("root.c")[0]);
    assert_eq!(root.parent_span_id, start.span_id);
    assert_eq!(child.parent_span_id, root.span_id);
    assert_eq!((of(root, "durawasm.status"), root.status.as_ref()), ("Completed".to_owned(), None));
    for episode in named(&spans, "episode Program") {
        let parent = if of(episode, "durawasm.instance.id") == "root" { root } else { child };
        assert_eq!(episode.parent_span_id, parent.span_id);
        assert_eq!(of(episode, "durawasm.replayed"), "false");
    }

    let mut attempts = named(&spans, "activity FailUntil");
    attempts.sort_by_key(|span| of(span, "durawasm.attempt"));
    let statuses: Vec<_> = attempts.iter().map(|span| span.status.as_ref().map(|status| status.code())).collect();
    assert_eq!(statuses, [Some(Code::Error), None]);
    assert!(attempts.iter().all(|span| span.parent_span_id == child.span_id));
    assert!(!of(attempts[0], "error.type").is_empty());

    let call = only(&spans, "HTTP POST");
    assert_eq!((call.kind(), &call.parent_span_id), (SpanKind::Client, &root.span_id));
    assert_eq!((of(call, "http.response.status_code"), of(call, "server.address")), ("500".into(), "127.0.0.1".into()));
    assert_eq!(call.status.as_ref().map(|status| status.code()), Some(Code::Error));
    let asked = outside.asked();
    let told = asked.iter().find_map(|asked| asked.headers.get("traceparent")).unwrap();
    assert_eq!(*told, format!("00-{TRACE}-{}-01", hex(&only(&spans, "HTTP GET").span_id)));
    let state = asked.iter().find_map(|asked| asked.headers.get("tracestate")).map(String::as_str);
    assert_eq!(state, Some("kitchen=tea,other=1"), "{asked:?}");

    {
        let kept = collector.kept.lock().unwrap();
        assert_eq!(kept.resources[0]["service.name"], "kitchen");
        assert_eq!(kept.headers[0]["authorization"], "Bearer s3cret");
        assert_eq!(kept.headers[0]["content-type"], "application/x-protobuf");
    }
    assert_eq!(metric(&host, "durawasm_spans_exported_total").await, spans.len() as f64);
    assert_eq!(metric(&host, "durawasm_spans_dropped_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_starts_is_a_part_of_its_trace_and_what_begins_one_has_its_own() {
    let collector = Collector::new().await;
    let exporter = collector.exporter();
    let host = host(&memory(), &exporter).await;
    host.deploy("flow", guests::guest("flow")).await;
    host.deploy("http-start", guests::example("http-start")).await;
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let path = "/api/orchestrators/Program";
    let body = json!({"step": {"echo": 1}}).to_string();
    let answer = host.send_adding("POST", path, &[("traceparent", &parent)], body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    host.ended(answer.json()["id"].as_str().unwrap()).await;
    let environment = host.run("OneActivity", json!(["Environment", null])).await;
    start(&host, "unwanted", json!({"echo": 1}), "00").await;
    host.ended("unwanted").await;
    let failed = host.run("Program", json!({"step": {"fail": "out of tea"}})).await;
    assert_eq!(failed["runtimeStatus"], "Failed");
    // The end of an instance is told a moment after it can be seen.
    comes_to(async || {
        named(&collector.spans(), "orchestration Program").len() == 2
            && named(&collector.spans(), "orchestration OneActivity").len() == 1
    })
    .await;
    exporter.close().await;
    let spans = collector.spans();
    assert_ids_are_unique(&spans);
    let function = only(&spans, "function HttpStart");
    assert_eq!((hex(&function.trace_id).as_str(), hex(&function.parent_span_id).as_str()), (TRACE, CALLER));
    assert_eq!(of(function, "http.response.status_code"), "202");
    let in_trace: Vec<_> = spans.iter().filter(|span| hex(&span.trace_id) == TRACE).cloned().collect();
    let start = only(&in_trace, "start Program");
    assert_eq!(start.parent_span_id, function.span_id);
    assert_eq!(only(&in_trace, "orchestration Program").parent_span_id, start.span_id);

    let activity = only(&spans, "activity Environment");
    let told = format!("00-{}-{}-01", hex(&activity.trace_id), hex(&activity.span_id));
    assert_eq!(environment["output"]["TRACEPARENT"], told.as_str(), "{environment}");
    assert_eq!(activity.trace_id, only(&spans, "start OneActivity").trace_id);
    assert!(only(&spans, "start OneActivity").parent_span_id.is_empty());
    assert!(spans.iter().all(|span| !format!("{span:?}").contains("unwanted")), "a caller who keeps no trace");

    let failed: Vec<_> =
        named(&spans, "orchestration Program").into_iter().filter(|span| span.status.is_some()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((of(failed[0], "error.type"), of(failed[0], "durawasm.status")), ("Deliberate".into(), "Failed".into()));
    assert_eq!(failed[0].status.as_ref().unwrap().message, "out of tea");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_streams_is_a_part_of_its_callers_trace() {
    let collector = Collector::new().await;
    let exporter = collector.exporter();
    let host = host(&memory(), &exporter).await;
    host.deploy("streaming", guests::guest("streaming")).await;
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let answer = host.send_adding("POST", "/api/echo", &[("traceparent", &parent)], "tea".to_owned()).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "tea"));
    // The response may end before its function does.
    let deadline = Instant::now() + Duration::from_secs(60);
    while collector.spans().is_empty() {
        assert!(Instant::now() < deadline, "nothing is told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    exporter.close().await;
    let spans = collector.spans();
    let [function] = spans.as_slice() else { panic!("{:?}", names(&spans)) };
    assert_eq!((hex(&function.trace_id).as_str(), hex(&function.parent_span_id).as_str()), (TRACE, CALLER));
    assert_eq!((of(function, "http.request.method").as_str(), &function.status), ("POST", &None));
    assert!(function.name.starts_with("function "), "{}", function.name);
}

/// Waits until so many results have come and the guest waits in memory.
async fn parked(host: &Host, results: usize) {
    let come = |status: &Value| {
        let events = status["historyEvents"].as_array().map(Vec::as_slice).unwrap_or_default();
        events.iter().filter(|event| event["EventType"] == "TaskCompleted").count() == results
    };
    host.until("root", "the results have come", come).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while metric(host, "durawasm_hot_guests ").await != 1.0 {
        assert!(Instant::now() < deadline, "nobody waits in memory");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_after_evictions_and_on_other_hosts_and_nothing_is_told_twice() {
    let (collector, store) = (Collector::new().await, memory());
    let exporters = [collector.exporter(), collector.exporter()];
    let first = host(&store, &exporters[0]).await;
    first.deploy("flow", guests::guest("flow")).await;
    let step = json!({"seq": [{"echo": 1}, {"event": "One"}, {"echo": 2}, {"event": "Two"}, {"echo": 3}]});
    start(&first, "root", step, "01").await;
    parked(&first, 1).await;
    first.engine.evict_all();
    first.send("POST", &format!("{WEBHOOKS}/instances/root/raiseEvent/One"), "1").await;
    parked(&first, 2).await;
    assert_eq!(metric(&first, "durawasm_replays_total").await, 1.0);
    first.engine.stop();
    exporters[0].close().await;
    let second = host(&store, &exporters[1]).await;
    second.send("POST", &format!("{WEBHOOKS}/instances/root/raiseEvent/Two"), "2").await;
    assert_eq!(second.ended("root").await["runtimeStatus"], "Completed");
    assert_eq!(metric(&second, "durawasm_replays_total").await, 1.0);
    comes_to(async || named(&collector.spans(), "orchestration Program").len() == 1).await;
    exporters[1].close().await;
    let spans = collector.spans();
    assert_ids_are_unique(&spans);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    let root = only(&spans, "orchestration Program");
    assert_eq!(root.parent_span_id, only(&spans, "start Program").span_id);
    let echoes = named(&spans, "activity Echo");
    assert_eq!(echoes.len(), 3, "{:?}", names(&spans));
    let episodes = named(&spans, "episode Program");
    let replayed = episodes.iter().filter(|span| of(span, "durawasm.replayed") == "true").count();
    // The start, three results and two events; the events brought the guest back.
    assert_eq!((episodes.len(), replayed), (6, 2));
    assert!(echoes.iter().chain(&episodes).all(|span| span.parent_span_id == root.span_id));
    let resources = collector.kept.lock().unwrap().resources.clone();
    let mut servers: Vec<_> = resources.iter().map(|resource| resource["service.instance.id"].clone()).collect();
    servers.dedup();
    assert_eq!(servers.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_dead_or_silent_changes_nothing() {
    // Takes connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    // A place that is taken, and where nobody listens.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dead = taken.local_addr().unwrap();
    for address in [dead, silent.local_addr().unwrap()] {
        let exporter = exporter(address);
        let host = host(&memory(), &exporter).await;
        host.deploy("flow", guests::guest("flow")).await;
        for number in 0..20 {
            start(&host, &format!("n{number}"), json!({"seq": [{"echo": 1}, {"echo": 2}]}), "01").await;
        }
        for number in 0..20 {
            assert_eq!(host.ended(&format!("n{number}")).await["output"], json!([1, 2]));
        }
        let began = Instant::now();
        exporter.close().await;
        assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
        // What comes afterwards is dropped and counted.
        let dropped = metric(&host, "durawasm_spans_dropped_total").await;
        start(&host, "late", json!({"echo": 1}), "01").await;
        assert_eq!(host.ended("late").await["runtimeStatus"], "Completed");
        assert!(metric(&host, "durawasm_spans_dropped_total").await > dropped);
        assert_eq!(metric(&host, "durawasm_spans_exported_total").await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_is_told_by_its_environment_and_sends_what_is_left_when_it_stops() {
    let collector = Collector::new().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let endpoint = format!("http://{}", collector.address);
    let mut program = Program::spawn(&folder.path().join("data"), port(), |command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).env("OTEL_SERVICE_NAME", "bakery");
        command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-team=tea,authorization=s3cret");
        command.env("DURAWASM_LOG", "debug").stderr(std::fs::File::create(&log).unwrap());
    });
    program.ready().await;
    program.deploy("hello-cities", guests::example("hello-cities")).await;
    assert_eq!(program.start("E1_HelloSequence", "h", Value::Null).await, 202);
    program.ended("h").await;
    let stopped = Command::new("kill").args(["-TERM", &program.child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert!(tokio::task::spawn_blocking(move || program.child.wait()).await.unwrap().unwrap().success());
    let spans = collector.spans();
    assert_eq!(named(&spans, "activity E1_SayHello").len(), 3, "{:?}", names(&spans));
    assert_eq!(
        only(&spans, "orchestration E1_HelloSequence").parent_span_id,
        only(&spans, "start E1_HelloSequence").span_id
    );
    let kept = collector.kept.lock().unwrap();
    assert_eq!(kept.resources[0]["service.name"], "bakery");
    assert_eq!(
        (&kept.headers[0]["authorization"], &kept.headers[0]["x-team"]),
        (&"s3cret".parse().unwrap(), &"tea".parse().unwrap())
    );
    assert!(!std::fs::read_to_string(&log).unwrap().contains("s3cret"));
}

#[test]
fn a_wrong_endpoint_is_refused_and_headers_are_never_shown() {
    let run = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_durawasm-e2e")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let refused = run(&["serve", "--store", "memory", "--listen", "127.0.0.1:0", "--otlp-endpoint", "collector:4317"]);
    let errors = text(&refused.stderr);
    assert!(refused.status.code() == Some(2) && errors.contains("--otlp-endpoint"), "{errors}");
    let headers = ["serve", "--store", "memory", "--otlp-endpoint", "http://c:1", "--otlp-header", "s3cret"];
    let refused = run(&headers);
    let errors = text(&refused.stderr);
    assert!(refused.status.code() == Some(2) && errors.contains("header 1 of --otlp-header"), "{errors}");
    assert!(!errors.contains("s3cret"), "{errors}");
    let shown = text(&run(&[&headers[..], &["--print-config"]].concat()).stdout);
    assert!(shown.contains("otlp-header = [\"***\"] # flag") && !shown.contains("s3cret"), "{shown}");
}
