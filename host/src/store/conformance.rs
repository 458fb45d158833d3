//! What every store promises, each promise a test of its own, run on every backend.

mod hubs;
mod mail;
mod together;
mod usage;

use std::sync::Arc;

use durawasm_core::history::Ending;
use durawasm_core::model::{Outcome, Tags};
use durawasm_core::{
    AwaitedBy, Cause, EventKind, ExecutionStarted, Failure, Fuel, HistoryEvent, InstanceId, Payload, RetryPolicy,
    Status, TaskId, Timestamp,
};

use super::{
    AppOptions, AppRecord, AppVersion, AuthLevel, Commit, CommitError, Committed, Digest, Expect, FunctionKind,
    HttpTrigger, HubName, InstanceNumber, InstanceRecord, PayloadChanges, Payloads, Reuse, Store, TimerRow, Trigger,
    TriggerKind,
};

/// A moment, some milliseconds after 2023-11-14.
pub(super) fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap()
}

pub(super) fn hub() -> HubName {
    Arc::from("hub")
}

pub(super) fn payload(bytes: usize) -> Payload {
    Arc::from("x".repeat(bytes))
}

pub(super) fn record(id: &str) -> InstanceRecord {
    InstanceRecord {
        hub: hub(),
        id: Arc::from(id),
        number: InstanceNumber(0),
        revision: 0,
        name: "orchestrator".into(),
        status: Status::Running,
        created: at(0),
        updated: at(1),
        version: Some("v1".into()),
        app: "app".into(),
        digest: Digest([7; 32]),
        execution_id: "0123456789abcdef0123456789abcdef".into(),
        generation: 3,
        parent_instance_id: Some(Arc::from("parent")),
        tags: Tags::from([("colour".into(), "blue".into())]),
        ready: true,
    }
}

pub(super) fn event(kind: EventKind) -> HistoryEvent {
    HistoryEvent { at: at(5), kind }
}

pub(super) fn completed(task: u32, bytes: usize) -> HistoryEvent {
    event(EventKind::TaskCompleted { task: TaskId(task), result: Some(payload(bytes)) })
}

pub(super) fn commit_of(expect: Expect, record: InstanceRecord) -> Commit {
    Commit {
        expect,
        record,
        payloads: PayloadChanges::default(),
        fresh_history: false,
        events: Vec::new(),
        timers_set: Vec::new(),
        timers_cleared: Vec::new(),
        mail_sent: Vec::new(),
        mail_taken: Vec::new(),
        usage: super::Usage::default(),
    }
}

pub(super) fn start(id: &str) -> Commit {
    commit_of(Expect::Startable(Reuse::Terminal), record(id))
}

/// The commit that follows, of the same instance.
pub(super) fn next(id: &str, after: Committed) -> Commit {
    commit_of(Expect::Revision(after.revision), InstanceRecord { number: after.number, ..record(id) })
}

pub(super) async fn history(store: &dyn Store, number: InstanceNumber) -> Vec<HistoryEvent> {
    store.history(number).await.unwrap().unwrap().1
}

fn started() -> ExecutionStarted {
    ExecutionStarted {
        name: "orchestrator".into(),
        instance_id: Arc::from("id"),
        execution_id: "e".into(),
        input: Some(Arc::from("{\"a\":1}")),
        parent_instance_id: Some(Arc::from("parent")),
        version: Some("1.0".into()),
        tags: Tags::from([("a".into(), "b".into())]),
        trace_parent: Some("00-0-0-01".into()),
        trace_state: Some("a=1,b=2".into()),
        awaited_by: Some(awaited_by()),
        depth: 2,
        scheduled_at: Some(at(77)),
        completes_early: true,
    }
}

fn awaited_by() -> AwaitedBy {
    AwaitedBy { execution_id: "e-1".into(), task: TaskId(9), attempt: 3 }
}

fn failure() -> Failure {
    Failure {
        error_type: "ValueError".into(),
        message: "bad value".into(),
        stack_trace: Some("at x".into()),
        non_retriable: true,
        causes: vec![Cause { error_type: "Inner".into(), message: "why".into(), stack_trace: None }],
        properties: Some(Arc::from("{}")),
    }
}

