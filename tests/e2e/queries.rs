//! Lists, counts, purges and retention, with real instances behind the real router.

use std::sync::Arc;
use std::time::Duration;

use durawasm_core::Status;
use durawasm_host::engine::{PurgeError, PurgeOptions, Settings};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::sled::{SledOptions, SledStore};
use durawasm_host::store::{Commit, Expect, HubName, InstanceRecord, PayloadParts, Reuse, SharedStore, Store};
use durawasm_tests::{Answer, Host, ManualClock, guests};
use serde_json::{Value, json};

const BASE: &str = "/runtime/webhooks/durabletask";

/// A host whose clock stands still.
async fn host(clock: &ManualClock, store: SharedStore) -> Host {
    let settings = Settings { start_patience: Duration::from_secs(30), ..Settings::default() };
    let host = Host::with(store, settings, clock.clock()).await;
    host.deploy("flow", guests::guest("flow")).await;
    host
}

async fn start(host: &Host, function: &str, id: &str, input: Value) {
    let answer = host.send("POST", &format!("{BASE}/orchestrators/{function}/{id}"), input.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

/// Five instances, a minute apart: two completed, one failed, one terminated, one waiting.
async fn five(clock: &ManualClock, host: &Host) {
    start(host, "OneActivity", "done-1", json!(["Echo", "x"])).await;
    host.ended("done-1").await;
    clock.advance(60);
    start(host, "Event", "waits", json!("Go")).await;
    clock.advance(60);
    start(host, "Fails", "failed", json!("why")).await;
    host.ended("failed").await;
    clock.advance(60);
    start(host, "Event", "ended", json!("Go")).await;
    host.send("POST", &format!("{BASE}/instances/ended/terminate?reason=enough"), "").await;
    host.ended("ended").await;
    clock.advance(60);
    start(host, "OneActivity", "done-2", json!(["Echo", {"big": [1, 2]}])).await;
    host.ended("done-2").await;
}

async fn listed(host: &Host, query: &str) -> Vec<String> {
    let answer = host.send("GET", &format!("{BASE}/instances{query}"), "").await;
    assert_eq!((answer.status.as_u16(), &answer.headers["x-ms-continuation-token"]), (200, &"".parse().unwrap()));
    answer.json().as_array().unwrap().iter().map(|row| row["instanceId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_filtered_ordered_and_shaped() {
    let folder = tempfile::tempdir().unwrap();
    let sled = SledStore::open(folder.path(), SledOptions::default()).unwrap();
    for store in [Arc::new(MemoryStore::default()) as SharedStore, Arc::new(sled)] {
        let clock = ManualClock::new();
        let host = host(&clock, store).await;
        five(&clock, &host).await;
        let all = ["done-1", "waits", "failed", "ended", "done-2"];
        for (query, expected) in [
            ("", &all[..]),
            ("/?runtimeStatus=&top=x&createdTimeFrom=yesterday&instanceIdPrefix=", &all),
            ("?RuntimeStatus=Completed", &["done-1", "done-2"]),
            ("?runtimeStatus=Running,Failed", &["waits", "failed"]),
            ("?runtimeStatus=5&runtimestatus=3", &["failed", "ended"]),
            ("?runtimeStatus=completed,9", &all),
            ("?runtimeStatus=Canceled", &[]),
            ("?createdTimeFrom=2026-01-01T00:01:00Z&createdTimeTo=2026-01-01T00:03:00", &["waits", "failed", "ended"]),
            ("?createdTimeFrom=2026-01-01T01:03:00%2B01:00", &["ended", "done-2"]),
            ("?createdTimeTo=1-01-01T00:00:00.000000Z", &[]),
            ("?INSTANCEIDPREFIX=done&showInput=True", &["done-1", "done-2"]),
            ("?name=Event", &["waits", "ended"]),
            ("?name=Event&runtimeStatus=Running", &["waits"]),
        ] {
            assert_eq!(listed(&host, query).await, expected, "{query}");
        }
        // Byte for byte, without the input of what is large.
        let answer = host.send("GET", &format!("{BASE}/instances?instanceIdPrefix=done-2&showInput=false"), "").await;
        assert_eq!(
            answer.text(),
            r#"[{"name":"OneActivity","version":"0.1.0","instanceId":"done-2","runtimeStatus":"Completed","input":null,"customStatus":null,"output":{"big":[1,2]},"createdTime":"2026-01-01T00:04:00Z","lastUpdatedTime":"2026-01-01T00:04:00Z"}]"#
        );
        assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
        let shown = host.send("GET", &format!("{BASE}/instances?runtimeStatus=Terminated"), "").await.json();
        assert_eq!((&shown[0]["input"], &shown[0]["output"]), (&json!("Go"), &json!("enough")));
        let elsewhere = host.send("GET", &format!("{BASE}/instances?taskHub=Other"), "").await;
        assert_eq!(elsewhere.status, 404);
    }
}

/// All pages of a list, from token to token.
async fn paged(host: &Host, query: &str) -> (Vec<String>, usize) {
    let (mut ids, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let headers = [("x-ms-continuation-token", token.as_str())];
        let answer = host.send_adding("GET", &format!("{BASE}/instances?{query}"), &headers, "").await;
        assert_eq!(answer.status, 200);
        ids.extend(answer.json().as_array().unwrap().iter().map(|row| row["instanceId"].as_str().unwrap().to_owned()));
        pages += 1;
        token = answer.headers["x-ms-continuation-token"].to_str().unwrap().to_owned();
        if token.is_empty() {
            return (ids, pages);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_their_tokens_whatever_happens_meanwhile() {
    let clock = ManualClock::new();
    let host = host(&clock, Arc::new(MemoryStore::default())).await;
    for index in 0..130 {
        clock.advance(i64::from(index % 2));
        start(&host, "OneActivity", &format!("i{index:03}"), json!(["Echo", index])).await;
        host.ended(&format!("i{index:03}")).await;
    }
    let all: Vec<_> = (0..130).map(|index| format!("i{index:03}")).collect();
    assert_eq!(paged(&host, "").await, (all.clone(), 2));
    assert_eq!(paged(&host, "top=50").await, (all.clone(), 3));
    let rpc = host.send("GET", "/durabletask/instances/?connectionName=x", "").await;
    assert_eq!(
        (rpc.json().as_array().unwrap().len(), &rpc.headers["x-ms-continuation-token"]),
        (130, &"".parse().unwrap())
    );
    assert_eq!(host.send("GET", "/durabletask/instances/?top=7", "").await.json().as_array().unwrap().len(), 7);

    let first = host.send("GET", &format!("{BASE}/instances?top=40"), "").await;
    let token = first.headers["x-ms-continuation-token"].to_str().unwrap();
    // What the page ended with goes, what comes next goes, something new comes.
    for gone in ["i039", "i040", "i000"] {
        assert_eq!(host.send("DELETE", &format!("{BASE}/instances/{gone}"), "").await.status, 200);
    }
    start(&host, "OneActivity", "new", json!(["Echo", 1])).await;
    let headers = [("X-MS-Continuation-Token", token)];
    let second = host.send_adding("GET", &format!("{BASE}/instances?top=1000"), &headers, "").await.json();
    let ids: Vec<_> = second.as_array().unwrap().iter().map(|row| row["instanceId"].as_str().unwrap()).collect();
    let mut expected: Vec<_> = all[41..].iter().map(String::as_str).collect();
    expected.push("new");
    assert_eq!(ids, expected);

    let bad = host.send_adding("GET", &format!("{BASE}/instances"), &[("x-ms-continuation-token", "zz")], "").await;
    assert_eq!(bad.status, 400);
    assert!(bad.json()["Message"].as_str().unwrap().contains("x-ms-continuation-token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_large_instances_is_streamed_whole() {
    let host = Host::new().await;
    host.deploy("flow", guests::guest("flow")).await;
    let large = "x".repeat(300_000);
    for _ in 0..8 {
        host.run("OneActivity", json!(["Echo", large])).await;
    }
    let list = host.send("GET", &format!("{BASE}/instances"), "").await;
    assert_eq!(list.headers.get("content-length"), None, "several chunks");
    let packed = host.send_adding("GET", &format!("{BASE}/instances"), &[("accept-encoding", "gzip")], "").await;
    // Gzip ends with the length of what was packed.
    let length = u32::from_le_bytes(*packed.body.last_chunk().unwrap());
    assert_eq!((&packed.headers["content-encoding"], length as usize), (&"gzip".parse().unwrap(), list.body.len()));
    let list = list.json();
    assert_eq!(list.as_array().unwrap().len(), 8);
    assert!(
        list.as_array().unwrap().iter().all(|row| row["output"] == json!(large) && row["input"][1] == json!(large))
    );
    let bare = host.send("GET", &format!("{BASE}/instances?showInput=false"), "").await.json();
    assert!(bare.as_array().unwrap().iter().all(|row| row["input"].is_null() && row["output"] == json!(large)));
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_given_in_one_call() {
    let clock = ManualClock::new();
    let host = host(&clock, Arc::new(MemoryStore::default())).await;
    five(&clock, &host).await;
    let counts = async |query: &str| host.send("GET", &format!("{BASE}/statistics{query}"), "").await.text();
    assert_eq!(
        counts("").await,
        r#"{"Running":1,"Completed":2,"ContinuedAsNew":0,"Failed":1,"Canceled":0,"Terminated":1,"Pending":0,"Suspended":0}"#
    );
    let by_name: Value = serde_json::from_str(&counts("?byName=true").await).unwrap();
    assert_eq!((&by_name["Event"]["Running"], &by_name["Event"]["Terminated"]), (&json!(1), &json!(1)));
    assert_eq!((&by_name["OneActivity"]["Completed"], by_name.as_object().unwrap().len()), (&json!(2), 3));
    assert!(counts("?name=Fails").await.starts_with(r#"{"Running":0,"Completed":0,"ContinuedAsNew":0,"Failed":1,"#));
    assert_eq!(counts("?name=Nope&byName=true").await, "{}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_instance_is_purged_once_it_has_ended() {
    let clock = ManualClock::new();
    let host = host(&clock, Arc::new(MemoryStore::default())).await;
    five(&clock, &host).await;
    let delete = async |path: &str| host.send("DELETE", &format!("{BASE}/instances/{path}"), "").await;
    let body = |answer: &Answer| (answer.status.as_u16(), answer.text());
    assert_eq!(body(&delete("done-1").await), (200, r#"{"instancesDeleted":1}"#.to_owned()));
    assert_eq!(body(&delete("done-1").await), (404, String::new()));
    assert_eq!(host.send("GET", &format!("{BASE}/instances/done-1"), "").await.status, 404);
    let message = "The orchestration with instance ID 'waits' has the status 'Running' and cannot be purged: \
                   terminate it first, or purge it with force=true.";
    assert_eq!(
        body(&delete("waits?force=false").await),
        (
            409,
            format!(
                r#"{{"Message":"{message}","ExceptionMessage":"{message}","ExceptionType":"InvalidOperationException","StackTrace":""}}"#
            )
        )
    );
    assert_eq!(host.status("waits").await["runtimeStatus"], "Running", "it was left alone");
    // Who waits for it learns that it is gone, at once.
    let hub = HubName::from("default");
    let waiting = tokio::spawn({
        let (engine, hub) = (host.engine.clone(), hub.clone());
        async move { engine.wait(&hub, "waits", Duration::from_secs(60)).await }
    });
    assert_eq!(body(&delete("waits?Force=True").await), (200, r#"{"instancesDeleted":1}"#.to_owned()));
    let waited = tokio::time::timeout(Duration::from_secs(50), waiting).await.unwrap().unwrap().unwrap();
    assert!(!matches!(waited, durawasm_host::engine::Waited::StillRunning), "{waited:?}");
    assert_eq!(host.send("GET", &format!("{BASE}/instances/waits"), "").await.status, 404);
    let raised = host.send("POST", &format!("{BASE}/instances/waits/raiseEvent/Go"), "1").await;
    assert_eq!(raised.status, 404);
    assert!(matches!(host.engine.purge(&hub, "waits", PurgeOptions::default()).await, Err(PurgeError::Unknown)));
    // The id is free again, and what comes is new.
    start(&host, "OneActivity", "waits", json!(["Echo", "again"])).await;
    assert_eq!(host.ended("waits").await["output"], "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_purged_by_time_and_status() {
    let clock = ManualClock::new();
    let host = host(&clock, Arc::new(MemoryStore::default())).await;
    five(&clock, &host).await;
    let delete = async |query: &str| {
        let answer = host.send("DELETE", &format!("{BASE}/instances{query}"), "").await;
        (answer.status.as_u16(), answer.text())
    };
    let missing = (400, r#""Please provide value for 'createdTimeFrom' parameter.""#.to_owned());
    let nothing = (404, String::new());
    let deleted = |count: usize| (200, format!(r#"{{"instancesDeleted":{count}}}"#));
    assert_eq!(delete("").await, missing);
    assert_eq!(delete("/?createdTimeFrom=soon&runtimeStatus=Completed").await, missing);
    assert_eq!(delete("?createdTimeFrom=2026-02-01").await, nothing);
    assert_eq!(
        delete("?createdTimeFrom=2020-01-01&runtimeStatus=Running,Pending").await,
        nothing,
        "they have not ended"
    );
    assert_eq!(delete("?createdTimeFrom=2026-01-01T00:00:00Z&createdTimeTo=2026-01-01T00:00:00Z").await, deleted(1));
    assert_eq!(delete("?createdTimeFrom=0001-01-01T00:00:00&runtimeStatus=Failed,Running").await, deleted(1));
    assert_eq!(listed(&host, "").await, ["waits", "ended", "done-2"]);
    assert_eq!(delete("?createdTimeFrom=2020-01-01&name=OneActivity").await, deleted(1), "a filter never widens");
    assert_eq!(delete("?createdTimeFrom=2020-01-01").await, deleted(1));
    assert_eq!(listed(&host, "").await, ["waits"]);
    assert_eq!(delete("?createdTimeFrom=2020-01-01").await, nothing);
}

/// Rows as a parent's start of children leaves them.
async fn relate(store: &dyn Store, parent: &str, child: &str) {
    let found = store.instance(&HubName::from("default"), child).await.unwrap().unwrap();
    let (record, _) = store.snapshot(found.number, PayloadParts::default()).await.unwrap().unwrap();
    let record = InstanceRecord { parent_instance_id: Some(parent.into()), ..record };
    store.commit(Commit { expect: Expect::Startable(Reuse::Terminal), ..commit(record) }).await.unwrap();
}

fn commit(record: InstanceRecord) -> Commit {
    Commit {
        expect: Expect::Revision(record.revision),
        record,
        payloads: Default::default(),
        fresh_history: false,
        events: Vec::new(),
        timers_set: Vec::new(),
        timers_cleared: Vec::new(),
        mail_sent: Vec::new(),
        mail_taken: Vec::new(),
        usage: Default::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_takes_ended_children_along_when_asked() {
    let clock = ManualClock::new();
    let store: SharedStore = Arc::new(MemoryStore::default());
    let host = host(&clock, Arc::clone(&store)).await;
    for id in ["top", "left", "right", "deep", "below", "stranger"] {
        start(&host, "OneActivity", id, json!(["Echo", id])).await;
        host.ended(id).await;
    }
    for (parent, child) in [("top", "left"), ("top", "right"), ("left", "deep"), ("open", "below")] {
        relate(&*store, parent, child).await;
    }
    let like = store.instance(&HubName::from("default"), "stranger").await.unwrap().unwrap();
    let (parent, status) = (Some("left".into()), Status::Suspended);
    let open = InstanceRecord { id: "open".into(), parent_instance_id: parent, status, ..like };
    store.commit(Commit { expect: Expect::Startable(Reuse::Never), ..commit(open) }).await.unwrap();
    let delete = async |path: &str| host.send("DELETE", &format!("{BASE}/instances{path}"), "").await.text();
    assert_eq!(delete("/right").await, r#"{"instancesDeleted":1}"#);
    assert_eq!(delete("/top?recursive=true").await, r#"{"instancesDeleted":3}"#);
    assert_eq!(
        listed(&host, "").await,
        ["below", "open", "stranger"],
        "what has not ended stays, with what is below it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_long_ago_is_purged_by_itself() {
    let clock = ManualClock::new();
    let settings = Settings { retention: Some(Duration::from_secs(24 * 3600)), ..Settings::default() };
    let host = Host::with(Arc::new(MemoryStore::default()), settings, clock.clock()).await;
    host.deploy("flow", guests::guest("flow")).await;
    start(&host, "OneActivity", "old", json!(["Echo", 1])).await;
    host.ended("old").await;
    start(&host, "Event", "waits", json!("Go")).await;
    start(&host, "Event", "late", json!("Go")).await;
    clock.advance(20 * 3600);
    host.send("POST", &format!("{BASE}/instances/late/raiseEvent/Go"), "1").await;
    host.ended("late").await;
    start(&host, "OneActivity", "young", json!(["Echo", 1])).await;
    host.ended("young").await;
    let left = async |expected: &[&str]| {
        host.engine.clock_moved();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while listed(&host, "").await != expected {
            assert!(tokio::time::Instant::now() < deadline, "{:?}, not {expected:?}", listed(&host, "").await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    left(&["late", "old", "waits", "young"]).await;
    clock.advance(4 * 3600 + 3600);
    left(&["late", "waits", "young"]).await;
    clock.advance(20 * 3600);
    left(&["waits"]).await;
}
