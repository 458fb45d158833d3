//! The fold of a history: which tasks exist, what became of them, which events wait for a reader. Live and replayed
//! executions run through the same `apply`, so they cannot disagree.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::decision::ActivityCall;
use crate::history::{Ending, EventKind, HistoryEvent};
use crate::model::{Outcome, Payload, RetryPolicy, Status, TaskId};

/// What a task is about.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// An activity call with the policy for its attempts, and when it was made.
    Activity { call: ActivityCall, retry: Option<RetryPolicy>, made: Timestamp },
    /// A durable timer.
    Timer { fire_at: Timestamp },
    /// A wait for an external event; the name is folded.
    Event { name: String },
}

/// What became of a task.
#[derive(Clone, Debug)]
pub(crate) enum TaskState {
    /// Nothing yet. For an activity between two attempts: when the next one starts.
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
    pub(crate) open_activities: u32,
    pub(crate) suspended: Option<Option<String>>,
    pub(crate) returned: Option<Ending>,
    pub(crate) ended: Option<Ended>,
    /// Waits served in all episodes that were recorded; none: no episode was.
    pub(crate) waits_served: Option<u32>,
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

    pub(crate) fn apply(&mut self, event: &HistoryEvent) {
        self.length += 1;
        match &event.kind {
            EventKind::ExecutionStarted(_) => {}
            EventKind::TaskScheduled { task, name, input, retry, timeout_ms, tags } => {
                let call = ActivityCall {
                    task: *task,
                    attempt: 1,
                    name: name.clone(),
                    input: input.clone(),
                    timeout_ms: *timeout_ms,
                    tags: tags.clone(),
                };
                self.open_activities += 1;
                self.make(Work::Activity { call, retry: retry.clone(), made: event.at });
            }
            EventKind::TimerCreated { fire_at, .. } => self.make(Work::Timer { fire_at: *fire_at }),
            EventKind::EventAwaited { task, name } => self.wait(*task, name, event.at),
            EventKind::TaskAttemptFailed { task, retry_at, .. } => self.set_retry(*task, Some(*retry_at), None),
            EventKind::TaskRetried { task, attempt } => self.set_retry(*task, None, Some(*attempt)),
            EventKind::TaskCompleted { task, result } => self.complete(*task, event.at, Ok(result.clone())),
            EventKind::TaskFailed { task, failure } => self.complete(*task, event.at, Err(failure.clone())),
            EventKind::TimerFired { task } => self.complete(*task, event.at, Ok(None)),
            EventKind::EventRaised { name, input } => self.raise(name, input, event.at),
            EventKind::TaskCanceled { task } => self.cancel(*task),
            EventKind::ExecutionSuspended { reason } => self.suspended = Some(reason.clone()),
            EventKind::ExecutionResumed { .. } => self.suspended = None,
            EventKind::ExecutionTerminated { .. } => {}
            EventKind::OrchestratorReturned { ending } => self.returned = Some(ending.clone()),
            EventKind::EpisodeCompleted { waits_served } => self.waits_served = Some(*waits_served),
            EventKind::ExecutionCompleted { status, outcome } => {
                self.ended = Some(Ended { status: *status, outcome: outcome.clone() });
            }
        }
    }

    fn make(&mut self, work: Work) {
        self.tasks.push(Task { work, state: TaskState::Open { retry_at: None } });
    }

    fn set_retry(&mut self, task: TaskId, at: Option<Timestamp>, next: Option<u32>) {
        if let Some(Task { work: Work::Activity { call, .. }, state: TaskState::Open { retry_at } }) =
            self.task_mut(task)
        {
            *retry_at = at;
            call.attempt = next.unwrap_or(call.attempt);
        }
    }

    fn complete(&mut self, task: TaskId, at: Timestamp, outcome: Outcome) {
        let order = self.completions;
        let Some(entry) = self.task_mut(task) else { return };
        if !matches!(entry.state, TaskState::Open { .. }) {
            return;
        }
        entry.state = TaskState::Done { order, at, outcome };
        let was_activity = matches!(entry.work, Work::Activity { .. });
        self.completions += 1;
        self.open_activities -= u32::from(was_activity);
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
            Work::Activity { .. } => self.open_activities -= 1,
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
                (Work::Event { .. } | Work::Activity { .. } | Work::Timer { .. }, _) => None,
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