/// Every kind of event, with each of its optional parts present and absent.
pub(super) fn every_kind() -> Vec<HistoryEvent> {
    let task = TaskId(4);
    let retry = RetryPolicy {
        first_retry_interval_ms: 0.1,
        max_attempts: 5,
        backoff_coefficient: 1.5,
        max_retry_interval_ms: Some(1e9),
        retry_timeout_ms: None,
    };
    let bare = ExecutionStarted {
        input: None,
        parent_instance_id: None,
        version: None,
        tags: Tags::new(),
        trace_parent: None,
        trace_state: None,
        awaited_by: None,
        depth: 0,
        scheduled_at: None,
        completes_early: false,
        ..started()
    };
    let mut kinds = vec![
        EventKind::ExecutionStarted(Box::new(started())),
        EventKind::ExecutionStarted(Box::new(bare)),
        EventKind::TaskScheduled {
            task,
            name: "activity".into(),
            input: Some(Arc::from("1")),
            retry: Some(retry),
            timeout_ms: Some(2.5),
            tags: Tags::from([("t".into(), String::new())]),
        },
        EventKind::TaskScheduled {
            task,
            name: String::new(),
            input: None,
            retry: None,
            timeout_ms: None,
            tags: Tags::new(),
        },
        EventKind::TaskAttemptFailed { task, attempt: 1, failure: failure(), retry_at: at(9), heartbeat: None },
        EventKind::TaskAttemptFailed {
            task,
            attempt: 1,
            failure: failure(),
            retry_at: at(9),
            heartbeat: Some(Arc::from("5")),
        },
        EventKind::TaskPostponed { task, attempt: 1, answer: None, next: Arc::from("{}"), due: at(9) },
        EventKind::TaskPostponed {
            task,
            attempt: 2,
            answer: Some(Arc::from("x".repeat(5_000))),
            next: Arc::from("y".repeat(5_000)),
            due: at(9),
        },
        EventKind::TaskRetried { task, attempt: 2, child: None },
        EventKind::TaskRetried { task, attempt: 2, child: Some(Arc::from("child")) },
        EventKind::TaskCompleted { task, result: Some(Arc::from("null")) },
        EventKind::TaskCompleted { task, result: None },
        EventKind::TaskFailed { task, failure: Failure::new("E", "m") },
        EventKind::TimerCreated { task, fire_at: at(10) },
        EventKind::TimerFired { task },
        EventKind::EventAwaited { task, name: "Event".into() },
        EventKind::EventRaised { name: "event".into(), input: Some(Arc::from("")) },
        EventKind::EventRaised { name: "event".into(), input: None },
        EventKind::TaskCanceled { task },
        EventKind::EpisodeCompleted { waits_served: 3, fuel: None },
        EventKind::EpisodeCompleted { waits_served: 3, fuel: Some(Fuel { total: 12_345, code: u64::MAX }) },
    ];
    for reason in [None, Some("because".to_owned())] {
        kinds.push(EventKind::ExecutionSuspended { reason: reason.clone() });
        kinds.push(EventKind::ExecutionResumed { reason: reason.clone() });
        kinds.push(EventKind::ExecutionTerminated { reason });
    }
    let outcomes: [Outcome; 3] = [Ok(None), Ok(Some(Arc::from("\"done\""))), Err(failure())];
    for outcome in outcomes {
        kinds.push(EventKind::OrchestratorReturned { ending: Ending::Returned(outcome.clone()), fuel: None });
        kinds.push(EventKind::ExecutionCompleted { status: Status::ContinuedAsNew, outcome });
    }
    kinds.extend(kinds_about_others());
    for (input, keep_events) in [(None, true), (Some(payload(3)), false)] {
        kinds.push(EventKind::OrchestratorReturned {
            ending: Ending::ContinuedAsNew { input, keep_events },
            fuel: None,
        });
    }
    kinds.into_iter().map(event).collect()
}

