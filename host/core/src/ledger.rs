//! The fold of a history: which tasks exist, what became of them, which events wait for a reader. Live and replayed
//! executions run through the same `apply`, so they cannot disagree.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::decision::ActivityCall;
use crate::history::{Ending, EventKind, HistoryEvent};
use crate::model::{AwaitedBy, InstanceId, Outcome, Payload, RetryPolicy, Status, Tags, TaskId};

/// What a task is about.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// An activity call with the policy for its attempts, and when it was made. `first`: the attempt that the policy
    /// counts from, and `made` its time; later ones than the call's own when an attempt was postponed.
    Activity { call: ActivityCall, retry: Option<RetryPolicy>, made: Timestamp, first: u32 },
    /// A sub-orchestration, the same.
    Child { call: Box<ChildCall>, retry: Option<RetryPolicy>, made: Timestamp },
    /// A durable timer.
    Timer { fire_at: Timestamp },
    /// A wait for an external event; the name is folded.
    Event { name: String },
}

/// One attempt of a sub-orchestration.
#[derive(Clone, Debug)]
pub(crate) struct ChildCall {
    pub(crate) task: TaskId,
    pub(crate) attempt: u32,
    pub(crate) instance_id: InstanceId,
    /// The code chose the id: all attempts have it.
    pub(crate) chosen_id: bool,
    pub(crate) name: String,
    pub(crate) input: Option<Payload>,
    pub(crate) version: Option<String>,
    pub(crate) tags: Tags,
}

/// What became of a task.
#[derive(Clone, Debug)]
pub(crate) enum TaskState {
    /// Nothing yet. For a call between two attempts: when the next one starts.
    Open { retry_at: Option<Timestamp> },
    /// It completed, as the `order`-th completion of the execution.
    Done { order: u32, at: Timestamp, outcome: Outcome },
    /// The orchestrator gave it up.
    Canceled,
}

#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) work: Work,
    pub(crate) state: TaskState,
}

/// An event that nobody has waited for yet.
#[derive(Clone, Debug)]
struct Buffered {
    /// Its place among all events, to keep their order across names when they are carried over.
    order: u32,
    name: String,
    input: Option<Payload>,
}

/// How an execution ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) status: Status,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Events applied so far: the position of the next one.
    pub(crate) length: usize,
    pub(crate) tasks: Vec<Task>,
    completions: u32,
    raised: u32,
    /// Names are folded, because event names match ignoring case. Waiters are a stack: the newest is served.
    waiters: BTreeMap<String, Vec<TaskId>>,
    buffered: BTreeMap<String, VecDeque<Buffered>>,
    /// Open activities and sub-orchestrations: while there are any, an execution that has returned goes on.
    pub(crate) open_calls: u32,
    execution_id: String,
    /// Positions of the rewinds.
    rewinds: Vec<usize>,
    /// Which call of the parent waits for the outcome.
    pub(crate) awaited_by: Option<AwaitedBy>,
    /// The time that the start still waits for.
    pub(crate) scheduled: Option<Timestamp>,
    /// When the code began to run.
    pub(crate) began: Option<Timestamp>,
    /// Children that nobody waits for.
    pub(crate) started_children: Vec<InstanceId>,
    pub(crate) suspended: Option<Option<String>>,
    pub(crate) returned: Option<Ending>,
    pub(crate) ended: Option<Ended>,
    /// Waits served in all episodes that were recorded; none: no episode was.
    pub(crate) waits_served: Option<u32>,
}

impl Work {
    fn is_call(&self) -> bool {
        match self {
            Self::Activity { .. } | Self::Child { .. } => true,
            Self::Timer { .. } | Self::Event { .. } => false,
        }
    }
}

impl Ledger {
    pub(crate) fn task(&self, task: TaskId) -> Option<&Task> {
        let index = usize::try_from(task.0).ok()?.checked_sub(1)?;
        self.tasks.get(index)
    }

    fn task_mut(&mut self, task: TaskId) -> Option<&mut Task> {
        let index = usize::try_from(task.0).ok()?.checked_sub(1)?;
        self.tasks.get_mut(index)
    }

    /// The execution as others know it: a rewound one is another one to them, so that answers to what was set aside
    /// do not reach it. `position`: as it was there in the history.
    pub(crate) fn execution_at(&self, position: usize) -> String {
        match self.rewinds.iter().filter(|rewind| **rewind < position).count() {
            0 => self.execution_id.clone(),
            rewinds => format!("{}-{rewinds}", self.execution_id),
        }
    }

    /// True: it was rewound.
    pub(crate) fn was_rewound(&self) -> bool {
        !self.rewinds.is_empty()
    }

    /// The next event of the history.
    pub(crate) fn apply(&mut self, event: &HistoryEvent) {
        let position = self.length;
        self.apply_at(position, event);
        self.length += 1;
    }

