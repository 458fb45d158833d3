//! History events.

use std::sync::Arc;

use durawasm_core::history::Ending;
use durawasm_core::model::Outcome;
use durawasm_core::{EventKind, ExecutionStarted, Failure, Fuel, HistoryEvent, InstanceId, Payload, TaskId, Timestamp};
use minicbor::{Decode, Encode};

use super::parts::{AwaitedByRow, FailureRow, RetryRow, payload_row};
use super::{LoadPieces, PayloadRow, PieceRow, Pieces, TagsRow, Time, corrupt, decode, encode, status, tags, tags_row};
use crate::store::StoreError;

/// The events of one commit: in the row, or where they lie if they are many.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(in crate::store::sled) struct HistoryRow<'a> {
    /// An encoded [`EventsRow`].
    #[cbor(b(0), with = "minicbor::bytes")]
    pub(in crate::store::sled) events: Option<&'a [u8]>,
    #[n(1)]
    pub(in crate::store::sled) piece: Option<PieceRow>,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct EventsRow<'a> {
    #[b(0)]
    events: Vec<EventRow<'a>>,
}

/// Any event: `kind` says which, and with it which fields it has.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(super) struct EventRow<'a> {
    #[n(0)]
    at: Time,
    #[n(1)]
    pub(super) kind: u16,
    #[n(2)]
    task: Option<u32>,
    #[b(3)]
    name: Option<&'a str>,
    /// Input or result.
    #[b(4)]
    payload: Option<PayloadRow<'a>>,
    #[n(5)]
    retry: Option<RetryRow>,
    #[n(6)]
    timeout_ms: Option<f64>,
    #[b(7)]
    tags: TagsRow<'a>,
    #[n(8)]
    attempt: Option<u32>,
    #[b(9)]
    failure: Option<FailureRow<'a>>,
    /// The moment of the next attempt, or a timer's.
    #[n(10)]
    due: Option<Time>,
    #[b(11)]
    reason: Option<&'a str>,
    #[n(12)]
    waits_served: Option<u32>,
    #[n(13)]
    status: Option<u8>,
    #[b(14)]
    started: Option<StartedRow<'a>>,
    /// Present: the function asked for a fresh execution; says whether events go along.
    #[n(15)]
    keep_events: Option<bool>,
    /// Another instance.
    #[b(16)]
    instance: Option<&'a str>,
    #[n(17)]
    chosen_id: Option<bool>,
    #[b(18)]
    version: Option<&'a str>,
    #[b(19)]
    awaited_by: Option<AwaitedByRow<'a>>,
    #[n(20)]
    cut: Option<u32>,
    #[n(21)]
    tasks: Option<Vec<u32>>,
    /// An answer that is not the result.
    #[b(22)]
    answer: Option<PayloadRow<'a>>,
    /// What the code had used, and what counted it.
    #[n(23)]
    fuel: Option<u64>,
    #[n(24)]
    fuel_code: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct StartedRow<'a> {
    #[b(0)]
    instance_id: &'a str,
    #[b(1)]
    execution_id: &'a str,
    #[b(2)]
    parent_instance_id: Option<&'a str>,
    #[b(3)]
    version: Option<&'a str>,
    #[b(4)]
    trace_parent: Option<&'a str>,
    #[b(5)]
    awaited_by: Option<AwaitedByRow<'a>>,
    #[n(6)]
    depth: Option<u32>,
    #[n(7)]
    scheduled_at: Option<Time>,
    #[n(8)]
    completes_early: Option<bool>,
    #[b(9)]
    trace_state: Option<&'a str>,
}