/// The kinds of events that came with sub-orchestrations, rewinds and scheduled starts.
fn kinds_about_others() -> Vec<EventKind> {
    let task = TaskId(4);
    let retry = RetryPolicy {
        first_retry_interval_ms: 1.0,
        max_attempts: 2,
        backoff_coefficient: 1.0,
        max_retry_interval_ms: None,
        retry_timeout_ms: Some(3.0),
    };
    let (instance_id, name): (InstanceId, String) = (Arc::from("other"), "orchestrator".into());
    let tags = Tags::from([("t".into(), "v".into())]);
    let created = |chosen_id, input, retry, version| EventKind::SubOrchestrationCreated {
        task,
        instance_id: instance_id.clone(),
        chosen_id,
        name: name.clone(),
        input,
        retry,
        version,
        tags: tags.clone(),
    };
    let started = |input, version, tags| EventKind::SubOrchestrationStarted {
        instance_id: instance_id.clone(),
        name: name.clone(),
        input,
        version,
        tags,
    };
    let sent = |input| EventKind::EventSent { instance_id: instance_id.clone(), name: "event".into(), input };
    let rewound = |reason, waits_served, again, awaited_by| EventKind::ExecutionRewound {
        reason,
        cut: 5,
        waits_served,
        again,
        awaited_by,
    };
    vec![
        created(true, Some(payload(4)), Some(retry), Some("v".into())),
        created(false, None, None, None),
        started(Some(payload(4)), Some("v".into()), tags.clone()),
        started(None, None, Tags::new()),
        sent(Some(payload(2000))),
        sent(None),
        EventKind::ScheduledTimeReached,
        EventKind::FailureDelivered { tasks: vec![task, TaskId(5)], waits_served: 6 },
        rewound(Some("why".into()), Some(3), vec![task], Some(awaited_by())),
        rewound(None, None, Vec::new(), None),
        EventKind::ParentRewound { awaited_by: awaited_by() },
        EventKind::ExecutionMoved { from: "a".repeat(64), to: "b".repeat(64) },
    ]
}

fn triggers(name: &str) -> Vec<Trigger> {
    let http = |level, methods: &[&str]| {
        let methods = methods.iter().map(|method| (*method).to_owned()).collect();
        TriggerKind::Http(HttpTrigger {
            route: "orders/{id}".into(),
            methods,
            level,
            streams: level == AuthLevel::Admin,
        })
    };
    let kinds = [
        http(AuthLevel::Anonymous, &["GET", "POST"]),
        http(AuthLevel::Function, &[]),
        http(AuthLevel::Admin, &[]),
        TriggerKind::Manual,
        schedules::timer(true, false),
        schedules::timer(false, true),
    ];
    let named = kinds.into_iter().map(|kind| Trigger { name: format!("{name}-trigger"), kind });
    if name == "b" { Vec::new() } else { named.collect() }
}

fn app(name: &str) -> AppRecord {
    let version = AppVersion {
        digest: Digest([1; 32]),
        label: Some("one".into()),
        sdk: "rust 0.1".into(),
        deployed: at(0),
        size: 44_000,
        functions: vec![(FunctionKind::Orchestrator, "o".into()), (FunctionKind::Activity, "a".into())],
        imports: vec!["wasi:clocks/wall-clock".into()],
        triggers: triggers(name),
    };
    let options = AppOptions { completes_early: name == "a", current_activities: name == "b" };
    AppRecord {
        hub: hub(),
        name: name.into(),
        generation: 1,
        current: Digest([1; 32]),
        versions: vec![version],
        options,
    }
}

pub(super) async fn a_start_is_readable(store: Arc<dyn Store>) {
    let mut commit = start("a");
    commit.events = vec![completed(1, 5)];
    commit.payloads.input = Some(Some(payload(3)));
    let done = store.commit(commit).await.unwrap();
    assert_eq!(done.revision, 1);
    let expected = InstanceRecord { number: done.number, revision: 1, ..record("a") };
    assert_eq!(store.instance(&hub(), "a").await.unwrap().as_ref(), Some(&expected));
    assert_eq!(store.history(done.number).await.unwrap(), Some((expected, vec![completed(1, 5)])));
    let payloads = store.payloads(done.number).await.unwrap();
    assert_eq!(payloads, Payloads { input: Some(payload(3)), output: None, custom_status: None });
}

pub(super) async fn what_is_not_there_is_none(store: Arc<dyn Store>) {
    let number = InstanceNumber(99);
    assert_eq!(store.instance(&hub(), "a").await.unwrap(), None);
    assert_eq!(store.history(number).await.unwrap(), None);
    assert_eq!(store.payloads(number).await.unwrap(), Payloads::default());
    assert!(store.ready(None, 10).await.unwrap().is_empty());
    assert!(store.timers(Timestamp::MAX, 10).await.unwrap().is_empty());
    assert!(store.apps().await.unwrap().is_empty());
}

pub(super) async fn hubs_are_apart(store: Arc<dyn Store>) {
    let other: HubName = Arc::from("hu");
    let first = store.commit(start("a")).await.unwrap();
    let mut commit = start("a");
    commit.record.hub = other.clone();
    let second = store.commit(commit).await.unwrap();
    assert!(second.number > first.number);
    assert_eq!(store.instance(&hub(), "a").await.unwrap().unwrap().number, first.number);
    assert_eq!(store.instance(&other, "a").await.unwrap().unwrap().number, second.number);
    assert_eq!(store.instance(&other, "ba").await.unwrap(), None);
}