    /// An event of the history; those that were set aside are left out.
    pub(crate) fn apply_at(&mut self, position: usize, event: &HistoryEvent) {
        match &event.kind {
            EventKind::ExecutionStarted(started) => {
                self.execution_id.clone_from(&started.execution_id);
                self.awaited_by.clone_from(&started.awaited_by);
                self.scheduled = started.scheduled_at;
                self.began = started.scheduled_at.is_none().then_some(event.at);
            }
            EventKind::ScheduledTimeReached => {
                self.scheduled = None;
                self.began = Some(event.at);
            }
            EventKind::TaskScheduled { task, name, input, retry, timeout_ms, tags } => {
                let call = ActivityCall {
                    task: *task,
                    attempt: 1,
                    name: name.clone(),
                    input: input.clone(),
                    timeout_ms: *timeout_ms,
                    tags: tags.clone(),
                    heartbeat: None,
                };
                self.open_calls += 1;
                self.make(Work::Activity { call, retry: retry.clone(), made: event.at, first: 1 });
            }
            EventKind::SubOrchestrationCreated { task, instance_id, chosen_id, name, input, retry, version, tags } => {
                let call = ChildCall {
                    task: *task,
                    attempt: 1,
                    instance_id: instance_id.clone(),
                    chosen_id: *chosen_id,
                    name: name.clone(),
                    input: input.clone(),
                    version: version.clone(),
                    tags: tags.clone(),
                };
                self.open_calls += 1;
                self.make(Work::Child { call: Box::new(call), retry: retry.clone(), made: event.at });
            }
            EventKind::SubOrchestrationStarted { instance_id, .. } => self.started_children.push(instance_id.clone()),
            EventKind::TimerCreated { fire_at, .. } => self.make(Work::Timer { fire_at: *fire_at }),
            EventKind::EventAwaited { task, name } => self.wait(*task, name, event.at),
            EventKind::TaskAttemptFailed { task, retry_at, heartbeat, .. } => {
                self.attempt_failed(*task, *retry_at, heartbeat.as_ref());
            }
            EventKind::TaskPostponed { task, attempt, next, due, .. } => self.postponed((*task, *attempt), next, *due),
            EventKind::TaskRetried { task, attempt, child } => self.retried(*task, *attempt, child.as_ref()),
            EventKind::TaskCompleted { task, result } => self.complete(*task, event.at, Ok(result.clone())),
            EventKind::TaskFailed { task, failure } => self.complete(*task, event.at, Err(failure.clone())),
            EventKind::TimerFired { task } => self.complete(*task, event.at, Ok(None)),
            EventKind::EventRaised { name, input } => self.raise(name, input, event.at),
            EventKind::TaskCanceled { task } => self.cancel(*task),
            EventKind::ExecutionSuspended { reason } => self.suspended = Some(reason.clone()),
            EventKind::ExecutionResumed { .. } => self.suspended = None,
            EventKind::ExecutionTerminated { .. }
            | EventKind::EventSent { .. }
            | EventKind::ExecutionMoved { .. }
            | EventKind::FailureDelivered { .. } => {}
            EventKind::ExecutionRewound { waits_served, again, awaited_by, .. } => {
                self.rewinds.push(position);
                self.waits_served = *waits_served;
                self.awaited_by = awaited_by.clone().or(self.awaited_by.take());
                again.iter().for_each(|task| self.begin_again(*task, event.at));
            }
            EventKind::ParentRewound { awaited_by } => self.awaited_by = Some(awaited_by.clone()),
            EventKind::OrchestratorReturned { ending, .. } => self.returned = Some(ending.clone()),
            EventKind::EpisodeCompleted { waits_served, .. } => self.waits_served = Some(*waits_served),
            EventKind::ExecutionCompleted { status, outcome } => {
                self.ended = Some(Ended { status: *status, outcome: outcome.clone() });
            }
        }
    }

    /// Takes back the last commands: all tasks but the first so many. It is as if those events had never been, except for
    /// events that waits have taken: for an execution that is about to end.
    pub(crate) fn forget(&mut self, tasks: usize, events: &[HistoryEvent]) {
        let started = events.iter().filter(|event| matches!(event.kind, EventKind::SubOrchestrationStarted { .. }));
        self.started_children.truncate(self.started_children.len().saturating_sub(started.count()));
        self.length = self.length.saturating_sub(events.len());
        for task in self.tasks.drain(tasks.min(self.tasks.len())..) {
            let is_open = matches!(task.state, TaskState::Open { .. });
            self.open_calls -= u32::from(is_open && task.work.is_call());
        }
        let stays = |task: &TaskId| usize::try_from(task.0).is_ok_and(|number| number <= tasks);
        self.waiters.values_mut().for_each(|waiters| waiters.retain(stays));
    }

    fn make(&mut self, work: Work) {
        self.tasks.push(Task { work, state: TaskState::Open { retry_at: None } });
    }

    fn attempt_failed(&mut self, task: TaskId, at: Timestamp, heartbeat: Option<&Payload>) {
        let Some(Task { work, state: TaskState::Open { retry_at } }) = self.task_mut(task) else { return };
        *retry_at = Some(at);
        if let Work::Activity { call, .. } = work {
            call.heartbeat = heartbeat.cloned().or(call.heartbeat.take());
        }
    }

