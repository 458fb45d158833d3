//! Versions of apps: which is current, who needs the others, and what becomes of those that nobody needs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use durawasm_host::engine::Settings;
use durawasm_host::engine::executor::Executor;
use durawasm_host::store::SharedStore;
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::wasm::{Config, WasmExecutor};
use durawasm_tests::host::egress;
use durawasm_tests::{Host, ManualClock, guests};
use serde_json::{Value, json};

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";
const APP: &str = "/admin/hubs/default/apps/app";

/// The first version has `Event` and `Fails`, the second `E1_HelloSequence`.
async fn two_versions(host: &Host) -> [String; 2] {
    let deploy = async |component| host.deploy("app", component).await["digest"].as_str().unwrap().to_owned();
    let first = deploy(guests::guest("flow")).await;
    waiting(host, "on-first").await;
    let second = deploy(guests::example("hello-cities")).await;
    [first, second]
}

async fn waiting(host: &Host, id: &str) {
    let path = format!("{WEBHOOKS}/orchestrators/Event/{id}");
    assert_eq!(host.send("POST", &path, "\"Go\"").await.status, 202);
    host.until(id, "running", |status| status["runtimeStatus"] == "Running").await;
}

async fn start(host: &Host, function: &str) -> u16 {
    host.send("POST", &format!("{WEBHOOKS}/orchestrators/{function}"), "\"Go\"").await.status.as_u16()
}

