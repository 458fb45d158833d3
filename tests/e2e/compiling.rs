//! Compiling: in a process that stands back, that is bounded, one at a time, while the server goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::SharedStore;
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::wasm::{Compiler, Config, Limits, Program, WasmExecutor};
use durawasm_tests::host::egress;
use durawasm_tests::wat::Parts;
use durawasm_tests::{Host, guests};
use serde_json::{Value, json};
use tempfile::TempDir;

fn executor(folder: &Path, limits: Limits) -> Arc<WasmExecutor> {
    let compiler = Compiler::Child(Program::new(PathBuf::from(env!("CARGO_BIN_EXE_durawasm-e2e"))));
    let limits = Limits { concurrent_guests: 40, ..limits };
    let config = Config { limits, compiler, ..Config::new(folder.to_owned(), egress(&[], None)) };
    Arc::new(WasmExecutor::new(config).unwrap())
}

/// A host that compiles as the program does, and where it keeps its components. Its neighbour was deployed before, without
/// these limits.
async fn host(limits: Limits) -> (Arc<Host>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store: SharedStore = Arc::new(MemoryStore::default());
    let running = |limits: Limits| {
        let executor = executor(folder.path(), limits);
        Host::running(Arc::clone(&store), executor, (Settings::default(), system_clock()))
    };
    let before = running(Limits::default()).await;
    before.deploy("hello-cities", guests::example("hello-cities")).await;
    before.engine.stop();
    (Arc::new(running(limits).await), folder)
}

/// A small file, and seconds of work: one function of as many operations.
fn slow(operations: usize) -> Bytes {
    let step = "(local.set $n (i64.xor (i64.mul (local.get $n) (i64.const 12345)) (i64.load (i32.wrap_i64 (local.get $n)))))\n";
    let items = format!("(func $slow (local $n i64) {})", step.repeat(operations));
    Parts { items: &items, ..Parts::default() }.component()
}

