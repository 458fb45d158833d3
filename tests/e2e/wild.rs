//! Guests that call the host at random, in every role, and uploads of anything: the host goes on, every instance ends or
//! waits as it should, and its history is one that the same code repeats.
//!
//! `DURAWASM_TEST_SEED` repeats a run, `DURAWASM_TEST_ROUNDS` is how many are tried.

use std::sync::Mutex;

use arbitrary::Unstructured;
use axum::body::Bytes;
use durawasm_host::engine::verdict;
use durawasm_host::store::{HubName, ListQuery, Store};
use durawasm_tests::host::executor;
use durawasm_tests::wat::Parts;
use durawasm_tests::{Host, World, guests};
use serde_json::{Value, json};

use crate::kills::{random, rounds};

/// Panics of the host's own code since the process began. Tokio catches them, so they would go unseen.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn watch_panics() {
    static WATCHING: std::sync::Once = std::sync::Once::new();
    WATCHING.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|place| !place.file().contains("tests/")) {
                PANICS.lock().unwrap().push(panic.to_string());
            }
            usual(panic);
        }));
    });
}

fn no_panics(seed: u64) {
    let panics = PANICS.lock().unwrap();
    assert!(panics.is_empty(), "seed {seed}: {panics:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "not seen to end yet"]
async fn host_functions_survive_any_call() {
    watch_panics();
    let mut seeds = random();
    for _ in 0..rounds(25) {
        wild(seeds.u64(..)).await;
    }
}

/// A world of two orchestrations and a client function, each with a seed of its own.
async fn wild(seed: u64) {
    let mut world = World::new("wild", guests::guest("wild"), &[]).await.evicting(3);
    let mut random = fastrand::Rng::with_seed(seed);
    for id in ["wild-1", "wild-2"] {
        world.start("Wild", id, &json!([random.u64(..), 40])).await;
    }
    let input = json!([random.u64(..), 12]).to_string();
    let answer = world.request("POST", "/admin/functions/WildFunction", &input).await;
    assert!([200, 202, 204, 500].contains(&answer.status.as_u16()), "seed {seed}: {} {}", answer.status, answer.text());
    world.run_out().await;
    world.host.engine.evict_all();
    let version = executor().admit(guests::guest("wild")).await.unwrap();
    let page = world.store.list(&HubName::from("default"), ListQuery { limit: 1_000, ..ListQuery::default() }).await;
    for record in page.unwrap().records {
        let Some((record, history)) = world.store.history(record.number).await.unwrap() else { continue };
        let of = format!("seed {seed}, instance '{}' ({:?})", record.id, record.status);
        let said = format!("{history:?}");
        assert!(!said.contains("NonDeterminism"), "{of}: {said}");
        // What is pending waits for its time, and has no history to repeat.
        if history.len() > 1 {
            match verdict::check(&*executor(), &version, &history).await {
                Ok(verdict) => assert_eq!(verdict, Ok(()), "{of}: {said}"),
                Err(error) => panic!("{of}: {error}: {said}"),
            }
        }
    }
    no_panics(seed);
}

/// A host whose limits are reached soon, with a neighbour.
async fn strict_host() -> Host {
    use crate::hostile_components::{executor, strict};
    let store = std::sync::Arc::new(durawasm_host::store::memory::MemoryStore::default());
    let settings = durawasm_host::engine::Settings::default();
    let host = Host::running(store, executor(strict()), (settings, durawasm_host::engine::system_clock())).await;
    host.deploy("hello-cities", guests::example("hello-cities")).await;
    host
}

/// Uploads it and, if it is taken, runs it: whatever comes of that is an answer.
async fn upload(host: &Host, component: Bytes, what: &str) -> bool {
    let answer = host.send("PUT", "/admin/hubs/default/apps/app", component).await;
    let (status, taken) = (answer.status.as_u16(), answer.status.is_success());
    assert!([200, 201, 400, 409, 413].contains(&status), "{what}: {status} {}", answer.text());
    assert!(taken || answer.text().len() < 20_000, "{what}: an answer of {} bytes", answer.body.len());
    if taken {
        let started = host.send("POST", "/runtime/webhooks/durabletask/orchestrators/Deed", "1").await;
        if started.status == 202 {
            let ended = host.ended(started.json()["id"].as_str().unwrap()).await;
            assert!(["Completed", "Failed"].contains(&ended["runtimeStatus"].as_str().unwrap()), "{what}: {ended}");
        }
    }
    taken
}

async fn still_serves(host: &Host) {
    let status = host.run("E1_HelloSequence", Value::Null).await;
    assert_eq!(status["output"], json!(["Hello Tokyo!", "Hello Seattle!", "Hello London!"]), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_upload_is_answered() {
    watch_panics();
    let (host, mut random) = (strict_host().await, random());
    let whole = Parts::default().component();
    assert!(upload(&host, whole.clone(), "the component that is changed").await);
    let mut admitted = 0;
    for round in 0..rounds(60) {
        let mut bytes = whole.to_vec();
        match random.u8(..5) {
            0 => bytes.truncate(random.usize(..bytes.len())),
            1 => {
                bytes = b"\0asm\x0d\0\x01\0".to_vec();
                bytes.extend((0..random.usize(..2_000)).map(|_| random.u8(..)));
            }
            2 => {
                // A part of it once more, somewhere else.
                let (from, to) = (random.usize(..bytes.len()), random.usize(..bytes.len()));
                let part = bytes[from..(from + random.usize(..300)).min(whole.len())].to_vec();
                bytes.splice(to..to, part);
            }
            _ => {
                for _ in 0..random.usize(1..6) {
                    let at = random.usize(8..bytes.len());
                    bytes[at] = if random.bool() { random.u8(..) } else { bytes[at] ^ (1 << random.u8(..8)) };
                }
            }
        }
        admitted += usize::from(upload(&host, bytes.into(), &format!("round {round}")).await);
    }
    println!("{admitted} of the changed components were admitted");
    still_serves(&host).await;
    no_panics(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_module_inside_is_bounded() {
    watch_panics();
    let (host, mut random) = (strict_host().await, random());
    let whole = Parts::default().component();
    let mut admitted = 0;
    for round in 0..rounds(30) {
        let entropy: Vec<u8> = (0..4_000).map(|_| random.u8(..)).collect();
        let config = wasm_smith::Config {
            max_imports: 0,
            allow_start_export: true,
            max_memories: 5,
            max_tables: 5,
            gc_enabled: false,
            ..wasm_smith::Config::default()
        };
        let Ok(module) = wasm_smith::Module::new(config, &mut Unstructured::new(&entropy)) else { continue };
        let module = module.to_bytes();
        let bytes = [&whole[..], &section(1, &module), &section(2, &[1, 0, 1, 0])].concat();
        admitted += usize::from(upload(&host, bytes.into(), &format!("round {round}")).await);
    }
    println!("{admitted} of the components with a module more were admitted");
    assert!(admitted > 0, "all of them were refused");
    still_serves(&host).await;
    no_panics(0);
}

/// A section of a component: a core module (1), or core instances (2), here one of the module with index 1.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    let mut length = content.len();
    while length >= 128 {
        bytes.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}