/// The numbers of the kinds.
mod kind {
    pub(super) const EXECUTION_STARTED: u16 = 1;
    pub(super) const TASK_SCHEDULED: u16 = 2;
    pub(super) const TASK_ATTEMPT_FAILED: u16 = 3;
    pub(super) const TASK_RETRIED: u16 = 4;
    pub(super) const TASK_COMPLETED: u16 = 5;
    pub(super) const TASK_FAILED: u16 = 6;
    pub(super) const TIMER_CREATED: u16 = 7;
    pub(super) const TIMER_FIRED: u16 = 8;
    pub(super) const EVENT_AWAITED: u16 = 9;
    pub(super) const EVENT_RAISED: u16 = 10;
    pub(super) const TASK_CANCELED: u16 = 11;
    pub(super) const EXECUTION_SUSPENDED: u16 = 12;
    pub(super) const EXECUTION_RESUMED: u16 = 13;
    pub(super) const EXECUTION_TERMINATED: u16 = 14;
    pub(super) const ORCHESTRATOR_RETURNED: u16 = 15;
    pub(super) const EPISODE_COMPLETED: u16 = 16;
    pub(super) const EXECUTION_COMPLETED: u16 = 17;
    pub(super) const SUB_ORCHESTRATION_CREATED: u16 = 18;
    pub(super) const SUB_ORCHESTRATION_STARTED: u16 = 19;
    pub(super) const EVENT_SENT: u16 = 20;
    pub(super) const SCHEDULED_TIME_REACHED: u16 = 21;
    pub(super) const FAILURE_DELIVERED: u16 = 22;
    pub(super) const EXECUTION_REWOUND: u16 = 23;
    pub(super) const PARENT_REWOUND: u16 = 24;
    pub(super) const EXECUTION_MOVED: u16 = 26;
    pub(super) const TASK_POSTPONED: u16 = 25;
}

/// The events as bytes; their large payloads go to `pieces`.
pub(in crate::store::sled) fn encode_events(
    events: &[HistoryEvent],
    pieces: &mut Pieces,
) -> Result<Vec<u8>, StoreError> {
    encode(&EventsRow { events: events.iter().map(|event| EventRow::new(event, pieces)).collect() })
}

/// Appends the events of these bytes.
pub(in crate::store::sled) fn decode_events(
    bytes: &[u8],
    pieces: &mut dyn LoadPieces,
    into: &mut Vec<HistoryEvent>,
) -> Result<(), StoreError> {
    let row: EventsRow<'_> = decode(bytes, "events of a history")?;
    into.reserve(row.events.len());
    for event in &row.events {
        into.push(event.load(pieces)?);
    }
    Ok(())
}

impl<'a> EventRow<'a> {
    fn empty(at: Timestamp, kind: u16) -> Self {
        Self {
            at: Time(at),
            kind,
            task: None,
            name: None,
            payload: None,
            retry: None,
            timeout_ms: None,
            tags: None,
            attempt: None,
            failure: None,
            due: None,
            reason: None,
            waits_served: None,
            status: None,
            started: None,
            keep_events: None,
            instance: None,
            chosen_id: None,
            version: None,
            awaited_by: None,
            cut: None,
            tasks: None,
            answer: None,
            fuel: None,
            fuel_code: None,
        }
    }

    fn of_task(at: Timestamp, kind: u16, task: TaskId) -> Self {
        Self { task: Some(task.0), ..Self::empty(at, kind) }
    }

    fn of_reason(at: Timestamp, kind: u16, reason: Option<&'a str>) -> Self {
        Self { reason, ..Self::empty(at, kind) }
    }