pub(super) async fn a_conflict_changes_nothing(store: Arc<dyn Store>) {
    let first = store.commit(start("a")).await.unwrap();
    let second = store.commit(next("a", first)).await.unwrap();
    assert_eq!((second.number, second.revision), (first.number, 2));
    let before = store.history(first.number).await.unwrap();
    for wrong in [1, 3] {
        let mut commit = next("a", Committed::at(first.number, wrong));
        commit.record.status = Status::Completed;
        commit.record.ready = false;
        commit.events = vec![completed(1, 5), completed(2, 500_000)];
        commit.payloads.output = Some(Some(payload(2000)));
        commit.timers_set = vec![(TaskId(1), at(0))];
        assert!(matches!(store.commit(commit).await, Err(CommitError::Conflict)));
    }
    assert_eq!(store.history(first.number).await.unwrap(), before);
    assert_eq!(store.payloads(first.number).await.unwrap(), Payloads::default());
    assert_eq!(store.ready(None, 9).await.unwrap(), [first.number]);
    assert!(store.timers(Timestamp::MAX, 9).await.unwrap().is_empty());
}

pub(super) async fn a_commit_to_nothing_conflicts(store: Arc<dyn Store>) {
    let nowhere = Committed::at(InstanceNumber(77), 1);
    assert!(matches!(store.commit(next("a", nowhere)).await, Err(CommitError::Conflict)));
    assert_eq!(store.instance(&hub(), "a").await.unwrap(), None);
}

pub(super) async fn of_concurrent_starts_one_wins(store: Arc<dyn Store>) {
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(start("a")).await })
        })
        .collect();
    let mut won = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(done) => won.push(done),
            Err(CommitError::Exists(found)) => assert_eq!(&*found.id, "a"),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(store.instance(&hub(), "a").await.unwrap().unwrap().number, won[0].number);
}

pub(super) async fn of_concurrent_commits_one_wins(store: Arc<dyn Store>) {
    let first = store.commit(start("a")).await.unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let store = store.clone();
            let commit = Commit { events: vec![completed(task, 300_000)], ..next("a", first) };
            tokio::spawn(async move { (task, store.commit(commit).await) })
        })
        .collect();
    let mut won = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (task, Ok(_)) => won.push(task),
            (_, Err(CommitError::Conflict)) => {}
            (_, Err(error)) => panic!("{error}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(history(&*store, first.number).await, [completed(won[0], 300_000)]);
}

