//! A hub goes to another server as a file, and its instances end there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use durawasm_core::Letter;
use durawasm_host::engine::Settings;
use durawasm_host::engine::executor::Executor;
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::sled::{SledOptions, SledStore};
use durawasm_host::store::{Commit, Expect, HubName, InstanceRecord, NewMail, PayloadChanges, SharedStore};
use durawasm_host::wasm::WasmExecutor;
use durawasm_tests::{Answer, DyingStore, Host, ManualClock, guests};
use serde_json::{Value, json};

use crate::program::{Program, verb};
use crate::versions::with_folder;

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";

/// A server with components of its own.
struct Server {
    host: Host,
    store: SharedStore,
    clock: ManualClock,
    folder: tempfile::TempDir,
    executor: Arc<WasmExecutor>,
}

impl Server {
    async fn on(store: SharedStore) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::new());
        let (host, executor) = with_folder(&store, folder.path(), &clock).await;
        Self { host, store, clock, folder, executor }
    }

    async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::default())).await
    }

    async fn ask(&self, request: &str, body: impl Into<axum::body::Body>) -> Answer {
        let (method, path) = request.split_once(' ').unwrap();
        self.host.send(method, path, body).await
    }

    async fn start(&self, hub: &str, function: &str, id: &str, input: &Value) {
        let request = format!("POST {WEBHOOKS}/orchestrators/{function}/{id}?taskHub={hub}");
        let answer = self.ask(&request, input.to_string()).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }

    async fn status(&self, hub: &str, id: &str) -> Value {
        let query = "showHistory=true&showHistoryOutput=true";
        self.ask(&format!("GET {WEBHOOKS}/instances/{id}?taskHub={hub}&{query}"), "").await.json()
    }

    async fn tell(&self, hub: &str, id: &str, what: &str) -> u16 {
        self.ask(&format!("POST {WEBHOOKS}/instances/{id}/{what}?taskHub={hub}"), "\"told\"").await.status.as_u16()
    }

    async fn ended(&self, hub: &str, id: &str) -> Value {
        self.host.engine.wait(&hub.into(), id, Duration::from_secs(60)).await.unwrap();
        let status = self.status(hub, id).await;
        json!([status["runtimeStatus"], status["output"]])
    }

    async fn export(&self, hub: &str, query: &str) -> Bytes {
        let answer = self.ask(&format!("GET /admin/hubs/{hub}/export{query}"), "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.body
    }

    async fn import(&self, hub: &str, file: Bytes) -> Answer {
        self.ask(&format!("PUT /admin/hubs/{hub}/import"), file).await
    }
}

fn components(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("components")).unwrap().count()
}

fn flow(step: Value) -> Value {
    json!({ "step": step })
}