    fn new(event: &'a HistoryEvent, pieces: &mut Pieces) -> Self {
        let at = event.at;
        match &event.kind {
            EventKind::ExecutionStarted(started) => Self::of_start(at, started, pieces),
            EventKind::TaskScheduled { task, name, input, retry, timeout_ms, tags } => Self {
                name: Some(name),
                payload: payload_row(input.as_ref(), pieces),
                retry: retry.as_ref().map(RetryRow::new),
                timeout_ms: *timeout_ms,
                tags: tags_row(tags),
                ..Self::of_task(at, kind::TASK_SCHEDULED, *task)
            },
            EventKind::TaskAttemptFailed { task, attempt, failure, retry_at, heartbeat } => Self {
                payload: payload_row(heartbeat.as_ref(), pieces),
                attempt: Some(*attempt),
                failure: Some(FailureRow::new(failure, pieces)),
                due: Some(Time(*retry_at)),
                ..Self::of_task(at, kind::TASK_ATTEMPT_FAILED, *task)
            },
            EventKind::TaskPostponed { task, attempt, answer, next, due } => Self {
                payload: payload_row(Some(next), pieces),
                answer: payload_row(answer.as_ref(), pieces),
                attempt: Some(*attempt),
                due: Some(Time(*due)),
                ..Self::of_task(at, kind::TASK_POSTPONED, *task)
            },
            EventKind::TaskRetried { task, attempt, child } => Self {
                attempt: Some(*attempt),
                instance: child.as_deref(),
                ..Self::of_task(at, kind::TASK_RETRIED, *task)
            },
            EventKind::TaskCompleted { task, result } => {
                Self { payload: payload_row(result.as_ref(), pieces), ..Self::of_task(at, kind::TASK_COMPLETED, *task) }
            }
            EventKind::TaskFailed { task, failure } => {
                Self { failure: Some(FailureRow::new(failure, pieces)), ..Self::of_task(at, kind::TASK_FAILED, *task) }
            }
            EventKind::SubOrchestrationCreated { .. }
            | EventKind::SubOrchestrationStarted { .. }
            | EventKind::EventSent { .. } => Self::of_another_instance(at, &event.kind, pieces),
            EventKind::ScheduledTimeReached => Self::empty(at, kind::SCHEDULED_TIME_REACHED),
            EventKind::FailureDelivered { tasks, waits_served } => Self {
                tasks: Some(tasks.iter().map(|task| task.0).collect()),
                waits_served: Some(*waits_served),
                ..Self::empty(at, kind::FAILURE_DELIVERED)
            },
            EventKind::ExecutionRewound { reason, cut, waits_served, again, awaited_by } => Self {
                cut: Some(*cut),
                waits_served: *waits_served,
                tasks: Some(again.iter().map(|task| task.0).collect()),
                awaited_by: awaited_by.as_ref().map(AwaitedByRow::new),
                ..Self::of_reason(at, kind::EXECUTION_REWOUND, reason.as_deref())
            },
            EventKind::ParentRewound { awaited_by } => {
                Self { awaited_by: Some(AwaitedByRow::new(awaited_by)), ..Self::empty(at, kind::PARENT_REWOUND) }
            }
            EventKind::ExecutionMoved { from, to } => {
                Self { name: Some(from), version: Some(to), ..Self::empty(at, kind::EXECUTION_MOVED) }
            }
            EventKind::TimerCreated { task, fire_at } => {
                Self { due: Some(Time(*fire_at)), ..Self::of_task(at, kind::TIMER_CREATED, *task) }
            }
            EventKind::TimerFired { task } => Self::of_task(at, kind::TIMER_FIRED, *task),
            EventKind::EventAwaited { task, name } => {
                Self { name: Some(name), ..Self::of_task(at, kind::EVENT_AWAITED, *task) }
            }
            EventKind::EventRaised { name, input } => Self {
                name: Some(name),
                payload: payload_row(input.as_ref(), pieces),
                ..Self::empty(at, kind::EVENT_RAISED)
            },
            EventKind::TaskCanceled { task } => Self::of_task(at, kind::TASK_CANCELED, *task),
            EventKind::ExecutionSuspended { reason } => {
                Self::of_reason(at, kind::EXECUTION_SUSPENDED, reason.as_deref())
            }
            EventKind::ExecutionResumed { reason } => Self::of_reason(at, kind::EXECUTION_RESUMED, reason.as_deref()),
            EventKind::ExecutionTerminated { reason } => {
                Self::of_reason(at, kind::EXECUTION_TERMINATED, reason.as_deref())
            }
            EventKind::OrchestratorReturned { ending, fuel } => Self::of_ending(at, ending, pieces).with_fuel(*fuel),
            EventKind::EpisodeCompleted { waits_served, fuel } => {
                Self { waits_served: Some(*waits_served), ..Self::empty(at, kind::EPISODE_COMPLETED) }.with_fuel(*fuel)
            }
            EventKind::ExecutionCompleted { status, outcome } => {
                Self { status: Some(*status as u8), ..Self::of_outcome(at, kind::EXECUTION_COMPLETED, outcome, pieces) }
            }
        }
    }

