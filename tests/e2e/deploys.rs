//! Deployments that are cut short, and those that meet: an app is at the version before or at the one after, and every
//! instance ends on its own. And a backup beside all that.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::restore::restore;
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::sled::{SledOptions, SledStore};
use durawasm_host::store::{ListQuery, SharedStore};
use durawasm_tests::{Answer, DyingStore, Host, ManualClock, guests};
use serde_json::{Value, json};

use crate::kills::{quiet, random, rounds};
use crate::program::{Program, port};
use crate::versions::with_folder;

const APP: &str = "/admin/hubs/default/apps/app";
const WEBHOOKS: &str = "/runtime/webhooks/durabletask";

/// The two versions of an app whose `Versions` tells which one it ran on: `["A", "A"]` or `["B", "B"]`.
fn versions() -> [Bytes; 2] {
    [guests::guest("nondet-v1"), guests::guest("nondet-v2")]
}

/// What `Versions` gives on the version of this index.
fn output(version: usize) -> Value {
    let name = ["A", "B"][version];
    json!([name, name])
}

async fn deploy(host: &Host, component: Bytes) -> Answer {
    host.send("PUT", APP, component).await
}

async fn current(host: &Host) -> String {
    host.send("GET", APP, "").await.json()["digest"].as_str().unwrap().to_owned()
}

/// Starts an instance that waits until it is let go on.
async fn waiting(host: &Host, id: &str) -> bool {
    host.send("POST", &format!("{WEBHOOKS}/orchestrators/Versions/{id}"), "0").await.status == 202
}

async fn let_go(host: &Host, id: &str) -> Value {
    assert_eq!(host.send("POST", &format!("{WEBHOOKS}/instances/{id}/raiseEvent/Go"), "null").await.status, 202);
    let status = host.ended(id).await;
    assert_eq!(status["runtimeStatus"], "Completed", "{status}");
    status["output"].clone()
}

fn patient() -> Settings {
    Settings { start_patience: Duration::from_secs(30), ..Settings::default() }
}

/// The digests of both.
async fn digests() -> [String; 2] {
    let host = Host::new().await;
    let mut digests = Vec::new();
    for version in versions() {
        digests.push(deploy(&host, version).await.json()["digest"].as_str().unwrap().to_owned());
    }
    digests.try_into().unwrap()
}

fn index_of(digests: &[String; 2], digest: &str) -> usize {
    digests.iter().position(|known| known == digest).unwrap()
}

/// The version that an instance is pinned to; none: there is no such instance.
async fn pinned(store: &SharedStore, digests: &[String; 2], id: &str) -> Option<usize> {
    let record = store.instance(&"default".into(), id).await.unwrap()?;
    Some(index_of(digests, &record.digest.to_string()))
}

