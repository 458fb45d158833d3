//! Components that no compiler makes: each is stopped within its limit, in words that help, and its neighbour goes on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use durawasm_host::engine::executor::Executor;
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::wasm::{Config, Limits, WasmExecutor};
use durawasm_tests::host::{egress, shared};
use durawasm_tests::wat::Parts;
use durawasm_tests::{Host, guests};
use serde_json::{Value, json};

/// What the deeds import.
pub(crate) const IMPORTS: &str = r#"
    (import "durable:functions/orchestration@0.1.0" "create-timer" (func $timer (param i32 i32) (result i32)))
    (import "durable:functions/orchestration@0.1.0" "when-any" (func $any (param i32 i32) (result i32)))
    (import "durable:functions/orchestration@0.1.0" "new-guid" (func $guid (param i32)))
    (import "durable:functions/orchestration@0.1.0" "send-event" (func $send (param i32 i32 i32 i32 i32 i32 i32)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $sleep (param i64) (result i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.ready" (func $ready (param i32) (result i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.6" "[resource-drop]pollable" (func $drop_pollable (param i32)))
    (import "wasi:cli/stdin@0.2.6" "get-stdin" (func $stdin (result i32)))
    (import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
    (import "wasi:io/streams@0.2.6" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.6" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:random/random@0.2.6" "get-random-bytes" (func $random (param i64 i32)))
"#;

/// Limits that are reached soon, so that nothing takes long.
pub(crate) fn strict() -> Limits {
    Limits {
        running_time: Duration::from_secs(1),
        episode_time: Duration::from_secs(20),
        describe_time: Duration::from_secs(1),
        host_calls: 20_000,
        handles: 200,
        concurrent_guests: 40,
        component_size: 4 << 20,
        orchestrator_memory: 32 << 20,
        activity_memory: 32 << 20,
        ..Limits::default()
    }
}

pub(crate) fn executor(limits: Limits) -> Arc<dyn Executor> {
    let folder = tempfile::tempdir().unwrap().keep();
    // A host that opens removes what no instance of its own needs: the others' components stay.
    shared(WasmExecutor::new(Config { limits, ..Config::new(folder, egress(&[], None)) }).unwrap())
}

/// Far longer than any guest runs that something else stops, however busy the machine is.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// The same limits but for those of time: for guests that another limit is to stop.
pub(crate) fn unhurried() -> Limits {
    Limits { running_time: LONG, episode_time: 2 * LONG, describe_time: LONG, ..strict() }
}

async fn on(executor: Arc<dyn Executor>, settings: Settings) -> Host {
    let host = Host::running(Arc::new(MemoryStore::default()), executor, (settings, system_clock())).await;
    host.deploy("hello-cities", guests::example("hello-cities")).await;
    host
}

async fn with(settings: Settings) -> Host {
    static UNHURRIED: OnceLock<Arc<dyn Executor>> = OnceLock::new();
    on(UNHURRIED.get_or_init(|| executor(unhurried())).clone(), settings).await
}

async fn host() -> Host {
    with(Settings::default()).await
}

/// A host whose limits suit what a guest comes to be told: only who is to run out of time has little of it.
async fn host_for(words: &str) -> Host {
    static SHORT_RUNS: OnceLock<Arc<dyn Executor>> = OnceLock::new();
    static SHORT_DESCRIPTIONS: OnceLock<Arc<dyn Executor>> = OnceLock::new();
    let executor = if words.contains("ran for more than") {
        SHORT_DESCRIPTIONS.get_or_init(|| executor(Limits { describe_time: Duration::from_secs(3), ..unhurried() }))
    } else if words.contains("ran for") || words.is_empty() {
        SHORT_RUNS.get_or_init(|| executor(Limits { running_time: Duration::from_secs(1), ..unhurried() }))
    } else {
        return host().await;
    };
    on(executor.clone(), Settings::default()).await
}

async fn neighbour(host: &Host) {
    let status = host.run("E1_HelloSequence", Value::Null).await;
    assert_eq!(status["output"], json!(["Hello Tokyo!", "Hello Seattle!", "Hello London!"]), "{status}");
}

/// What is said about a component that is not admitted.
async fn refusal(host: &Host, component: Bytes) -> String {
    let answer = host.send("PUT", "/admin/hubs/default/apps/deed", component).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(host.send("GET", "/admin/hubs/default/apps/deed", "").await.status, 404);
    answer.text()
}

fn holds(said: &str, words: &str) {
    // Of several words the first that apply: engines check in an order of their own.
    assert!(words.split('|').any(|words| said.contains(words)), "'{words}' is not in: {said}");
    assert!(said.len() < 40_000, "a reason of {} bytes", said.len());
}

macro_rules! refused {
    ($($test:ident: $parts:expr => $words:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            let host = host_for($words).await;
            holds(&refusal(&host, $parts.component()).await, $words);
            neighbour(&host).await;
        }
    )*};
}

/// A deed that is done before anybody calls.
fn at_start(items: &str) -> Parts<'_> {
    Parts { items, ..Parts::default() }
}

fn describing(describe: &str) -> Parts<'_> {
    Parts { describe, ..Parts::default() }
}

