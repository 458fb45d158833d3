//! Histories that were recorded once and must be readable, and replay to the same end, for ever.
//!
//! `UPDATE_GOLDEN=1` records those that are missing. One that exists is never recorded again: when it does not replay
//! any more, the host has broken its promise. The functions of `flow` that they were recorded with must go on to make
//! the same calls.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;

use axum::body::Bytes;
use durawasm_core::history::Ending;
use durawasm_core::{EventKind, HistoryEvent, Orchestration, Timestamp};
use durawasm_host::engine::Parts;
use durawasm_host::engine::executor::{OrchestratorRun, RunEnd};
use durawasm_host::engine::session::Session;
use durawasm_host::engine::verdict;
use durawasm_host::store::{Digest, HubName, portable};
use durawasm_tests::guests::root;
use durawasm_tests::host::executor;
use durawasm_tests::{Outside, World, guests};
use serde_json::{Value, json};

use crate::scenario::ROOT;

/// A capability: the file's name, the function, its input (`{outside}` stands for a service's origin), and what happens from outside once all is quiet: a request,
/// or, empty, that all timers are due.
pub(crate) type Recording = (&'static str, &'static str, Value, &'static [(&'static str, &'static str)]);

const RUN_OUT: (&str, &str) = ("", "");

pub(crate) fn recordings() -> Vec<Recording> {
    let program = |step: Value| json!({"step": step});
    let http = |call: Value| program(json!({"http": call}));
    let child = |step: Value| json!({"child": {"label": "c", "step": step}});
    let mut all: Vec<Recording> = vec![
        ("activities", "Sequence", json!([1, "two", [3], {"four": null}]), &[]),
        ("fan-out", "FanOut", json!(20), &[]),
        ("mixed", "JoinMixed", Value::Null, &[RUN_OUT]),
        ("failure", "ActivityFails", json!(true), &[]),
        ("catch", "Catches", Value::Null, &[]),
        ("retry", "Retry", json!({"k": 3, "max_attempts": 5}), &[RUN_OUT]),
        ("retry-exhausted", "Retry", json!({"k": 9, "max_attempts": 2}), &[RUN_OUT]),
        ("retry-predicate", "RetryPredicate", json!(2), &[RUN_OUT]),
        ("heartbeat", "ResumesHalfway", json!(3), &[RUN_OUT]),
        ("timers", "TimersInOrder", json!([3000, 1000, 2000]), &[RUN_OUT]),
        ("timer-canceled", "CanceledTimer", Value::Null, &[RUN_OUT]),
        ("standard-sleep", "StdSleep", json!(1500), &[RUN_OUT]),
        ("events", "CollectEvents", json!(2), &[("root/raiseEvent/item", "1"), ("root/raiseEvent/Item", "2")]),
        ("two-waiters", "TwoWaiters", Value::Null, &[("root/raiseEvent/item", "1"), ("root/raiseEvent/item", "2")]),
        ("event-timeout", "EventOrTimeout", json!(1000), &[RUN_OUT]),
        ("custom-status", "Custom", json!(1), &[("root/raiseEvent/Next", "null")]),
        ("continue-as-new", "ContinueAsNew", json!([2, 0]), &[]),
        ("eternal", "Eternal", json!([true, 0]), &[("root/raiseEvent/Add", "5"), ("root/raiseEvent/Add", "0")]),
        ("chances", "Guids", json!(true), &[("root/raiseEvent/Go", "null")]),
        (
            "http-call",
            "Program",
            http(json!({"url": "{outside}/echo", "method": "POST", "body": "hé",
            "headers": [["X-B", "1"], ["X-A", "2"], ["x-b", "3"]], "timeoutMillis": 9000})),
            &[],
        ),
        (
            "http-answers",
            "Program",
            program(json!({"all": [
            {"http": {"url": "{outside}/binary"}}, {"http": {"url": "{outside}/job?left=1", "withoutPolling": true}},
            {"http": {"url": "{outside}/status?code=404"}}]})),
            &[],
        ),
        (
            "http-poll",
            "Program",
            http(json!({"url": "{outside}/job?left=2&after=7", "attempts": 3, "statuses": [503]})),
            &[RUN_OUT],
        ),
        ("http-retry", "Program", http(json!({"url": "{outside}/flaky?fails=2", "attempts": 3})), &[RUN_OUT]),
        ("http-refused", "Program", program(json!({"catch": {"http": {"url": "http://169.254.169.254/"}}})), &[]),
        ("child", "Program", program(child(json!({"echo": 1}))), &[]),
        ("child-fails", "Program", program(json!({"catch": child(json!({"fail": "no"}))})), &[]),
        (
            "child-retry",
            "Program",
            program(json!({"catch": {"child": {"attempts": 2, "step": {"fail": "no"}}}})),
            &[RUN_OUT],
        ),
        ("fire-and-forget", "Program", program(json!({"start": {"step": {"echo": 1}}})), &[]),
        (
            "child-holds-the-end",
            "Program",
            program(json!({"any": [{"echo": 0}, child(json!({"sleep": 5}))]})),
            &[RUN_OUT],
        ),
        (
            "send-event",
            "Program",
            program(json!({"seq": [
            {"send": {"to": "{self}", "name": "A", "data": 1}}, {"event": "A"}]})),
            &[],
        ),
        ("race", "Program", program(json!({"any": [{"sleep": 9}, {"event": "Go"}, {"sleep": 3}]})), &[RUN_OUT]),
        (
            "given-up",
            "GivesUp",
            json!(["Heartbeats", {"times": 1_000_000, "every_millis": 1}]),
            &[("root/raiseEvent/Stop", "null")],
        ),
        (
            "suspend-resume",
            "Event",
            json!("Go"),
            &[("root/suspend?reason=wait", ""), ("root/raiseEvent/Go", "1"), ("root/resume", "")],
        ),
        ("terminate", "Event", json!("Go"), &[("root/terminate?reason=enough", "")]),
        (
            "moved",
            "CollectEvents",
            json!(2),
            &[("root/raiseEvent/item", "1"), ("root/move?to=current", ""), ("root/raiseEvent/item", "2")],
        ),
    ];
    all.extend(rewinds());
    all
}

fn rewinds() -> [Recording; 4] {
    const REWIND: &[(&str, &str)] = &[("root/rewind?reason=repaired", "")];
    let program = |step: Value| json!({"step": step});
    let child = |step: Value| json!({"child": {"label": "c", "step": step}});
    let repaired = json!({"repaired": {"rewinds": 1}});
    [
        ("rewind", "Program", program(json!({"seq": [{"echo": 1}, repaired, {"echo": 2}]})), REWIND),
        (
            "rewind-with-timer",
            "Program",
            program(json!({"any": [{"seq": [repaired, {"event": "Go"}]}, {"sleep": 9}]})),
            &[("root/rewind", ""), RUN_OUT],
        ),
        ("rewind-child", "Program", program(child(repaired.clone())), REWIND),
        ("rewind-compensation", "Program", program(json!({"undo": [repaired, {"echo": "undone"}]})), REWIND),
    ]
}

pub(crate) fn folder() -> PathBuf {
    root().join("tests/golden/0.1")
}

/// The same code in a component of another digest: it has a custom section more.
pub(crate) fn another(guest: &str) -> Bytes {
    let section = [&[0, 8, 7][..], b"another"].concat();
    [&guests::guest(guest)[..], &section].concat().into()
}

async fn record(recording: &Recording) -> Vec<HistoryEvent> {
    record_in(World::new("flow", guests::guest("flow"), &[]).await, recording).await
}

pub(crate) async fn record_in(mut world: World, (_, function, input, acts): &Recording) -> Vec<HistoryEvent> {
    let outside = Outside::new().await;
    let input = serde_json::from_str(&input.to_string().replace("{outside}", &outside.url(""))).unwrap();
    world.start(function, ROOT, &input).await;
    for (path, body) in *acts {
        // An activity that only ends when it is told to never lets the world come to rest.
        if *function != "GivesUp" {
            world.settle().await;
        }
        if path.is_empty() {
            world.run_out().await;
        } else if path.starts_with("root/move") {
            world.host.deploy("flow", another("flow")).await;
            assert_eq!(world.post(path, body).await, 200, "{path}");
        } else {
            assert_eq!(world.post(path, body).await, 202, "{path}");
        }
    }
    world.settle().await;
    let parts = Parts { payloads: false, history: true };
    let view = world.host.engine.instance(&HubName::from("default"), ROOT, parts).await.unwrap().unwrap();
    assert!(view.record.status.is_terminal(), "{function} has not ended: {view:?}");
    view.history
}

/// A history without what the code did in its last episode, and that by itself.
pub(crate) fn before_the_last_episode(history: &[HistoryEvent]) -> (Vec<HistoryEvent>, Vec<EventKind>) {
    let begins = |event: &HistoryEvent| {
        matches!(event.kind, EventKind::EpisodeCompleted { .. } | EventKind::ExecutionRewound { .. })
    };
    let waited = history.iter().rposition(begins).map_or(1, |position| position + 1);
    let (mut before, mut done) = (history[..waited].to_vec(), Vec::new());
    for event in &history[waited..] {
        let is_of_the_code = matches!(
            event.kind,
            EventKind::TaskScheduled { .. }
                | EventKind::SubOrchestrationCreated { .. }
                | EventKind::SubOrchestrationStarted { .. }
                | EventKind::EventSent { .. }
                | EventKind::TimerCreated { .. }
                | EventKind::EventAwaited { .. }
                | EventKind::TaskCanceled { .. }
                | EventKind::FailureDelivered { .. }
                | EventKind::OrchestratorReturned { .. }
        );
        if is_of_the_code {
            done.push(without_fuel(event.kind.clone()));
        } else if !matches!(event.kind, EventKind::ExecutionCompleted { .. }) {
            before.push(event.clone());
        }
    }
    (before, done)
}

/// Histories that were recorded before fuel was say nothing of it.
fn without_fuel(kind: EventKind) -> EventKind {
    match kind {
        EventKind::OrchestratorReturned { ending, .. } => EventKind::OrchestratorReturned { ending, fuel: None },
        other => other,
    }
}

/// Replays a history with today's code on the real executor, up to where the code waits or ends. What it does that is
/// not in the history.
pub(crate) async fn replay(history: &[HistoryEvent], digest: Digest) -> Result<Vec<EventKind>, String> {
    let session = Arc::new(Session::new(Orchestration::replay(history).map_err(|error| error.to_string())?));
    let started = session.started();
    let (name, input) = (started.name, started.input);
    let mut guest = executor().orchestrate(OrchestratorRun {
        digest,
        name,
        input,
        session: Arc::clone(&session),
        stops: Arc::default(),
        share: Arc::default(),
    });
    // A guest that waits has nobody who would wake it: what has been recorded is all there is.
    let ended = poll_fn(|context| match guest.as_mut().poll(context) {
        Poll::Ready(end) => Poll::Ready(Some(end)),
        Poll::Pending if session.is_blocked() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await;
    match ended {
        Some(RunEnd::Returned(outcome)) => {
            let now = history.last().map_or(Timestamp::UNIX_EPOCH, |event| event.at);
            session.with(|orchestration| orchestration.returned(outcome, now)).map_err(|fault| fault.to_string())?;
        }
        None => {}
        Some(RunEnd::Faulted) => return Err(session.fault().map_or("faulted".to_owned(), |fault| fault.to_string())),
        Some(RunEnd::Host(fault)) => return Err(fault.to_string()),
    }
    let done = session.with(Orchestration::take_decision).events;
    let done = done.into_iter().map(|event| without_fuel(event.kind));
    Ok(done.filter(|kind| !matches!(kind, EventKind::ExecutionCompleted { .. })).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_golden_history_replays_to_its_end() {
    let recordings = recordings();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        for recording in &recordings {
            let path = folder().join(format!("{}.history", recording.0));
            if !path.exists() {
                std::fs::write(path, portable::encode_history(&record(recording).await).unwrap()).unwrap();
            }
        }
    }
    let digest = executor().admit(guests::guest("flow")).await.unwrap().digest;
    let mut missing: BTreeSet<&str> = recordings.iter().map(|recording| recording.0).collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        missing.remove(name.as_str());
        let history = portable::decode_history(&std::fs::read(&path).unwrap()).unwrap();
        assert!(matches!(history.last().unwrap().kind, EventKind::ExecutionCompleted { .. }), "{name} has no end");
        let (before, recorded) = before_the_last_episode(&history);
        let done = replay(&before, digest).await.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(done, recorded, "{name} ends in another way");
        // A cold replay at each wait on the way gets there as well.
        for (position, event) in history.iter().enumerate() {
            if matches!(event.kind, EventKind::EpisodeCompleted { .. }) {
                let part = &history[..=position];
                let done = replay(part, digest).await;
                assert_eq!(done, Ok(Vec::new()), "{name} up to {position}");
            }
        }
    }
    assert!(missing.is_empty(), "not recorded (UPDATE_GOLDEN=1 does): {missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_golden_history_is_checked_to_its_end() {
    let version = executor().admit(guests::guest("flow")).await.unwrap();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let history = portable::decode_history(&std::fs::read(&path).unwrap()).unwrap();
        for (position, event) in history.iter().enumerate() {
            if matches!(event.kind, EventKind::EpisodeCompleted { .. } | EventKind::ExecutionCompleted { .. }) {
                let verdict = verdict::check(&*executor(), &version, &history[..=position]).await.unwrap();
                assert_eq!(verdict, Ok(()), "{} up to {position}", path.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_return_is_found_at_its_place() {
    let version = executor().admit(guests::guest("flow")).await.unwrap();
    let mut history = portable::decode_history(&std::fs::read(folder().join("activities.history")).unwrap()).unwrap();
    let returned =
        history.iter().position(|event| matches!(event.kind, EventKind::OrchestratorReturned { .. })).unwrap();
    let ending = Ending::Returned(Ok(Some("7".into())));
    history[returned].kind = EventKind::OrchestratorReturned { ending, fuel: None };
    let divergence = verdict::check(&*executor(), &version, &history).await.unwrap().unwrap_err();
    assert_eq!((divergence.position, divergence.expected.as_str()), (returned, "return with 7"));
    assert!(divergence.found.starts_with("return with [1,"), "{divergence}");
    assert_eq!(divergence.failure, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_history_does_not_replay() {
    let digest = executor().admit(guests::guest("flow")).await.unwrap().digest;
    let mut history = portable::decode_history(&std::fs::read(folder().join("activities.history")).unwrap()).unwrap();
    for event in &mut history {
        if let EventKind::TaskScheduled { name, .. } = &mut event.kind {
            "Square".clone_into(name);
        }
    }
    let fault = replay(&before_the_last_episode(&history).0, digest).await.unwrap_err();
    assert!(fault.contains("Square") && fault.contains("Echo"), "{fault}");
}