/// Deploys the second version and starts instances meanwhile, until the store dies after so many commits. Then another
/// host goes on. Which version it finds, and whether the store died.
async fn cut_short(lives: usize, digests: &[String; 2]) -> (usize, bool) {
    let [first, second] = versions();
    let store: SharedStore = Arc::new(MemoryStore::default());
    let host = Host::with(Arc::clone(&store), patient(), system_clock()).await;
    assert_eq!(deploy(&host, first).await.status, 201);
    for id in ["old", "older"] {
        assert!(waiting(&host, id).await);
    }
    host.engine.stop();

    let dying = DyingStore::new(Arc::clone(&store), lives);
    let host = Host::with(dying.clone(), patient(), system_clock()).await;
    let go = format!("{WEBHOOKS}/instances/old/raiseEvent/Go");
    // Who comes first differs from run to run.
    let (answer, raised, early, late) =
        tokio::join!(deploy(&host, second), host.send("POST", &go, "null"), waiting(&host, "early"), async {
            tokio::task::yield_now().await;
            waiting(&host, "late").await
        });
    let acknowledged = answer.status.is_success();
    host.engine.stop();

    let host = Host::with(Arc::clone(&store), patient(), system_clock()).await;
    let now = index_of(digests, &current(&host).await);
    assert!(now == 1 || !acknowledged, "{lives}: the deployment was acknowledged");
    assert!(waiting(&host, "new").await);
    assert_eq!(pinned(&store, digests, "new").await, Some(now), "{lives}");
    for (id, acknowledged) in [("old", true), ("older", true), ("early", early), ("late", late), ("new", true)] {
        let Some(version) = pinned(&store, digests, id).await else {
            assert!(!acknowledged, "{lives}: {id} was acknowledged");
            continue;
        };
        assert!(version == 0 || !id.starts_with("old"), "{lives}: {id}");
        if id == "old" && raised.status == 202 {
            assert_eq!(host.ended(id).await["output"], output(version), "{lives}: {id}");
            continue;
        }
        assert_eq!(let_go(&host, id).await, output(version), "{lives}: {id}");
    }
    (now, dying.is_dead())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_at_one_of_two_versions_whichever_commit_is_the_last() {
    let digests = digests().await;
    let mut found = BTreeSet::new();
    for lives in 0.. {
        let (version, died) = cut_short(lives, &digests).await;
        found.insert(version);
        if !died {
            assert!(lives >= 4, "a deployment, two starts and an event are at least four commits");
            break;
        }
    }
    assert_eq!(found, [0, 1].into(), "some cut it off and some did not");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timers_of_an_app_are_those_of_its_version_whichever_commit_is_the_last() {
    let [first, second] = [guests::guest("timers-v1"), guests::guest("timers-v2")];
    let mut found = BTreeSet::new();
    for lives in 0.. {
        let (store, clock): (SharedStore, _) = (Arc::new(MemoryStore::default()), ManualClock::new());
        let host = Host::with(Arc::clone(&store), patient(), clock.clock()).await;
        let old = deploy(&host, first.clone()).await.json()["digest"].clone();
        host.engine.stop();
        let dying = DyingStore::new(Arc::clone(&store), lives);
        let host = Host::with(dying.clone(), patient(), clock.clock()).await;
        let acknowledged = deploy(&host, second.clone()).await.status.is_success();
        host.engine.stop();
        let host = Host::with(Arc::clone(&store), patient(), clock.clock()).await;
        let is_old = host.send("GET", APP, "").await.json()["digest"] == old;
        assert!(!(is_old && acknowledged), "{lives}: the deployment was acknowledged");
        let schedules = store.schedules().await.unwrap();
        let names: BTreeSet<_> =
            schedules.iter().map(|(key, state)| (key.function.as_str(), state.schedule.as_str())).collect();
        let tick = if is_old { ("Tick", "0 */5 * * * *") } else { ("Tick", "30 0 * * * *") };
        assert!(names.contains(&tick), "{lives}: {names:?}");
        let other = if is_old { "Eager" } else { "Gone" };
        assert!(names.iter().all(|(name, _)| *name != other) && names.len() == 4, "{lives}: {names:?}");
        found.insert(is_old);
        host.engine.stop();
        if !dying.is_dead() {
            break;
        }
    }
    assert_eq!(found, [false, true].into(), "some cut it off and some did not");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_instance_that_starts_while_two_deployments_meet_ends_on_its_own_version() {
    let (host, digests) = (Arc::new(Host::new().await), digests().await);
    assert_eq!(deploy(&host, versions()[0].clone()).await.status, 201);
    let mut ids = Vec::new();
    for round in 0..10 {
        let deploys = versions().map(|version| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { deploy(&host, version).await.status.is_success() })
        });
        for number in 0..5 {
            let id = format!("i{round}-{number}");
            assert!(waiting(&host, &id).await);
            ids.push(id);
        }
        for deploy in deploys {
            assert!(deploy.await.unwrap());
        }
        let now = index_of(&digests, &current(&host).await);
        assert!(waiting(&host, &format!("after{round}")).await);
        assert_eq!(let_go(&host, &format!("after{round}")).await, output(now), "it is at one of them");
    }
    let record = host.engine.list(&"default".into(), ListQuery { limit: 1_000, ..ListQuery::default() }).await.unwrap();
    for id in ids {
        let digest = record.records.iter().find(|record| *record.id == *id).unwrap().digest.to_string();
        assert_eq!(let_go(&host, &id).await, output(index_of(&digests, &digest)), "{id}");
    }
}

/// The same component under another digest, which nobody has compiled yet.
fn another(component: &Bytes, number: u8) -> Bytes {
    // A section of no meaning: its kind, its length, the length of its name, the name.
    Bytes::from([component.as_ref(), &[0, 2, 1, b'a' + number]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_at_one_of_two_versions_after_kill_9_in_the_middle_of_a_deployment() {
    let data = tempfile::tempdir().unwrap();
    let (port, mut random) = (port(), random());
    let mut program = Program::spawn(data.path(), port, quiet);
    program.ready().await;
    program.deploy("app", versions()[0].clone()).await;
    let digest_of = async |program: &Program| {
        let (code, body) = program.get(APP).await.unwrap();
        assert_eq!(code, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["digest"].as_str().unwrap().to_owned()
    };
    let (mut before, mut kind, mut started) = (digest_of(&program).await, 0, Vec::new());
    let mut acknowledgements = 0;
    for round in 0..rounds(8) {
        let id = format!("r{round}");
        assert_eq!(program.start("Versions", &id, json!(0)).await, 202);
        started.push((id, kind));
        let next = 1 - kind;
        let component = another(&versions()[next], u8::try_from(round % 26).unwrap());
        let (http, url) = (program.http.clone(), format!("{}{APP}", program.url));
        let deploying = tokio::spawn(async move {
            let sent = http.put(url).header("content-type", "application/wasm").body(component).send().await;
            sent.is_ok_and(|answer| answer.status().is_success())
        });
        // Some die over the upload, some over the compilation, some afterwards.
        tokio::time::sleep(Duration::from_millis(random.u64(..1_500))).await;
        drop(program);
        let acknowledged = deploying.await.unwrap();
        acknowledgements += usize::from(acknowledged);
        program = Program::spawn(data.path(), port, quiet);
        program.ready().await;
        let now = digest_of(&program).await;
        assert!(!acknowledged || now != before, "round {round}: the deployment was acknowledged");
        let changed = now != before;
        (before, kind) = if changed { (now, next) } else { (before, kind) };
        let id = format!("after{round}");
        assert_eq!(program.start("Versions", &id, json!(0)).await, 202);
        started.push((id, kind));
    }
    println!("{acknowledgements} of the deployments were acknowledged");
    for (id, kind) in started {
        let path = format!("{}{WEBHOOKS}/instances/{id}/raiseEvent/Go", program.url);
        let request = program.http.post(path).header("content-type", "application/json").body("null");
        assert_eq!(request.send().await.unwrap().status(), 202, "{id}");
        assert_eq!(program.ended(&id).await["output"], output(kind), "{id}");
    }
}

/// How many components and compiled forms a folder has.
fn components(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder.join("components")).unwrap();
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_the_deletion_of_an_app_has_all_that_its_rows_name() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let store: SharedStore = Arc::new(SledStore::open(&data.join("store"), SledOptions::default()).unwrap());
    let (host, executor) = with_folder(&store, &data, &ManualClock::new()).await;
    let (host, stop, begun) = (Arc::new(host), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    assert_eq!(host.send("PUT", "/admin/hubs/default/apps/stays", guests::guest("flow")).await.status, 201);
    let churn = tokio::spawn({
        let (host, stop, begun) = (Arc::clone(&host), Arc::clone(&stop), Arc::clone(&begun));
        async move {
            let mut deletions = 0;
            while !stop.load(Ordering::SeqCst) {
                begun.fetch_add(1, Ordering::SeqCst);
                assert_eq!(deploy(&host, versions()[deletions % 2].clone()).await.status, 201);
                assert!(waiting(&host, &format!("i{deletions}")).await);
                assert_eq!(host.send("DELETE", &format!("{APP}?force=true"), "").await.status, 204);
                deletions += 1;
            }
            deletions
        }
    });
    let (mut named, mut round) = (0, 0);
    // However fast the one is and the other slow: six backups, and four deletions among them.
    while round < 6 || begun.load(Ordering::SeqCst) < 5 {
        round += 1;
        let mut file = Vec::new();
        let mut pieces = host.engine.backup().await.unwrap();
        while let Some(piece) = pieces.recv().await {
            file.extend_from_slice(&piece);
        }
        let (path, elsewhere) =
            (directory.path().join(format!("backup{round}")), directory.path().join(format!("elsewhere{round}")));
        std::fs::write(&path, file).unwrap();
        restore(&path, &elsewhere, &|_| ()).unwrap();
        let restored: SharedStore =
            Arc::new(SledStore::open(&elsewhere.join("store"), SledOptions::default()).unwrap());
        let there = components(&elsewhere);
        for app in restored.apps().await.unwrap() {
            for version in app.versions {
                assert!(there.contains(&version.digest.to_string()), "round {round}: {} {there:?}", app.name);
                named += 1;
            }
        }
        let (other, _executor) = with_folder(&restored, &elsewhere, &ManualClock::new()).await;
        if other.send("GET", APP, "").await.status == 200 {
            assert!(waiting(&other, "new").await, "round {round}: what is there runs");
        }
        other.engine.stop();
    }
    stop.store(true, Ordering::SeqCst);
    let deletions = churn.await.unwrap();
    println!("{deletions} deletions, {named} versions in {round} backups");
    assert!(named >= round, "each names at least the app that stays: {named}");
    // What the backups kept from being removed is looked for when they have ended.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while components(&data).len() > 1 {
        assert!(tokio::time::Instant::now() < deadline, "what nobody needs stays: {:?}", components(&data));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(executor);
}
