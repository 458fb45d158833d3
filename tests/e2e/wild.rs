//! Guests that call the host at random, in every role, and uploads of anything: the host goes on, every instance ends or
//! waits as it should, and its history is one that the same code repeats.
//!
//! `DURAWASM_TEST_SEED` repeats a run, `DURAWASM_TEST_ROUNDS` is how many are tried.

use std::sync::Mutex;
use std::time::Duration;

use axum::body::Bytes;
use durawasm_host::engine::verdict;
use durawasm_host::store::{HubName, ListQuery, Store};
use durawasm_host::wasm::Limits;
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
async fn host_functions_survive_any_call() {
    watch_panics();
    let mut seeds = random();
    for _ in 0..rounds(3) {
        wild(seeds.u64(..)).await;
    }
}

/// A world of two orchestrations and a client function, each with a seed of its own.
async fn wild(seed: u64) {
    println!("wild {seed}");
    let world = if seed.is_multiple_of(2) {
        World::new("wild", guests::guest("wild"), &[]).await
    } else {
        World::ahead("wild", guests::guest("wild"), &[]).await
    };
    let mut world = world.evicting(3);
    let mut random = fastrand::Rng::with_seed(seed);
    for id in ["wild-1", "wild-2"] {
        let input = json!([random.u64(..), 40]).to_string();
        let path = format!("/runtime/webhooks/durabletask/orchestrators/Wild/{id}");
        let started = world.request("POST", &path, &input).await;
        // The first one may have started the second as its child.
        assert!([202, 409].contains(&started.status.as_u16()), "seed {seed}: {}", started.text());
    }
    let input = json!({ "input": [random.u64(..), 12] }).to_string();
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
    // Time enough for what is no loop, on a busy machine, too.
    let limits = Limits { describe_time: Duration::from_secs(2), episode_time: Duration::from_secs(120), ..strict() };
    let host = Host::running(store, executor(limits), (settings, durawasm_host::engine::system_clock())).await;
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
    let least = Parts::default().component_before("(core module $more) (core instance (instantiate $more))");
    assert!(upload(&host, least, "an empty module").await);
    let mut admitted = 0;
    for round in 0..rounds(30) {
        let bytes = Parts::default().component_before(&module(&mut random));
        admitted += usize::from(upload(&host, bytes, &format!("round {round}")).await);
    }
    println!("{admitted} of the components with a module more were admitted");
    assert!(admitted > 0, "all of them were refused");
    still_serves(&host).await;
    no_panics(0);
}

/// A module that is instantiated with the component: memories, tables and functions of any size, of which one may be
/// called at the start. It is well-formed and need not be valid.
fn module(random: &mut fastrand::Rng) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("(core module $more (global $g (mut i64) (i64.const 1))");
    // Half of them want little, and are not refused for that.
    let tame = random.bool();
    for _ in 0..random.usize(1..if tame { 2 } else { 5 }) {
        let pages = [1, 1, 2, 200, 65_536][random.usize(..if tame { 2 } else { 5 })];
        write!(text, "(memory {pages})").unwrap();
    }
    for _ in 0..random.usize(1..if tame { 2 } else { 5 }) {
        let elements = [0, 1, 1_000, 99_999, 100_001, u32::MAX][random.usize(..if tame { 3 } else { 6 })];
        write!(text, "(table {elements} funcref)").unwrap();
    }
    let functions = random.usize(1..6);
    for _ in 0..functions {
        let operations = random.usize(1..60);
        let body = body(random, functions, operations);
        write!(text, "(func (local $a i32) (local $b i64) (local $c f64) {body})").unwrap();
    }
    if !tame && random.bool() {
        write!(text, "(start {})", random.usize(..functions)).unwrap();
    }
    text + ") (core instance (instantiate $more))"
}

/// Statements that leave nothing on the stack; some nest others.
fn body(random: &mut fastrand::Rng, functions: usize, operations: usize) -> String {
    let mut text = String::new();
    for _ in 0..operations {
        let (small, large) = (random.i32(-2..70_000), random.u64(..) as i64);
        text += &match random.u8(..22) {
            0 => format!("(local.set $a (i32.const {small}))"),
            1 => format!("(local.set $a (i32.mul (local.get $a) (i32.const {small})))"),
            2 => format!("(local.set $b (i64.rotl (local.get $b) (i64.const {large})))"),
            3 => "(local.set $b (i64.div_s (global.get $g) (local.get $b)))".to_owned(),
            4 => "(local.set $c (f64.div (local.get $c) (local.get $c)))".to_owned(),
            5 => "(local.set $a (i32.trunc_f64_s (local.get $c)))".to_owned(),
            6 => format!("(i64.store (i32.const {small}) (i64.const {large}))"),
            7 => "(i32.store (local.get $a) (local.get $a))".to_owned(),
            8 => format!("(local.set $b (i64.load (i32.const {small})))"),
            9 => format!("(drop (memory.grow (i32.const {})))", small / 100),
            10 => format!("(memory.fill (i32.const {small}) (i32.const 1) (local.get $a))"),
            11 => format!("(memory.copy (local.get $a) (i32.const 0) (i32.const {small}))"),
            12 => format!("(drop (table.grow 0 (ref.null func) (i32.const {small})))"),
            13 => format!("(table.set 0 (i32.const {small}) (ref.null func))"),
            14 => format!("(call {})", random.usize(..functions)),
            15 => format!("(call_indirect (i32.const {small}))"),
            16 => format!("(global.set $g (i64.const {large}))"),
            17 => format!("(block {})", body(random, functions, operations / 3)),
            18 => format!("(if (local.get $a) (then {}))", body(random, functions, operations / 3)),
            19 => format!("(loop {} (br_if 0 (local.get $a)))", body(random, functions, operations / 3)),
            20 if random.u8(..8) == 0 => "(unreachable)".to_owned(),
            // Of another type than is asked for: not valid.
            21 if random.u8(..40) == 0 => "(local.set $a (local.get $b))".to_owned(),
            20.. => "(nop)".to_owned(),
        };
    }
    text
}
