//! One event of each kind, for all who write them down.

use std::sync::Arc;

use durawasm_core::history::Ending;
use durawasm_core::model::{Outcome, Tags};
use durawasm_core::{
    EventKind, ExecutionStarted, Failure, Fuel, HistoryEvent, InstanceId, RetryPolicy, Status, TaskId,
};

use super::{at, awaited_by, event, failure, payload, started};

/// Every kind of event, with each of its optional parts present and absent.
pub(in crate::store) fn every_kind() -> Vec<HistoryEvent> {
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
