//! Instances that go on with another version of their app, once it was found to repeat their histories.

use std::sync::Arc;

use durawasm_host::api::ApiSettings;
use durawasm_host::engine::verdict;
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::{SharedStore, portable};
use durawasm_tests::host::executor;
use durawasm_tests::{Answer, Host, World, guests};
use serde_json::{Value, json};

use crate::program::{Program, verb};

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";
const APP: &str = "/admin/hubs/default/apps/nondet";

/// A host with both versions, the second one current. Their digests.
async fn both_versions(host: &Host) -> [String; 2] {
    let mut digests = [String::new(), String::new()];
    for (digest, name) in digests.iter_mut().zip(["nondet-v1", "nondet-v2"]) {
        *digest = host.deploy("nondet", guests::guest(name)).await["digest"].as_str().unwrap().to_owned();
    }
    digests
}

async fn first_version(host: &Host) {
    host.deploy("nondet", guests::guest("nondet-v1")).await;
}

async fn post(host: &Host, path: &str) -> Answer {
    host.send("POST", &format!("{WEBHOOKS}/instances/{path}"), "null").await
}

/// Starts an instance and waits until its history does not grow any more: it waits for `Go`.
async fn waiting(host: &Host, function: &str, id: &str, calls: usize) {
    let path = format!("{WEBHOOKS}/orchestrators/{function}/{id}");
    assert_eq!(host.send("POST", &path, "0").await.status, 202);
    let completed = |status: &Value| {
        let events = status["historyEvents"].as_array().cloned().unwrap_or_default();
        events.iter().filter(|event| event["EventType"] == "TaskCompleted").count()
    };
    host.until(id, "waiting", |status| status["runtimeStatus"] == "Running" && completed(status) == calls).await;
}

