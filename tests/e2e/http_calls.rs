//! HTTP calls of orchestrators.

use std::sync::Arc;
use std::time::Duration;

use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::wasm::{Config, WasmExecutor};
use durawasm_tests::world::without_ids;
use durawasm_tests::{Host, Outside, World, guests, host};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::program::Program;
use crate::scenario::{ROOT, end, kinds};

/// The status of `Program` with this step, once it has ended on a host with the real clock.
async fn run(step: Value) -> Value {
    let host = Host::new().await;
    host.deploy("flow", guests::guest("flow")).await;
    host.run("Program", json!({"step": step})).await
}

async fn http(call: Value) -> Value {
    run(json!({"http": call})).await
}

/// The status of `Program` with this step in a world whose time runs out; the hosts live to see so many commits.
async fn world(step: &Value, lives: &[usize], evict_every: usize) -> (World, Value) {
    let mut world = World::new("flow", guests::guest("flow"), lives).await.evicting(evict_every);
    world.start("Program", ROOT, &json!({"step": step})).await;
    world.run_out().await;
    let status = world.status(ROOT).await;
    (world, status)
}

/// A status without what differs from run to run: ids, and the time that answers bear.
fn without_dates(status: &Value) -> Value {
    match status {
        Value::Array(items) => items.iter().map(without_dates).collect(),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| *name != "date");
            kept.map(|(name, value)| (name.clone(), without_dates(value))).collect()
        }
        other => without_ids(other),
    }
}

