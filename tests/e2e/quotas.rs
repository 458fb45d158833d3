//! What a hub may use, and that others are none the worse.

use std::sync::Arc;
use std::time::{Duration, Instant};

use durawasm_core::Status;
use durawasm_host::engine::Settings;
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::{Answer, Host, ManualClock, Outside, guests};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";

/// A hub with these limits and the functions of `tests/guests/flow`, on a clock that stands still.
async fn limited(limits: &Value) -> (Host, ManualClock) {
    let clock = ManualClock::new();
    let host = Host::with(Arc::new(MemoryStore::default()), Settings::default(), clock.clock()).await;
    for hub in ["tenant", "other"] {
        host.send("PUT", &format!("/admin/hubs/{hub}"), "").await;
        assert_eq!(host.send("PUT", &format!("/admin/hubs/{hub}/apps/flow"), guests::guest("flow")).await.status, 201);
    }
    limit(&host, limits).await;
    (host, clock)
}

async fn limit(host: &Host, limits: &Value) {
    let config = json!({"limits": limits}).to_string();
    assert_eq!(host.send("PUT", "/admin/hubs/tenant/config", config).await.status, 200);
}

async fn start(host: &Host, hub: &str, function: &str, input: &Value) -> Answer {
    let path = format!("{WEBHOOKS}/orchestrators/{function}?taskHub={hub}");
    host.send("POST", &path, input.to_string()).await
}

async fn usage(host: &Host, name: &str) -> u64 {
    host.send("GET", "/admin/hubs/tenant", "").await.json()["usage"][name].as_u64().unwrap()
}