    fn postponed(&mut self, (task, attempt): (TaskId, u32), next: &Payload, due: Timestamp) {
        let Some(Task { work, state: TaskState::Open { retry_at } }) = self.task_mut(task) else { return };
        *retry_at = Some(due);
        if let Work::Activity { call, made, first, .. } = work {
            call.input = Some(next.clone());
            *made = due;
            *first = attempt.saturating_add(1);
        }
    }

    fn retried(&mut self, task: TaskId, next: u32, child: Option<&InstanceId>) {
        let Some(Task { work, state: TaskState::Open { retry_at } }) = self.task_mut(task) else { return };
        *retry_at = None;
        match work {
            Work::Activity { call, .. } => call.attempt = next,
            Work::Child { call, .. } => {
                call.attempt = next;
                if let Some(child) = child {
                    call.instance_id.clone_from(child);
                }
            }
            Work::Timer { .. } | Work::Event { .. } => {}
        }
    }

    /// A failed call runs again as if it had just been made. A sub-orchestration keeps the instance of its last attempt,
    /// which is rewound.
    fn begin_again(&mut self, task: TaskId, at: Timestamp) {
        let Some(Task { work, state: TaskState::Open { retry_at } }) = self.task_mut(task) else { return };
        *retry_at = None;
        match work {
            Work::Activity { call, made, first, .. } => {
                call.attempt = 1;
                *first = 1;
                *made = at;
            }
            Work::Child { call, made, .. } => {
                call.attempt = 1;
                *made = at;
            }
            Work::Timer { .. } | Work::Event { .. } => {}
        }
    }

    fn complete(&mut self, task: TaskId, at: Timestamp, outcome: Outcome) {
        let order = self.completions;
        let Some(entry) = self.task_mut(task) else { return };
        if !matches!(entry.state, TaskState::Open { .. }) {
            return;
        }
        entry.state = TaskState::Done { order, at, outcome };
        let was_call = entry.work.is_call();
        self.completions += 1;
        self.open_calls -= u32::from(was_call);
    }

    fn wait(&mut self, task: TaskId, name: &str, at: Timestamp) {
        let name = name.to_lowercase();
        self.make(Work::Event { name: name.clone() });
        let waiting = self.buffered.get_mut(&name).and_then(VecDeque::pop_front);
        match waiting {
            Some(event) => self.complete(task, at, Ok(event.input)),
            None => self.waiters.entry(name).or_default().push(task),
        }
    }

    fn raise(&mut self, name: &str, input: &Option<Payload>, at: Timestamp) {
        let folded = name.to_lowercase();
        self.raised += 1;
        match self.waiters.get_mut(&folded).and_then(Vec::pop) {
            Some(waiter) => self.complete(waiter, at, Ok(input.clone())),
            None => {
                let event = Buffered { order: self.raised, name: name.to_owned(), input: input.clone() };
                self.buffered.entry(folded).or_default().push_back(event);
            }
        }
    }

    fn cancel(&mut self, task: TaskId) {
        let Some(entry) = self.task_mut(task) else { return };
        if !matches!(entry.state, TaskState::Open { .. }) {
            return;
        }
        entry.state = TaskState::Canceled;
        match entry.work.clone() {
            Work::Activity { .. } | Work::Child { .. } => self.open_calls -= 1,
            Work::Timer { .. } => {}
            Work::Event { name } => {
                if let Some(stack) = self.waiters.get_mut(&name) {
                    stack.retain(|waiter| *waiter != task);
                }
            }
        }
    }

    /// The events that completed those waits whose index is picked, in the order of the completions.
    pub(crate) fn events_of_waits(&self, picks: impl Fn(usize) -> bool) -> Vec<(String, Option<Payload>)> {
        let waits = self.tasks.iter().enumerate().filter(|(index, _)| picks(*index));
        let mut events: Vec<_> = waits
            .filter_map(|(_, task)| match (&task.work, &task.state) {
                (Work::Event { name }, TaskState::Done { order, outcome: Ok(input), .. }) => {
                    Some((*order, (name.clone(), input.clone())))
                }
                (Work::Event { .. } | Work::Activity { .. } | Work::Child { .. } | Work::Timer { .. }, _) => None,
            })
            .collect();
        events.sort_by_key(|(order, _)| *order);
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// Events that nobody has waited for, oldest first.
    pub(crate) fn unread_events(&self) -> Vec<(String, Option<Payload>)> {
        let mut events: Vec<_> = self.buffered.values().flatten().collect();
        events.sort_by_key(|event| event.order);
        events.into_iter().map(|event| (event.name.clone(), event.input.clone())).collect()
    }

    /// The open tasks, oldest first.
    pub(crate) fn open_tasks(&self) -> impl Iterator<Item = (TaskId, &Work, Option<Timestamp>)> {
        self.tasks.iter().zip(1..).filter_map(|(task, number)| match &task.state {
            TaskState::Open { retry_at } => Some((TaskId(number), &task.work, *retry_at)),
            TaskState::Done { .. } | TaskState::Canceled => None,
        })
    }
}