fn moves(status: &Value) -> Vec<String> {
    let events = status["historyEvents"].as_array().unwrap();
    let data = events.iter().filter(|event| event["EventType"] == "GenericEvent");
    data.map(|event| event["Data"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_goes_on_with_a_version_that_repeats_its_history() {
    let host = Host::new().await;
    first_version(&host).await;
    waiting(&host, "Versions", "a", 0).await;
    let [old, new] = both_versions(&host).await;
    let moved = post(&host, "a/move?to=current").await;
    assert_eq!(moved.status, 200, "{}", moved.text());
    assert_eq!(moved.json(), json!({"instanceId": "a", "from": old, "to": new, "moved": true}));
    assert_eq!(post(&host, "a/move?to=current").await.json()["moved"], false);
    // Back again, and on once more: each replaces the guest in memory.
    let back = post(&host, &format!("a/move?to={}", &old[..8])).await.json();
    assert_eq!((&back["from"], &back["to"]), (&json!(new), &json!(old)));
    assert_eq!(post(&host, &format!("a/move?to={new}")).await.status, 200);
    assert_eq!(post(&host, "a/raiseEvent/Go").await.status, 202);
    let ended = host.ended("a").await;
    assert_eq!((&ended["runtimeStatus"], &ended["output"]), (&json!("Completed"), &json!(["B", "B"])), "{ended}");
    assert_eq!(
        moves(&ended),
        [format!("Moved: {old} to {new}"), format!("Moved: {new} to {old}"), format!("Moved: {old} to {new}")]
    );
    assert_eq!(post(&host, "a/move?to=current").await.status, 410, "it has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_stays_where_it_is_if_the_version_does_something_else() {
    let host = Host::new().await;
    first_version(&host).await;
    waiting(&host, "Order", "a", 1).await;
    both_versions(&host).await;
    let before = host.status("a").await;
    let refused = post(&host, "a/move?to=current").await;
    assert_eq!(refused.status, 409);
    let body = refused.json();
    assert_eq!(
        (&body["Position"], &body["Expected"], &body["Found"]),
        (&json!(1), &json!("call activity 'A'"), &json!("call activity 'B'")),
        "{body}"
    );
    assert!(body["Message"].as_str().unwrap().contains("at history event 1"), "{body}");
    assert_eq!(host.status("a").await, before, "nothing has changed");
    assert_eq!(post(&host, "a/raiseEvent/Go").await.status, 202);
    assert_eq!(host.ended("a").await["output"], json!(["A", "B"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_asks_for_what_there_is() {
    let host = Host::new().await;
    first_version(&host).await;
    waiting(&host, "Versions", "a", 0).await;
    assert_eq!(post(&host, "nobody/move?to=current").await.status, 404);
    for wrong in ["", "to=", "to=latest", &format!("to={}", "0".repeat(64))] {
        let refused = post(&host, &format!("a/move?{wrong}")).await;
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.text());
    }
    // A version without the function.
    host.deploy("nondet", guests::guest("flow")).await;
    let refused = post(&host, "a/move?to=current").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["Position"]), (409, &json!(0)), "{}", refused.text());
    assert!(refused.json()["Expected"].as_str().unwrap().contains("'Versions'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_in_an_instances_links_does_not_move_it() {
    let open = Host::new().await;
    first_version(&open).await;
    let admin = "an admin key that is long enough";
    let host = open.behind(ApiSettings { admin_key: Some(admin.into()), ..ApiSettings::new("http://localhost:7071") });
    let path = format!("{WEBHOOKS}/orchestrators/Versions/a");
    let links = host.send_adding("POST", &path, &[("x-functions-key", admin)], "0").await.json();
    open.until("a", "waiting", |status| status["runtimeStatus"] == "Running").await;
    let status = links["statusQueryGetUri"].as_str().unwrap().trim_start_matches("http://localhost:7071").to_owned();
    assert!(host.send("GET", &status, "").await.status.is_success());
    let (base, query) = status.split_once('?').unwrap();
    let exported = host.send("GET", &format!("{base}/history?format=portable&{query}"), "").await;
    assert_eq!(exported.status, 200, "it may read the history");
    let refused = host.send("POST", &format!("{base}/move?to=current&{query}"), "").await;
    assert!([401, 403].contains(&refused.status.as_u16()), "{}", refused.status);
    let moved = host.send_adding("POST", &format!("{base}/move?to=current"), &[("x-functions-key", admin)], "").await;
    assert_eq!(moved.status, 200);
}

/// Events come all the while: each is a commit that the move must not overlook.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_and_events_do_not_overlook_each_other() {
    let host = Arc::new(Host::new().await);
    first_version(&host).await;
    waiting(&host, "Versions", "a", 0).await;
    let digests = both_versions(&host).await;
    let storm = Arc::clone(&host);
    let storm = tokio::spawn(async move {
        for number in 0..200 {
            let path = format!("{WEBHOOKS}/instances/a/raiseEvent/Other");
            assert_eq!(storm.send("POST", &path, number.to_string()).await.status, 202);
        }
    });
    let mut at = 0;
    while !storm.is_finished() {
        let answer = post(&host, &format!("a/move?to={}", digests[1 - at])).await;
        match answer.status.as_u16() {
            200 => at = 1 - at,
            status => assert_eq!(status, 503, "{}", answer.text()),
        }
    }
    storm.await.unwrap();
    assert_eq!(post(&host, &format!("a/move?to={}", digests[1])).await.status, 200);
    assert_eq!(post(&host, "a/raiseEvent/Go").await.status, 202);
    let ended = host.ended("a").await;
    assert_eq!(ended["output"], json!(["B", "B"]), "{ended}");
    let events = ended["historyEvents"].as_array().unwrap();
    let raised: Vec<_> = events.iter().filter(|event| event["Name"] == "Other").map(|event| &event["Input"]).collect();
    assert_eq!(raised, (0..200).map(|number| json!(number.to_string())).collect::<Vec<_>>().iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_outlives_its_host_whenever_that_dies() {
    let mut ends = Vec::new();
    for lives in 0..8 {
        let store: SharedStore = Arc::new(MemoryStore::default());
        let deploying = Host::on(Arc::clone(&store)).await;
        let digest = deploying.deploy("nondet", guests::guest("nondet-v2")).await["digest"].clone();
        deploying.engine.stop();
        let digest = digest.as_str().unwrap();
        let mut world = World::on(store, ("nondet", guests::guest("nondet-v1")), &[lives]).await;
        world.start("Versions", "root", &json!(0)).await;
        world.settle().await;
        assert_eq!(world.post(&format!("root/move?to={digest}"), "").await, 200);
        world.settle().await;
        assert_eq!(world.post("root/raiseEvent/Go", "null").await, 202);
        world.settle().await;
        let status = world.status("root").await;
        assert_eq!(status["output"], json!(["B", "B"]), "{lives} {status}");
        assert_eq!(moves(&status).len(), 1, "{status}");
        assert!(moves(&status)[0].ends_with(digest));
        ends.push(status["historyEvents"].as_array().unwrap().len());
    }
    assert!(ends.iter().all(|length| *length == ends[0]), "{ends:?}");
}

async fn move_all(host: &Host, query: &str) -> Value {
    let answer = host.send("POST", &format!("{APP}/move?{query}"), "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instances_of_an_app_are_moved_together_as_far_as_they_can() {
    let host = Host::new().await;
    first_version(&host).await;
    host.deploy("flow", guests::guest("flow")).await;
    for number in 0..4 {
        waiting(&host, "Versions", &format!("v{number}"), 0).await;
        waiting(&host, "Order", &format!("o{number}"), 1).await;
        host.start("Event", json!("Go")).await;
    }
    both_versions(&host).await;
    let counts = |answer: &Value| ["moved", "unchanged", "refused"].map(|name| answer[name].as_u64().unwrap());
    let could = move_all(&host, "to=current&dryRun=true").await;
    assert_eq!((counts(&could), &could["dryRun"], &could["next"]), ([4, 0, 4], &json!(true), &Value::Null), "{could}");
    let refusal = &could["refusals"][0];
    assert_eq!((&refusal["instanceId"], &refusal["position"]), (&json!("o0"), &json!(1)), "{could}");
    assert!(refusal["reason"].as_str().unwrap().contains("at history event 1"), "{could}");
    // Page by page.
    let (mut sum, mut after, mut pages) = ([0; 3], String::new(), 0);
    loop {
        let page = move_all(&host, &format!("to=current&top=5{after}")).await;
        counts(&page).iter().zip(&mut sum).for_each(|(count, sum)| *sum += count);
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(sum, [4, 0, 4]);
    assert!(pages >= 3, "{pages}");
    assert_eq!(counts(&move_all(&host, "to=current").await), [0, 4, 4]);
    for (id, output) in [("v0", json!(["B", "B"])), ("o0", json!(["A", "B"]))] {
        assert_eq!(post(&host, &format!("{id}/raiseEvent/Go")).await.status, 202);
        assert_eq!(host.ended(id).await["output"], output);
    }
    for (path, code) in [
        (format!("{APP}/move?to=latest"), 400),
        (format!("{APP}/move?to={}", "0".repeat(64)), 400),
        (format!("{APP}/move?to=current&after=nowhere"), 400),
        ("/admin/hubs/default/apps/none/move?to=current".to_owned(), 404),
    ] {
        assert_eq!(host.send("POST", &path, "").await.status.as_u16(), code, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_moved_with_its_children_all_or_none() {
    let host = Host::new().await;
    first_version(&host).await;
    let start = async |id: &str, children: Value| {
        let path = format!("{WEBHOOKS}/orchestrators/Family/{id}");
        assert_eq!(host.send("POST", &path, children.to_string()).await.status, 202);
        for child in ["a", "b"] {
            host.until(&format!("{id}.{child}"), "waiting", |status| status["runtimeStatus"] == "Running").await;
        }
    };
    start("fine", json!(["Versions", "Versions"])).await;
    start("mixed", json!(["Versions", "Order"])).await;
    let called = |status: &Value| status.to_string().contains("TaskCompleted");
    host.until("mixed.b", "waiting for Go", called).await;
    let [old, new] = both_versions(&host).await;

    let refused = post(&host, "mixed/move?to=current&children=true").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["Position"]), (409, &json!(1)), "{}", refused.text());
    assert!(refused.json()["Message"].as_str().unwrap().contains("'mixed.b'"), "{}", refused.text());
    for id in ["mixed", "mixed.a", "mixed.b"] {
        assert_eq!(moves(&host.status(id).await), [""; 0], "{id} stays");
    }

    let moved = post(&host, "fine/move?to=current&children=true").await;
    let child = |id: &str| json!({"instanceId": id, "from": old, "to": new, "moved": true});
    let expected = json!({"instanceId": "fine", "from": old, "to": new, "moved": true,
        "children": [child("fine.a"), child("fine.b")]});
    let mut answer = moved.json();
    // They were started at the same time.
    let children = answer["children"].as_array_mut().unwrap();
    children.sort_by_key(|child| child["instanceId"].to_string());
    assert_eq!((moved.status.as_u16(), answer), (200, expected));
    for id in ["fine.a", "fine.b"] {
        assert_eq!(post(&host, &format!("{id}/raiseEvent/Go")).await.status, 202);
        assert_eq!(host.ended(id).await["output"], json!(["B", "B"]), "{id}");
    }
    assert_eq!(host.ended("fine").await["runtimeStatus"], "Completed");
    // Without the option they stay on their version.
    assert_eq!(post(&host, "mixed/move?to=current").await.status, 200);
    assert_eq!(post(&host, "mixed.a/raiseEvent/Go").await.status, 202);
    assert_eq!(host.ended("mixed.a").await["output"], json!(["A", "A"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_instance_is_rewound_onto_the_version_that_mends_it() {
    let host = Host::new().await;
    first_version(&host).await;
    for (function, id) in [("Mended", "m"), ("Spoilt", "s")] {
        let path = format!("{WEBHOOKS}/orchestrators/{function}/{id}");
        assert_eq!(host.send("POST", &path, "null").await.status, 202);
        assert_eq!(host.ended(id).await["runtimeStatus"], "Failed");
    }
    let [old, new] = both_versions(&host).await;
    assert_eq!(post(&host, "m/rewind?version=latest").await.status, 400);
    // On its own version it fails again.
    assert_eq!(post(&host, "m/rewind").await.status, 202);
    assert_eq!(host.ended("m").await["runtimeStatus"], "Failed");
    assert_eq!(post(&host, "m/rewind?version=current&reason=mended").await.status, 202);
    let ended = host.ended("m").await;
    assert_eq!((&ended["runtimeStatus"], &ended["output"]), (&json!("Completed"), &json!(["A", "B"])), "{ended}");
    assert!(moves(&ended).contains(&format!("Moved: {old} to {new}")), "{ended}");
    let rewound = ended["historyEvents"].as_array().unwrap().iter().rfind(|e| e["EventType"] == "ExecutionRewound");
    assert_eq!(rewound.unwrap()["Reason"], "mended");
    assert_eq!(post(&host, "m/rewind?version=current").await.status, 412);
    assert_eq!(post(&host, "nobody/rewind?version=current").await.status, 404);

    let before = host.status("s").await;
    let refused = post(&host, "s/rewind?version=current").await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(refused.json()["Position"], json!(1));
    assert_eq!(host.status("s").await, before, "nothing has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_checked_before_it_is_deployed() {
    let host = Host::new().await;
    let check = async |name| {
        let answer = host.send("PUT", &format!("{APP}?check=true"), guests::guest(name)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["verdict"].clone()
    };
    let nothing = check("nondet-v2").await;
    assert_eq!((&nothing["compatible"], &nothing["complete"]), (&json!(true), &json!(true)), "{nothing}");
    assert_eq!(host.send("GET", APP, "").await.status, 404, "a check deploys nothing");
    let current = host.deploy("nondet", guests::guest("nondet-v1")).await["digest"].clone();
    waiting(&host, "Order", "open-order", 1).await;
    waiting(&host, "Versions", "open-versions", 0).await;
    for function in ["Mended", "Spoilt", "OwnVersion"] {
        host.run(function, Value::Null).await;
    }
    let same = check("nondet-v1").await;
    assert_eq!((&same["compatible"], &same["open"]["compatible"]), (&json!(true), &json!(2)), "{same}");
    let verdict = check("nondet-v2").await;
    assert_eq!(verdict["open"], json!({"compatible": 1, "diverging": 1}), "{verdict}");
    // What was mended is rewound to before its failure; the other two come to something else.
    assert_eq!(verdict["closed"], json!({"compatible": 1, "diverging": 2}), "{verdict}");
    assert_eq!((&verdict["complete"], &verdict["compatible"]), (&json!(true), &json!(false)));
    let first = &verdict["diverging"][0];
    assert_eq!((&first["instanceId"], &first["position"]), (&json!("open-order"), &json!(1)), "{verdict}");
    assert_eq!(first["expected"], "call activity 'A'");
    assert_eq!(host.send("GET", APP, "").await.json()["digest"], current);
    let limited = host.send("PUT", &format!("{APP}?check=true&checkLimit=1"), guests::guest("nondet-v2")).await.json();
    assert_eq!(limited["verdict"]["complete"], false, "{limited}");
    assert_eq!(host.send("PUT", &format!("{APP}?check=true"), "no component").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_deployment_the_instances_get_their_verdict() {
    let store: SharedStore = Arc::new(MemoryStore::default());
    let host = Host::on(Arc::clone(&store)).await;
    let verdict = async |host: &Host| host.send("GET", APP, "").await.json()["verdict"].clone();
    host.deploy("nondet", guests::guest("nondet-v2")).await;
    host.deploy("nondet", guests::guest("nondet-v1")).await;
    assert_eq!(verdict(&host).await, Value::Null, "there are no instances");
    waiting(&host, "Order", "open-order", 1).await;
    waiting(&host, "Versions", "open-versions", 0).await;
    for function in ["Mended", "Spoilt"] {
        host.run(function, Value::Null).await;
    }
    let before = host.status("open-order").await;
    let deployed = host.deploy("nondet", guests::guest("nondet-v2")).await;
    assert!(deployed["verdict"]["state"].is_string(), "{deployed}");
    let found = async |host: &Host| {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let verdict = verdict(host).await;
            if verdict["state"] == "done" {
                return verdict;
            }
            assert!(tokio::time::Instant::now() < deadline, "{verdict}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let done = found(&host).await;
    assert_eq!((&done["checked"], &done["unknown"], &done["complete"]), (&json!(4), &json!(0), &json!(true)), "{done}");
    assert_eq!(done["open"], json!({"compatible": 1, "diverging": 1}), "{done}");
    assert_eq!(done["closed"], json!({"compatible": 1, "diverging": 1}), "{done}");
    let first = &done["diverging"][0];
    assert_eq!(
        (&first["instanceId"], &first["position"], &first["expected"], &first["found"]),
        (&json!("open-order"), &json!(1), &json!("call activity 'A'"), &json!("call activity 'B'")),
        "{done}"
    );
    assert_eq!(host.status("open-order").await, before, "nothing is moved by it");
    host.engine.stop();
    let host = Host::on(store).await;
    assert_eq!(found(&host).await, done, "a server that is started again finds it again");
    // It is of the version that is current.
    host.deploy("nondet", guests::guest("nondet-v1")).await;
    let digest = host.send("GET", APP, "").await.json()["digest"].clone();
    assert_ne!(digest, deployed["digest"]);
    let again = verdict(&host).await;
    assert!(["waiting", "running", "done"].contains(&again["state"].as_str().unwrap()), "{again}");
    assert_eq!(again["closed"]["diverging"], 0, "all ran on this one: {again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_fails_where_the_history_goes_on_is_said_to() {
    let host = Host::new().await;
    host.deploy("nondet", guests::guest("nondet-v2")).await;
    let id = host.start("Mended", Value::Null).await;
    host.ended(&id).await;
    let path = format!("{WEBHOOKS}/instances/{id}/history");
    assert_eq!(host.send("GET", &path, "").await.status, 400, "the format must be said");
    let exported = host.send("GET", &format!("{path}?format=portable"), "").await;
    let history = portable::decode_history(&exported.body).unwrap();
    let verdict = async |name| {
        let version = executor().admit(guests::guest(name)).await.unwrap();
        verdict::check(&*executor(), &version, &history).await.unwrap()
    };
    assert_eq!(verdict("nondet-v2").await, Ok(()));
    let divergence = verdict("nondet-v1").await.unwrap_err();
    assert_eq!(
        (divergence.expected.as_str(), divergence.found.as_str()),
        ("call activity 'B'", "fail with 'not mended yet'")
    );
    assert_eq!(divergence.failure.as_ref().map(|failure| failure.error_type.as_str()), Some("NotMended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["nondet-v1", "nondet-v2"] {
        std::fs::write(file(name), guests::guest(name)).unwrap();
    }
    let program = Program::serve_with("memory", &[]).await;
    program.deploy("nondet", guests::guest("nondet-v1")).await;
    for (function, id) in [("Order", "o"), ("Versions", "v")] {
        assert_eq!(program.start(function, id, json!(0)).await, 202);
    }
    // The first call of the one has been answered.
    let waits = format!("{WEBHOOKS}/instances/o?showHistory=true");
    while !program.get(&waits).await.unwrap().1.contains("TaskCompleted") {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let (code, out, err) = verb(&program, &["get-history", "--id", "o", "--export", &file("history")]).await;
    assert!(code == Some(0) && out.contains("wrote"), "{out}{err}");
    let (code, _, err) = verb(&program, &["get-history", "--id", "none", "--export", &file("none")]).await;
    assert!(code == Some(1) && err.contains("no instance 'none'"), "{err}");

    let replay = async |component: &str, json: bool| {
        let mut args =
            ["replay", "--history", &file("history"), "--component", &file(component)].map(str::to_owned).to_vec();
        args.extend(json.then(|| "--json".to_owned()));
        let run = move || std::process::Command::new(env!("CARGO_BIN_EXE_durawasm-e2e")).args(args).output();
        let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(replay("nondet-v1", true).await, (Some(0), "{\"compatible\":true}\n".to_owned()));
    let (code, out) = replay("nondet-v2", true).await;
    let verdict: Value = serde_json::from_str(&out).unwrap();
    let expected = json!({"compatible": false, "position": 1, "expected": "call activity 'A'",
        "found": "call activity 'B'", "failure": null});
    assert_eq!((code, verdict), (Some(1), expected));
    let (code, out) = replay("nondet-v2", false).await;
    assert!(code == Some(1) && out.contains("position  1\nexpected  call activity 'A'"), "{out}");
    assert_eq!(replay("history", false).await.0, Some(2), "a history is no component");

    let deploy = ["deploy", &file("nondet-v2"), "--app", "nondet"];
    let (code, out, _) = verb(&program, &[&deploy[..], &["--check"]].concat()).await;
    assert!(code == Some(1) && out.contains("1 compatible, 1 diverging"), "{out}");
    assert_eq!(verb(&program, &deploy).await.0, Some(0));
    let (code, out, _) = verb(&program, &["move", "--app", "nondet", "--to", "current", "--dry-run"]).await;
    assert!(code == Some(1) && out.starts_with("1 could be moved, 0 on that version already, 1 refused\no  "), "{out}");
    let (code, out, _) = verb(&program, &["app", "show", "nondet"]).await;
    assert!(code == Some(0) && out.contains("verdict") && out.contains("ended instances"), "{out}");
    let (code, out, _) = verb(&program, &["move", "--id", "v", "--to", "current", "--children"]).await;
    assert!(code == Some(0) && out.starts_with("moved: instance 'v'"), "{out}");
    let (code, _, err) = verb(&program, &["move", "--id", "o", "--to", "current"]).await;
    assert!(code == Some(1) && err.contains("at history event 1"), "{err}");
    let (code, out, _) = verb(&program, &["move", "--app", "nondet", "--to", "current", "--json"]).await;
    let moved: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &moved["unchanged"], &moved["refused"]), (Some(1), &json!(1), &json!(1)), "{out}");
    assert_eq!(verb(&program, &["move", "--to", "current"]).await.0, Some(2));
    let (code, _, err) = verb(&program, &["rewind", "--id", "v", "--version", "current"]).await;
    assert!(code == Some(1) && err.contains("Failed"), "{err}");
}