refused! {
    a_start_function_that_loops_is_stopped:
        at_start("(start $loop) (func $loop (loop $l (br $l)))") => "ran for more than 3s|did not return in 4s";
    a_start_function_that_traps_is_told: at_start("(start $trap) (func $trap unreachable)") => "unreachable";
    // On a processor that others have most of the time it hardly runs.
    a_describe_that_loops_is_stopped:
        describing("(loop $l (br $l)) (i32.const 0)") => "ran for more than 3s|did not return in 4s";
    a_describe_that_traps_is_told: describing("unreachable") => "describe function did not return: the guest trapped";
    a_describe_that_overflows_the_stack_is_told:
        describing("(call $deeper)").with("(func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))") => "stack";
    a_describe_beyond_its_memory_is_told: describing("(i32.const -8)") => "out of bounds";
    a_describe_at_an_odd_place_is_told: describing("(i32.const 129)") => "aligned";
    a_describe_with_too_many_functions_is_refused:
        // All of them the same: what counts is how many are looked at.
        describing("(i32.store (i32.const 156) (i32.const 2000)) (call $app)") => "limit is 1000";
    a_describe_with_an_endless_list_is_refused:
        describing("(i32.store (i32.const 156) (i32.const 0x7fffffff)) (call $app)") => "did not return";
    a_describe_with_a_huge_label_is_refused:
        describing("(drop (memory.grow (i32.const 64))) (memory.fill (i32.const 65536) (i32.const 120) (i32.const 4000000))
            (i32.store (i32.const 132) (i32.const 65536)) (i32.store (i32.const 136) (i32.const 4000000)) (call $app)")
        => "SDK name is longer than 128";
    a_describe_in_no_utf8_is_refused: describing("(i32.store8 (i32.const 65) (i32.const 0xff)) (call $app)") => "utf-8";
    a_describe_of_an_unknown_kind_is_refused:
        describing("(i32.store8 (i32.const 200) (i32.const 250)) (call $app)") => "did not return";
    a_describe_with_a_path_for_a_name_is_refused_if_it_is_twice:
        describing("(i64.store (i32.const 70) (i64.const 0x2e2f2e2e)) (i32.store8 (i32.const 200) (i32.const 1)) (call $app)")
        => "'../.' twice";
    a_describe_that_calls_the_host_is_told:
        describing("(call $guid (i32.const 256)) (call $app)").with(IMPORTS) => "describe called it";
    a_describe_that_sleeps_is_told:
        describing("(call $block (call $sleep (i64.const 1000000000))) (call $app)").with(IMPORTS) => "must not sleep";
    a_describe_that_asks_the_time_for_ever_is_stopped:
        describing("(loop $l (drop (call $now)) (br $l)) (call $app)").with(IMPORTS) => "20000 calls of the host";
    a_memory_of_4_gib_is_refused:
        Parts { memory: "(memory (export \"memory\") 65536)", ..Parts::default() } => "memory";
    a_table_of_10_million_elements_is_refused: at_start("(table 10000000 funcref)") => "table";
    seventeen_tables_are_refused: at_start(&"(table 1 funcref)".repeat(17)) => "tables";
    five_memories_are_refused:
        at_start("").with_behind("(memory 1) (memory 1) (memory 1) (memory 1)") => "memories";
}

macro_rules! stopped {
    ($($test:ident: $items:literal, $run:expr => $words:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            let items = format!("{IMPORTS} {}", $items);
            let behind = "(memory 1) (memory 1) (memory 1) (table 1 funcref)";
            stopped(Parts { items: &items, behind, run: $run, ..Parts::default() }.component(), $words).await;
        }
    )*};
}

