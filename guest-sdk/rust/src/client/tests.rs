//! The client against a hub of the tests' own.

use std::time::Duration;

use serde_json::{Value, json};

use super::host::fake::{HUB, calls, reset, status};
use super::*;
use crate::{Error, Reuse, Timestamp};

const CLIENT: DurableClient = DurableClient { _private: () };

fn request() -> HttpRequest {
    HttpRequest::new("POST", "https://public:8443/api/orchestrators/F")
}

fn with_output(state: RuntimeStatus, output: &str) {
    reset(vec![wit::Status { output: Some(output.to_owned()), ..status("i", state) }]);
}

fn wait(timeout: u64, interval: u64) -> Result<HttpResponse, ClientError> {
    let (timeout, interval) = (Duration::from_secs(timeout), Duration::from_secs(interval));
    CLIENT.wait_for_completion_or_create_check_status_response(&request(), "i", timeout, interval)
}

fn body(response: &HttpResponse) -> Value {
    serde_json::from_slice(response.content()).expect("the body is JSON")
}

#[test]
fn a_start_says_everything_it_was_told() {
    reset(vec![]);
    let start = CLIENT.start_new("F").input([1, 2]).instance_id("i").reuse(Reuse::Never).tag("a", "b").version("2");
    assert_eq!(start.at(Timestamp::UNIX_EPOCH).send().ok().as_deref(), Some("i"));
    let call = calls().concat();
    for said in ["F([1,2])", "\"i\"", "Never", "\"a\"", "\"b\"", "Some(\"2\")", "1970-01-01T00:00:00.000000Z"] {
        assert!(call.contains(said), "{said} is not in {call}");
    }
}

#[test]
fn a_start_replaces_only_what_has_ended_unless_told_otherwise() {
    reset(vec![status("done", RuntimeStatus::Completed), status("busy", RuntimeStatus::Running)]);
    assert!(CLIENT.start_new("F").instance_id("done").send().is_ok());
    let Err(ClientError::AlreadyExists(taken)) = CLIENT.start_new("F").instance_id("busy").send() else {
        panic!("the id is taken");
    };
    assert_eq!((taken.instance_id.as_str(), taken.runtime_status), ("busy", RuntimeStatus::Running));
    assert!(CLIENT.start_new("F").instance_id("busy").reuse(Reuse::Any).send().is_ok());
}

#[test]
fn an_input_that_cannot_be_written_starts_nothing() {
    reset(vec![]);
    let bad = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(matches!(CLIENT.start_new("F").input(&bad).send(), Err(ClientError::Invalid(_))));
    let starts = [CLIENT.start_new("F"), CLIENT.start_new("F").input(&bad)];
    assert!(matches!(CLIENT.start_many(starts), Err(ClientError::Invalid(_))));
    assert_eq!(calls(), [""; 0]);
}

#[test]
fn a_body_becomes_the_input_as_it_is() {
    reset(vec![]);
    for text in ["", " \n", "{\"b\":1.0, \"a\":2}"] {
        assert!(CLIENT.start_new("F").input_json(text).send().is_ok());
    }
    let calls = calls();
    assert!(calls[0].contains("F(-)") && calls[1].contains("F(-)"));
    assert!(calls[2].contains("F({\"b\":1.0, \"a\":2})"));
}

#[test]
fn a_list_is_all_pages() {
    let ids: Vec<_> = (0..7).map(|number| number.to_string()).collect();
    reset(ids.iter().map(|id| status(id, RuntimeStatus::Running)).collect());
    let listed = CLIENT.list(InstanceFilter::new()).page_size(3).into_iter();
    let listed: Result<Vec<_>, _> = listed.map(|status| status.map(|status| status.instance_id)).collect();
    assert_eq!(listed.ok(), Some(ids));
    assert_eq!(calls(), ["list -", "list 1", "list 2", "list 3", "list 4"]);
}

