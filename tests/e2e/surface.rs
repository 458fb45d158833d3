//! The answers of the surface, byte for byte, in `tests/golden/http/`; and what each key and code opens.
//!
//! A change of an answer is looked at and taken with `INSTA_UPDATE=always cargo test -p durawasm-tests surface`.

use std::fmt::Write as _;
use std::sync::Arc;

use durawasm_host::api::ApiSettings;
use durawasm_host::engine::Settings;
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::{Answer, Host, ManualClock, guests};
use serde_json::{Value, json};

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";
const EXTENSION: &str = "/admin/extensions/DurableTaskExtension";
const RPC: &str = "/durabletask";
const KEY: &str = "a key of which nobody knows";
const LOCAL: [(&str, &str); 2] = [("host", "localhost:7071"), ("content-type", "application/json")];

/// Requests and their answers, as they go over the wire.
#[derive(Default)]
pub(crate) struct Transcript(String);

impl Transcript {
    pub(crate) async fn ask(&mut self, host: &Host, request: &str, body: &str) -> Answer {
        self.ask_with(host, request, &LOCAL, body).await
    }

    pub(crate) async fn ask_with(
        &mut self,
        host: &Host,
        request: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let (method, path) = request.split_once(' ').unwrap();
        let answer = host.send_with(method, path, headers, body.to_owned()).await;
        writeln!(self.0, "{}", format!(">>> {request} {body}").trim_end()).unwrap();
        writeln!(self.0, "{}", answer.status).unwrap();
        // The body is here; its length changes with what may change.
        let all = answer.headers.iter().filter(|(name, _)| *name != "content-length");
        let mut shown: Vec<_> = all.map(|(name, value)| (name, value.to_str().unwrap())).collect();
        shown.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in shown {
            writeln!(self.0, "{name}: {value}").unwrap();
        }
        writeln!(self.0, "\n{}\n", answer.text()).unwrap();
        answer
    }

    /// Compares with the file of this name; times, generated ids and lines of the guest's source may be any.
    pub(crate) fn is(&self, name: &str) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../golden/http");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z", "[time]");
        settings.add_filter(r#""componentBytes":[1-9]\d*"#, r#""componentBytes":[bytes]"#);
        settings.add_filter(r"dwk_[0-9a-f]{16}_[0-9a-f]{64}", "[key]");
        settings.add_filter(r"\b[0-9a-f]{16}\b", "[key id]");
        settings.add_filter(r"\b[0-9a-f]{32}\b", "[id]");
        settings.add_filter(r"\.rs:\d+:\d+", ".rs:[line]");
        settings.bind(|| insta::assert_snapshot!(name, self.0));
    }
}

/// With the functions of `tests/guests/flow`, on a clock that stands still.
async fn flow() -> (Host, ManualClock) {
    let clock = ManualClock::new();
    let host = Host::with(Arc::new(MemoryStore::default()), Settings::default(), clock.clock()).await;
    host.deploy("flow", guests::guest("flow")).await;
    (host, clock)
}

fn keyed() -> ApiSettings {
    ApiSettings { admin_key: Some(KEY.to_owned()), ..ApiSettings::new("http://localhost:7071") }
}

/// Waits for an event; its input is the event's name.
async fn waiting(host: &Host, id: &str) {
    let path = format!("{WEBHOOKS}/orchestrators/Event/{id}");
    assert_eq!(host.send("POST", &path, "\"Go\"").await.status, 202);
    host.until(id, "running", |status| status["runtimeStatus"] == "Running").await;
}