/// An orchestrator's deed: its instance fails, with a reason.
async fn stopped(component: Bytes, words: &str) {
    let host = host_for(words).await;
    host.deploy("deed", component).await;
    let id = host.start("Deed", json!("an input")).await;
    neighbour(&host).await;
    let status = host.ended(&id).await;
    assert_eq!(status["runtimeStatus"], "Failed", "{status}");
    holds(status["output"].as_str().unwrap(), words);
    neighbour(&host).await;
}

stopped! {
    a_busy_wait_on_the_clock_is_stopped: "", "(loop $l (drop (call $now)) (br $l)) (call $none)" => "calls of the host";
    a_flood_of_polls_is_stopped: "",
        "(local.set $i (call $sleep (i64.const 1))) (loop $l (drop (call $ready (local.get $i))) (br $l)) (call $none)"
        => "calls of the host";
    a_flood_of_contract_calls_is_stopped: "", "(loop $l (call $guid (i32.const 256)) (br $l)) (call $none)"
        => "calls of the host";
    // The timer is over after the first round: no wait of the others gives the guest new time.
    a_loop_around_a_wait_that_is_over_is_stopped: "(data (i32.const 1024) \"2000-01-01T00:00:00Z\")",
        "(i32.store (i32.const 1100) (call $timer (i32.const 1024) (i32.const 20)))
         (loop $l (drop (call $any (i32.const 1100) (i32.const 1))) (br $l)) (call $none)" => "calls of the host";
    a_flood_of_bytes_to_stdout_is_stopped: "",
        "(local.set $i (call $stdout)) (memory.fill (i32.const 8192) (i32.const 0xfe) (i32.const 4096))
         (loop $l (call $write (local.get $i) (i32.const 8192) (i32.const 4096) (i32.const 256)) (br $l)) (call $none)"
        => "ran for 1s";
    reading_stdin_for_ever_is_stopped: "",
        "(local.set $i (call $stdin))
         (loop $l (call $read (local.get $i) (i64.const 0x7fffffffffffffff) (i32.const 256)) (br $l)) (call $none)"
        => "";
    a_leak_of_pollables_is_stopped: "", "(loop $l (drop (call $sleep (i64.const 1))) (br $l)) (call $none)" => "more than 200 handles";
    a_leak_of_streams_is_stopped: "", "(loop $l (drop (call $stdin)) (br $l)) (call $none)" => "more than 200 handles";
    a_leak_of_http_resources_is_stopped: "", "(loop $l (drop (call $fields)) (br $l)) (call $none)" => "more than 200 handles";
    a_handle_that_nobody_gave_is_refused: "", "(call $block (i32.const 12345)) (call $none)" => "handle";
    a_handle_of_another_kind_is_refused: "", "(call $block (call $stdin)) (call $none)" => "handle|resource";
    a_handle_dropped_twice_is_refused: "",
        "(local.set $i (call $sleep (i64.const 1))) (call $drop_pollable (local.get $i))
         (call $drop_pollable (local.get $i)) (call $none)" => "handle";
    a_text_from_nowhere_is_refused: "", "(call $timer (i32.const -16) (i32.const 64))" => "out of bounds";
    a_text_as_long_as_memory_is_refused: "", "(call $timer (i32.const 0) (i32.const -1))" => "out of bounds|too much in one call";
    a_text_in_no_utf8_is_refused: "(data (i32.const 1024) \"\\ff\\fe\\fd\")", "(call $timer (i32.const 1024) (i32.const 3))"
        => "utf-8";
    a_list_of_two_thousand_million_is_refused: "", "(call $any (i32.const 0) (i32.const 0x7fffffff))" => "out of bounds|too much in one call";
    a_list_at_an_odd_place_is_refused: "", "(call $any (i32.const 257) (i32.const 2))" => "aligned";
    an_answer_to_nowhere_is_refused: "", "(call $guid (i32.const -4)) (call $none)" => "";
    a_tebibyte_of_random_numbers_is_refused: "", "(call $random (i64.const 0x10000000000) (i32.const 256)) (call $none)"
        => "random bytes at once";
    a_result_beyond_memory_is_refused: "", "(i32.const -8)" => "out of bounds";
    a_result_at_an_odd_place_is_refused: "", "(i32.const 257)" => "aligned";
    a_result_of_an_unknown_case_is_refused: "", "(i32.store (i32.const 256) (i32.const 77)) (i32.const 256)" => "";
    a_result_in_no_utf8_is_refused: "(data (i32.const 1024) \"\\ff\")", "(call $text (i32.const 1024) (i32.const 1))"
        => "utf-8";
    a_result_of_more_than_a_call_may_hand_over_is_refused:
        "", "(drop (memory.grow (i32.const 300))) (call $text (i32.const 65536) (i32.const 17000000))"
        => "too much in one call; the limit is 16777216 bytes";
    a_result_longer_than_memory_is_refused: "", "(call $text (i32.const 0) (i32.const -1))" => "out of bounds|too much in one call";
    a_failure_with_a_huge_message_is_cut: "",
        "(drop (memory.grow (i32.const 64))) (memory.fill (i32.const 65536) (i32.const 120) (i32.const 4000000))
         (return (call $failed (i32.const 65536) (i32.const 4000000)))" => "xxxx";
    four_growing_memories_share_one_limit: "",
        "(loop $l (drop (memory.grow (i32.const 16))) (drop (memory.grow 1 (i32.const 16)))
            (drop (memory.grow 2 (i32.const 16))) (drop (memory.grow 3 (i32.const 16))) (br $l)) (call $none)" => "memory";
    growing_tables_share_the_limit_of_memory: "",
        "(loop $l (drop (table.grow 0 (ref.null func) (i32.const 50000)))
            (drop (memory.grow (i32.const 1))) (br $l)) (call $none)" => "memory";
    a_function_that_calls_itself_is_stopped: "(func $deeper (param i32) (result i32)
            (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (local.get 0)))",
        "(call $deeper (i32.const 0))" => "stack";
    a_storm_of_events_to_itself_is_stopped: "(data (i32.const 1024) \"storm\")",
        "(loop $l (call $send (i32.const 1024) (i32.const 5) (i32.const 1024) (i32.const 5) (i32.const 0) (i32.const 0)
            (i32.const 0)) (br $l)) (call $none)" => "";
}