/// Digest, whether it is current, and how many instances are open and failed, by version.
async fn versions(host: &Host) -> Vec<(String, bool, u64, u64)> {
    let list = host.send("GET", &format!("{APP}/versions"), "").await.json();
    let one = |version: &Value| {
        let needs = |name: &str| version["instances"][name].as_u64().unwrap();
        let digest = version["digest"].as_str().unwrap().to_owned();
        (digest, version["current"].as_bool().unwrap(), needs("open"), needs("failed"))
    };
    list["versions"].as_array().unwrap().iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_made_current_again() {
    let host = Host::new().await;
    let [first, second] = two_versions(&host).await;
    assert_eq!(versions(&host).await, [(first.clone(), false, 1, 0), (second.clone(), true, 0, 0)]);
    assert_eq!((start(&host, "Event").await, start(&host, "E1_HelloSequence").await), (400, 202));
    let activate = async |digest: &str| host.send("POST", &format!("{APP}/versions/{digest}/activate"), "").await;
    let back = activate(&first[..8]).await;
    assert_eq!(
        (back.status.as_u16(), &back.json()["digest"], &back.json()["changed"]),
        (200, &json!(first), &json!(true))
    );
    assert_eq!(activate(&first).await.json()["changed"], json!(false));
    assert_eq!((start(&host, "Event").await, start(&host, "E1_HelloSequence").await), (202, 400));
    for unknown in [&"0".repeat(64), &first[..7], "nonsense"] {
        assert_eq!(activate(unknown).await.status, 404, "{unknown}");
    }
    assert_eq!(
        host.send("POST", &format!("/admin/hubs/default/apps/none/versions/{first}/activate"), "").await.status,
        404
    );
    // What the second version had is another app's by now.
    host.deploy("other", guests::example("hello-cities")).await;
    let taken = activate(&second).await;
    assert_eq!((taken.status.as_u16(), taken.text().contains("'other'")), (409, true), "{}", taken.text());
    let names = host.send("GET", "/admin/hubs/default/apps", "").await.json();
    let names: Vec<_> = names["apps"].as_array().unwrap().iter().map(|app| app["app"].clone()).collect();
    assert_eq!(names, ["app", "other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_goes_when_no_instance_needs_it() {
    let host = Host::new().await;
    two_versions(&host).await;
    let refused = host.send("DELETE", APP, "").await;
    assert_eq!((refused.status.as_u16(), refused.text().contains("not ended: 1")), (409, true), "{}", refused.text());
    assert_eq!(host.send("POST", &format!("{WEBHOOKS}/instances/on-first/raiseEvent/Go"), "1").await.status, 202);
    host.ended("on-first").await;
    assert_eq!(host.send("DELETE", APP, "").await.status, 204);
    assert_eq!(host.send("DELETE", APP, "").await.status, 404);
    assert_eq!(start(&host, "E1_HelloSequence").await, 400);
    assert_eq!(host.status("on-first").await["output"], json!(1), "what has ended stays");
    host.deploy("app", guests::guest("flow")).await;
    assert_eq!(start(&host, "Event").await, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn force_terminates_what_needs_an_app() {
    let host = Arc::new(Host::new().await);
    host.deploy("app", guests::guest("flow")).await;
    host.send("POST", &format!("{WEBHOOKS}/orchestrators/Fails/failed"), "").await;
    host.ended("failed").await;
    for number in 0..100 {
        waiting(&host, &format!("w{number}")).await;
    }
    let starts: Vec<_> = (0..100)
        .map(|_| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { start(&host, "Event").await })
        })
        .collect();
    assert_eq!(host.send("DELETE", &format!("{APP}?force=true"), "").await.status, 204);
    for start in starts {
        let status = start.await.unwrap();
        assert!([202, 400].contains(&status), "{status}");
    }
    let counts = host.send("GET", &format!("{WEBHOOKS}/statistics"), "").await.json();
    assert_eq!(host.engine.counts(&"default".into()).await.unwrap().all().open(), 0, "{counts}");
    assert!(host.status("w7").await["output"].as_str().unwrap().contains("was deleted"));
    let rewind = host.send("POST", &format!("{WEBHOOKS}/instances/failed/rewind"), "").await;
    assert_eq!(
        (rewind.status.as_u16(), rewind.text().contains("removed with its app")),
        (409, true),
        "{}",
        rewind.text()
    );
    host.deploy("app", guests::guest("flow")).await;
    assert_eq!(host.send("POST", &format!("{WEBHOOKS}/instances/failed/rewind"), "").await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_deployments_at_once_one_is_current() {
    let host = Arc::new(Host::new().await);
    let deploy = |component| {
        let host = Arc::clone(&host);
        tokio::spawn(async move { host.deploy("app", component).await["digest"].as_str().unwrap().to_owned() })
    };
    let (one, two) = (deploy(guests::guest("flow")), deploy(guests::example("hello-cities")));
    let digests = [one.await.unwrap(), two.await.unwrap()];
    let current = host.send("GET", APP, "").await.json()["digest"].as_str().unwrap().to_owned();
    assert!(digests.contains(&current));
    let mut known: Vec<_> = versions(&host).await.into_iter().map(|version| version.0).collect();
    known.sort();
    let mut digests = digests.to_vec();
    digests.sort();
    assert_eq!(known, digests);
}

/// A host whose components are its own.
pub(crate) async fn with_folder(store: &SharedStore, folder: &Path, clock: &ManualClock) -> (Host, Arc<WasmExecutor>) {
    let mut config = Config::new(folder.to_owned(), egress(&[], None));
    // Several such hosts live at once, and each reserves addresses for all its guests.
    config.limits.concurrent_guests = 200;
    let executor = Arc::new(WasmExecutor::new(config).unwrap());
    let choices = (Settings::default(), clock.clock());
    (Host::running(Arc::clone(store), Arc::clone(&executor) as Arc<dyn Executor>, choices).await, executor)
}

fn components(folder: &Path) -> usize {
    let count = |part: &str| std::fs::read_dir(folder.join(part)).unwrap().count();
    assert_eq!(count("components"), count("cache"), "each has its compiled form");
    count("components")
}

/// Waits until something is so.
pub(crate) async fn comes_to(what: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while !what().await {
        assert!(tokio::time::Instant::now() < deadline, "it never comes to that");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Lets the collector look so often that what nobody needs is gone.
async fn collect(host: &Host, clock: &ManualClock) {
    for _ in 0..3 {
        clock.advance(601);
        host.engine.clock_moved();
        // A look has no end that could be seen when it finds nothing.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_nobody_needs_are_removed() {
    let (store, clock): (SharedStore, _) = (Arc::new(MemoryStore::default()), ManualClock::new());
    let folder = tempfile::tempdir().unwrap();
    let (host, _executor) = with_folder(&store, folder.path(), &clock).await;
    host.send("PUT", "/admin/hubs/other", "").await;
    host.send("PUT", "/admin/hubs/other/apps/app", guests::guest("flow")).await;
    let [first, second] = two_versions(&host).await;
    collect(&host, &clock).await;
    assert_eq!(versions(&host).await, [(first.clone(), false, 1, 0), (second.clone(), true, 0, 0)], "it is needed");
    host.send("POST", &format!("{WEBHOOKS}/instances/on-first/raiseEvent/Go"), "1").await;
    host.ended("on-first").await;
    clock.advance(601);
    host.engine.clock_moved();
    comes_to(async || {
        clock.advance(601);
        host.engine.clock_moved();
        versions(&host).await == [(second.clone(), true, 0, 0)]
    })
    .await;
    assert_eq!(components(folder.path()), 2, "another hub has it");
    assert_eq!(host.send("DELETE", "/admin/hubs/other", "").await.status, 202);
    comes_to(async || components_are(folder.path(), 1)).await;
    assert_eq!(host.deploy("app", guests::guest("flow")).await["digest"], json!(first), "it can come back");
    waiting(&host, "again").await;
}

/// As when a guest has begun, and so brought it back into memory, while the last hub's need of it ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_only_memory_has_is_kept_again_when_it_is_deployed() {
    let (store, clock): (SharedStore, _) = (Arc::new(MemoryStore::default()), ManualClock::new());
    let folder = tempfile::tempdir().unwrap();
    let (host, _executor) = with_folder(&store, folder.path(), &clock).await;
    host.deploy("app", guests::guest("flow")).await;
    waiting(&host, "before").await;
    for part in ["components", "cache"] {
        for entry in std::fs::read_dir(folder.path().join(part)).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    host.send("PUT", "/admin/hubs/other", "").await;
    let deployed = host.send("PUT", "/admin/hubs/other/apps/app", guests::guest("flow")).await;
    assert_eq!((deployed.status.as_u16(), components(folder.path())), (201, 1), "{}", deployed.text());
}

fn components_are(folder: &Path, expected: usize) -> bool {
    std::fs::read_dir(folder.join("components")).unwrap().count() == expected
        && std::fs::read_dir(folder.join("cache")).unwrap().count() == expected
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_stays_for_what_could_be_rewound() {
    let (store, clock): (SharedStore, _) = (Arc::new(MemoryStore::default()), ManualClock::new());
    let folder = tempfile::tempdir().unwrap();
    let (host, _executor) = with_folder(&store, folder.path(), &clock).await;
    let first = host.deploy("app", guests::guest("flow")).await["digest"].as_str().unwrap().to_owned();
    host.send("POST", &format!("{WEBHOOKS}/orchestrators/Fails/failed"), "").await;
    host.ended("failed").await;
    let second = host.deploy("app", guests::example("hello-cities")).await["digest"].as_str().unwrap().to_owned();
    collect(&host, &clock).await;
    assert_eq!(versions(&host).await, [(first, false, 0, 1), (second.clone(), true, 0, 0)]);
    assert_eq!(host.send("DELETE", &format!("{WEBHOOKS}/instances/failed"), "").await.status, 200);
    comes_to(async || {
        clock.advance(601);
        host.engine.clock_moved();
        versions(&host).await == [(second.clone(), true, 0, 0)] && components_are(folder.path(), 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_a_deployment_leaves_nothing_but_the_version_before() {
    let (store, clock): (SharedStore, _) = (Arc::new(MemoryStore::default()), ManualClock::new());
    let folder = tempfile::tempdir().unwrap();
    let (host, executor) = with_folder(&store, folder.path(), &clock).await;
    let first = host.deploy("app", guests::guest("flow")).await["digest"].clone();
    // Admitted, but never written into a record: where a crash can cut a deployment short.
    executor.admit(guests::example("hello-cities")).await.unwrap();
    assert_eq!(components(folder.path()), 2);
    host.engine.stop();
    drop((host, executor));
    let (host, _executor) = with_folder(&store, folder.path(), &clock).await;
    comes_to(async || components_are(folder.path(), 1)).await;
    assert_eq!(host.send("GET", APP, "").await.json()["digest"], first);
    waiting(&host, "goes-on").await;
    host.deploy("app", guests::example("hello-cities")).await;
    assert_eq!(start(&host, "E1_HelloSequence").await, 202);
}
