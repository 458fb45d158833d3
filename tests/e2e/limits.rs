//! Every limit of guests has a test that hits it: the table says which, and those that have no better place are here.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use durawasm_core::Timestamp;
use durawasm_host::engine::executor::Executor;
use durawasm_host::engine::{Reuse, Settings, StartRequest, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::wasm::Limits;
use durawasm_tests::wat::Parts;
use durawasm_tests::{Host, guests};
use serde_json::{Value, json};

use crate::hostile_components::{IMPORTS, executor, unhurried};

/// A limit of `host/src/wasm/limits.rs`, and the test that hits it; none: what is there is no limit of guests, but says how the
/// machine is used or how a limit is counted.
const HIT_BY: &[(&str, Option<&str>)] = &[
    ("component_size", Some("a_component_that_is_too_large_is_refused")),
    ("compile_time", Some("what_takes_too_long_is_stopped")),
    ("compile_processor_time", Some("what_takes_too_much_processor_time_is_stopped")),
    ("compile_memory", Some("what_takes_too_much_memory_is_stopped")),
    ("compile_words", Some("what_the_compiler_says_is_cut")),
    ("describe_time", Some("a_describe_that_loops_is_stopped")),
    ("functions", Some("a_describe_with_too_many_functions_is_refused")),
    ("orchestrator_memory", Some("four_growing_memories_share_one_limit")),
    ("activity_memory", Some("activities_are_stopped_in_the_same_way")),
    ("payload", Some("payloads_and_statuses")),
    ("log_line", Some("what_a_run_logs_is_cut")),
    ("log_lines", Some("what_a_run_logs_is_cut")),
    ("stderr_tail", Some("of_stderr_the_end_is_told")),
    ("running_time", Some("a_flood_of_bytes_to_stdout_is_stopped")),
    ("episode_time", Some("an_episode_has_a_time_of_its_own")),
    ("host_calls", Some("a_busy_wait_on_the_clock_is_stopped")),
    ("episode_fuel", Some("who_never_stops_being_served_is_stopped")),
    ("handles", Some("a_leak_of_pollables_is_stopped")),
    ("function_stay", Some("it_stays_for_a_moment_only_and_never_for_all_places")),
    ("concurrent_guests", Some("more_guests_than_there_is_room_for_take_turns")),
    ("hostcall_bytes", Some("a_result_of_more_than_a_call_may_hand_over_is_refused")),
    ("describe_wall_time", Some("a_describe_that_hardly_runs_is_stopped_all_the_same")),
    ("address_space", Some("too_little_address_space_is_said_at_the_start")),
    ("MAPPINGS", Some("each_shortage_says_how_much_is_needed_and_what_to_do")),
    ("MEMORY_RESERVATION", Some("a_memory_of_4_gib_is_refused")),
    ("NAME_CHARS", Some("names_and_labels")),
    ("TAG_VALUE_CHARS", Some("tags_are_counted_and_measured")),
    ("TAGS", Some("tags_are_counted_and_measured")),
    ("FUNCTION_NAME_CHARS", Some("names_are_checked")),
    ("LABEL_CHARS", Some("a_describe_with_a_huge_label_is_refused")),
    ("CUSTOM_STATUS_UTF16_BYTES", Some("payloads_and_statuses")),
    ("HEARTBEAT", Some("a_heartbeat_keeps_a_place_and_no_result")),
    ("HTTP_HEADERS", Some("http_calls")),
    ("STATUSES", Some("http_calls")),
    ("HOST_NAME", Some("a_name_that_cannot_be_one_is_not_looked_up")),
    ("NAMES", Some("a_run_has_only_so_many_requests_sockets_and_names")),
    ("REQUESTS", Some("a_run_has_only_so_many_requests_sockets_and_names")),
    ("SOCKETS", Some("a_run_has_only_so_many_requests_sockets_and_names")),
    ("TASKS", Some("a_million_tasks_are_refused")),
    ("ATTEMPTS", Some("retry_policies")),
    ("LONGEST_MS", Some("times_and_durations")),
    ("CAUSES", Some("what_a_failure_says_is_cut")),
    ("ERROR_TYPE", Some("what_a_failure_says_is_cut")),
    ("FAILURE_TEXT", Some("what_a_failure_says_is_cut")),
    ("RANDOM_BYTES", Some("a_tebibyte_of_random_numbers_is_refused")),
    ("RESPONSE_HEADERS", Some("each_deed_gets_its_status_and_gives_its_place_back")),
    ("RESPONSE_HEADER_BYTES", Some("each_deed_gets_its_status_and_gives_its_place_back")),
    ("RESPONSE_BODY", Some("each_deed_gets_its_status_and_gives_its_place_back")),
    ("PAGE", Some("pages_of_instances_end_in_time")),
    ("LARGEST_PAGE", Some("pages_of_instances_end_in_time")),
    ("PAGE_BYTES", Some("pages_of_instances_end_in_time")),
    ("WASM_STACK", Some("a_function_that_calls_itself_is_stopped")),
    ("FIBER_STACK", None),
    ("TABLE_ELEMENTS", Some("a_table_of_10_million_elements_is_refused")),
    ("CORE_INSTANCES", Some("two_hundred_and_one_core_instances_are_refused")),
    ("MEMORIES", Some("five_memories_are_refused")),
    ("TABLES", Some("seventeen_tables_are_refused")),
    ("COMPILE_NICENESS", Some("one_at_a_time_is_compiled_and_stands_back")),
    ("TICK", None),
    ("KIB", None),
    ("MIB", None),
];

/// The names of what the file says: fields of `Limits`, its methods, constants.
fn limits() -> BTreeSet<String> {
    let text = std::fs::read_to_string(guests::root().join("host/src/wasm/limits.rs")).unwrap();
    let mut names = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        let line = line.trim_start_matches("pub(super) ").trim_start_matches("pub ");
        let is_field = || line.ends_with(',') && line.contains(": ") && !line.starts_with("//");
        let name = match line.strip_prefix("const ").or_else(|| line.strip_prefix("fn ")) {
            Some(rest) => rest.split([':', '(']).next(),
            None if is_field() => line.split(':').next(),
            None => None,
        };
        names.extend(name.filter(|name| *name != "default").map(str::to_owned));
    }
    if let Some((_, used)) = text.split_once("pub use durawasm_core::model::{") {
        names.extend(used.split('}').next().unwrap().split(',').map(|name| name.trim().to_owned()));
    }
    names
}

fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_limit_has_a_test() {
    let table: BTreeSet<String> = HIT_BY.iter().map(|(limit, _)| (*limit).to_owned()).collect();
    assert_eq!(limits(), table);
    let mut text = String::new();
    for folder in ["tests/e2e", "host/src"] {
        sources(&guests::root().join(folder), &mut text);
    }
    for (limit, test) in HIT_BY {
        let Some(test) = test else { continue };
        let defined = [format!("fn {test}("), format!("    {test}: "), format!("    {test}:\n")];
        assert!(defined.iter().any(|form| text.contains(form)), "{limit}: there is no test '{test}'");
    }
}

async fn host(limits: Limits) -> Host {
    running(executor(limits)).await
}

async fn running(executor: Arc<dyn Executor>) -> Host {
    Host::running(Arc::new(MemoryStore::default()), executor, (Settings::default(), system_clock())).await
}

async fn refusal(host: &Host, component: Bytes) -> String {
    let answer = host.send("PUT", "/admin/hubs/default/apps/deed", component).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    answer.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_describe_that_hardly_runs_is_stopped_all_the_same() {
    // Single instructions that take long: between them the guest is looked at seldom, and each look counts as one tick.
    let fill = "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 250000000))";
    let describe = format!("(drop (memory.grow (i32.const 3900))) (loop $l {} (br $l)) (i32.const 0)", fill.repeat(20));
    let limits = Limits { describe_time: Duration::from_millis(200), activity_memory: 256 << 20, ..unhurried() };
    let said = refusal(&host(limits).await, Parts { describe: &describe, ..Parts::default() }.component()).await;
    assert!(said.contains("it did not return in 1.2s"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_and_one_core_instances_are_refused() {
    let instances =
        |count: usize| format!("(core module $empty) {}", "(core instance (instantiate $empty))".repeat(count));
    let host = host(unhurried()).await;
    // The app's own are a few of them.
    let said = refusal(&host, Parts::default().component_before(&instances(200))).await;
    assert!(said.contains("core module instances") && said.contains("200"), "{said}");
    host.deploy("deed", Parts::default().component_before(&instances(150))).await;
}

async fn lines(host: &Host, id: &str) -> Vec<String> {
    let path = format!("/runtime/webhooks/durabletask/instances/{id}/logs");
    let kept = host.send("GET", &path, "").await.json();
    kept["lines"].as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_logs_is_cut() {
    let host = host(Limits { log_line: 100, log_lines: 5, ..unhurried() }).await;
    // Twenty lines of 300 characters each.
    let run = "(local.set $i (call $stdout)) (local.set $n (i64.const 20))
        (memory.fill (i32.const 8192) (i32.const 0x78) (i32.const 300)) (i32.store8 (i32.const 8492) (i32.const 10))
        (loop $l (call $write (local.get $i) (i32.const 8192) (i32.const 301) (i32.const 256))
            (local.set $n (i64.sub (local.get $n) (i64.const 1))) (br_if $l (i64.ne (local.get $n) (i64.const 0))))
        (call $none)";
    host.deploy("deed", Parts { run, ..Parts::default() }.with(IMPORTS).component()).await;
    let id = host.start("Deed", Value::Null).await;
    assert_eq!(host.ended(&id).await["runtimeStatus"], "Completed");
    let mut expected = vec!["x".repeat(100); 4];
    expected.push("too many log lines in one run; the rest is dropped".to_owned());
    assert_eq!(lines(&host, &id).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_stderr_the_end_is_told() {
    let host = host(Limits { stderr_tail: 20, ..unhurried() }).await;
    host.deploy("hostile", guests::guest("hostile")).await;
    let status = host.run("Panic", Value::Null).await;
    let output = status["output"].as_str().unwrap();
    let (_, told) = output.split_once("it last wrote: ").unwrap_or_else(|| panic!("{output}"));
    assert!(told.len() <= 21 && told.contains("backtrace"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_keeps_a_place_and_no_result() {
    let host = host(unhurried()).await;
    host.deploy("hostile", guests::guest("hostile")).await;
    host.deploy("flow", guests::guest("flow")).await;
    // With its quotation marks it is as large as may be.
    let fits = host.run("OneActivity", json!(["HugeHeartbeat", 65_534])).await;
    assert_eq!((&fits["runtimeStatus"], &fits["output"]), (&json!("Completed"), &json!(false)), "{fits}");
    let refused = host.run("OneActivity", json!(["HugeHeartbeat", 65_535])).await;
    let output = refused["output"].as_str().unwrap();
    assert!(output.contains("the heartbeat's details") && output.contains("65536"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_one_is_not_looked_up() {
    let host = Host::new().await;
    host.deploy("network", guests::guest("network")).await;
    let causes = async |length: usize| {
        let status = host.run("Asks", json!(format!("lookup {}", "a".repeat(length)))).await;
        assert_eq!(status["runtimeStatus"], "Failed", "{status}");
        status["historyEvents"].to_string()
    };
    // As long as it may be, it is a name that is not allowed; a longer one is none.
    assert!(causes(1_024).await.contains("EgressRefused"));
    let longer = causes(1_025).await;
    assert!(!longer.contains("EgressRefused"), "{longer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_instances_end_in_time() {
    let host = Host::new().await;
    host.deploy("hostile", guests::guest("hostile")).await;
    let request = |bytes: usize| StartRequest {
        hub: "default".into(),
        function: "WrongRole".to_owned(),
        instance_id: None,
        input: Some(json!("x".repeat(bytes)).to_string().into()),
        version: None,
        tags: Default::default(),
        reuse: Reuse::Never,
        trace_parent: None,
        trace_state: None,
        // Nothing of them runs.
        scheduled_at: Some("9000-01-01T00:00:00Z".parse::<Timestamp>().unwrap()),
    };
    let pages = async |size: &str| host.send("GET", &format!("/api/pages/{size}"), "").await.json();
    for _ in 0..3 {
        host.engine.start_many((0..350).map(|_| request(1)).collect()).await.unwrap();
    }
    assert_eq!(pages("all").await, json!([1_000, 50]));
    assert_eq!(pages("usual").await, json!([100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 50]));
    let large = Host::new().await;
    large.deploy("hostile", guests::guest("hostile")).await;
    large.engine.start_many((0..20).map(|_| request(1 << 20)).collect()).await.unwrap();
    let found = large.send("GET", "/api/pages/all", "").await.json();
    assert_eq!(found, json!([8, 8, 4]), "a page ends with the payload that is beyond 8 MiB");
}

#[cfg(target_os = "linux")]
#[test]
fn too_little_address_space_is_said_at_the_start() {
    let program = env!("CARGO_BIN_EXE_durawasm-e2e");
    let line = format!("ulimit -v 8000000; exec '{program}' serve --listen 127.0.0.1:0 --store memory");
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("of address space") && said.contains("ulimit -v unlimited"), "{said}");
}