    /// Empty for the kinds that are about this instance alone.
    fn of_another_instance(at: Timestamp, event: &'a EventKind, pieces: &mut Pieces) -> Self {
        match event {
            EventKind::SubOrchestrationCreated { task, instance_id, chosen_id, name, input, retry, version, tags } => {
                Self {
                    instance: Some(instance_id),
                    chosen_id: chosen_id.then_some(true),
                    name: Some(name),
                    payload: payload_row(input.as_ref(), pieces),
                    retry: retry.as_ref().map(RetryRow::new),
                    version: version.as_deref(),
                    tags: tags_row(tags),
                    ..Self::of_task(at, kind::SUB_ORCHESTRATION_CREATED, *task)
                }
            }
            EventKind::SubOrchestrationStarted { instance_id, name, input, version, tags } => Self {
                instance: Some(instance_id),
                name: Some(name),
                payload: payload_row(input.as_ref(), pieces),
                version: version.as_deref(),
                tags: tags_row(tags),
                ..Self::empty(at, kind::SUB_ORCHESTRATION_STARTED)
            },
            EventKind::EventSent { instance_id, name, input } => Self {
                instance: Some(instance_id),
                name: Some(name),
                payload: payload_row(input.as_ref(), pieces),
                ..Self::empty(at, kind::EVENT_SENT)
            },
            EventKind::ExecutionStarted(_)
            | EventKind::TaskScheduled { .. }
            | EventKind::TaskAttemptFailed { .. }
            | EventKind::TaskPostponed { .. }
            | EventKind::TaskRetried { .. }
            | EventKind::TaskCompleted { .. }
            | EventKind::TaskFailed { .. }
            | EventKind::TimerCreated { .. }
            | EventKind::TimerFired { .. }
            | EventKind::EventAwaited { .. }
            | EventKind::EventRaised { .. }
            | EventKind::TaskCanceled { .. }
            | EventKind::ExecutionSuspended { .. }
            | EventKind::ExecutionResumed { .. }
            | EventKind::ExecutionTerminated { .. }
            | EventKind::OrchestratorReturned { .. }
            | EventKind::ScheduledTimeReached
            | EventKind::FailureDelivered { .. }
            | EventKind::ExecutionRewound { .. }
            | EventKind::ParentRewound { .. }
            | EventKind::ExecutionMoved { .. }
            | EventKind::EpisodeCompleted { .. }
            | EventKind::ExecutionCompleted { .. } => Self::empty(at, 0),
        }
    }

    fn of_start(at: Timestamp, started: &'a ExecutionStarted, pieces: &mut Pieces) -> Self {
        Self {
            name: Some(&started.name),
            payload: payload_row(started.input.as_ref(), pieces),
            tags: tags_row(&started.tags),
            started: Some(StartedRow {
                instance_id: &started.instance_id,
                execution_id: &started.execution_id,
                parent_instance_id: started.parent_instance_id.as_deref(),
                version: started.version.as_deref(),
                trace_parent: started.trace_parent.as_deref(),
                trace_state: started.trace_state.as_deref(),
                awaited_by: started.awaited_by.as_ref().map(AwaitedByRow::new),
                depth: (started.depth > 0).then_some(started.depth),
                scheduled_at: started.scheduled_at.map(Time),
                completes_early: started.completes_early.then_some(true),
            }),
            ..Self::empty(at, kind::EXECUTION_STARTED)
        }
    }

    /// A failure if there is one, otherwise what was returned, which may be nothing.
    fn of_outcome(at: Timestamp, kind: u16, outcome: &'a Outcome, pieces: &mut Pieces) -> Self {
        match outcome {
            Ok(output) => Self { payload: payload_row(output.as_ref(), pieces), ..Self::empty(at, kind) },
            Err(failure) => Self { failure: Some(FailureRow::new(failure, pieces)), ..Self::empty(at, kind) },
        }
    }

    fn with_fuel(self, fuel: Option<Fuel>) -> Self {
        Self { fuel: fuel.map(|fuel| fuel.total), fuel_code: fuel.map(|fuel| fuel.code), ..self }
    }

    fn of_ending(at: Timestamp, ending: &'a Ending, pieces: &mut Pieces) -> Self {
        match ending {
            Ending::Returned(outcome) => Self::of_outcome(at, kind::ORCHESTRATOR_RETURNED, outcome, pieces),
            Ending::ContinuedAsNew { input, keep_events } => Self {
                payload: payload_row(input.as_ref(), pieces),
                keep_events: Some(*keep_events),
                ..Self::empty(at, kind::ORCHESTRATOR_RETURNED)
            },
        }
    }