pub(super) async fn reuse_never_refuses(store: Arc<dyn Store>) {
    let mut commit = start("a");
    commit.record.status = Status::Completed;
    store.commit(commit).await.unwrap();
    let again = commit_of(Expect::Startable(Reuse::Never), record("a"));
    match store.commit(again).await {
        Err(CommitError::Exists(found)) => assert_eq!(found.status, Status::Completed),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn reuse_terminal_replaces_only_what_ended(store: Arc<dyn Store>) {
    for status in Status::ALL {
        let id = status.name();
        let mut commit = start(id);
        commit.record.status = status;
        let first = store.commit(commit).await.unwrap();
        match store.commit(start(id)).await {
            Ok(second) => assert!(status.is_terminal() && second.number > first.number && second.revision == 1),
            Err(CommitError::Exists(found)) => assert!(!status.is_terminal() && found.status == status),
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) async fn a_replaced_instance_leaves_nothing(store: Arc<dyn Store>) {
    let mut done = store.commit(start("a")).await.unwrap();
    for task in 0..100 {
        done = store.commit(Commit { events: vec![completed(task, 3000)], ..next("a", done) }).await.unwrap();
    }
    let mut last = next("a", done);
    last.record.status = Status::Failed;
    last.payloads.input = Some(Some(payload(5000)));
    last.payloads.output = Some(Some(payload(5)));
    last.timers_set = vec![(TaskId(1), at(0))];
    let old = store.commit(last).await.unwrap();
    let new = store.commit(Commit { events: vec![completed(9, 1)], ..start("a") }).await.unwrap();
    assert_eq!(store.history(old.number).await.unwrap(), None);
    assert_eq!(store.payloads(old.number).await.unwrap(), Payloads::default());
    assert_eq!(store.ready(None, 9).await.unwrap(), [new.number]);
    assert!(store.timers(Timestamp::MAX, 9).await.unwrap().is_empty());
    assert!(matches!(store.commit(next("a", old)).await, Err(CommitError::Conflict)));
    assert_eq!(history(&*store, new.number).await, [completed(9, 1)]);
    assert_eq!(store.payloads(new.number).await.unwrap(), Payloads::default());
}

pub(super) async fn history_keeps_its_order(store: Arc<dyn Store>) {
    let mut done = store.commit(start("a")).await.unwrap();
    let mut expected = Vec::new();
    for round in 0..300_u32 {
        let events: Vec<_> = (0..3).map(|index| completed(round * 3 + index, 3)).collect();
        expected.extend(events.clone());
        done = store.commit(Commit { events, ..next("a", done) }).await.unwrap();
    }
    assert_eq!(history(&*store, done.number).await, expected);
}

pub(super) async fn every_event_kind_comes_back(store: Arc<dyn Store>) {
    let done = store.commit(Commit { events: every_kind(), ..start("a") }).await.unwrap();
    assert_eq!(history(&*store, done.number).await, every_kind());
}

pub(super) async fn payloads_of_any_size_come_back(store: Arc<dyn Store>) {
    for bytes in [0, 1, 1024, 1025, 32 * 1024, 32 * 1024 + 1, 300_000, 5_000_000] {
        let big = payload(bytes);
        let mut commit = start(&bytes.to_string());
        commit.payloads =
            PayloadChanges { input: Some(Some(big.clone())), output: None, custom_status: Some(Some(payload(bytes))) };
        commit.events = vec![event(EventKind::EventRaised { name: "e".into(), input: Some(big) }), completed(1, bytes)];
        let events = commit.events.clone();
        let done = store.commit(commit).await.unwrap();
        assert_eq!(history(&*store, done.number).await, events);
        let found = store.payloads(done.number).await.unwrap();
        let expected = Payloads { input: Some(payload(bytes)), output: None, custom_status: Some(payload(bytes)) };
        assert!(found == expected, "{bytes} bytes");
    }
}

pub(super) async fn a_large_fan_out_is_one_commit(store: Arc<dyn Store>) {
    let events: Vec<_> = (0..10_000).map(|task| completed(task, 100)).collect();
    let done = store.commit(Commit { events: events.clone(), ..start("a") }).await.unwrap();
    assert!(history(&*store, done.number).await == events);
}

pub(super) async fn payload_changes_touch_only_what_they_name(store: Arc<dyn Store>) {
    let mut first = start("a");
    first.payloads.input = Some(Some(payload(2000)));
    first.payloads.custom_status = Some(Some(payload(40_000)));
    let first = store.commit(first).await.unwrap();
    let mut second = next("a", first);
    second.payloads.output = Some(Some(payload(1)));
    second.payloads.custom_status = Some(None);
    let second = store.commit(second).await.unwrap();
    let expected = Payloads { input: Some(payload(2000)), output: Some(payload(1)), custom_status: None };
    assert_eq!(store.payloads(second.number).await.unwrap(), expected);
}

pub(super) async fn fresh_history_begins_anew_and_keeps_payloads(store: Arc<dyn Store>) {
    let input = payload(3000);
    let raised = event(EventKind::EventRaised { name: "e".into(), input: Some(input.clone()) });
    let mut commit = Commit { events: vec![raised, completed(1, 4000)], ..start("a") };
    commit.payloads.input = Some(Some(input.clone()));
    let mut done = store.commit(commit).await.unwrap();
    for round in 0..5 {
        let events = vec![completed(round, 2000)];
        done = store.commit(Commit { fresh_history: true, events: events.clone(), ..next("a", done) }).await.unwrap();
        assert_eq!(history(&*store, done.number).await, events);
        assert_eq!(store.payloads(done.number).await.unwrap().input, Some(input.clone()));
    }
    done = store.commit(Commit { events: vec![completed(9, 9)], ..next("a", done) }).await.unwrap();
    assert_eq!(history(&*store, done.number).await, [completed(4, 2000), completed(9, 9)]);
}

pub(super) async fn timers_come_in_order_until_cleared(store: Arc<dyn Store>) {
    let early = Timestamp::from_second(-5).unwrap();
    let set = vec![(TaskId(3), at(30)), (TaskId(1), at(10)), (TaskId(2), at(20)), (TaskId(4), early)];
    let done = store.commit(Commit { timers_set: set, ..start("a") }).await.unwrap();
    let number = done.number;
    let row = |task: u32, due| TimerRow { due, number, task: TaskId(task) };
    let all = [row(4, early), row(1, at(10)), row(2, at(20)), row(3, at(30))];
    assert_eq!(store.timers(at(30), 9).await.unwrap(), all);
    assert_eq!(store.timers(at(20), 9).await.unwrap(), all[..3]);
    assert_eq!(store.timers(at(19), 9).await.unwrap(), all[..2]);
    assert_eq!(store.timers(Timestamp::MAX, 1).await.unwrap(), all[..1]);
    let timers_cleared = vec![(TaskId(1), at(10)), (TaskId(8), at(1))];
    let timers_set = vec![(TaskId(5), Timestamp::MAX)];
    store.commit(Commit { timers_cleared, timers_set, ..next("a", done) }).await.unwrap();
    let left = [row(4, early), row(2, at(20)), row(3, at(30)), row(5, Timestamp::MAX)];
    assert_eq!(store.timers(Timestamp::MAX, 9).await.unwrap(), left);
}

pub(super) async fn the_ready_index_follows_the_records(store: Arc<dyn Store>) {
    let mut numbers = Vec::new();
    for index in 0..5 {
        let mut commit = start(&index.to_string());
        commit.record.ready = index != 2;
        numbers.push(store.commit(commit).await.unwrap());
    }
    let of = |indices: &[usize]| indices.iter().map(|index| numbers[*index].number).collect::<Vec<_>>();
    assert_eq!(store.ready(None, 9).await.unwrap(), of(&[0, 1, 3, 4]));
    assert_eq!(store.ready(Some(numbers[0].number), 2).await.unwrap(), of(&[1, 3]));
    assert_eq!(store.ready(Some(numbers[2].number), 9).await.unwrap(), of(&[3, 4]));
    let mut done = next("1", numbers[1]);
    done.record.ready = false;
    store.commit(done).await.unwrap();
    store.commit(next("2", numbers[2])).await.unwrap();
    assert_eq!(store.ready(None, 9).await.unwrap(), of(&[0, 2, 3, 4]));
}

use hubs::{
    apps_are_removed_only_as_seen, apps_are_replaced_only_as_seen, hubs_are_replaced_only_as_seen,
    of_concurrent_changes_of_a_hub_one_wins, timers_of_purged_instances_are_forgotten,
};
use mail::{
    a_refused_commit_leaves_its_mail, an_answer_takes_the_place_of_mail, every_letter_comes_back, mail_is_taken_once,
    of_concurrent_takers_one_wins,
};
use together::{of_several_starts_one_refused_refuses_all, several_starts_are_one_commit};
use usage::usage_is_exact;

/// Runs the suite on a backend: its name, and an expression that makes an empty store and something to keep alive.
macro_rules! conformance {
    ($backend:ident, $open:expr) => {
        conformance!($backend, $open,
            a_start_is_readable what_is_not_there_is_none hubs_are_apart a_conflict_changes_nothing
            a_commit_to_nothing_conflicts of_concurrent_starts_one_wins of_concurrent_commits_one_wins
            reuse_never_refuses reuse_terminal_replaces_only_what_ended a_replaced_instance_leaves_nothing
            history_keeps_its_order every_event_kind_comes_back payloads_of_any_size_come_back
            a_large_fan_out_is_one_commit payload_changes_touch_only_what_they_name
            fresh_history_begins_anew_and_keeps_payloads timers_come_in_order_until_cleared
            the_ready_index_follows_the_records apps_are_replaced_only_as_seen
            every_letter_comes_back mail_is_taken_once of_concurrent_takers_one_wins a_refused_commit_leaves_its_mail
            several_starts_are_one_commit of_several_starts_one_refused_refuses_all an_answer_takes_the_place_of_mail
            hubs_are_replaced_only_as_seen of_concurrent_changes_of_a_hub_one_wins apps_are_removed_only_as_seen
            timers_of_purged_instances_are_forgotten usage_is_exact);
    };
    ($backend:ident, $open:expr, $($promise:ident)*) => {
        mod $backend {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let (store, _kept) = $open;
                    super::$promise(std::sync::Arc::new(store)).await;
                }
            )*
        }
    };
}

conformance!(memory, (crate::store::memory::MemoryStore::new(), ()));
conformance!(sled, {
    let directory = tempfile::tempdir().unwrap();
    let options = crate::store::sled::SledOptions::default();
    (crate::store::sled::SledStore::open(directory.path(), options).unwrap(), directory)
});

mod lists;
mod schedules;