/// The answer says what is over, and when to try again.
fn is_over(answer: &Answer, quota: &str, retry: Option<&str>) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let words = format!("The task hub 'tenant' is at its limit '{quota}' of ");
    assert!(answer.text().contains(&words), "{}", answer.text());
    assert_eq!(answer.headers.get("retry-after").map(|value| value.to_str().unwrap()), retry);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_instances_are_counted_exactly() {
    let (host, _clock) = limited(&json!({"openInstances": 25})).await;
    let host = Arc::new(host);
    let starts: Vec<_> = (0..100)
        .map(|_| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { start(&host, "tenant", "Event", &json!("Go")).await })
        })
        .collect();
    let mut started = Vec::new();
    for start in starts {
        let answer = start.await.unwrap();
        match answer.status.as_u16() {
            202 => started.push(answer.json()["id"].as_str().unwrap().to_owned()),
            _ => is_over(&answer, "openInstances", Some("5")),
        }
    }
    assert_eq!(started.len(), 25);
    assert_eq!(usage(&host, "openInstances").await, 25);
    assert_eq!(start(&host, "other", "Event", &json!("Go")).await.status, 202);
    let path = format!("{WEBHOOKS}/instances/{}/terminate?taskHub=tenant", started[0]);
    assert_eq!(host.send("POST", &path, "").await.status, 202);
    host.engine.wait(&"tenant".into(), &started[0], Duration::from_secs(60)).await.unwrap();
    assert_eq!(start(&host, "tenant", "Event", &json!("Go")).await.status, 202);
    is_over(&start(&host, "tenant", "Event", &json!("Go")).await, "openInstances", Some("5"));
    limit(&host, &json!({})).await;
    assert_eq!(start(&host, "tenant", "Event", &json!("Go")).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_over_the_limit_fails_as_a_child_does() {
    let (host, _clock) = limited(&json!({"openInstances": 1})).await;
    let program = json!({"step": {"catch": {"child": {"label": "c", "step": {"echo": 1}}}}});
    let path = format!("{WEBHOOKS}/orchestrators/Program/parent?taskHub=tenant&timeout=60&pollingInterval=1");
    let ended = host.send("POST", &path, program.to_string()).await;
    assert!(ended.text().contains("at its limit 'openInstances' of 1"), "{}", ended.text());
    limit(&host, &json!({"openInstances": 2})).await;
    let ended = host.send("POST", &path, program.to_string()).await;
    assert_eq!(ended.text(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_and_requests_have_a_rate() {
    let (host, clock) = limited(&json!({"startsPerSecond": 3})).await;
    let go = async || start(&host, "tenant", "Custom", &json!(0)).await;
    for _ in 0..3 {
        assert_eq!(go().await.status, 202);
    }
    is_over(&go().await, "startsPerSecond", Some("1"));
    assert_eq!(start(&host, "other", "Custom", &json!(0)).await.status, 202);
    clock.advance(1);
    assert_eq!(go().await.status, 202);
    limit(&host, &json!({"requestsPerSecond": 2})).await;
    let list = async |hub: &str| host.send("GET", &format!("{WEBHOOKS}/instances?taskHub={hub}"), "").await;
    assert_eq!((list("tenant").await.status.as_u16(), list("tenant").await.status.as_u16()), (200, 200));
    is_over(&list("tenant").await, "requestsPerSecond", Some("1"));
    is_over(&host.send("GET", "/admin/hubs/tenant/apps/flow", "").await, "requestsPerSecond", Some("1"));
    assert_eq!(list("other").await.status, 200);
    assert_eq!(host.send("GET", "/admin/hubs/tenant/config", "").await.status, 429);
    limit(&host, &json!({})).await;
    assert_eq!(list("tenant").await.status, 200, "whoever runs the server can always lift it");
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_and_components_are_bounded() {
    let flow = guests::guest("flow").len() as u64;
    let (host, _clock) = limited(&json!({"apps": 2, "componentBytes": flow + 10})).await;
    let deploy =
        async |app: &str, component| host.send("PUT", &format!("/admin/hubs/tenant/apps/{app}"), component).await;
    let large = deploy("hello", guests::example("hello-cities")).await;
    assert_eq!((large.status.as_u16(), large.text().contains("'componentBytes'")), (413, true), "{}", large.text());
    assert_eq!(deploy("flow", guests::guest("flow")).await.status, 200, "what is there stays");
    limit(&host, &json!({"apps": 2})).await;
    assert_eq!(deploy("hello", guests::example("hello-cities")).await.status, 201);
    let third = deploy("third", guests::example("hello-cities")).await;
    assert_eq!(third.status, 409, "its functions are taken: {}", third.text());
    limit(&host, &json!({"apps": 1})).await;
    let other = deploy("third", guests::example("saga")).await;
    is_over(&other, "apps", None);
    assert_eq!(usage(&host, "apps").await, 2);
    let both = flow + guests::example("hello-cities").len() as u64;
    assert_eq!(usage(&host, "componentBytes").await, both);
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_over_the_limit_wait_and_others_do_not() {
    let (host, _clock) = limited(&json!({"concurrentActivities": 1})).await;
    let sleeps = json!(["Sleep", 3_600_000]);
    assert_eq!(start(&host, "tenant", "OneActivity", &sleeps).await.status, 202);
    let path = |hub: &str, wait: &str| format!("{WEBHOOKS}/orchestrators/OneActivity/quick?taskHub={hub}{wait}");
    let wait = "&timeout=60&pollingInterval=1";
    let echo = || json!(["Echo", "x"]).to_string();
    assert_eq!(host.send("POST", &path("tenant", "&timeout=0.2&pollingInterval=0.1"), echo()).await.status, 202);
    assert_eq!(host.send("POST", &path("other", wait), echo()).await.status, 200, "another hub is none the worse");
    let waits = host.engine.wait_for_start(&"tenant".into(), "quick", Duration::from_secs(60)).await.unwrap().unwrap();
    assert_eq!(waits.record.status, Status::Running);
    // A raised limit counts at once, also for those that wait.
    limit(&host, &json!({"concurrentActivities": 2})).await;
    host.engine.wait(&"tenant".into(), "quick", Duration::from_secs(60)).await.unwrap();
    let done = host.send("GET", &format!("{WEBHOOKS}/instances/quick?taskHub=tenant"), "").await;
    assert_eq!(done.json()["output"], json!("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_stores_too_much_takes_nothing_in_and_what_runs_goes_on() {
    let (host, _clock) = limited(&json!({})).await;
    let waits = start(&host, "tenant", "Event", &json!("Go")).await.json()["id"].as_str().unwrap().to_owned();
    let other = start(&host, "tenant", "Event", &json!("Go")).await.json()["id"].as_str().unwrap().to_owned();
    limit(&host, &json!({"storedBytes": 10})).await;
    let is_full = |answer: &Answer| {
        let words = "The task hub 'tenant' is at its limit 'storedBytes' of 10.";
        assert_eq!((answer.status.as_u16(), answer.text().contains(words)), (413, true), "{}", answer.text());
    };
    is_full(&start(&host, "tenant", "Event", &json!("Go")).await);
    let event = |id: &str| format!("{WEBHOOKS}/instances/{id}/raiseEvent/Go?taskHub=tenant");
    is_full(&host.send("POST", &event(&waits), "1").await);
    assert_eq!(start(&host, "other", "Event", &json!("Go")).await.status, 202);
    let terminate = format!("{WEBHOOKS}/instances/{other}/terminate?taskHub=tenant");
    assert_eq!(host.send("POST", &terminate, "").await.status, 202, "ending something is always possible");
    limit(&host, &json!({"storedBytes": 1_000_000})).await;
    assert_eq!(host.send("POST", &event(&waits), "1").await.status, 202);
    host.engine.wait(&"tenant".into(), &waits, Duration::from_secs(60)).await.unwrap();
    host.engine.wait(&"tenant".into(), &other, Duration::from_secs(60)).await.unwrap();
    let meters = async || host.send("GET", "/admin/hubs/tenant/usage", "").await.json();
    let before = meters().await;
    assert!(before["now"]["storedBytes"].as_u64().unwrap() > 10, "{before}");
    assert_eq!(before["limits"]["storedBytes"], 1_000_000);
    for id in [&waits, &other] {
        let path = format!("{WEBHOOKS}/instances/{id}?taskHub=tenant");
        assert_eq!(host.send("DELETE", &path, "").await.status, 200);
    }
    assert_eq!(meters().await["now"]["storedBytes"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_has_run_too_much_waits() {
    let (host, clock) = limited(&json!({"fuelPerSecond": 10})).await;
    let path = format!("{WEBHOOKS}/orchestrators/OneActivity?taskHub=tenant&timeout=60&pollingInterval=1");
    assert_eq!(host.send("POST", &path, json!(["Echo", "x"]).to_string()).await.status, 200);
    let refused = start(&host, "tenant", "Custom", &json!(0)).await;
    let words = "The task hub 'tenant' is at its limit 'fuelPerSecond' of 10.";
    assert_eq!((refused.status.as_u16(), refused.text().contains(words)), (429, true), "{}", refused.text());
    let wait: i64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait > 10, "{wait}");
    assert_eq!(start(&host, "other", "Custom", &json!(0)).await.status, 202);
    clock.advance(wait + 1);
    assert_eq!(start(&host, "tenant", "Custom", &json!(0)).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hub_uses_is_told() {
    let (host, _clock) = limited(&json!({"apps": 3})).await;
    let path = format!("{WEBHOOKS}/orchestrators/OneActivity?taskHub=tenant&timeout=60&pollingInterval=1");
    assert_eq!(host.send("POST", &path, json!(["Echo", "x"]).to_string()).await.status, 200);
    let used = host.send("GET", "/admin/hubs/tenant/usage", "").await.json();
    let number = |name: &str| used["used"][name].as_u64().unwrap_or_else(|| panic!("{name}: {used}"));
    assert_eq!((number("activities"), number("functions")), (1, 0));
    assert!(number("orchestratorFuel") > 0 && number("activityFuel") > 0 && number("activityMicroseconds") > 0);
    assert_eq!(number("fuel"), number("orchestratorFuel") + number("activityFuel"));
    assert_eq!((&used["now"]["instances"], &used["now"]["openInstances"]), (&json!(1), &json!(0)));
    assert_eq!((&used["limits"]["apps"], &used["limits"]["openInstances"]), (&json!(3), &Value::Null));
    assert_eq!(number("requests"), 3, "the deployment, the start and this one; the rest is the server's own business");
    let nobody = host.send("GET", "/admin/hubs/nobody/usage", "").await;
    assert_eq!(nobody.status, 404);
    let others = host.send("GET", "/admin/hubs/other/usage", "").await.json();
    assert_eq!(others["used"]["fuel"], 0);
}

async fn meters(host: &Host) -> Value {
    host.send("GET", "/admin/hubs/tenant/usage", "").await.json()
}

async fn ended(host: &Host, id: &str) -> Value {
    host.engine.wait(&"tenant".into(), id, Duration::from_secs(60)).await.unwrap();
    host.send("GET", &format!("{WEBHOOKS}/instances/{id}?taskHub=tenant&showHistory=true"), "").await.json()
}

async fn begin(host: &Host, function: &str, input: &Value) -> String {
    let answer = start(host, "tenant", function, input).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_is_shown_beside_what_is_used_of_it() {
    let (host, clock) = limited(&json!({"startsPerSecond": 5, "memoryBytes": 1_000_000_000})).await;
    begin(&host, "Event", &json!("Go")).await;
    begin(&host, "Event", &json!("Go")).await;
    let quotas = meters(&host).await["quotas"].clone();
    assert_eq!(quotas.as_object().unwrap().len(), 11, "{quotas}");
    assert_eq!(quotas["openInstances"], json!({"used": 2, "limit": null}));
    assert_eq!(quotas["startsPerSecond"], json!({"used": 2, "limit": 5}));
    assert_eq!(quotas["requestsPerSecond"], json!({"used": null, "limit": null}), "nobody counts it");
    assert_eq!(quotas["memoryBytes"]["limit"], 1_000_000_000);
    clock.advance(1);
    assert_eq!(meters(&host).await["quotas"]["startsPerSecond"]["used"], 0, "what was taken has flowed back");
}

/// The memory of the hub's guests, once it is what it should be.
async fn memory(host: &Host, is_it: impl Fn(u64) -> bool) -> u64 {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let held = meters(host).await["now"]["memoryBytes"].as_u64().unwrap();
        if is_it(held) {
            return held;
        }
        assert!(tokio::time::Instant::now() < deadline, "{held} bytes");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_whose_guests_have_all_its_memory_begins_nothing() {
    let (host, _clock) = limited(&json!({})).await;
    assert_eq!(host.send("PUT", "/admin/hubs/tenant/apps/network", guests::guest("network")).await.status, 201);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hears = begin(&host, "Asks", &json!(format!("tcp {}", listener.local_addr().unwrap()))).await;
    let (mut heard, _) = listener.accept().await.unwrap();
    heard.read_exact(&mut [0; 4]).await.unwrap();
    // Only the activity is left, which waits for an answer. The orchestrator waits in memory a moment after its commit.
    while !host.send("GET", "/metrics", "").await.text().contains("\ndurawasm_hot_guests 1\n") {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    host.engine.evict_all();
    let held = memory(&host, |held| held > 0).await;
    limit(&host, &json!({"memoryBytes": held})).await;
    is_over(&start(&host, "tenant", "Event", &json!("Go")).await, "memoryBytes", Some("5"));
    assert_eq!(start(&host, "other", "Event", &json!("Go")).await.status, 202);
    let quota = meters(&host).await["quotas"]["memoryBytes"].clone();
    assert_eq!(quota, json!({"used": held, "limit": held}));
    // With a little more an orchestrator is let in, finds too little, and waits instead of failing.
    limit(&host, &json!({"memoryBytes": held + 1})).await;
    let waits = begin(&host, "OneActivity", &json!(["Echo", "at last"])).await;
    let status = host.send("GET", &format!("{WEBHOOKS}/instances/{waits}?taskHub=tenant"), "").await.json();
    assert!(["Pending", "Running"].contains(&status["runtimeStatus"].as_str().unwrap()), "{status}");
    limit(&host, &json!({"memoryBytes": 1_000_000_000})).await;
    assert_eq!(ended(&host, &waits).await["output"], "at last");
    heard.write_all(b"pong").await.unwrap();
    assert_eq!(ended(&host, &hears).await["output"], "pong", "what had its memory was not disturbed");
}

/// Starts an instance that waits for `Go`. Returns when its guest does.
async fn parked(host: &Host) -> String {
    let id = begin(host, "Event", &json!("Go")).await;
    let path = format!("{WEBHOOKS}/instances/{id}?taskHub=tenant");
    while host.send("GET", &path, "").await.json()["runtimeStatus"] != "Running" {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_only_wait_make_room_for_others() {
    let (host, _clock) = limited(&json!({})).await;
    let first = parked(&host).await;
    let held = memory(&host, |held| held > 0).await;
    // Room for one of them, and a little for what it comes to need.
    limit(&host, &json!({"memoryBytes": held + held / 2})).await;
    let second = parked(&host).await;
    for id in [&second, &first] {
        let path = format!("{WEBHOOKS}/instances/{id}/raiseEvent/Go?taskHub=tenant");
        assert_eq!(host.send("POST", &path, "\"heard\"").await.status, 202);
        assert_eq!(ended(&host, id).await["output"], "heard");
    }
    memory(&host, |held| held == 0).await;
    // Memory is metered also while nothing runs: more than a MiB for more than five milliseconds.
    let before = meters(&host).await["used"]["memoryMebibyteMilliseconds"].as_u64().unwrap();
    let third = parked(&host).await;
    memory(&host, |held| held > 1 << 20).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let path = format!("{WEBHOOKS}/instances/{third}/raiseEvent/Go?taskHub=tenant");
    assert_eq!(host.send("POST", &path, "1").await.status, 202);
    ended(&host, &third).await;
    let after = meters(&host).await["used"]["memoryMebibyteMilliseconds"].as_u64().unwrap();
    assert!(after >= before + 5, "{before}, {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_alone_wants_more_than_its_hub_may_have_is_told() {
    let (host, _clock) = limited(&json!({"memoryBytes": 100_000})).await;
    let id = begin(&host, "Event", &json!("Go")).await;
    let status = ended(&host, &id).await;
    let output = status["output"].as_str().unwrap();
    assert_eq!(status["runtimeStatus"], "Failed", "{status}");
    assert!(output.contains("The task hub 'tenant' is at its limit 'memoryBytes' of 100000."), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_the_outside_have_a_rate() {
    let (host, clock) = limited(&json!({"connectionsPerSecond": 2})).await;
    let network = guests::guest("network");
    assert_eq!(host.send("PUT", "/admin/hubs/tenant/apps/network", network).await.status, 201);
    let outside = Outside::new().await;
    let over = "The task hub 'tenant' is at its limit 'connectionsPerSecond' of 2.";
    let by_orchestrator = json!({"step": {"http": {"url": outside.url("/echo")}}});
    let call = async |input: &Value| ended(&host, &begin(&host, "Program", input).await).await;
    for _ in 0..2 {
        assert_eq!(call(&by_orchestrator).await["runtimeStatus"], "Completed");
    }
    let refused = call(&by_orchestrator).await;
    assert!(refused["output"].as_str().unwrap().contains(over), "{refused}");
    assert!(refused["historyEvents"].to_string().contains("QuotaExceeded"), "{refused}");
    let asks = [json!(format!("fetch {}", outside.url("/echo"))), json!(format!("tcp {}", outside.address))];
    for input in &asks {
        let refused = ended(&host, &begin(&host, "Asks", input).await).await;
        let told = refused["historyEvents"].to_string();
        assert!(refused["runtimeStatus"] == "Failed" && told.contains(over), "{refused}");
    }
    assert_eq!(outside.paths().len(), 2, "nothing else went out");
    let usage = meters(&host).await;
    assert_eq!(usage["quotas"]["connectionsPerSecond"], json!({"used": 2, "limit": 2}));
    assert_eq!(usage["used"]["connections"], 2);
    clock.advance(1);
    assert_eq!(call(&by_orchestrator).await["runtimeStatus"], "Completed");
    assert_eq!(ended(&host, &begin(&host, "Asks", &asks[0]).await).await["runtimeStatus"], "Completed");
    assert_eq!(meters(&host).await["used"]["connections"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_to_and_from_the_outside_have_a_rate() {
    let (host, clock) = limited(&json!({"egressBytesPerSecond": 1000})).await;
    let network = guests::guest("network");
    assert_eq!(host.send("PUT", "/admin/hubs/tenant/apps/network", network).await.status, 201);
    let outside = Outside::new().await;
    let bytes = async || meters(&host).await["used"]["egressBytes"].as_u64().unwrap();

    // An answer of 200,000 bytes takes about as many seconds as it has thousands of them, on a clock that the test moves.
    let call = json!({"step": {"http": {"url": outside.url("/huge?bytes=200000")}}});
    let id = begin(&host, "Program", &call).await;
    let mut passed = 0;
    let status_of = async |id: &str| {
        let path = format!("{WEBHOOKS}/instances/{id}?taskHub=tenant");
        host.send("GET", &path, "").await.json()["runtimeStatus"].clone()
    };
    let began = Instant::now();
    while status_of(&id).await != "Completed" {
        assert!(began.elapsed() < Duration::from_secs(300), "it goes on as the clock does");
        // Only as long as what has passed is not paid for: whether somebody looks in time is the machine's.
        if meters(&host).await["quotas"]["egressBytesPerSecond"]["used"].as_u64() >= Some(1000) {
            clock.advance(1);
            passed += 1;
        }
        tokio::task::yield_now().await;
    }
    // What comes at once may be read at once, up to 64 KiB, and is paid for afterwards.
    assert!(passed >= 100, "{passed}");
    let sum = bytes().await;
    assert!((200_000..202_000).contains(&sum), "{sum}");
    assert_eq!(meters(&host).await["quotas"]["egressBytesPerSecond"]["limit"], 1000);

    // A socket: four bytes go, and the four that come back wait until they may.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let other_side = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(b"pong").await.unwrap();
        stream
    });
    clock.advance(1_000);
    let before = bytes().await;
    assert_eq!(meters(&host).await["quotas"]["egressBytesPerSecond"]["used"], 0, "all is paid for");
    limit(&host, &json!({"egressBytesPerSecond": 4})).await;
    let id = begin(&host, "Asks", &json!(format!("tcp {address}"))).await;
    let _open = other_side.await.unwrap();
    for _ in 0..20 {
        assert_eq!(status_of(&id).await, "Running");
    }
    assert_eq!(bytes().await, before + 4);
    clock.advance(2);
    let status = ended(&host, &id).await;
    assert_eq!((&status["runtimeStatus"], &status["output"]), (&json!("Completed"), &json!("pong")), "{status}");
    assert_eq!(bytes().await, before + 8);
    let logs = host.send("GET", &format!("{WEBHOOKS}/instances/{id}/logs?taskHub=tenant"), "").await.text();
    assert!(logs.contains("The task hub 'tenant' is at its limit 'egressBytesPerSecond' of 4."), "{logs}");

    // Without a limit nobody waits, and what passes counts all the same.
    limit(&host, &json!({})).await;
    let before = bytes().await;
    let id = begin(&host, "Asks", &json!(format!("fetch {}", outside.url("/echo")))).await;
    assert_eq!(ended(&host, &id).await["runtimeStatus"], "Completed");
    let asked_and_answered = "POST /echo hello".len() as u64 + 100;
    assert!(bytes().await > before + asked_and_answered);
}
