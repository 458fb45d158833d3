//! Guests that misbehave fail their own instance, with a reason, and nobody else notices.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use durawasm_host::engine::executor::Executor;
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::wasm::Limits;
use durawasm_tests::{Host, guests};
use serde_json::{Value, json};

use crate::hostile_components::{LONG, executor};
use crate::program::Program;

/// A host whose guests may run for so long.
async fn host_with(running_time: Duration) -> Host {
    static EXECUTORS: Mutex<BTreeMap<Duration, Arc<dyn Executor>>> = Mutex::new(BTreeMap::new());
    let executor = Arc::clone(EXECUTORS.lock().unwrap().entry(running_time).or_insert_with(|| {
        let limits = Limits { running_time, episode_time: 2 * LONG, describe_time: LONG, ..Limits::default() };
        executor(Limits { concurrent_guests: 200, ..limits })
    }));
    let host = Host::running(Arc::new(MemoryStore::default()), executor, (Settings::default(), system_clock())).await;
    host.deploy("hostile", guests::guest("hostile")).await;
    host.deploy("hello-cities", guests::example("hello-cities")).await;
    host
}

async fn host() -> Host {
    host_with(LONG).await
}

/// The neighbour still gets its greetings.
async fn neighbour(host: &Host) {
    let status = host.run("E1_HelloSequence", Value::Null).await;
    assert_eq!(status["output"], json!(["Hello Tokyo!", "Hello Seattle!", "Hello London!"]), "{status}");
}

async fn fails(function: &str, words: &[&str]) {
    // Only who runs for ever is to run out of time.
    let host = host_with(if function == "LoopForever" { Duration::from_secs(10) } else { LONG }).await;
    let id = host.start(function, Value::Null).await;
    neighbour(&host).await;
    let status = host.ended(&id).await;
    assert_eq!(status["runtimeStatus"], "Failed", "{function}: {status}");
    let output = status["output"].as_str().unwrap();
    for word in words {
        assert!(output.contains(word), "{function}: '{word}' is not in: {output}");
    }
    assert!(output.len() < 20_000, "{function}: a reason of {} bytes", output.len());
    neighbour(&host).await;
}

macro_rules! hostile {
    ($($test:ident: $function:literal => $words:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            fails($function, &$words).await;
        }
    )*};
}

hostile! {
    a_loop_for_ever_is_stopped: "LoopForever" => ["without", "wait"];
    memory_without_end_is_stopped: "GrowMemory" => ["memory"];
    a_stack_overflow_is_stopped: "StackOverflow" => ["stack"];
    a_panic_is_told_with_its_message: "Panic" => ["boom at work"];
    a_result_of_100_mb_is_refused: "Return100MB" => ["limit"];
    bad_json_as_a_result_is_refused: "BadJson" => ["JSON"];
    bad_json_as_an_input_is_refused: "BadJsonInput" => ["JSON"];
    a_huge_input_is_refused: "HugeInput" => ["limit"];
    a_bad_custom_status_is_refused: "BadStatus" => ["JSON"];
    a_huge_custom_status_is_refused: "HugeStatus" => ["custom status"];
    a_bad_timer_is_refused: "BadTimer" => ["tomorrow"];
    a_million_tasks_are_refused: "MillionTasks" => ["tasks"];
    a_million_timers_are_refused: "MillionTimers" => ["tasks"];
    a_result_nobody_delivered_is_refused: "ForeignResult" => ["task 1"];
    an_unknown_task_is_refused: "UnknownTask" => ["4000000000"];
    cancelling_an_unknown_task_is_refused: "CancelUnknown" => ["task 0"];
    waiting_for_nothing_is_refused: "EmptyAny" => ["empty list"];
    a_busy_wait_for_time_is_stopped: "SpinOnClock" => ["calls of the host", "durable timer"];
    an_activity_call_in_an_orchestrator_is_refused: "WrongRole" => ["activity"];
    a_client_call_in_an_orchestrator_is_refused: "CallsClient" => ["client", "terminate"];
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_that_misbehave_fail_their_call() {
    let host = host().await;
    host.deploy("flow", guests::guest("flow")).await;
    for (activity, word) in
        [("GrowMemory", "memory"), ("StackOverflow", "stack"), ("Panic", "boom at work"), ("Return100MB", "limit")]
    {
        let status = host.run("OneActivity", json!([activity, null])).await;
        assert_eq!(status["runtimeStatus"], "Failed", "{activity}: {status}");
        assert!(status["output"].as_str().unwrap().contains(word), "{activity}: {status}");
    }
    neighbour(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_logs_do_no_harm() {
    let host = host_with(Duration::from_secs(10)).await;
    for function in ["HugeLog", "PrintForever"] {
        let status = host.run(function, Value::Null).await;
        assert!(status["runtimeStatus"] == "Completed" || status["runtimeStatus"] == "Failed", "{function}: {status}");
    }
    neighbour(&host).await;
}

/// Resident memory of a process in bytes.
#[cfg(target_os = "linux")]
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    1024 * line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
}

/// All deeds that do not take long, once each; nothing of them is kept.
#[cfg(target_os = "linux")]
async fn deeds(program: &Program, round: usize) {
    const DEEDS: [&str; 9] = [
        "GrowMemory",
        "StackOverflow",
        "Panic",
        "Return100MB",
        "HugeLog",
        "HugeInput",
        "HugeStatus",
        "MillionTimers",
        "SpinOnClock",
    ];
    for deed in DEEDS {
        let id = format!("{deed}-{round}");
        assert_eq!(program.start(deed, &id, Value::Null).await, 202);
        program.ended(&id).await;
        let url = format!("{}/runtime/webhooks/durabletask/instances/{id}", program.url);
        assert_eq!(program.http.delete(url).send().await.unwrap().status(), 200);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_the_server_returns_to_its_level() {
    let program = Program::serve_with("memory", &[]).await;
    program.deploy("hostile", guests::guest("hostile")).await;
    // What is allocated once and kept (slots, buffers, threads) is there after the first rounds.
    for round in 0..2 {
        deeds(&program, round).await;
    }
    let before = resident(program.child.id());
    for round in 2..8 {
        deeds(&program, round).await;
    }
    let after = resident(program.child.id());
    // One deed takes up to 128 MiB: what it leaves behind would show.
    assert!(after < before + (96 << 20), "{before} bytes before six more rounds, {after} after them");
}
