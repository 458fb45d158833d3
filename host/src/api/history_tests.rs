use durawasm_core::model::Cause;
use serde_json::{Value, json};

use super::*;

const ALL: Detail = Detail { input: true, output: true };
const LITTLE: Detail = Detail { input: false, output: false };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_777_777_777 + second).unwrap()
}

fn text(second: i64) -> String {
    wire::ticks(at(second))
}

fn shaped(events: Vec<(i64, EventKind)>, detail: Detail) -> Value {
    let history: Vec<_> = events.into_iter().map(|(second, kind)| HistoryEvent { at: at(second), kind }).collect();
    serde_json::to_value(shape(&history, detail)).unwrap()
}

fn scheduled(task: u32) -> EventKind {
    EventKind::TaskScheduled {
        task: TaskId(task),
        name: "Say".to_owned(),
        input: Some("\"Tokyo\"".into()),
        retry: None,
        timeout_ms: None,
        tags: Tags::default(),
    }
}

fn failure() -> Failure {
    Failure {
        stack_trace: Some("at line 1".to_owned()),
        causes: vec![Cause { error_type: "Io".to_owned(), message: "no disk".to_owned(), stack_trace: None }],
        ..Failure::new("Boom", "it broke").non_retriable()
    }
}

fn started() -> EventKind {
    EventKind::ExecutionStarted(Box::new(ExecutionStarted {
        name: "Hello".to_owned(),
        instance_id: "i".into(),
        execution_id: "e".to_owned(),
        input: Some("{\"a\":1}".into()),
        parent_instance_id: None,
        version: None,
        tags: Tags::default(),
        trace_parent: None,
        trace_state: None,
        awaited_by: None,
        depth: 0,
        scheduled_at: None,
        completes_early: false,
    }))
}

#[test]
fn a_completed_run_folds_calls_and_drops_what_is_ours() {
    let run = vec![
        (0, started()),
        (1, scheduled(1)),
        (1, EventKind::EpisodeCompleted { waits_served: 0, fuel: None }),
        (2, EventKind::TaskCompleted { task: TaskId(1), result: Some("\"Hello Tokyo\"".into()) }),
        (2, EventKind::ExecutionCompleted { status: Status::Completed, outcome: Ok(Some("[1]".into())) }),
    ];
    assert_eq!(
        shaped(run.clone(), ALL),
        json!([
            {"EventType": "ExecutionStarted", "Timestamp": text(0), "Input": "{\"a\":1}", "FunctionName": "Hello"},
            {"EventType": "TaskCompleted", "Timestamp": text(2), "Result": "Hello Tokyo", "ScheduledTime": text(1),
             "FunctionName": "Say", "Input": "\"Tokyo\""},
            {"EventType": "ExecutionCompleted", "Timestamp": text(2), "OrchestrationStatus": "Completed", "Result": [1]},
        ])
    );
    assert_eq!(
        shaped(run, LITTLE),
        json!([
            {"EventType": "ExecutionStarted", "Timestamp": text(0), "FunctionName": "Hello"},
            {"EventType": "TaskCompleted", "Timestamp": text(2), "ScheduledTime": text(1), "FunctionName": "Say"},
            {"EventType": "ExecutionCompleted", "Timestamp": text(2), "OrchestrationStatus": "Completed"},
        ])
    );
}

#[test]
fn an_open_call_stays() {
    assert_eq!(
        shaped(vec![(1, scheduled(1))], ALL),
        json!([{"EventType": "TaskScheduled", "Timestamp": text(1), "Name": "Say", "Input": "\"Tokyo\""}])
    );
}

