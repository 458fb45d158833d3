//! The examples do what their READMEs say.

use durawasm_tests::{Host, Outside, guests};
use serde_json::{Value, json};

use crate::scenario::{end, event};

async fn host(example: &str) -> Host {
    let host = Host::new().await;
    host.deploy(example, guests::example(example)).await;
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn async_http_api_is_polled_by_its_url() {
    let host = host("async-http-api").await;
    let path = "/runtime/webhooks/durabletask/orchestrators/E5_Export/report";
    // Many steps of a moment each: whoever asks now and then meets some of them.
    let started = host.send("POST", path, json!({"rows": 2950, "rows_a_step": 100}).to_string()).await;
    assert_eq!(started.status, 202);
    let location = started.headers["location"].to_str().unwrap();
    let poll = location.trim_start_matches("http://localhost:7071").to_owned();
    let mut seen: Vec<Value> = Vec::new();
    let done = loop {
        let answer = host.send("GET", &poll, "").await;
        if answer.status == 200 {
            break answer.json();
        }
        assert_eq!(answer.status, 202, "{}", answer.text());
        let progress = answer.json()["customStatus"].clone();
        if seen.last() != Some(&progress) {
            seen.push(progress);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let files: Vec<_> = (0..30).map(|step| (step * 100, (step * 100 + 100).min(2950))).collect();
    let files: Vec<_> = files.into_iter().map(|(from, to)| format!("rows-{from}-{to}.csv")).collect();
    assert_eq!(done["output"], json!(files));
    assert_eq!(done["customStatus"], json!({"rows": 2950, "of": 2950}));
    let steps: Vec<_> = seen.iter().filter_map(|progress| progress["rows"].as_u64()).collect();
    assert!(steps.is_sorted() && steps.iter().all(|rows| rows % 100 == 0 || *rows == 2950), "{seen:?}");
    assert!(steps.iter().any(|rows| (100..2950).contains(rows)), "progress was shown on the way: {seen:?}");
    let bad = host.run("E5_Export", json!({"rows": 1, "rows_a_step": 0})).await;
    assert_eq!(bad["runtimeStatus"], "Failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn saga_undoes_what_cannot_be_and_goes_on_with_what_was_repaired() {
    let host = host("saga").await;
    let booked = host.run("E6_Trip", json!({"traveller": "Ada"})).await;
    assert_eq!(end(&booked), json!(["Completed", {"booked": ["flight for Ada", "hotel for Ada"]}]));
    let full = host.run("E6_Trip", json!({"traveller": "Ada", "hotel_is_full": true})).await;
    assert_eq!(end(&full), json!(["Completed", {"cancelled": ["flight for Ada"]}]));

    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    // Only a trip that comes to its payment before they work again fails: a slow machine needs more time.
    let mut broken_for = 3;
    let (id, failed) = loop {
        let until = now() + broken_for;
        let id = host.start("E6_Trip", json!({"traveller": "Ada", "payments_broken_until": until})).await;
        let ended = host.ended(&id).await;
        if now() < until || ended["runtimeStatus"] == "Failed" {
            break (id, ended);
        }
        broken_for *= 3;
    };
    assert_eq!(failed["runtimeStatus"], "Failed");
    let rewind = format!("/runtime/webhooks/durabletask/instances/{id}/rewind?reason=payments+work+again");
    // Until the payments work again.
    let done = loop {
        assert_eq!(host.send("POST", &rewind, "").await.status, 202);
        let status = host.ended(&id).await;
        if status["runtimeStatus"] == "Completed" {
            break status;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(done["output"], json!({"booked": ["flight for Ada", "hotel for Ada"]}));
    assert_eq!(event(&done, "ExecutionRewound")["Reason"], "payments work again");
    let booked = done["historyEvents"].as_array().unwrap().iter();
    let booked = booked.filter(|event| event["EventType"] == "SubOrchestrationInstanceCompleted").count();
    assert_eq!(booked, 2, "nothing is booked twice: {done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sub_orchestrations_are_awaited_started_and_heard() {
    let host = host("sub-orchestrations").await;
    let path = "/runtime/webhooks/durabletask/orchestrators/E7_ProvisionAll/plant";
    assert_eq!(host.send("POST", path, "[\"pump\",\"valve\"]").await.status, 202);
    let done = host.ended("plant").await;
    assert_eq!(done["output"]["keys"], json!(["key-of-pump", "key-of-valve"]), "{done}");
    assert_eq!(host.status("plant-pump").await["output"], "key-of-pump");
    let audit = done["output"]["audit"].as_str().unwrap();
    assert_eq!(end(&host.ended(audit).await), json!(["Completed", 2]));

    let some = host.run("E7_ProvisionAll", json!(["pump", ""])).await;
    assert_eq!(some["output"]["keys"], json!(["key-of-pump"]));
    assert!(some["output"]["failed"][0].as_str().unwrap().contains("a device needs a name"), "{some}");
}

#[tokio::test(flavor = "multi_thread")]
async fn human_interaction_takes_a_decision_or_expires() {
    let host = host("human-interaction").await;
    let id = host.start("E4_Approval", json!({"what": "a trip", "seconds": 3600})).await;
    host.until(&id, "asking", |status| status["customStatus"] == "waiting for the event Approval").await;
    let raise = format!("/runtime/webhooks/durabletask/instances/{id}/raiseEvent/Approval");
    assert_eq!(host.send("POST", &raise, "true").await.status, 202);
    assert_eq!(end(&host.ended(&id).await), json!(["Completed", "approved"]));
    assert_eq!(host.run("E4_Approval", json!({"what": "a trip", "seconds": 0})).await["output"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn monitor_goes_round_until_it_is_terminated() {
    let host = host("monitor").await;
    let id = host.start("E3_Monitor", json!({"place": "Cologne", "every_seconds": 0})).await;
    host.until(&id, "several rounds", |status| status["customStatus"]["looks"].as_u64() > Some(3)).await;
    let terminate = format!("/runtime/webhooks/durabletask/instances/{id}/terminate?reason=enough");
    assert_eq!(host.send("POST", &terminate, "").await.status, 202);
    assert_eq!(end(&host.ended(&id).await), json!(["Terminated", "enough"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_monitor_waits_for_a_job_of_another_service() {
    let outside = Outside::new().await;
    let host = host("http-monitor").await;
    let input = |path: &str, seconds: u64| json!({"url": outside.url(path), "order": {"tea": 2}, "seconds": seconds});
    let done = host.run("E8_WatchJob", input("/echo", 60)).await;
    assert_eq!((&done["output"]["method"], &done["output"]["body"]), (&json!("POST"), &json!(r#"{"tea":2}"#)));
    assert!(outside.asked()[0].headers.contains_key("idempotency-key"));
    // The service's answer is no JSON, which comes up only once the job is done.
    let polled = host.run("E8_WatchJob", input("/job?left=1&after=1", 60)).await;
    assert!(polled["output"].as_str().unwrap().contains("the answer is not a"), "{polled}");
    assert_eq!(outside.paths().len(), 3);
    let late = host.run("E8_WatchJob", input("/job?left=9", 1)).await;
    assert_eq!(end(&late)[0], "Failed");
    assert!(late["output"].as_str().unwrap().contains("took more than 1 s"), "{late}");
}
