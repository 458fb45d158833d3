//! The Python SDK: the same programmes as the Rust guest's come to the same histories, undisturbed, with the guest
//! dropped at every wait, and when the host dies.

use std::sync::Arc;

use durawasm_core::Timestamp;
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::tools::{self, Tool};
use durawasm_tests::{Host, Outside, World, guests};
use serde_json::{Value, json};

use crate::scenario::{ROOT, end, event};
use crate::{apps, conformance};

const FLOW: &str = "tests/python/flow";

#[tokio::test(flavor = "multi_thread")]
async fn histories_are_those_of_the_same_program_in_rust() {
    let Some(component) = apps::python(FLOW) else { return };
    conformance::stories_are_those_of_rust(component).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_programs_come_to_the_same_end_in_both_languages() {
    let Some(component) = apps::python(FLOW) else { return };
    conformance::random_programs_are_those_of_rust(component).await;
}

/// What another language cannot have the same.
const HTTP_CALLS: &str = "their steps are those of the Rust SDK; see http_calls_are_answered_asked_again_and_retried";

const EXCEPT: [(&str, &str); 6] = [
    ("chances", "the numbers that the standard libraries draw differ"),
    ("http-call", HTTP_CALLS),
    ("http-answers", HTTP_CALLS),
    ("http-poll", HTTP_CALLS),
    ("http-retry", HTTP_CALLS),
    ("http-refused", HTTP_CALLS),
];

#[tokio::test(flavor = "multi_thread")]
async fn python_replays_the_golden_histories() {
    let Some(component) = apps::python(FLOW) else { return };
    conformance::golden_histories_replay(component, &EXCEPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_makes_the_histories_that_rust_makes() {
    let Some(component) = apps::python(FLOW) else { return };
    conformance::histories_equal(component, &EXCEPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_survives_a_crash_in_each_story() {
    let Some(component) = apps::python(FLOW) else { return };
    conformance::survives_a_crash(component, &EXCEPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_survives_a_crash_after_every_commit() {
    let Some(component) = apps::python(FLOW) else { return };
    let names = ["activities", "mixed", "retry", "event-timeout", "child-retry", "race", "standard-sleep"];
    conformance::survives_every_crash(component, &names).await;
}

/// A host that keeps no guest in memory, and one that does.
async fn hosts(component: &axum::body::Bytes) -> [Host; 2] {
    let settings = Settings { hot_guests: 0, ..Settings::default() };
    let forgetful = Host::with(Arc::new(MemoryStore::default()), settings, system_clock()).await;
    let hosts = [Host::new().await, forgetful];
    for host in &hosts {
        host.deploy("flow", component.clone()).await;
    }
    hosts
}

#[tokio::test(flavor = "multi_thread")]
async fn chance_and_time_of_the_standard_library_repeat_and_differ_between_instances() {
    let Some(component) = apps::python(FLOW) else { return };
    for host in hosts(&component).await {
        let ids = [host.start("Guids", json!(true)).await, host.start("Guids", json!(true)).await];
        let mut outputs = Vec::new();
        for id in &ids {
            host.until(id, "waiting", |status| status["runtimeStatus"] == "Running").await;
            // So that a second drawing of chances falls into a replay with other numbers, if it is none of the first.
            host.engine.evict_all();
            let path = format!("/runtime/webhooks/durabletask/instances/{id}/raiseEvent/Go");
            assert_eq!(host.send("POST", &path, "1").await.status, 202);
            outputs.push(host.ended(id).await["output"].clone());
        }
        let (one, two) = (&outputs[0], &outputs[1]);
        for what in ["first", "second", "random", "secrets", "uuid4"] {
            assert_ne!(one[0][what], one[1][what], "{what} is drawn anew");
            assert_ne!(one[0][what], two[0][what], "{what} is another one in each instance");
        }
        assert_eq!(one[0]["now"], one[0]["systemTime"], "the clock is the orchestrator's");
        assert_eq!(one[0]["hashOrder"], two[1]["hashOrder"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sleeping_by_the_standard_library_is_a_durable_timer() {
    let Some(component) = apps::python(FLOW) else { return };
    for host in hosts(&component).await {
        for function in ["StdSleep", "StdSleep%20async"] {
            let slept = host.run(function, json!(20)).await;
            let time = |index: usize| slept["output"][index].as_str().unwrap().parse::<Timestamp>().unwrap();
            assert!(time(1).duration_since(time(0)).as_millis() >= 20, "{function}: {slept}");
            assert_eq!(event(&slept, "TimerFired")["EventType"], "TimerFired");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_what_happened_and_where() {
    let Some(component) = apps::python(FLOW) else { return };
    let [host, _] = hosts(&component).await;
    let details = async |function: &str, input: Value| {
        let status = host.run(function, input).await;
        assert_eq!(status["runtimeStatus"], "Failed", "{status}");
        event(&status, "ExecutionCompleted")["FailureDetails"].clone()
    };
    let raised = details("OneActivity", json!(["Raise", null])).await;
    assert_eq!((&raised["ErrorType"], &raised["ErrorMessage"]), (&json!("KeyError"), &json!("'amount'")));
    assert_eq!(raised["InnerFailure"]["ErrorType"], "ValueError");
    let own = details("OneActivity", json!(["RaiseOwn", null])).await;
    assert_eq!((&own["ErrorType"], &own["ErrorMessage"]), (&json!("activities.OutOfStock"), &json!("no more teapots")));
    let stack = own["StackTrace"].as_str().unwrap();
    let frames: Vec<_> = stack.lines().map(|line| line.split(", line").next().unwrap()).collect();
    assert_eq!(frames, ["File \"activities.py\""; 2], "{stack}");
    assert!(stack.contains("in RaiseOwn") && stack.ends_with("in _deeper"), "{stack}");
    let mixed = details("Raises", Value::Null).await;
    assert_eq!(mixed["ErrorType"], "LookupError");
    assert_eq!(mixed["InnerFailure"]["ErrorType"], "KeyError", "the call that failed is its cause: {mixed}");

    for (function, input, kind, text) in [
        ("OneActivity", json!(["NotJson", null]), "durawasm.errors.NotJsonError", "a set at orders[0].parts:"),
        ("OutputNotJson", Value::Null, "durawasm.errors.NotJsonError", "a datetime at when"),
        ("YieldsAList", Value::Null, "TypeError", "context.task_all"),
        ("FailsFast", Value::Null, "activities.OutOfStock", "no more teapots"),
        ("Stalls", Value::Null, "durawasm.tasks.Stalled", "will never complete"),
        ("CallsTheClient", Value::Null, "NotAllowed", "start-new"),
    ] {
        let failed = details(function, input).await;
        assert_eq!(failed["ErrorType"], kind, "{function}: {failed}");
        assert!(failed["ErrorMessage"].as_str().unwrap().contains(text), "{function}: {failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_knows_who_it_is() {
    let Some(component) = apps::python(FLOW) else { return };
    let [host, _] = hosts(&component).await;
    let path = "/runtime/webhooks/durabletask/orchestrators/Identity/me?tags=a%3Db";
    assert_eq!(host.send("POST", path, "").await.status, 202);
    let me = host.ended("me").await["output"].clone();
    assert_eq!((&me["instanceId"], &me["name"], &me["version"]), (&json!("me"), &json!("Identity"), &json!("0.1.0")));
    assert_eq!((&me["parentInstanceId"], &me["tags"]), (&Value::Null, &json!([["a", "b"]])));
    let call = host.run("OneActivity", json!(["DescribeCall", null])).await["output"].clone();
    assert_eq!((&call["name"], &call["attempt"], &call["task"]), (&json!("DescribeCall"), &json!(1), &json!(1)));
    assert!(call["idempotencyKey"].as_str().unwrap().len() > 8, "{call}");
}

const FOLDERS: &str = "tests/python/folders";

#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_a_folder_for_each_function_runs_unchanged() {
    let Some(component) = apps::python(FOLDERS) else { return };
    let host = Host::new().await;
    host.deploy("folders", component).await;
    for (route, id) in [("", "one"), ("too/", "two")] {
        let path = format!("/api/{route}orchestrators/WaitsForGo/{id}");
        let first = host.send("POST", &path, "\"Ada\"").await;
        assert_eq!(first.status, 202, "{}", first.text());
        assert_eq!(first.headers["retry-after"], "10");
        let links = first.json();
        assert_eq!(first.headers["location"].to_str().unwrap(), links["statusQueryGetUri"].as_str().unwrap());
        assert!(links["statusQueryGetUri"].as_str().unwrap().starts_with("http://localhost:7071/"), "{links}");
        host.until(id, "waiting", |status| status["runtimeStatus"] == "Running").await;
        let again = host.send("POST", &path, "\"Bob\"").await;
        // One asks before it starts; the other starts whatever it hears, and is refused.
        assert_eq!(again.status, if route.is_empty() { 409 } else { 500 }, "{}", again.text());
        let go = format!("/runtime/webhooks/durabletask/instances/{id}/raiseEvent/Go");
        assert_eq!(host.send("POST", &go, "1").await.status, 202);
        assert_eq!(end(&host.ended(id).await), json!(["Completed", "Hello Ada!"]));
        assert_eq!(host.send("POST", &path, "\"Bob\"").await.status, 202, "what has ended is replaced");
    }
    let manual = host.send("POST", "/admin/functions/ManualStart", "{\"input\":\"bound\"}").await;
    assert_eq!(manual.status, 202, "{}", manual.text());
    // It is not waited for.
    while host.send("GET", "/runtime/webhooks/durabletask/instances/bound", "").await.status == 404 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(host.status("bound").await["input"], "bound");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_examples_do_what_they_say() {
    let (Some(cities), Some(patterns)) =
        (apps::python("examples/python-hello-cities"), apps::python("examples/python-patterns"))
    else {
        return;
    };
    let host = Host::new().await;
    host.deploy("python-hello-cities", cities).await;
    host.deploy("python-patterns", patterns).await;
    host.deploy("hello-cities", guests::example("hello-cities")).await;
    let greetings = json!(["Hello Tokyo!", "Hello Seattle!", "Hello London!"]);
    for function in ["Py_HelloSequence", "Py_HelloSequenceAsync"] {
        assert_eq!(end(&host.run(function, Value::Null).await), json!(["Completed", greetings]));
    }
    let rust = host.run("Py_CallsRust", json!("Ada")).await;
    assert_eq!(rust["output"], json!(["Hello Ada!", "Hello Tokyo!", "Hello Seattle!", "Hello London!"]), "{rust}");

    let sum = host.send("POST", "/api/python/run/Py_FanOut?timeout=90", "10").await;
    assert_eq!((sum.status.as_u16(), sum.text()), (200, "385".to_owned()));
    let asked = json!({"what": "a trip", "seconds": 3600}).to_string();
    let start = host.send("POST", "/api/python/orchestrators/Py_Approval/trip", asked.clone()).await;
    assert_eq!(start.status, 202, "{}", start.text());
    host.until("trip", "asking", |status| status["customStatus"] == "waiting for the event Approval").await;
    let taken = host.send("POST", "/api/python/orchestrators/Py_Approval/trip", asked).await;
    assert_eq!(taken.status, 409);
    assert_eq!(taken.text(), "an instance with ID 'trip' already exists: it is Running");
    let running = host.send("GET", "/api/python/instances?status=Running", "").await;
    assert_eq!(running.json(), json!([{"id": "trip", "name": "Py_Approval", "status": "Running"}]));
    let approve = "/runtime/webhooks/durabletask/instances/trip/raiseEvent/Approval";
    assert_eq!(host.send("POST", approve, "true").await.status, 202);
    assert_eq!(end(&host.ended("trip").await), json!(["Completed", "approved"]));
    let expired = host.run("Py_Approval", json!({"what": "a trip", "seconds": 0.01})).await;
    assert_eq!(end(&expired), json!(["Completed", "expired"]));
}

#[test]
fn the_sdk_passes_its_own_tests_and_is_typed() {
    if apps::python(FLOW).is_none() || tools::skipped(tools::SKIP_CLIENTS, &[Tool::Python]) {
        return;
    }
    let (bin, sdk) = (tools::python("python-sdk"), guests::root().join("guest-sdk/python"));
    let cache = tempfile::tempdir().unwrap();
    for arguments in [vec!["-m", "pytest", "-q", "-p", "no:cacheprovider"], vec!["-m", "mypy", "--cache-dir"]] {
        let mut command = std::process::Command::new(bin.join("python"));
        command.args(&arguments).current_dir(&sdk).env("PYTHONPATH", ".").env("PYTHONDONTWRITEBYTECODE", "1");
        if arguments.contains(&"mypy") {
            command.arg(cache.path());
        }
        let said = command.output().unwrap();
        assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stdout));
    }
}

/// Builds an app of one file: what the author reads.
fn build_fails(code: &str, configure: impl FnOnce(&mut std::process::Command)) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("function_app.py"), code).unwrap();
    let mut command = apps::program();
    command.arg("build").arg(folder.path()).arg("-o").arg(folder.path().join("app.wasm"));
    configure(&mut command);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!folder.path().join("__pycache__").exists(), "the author's folder stays as it was");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_is_wrong_with_an_app_is_said_with_file_and_line() {
    if apps::python(FLOW).is_none() {
        return;
    }
    let said = build_fails("import durawasm as df\n\ndef f(:\n", |_| ());
    assert!(said.contains("File \"function_app.py\", line 3") && said.contains("SyntaxError"), "{said}");
    assert!(!said.contains("backtrace"), "only the author's own error: {said}");
    let said = build_fails("import durawasm as df\n", |_| ());
    assert!(said.contains("function_app.py makes no app"), "{said}");
    let said = build_fails(
        "import durawasm as df\n\napp = df.DFApp()\n\n@app.queue_trigger(queue_name='q')\ndef f(): pass\n",
        |_| (),
    );
    assert!(said.contains("File \"function_app.py\", line 5") && said.contains("offers no queue_trigger"), "{said}");
    assert!(!said.contains("durawasm/app.py"), "only the author's own lines: {said}");
    let said = build_fails("import durawasm as df\n", |command| {
        command.env("PATH", "/nowhere");
    });
    assert!(said.contains("install python3"), "{said}");
}

/// What 200 waiting instances and the program itself may take.
#[cfg(target_os = "linux")]
const WAITING_BYTES: u64 = 300 << 20;

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_waiting_instances_are_small() {
    let Some(component) = apps::python(FLOW) else { return };
    let data = tempfile::tempdir().unwrap();
    let program = crate::program::Program::serve(data.path()).await;
    program.deploy("flow", component).await;
    for number in 0..200 {
        assert_eq!(program.start("Event", &format!("e{number}"), json!("Go")).await, 202);
    }
    for number in 0..200 {
        let path = format!("/runtime/webhooks/durabletask/instances/e{number}");
        while !program.get(&path).await.unwrap().1.contains("\"Running\"") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    // Each page once, however many guests share it.
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", program.child.id())).unwrap();
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    let bytes = pss.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
    assert!(bytes < WAITING_BYTES, "{} MiB", bytes >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_calls_are_answered_asked_again_and_retried() {
    let Some(component) = apps::python(FLOW) else { return };
    let outside = Outside::new().await;
    let run = async |input: Value| {
        let mut world = World::new("flow", component.clone(), &[]).await.evicting(1);
        world.start("Http", ROOT, &input).await;
        world.run_out().await;
        world.status(ROOT).await
    };
    let posted = json!({"url": outside.url("/echo"), "method": "post", "body": {"a": "ä"}, "headers": {"X-One": "1"}});
    let answer = run(posted).await;
    let content: Value = serde_json::from_str(answer["output"][1].as_str().unwrap()).unwrap();
    assert_eq!((&answer["output"][0], &content["body"]), (&json!(200), &json!("{\"a\":\"ä\"}")), "{answer}");
    let asked = &outside.asked()[0];
    assert_eq!((&*asked.headers["x-one"], &*asked.headers["content-type"]), ("1", "application/json"));
    let job = run(json!({"url": outside.url("/job?left=2"), "method": "POST"})).await;
    assert_eq!(end(&job), json!(["Completed", [200, "done"]]), "{job}");
    let before = outside.asked().len();
    let failed = run(json!({"url": outside.url("/status?code=503"), "attempts": 3})).await;
    assert_eq!(failed["runtimeStatus"], "Failed", "{failed}");
    assert_eq!(outside.asked().len() - before, 3);
}
