//! The Python SDK: the same programmes as the Rust guest's come to the same histories, undisturbed, with the guest
//! dropped at every wait, and when the host dies.

use std::sync::Arc;

use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::world::without_ids;
use durawasm_tests::{Host, World, guests};
use serde_json::{Value, json};

use crate::apps;
use crate::random::Case;
use crate::scenario::{Act, ROOT, end, event};

const FLOW: &str = "tests/python/flow";

/// How a story is told: by which app, and what goes wrong in it.
#[derive(Clone, Copy)]
enum Teller {
    Rust,
    Python,
    /// The guest is dropped whenever it waits.
    Forgetful,
}

/// One orchestration, with what happens to it from outside.
struct Story(&'static str, Value, Vec<Act>);

impl Story {
    async fn told(&self, by: Teller) -> Value {
        let Self(function, input, acts) = self;
        let component = match by {
            Teller::Rust => guests::guest("flow"),
            Teller::Python | Teller::Forgetful => apps::python(FLOW).unwrap(),
        };
        // The Rust guest has one form of each.
        let function = if matches!(by, Teller::Rust) { function.trim_end_matches(" async") } else { function };
        let mut world = World::new("flow", component, &[]).await;
        if matches!(by, Teller::Forgetful) {
            world = world.evicting(1);
        }
        world.start(&function.replace(' ', "%20"), ROOT, input).await;
        world.settle().await;
        for act in acts {
            match act {
                Act::Post(path, body, code) => assert_eq!(world.post(path, body).await, *code, "{function} {path}"),
                Act::NextTimer => assert!(world.next_moment().await, "{function}: there is no timer"),
                Act::RunOut => world.run_out().await,
                Act::Evict => world.host.engine.evict_all(),
            }
            world.settle().await;
        }
        comparable(&world.status(ROOT).await)
    }
}

/// A status without what two languages may say differently: where in the code something happened, which other functions
/// there are. What happened at one time may have come in any order.
fn comparable(status: &Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                // The texts of a program as an input may have their fields in another order.
                let program =
                    ["FunctionName", "Name"].iter().any(|name| fields.get(*name).is_some_and(|name| name == "Program"));
                fields.retain(|name, _| name != "StackTrace" && name != "Details" && !(program && name == "Input"));
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::String(text) => {
                *text = text.replace(" async", "");
                text.truncate(text.find("; its activities are").unwrap_or(text.len()));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut status = without_ids(status);
    strip(&mut status);
    if let Some(events) = status.get_mut("historyEvents").and_then(Value::as_array_mut) {
        events.sort_by_cached_key(|event| (event["Timestamp"].to_string(), event.to_string()));
    }
    status
}

fn raise(path: &'static str, body: &'static str) -> Act {
    Act::Post(path, body, 202)
}

fn stories() -> Vec<Story> {
    let quiet = |function, input| Story(function, input, vec![]);
    let three = |name| (0..3).map(|_| raise(name, "1")).collect::<Vec<_>>();
    vec![
        quiet("Sequence", Value::Null),
        quiet("Sequence", json!(["a", {"b": [1.5, true, null, "ä\u{1f600}"]}, 3])),
        quiet("Sequence async", Value::Null),
        quiet("FanOut", json!(20)),
        quiet("FanOut async", json!(20)),
        quiet("FanOut", json!(300)),
        quiet("Race", json!([500, 1])),
        quiet("SelectAll", json!([600, 1, 300])),
        quiet("SelectAll async", json!([600, 1, 300])),
        quiet("Unheard", json!(5)),
        quiet("Parent", json!([2, 3])),
        quiet("FireAndForget", json!(3)),
        Story("Child", json!(0), vec![raise("root/raiseEvent/go", "7")]),
        Story("JoinMixed", Value::Null, vec![Act::RunOut]),
        Story("Custom", json!(3), three("root/raiseEvent/Next")),
        quiet("ContinueAsNew", json!([3, 0])),
        Story("Eternal", json!([true, 1]), vec![raise("root/raiseEvent/Add", "2"), raise("root/raiseEvent/Add", "0")]),
        quiet("SendEvent", json!(["nobody", "Hello", {"a": 1}])),
        Story("TimersInOrder", json!([3000, 1000, 2000]), vec![Act::RunOut]),
        quiet("CanceledTimer", Value::Null),
        Story("Event", json!("Go"), vec![raise("root/raiseEvent/GO", "{\"x\":1}")]),
        Story("EventOrTimeout", json!(1000), vec![Act::RunOut]),
        Story("EventOrTimeout async", json!(1000), vec![Act::RunOut]),
        Story("EventOrTimeout", json!(1000), vec![raise("root/raiseEvent/approval", "\"yes\""), Act::RunOut]),
        Story("EventOrTimeout async", json!(1000), vec![raise("root/raiseEvent/approval", "\"yes\""), Act::RunOut]),
        Story("RaceLoop", json!(1000), vec![Act::NextTimer, Act::NextTimer, raise("root/raiseEvent/Tick", "5")]),
        Story("CollectEvents", json!(3), three("root/raiseEvent/item")),
        Story("TwoWaiters", Value::Null, vec![raise("root/raiseEvent/Item", "1"), raise("root/raiseEvent/Item", "2")]),
        Story(
            "Event",
            json!("Go"),
            vec![Act::Post("root/suspend?reason=x", "", 202), Act::Post("root/terminate?reason=y", "", 202)],
        ),
        quiet("ActivityFails", json!(true)),
        quiet("ActivityFails", Value::Null),
        quiet("Catches", Value::Null),
        quiet("ChildFails", Value::Null),
        quiet("UnknownActivity", Value::Null),
        quiet("ActivityTimesOut", json!([5000, 50])),
        Story("Retry", json!({"k": 3, "max_attempts": 5, "first_millis": 10, "backoff": 2.0}), vec![Act::RunOut]),
        Story("Retry", json!({"k": 9, "max_attempts": 2}), vec![Act::RunOut]),
        Story("ResumesHalfway", json!(3), vec![Act::RunOut]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_are_those_of_the_same_program_in_rust() {
    if apps::python(FLOW).is_none() {
        return;
    }
    let mut wrong = Vec::new();
    for story in stories() {
        let rust = story.told(Teller::Rust).await;
        for (how, teller) in [("python", Teller::Python), ("python, dropped at every wait", Teller::Forgetful)] {
            let python = story.told(teller).await;
            if python != rust {
                wrong.push(format!("{} {} ({how}):\n{python}\nin Rust\n{rust}", story.0, story.1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn random_programs_come_to_the_same_end_in_both_languages() {
    let Some(component) = apps::python(FLOW) else { return };
    for seed in 0..25 {
        let case = Case::new(seed);
        let rust = case.run(World::new("flow", guests::guest("flow"), &[]).await).await;
        // Hosts die along the way, and guests are dropped.
        let lives = [usize::try_from(seed % 7).unwrap(), usize::try_from(seed % 5).unwrap()];
        let python = case.run(World::new("flow", component.clone(), &lives).await.evicting(2)).await;
        // Status, output and custom status; the input is a text that each language writes in its own order.
        for part in 0..3 {
            assert_eq!(python["end"][part], rust["end"][part], "seed {seed}");
        }
        assert_eq!(happened(&python), happened(&rust), "seed {seed}");
    }
}

/// The events of a random program's end, comparable between languages.
fn happened(end: &Value) -> Vec<String> {
    let texts = end["events"].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    let mut events: Vec<String> =
        texts.map(|text| comparable(&serde_json::from_str(text).unwrap()).to_string()).collect();
    events.sort_unstable();
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_after_any_commit_changes_nothing() {
    let Some(component) = apps::python(FLOW) else { return };
    let run = async |lives: &[usize]| {
        let mut world = World::new("flow", component.clone(), lives).await;
        world.start("JoinMixed", ROOT, &Value::Null).await;
        world.settle().await;
        world.run_out().await;
        (world.status(ROOT).await, world.writes())
    };
    let (undisturbed, writes) = run(&[]).await;
    assert_eq!(end(&undisturbed), json!(["Completed", {"activity": "a", "child": 9, "group": [1, 4, 9]}]));
    for lives in 0..writes {
        assert_eq!(end(&run(&[lives]).await.0), end(&undisturbed), "died after {lives} of {writes}");
    }
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
            assert_eq!(end(&slept), json!(["Completed", true]), "{function}");
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

    let sum = host.send("POST", "/api/python/run/Py_FanOut?timeout=20", "10").await;
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