/// A hub with instances in every state, and a message that has not been delivered.
async fn furnish(server: &Server, hub: &str) {
    assert_eq!(server.ask(&format!("PUT /admin/hubs/{hub}"), "").await.status, 201);
    assert_eq!(server.ask(&format!("PUT /admin/hubs/{hub}/apps/old"), guests::guest("flow")).await.status, 201);
    let config = json!({"env": {"MODE": "test"}, "secrets": {"TOKEN": "hush hush"}});
    assert_eq!(server.ask(&format!("PUT /admin/hubs/{hub}/config"), config.to_string()).await.status, 200);
    let child = json!({"child": {"label": "c", "step": {"event": "Go"}}});
    server.start(hub, "Event", "waits", &json!("Go")).await;
    server.start(hub, "Event", "hears", &json!("Letter")).await;
    server.start(hub, "Event", "suspended", &json!("Go")).await;
    server.host.engine.wait_for_start(&hub.into(), "suspended", Duration::from_secs(60)).await.unwrap();
    assert_eq!(server.tell(hub, "suspended", "suspend").await, 202);
    server.start(hub, "Program", "sleeps", &flow(json!({"seq": [{"sleep": 3_600}, {"echo": "awake"}]}))).await;
    server.start(hub, "Program", "parent", &flow(json!({"seq": [{"echo": 1}, child]}))).await;
    server.start(hub, "Program", "repairs", &flow(json!({"seq": [{"echo": 1}, {"repaired": {"rewinds": 1}}]}))).await;
    let large = "x".repeat(300_000);
    server.start(hub, "Program", "large", &flow(json!({"echo": large}))).await;
    assert_eq!(server.ended(hub, "large").await, json!(["Completed", large]));
    assert_eq!(server.ended(hub, "repairs").await[0], "Failed");
    server.host.engine.wait_for_start(&hub.into(), "parent.c", Duration::from_secs(60)).await.unwrap();
    for id in ["waits", "hears", "sleeps", "parent.c"] {
        while server.status(hub, id).await["runtimeStatus"] != "Running" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let name = HubName::from(hub);
    let record = server.store.instance(&name, "large").await.unwrap().unwrap();
    let letter = Letter::EventRaised { name: "Letter".to_owned(), input: Some("\"a letter\"".into()) };
    send(&server.store, &record, vec![NewMail { to: "hears".into(), pin: None, letter }]).await;
}

/// Sends messages of which the server's engine hears nothing.
async fn send(store: &SharedStore, from: &InstanceRecord, mail: Vec<NewMail>) {
    let commit = Commit {
        expect: Expect::Revision(from.revision),
        record: from.clone(),
        payloads: PayloadChanges::default(),
        fresh_history: false,
        events: Vec::new(),
        timers_set: Vec::new(),
        timers_cleared: Vec::new(),
        mail_sent: mail,
        mail_taken: Vec::new(),
        usage: Default::default(),
    };
    store.commit(commit).await.unwrap();
}

const IDS: [&str; 8] = ["waits", "hears", "suspended", "sleeps", "parent", "parent.c", "repairs", "large"];

/// Every instance of [`furnish`] is let go on and ends as it must.
async fn all_end(server: &Server, hub: &str) {
    assert_eq!(server.ended(hub, "hears").await, json!(["Completed", "a letter"]));
    assert_eq!(server.tell(hub, "waits", "raiseEvent/Go").await, 202);
    assert_eq!(server.ended(hub, "waits").await, json!(["Completed", "told"]));
    assert_eq!(server.tell(hub, "suspended", "resume").await, 202);
    assert_eq!(server.tell(hub, "suspended", "raiseEvent/Go").await, 202);
    assert_eq!(server.ended(hub, "suspended").await, json!(["Completed", "told"]));
    assert_eq!(server.tell(hub, "parent.c", "raiseEvent/Go").await, 202);
    assert_eq!(server.ended(hub, "parent").await, json!(["Completed", [1, "told"]]));
    assert_eq!(server.tell(hub, "repairs", "rewind").await, 202);
    assert_eq!(server.ended(hub, "repairs").await[0], "Completed");
    server.clock.advance(3_601);
    server.host.engine.clock_moved();
    assert_eq!(server.ended(hub, "sleeps").await, json!(["Completed", ["slept", "awake"]]));
}

async fn goes_on_elsewhere(other: Server) {
    let server = Server::new().await;
    furnish(&server, "acme").await;
    let file = server.export("acme", "").await;
    let mut before = Vec::new();
    for id in IDS {
        before.push(server.status("acme", id).await);
    }
    let made = other.import("branch", file.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json(), json!({"hub": "branch", "apps": 1, "instances": 8, "messages": 1}));
    for (id, before) in IDS.into_iter().zip(before).filter(|(id, _)| *id != "hears") {
        let mut now = other.status("branch", id).await;
        now["lastUpdatedTime"] = before["lastUpdatedTime"].clone();
        assert_eq!(now, before, "{id}");
    }
    let config = other.ask("GET /admin/hubs/branch/config", "").await.json();
    assert_eq!((&config["env"], &config["secrets"]), (&json!({"MODE": "test"}), &json!({})));
    assert!(!file.windows(9).any(|bytes| bytes == b"hush hush"));
    all_end(&other, "branch").await;
    other.start("branch", "Event", "new", &json!("Go")).await;
    // The hub that it came from is what it was, but for the letter that its server never heard of.
    assert_eq!(server.tell("acme", "waits", "raiseEvent/Go").await, 202);
    assert_eq!(server.ended("acme", "waits").await, json!(["Completed", "told"]));
    // Back again, with secrets, under another name beside the first.
    let file = other.export("branch", "?secrets=true").await;
    assert_eq!(server.import("acme2", file).await.status, 201);
    assert_eq!(server.ended("acme2", "parent").await, json!(["Completed", [1, "told"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_goes_to_another_server_and_its_instances_end_there() {
    goes_on_elsewhere(Server::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_goes_to_another_server_with_a_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
    goes_on_elsewhere(Server::on(Arc::new(store)).await).await;
}

/// More messages than one commit takes, in their order.
#[tokio::test(flavor = "multi_thread")]
async fn many_messages_travel_with_a_hub() {
    const MANY: usize = 1_234;
    let (server, other) = (Server::new().await, Server::new().await);
    assert_eq!(server.ask("PUT /admin/hubs/acme", "").await.status, 201);
    assert_eq!(server.ask("PUT /admin/hubs/acme/apps/flow", guests::guest("flow")).await.status, 201);
    server.start("acme", "CollectEvents", "collects", &json!(MANY)).await;
    while server.status("acme", "collects").await["runtimeStatus"] != "Running" {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let record = server.store.instance(&"acme".into(), "collects").await.unwrap().unwrap();
    let letter =
        |number: usize| Letter::EventRaised { name: "Item".to_owned(), input: Some(number.to_string().into()) };
    let mail = |number| NewMail { to: "collects".into(), pin: None, letter: letter(number) };
    send(&server.store, &record, (0..MANY).map(mail).collect()).await;
    let made = other.import("branch", server.export("acme", "").await).await;
    assert_eq!(made.json(), json!({"hub": "branch", "apps": 1, "instances": 1, "messages": MANY}));
    let collected: Vec<usize> = (0..MANY).collect();
    assert_eq!(other.ended("branch", "collects").await, json!(["Completed", collected]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_file_of_a_hub_changes_nothing() {
    let (server, other) = (Server::new().await, Server::new().await);
    furnish(&server, "acme").await;
    let file = server.export("acme", "").await;
    let exists = server.import("acme", file.clone()).await;
    assert_eq!((exists.status.as_u16(), exists.text().contains("hub-exists")), (409, true), "{}", exists.text());
    let mut random = crate::kills::random();
    for round in 0..20 {
        let (at, mut bytes) = (random.usize(..file.len()), file.to_vec());
        match round % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.u8(..8),
            _ => bytes.extend_from_slice(b"more"),
        }
        let refused = other.import("branch", bytes.into()).await;
        assert_eq!((refused.status.as_u16(), refused.text().contains("bad-hub-file")), (400, true), "byte {at}");
    }
    assert_eq!(other.import("branch", Bytes::from_static(b"a hub")).await.status, 400);
    assert_eq!(other.import("1", file.clone()).await.status, 400);
    assert!(other.host.engine.hub("branch").is_none() && other.store.hubs().await.unwrap().is_empty());
    assert_eq!(components(other.folder.path()), 0);
    assert_eq!(other.import("branch", file).await.status, 201, "the name is free all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_a_crash_cuts_short_leaves_nothing_or_all() {
    let server = Server::new().await;
    furnish(&server, "acme").await;
    let file = server.export("acme", "").await;
    let mut whole = 0;
    for lives in 0.. {
        let (store, clock): (SharedStore, _) = (Arc::new(MemoryStore::default()), ManualClock::new());
        let dying = DyingStore::new(Arc::clone(&store), lives);
        let executor = Arc::clone(&server.executor) as Arc<dyn Executor>;
        let host = Host::running(dying.clone(), Arc::clone(&executor), (Settings::default(), clock.clock())).await;
        let acknowledged = host.send("PUT", "/admin/hubs/branch/import", file.clone()).await.status == 201;
        host.engine.stop();
        let host = Host::running(Arc::clone(&store), executor, (Settings::default(), clock.clock())).await;
        let opened = host.send("GET", "/admin/hubs/branch/binding", "").await.status == 200;
        assert!(opened || !acknowledged, "{lives}");
        if opened {
            whole += 1;
            let list = host.send("GET", &format!("{WEBHOOKS}/instances?taskHub=branch"), "").await.json();
            assert_eq!(list.as_array().unwrap().len(), IDS.len(), "{lives}");
        } else {
            while host.engine.hub("branch").is_some() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let left = (store.apps().await.unwrap().len(), store.mail(None, 10).await.unwrap().len());
            assert_eq!((left, store.hubs().await.unwrap().len()), ((0, 0), 0), "{lives}");
        }
        host.engine.stop();
        if acknowledged {
            assert!(lives >= 4, "{lives}");
            break;
        }
    }
    assert!(whole >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_works_meanwhile_is_that_of_one_moment() {
    let (server, other) = (Arc::new(Server::new().await), Server::new().await);
    assert_eq!(server.ask("PUT /admin/hubs/acme", "").await.status, 201);
    assert_eq!(server.ask("PUT /admin/hubs/acme/apps/flow", guests::guest("flow")).await.status, 201);
    let child = |label: &str| json!({"child": {"label": label, "step": {"seq": [{"echo": 1}, {"echo": 2}]}}});
    let step = json!({"seq": [child("a"), {"all": [child("b"), child("c")]}, {"echo": 3}, child("d")]});
    let expected = json!(["Completed", [[1, 2], [[1, 2], [1, 2]], 3, [1, 2]]]);
    let stop = Arc::new(AtomicBool::new(false));
    let working = tokio::spawn({
        let (server, step, stop) = (Arc::clone(&server), flow(step), Arc::clone(&stop));
        async move {
            let mut started = 0;
            while !stop.load(Ordering::SeqCst) {
                server.start("acme", "Program", &format!("p{started}"), &step).await;
                started += 1;
                // Not so many that taking them along is all that happens.
                let id = format!("p{}", (started - 1) / 8 * 8);
                server.ended("acme", &id).await;
            }
            started
        }
    });
    let (mut unfinished, mut round) = (0, 0);
    // However fast the one is and the other slow: some are met on their way.
    while round < 5 || unfinished == 0 {
        assert!(round < 200, "all of them have ended whenever the hub is taken along");
        round += 1;
        tokio::time::sleep(Duration::from_millis(60)).await;
        let hub = format!("round{round}");
        let made = other.import(&hub, server.export("acme", "").await).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let list = other.ask(&format!("GET {WEBHOOKS}/instances?taskHub={hub}&top=1000"), "").await.json();
        for instance in list.as_array().unwrap() {
            let id = instance["instanceId"].as_str().unwrap();
            unfinished += usize::from(instance["runtimeStatus"] != "Completed");
            let end = other.ended(&hub, id).await;
            assert!(id.contains('.') || end == expected, "{hub} {id}: {end}");
            assert_eq!(end[0], "Completed", "{hub} {id}");
        }
    }
    stop.store(true, Ordering::SeqCst);
    for number in 0..working.await.unwrap() {
        assert_eq!(server.ended("acme", &format!("p{number}")).await, expected, "those at home go on");
    }
    println!("{unfinished} instances ended elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_is_moved_on_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::serve(&data.path().join("data")).await;
    program.deploy("flow", guests::guest("flow")).await;
    assert_eq!(program.start("Event", "waits", json!("Go")).await, 202);
    let file = data.path().join("hub");
    let file = file.to_str().unwrap();
    let (code, out, err) = verb(&program, &["hub", "export", "default", file]).await;
    assert!(code == Some(0) && out.starts_with("exported to"), "{out}{err}");
    let other = Program::serve(&data.path().join("other")).await;
    let (code, _, err) = verb(&other, &["hub", "import", "default", file]).await;
    assert!(code == Some(1) && err.contains("exists already"), "{err}");
    let (code, out, err) = verb(&other, &["hub", "import", "moved", file]).await;
    assert!(code == Some(0) && out.contains("1 apps, 1 instances"), "{out}{err}");
    let go = format!("{}{WEBHOOKS}/instances/waits/raiseEvent/Go?taskHub=moved", other.url);
    let raised = other.http.post(go).header("content-type", "application/json").body("1").send().await.unwrap();
    assert_eq!(raised.status(), 202);
    let (_, body) = other.get(&format!("{WEBHOOKS}/instances/waits?taskHub=moved&timeout=20")).await.unwrap();
    assert!(body.contains("waits"), "{body}");
    let restored = std::process::Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"))
        .args(["restore", file, "--store", &format!("sled:{}", data.path().join("third").display())])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&restored.stderr).into_owned();
    assert!(!restored.status.success() && said.contains("hub import"), "{said}");
}
