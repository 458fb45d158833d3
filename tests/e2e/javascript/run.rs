//! What JavaScript does in each role, on both engines.

use std::fs::File;
use std::sync::Arc;

use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::{Host, Outside, World};
use serde_json::{Value, json};

use super::{ENGINES, guest, skipped};
use crate::program::{Program, port};
use crate::scenario::{ROOT, end, event};
use crate::versions::comes_to;

async fn host(app: &str) -> Host {
    let host = Host::new().await;
    host.deploy("flow", guest(app).await).await;
    host
}

async fn raise(host: &Host, id: &str, name: &str) {
    let path = format!("/runtime/webhooks/durabletask/instances/{id}/raiseEvent/{name}");
    assert_eq!(host.send("POST", &path, "null").await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_draws_the_same_in_a_replay_and_other_numbers_in_another_instance() {
    if skipped() {
        return;
    }
    for app in ENGINES {
        let host = host(app).await;
        let mut outputs = Vec::new();
        for id in [host.start("Guids", json!(true)).await, host.start("Guids", json!(true)).await] {
            host.until(&id, "waiting", |status| status["runtimeStatus"] == "Running").await;
            host.engine.evict_all();
            raise(&host, &id, "Go").await;
            let status = host.ended(&id).await;
            // What was drawn after the wait went into a call: another number there would not replay.
            assert_eq!(status["runtimeStatus"], "Completed", "{app}: {status}");
            outputs.push(status["output"].clone());
        }
        for (one, other) in [(&outputs[0][0], &outputs[1][0]), (&outputs[0][0], &outputs[0][1])] {
            for drawn in ["first", "second", "uuid", "random"] {
                assert_ne!(one[drawn], other[drawn], "{app}");
            }
        }
        let first = &outputs[0][0];
        assert_eq!(first["now"], first["date"], "{app}: the clock is the orchestrator's");
        assert_ne!(first["random"][0], first["random"][1], "{app}");
        assert_eq!(first["uuid"].as_str().unwrap().len(), 36, "{app}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_of_the_language_and_durable_tasks_go_together() {
    if skipped() {
        return;
    }
    for app in ENGINES {
        for evict_every in [0, 1] {
            let mut world = World::new("flow", guest(app).await, &[]).await.evicting(evict_every);
            world.start("Promises", ROOT, &Value::Null).await;
            world.run_out().await;
            let status = world.status(ROOT).await;
            let expected =
                json!(["microtask", 1, 2, "caught cannot save the order", "rejected,fulfilled", "won", "any", 3, "x"]);
            assert_eq!(end(&status), json!(["Completed", expected]), "{app}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_the_type_the_causes_and_the_authors_lines() {
    if skipped() {
        return;
    }
    for app in ENGINES {
        let host = host(app).await;
        let status = host.run("ChildFails", Value::Null).await;
        let output = status["output"].as_str().unwrap();
        assert!(output.contains("cannot save the order"), "{app}: {output}");
        let details = &event(&status, "SubOrchestrationInstanceFailed")["FailureDetails"];
        assert_eq!(
            (&details["ErrorType"], &details["ErrorMessage"]),
            (&json!("DiskError"), &json!("cannot save the order"))
        );
        let inner = &details["InnerFailure"];
        assert_eq!(inner["ErrorMessage"], "cannot write the file", "{app}: {details}");
        assert_eq!(inner["InnerFailure"]["ErrorMessage"], "no space left", "{app}: {details}");
        let stack = details["StackTrace"].as_str().unwrap();
        assert!(stack.contains("src/functions/activities.js:16"), "{app}: {stack}");

        let status = host.run("Fails", Value::Null).await;
        let details = &event(&status, "ExecutionCompleted")["FailureDetails"];
        assert_eq!(details["ErrorType"], "AmountError", "{app}: {status}");
        assert_eq!(details["InnerFailure"]["ErrorType"], "TypeError", "{app}: {status}");
        let stack = details["StackTrace"].as_str().unwrap();
        assert!(stack.contains("src/functions/failures.js:8"), "{app}: {stack}");

        for (function, said) in [("Stalls", "waits for something"), ("YieldsNonsense", "an orchestrator yields tasks")]
        {
            let status = host.run(function, Value::Null).await;
            assert_eq!(status["runtimeStatus"], "Failed", "{app}");
            assert!(status["output"].as_str().unwrap().contains(said), "{app}: {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_of_failures_timeouts_and_thousands() {
    if skipped() {
        return;
    }
    for app in ENGINES {
        let host = host(app).await;
        assert_eq!(host.run("JoinFailing", json!(5)).await["output"], json!(3), "{app}");
        assert_eq!(host.run("SelectAll", json!([1_500, 1, 750])).await["output"], json!([1, 750, 1_500]), "{app}");
        assert_eq!(host.run("Registered", json!([1, 2, 3])).await["output"], json!([1, 4, 9]), "{app}");
        assert_eq!(host.run("Unheard", json!(5)).await["output"], "done", "{app}");
        assert_eq!(host.run("FanInOrTimeout", json!([3, 1, 60_000])).await["output"], json!(3), "{app}");
        assert_eq!(host.run("FanInOrTimeout", json!([2, 3_000, 1])).await["output"], Value::Null, "{app}");
        let status = host.run("ActivityTimesOut", json!([60_000, 20])).await;
        assert_eq!(status["runtimeStatus"], "Failed", "{app}: {status}");
        let started = host.run("FireAndForget", json!(4)).await;
        let child = started["output"].as_str().unwrap_or_else(|| panic!("{app}: {started}")).to_owned();
        let path = format!("/runtime/webhooks/durabletask/instances/{child}");
        // Its start is on its way when its parent ends.
        while host.send("GET", &path, "").await.status == 404 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(host.ended(&child).await["output"], json!(16), "{app}");
    }
    // Above the number up to which tasks are waited for one by one.
    let host = host("flow-quickjs").await;
    assert_eq!(host.run("FanOut", json!(1_100)).await["output"], json!(444_271_850_u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_never_kept_in_memory_does_the_same() {
    if skipped() {
        return;
    }
    let settings = Settings { hot_guests: 0, ..Settings::default() };
    for app in ENGINES {
        let host = Host::with(Arc::new(MemoryStore::default()), settings.clone(), system_clock()).await;
        host.deploy("flow", guest(app).await).await;
        assert_eq!(host.run("Sequence", json!([1, "two", [3]])).await["output"], json!([1, "two", [3]]), "{app}");
        assert_eq!(host.run("FanOut", json!(40)).await["output"], json!(22_140), "{app}");
        assert_eq!(host.run("Retry", json!({"k": 3, "max_attempts": 5})).await["output"], json!(3), "{app}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_responses_pass_unharmed() {
    if skipped() {
        return;
    }
    for app in ENGINES {
        let host = host(app).await;
        let headers = [("host", "localhost:7071"), ("x-given", "ünï"), ("content-type", "text/x; charset=utf-8")];
        let text = "grüße \u{1f600} \u{0}";
        let answer = host.send_with("PUT", "/api/mirror/a%20b/c?q=1&q=%C3%A9", &headers[..1], text).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (203, format!("a b/c 1+é {text}")), "{app}");
        assert_eq!(answer.headers["x-mirror"], "none", "{app}");
        let bytes: Vec<u8> = (0..=255).collect();
        let answer = host.send_with("POST", "/api/mirror/x?bytes", &[headers[0], headers[2]], bytes.clone()).await;
        assert_eq!(answer.body, bytes, "{app}");
        assert_eq!(answer.headers["content-type"], headers[2].1, "{app}");
        assert_eq!(host.send("DELETE", "/api/mirror/x", "").await.status, 405, "{app}: not one of its methods");
        let failed = host.send("GET", "/api/Throws", "").await;
        assert_eq!(failed.status, 500, "{app}");
        assert!(!failed.text().contains("eyes"), "{app}: {}", failed.text());
        assert_eq!(host.send("GET", "/api/NoClient", "").await.status, 500, "{app}");
        let manual =
            host.send("POST", "/admin/functions/ManualStart", r#"{"input":{"id":"by-hand","items":[1]}}"#).await;
        assert_eq!(manual.status, 202, "{app}");
        // Nobody waits for what is called by hand.
        while host.send("GET", "/runtime/webhooks/durabletask/instances/by-hand", "").await.status == 404 {
            tokio::task::yield_now().await;
        }
        host.until("by-hand", "done", |status| status["output"] == json!([1])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_functions_log_is_in_the_log_once() {
    if skipped() {
        return;
    }
    for app in ENGINES {
        let (data, log) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let mut program = Program::spawn(data.path(), port(), |command| {
            let file = || File::options().append(true).open(log.path()).unwrap();
            command.stdout(file()).stderr(file()).env("RUST_LOG", "info,durawasm=trace").env("NO_COLOR", "1");
        });
        program.ready().await;
        program.deploy("flow", guest(app).await).await;
        assert_eq!(program.start("Logs", "talker", Value::Null).await, 202);
        assert_eq!(program.ended("talker").await["runtimeStatus"], "Completed");
        // What was logged last is written a moment after the end.
        let written = || std::fs::read_to_string(log.path()).unwrap();
        comes_to(async || written().contains("guest: an error line 1 ")).await;
        let text = written();
        for (level, line) in [
            ("INFO", "an info line"),
            ("INFO", "an activity's line"),
            ("INFO", "stdout: an activity's line"),
            ("ERROR", "stderr: an activity's line"),
            ("WARN", "a warn line"),
            ("ERROR", r#"an error line 1 {"of":"several parts"}"#),
        ] {
            let found: Vec<_> = text.lines().filter(|found| found.contains(&format!("guest: {line} "))).collect();
            assert!(found.len() == 1 && found[0].contains(level), "{app}: {level} {line}: {found:?}\n{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_makes_http_calls() {
    if skipped() {
        return;
    }
    for app in ENGINES {
        let outside = Outside::new().await;
        let component = guest(app).await;
        let run = async |input: Value| {
            let mut world = World::new("flow", component.clone(), &[]).await.evicting(1);
            world.start("Http", ROOT, &input).await;
            world.run_out().await;
            world.status(ROOT).await
        };
        let posted =
            json!({"url": outside.url("/echo"), "method": "post", "body": {"a": "ä"}, "headers": {"X-One": "1"}});
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
}