    pub(super) fn load(&self, pieces: &mut dyn LoadPieces) -> Result<HistoryEvent, StoreError> {
        let kind = match self.kind {
            kind::EXECUTION_STARTED => self.load_start(pieces)?,
            kind::TASK_SCHEDULED => EventKind::TaskScheduled {
                task: self.task()?,
                name: self.name()?,
                input: self.payload(pieces)?,
                retry: self.retry.as_ref().map(RetryRow::load),
                timeout_ms: self.timeout_ms,
                tags: tags(&self.tags),
            },
            kind::TASK_ATTEMPT_FAILED => EventKind::TaskAttemptFailed {
                task: self.task()?,
                attempt: self.needed(self.attempt, "attempt")?,
                failure: self.failure(pieces)?,
                retry_at: self.needed(self.due, "due time")?.0,
                heartbeat: self.payload(pieces)?,
            },
            kind::SUB_ORCHESTRATION_CREATED => EventKind::SubOrchestrationCreated {
                task: self.task()?,
                instance_id: self.instance()?,
                chosen_id: self.chosen_id.unwrap_or(false),
                name: self.name()?,
                input: self.payload(pieces)?,
                retry: self.retry.as_ref().map(RetryRow::load),
                version: self.version.map(str::to_owned),
                tags: tags(&self.tags),
            },
            kind::SUB_ORCHESTRATION_STARTED => EventKind::SubOrchestrationStarted {
                instance_id: self.instance()?,
                name: self.name()?,
                input: self.payload(pieces)?,
                version: self.version.map(str::to_owned),
                tags: tags(&self.tags),
            },
            kind::EVENT_SENT => {
                EventKind::EventSent { instance_id: self.instance()?, name: self.name()?, input: self.payload(pieces)? }
            }
            kind::SCHEDULED_TIME_REACHED => EventKind::ScheduledTimeReached,
            kind::FAILURE_DELIVERED => EventKind::FailureDelivered {
                tasks: self.tasks(),
                waits_served: self.needed(self.waits_served, "count of waits")?,
            },
            kind::EXECUTION_REWOUND => EventKind::ExecutionRewound {
                reason: self.reason(),
                cut: self.needed(self.cut, "cut")?,
                waits_served: self.waits_served,
                again: self.tasks(),
                awaited_by: self.awaited_by.as_ref().map(AwaitedByRow::load),
            },
            kind::PARENT_REWOUND => EventKind::ParentRewound {
                awaited_by: self.needed(self.awaited_by.as_ref(), "call of the parent")?.load(),
            },
            kind::EXECUTION_MOVED => {
                EventKind::ExecutionMoved { from: self.name()?, to: self.needed(self.version, "version")?.to_owned() }
            }
            kind::TASK_POSTPONED => EventKind::TaskPostponed {
                task: self.task()?,
                attempt: self.needed(self.attempt, "attempt")?,
                answer: self.answer.map(|answer| answer.load(pieces)).transpose()?,
                next: self.needed(self.payload, "next input")?.load(pieces)?,
                due: self.needed(self.due, "due time")?.0,
            },
            kind::TASK_RETRIED => EventKind::TaskRetried {
                task: self.task()?,
                attempt: self.needed(self.attempt, "attempt")?,
                child: self.instance.map(Arc::from),
            },
            kind::TASK_COMPLETED => EventKind::TaskCompleted { task: self.task()?, result: self.payload(pieces)? },
            kind::TASK_FAILED => EventKind::TaskFailed { task: self.task()?, failure: self.failure(pieces)? },
            kind::TIMER_CREATED => {
                EventKind::TimerCreated { task: self.task()?, fire_at: self.needed(self.due, "due time")?.0 }
            }
            kind::TIMER_FIRED => EventKind::TimerFired { task: self.task()? },
            kind::EVENT_AWAITED => EventKind::EventAwaited { task: self.task()?, name: self.name()? },
            kind::EVENT_RAISED => EventKind::EventRaised { name: self.name()?, input: self.payload(pieces)? },
            kind::TASK_CANCELED => EventKind::TaskCanceled { task: self.task()? },
            kind::EXECUTION_SUSPENDED => EventKind::ExecutionSuspended { reason: self.reason() },
            kind::EXECUTION_RESUMED => EventKind::ExecutionResumed { reason: self.reason() },
            kind::EXECUTION_TERMINATED => EventKind::ExecutionTerminated { reason: self.reason() },
            kind::ORCHESTRATOR_RETURNED => {
                EventKind::OrchestratorReturned { ending: self.load_ending(pieces)?, fuel: self.load_fuel() }
            }
            kind::EPISODE_COMPLETED => EventKind::EpisodeCompleted {
                waits_served: self.needed(self.waits_served, "count of waits")?,
                fuel: self.load_fuel(),
            },
            kind::EXECUTION_COMPLETED => EventKind::ExecutionCompleted {
                status: status(self.needed(self.status, "status")?)?,
                outcome: self.outcome(pieces)?,
            },
            unknown => return Err(corrupt(format!("history event kind {unknown} is unknown"))),
        };
        Ok(HistoryEvent { at: self.at.0, kind })
    }