#[test]
fn a_list_ends_after_an_error() {
    reset((0..4).map(|number| status(&number.to_string(), RuntimeStatus::Running)).collect());
    HUB.with_borrow_mut(|hub| hub.outage = Some(1));
    let listed: Vec<_> = CLIENT.list(InstanceFilter::new()).page_size(2).into_iter().collect();
    assert!(matches!(listed.as_slice(), [Ok(_), Ok(_), Err(ClientError::Unavailable(_))]));
    assert_eq!(calls().len(), 2);
}

#[test]
fn the_verbs_pass_on_what_they_are_given() {
    reset(vec![status("i", RuntimeStatus::Failed), status("r", RuntimeStatus::Running)]);
    assert!(CLIENT.raise_event("r", "MyEvent", [1, 2, 3]).is_ok());
    assert!(CLIENT.suspend("r", "later").is_ok() && CLIENT.resume("r", None).is_ok());
    assert!(CLIENT.rewind("i", "again").is_ok());
    assert!(CLIENT.terminate("r", "enough").is_ok());
    assert!(matches!(CLIENT.terminate_recursive("r", None), Err(ClientError::Ended)));
    assert!(matches!(CLIENT.raise_event("nobody", "MyEvent", ()), Err(ClientError::NotFound)));
    assert_eq!(CLIENT.restart("i").ok().as_deref(), Some("fresh"));
    assert_eq!(CLIENT.restart_in_place("i").ok().as_deref(), Some("i"));
    assert_eq!(CLIENT.purge("nobody").ok(), Some(0));
    assert_eq!(
        calls(),
        [
            "event r MyEvent [1,2,3]",
            "suspend r Some(\"later\")",
            "resume r None",
            "rewind i Some(\"again\")",
            "terminate r Some(\"enough\") false",
            "terminate r None true",
            "event nobody MyEvent -",
            "restart i true",
            "restart i false",
            "purge nobody false",
        ]
    );
}

#[test]
fn a_filter_says_everything_it_was_told() {
    reset(vec![status("i", RuntimeStatus::Completed)]);
    let (from, to) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + Duration::from_secs(1));
    let filter = InstanceFilter::new().created_from(from).created_to(to).name("F").id_prefix("order-");
    let filter = filter.status(RuntimeStatus::Completed).status(RuntimeStatus::Failed);
    assert_eq!(CLIENT.purge_many(&filter).ok(), Some(1));
    assert_eq!(CLIENT.purge_many_recursive(&InstanceFilter::new()).ok(), Some(1));
    let calls = calls();
    for said in [
        "created-from: Some(\"1970-01-01T00:00:00.000000Z\")",
        "created-to: Some(\"1970-01-01T00:00:01.000000Z\")",
        "Completed, RuntimeStatus::Failed",
        "name: Some(\"F\")",
        "instance-id-prefix: Some(\"order-\")",
        "false",
    ] {
        assert!(calls[0].contains(said), "{said} is not in {}", calls[0]);
    }
    assert!(calls[1].ends_with("true"));
}

#[test]
fn waiting_for_the_start_ends_when_it_is_not_pending() {
    reset(vec![status("new", RuntimeStatus::Pending), status("i", RuntimeStatus::Suspended)]);
    let wait = |id| CLIENT.wait_for_start(id, Duration::from_millis(1_500));
    assert!(matches!(wait("new"), Ok(None)));
    assert!(matches!(wait("i"), Ok(Some(status)) if status.runtime_status == RuntimeStatus::Suspended));
    assert!(matches!(wait("nobody"), Err(ClientError::NotFound)));
    assert_eq!(calls()[0], "wait for the start of new 1500");
}