async fn instance(host: &Host, method: &str, path: &str, body: &str) -> u16 {
    host.send(method, &format!("{WEBHOOKS}/instances/{path}"), body.to_owned()).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_a_keyless_server() {
    let (host, _clock) = flow().await;
    let mut all = Transcript::default();
    for (number, base) in [WEBHOOKS, EXTENSION, RPC].into_iter().enumerate() {
        all.ask(&host, &format!("POST {base}/orchestrators/Event/links%20{number}"), "\"Go\"").await;
    }
    all.ask(&host, &format!("POST {WEBHOOKS}/orchestrators/Event?returnInternalServerErrorOnFailure=true"), "\"Go\"")
        .await;
    all.is("links-keyless");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_a_server_with_a_key() {
    let (host, _clock) = flow().await;
    let host = host.behind(keyed());
    let binding = host.send_with("GET", "/admin/hubs/default/binding", &[("x-functions-key", KEY)], "").await.json();
    let rpc = binding["rpcBaseUrl"].as_str().unwrap().trim_start_matches("http://localhost:7071").trim_end_matches('/');
    let mut all = Transcript::default();
    let key = format!("?code={}", KEY.replace(' ', "+"));
    for (number, (base, query)) in [(WEBHOOKS, &*key), (EXTENSION, &*key), (rpc, "")].into_iter().enumerate() {
        all.ask(&host, &format!("POST {base}/orchestrators/Event/links{number}{query}"), "\"Go\"").await;
    }
    all.is("links-keyed");
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings() {
    let (host, _clock) = flow().await;
    let mut all = Transcript::default();
    all.ask(&host, "GET /admin/hubs/default/binding", "").await;
    let key = [("host", "localhost:7071"), ("x-functions-key", KEY)];
    all.ask_with(&host.behind(keyed()), "GET /admin/hubs/default/binding", &key, "").await;
    all.is("binding");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_an_instance() {
    let (host, _clock) = flow().await;
    let mut all = Transcript::default();
    waiting(&host, "a").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/a"), "").await;
    all.ask(&host, &format!("GET {RPC}/instances/a/?ShowInput=False"), "").await;
    assert_eq!(instance(&host, "POST", "a/suspend?reason=a+rest", "").await, 202);
    host.until("a", "suspended", |status| status["runtimeStatus"] == "Suspended").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/a"), "").await;
    assert_eq!(instance(&host, "POST", "a/resume", "").await, 202);
    assert_eq!(instance(&host, "POST", "a/raiseEvent/go", "{\"n\": 1.0}").await, 202);
    host.ended("a").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/a"), "").await;
    waiting(&host, "b").await;
    assert_eq!(instance(&host, "POST", "b/terminate?reason=enough", "").await, 202);
    host.ended("b").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/b"), "").await;
    host.send("POST", &format!("{WEBHOOKS}/orchestrators/Fails/c"), "").await;
    host.ended("c").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/c"), "").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/c?returnInternalServerErrorOnFailure=true"), "").await;
    all.ask(&host, &format!("POST {WEBHOOKS}/orchestrators/Custom/d?timeout=60&pollingInterval=1&version=v1"), "0")
        .await;
    all.ask(&host, &format!("GET {EXTENSION}/instances/d"), "").await;
    all.ask(&host, &format!("POST {WEBHOOKS}/orchestrators/Fails?timeout=60&pollingInterval=1"), "").await;
    all.is("status");
}

#[tokio::test(flavor = "multi_thread")]
async fn histories() {
    let (host, clock) = flow().await;
    let mut all = Transcript::default();
    let shown = "showHistory=true&showHistoryOutput=true";
    let start = async |name: &str, id: &str, input: Value| {
        let answer = host.send("POST", &format!("{WEBHOOKS}/orchestrators/{name}/{id}"), input.to_string()).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    };
    start("Sequence", "sequence", json!(["a", {"b": 1}])).await;
    start("ActivityFails", "fails", json!(true)).await;
    start("Timer", "timer", json!(5000)).await;
    waiting(&host, "event").await;
    assert_eq!(instance(&host, "POST", "event/suspend?reason=a+rest", "").await, 202);
    assert_eq!(instance(&host, "POST", "event/resume", "").await, 202);
    host.until("event", "resumed", |status| status["historyEvents"].to_string().contains("ExecutionResumed")).await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/event?{shown}"), "").await;
    assert_eq!(instance(&host, "POST", "event/raiseEvent/Go", "[1]").await, 202);
    waiting(&host, "terminated").await;
    assert_eq!(instance(&host, "POST", "terminated/terminate?reason=enough", "").await, 202);
    host.until("timer", "waiting", |status| status["historyEvents"].to_string().contains("TimerCreated")).await;
    clock.advance(5);
    host.engine.clock_moved();
    for id in ["sequence", "fails", "timer", "event", "terminated"] {
        host.ended(id).await;
        all.ask(&host, &format!("GET {WEBHOOKS}/instances/{id}?{shown}"), "").await;
    }
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/sequence?showHistory=true&showInput=false"), "").await;
    all.is("history");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_still_to_begin() {
    let (host, clock) = flow().await;
    let mut all = Transcript::default();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [LOCAL[0], LOCAL[1], ("traceparent", trace), ("tracestate", "a=1,b=2")];
    let start = "orchestrators/Identity/later?scheduledStartTime=2026-01-01T00:01:00Z&tags=kind%3Dlate&version=v7";
    all.ask_with(&host, &format!("POST {WEBHOOKS}/{start}"), &headers, "[1]").await;
    for path in [
        "instances/later",
        "instances/later?showHistory=true&showHistoryOutput=true",
        "instances?runtimeStatus=Pending",
    ] {
        all.ask(&host, &format!("GET {WEBHOOKS}/{path}"), "").await;
    }
    assert_eq!(instance(&host, "POST", "later/suspend?reason=a+rest", "").await, 202);
    host.until("later", "suspended", |status| status["runtimeStatus"] == "Suspended").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/later?showHistory=true"), "").await;
    assert_eq!(instance(&host, "POST", "later/resume", "").await, 202);
    clock.advance(60);
    host.engine.clock_moved();
    host.ended("later").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/later?showHistory=true&showHistoryOutput=true"), "").await;
    all.is("pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_of_children_attempts_and_rewinds() {
    let (host, clock) = flow().await;
    let mut all = Transcript::default();
    let shown = "showHistory=true&showHistoryOutput=true";
    let start = async |id: &str, program: Value| {
        let answer = host.send("POST", &format!("{WEBHOOKS}/orchestrators/Program/{id}"), program.to_string()).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    };
    let has = |text: &'static str| move |status: &Value| status["historyEvents"].to_string().contains(text);
    let family = json!([
        {"child": {"label": "done", "step": {"echo": 1}}},
        {"catch": {"child": {"label": "fails", "step": {"fail": "no"}}}},
        {"start": {"label": "apart", "step": {"echo": 2}}},
        {"send": {"to": "nobody", "name": "Hi", "data": 7}},
        {"child": {"label": "open", "step": {"event": "Go"}}},
    ]);
    start("family", json!({"step": {"seq": family}})).await;
    host.until("family", "waiting for its last child", has("family.open")).await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/family?{shown}"), "").await;
    host.until("family.open", "waiting", |status| status["runtimeStatus"] == "Running").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/family.open"), "").await;
    assert_eq!(instance(&host, "POST", "family.open/raiseEvent/Go", "[3]").await, 202);
    host.ended("family").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/family?{shown}"), "").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/family?showHistory=true&showInput=false"), "").await;

    start("attempts", json!({"step": {"flaky": {"succeeds": 2, "attempts": 3}}})).await;
    start("exhausted", json!({"step": {"flaky": {"succeeds": 9, "attempts": 2}}})).await;
    for id in ["attempts", "exhausted"] {
        host.until(id, "waiting for its second attempt", has("TimerCreated")).await;
    }
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/attempts?{shown}"), "").await;
    clock.advance(1);
    host.engine.clock_moved();
    for id in ["attempts", "exhausted"] {
        host.ended(id).await;
        all.ask(&host, &format!("GET {WEBHOOKS}/instances/{id}?{shown}"), "").await;
    }
    start("rewound", json!({"step": {"seq": [{"echo": "kept"}, {"repaired": {"rewinds": 1}}]}})).await;
    host.ended("rewound").await;
    assert_eq!(instance(&host, "POST", "rewound/rewind?reason=mended", "").await, 202);
    host.until("rewound", "completed", |status| status["runtimeStatus"] == "Completed").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/rewound?{shown}"), "").await;
    start("anew", json!({"step": {"echo": 1}, "rounds": 1})).await;
    host.ended("anew").await;
    all.ask(&host, &format!("GET {WEBHOOKS}/instances/anew?{shown}"), "").await;
    all.is("history-more");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error() {
    let (host, _clock) = flow().await;
    let mut all = Transcript::default();
    waiting(&host, "running").await;
    host.run("Custom", Value::Null).await;
    host.send("POST", &format!("{WEBHOOKS}/orchestrators/Custom/ended"), "").await;
    host.ended("ended").await;
    for (request, body) in [
        ("POST /orchestrators/Event/bad", "{not json"),
        ("POST /orchestrators/Event/%40entity", "\"Go\""),
        ("POST /orchestrators/Event/running", "\"Go\""),
        ("POST /orchestrators/Event?timeout=1&pollingInterval=2", "\"Go\""),
        ("POST /orchestrators/Event?reuse=sometimes", "\"Go\""),
        ("POST /orchestrators/Event?taskHub=other", "\"Go\""),
        ("POST /orchestrators/Event?taskHub=1", "\"Go\""),
        ("GET /instances/nobody", ""),
        ("PUT /instances/running", ""),
        ("GET /nothing", ""),
        ("POST /instances/nobody/raiseEvent/Go", "{not json"),
        ("POST /instances/ended/raiseEvent/Go", "{not json"),
        ("POST /instances/running/raiseEvent/Go", "{not json"),
        ("POST /instances/nobody/terminate", ""),
        ("POST /instances/ended/terminate", ""),
        ("POST /instances/ended/suspend", ""),
        ("POST /instances/ended/resume", ""),
    ] {
        all.ask(&host, &request.replacen(' ', &format!(" {WEBHOOKS}"), 1), body).await;
    }
    let text = [("host", "localhost:7071"), ("content-type", "text/plain")];
    all.ask_with(&host, &format!("POST {WEBHOOKS}/instances/running/raiseEvent/Go"), &text, "1").await;
    let foreign = [("host", "evil.example")];
    all.ask_with(&host, &format!("GET {WEBHOOKS}/instances/running"), &foreign, "").await;
    let proxied = [("host", "localhost:7071"), ("x-forwarded-for", "10.0.0.1")];
    all.ask_with(&host, &format!("GET {RPC}/instances/running"), &proxied, "").await;
    for request in
        ["GET /admin/hubs/default/apps/none", "GET /admin/hubs/other/apps/flow", "PUT /admin/hubs/default/apps/A"]
    {
        all.ask(&host, request, "").await;
    }
    all.ask(&host, "PUT /admin/hubs/default/apps/text", "print('hello')").await;
    let keyed = host.behind(keyed());
    all.ask(&keyed, &format!("GET {WEBHOOKS}/instances/running"), "").await;
    all.ask(&keyed, &format!("GET {RPC}/instances/running"), "").await;
    let small =
        host.behind(ApiSettings { payload_limit: 8, component_limit: 8, ..ApiSettings::new("http://localhost") });
    all.ask(&small, &format!("POST {WEBHOOKS}/orchestrators/Event/large"), "\"more than 8\"").await;
    all.ask(&small, "PUT /admin/hubs/default/apps/large", "more than 8").await;
    all.is("errors");
}

/// The path and query of a link.
fn path_of(links: &Value, name: &str) -> String {
    let link = links[name].as_str().unwrap();
    link.trim_start_matches("http://localhost:7071").replace("{eventName}", "Go").replace("{text}", "because")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_its_own_instance_alone() {
    let (host, _clock) = flow().await;
    let host = host.behind(keyed());
    let start = |id: &str| format!("{WEBHOOKS}/orchestrators/Event/{id}");
    let key = [("host", "localhost:7071"), ("content-type", "application/json"), ("x-functions-key", KEY)];
    let mine = host.send_with("POST", &start("mine"), &key, "\"Go\"").await.json();
    let yours = host.send_with("POST", &start("yours"), &key, "\"Go\"").await.json();
    let code = |links: &Value| path_of(links, "statusQueryGetUri").rsplit_once("code=").unwrap().1.to_owned();
    let (my_code, your_code) = (code(&mine), code(&yours));
    assert_ne!(my_code, your_code);
    for (name, method) in [
        ("statusQueryGetUri", "GET"),
        ("suspendPostUri", "POST"),
        ("resumePostUri", "POST"),
        ("sendEventPostUri", "POST"),
        ("terminatePostUri", "POST"),
        ("rewindPostUri", "POST"),
        ("restartPostUri", "POST"),
        ("purgeHistoryDeleteUri", "DELETE"),
    ] {
        let own = path_of(&mine, name);
        let stolen = own.replace(&my_code, &your_code);
        let without = own.replace(&format!("&code={my_code}"), "");
        for refused in [&stolen, &without] {
            assert_eq!(host.send(method, refused, "").await.status, 401, "{name}");
        }
        let status = host.send(method, &own, "").await.status;
        // The event may have ended it already, and what has not failed cannot be rewound.
        assert!(status.is_success() || status == 410 || status == 412, "{name} with its own code: {status}");
    }
    let other_hub = path_of(&mine, "statusQueryGetUri").replace("taskHub=default", "taskHub=other");
    for (method, path) in [
        ("POST", format!("{}?code={my_code}", start("new"))),
        ("POST", format!("{}?code={my_code}", start("mine"))),
        ("GET", format!("/admin/hubs/default/apps/flow?code={my_code}")),
        ("GET", format!("/admin/hubs/default/binding?code={my_code}")),
        ("PUT", format!("/admin/hubs/default/apps/flow?code={my_code}")),
        ("GET", other_hub),
    ] {
        assert_eq!(host.send(method, &path, "").await.status, 401, "{method} {path}");
    }
    let again = host.behind(keyed());
    assert_eq!(again.send("GET", &path_of(&yours, "statusQueryGetUri"), "").await.status, 202, "after a restart");
    let rotated = host.behind(ApiSettings { admin_key: Some("another key".to_owned()), ..keyed() });
    assert_eq!(rotated.send("GET", &path_of(&yours, "statusQueryGetUri"), "").await.status, 401, "after a new key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_manages_its_hub_and_no_apps() {
    let (host, _clock) = flow().await;
    let host = host.behind(keyed());
    let binding = host.send_with("GET", "/admin/hubs/default/binding", &[("x-functions-key", KEY)], "").await;
    assert!(!binding.text().contains(KEY), "the admin key stays where it is");
    let binding = binding.json();
    let create = path_of(&binding["creationUrls"], "createNewInstancePostUri");
    let create = create.replace("{functionName}", "Event").replace("[/{instanceId}]", "/bound");
    assert_eq!(host.send("POST", &create, "\"Go\"").await.status, 202);
    for (name, method, status) in [
        ("statusQueryGetUri", "GET", 202),
        ("suspendPostUri", "POST", 202),
        ("resumePostUri", "POST", 202),
        ("sendEventPostUri", "POST", 202),
    ] {
        let path = path_of(&binding["managementUrls"], name).replace("INSTANCEID", "bound");
        assert_eq!(host.send(method, &path, "[1]").await.status, status, "{name}");
    }
    let rpc = path_of(&binding, "rpcBaseUrl");
    assert!(rpc.ends_with('/'));
    host.engine.wait(&"default".into(), "bound", std::time::Duration::from_secs(60)).await.unwrap();
    let status = host.send("GET", &format!("{rpc}instances/bound"), "").await;
    assert_eq!((status.status.as_u16(), &status.json()["output"]), (200, &json!([1])));
    let required = binding["requiredQueryStringParameters"].as_str().unwrap();
    for path in ["/admin/hubs/default/binding", "/admin/hubs/default/apps/flow"] {
        assert_eq!(host.send("GET", &format!("{path}?{required}"), "").await.status, 401, "{path}");
    }
    let forged = rpc.replacen("default-", "default-0", 1);
    assert_eq!(host.send("GET", &format!("{forged}instances/bound"), "").await.status, 404, "no token at all");
    let last = if rpc.ends_with("0/") { "1/" } else { "0/" };
    let forged = format!("{}{last}", &rpc[..rpc.len() - 2]);
    assert_eq!(host.send("GET", &format!("{forged}instances/bound"), "").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_is_kept_when_it_is_well_formed() {
    let (host, _clock) = flow().await;
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (id, sent, kept) in [("good", good, Some(good)), ("bad", "00-xyz-01", None)] {
        let headers = [LOCAL[0], LOCAL[1], ("traceparent", sent), ("tracestate", "a=1"), ("tracestate", "b=2")];
        let path = format!("{WEBHOOKS}/orchestrators/Custom/{id}");
        assert_eq!(host.send_with("POST", &path, &headers, "0").await.status, 202);
        let started = host.ended(id).await["historyEvents"][0].clone();
        assert_eq!(started["ParentTraceContext"]["TraceParent"].as_str(), kept, "{started}");
        assert_eq!(started["ParentTraceContext"]["TraceState"].as_str(), kept.map(|_| "a=1,b=2"), "{started}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_what_a_get_begins_with() {
    let (host, _clock) = flow().await;
    assert_eq!(host.send("POST", &format!("{WEBHOOKS}/orchestrators/Custom/one"), "0").await.status, 202);
    host.ended("one").await;
    for path in ["/healthz", "/openapi.json", "/metrics", "/admin/hubs", &format!("{WEBHOOKS}/instances/one")] {
        let gzip = [LOCAL[0], ("accept-encoding", "gzip")];
        let (get, head) = (host.send("GET", path, "").await, host.send_with("HEAD", path, &gzip, "").await);
        assert_eq!((head.status, &head.headers["content-type"]), (get.status, &get.headers["content-type"]), "{path}");
        assert_eq!((head.text().as_str(), head.headers.get("content-encoding")), ("", None), "{path}");
        if path != "/metrics" {
            assert_eq!(head.headers["content-length"].to_str().unwrap(), get.body.len().to_string(), "{path}");
        }
    }
    for (path, status) in
        [(format!("{WEBHOOKS}/instances/nobody"), 404), (format!("{WEBHOOKS}/orchestrators/Custom"), 404)]
    {
        assert_eq!(host.send("HEAD", &path, "").await.status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_compressed_for_those_who_accept_it() {
    let (host, _clock) = flow().await;
    let input = json!("x".repeat(5_000)).to_string();
    host.send("POST", &format!("{WEBHOOKS}/orchestrators/Sequence/large"), format!("[{input}]")).await;
    host.send("POST", &format!("{WEBHOOKS}/orchestrators/Custom/small"), "0").await;
    host.ended("large").await;
    host.ended("small").await;
    let accepting = [LOCAL[0], ("accept-encoding", "gzip")];
    let ask = async |id: &str, headers: &[(&str, &str)]| {
        let answer = host.send_with("GET", &format!("{WEBHOOKS}/instances/{id}"), headers, "").await;
        (answer.headers.get("content-encoding").map(|kind| kind.to_str().unwrap().to_owned()), answer.body.len())
    };
    let (encoding, length) = ask("large", &accepting).await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(length < 1_000, "{length}");
    assert!(matches!(ask("large", &LOCAL).await, (None, 10_000..)));
    assert!(matches!(ask("small", &accepting).await, (None, _)));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_are_let_in_only_when_named() {
    let (host, _clock) = flow().await;
    let page = [LOCAL[0], ("origin", "https://ui.example")];
    let path = format!("{WEBHOOKS}/instances/nobody");
    let refused = host.send_with("GET", &path, &page, "").await;
    assert_eq!((refused.status.as_u16(), refused.headers.get("access-control-allow-origin")), (403, None));
    let origins = vec!["https://ui.example".to_owned()];
    let sharing = host.behind(ApiSettings { cors_origins: origins, ..ApiSettings::new("http://localhost") });
    let answer = sharing.send_with("GET", &path, &page, "").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://ui.example");
    let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap().to_owned();
    assert!(exposed.contains("x-ms-continuation-token") && exposed.contains("location"), "{exposed}");
    let preflight = [page[0], page[1], ("access-control-request-method", "POST")];
    let allowed = sharing.send_with("OPTIONS", &path, &preflight, "").await;
    assert_eq!(allowed.status, 200);
    assert!(allowed.headers["access-control-allow-headers"].to_str().unwrap().contains("x-functions-key"));
    assert!(allowed.headers["access-control-allow-methods"].to_str().unwrap().contains("PATCH"));
    let other = [page[0], ("origin", "https://evil.example")];
    let answer = sharing.send_with("GET", &path, &other, "").await;
    assert_eq!((answer.status.as_u16(), answer.headers.get("access-control-allow-origin")), (403, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_needs_no_key() {
    let (host, _clock) = flow().await;
    let host = host.behind(keyed());
    let document = host.send("GET", "/openapi.json", "").await.json();
    assert!(document["paths"].get(format!("{WEBHOOKS}/instances/{{id}}")).is_some());
    assert!(host.send("GET", "/docs/", "").await.text().contains("swagger-ui"));
    assert_eq!(host.send("GET", "/docs/nothing.js", "").await.status, 404);
}