/// Each level is the one below it, twice: a small file that is more than any machine has when it is taken apart.
fn doubling(levels: usize) -> Bytes {
    let mut text = "(component $c0 (core module $m (memory 1)) (core instance (instantiate $m)))".to_owned();
    for level in 1..=levels {
        let inside = level - 1;
        text = format!(
            "(component $c{level} {text} (instance (instantiate $c{inside})) (instance (instantiate $c{inside})))"
        );
    }
    let exports = "(instance $i)
        (export \"durable:functions/describe@0.1.0\" (instance $i))
        (export \"durable:functions/activity@0.1.0\" (instance $i))";
    let whole = format!("(component {text} (instance (instantiate $c{levels})) {exports})");
    wat::parse_str(&whole).unwrap().into()
}

/// What processes that compile for this folder say about themselves: the directories below `/proc`.
fn compiling(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
    processes
        .filter(|process| {
            let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains("\0compile\0") && line.contains(&folder)
        })
        .collect()
}

/// Deploys what cannot be compiled within the limits. Meanwhile the server answers, and afterwards nothing is left.
async fn refused(limits: Limits, component: Bytes, words: &str) {
    let (host, folder) = host(limits).await;
    let deploying = {
        let host = Arc::clone(&host);
        tokio::spawn(async move { host.send("PUT", "/admin/hubs/default/apps/slow", component).await })
    };
    let mut served = 0;
    while !deploying.is_finished() {
        let status = host.run("E1_HelloSequence", Value::Null).await;
        assert_eq!(status["output"], json!(["Hello Tokyo!", "Hello Seattle!", "Hello London!"]), "{status}");
        served += 1;
        // A server that is asked without a pause leaves little to what stands back.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let answer = deploying.await.unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains(words), "'{words}' is not in: {}", answer.text());
    assert!(served > 0);
    assert_eq!(compiling(folder.path()), Vec::<PathBuf>::new(), "the process is gone");
    let kept = |part: &str| std::fs::read_dir(folder.path().join(part)).unwrap().count();
    assert_eq!((kept("components"), kept("cache")), (1, 1), "only the neighbour is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_stopped() {
    let limits = Limits { compile_time: Duration::from_secs(1), ..Limits::default() };
    refused(limits, slow(100_000), "took longer than 1s; make it smaller").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_much_processor_time_is_stopped() {
    let limits = Limits { compile_processor_time: Duration::from_secs(1), ..Limits::default() };
    refused(limits, slow(100_000), "more than 1 s of processor time").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_much_memory_is_stopped() {
    let limits = Limits { compile_memory: 192 << 20, ..Limits::default() };
    refused(limits, doubling(26), "bytes of memory; make it smaller").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn components_in_components_in_components_are_refused() {
    let mut text = "(component)".to_owned();
    for _ in 0..2_000 {
        text = format!("(component {text})");
    }
    let bytes = wat::parse_str(&text);
    // The text format has a limit of its own; then the bytes are made by hand.
    let bytes = bytes.unwrap_or_else(|_| nested(2_000));
    let (host, _folder) = host(Limits::default()).await;
    let answer = host.send("PUT", "/admin/hubs/default/apps/slow", Bytes::from(bytes)).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_compiler_says_is_cut() {
    // It names what is wrong with its whole name.
    let name = "n".repeat(90_000);
    let module = format!("(core module (func) (export \"{name}\" (func 0)) (export \"{name}\" (func 0)))");
    let (host, _folder) = host(Limits::default()).await;
    let component = Parts::default().component_before(&module);
    let answer = host.send("PUT", "/admin/hubs/default/apps/slow", component).await;
    let said = answer.text();
    assert!(answer.status == 400 && said.contains("duplicate export name"), "{said}");
    assert!(said.contains('…') && said.len() < 10_000, "{} bytes", said.len());
}

/// A component section in a component section, so many times.
fn nested(levels: usize) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    let mut bytes = HEADER.to_vec();
    for _ in 0..levels {
        let mut outer = [HEADER, &[4]].concat();
        let mut length = bytes.len();
        while length >= 128 {
            outer.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(bytes);
        bytes = outer;
    }
    bytes
}

/// Gives this thread the lowest priority that there is.
#[allow(unsafe_code, reason = "no library that is used here has the call in a safe form")]
fn stand_back() {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: it reads the parameter, which lives until it returns, and concerns this thread (0) only.
    assert_eq!(unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) }, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_is_compiled_and_stands_back() {
    let (host, folder) = host(Limits::default()).await;
    let done = Arc::new(AtomicBool::new(false));
    let watching = {
        let (done, folder) = (Arc::clone(&done), folder.path().to_owned());
        std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !done.load(Ordering::SeqCst) {
                let processes = compiling(&folder);
                assert!(processes.len() <= 1, "{processes:?} at once");
                seen.extend(processes.iter().map(|process| {
                    let read = |file: &str| std::fs::read_to_string(process.join(file)).unwrap_or_default();
                    (read("stat"), read("limits"))
                }));
                std::thread::sleep(Duration::from_millis(5));
            }
            seen
        })
    };
    // Whoever asks, and however low its own priority is.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let idle = builder.enable_all().on_thread_start(stand_back).build().unwrap();
    let deployments = (0..3).map(|number| {
        let host = Arc::clone(&host);
        let path = format!("/admin/hubs/default/apps/app{number}");
        idle.spawn(async move { host.send("PUT", &path, slow(500 + number)).await.status.as_u16() })
    });
    for deployment in deployments.collect::<Vec<_>>() {
        let status = deployment.await.unwrap();
        // The first is admitted; another one has the same functions.
        assert!([201, 409].contains(&status), "{status}");
    }
    done.store(true, Ordering::SeqCst);
    idle.shutdown_background();
    let seen = watching.join().unwrap();
    let bounded = seen.iter().any(|(stat, limits)| {
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let (nice, policy) = (fields.get(16), fields.get(38));
        nice == Some(&"5") && policy == Some(&"0") && limits.contains("4294967296") && limits.contains("240 ")
    });
    assert!(bounded, "none of {} looks saw its bounds: {:?}", seen.len(), seen.last());
}