fn failure(status: &Value) -> &Value {
    let events = status["historyEvents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failed = events.iter().rfind(|event| event["EventType"] == "TaskFailed");
    failed.map_or(&Value::Null, |event| &event["FailureDetails"])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_a_result() {
    let outside = Outside::new().await;
    let status = http(json!({"url": outside.url("/echo?q=1#part"), "method": "post", "body": "hé",
        "headers": [["X-One", "1"], ["Accept", "a"], ["accept", "b"]]}))
    .await;
    let output = &status["output"];
    let body: Value = serde_json::from_str(output["body"].as_str().unwrap()).unwrap();
    assert_eq!((&output["status"], body), (&json!(200), json!({"method": "POST", "path": "/echo?q=1", "body": "hé"})));
    let asked = &outside.asked()[0];
    assert_eq!(asked.headers["x-one"], "1");
    assert_eq!(asked.headers["host"], outside.address.to_string());
    assert!(asked.headers["user-agent"].starts_with("durawasm/"), "{asked:?}");

    for code in [404, 500] {
        let status = http(json!({"url": outside.url(&format!("/status?code={code}"))})).await;
        assert_eq!((&status["output"]["status"], &status["output"]["body"]), (&json!(code), &json!("as you wish")));
    }
    let status = http(json!({"url": outside.url("/binary")})).await;
    assert_eq!(status["output"]["body"], String::from_utf8_lossy(&[0xff, 0, 1]).as_ref());
    let status = http(json!({"url": outside.url("/redirect")})).await;
    assert_eq!(status["output"]["status"], 302, "redirects are not followed: {status}");
    let status = http(json!({"url": outside.url("/job?left=1"), "withoutPolling": true})).await;
    assert_eq!(status["output"]["status"], 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_api_is_asked_until_it_is_done() {
    let outside = Outside::new().await;
    let step = json!({"http": {"url": outside.url("/job?left=2&after=7"), "method": "POST", "body": "work",
        "headers": [["Authorization", "token"], ["x-functions-key", "secret"]]}});
    let (_, status) = world(&step, &[], 0).await;
    assert_eq!((&status["output"]["status"], &status["output"]["body"]), (&json!(200), &json!("done")), "{status}");
    let asked = outside.asked();
    let seen: Vec<_> = asked.iter().map(|asked| (asked.method.as_str(), asked.path.as_str(), &*asked.body)).collect();
    assert_eq!(
        seen,
        [
            ("POST", "/job?left=2&after=7", "work"),
            ("GET", "/job?left=1&end=200&after=7", ""),
            ("GET", "/job?left=0&end=200&after=7", "")
        ]
    );
    assert!(asked.iter().all(|asked| asked.headers["authorization"] == "token"));
    let keys: Vec<_> = asked.iter().map(|asked| asked.headers.contains_key("x-functions-key")).collect();
    assert_eq!(keys, [true, false, false], "the key is for the first function only");

    let expected = [
        "ExecutionStarted",
        "TaskCompleted",
        "TimerCreated",
        "TimerFired",
        "TaskCompleted",
        "TimerCreated",
        "TimerFired",
        "TaskCompleted",
        "ExecutionCompleted",
    ];
    assert_eq!(kinds(&status), expected);
    let events = status["historyEvents"].as_array().unwrap();
    assert!([1, 4, 7].iter().all(|at| events[*at]["FunctionName"] == "BuiltIn::HttpActivity"));
    assert_eq!(events[1]["Result"]["statusCode"], 202);
    assert_eq!(events[1]["Result"]["content"], "not yet");
    let time = |value: &Value| value.as_str().unwrap().parse::<durawasm_core::Timestamp>().unwrap();
    let waited = |at: usize| time(&events[at + 1]["FireAt"]).duration_since(time(&events[at]["Timestamp"])).as_secs();
    assert_eq!((waited(1), waited(4)), (7, 7));
    let (_, status) = world(&json!({"http": {"url": outside.url("/job?left=1")}}), &[], 0).await;
    let events = status["historyEvents"].as_array().unwrap();
    let wait = time(&events[2]["FireAt"]).duration_since(time(&events[1]["Timestamp"])).as_secs();
    assert_eq!(wait, 30, "without Retry-After");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_crashes_nor_evictions_show() {
    let outside = Outside::new().await;
    let step = json!({"seq": [
        {"http": {"url": outside.url("/job?left=2"), "method": "POST"}},
        {"any": [{"sleep": 100}, {"http": {"url": outside.url("/job?left=1&after=3"), "attempts": 2}}]}]});
    let (whole, expected) = world(&step, &[], 0).await;
    assert_eq!(end(&expected)[0], "Completed", "{expected}");
    let undisturbed = outside.paths().len();
    assert_eq!(undisturbed, 5, "each request is made once: {:?}", outside.paths());
    let expected = without_dates(&expected);
    let (_, evicted) = world(&step, &[], 1).await;
    assert_eq!(without_dates(&evicted), expected);
    for lives in 0..whole.writes() {
        let before = outside.paths().len();
        let (_, status) = world(&step, &[lives], 1).await;
        assert_eq!(without_dates(&status), expected, "died after {lives}");
        let made = outside.paths().len() - before;
        assert!((undisturbed..=undisturbed + 2).contains(&made), "{made} requests when it died after {lives}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_policy_is_for_failed_calls_and_bad_answers() {
    let outside = Outside::new().await;
    let (_, status) = world(&json!({"http": {"url": outside.url("/flaky?fails=2"), "attempts": 3}}), &[], 0).await;
    assert_eq!(status["output"]["body"], "at last", "{status}");
    assert_eq!(outside.paths().len(), 3);

    let (_, status) = world(&json!({"http": {"url": outside.url("/flaky?fails=9"), "attempts": 2}}), &[], 0).await;
    assert_eq!(status["runtimeStatus"], "Failed");
    assert_eq!(failure(&status)["ErrorType"], "HttpStatus");
    assert_eq!(failure(&status)["Properties"]["answer"]["statusCode"], 500);
    assert_eq!(failure(&status)["Properties"]["answer"]["content"], "not now");
    assert_eq!(outside.paths().len(), 5);

    let call = |url: &str| json!({"http": {"url": outside.url(url), "attempts": 3, "statuses": [503]}});
    let (_, status) = world(&call("/status?code=500"), &[], 0).await;
    assert_eq!(status["output"]["status"], 500, "not among those that are tried again");
    assert_eq!(outside.paths().len(), 6);
    let (_, status) = world(&call("/status?code=503"), &[], 0).await;
    assert_eq!(status["runtimeStatus"], "Failed");
    assert_eq!(outside.paths().len(), 9);

    // A place that is taken, and where nobody listens.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = silent.local_addr().unwrap();
    let (world, status) = world(&json!({"http": {"url": format!("http://{closed}/"), "attempts": 3}}), &[], 0).await;
    assert_eq!(failure(&status)["ErrorType"], "HttpConnectionFailed");
    assert_eq!(world.runs().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fails_the_call() {
    let outside = Outside::new().await;
    for (call, error, words) in [
        (json!({"url": outside.url("/slow"), "timeoutMillis": 50}), "HttpTimeout", "within 50ms"),
        (json!({"url": outside.url("/huge?bytes=5000000")}), "HttpAnswerTooLarge", "4194304 bytes"),
        (json!({"url": "/relative"}), "InvalidHttpRequest", "'/relative'"),
        (json!({"url": "ftp://127.0.0.1/"}), "InvalidHttpRequest", "neither http nor https"),
        (json!({"url": "http://user:word@127.0.0.1/"}), "InvalidHttpRequest", "credentials"),
        (json!({"url": outside.url("/"), "method": "IN VALID"}), "InvalidHttpRequest", "'IN VALID'"),
        (json!({"url": outside.url("/"), "method": "CONNECT"}), "InvalidHttpRequest", "CONNECT"),
        (json!({"url": outside.url("/"), "headers": [["Host", "a.b"]]}), "InvalidHttpRequest", "host"),
        (json!({"url": outside.url("/"), "headers": [["a", "b\r\nc: d"]]}), "InvalidHttpRequest", "cannot be sent"),
    ] {
        let status = http(call.clone()).await;
        assert_eq!(status["runtimeStatus"], "Failed", "{call}");
        assert_eq!(failure(&status)["ErrorType"], error, "{call}: {status}");
        assert!(failure(&status)["ErrorMessage"].as_str().unwrap().contains(words), "{call}: {status}");
    }
    let headers: Vec<_> = (0..101).map(|number| [format!("x-{number}"), String::new()]).collect();
    let status = http(json!({"url": outside.url("/"), "headers": headers})).await;
    assert!(status["output"].as_str().unwrap().contains("101 headers; the limit is 100"), "{status}");
    let status = http(json!({"url": outside.url("/"), "statuses": vec![500; 1001]})).await;
    assert!(status["output"].as_str().unwrap().contains("1001 statuses"), "{status}");
    assert_eq!(outside.paths(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_allows_is_refused_for_good() {
    for (url, setting) in [
        ("http://api.example.com/x", "--egress api.example.com:80"),
        ("https://api.example.com/x", "--egress api.example.com:443"),
        ("http://169.254.169.254/latest/meta-data", "--egress 169.254.169.254:80"),
        ("http://[::ffff:169.254.169.254]/", "--egress 169.254.169.254:80"),
        ("http://[fd00:ec2::254]/", "--egress [fd00:ec2::254]:80"),
        ("http://10.0.0.1:8080/", "--egress 10.0.0.1:8080"),
        ("http://[::1]:9/", "--egress [::1]:9"),
        ("http://0xa9fea9fe/", "--egress 169.254.169.254:80"),
    ] {
        let (world, status) = world(&json!({"http": {"url": url, "attempts": 5}}), &[], 0).await;
        let failure = failure(&status);
        assert_eq!(
            (&failure["ErrorType"], &failure["IsNonRetriable"]),
            (&json!("EgressRefused"), &json!(true)),
            "{url}"
        );
        assert!(failure["ErrorMessage"].as_str().unwrap().contains(setting), "{failure}");
        assert_eq!(world.runs().len(), 1, "{url} was tried again");
    }
    // Where an answer says to ask is checked as well.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _some = stream.read(&mut request).await.unwrap();
        let answer = "HTTP/1.1 202 Accepted\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let (_, status) = world(&json!({"http": {"url": format!("http://{address}/")}}), &[], 0).await;
    assert_eq!(failure(&status)["ErrorType"], "EgressRefused", "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewound_call_goes_on_asking_and_does_not_begin_anew() {
    let outside = Outside::new().await;
    let step = json!({"http": {"url": outside.url("/job?left=1&end=500"), "method": "POST", "attempts": 1}});
    let (mut world, status) = world(&step, &[], 0).await;
    assert_eq!(status["runtimeStatus"], "Failed");
    assert_eq!(world.post("root/rewind?reason=mended", "").await, 202);
    world.run_out().await;
    let methods: Vec<_> = outside.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(methods, ["POST", "GET", "GET"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_between_two_times_of_asking_is_given_up_with_its_orchestrator() {
    let outside = Outside::new().await;
    let mut world = World::new("flow", guests::guest("flow"), &[]).await;
    world.start("Program", ROOT, &json!({"step": {"http": {"url": outside.url("/job?left=9")}}})).await;
    world.settle().await;
    let status = world.status(ROOT).await;
    assert_eq!(kinds(&status), ["ExecutionStarted", "TaskCompleted", "TimerCreated"], "{status}");
    assert_eq!(world.post("root/terminate?reason=enough", "").await, 202);
    world.run_out().await;
    assert_eq!(world.status(ROOT).await["runtimeStatus"], "Terminated");
    assert_eq!(outside.paths().len(), 1);
}

/// A server with TLS, which answers each connection once, and its authority's certificate.
async fn tls_server() -> (u16, String) {
    let (acceptor, certificate) = durawasm_tests::tls::acceptor();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _some = stream.read(&mut request).await;
            let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsafe").await;
            let _closed = stream.shutdown().await;
        }
    });
    (port, certificate)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_trusts_the_named_authority_and_no_other() {
    let (port, certificate) = tls_server().await;
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, certificate).unwrap();
    let egress = host::egress(&["127.0.0.0/8", "localhost"], Some(&authority));
    let executor = WasmExecutor::new(Config::new(folder.path().join("data"), egress)).unwrap();
    let host =
        Host::running(Arc::new(MemoryStore::default()), Arc::new(executor), (Settings::default(), system_clock()))
            .await;
    host.deploy("flow", guests::guest("flow")).await;
    let call = |host: &str| json!({"step": {"http": {"url": format!("https://{host}:{port}/")}}});
    for name in ["localhost", "127.0.0.1"] {
        let status = host.run("Program", call(name)).await;
        assert_eq!(status["output"]["body"], "safe", "{status}");
    }
    let status = host.run("Program", call("127.0.0.2")).await;
    assert_eq!(failure(&status)["ErrorType"], "HttpConnectionFailed", "the certificate is not for it: {status}");

    // Other tests' host knows the public authorities only.
    let status = http(json!({"url": format!("https://localhost:{port}/")})).await;
    assert_eq!(failure(&status)["ErrorType"], "HttpConnectionFailed");
    assert!(failure(&status)["ErrorMessage"].as_str().unwrap().contains("no TLS with localhost"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_reaches_what_its_flags_name_and_goes_on_asking_after_kill_9() {
    let (outside, data) = (Outside::new().await, tempfile::tempdir().unwrap());
    let input = json!({"url": outside.url("/job?left=1&after=8"), "order": null});
    let program = Program::serve(data.path()).await;
    program.deploy("http-monitor", guests::example("http-monitor")).await;
    assert_eq!(program.start("E8_WatchJob", "refused", input.clone()).await, 202);
    let refused = program.ended("refused").await;
    let setting = format!("--egress {}", outside.address);
    assert!(refused["output"].as_str().unwrap().contains(&setting), "nothing is allowed that is not named: {refused}");
    drop(program);

    let (store, rules) = (format!("sled:{}", data.path().display()), format!("api.example.com,{}", outside.address));
    let program = Program::serve_with(&store, &["--egress", &rules]).await;
    assert_eq!(program.start("E8_WatchJob", "asks", input).await, 202);
    let shown = "/runtime/webhooks/durabletask/instances/asks?showHistory=true";
    // The first timer is that of the orchestration, the second one says when to ask again.
    while program.get(shown).await.unwrap().1.matches("TimerCreated").count() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(program);
    let program = Program::serve_with(&store, &["--egress", &rules]).await;
    // The service's answer is no JSON, which the example finds out once it is there.
    let ended = program.ended("asks").await;
    assert!(ended["output"].as_str().unwrap().contains("the answer is not a"), "{ended}");
    let methods: Vec<_> = outside.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(methods, ["POST", "GET"], "the job is given once");
}