#[test]
fn retries_look_like_calls_and_timers() {
    let mut run = vec![
        (1, scheduled(1)),
        (
            2,
            EventKind::TaskAttemptFailed {
                task: TaskId(1),
                attempt: 1,
                failure: failure(),
                retry_at: at(5),
                heartbeat: None,
            },
        ),
    ];
    let kinds = |run: &Vec<(i64, EventKind)>| -> Vec<String> {
        let shaped = shaped(run.clone(), ALL);
        shaped.as_array().unwrap().iter().map(|event| event["EventType"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&run), ["TaskFailed", "TimerCreated"]);
    run.push((6, EventKind::TaskRetried { task: TaskId(1), attempt: 2, child: None }));
    assert_eq!(kinds(&run), ["TaskFailed", "TimerCreated", "TimerFired", "TaskScheduled"]);
    run.push((7, EventKind::TaskCompleted { task: TaskId(1), result: None }));
    assert_eq!(kinds(&run), ["TaskFailed", "TimerCreated", "TimerFired", "TaskCompleted"]);
    let shaped = shaped(run, ALL);
    assert_eq!(shaped[0]["ScheduledTime"], text(1));
    assert_eq!(shaped[1]["FireAt"], text(5));
    assert_eq!(shaped[2], json!({"EventType": "TimerFired", "Timestamp": text(6), "FireAt": text(5)}));
    assert_eq!(shaped[3]["ScheduledTime"], text(6));
}

#[test]
fn a_call_that_asks_again_looks_like_calls_and_timers() {
    let postponed = EventKind::TaskPostponed {
        task: TaskId(1),
        attempt: 1,
        answer: Some("202".into()),
        next: "\"again\"".into(),
        due: at(32),
    };
    let mut run = vec![(1, scheduled(1)), (2, postponed)];
    let expected = [
        r#"{"EventType":"TaskCompleted","Timestamp":"2026-05-03T03:09:39Z","Result":202,"ScheduledTime":"2026-05-03T03:09:38Z","FunctionName":"Say","Input":"\"Tokyo\""}"#,
        r#"{"EventType":"TimerCreated","Timestamp":"2026-05-03T03:09:39Z","FireAt":"2026-05-03T03:10:09Z"}"#,
    ];
    assert_eq!(lines(run.clone(), ALL), expected);
    run.push((32, EventKind::TaskRetried { task: TaskId(1), attempt: 2, child: None }));
    let asks = r#"{"EventType":"TaskScheduled","Timestamp":"2026-05-03T03:10:09Z","Name":"Say","Input":"\"again\""}"#;
    let fired = r#"{"EventType":"TimerFired","Timestamp":"2026-05-03T03:10:09Z","FireAt":"2026-05-03T03:10:09Z"}"#;
    assert_eq!(lines(run.clone(), ALL), [expected[0], expected[1], fired, asks]);
    run.push((33, EventKind::TaskCompleted { task: TaskId(1), result: Some("200".into()) }));
    let done = r#"{"EventType":"TaskCompleted","Timestamp":"2026-05-03T03:10:10Z","Result":200,"ScheduledTime":"2026-05-03T03:10:09Z","FunctionName":"Say","Input":"\"again\""}"#;
    assert_eq!(lines(run, ALL), [expected[0], expected[1], fired, done]);
}

#[test]
fn failures_keep_their_text_and_nest_their_causes() {
    let run = vec![
        (1, scheduled(1)),
        (2, EventKind::TaskFailed { task: TaskId(1), failure: failure() }),
        (2, EventKind::ExecutionCompleted { status: Status::Failed, outcome: Err(failure()) }),
    ];
    let inner = json!({"ErrorType": "Io", "ErrorMessage": "no disk", "StackTrace": null, "InnerFailure": null});
    let details = json!({"ErrorType": "Boom", "ErrorMessage": "it broke", "StackTrace": "at line 1",
        "InnerFailure": inner, "IsNonRetriable": true, "Properties": null});
    assert_eq!(
        shaped(run, ALL),
        json!([
            {"EventType": "TaskFailed", "Timestamp": text(2), "Reason": "it broke", "Details": "at line 1",
             "FailureDetails": details, "ScheduledTime": text(1), "FunctionName": "Say", "Input": "\"Tokyo\""},
            {"EventType": "ExecutionCompleted", "Timestamp": text(2), "OrchestrationStatus": "Failed",
             "Result": "it broke", "FailureDetails": details},
        ])
    );
}

#[test]
fn timers_events_and_reasons() {
    let reason = Some("why".to_owned());
    let run = vec![
        (0, EventKind::TimerCreated { task: TaskId(1), fire_at: at(9) }),
        (0, EventKind::EventAwaited { task: TaskId(2), name: "Go".to_owned() }),
        (1, EventKind::EventRaised { name: "go".to_owned(), input: Some("{}".into()) }),
        (2, EventKind::ExecutionSuspended { reason: reason.clone() }),
        (3, EventKind::ExecutionResumed { reason: None }),
        (9, EventKind::TimerFired { task: TaskId(1) }),
        (10, EventKind::ExecutionTerminated { reason }),
    ];
    assert_eq!(
        shaped(run, ALL),
        json!([
            {"EventType": "TimerCreated", "Timestamp": text(0), "FireAt": text(9)},
            {"EventType": "EventRaised", "Timestamp": text(1), "Name": "go", "Input": "{}"},
            {"EventType": "ExecutionSuspended", "Timestamp": text(2), "Reason": "why"},
            {"EventType": "ExecutionResumed", "Timestamp": text(3), "Reason": null},
            {"EventType": "TimerFired", "Timestamp": text(9), "FireAt": text(9)},
            {"EventType": "ExecutionTerminated", "Timestamp": text(10), "Input": "why"},
        ])
    );
}

#[test]
fn fields_keep_their_order() {
    let history = [
        HistoryEvent { at: at(1), kind: scheduled(1) },
        HistoryEvent { at: at(2), kind: EventKind::TaskCompleted { task: TaskId(1), result: Some("1.0".into()) } },
    ];
    let json = serde_json::to_string(&shape(&history, ALL)).unwrap();
    let expected = format!(
        r#"[{{"EventType":"TaskCompleted","Timestamp":"{}","Result":1.0,"ScheduledTime":"{}","FunctionName":"Say","Input":"\"Tokyo\""}}]"#,
        text(2),
        text(1)
    );
    assert_eq!(json, expected);
}

/// The events of the wire as the text that is sent, one a line.
fn lines(events: Vec<(i64, EventKind)>, detail: Detail) -> Vec<String> {
    let history: Vec<_> = events.into_iter().map(|(second, kind)| HistoryEvent { at: at(second), kind }).collect();
    shape(&history, detail).iter().map(|event| serde_json::to_string(event).unwrap()).collect()
}

fn child(task: u32, id: &str) -> EventKind {
    EventKind::SubOrchestrationCreated {
        task: TaskId(task),
        instance_id: id.into(),
        chosen_id: false,
        name: "Brew".to_owned(),
        input: Some("1".into()),
        retry: None,
        version: Some("2".to_owned()),
        tags: Tags::from([("team".to_owned(), "tea".to_owned())]),
    }
}

#[test]
fn children_have_the_shape_of_calls_and_an_instance_id() {
    let open = lines(vec![(1, child(1, "c1"))], ALL);
    let expected = r#"{"EventType":"SubOrchestrationInstanceCreated","Timestamp":"2026-05-03T03:09:38Z","Name":"Brew","InstanceId":"c1","Input":"1","Tags":{"team":"tea"}}"#;
    assert_eq!(open, [expected]);

    let completed = EventKind::TaskCompleted { task: TaskId(1), result: Some("[1.0]".into()) };
    let expected = r#"{"EventType":"SubOrchestrationInstanceCompleted","Timestamp":"2026-05-03T03:09:39Z","Result":[1.0],"ScheduledTime":"2026-05-03T03:09:38Z","FunctionName":"Brew","Input":"1","InstanceId":"c1","Tags":{"team":"tea"}}"#;
    assert_eq!(lines(vec![(1, child(1, "c1")), (2, completed.clone())], ALL), [expected]);
    let expected = r#"{"EventType":"SubOrchestrationInstanceCompleted","Timestamp":"2026-05-03T03:09:39Z","ScheduledTime":"2026-05-03T03:09:38Z","FunctionName":"Brew","InstanceId":"c1","Tags":{"team":"tea"}}"#;
    assert_eq!(lines(vec![(1, child(1, "c1")), (2, completed)], LITTLE), [expected]);

    let failed = EventKind::TaskFailed { task: TaskId(1), failure: Failure::new("Boom", "it broke") };
    let expected = r#"{"EventType":"SubOrchestrationInstanceFailed","Timestamp":"2026-05-03T03:09:39Z","Reason":"it broke","Details":null,"FailureDetails":{"ErrorType":"Boom","ErrorMessage":"it broke","StackTrace":null,"InnerFailure":null,"IsNonRetriable":false,"Properties":null},"ScheduledTime":"2026-05-03T03:09:38Z","FunctionName":"Brew","Input":"1","InstanceId":"c1","Tags":{"team":"tea"}}"#;
    assert_eq!(lines(vec![(1, child(1, "c1")), (2, failed)], ALL), [expected]);
}

#[test]
fn a_further_attempt_of_a_child_shows_its_own_instance() {
    let run = vec![
        (1, child(1, "c1")),
        (
            2,
            EventKind::TaskAttemptFailed {
                task: TaskId(1),
                attempt: 1,
                failure: Failure::new("Boom", "it broke"),
                retry_at: at(3),
                heartbeat: None,
            },
        ),
        (3, EventKind::TaskRetried { task: TaskId(1), attempt: 2, child: Some("c2".into()) }),
        (4, EventKind::TaskCompleted { task: TaskId(1), result: None }),
    ];
    let expected = [
        r#"{"EventType":"SubOrchestrationInstanceFailed","Timestamp":"2026-05-03T03:09:39Z","Reason":"it broke","Details":null,"FailureDetails":{"ErrorType":"Boom","ErrorMessage":"it broke","StackTrace":null,"InnerFailure":null,"IsNonRetriable":false,"Properties":null},"ScheduledTime":"2026-05-03T03:09:38Z","FunctionName":"Brew","Input":"1","InstanceId":"c1","Tags":{"team":"tea"}}"#,
        r#"{"EventType":"TimerCreated","Timestamp":"2026-05-03T03:09:39Z","FireAt":"2026-05-03T03:09:40Z"}"#,
        r#"{"EventType":"TimerFired","Timestamp":"2026-05-03T03:09:40Z","FireAt":"2026-05-03T03:09:40Z"}"#,
        r#"{"EventType":"SubOrchestrationInstanceCompleted","Timestamp":"2026-05-03T03:09:41Z","Result":null,"ScheduledTime":"2026-05-03T03:09:40Z","FunctionName":"Brew","Input":"1","InstanceId":"c2","Tags":{"team":"tea"}}"#,
    ];
    assert_eq!(lines(run, ALL), expected);
}

#[test]
fn what_nobody_waits_for_stays_open() {
    let started = EventKind::SubOrchestrationStarted {
        instance_id: "c1".into(),
        name: "Brew".to_owned(),
        input: None,
        version: None,
        tags: Tags::default(),
    };
    let sent =
        EventKind::EventSent { instance_id: "other".into(), name: "Go".to_owned(), input: Some("{\"a\":1}".into()) };
    let expected = [
        r#"{"EventType":"SubOrchestrationInstanceCreated","Timestamp":"2026-05-03T03:09:38Z","Name":"Brew","InstanceId":"c1","Input":null}"#,
        r#"{"EventType":"EventSent","Timestamp":"2026-05-03T03:09:39Z","InstanceId":"other","Name":"Go","Input":"{\"a\":1}"}"#,
    ];
    assert_eq!(lines(vec![(1, started.clone()), (2, sent.clone())], ALL), expected);
    let expected = [
        r#"{"EventType":"SubOrchestrationInstanceCreated","Timestamp":"2026-05-03T03:09:38Z","Name":"Brew","InstanceId":"c1"}"#,
        r#"{"EventType":"EventSent","Timestamp":"2026-05-03T03:09:39Z","InstanceId":"other","Name":"Go"}"#,
    ];
    assert_eq!(lines(vec![(1, started), (2, sent)], LITTLE), expected);
}

#[test]
fn what_a_rewind_set_aside_keeps_its_place() {
    let run = vec![
        (0, started()),
        (1, scheduled(1)),
        (1, EventKind::EpisodeCompleted { waits_served: 0, fuel: None }),
        (2, EventKind::TaskFailed { task: TaskId(1), failure: failure() }),
        (2, EventKind::FailureDelivered { tasks: vec![TaskId(1)], waits_served: 0 }),
        (
            2,
            EventKind::OrchestratorReturned {
                ending: durawasm_core::history::Ending::Returned(Err(failure())),
                fuel: None,
            },
        ),
        (2, EventKind::ExecutionCompleted { status: Status::Failed, outcome: Err(failure()) }),
        (
            3,
            EventKind::ExecutionRewound {
                reason: Some("repaired".to_owned()),
                cut: 4,
                waits_served: Some(0),
                again: vec![TaskId(1)],
                awaited_by: None,
            },
        ),
        (4, EventKind::TaskCompleted { task: TaskId(1), result: Some("1".into()) }),
    ];
    let expected = [
        r#"{"EventType":"ExecutionStarted","Timestamp":"2026-05-03T03:09:37Z","Input":"{\"a\":1}","FunctionName":"Hello"}"#,
        r#"{"EventType":"GenericEvent","Timestamp":"2026-05-03T03:09:39Z","Data":"Rewound: TaskFailed it broke"}"#,
        r#"{"EventType":"GenericEvent","Timestamp":"2026-05-03T03:09:39Z","Data":"Rewound: ExecutionCompleted Failed"}"#,
        r#"{"EventType":"ExecutionRewound","Timestamp":"2026-05-03T03:09:40Z","Reason":"repaired"}"#,
        r#"{"EventType":"TaskCompleted","Timestamp":"2026-05-03T03:09:41Z","Result":1,"ScheduledTime":"2026-05-03T03:09:38Z","FunctionName":"Say","Input":"\"Tokyo\""}"#,
    ];
    assert_eq!(lines(run, ALL), expected);
}