/// As an activity, which sees the real WASI: what it does fails its call, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn activities_are_stopped_in_the_same_way() {
    let text = "(data (i32.const 1024) \"\\ff\")";
    for (run, words) in [
        ("(loop $l (br $l)) (call $none)", "was stopped after 4s"),
        // Longer than anybody waits: parked in a call of the host.
        ("(call $block (call $sleep (i64.const -1))) (call $none)", "was stopped after 4s"),
        ("(loop $l (drop (call $now)) (br $l)) (call $none)", "was stopped after 4s"),
        ("(loop $l (drop (call $sleep (i64.const 1))) (br $l)) (call $none)", "more than 200 handles"),
        ("(loop $l (drop (call $stdin)) (br $l)) (call $none)", "more than 200 handles"),
        ("(loop $l (drop (memory.grow (i32.const 16))) (br $l)) (call $none)", "bytes of memory; the limit is"),
        ("(call $random (i64.const 0x10000000000) (i32.const 256)) (call $none)", ""),
        ("(call $block (i32.const 77)) (call $none)", "handle"),
        ("(call $guid (i32.const 256)) (call $none)", "works in orchestrators only"),
        ("(call $text (i32.const 1024) (i32.const 1))", "utf-8"),
        ("(i32.const -8)", "out of bounds"),
        ("(call $text (i32.const 64) (i32.const 4))", "is not JSON"),
    ] {
        let activity_timeout = if words.contains("after 4s") { Duration::from_secs(4) } else { LONG };
        let host = with(Settings { activity_timeout, ..Settings::default() }).await;
        host.deploy("flow", guests::guest("flow")).await;
        let items = format!("{IMPORTS} {text}");
        host.deploy("deed", Parts { items: &items, run, ..Parts::default() }.component()).await;
        let id = host.start("OneActivity", json!(["Deed", "an input"])).await;
        neighbour(&host).await;
        let status = host.ended(&id).await;
        assert_eq!(status["runtimeStatus"], "Failed", "{run}: {status}");
        holds(status["output"].as_str().unwrap(), words);
        neighbour(&host).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocator_that_lies_is_found_out() {
    for (realloc, words) in [
        ("(i32.const -16)", "realloc return"),
        ("(i32.const 0x7ffffff0)", "realloc return"),
        ("unreachable", "unreachable"),
        ("(loop $l (br $l)) (i32.const 0)", "ran for 1s"),
    ] {
        stopped(Parts { realloc, ..Parts::default() }.component(), words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_any_depth_is_kept_and_shown() {
    let host = host().await;
    // A million brackets, one in another.
    let run = "(drop (memory.grow (i32.const 64)))
        (memory.fill (i32.const 65536) (i32.const 91) (i32.const 1000000))
        (memory.fill (i32.const 1065536) (i32.const 93) (i32.const 1000000))
        (call $text (i32.const 65536) (i32.const 2000000))";
    host.deploy("deed", Parts { run, ..Parts::default() }.component()).await;
    let id = host.start("Deed", Value::Null).await;
    let hub = "default".into();
    let waited = host.engine.wait(&hub, &id, LONG).await;
    assert!(waited.is_ok(), "{waited:?}");
    let path = format!("/runtime/webhooks/durabletask/instances/{id}?showHistory=true&showHistoryOutput=true");
    let answer = host.send("GET", &path, "").await;
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    assert!(answer.status == 200 && answer.text().contains(&deep), "{}", answer.status);
    neighbour(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_without_end_is_a_timer_that_can_be_terminated() {
    let host = host().await;
    let parts = Parts { run: "(call $block (call $sleep (i64.const -1))) (call $none)", ..Parts::default() };
    host.deploy("deed", parts.with(IMPORTS).component()).await;
    let id = host.start("Deed", Value::Null).await;
    host.until(&id, "sleeping", |status| status["runtimeStatus"] == "Running").await;
    let ended = host.send("POST", &format!("/runtime/webhooks/durabletask/instances/{id}/terminate"), "").await;
    assert_eq!(ended.status, 202);
    assert_eq!(host.ended(&id).await["runtimeStatus"], "Terminated");
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_and_oversized_uploads_are_refused() {
    let host = host().await;
    // A bomb in disguise: what is said to be compressed is not unpacked.
    let gzip = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &[0xff; 1_000]].concat();
    let headers = [("content-encoding", "gzip")];
    let path = "/admin/hubs/default/apps/deed";
    let answer = host.send_adding("PUT", path, &headers, gzip).await;
    assert!([400, 415].contains(&answer.status.as_u16()), "{} {}", answer.status, answer.text());
    let large = host.send("PUT", path, vec![0_u8; (4 << 20) + 1]).await;
    assert!([400, 413].contains(&large.status.as_u16()), "{} {}", large.status, large.text());
    assert!(large.text().contains("4194304") || large.text().contains("4194305"), "{}", large.text());
    neighbour(&host).await;
}

/// Two guests' worth of room, taken in turn by two hubs: what one left in its memory is not there for the other.
#[tokio::test(flavor = "multi_thread")]
async fn memory_comes_without_what_others_left_in_it() {
    let limits = Limits { concurrent_guests: 1, ..unhurried() };
    let settings = Settings { hot_guests: 0, ..Settings::default() };
    let store = Arc::new(MemoryStore::default());
    let host = Host::running(store, executor(limits), (settings, system_clock())).await;
    let secret = "(drop (memory.grow (i32.const 200)))
        (memory.fill (i32.const 4096) (i32.const 0x5e) (i32.const 13000000))
        (table.set 0 (i32.const 9) (ref.func $secret)) (global.set $hidden (i64.const 94)) (call $none)";
    let look = "(drop (memory.grow (i32.const 200))) (local.set $i (i32.const 8192))
        (loop $l (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then unreachable))
            (local.set $i (i32.add (local.get $i) (i32.const 8)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 13000000))))
        (if (i32.eqz (ref.is_null (table.get 0 (i32.const 9)))) (then unreachable))
        (if (i64.ne (global.get $hidden) (i64.const 0)) (then unreachable)) (call $none)";
    let items = "(func $secret) (elem declare func $secret)";
    let behind = "(table 1000 funcref) (global $hidden (mut i64) (i64.const 0))";
    for hub in ["first", "second"] {
        assert!(host.send("PUT", &format!("/admin/hubs/{hub}"), "").await.status.is_success());
    }
    for round in 0..10 {
        for (hub, run) in [("first", secret), ("second", look)] {
            // Another component each time: one that was there before would be given its own place again.
            let run = format!("(drop (i32.const {round})) {run}");
            let component = Parts { items, behind, run: &run, ..Parts::default() }.component();
            // The guest before may still be going, and there is room for one: it waits for that.
            let answer = host.send("PUT", &format!("/admin/hubs/{hub}/apps/deed"), component).await;
            assert!(answer.status.is_success(), "{}", answer.text());
            let path = format!("/runtime/webhooks/durabletask/orchestrators/Deed/deed-{round}?taskHub={hub}");
            assert_eq!(host.send("POST", &path, "").await.status, 202);
            let name = hub.into();
            host.engine.wait(&name, &format!("deed-{round}"), LONG).await.unwrap();
            let path = format!("/runtime/webhooks/durabletask/instances/deed-{round}?taskHub={hub}");
            let status = host.send("GET", &path, "").await.json();
            assert_eq!(status["runtimeStatus"], "Completed", "{hub}: {status}");
        }
    }
}

/// All places are taken for long, by one that waits and by what it waits for: whoever needs one is told to come again, and served when it is free.
#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_waits_a_little_and_is_told_to_come_again() {
    let limits = Limits { concurrent_guests: 2, ..strict() };
    let settings = Settings { hot_guests: 1, cancel_grace: Duration::ZERO, ..Settings::default() };
    let store = Arc::new(MemoryStore::default());
    let host = Host::running(store, executor(limits), (settings, system_clock())).await;
    let deed = |run: &str| Parts { run, ..Parts::default() }.with(IMPORTS).component();
    let (old, new) = ("(call $block (call $sleep (i64.const -1))) (call $none)", "(drop (i32.const 1))");
    for (app, component) in
        [("flow", guests::guest("flow")), ("hostile", guests::guest("hostile")), ("deed", deed(old))]
    {
        host.deploy(app, component).await;
    }
    let parked = host.start("Deed", Value::Null).await;
    host.until(&parked, "sleeping", |status| status["runtimeStatus"] == "Running").await;
    let new = deed(&format!("{new} {old}"));
    host.deploy("deed", new.clone()).await;

    let holder = host.start("GivesUp", json!(["Sleep", 3_600_000])).await;
    let comes_again = |answer: &durawasm_tests::host::Answer| {
        assert_eq!((answer.status.as_u16(), answer.headers["retry-after"].to_str().unwrap()), (503, "1"));
    };
    // The activity may have to wait for its place as well.
    let began = std::time::Instant::now();
    let refused = loop {
        let answer = host.send("PUT", "/admin/hubs/default/apps/deed", new.clone()).await;
        if !answer.status.is_success() {
            break answer;
        }
        assert!(began.elapsed() < Duration::from_secs(60));
    };
    comes_again(&refused);
    assert_eq!(refused.json()["error"]["code"], "host-busy", "{}", refused.text());
    holds(&refused.text(), "all places for guests are taken");
    let trial = "/admin/hubs/default/apps/deed?dryRun=true";
    let path = format!("/runtime/webhooks/durabletask/instances/{parked}/move?to=current");
    let (tried, called, moved) = tokio::join!(
        host.send("PUT", trial, new.clone()),
        host.send("GET", "/api/deeds/method", ""),
        host.send("POST", &path, ""),
    );
    for answer in [&tried, &called, &moved] {
        comes_again(answer);
    }

    let ending = async {
        let path = format!("/runtime/webhooks/durabletask/instances/{holder}/raiseEvent/Stop");
        assert_eq!(host.send("POST", &path, "null").await.status, 202);
    };
    // One after the other they find the place that has become free, or are told to come again.
    let again = async |method: &'static str, path: &str, body: Bytes| {
        let began = std::time::Instant::now();
        loop {
            let answer = host.send(method, path, body.clone()).await;
            if answer.status != 503 || began.elapsed() > Duration::from_secs(60) {
                return answer;
            }
        }
    };
    let (deployed, called, moved, ()) = tokio::join!(
        again("PUT", "/admin/hubs/default/apps/deed", new.clone()),
        again("GET", "/api/deeds/method", Bytes::new()),
        again("POST", &path, Bytes::new()),
        ending,
    );
    for answer in [deployed, called, moved] {
        assert!(answer.status.is_success(), "{} {}", answer.status, answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_episode_has_a_time_of_its_own() {
    // The guest may run for longer than an episode may take: what is not running counts as well.
    let limits =
        Limits { running_time: Duration::from_secs(3_600), episode_time: Duration::from_millis(300), ..unhurried() };
    let store = Arc::new(MemoryStore::default());
    let host = Host::running(store, executor(limits), (Settings::default(), system_clock())).await;
    host.deploy("deed", Parts { run: "(loop $l (br $l)) (call $none)", ..Parts::default() }.component()).await;
    let status = host.run("Deed", Value::Null).await;
    assert_eq!(status["runtimeStatus"], "Failed", "{status}");
    holds(status["output"].as_str().unwrap(), "did not come to a wait in 300ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_guests_than_there_is_room_for_take_turns() {
    let settings = Settings { hot_guests: 2, ..Settings::default() };
    let limits = Limits { concurrent_guests: 4, ..unhurried() };
    let store = Arc::new(MemoryStore::default());
    let host = Host::running(store, executor(limits), (settings, system_clock())).await;
    host.deploy("hello-cities", guests::example("hello-cities")).await;
    let mut ids = Vec::new();
    for _ in 0..60 {
        ids.push(host.start("E1_HelloSequence", Value::Null).await);
    }
    for id in ids {
        assert_eq!(host.ended(&id).await["runtimeStatus"], "Completed", "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_paths_are_refused() {
    let host = host().await;
    let component = Parts::default().component();
    for name in ["..", "%2e%2e", "..%2f..%2fetc", "a%2fb", "a%5cb", "a%00b", "%E2%80%AEx", "a%0Ab", &"x".repeat(300)] {
        for path in [format!("/admin/hubs/default/apps/{name}"), format!("/admin/hubs/{name}")] {
            let answer = host.send("PUT", &path, component.clone()).await;
            assert!(answer.status.is_client_error(), "{path}: {} {}", answer.status, answer.text());
        }
    }
    neighbour(&host).await;
}