#[test]
fn a_status_is_written_as_the_management_api_writes_it() {
    reset(vec![wit::Status { output: Some("9007199254740993".to_owned()), ..status("i", RuntimeStatus::Completed) }]);
    let status = CLIENT.get_status("i").send().ok().flatten().expect("it is there");
    assert_eq!(status.output::<u64>().ok(), Some(9_007_199_254_740_993));
    assert_eq!(
        serde_json::to_string(&status).expect("it can be written"),
        concat!(
            r#"{"name":"F","instanceId":"i","runtimeStatus":"Completed","input":{"b":1,"a":1.50},"customStatus":null,"#,
            r#""output":9007199254740993,"createdTime":"2024-01-01T00:00:00Z","lastUpdatedTime":"2024-01-01T00:00:01Z"}"#
        )
    );
}

#[test]
fn parts_are_asked_for_by_name() {
    reset(vec![status("i", RuntimeStatus::Running)]);
    let status = CLIENT.get_status("i").show_input(false).show_history(true).send().ok().flatten();
    let status = status.expect("it is there");
    assert_eq!((status.input_json.as_deref(), status.history().ok()), (None, Some(vec![])));
    assert!(matches!(CLIENT.get_status("nobody").send(), Ok(None)));
}

#[test]
fn a_check_status_response_says_where_to_ask() {
    let response = CLIENT.create_check_status_response(&request(), "i");
    assert_eq!(response.status(), 202);
    assert_eq!(
        response.headers().collect::<Vec<_>>(),
        [
            ("Location", "https://public:8443/instances/i"),
            ("Retry-After", "10"),
            ("Content-Type", "application/json; charset=utf-8"),
        ]
    );
    let links = body(&response);
    let links = links.as_object().expect("the links are an object");
    assert_eq!(links.len(), 9);
    let on_origin = |uri: &Value| uri.as_str().is_some_and(|uri| uri.starts_with("https://public:8443/instances/i"));
    assert!(links.iter().all(|(name, uri)| name == "id" || on_origin(uri)), "{links:?}");
    assert_eq!(CLIENT.management_payload("i").status_query_get_uri, "http://host/instances/i");
}

#[test]
fn a_check_status_response_is_the_hosts_own_where_the_request_came_to_the_host() {
    let response = CLIENT.create_check_status_response(&HttpRequest::new("POST", "http://host/api/start"), "i");
    assert_eq!(response.headers().next(), Some(("Location", "http://host/instances/i")));
    assert_eq!(body(&response), json!({"statusQueryGetUri": "http://host/instances/i"}));
}

#[test]
fn waiting_gives_the_bare_output_when_it_completes() {
    with_output(RuntimeStatus::Completed, r#"["Hello Tokyo!"]"#);
    let response = wait(2, 1).expect("it has completed");
    assert_eq!((response.status(), body(&response)), (200, json!(["Hello Tokyo!"])));
    assert_eq!(calls(), ["wait i 2000"]);
}

#[test]
fn waiting_gives_the_status_when_it_ends_otherwise() {
    for (state, code) in
        [(RuntimeStatus::Failed, 500), (RuntimeStatus::Terminated, 200), (RuntimeStatus::Canceled, 200)]
    {
        with_output(state, r#""why""#);
        let response = wait(2, 1).expect("it has ended");
        assert_eq!((response.status(), &body(&response)["output"]), (code, &json!("why")));
        assert_eq!(body(&response)["runtimeStatus"], state.as_str());
    }
}

#[test]
fn waiting_in_vain_says_where_to_ask() {
    reset(vec![status("i", RuntimeStatus::Running)]);
    let response = wait(1, 1).expect("it goes on");
    assert_eq!(response, CLIENT.create_check_status_response(&request(), "i"));
}

#[test]
fn an_interval_above_the_timeout_is_an_error() {
    reset(vec![status("i", RuntimeStatus::Running)]);
    let error = wait(1, 2).expect_err("it makes no sense");
    assert_eq!(error.to_string(), "the interval (2 s) is above the timeout (1 s)");
    assert_eq!(calls(), [""; 0]);
}

#[test]
fn errors_of_the_client_name_their_variant() {
    let error = Error::from(ClientError::NotFound);
    assert_eq!(error.error_type, "durawasm::ClientError::NotFound");
    assert_eq!(error.to_string(), "there is no such instance");
}