    fn load_start(&self, pieces: &mut dyn LoadPieces) -> Result<EventKind, StoreError> {
        let started = self.needed(self.started.as_ref(), "description of the start")?;
        Ok(EventKind::ExecutionStarted(Box::new(ExecutionStarted {
            name: self.name()?,
            instance_id: Arc::from(started.instance_id),
            execution_id: started.execution_id.to_owned(),
            input: self.payload(pieces)?,
            parent_instance_id: started.parent_instance_id.map(Arc::from),
            version: started.version.map(str::to_owned),
            tags: tags(&self.tags),
            trace_parent: started.trace_parent.map(str::to_owned),
            trace_state: started.trace_state.map(str::to_owned),
            awaited_by: started.awaited_by.as_ref().map(AwaitedByRow::load),
            depth: started.depth.unwrap_or(0),
            scheduled_at: started.scheduled_at.map(|at| at.0),
            completes_early: started.completes_early.unwrap_or(false),
        })))
    }

    fn load_fuel(&self) -> Option<Fuel> {
        let (total, code) = (self.fuel?, self.fuel_code?);
        Some(Fuel { total, code })
    }

    fn load_ending(&self, pieces: &mut dyn LoadPieces) -> Result<Ending, StoreError> {
        match self.keep_events {
            Some(keep_events) => Ok(Ending::ContinuedAsNew { input: self.payload(pieces)?, keep_events }),
            None => Ok(Ending::Returned(self.outcome(pieces)?)),
        }
    }

    fn outcome(&self, pieces: &mut dyn LoadPieces) -> Result<Outcome, StoreError> {
        match &self.failure {
            Some(failure) => Ok(Err(failure.load(pieces)?)),
            None => Ok(Ok(self.payload(pieces)?)),
        }
    }

    fn needed<T>(&self, field: Option<T>, what: &str) -> Result<T, StoreError> {
        field.ok_or_else(|| corrupt(format!("a history event of kind {} lacks its {what}", self.kind)))
    }

    fn task(&self) -> Result<TaskId, StoreError> {
        self.needed(self.task, "task").map(TaskId)
    }

    fn tasks(&self) -> Vec<TaskId> {
        self.tasks.iter().flatten().copied().map(TaskId).collect()
    }

    fn instance(&self) -> Result<InstanceId, StoreError> {
        self.needed(self.instance, "instance").map(Arc::from)
    }

    fn name(&self) -> Result<String, StoreError> {
        self.needed(self.name, "name").map(str::to_owned)
    }

    fn reason(&self) -> Option<String> {
        self.reason.map(str::to_owned)
    }

    fn payload(&self, pieces: &mut dyn LoadPieces) -> Result<Option<Payload>, StoreError> {
        self.payload.map(|payload| payload.load(pieces)).transpose()
    }

    fn failure(&self, pieces: &mut dyn LoadPieces) -> Result<Failure, StoreError> {
        self.needed(self.failure.as_ref(), "failure")?.load(pieces)
    }
}
