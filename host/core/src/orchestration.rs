//! An execution of an orchestration: replay and advance, one machine for both.
//!
//! The guest's calls come in through [`Orchestration::call`], [`Orchestration::when_any`] and the like, messages through
//! [`Orchestration::deliver`]; what is to be saved and done goes out through [`Orchestration::take_decision`].

mod check;
mod fuel;
mod guest;
mod mailbox;
mod rewind;

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::decision::{ActivityCall, ChildStart, Decision, Effect, Letter, Outgoing, State};
use crate::history::{Ending, EventKind, ExecutionStarted, HistoryEvent};
use crate::ledger::{ChildCall, Ledger, Work};
use crate::model::{AwaitedBy, Failure, InstanceId, Outcome, Payload, Status, TaskId};
use crate::timeline;

pub use check::{Divergence, Stopped};
use fuel::{FuelCount, RecordedFuel};
pub use rewind::{Rewind, RewindError};

/// More tasks than this and an execution fails: continue-as-new is the way to go on for ever.
pub const MAX_TASKS: u32 = 100_000;

/// Bytes of payloads that the code may hand over between two waits: all of them are one commit.
pub const MAX_EPISODE_BYTES: usize = 64 << 20;

/// Messages to other instances between two waits: all of them are rows of one commit.
pub const MAX_EPISODE_LETTERS: u32 = 10_000;

/// More levels of sub-orchestrations than this and a call of one fails its caller: nobody means to nest that deep.
pub const MAX_DEPTH: u32 = 64;

/// More events than this and an execution takes no further ones from outside, and makes no further calls.
pub const MAX_HISTORY_EVENTS: usize = 1_000_000;

/// One execution of an instance, with the run of its code.
#[derive(Debug)]
pub struct Orchestration {
    started: ExecutionStarted,
    ledger: Ledger,
    run: Run,
    clock: Timestamp,
    decision: Decision,
}

/// The guest's run through the execution, from its beginning.
#[derive(Debug)]
struct Run {
    phase: Phase,
    /// Tasks this run has made.
    tasks_made: u32,
    /// Sub-orchestrations this run has started that nobody waits for, and events it has sent.
    notices_made: u32,
    /// Waits of this run that were served.
    waits_served: u32,
    /// Which tasks the waits have delivered, by task number minus 1.
    delivered: Vec<bool>,
    /// While the guest is parked in when-all: how many of its list are known to be done, so that a fan-in of n costs n.
    all_done_prefix: usize,
    now: Timestamp,
    /// Bytes of payloads and messages to others since the last wait.
    episode: (usize, u32),
    /// Where the last wait was.
    mark: Mark,
    guids: u32,
    fuel: FuelCount,
    next_execution: Option<(Option<Payload>, bool)>,
}

/// A place in a run, and in the decision it is about to come to.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// Tasks that there were.
    tasks: usize,
    /// Events and effects that were decided.
    events: usize,
    effects: usize,
}

/// Where a run is.
#[derive(Debug)]
enum Phase {
    /// It repeats what history has. The last recorded episode stopped at the wait after `waits` served ones.
    Replaying { record: Record, waits: u32, end: RecordEnd },
    /// What it does is new.
    Live,
    /// It was to be checked only, and has done all that is recorded: it goes no further than the next wait.
    Checked,
}

/// What history says that the run must still do.
#[derive(Debug, Default)]
struct Record {
    /// The commands that it must make, with their positions.
    commands: VecDeque<(usize, EventKind)>,
    /// What it must have used at which waits.
    fuel: VecDeque<RecordedFuel>,
}

/// Where a record ends, and what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordEnd {
    /// At the wait where the last episode stopped; the run goes live there.
    Live,
    /// At the same place; there the check is over. This and the following are those of checks.
    Wait,
    /// With the return of the function, however often it waited after the last episode that says so.
    Return,
    /// Somewhere after the last command: the host stopped the code there, at a place that it did not record.
    Somewhere,
}

/// A history that no execution can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history does not begin with ExecutionStarted")]
pub struct BrokenHistory;

impl Orchestration {
    /// A new execution; its first event is ready to be saved.
    #[must_use]
    pub fn start(started: ExecutionStarted, at: Timestamp) -> Self {
        let mut orchestration = Self {
            started: started.clone(),
            ledger: Ledger::default(),
            run: Run::new(Phase::Live, at),
            clock: at,
            decision: Decision::default(),
        };
        let scheduled = started.scheduled_at;
        orchestration.record(EventKind::ExecutionStarted(Box::new(started)));
        match scheduled {
            Some(due) if due <= at => orchestration.record(EventKind::ScheduledTimeReached),
            Some(due) => {
                let effect = Effect::SetTimer { task: TaskId::SCHEDULED_START, due };
                orchestration.decision.effects.push(effect);
            }
            None => {}
        }
        orchestration
    }

    /// An execution as its history tells it, with the guest before its first instruction.
    ///
    /// # Errors
    /// When the history does not begin with `ExecutionStarted`.
    pub fn replay(history: &[HistoryEvent]) -> Result<Self, BrokenHistory> {
        let (mut replayed, record) = Self::load(history)?;
        if let Some(waits) = replayed.ledger.waits_served {
            replayed.run.phase = Phase::Replaying { record, waits, end: RecordEnd::Live };
        }
        Ok(replayed)
    }

    /// An execution as its history tells it, and what its code did.
    fn load(history: &[HistoryEvent]) -> Result<(Self, Record), BrokenHistory> {
        let Some(HistoryEvent { at, kind: EventKind::ExecutionStarted(started) }) = history.first() else {
            return Err(BrokenHistory);
        };
        let mut ledger = Ledger::default();
        let mut record = Record::default();
        let mut clock = *at;
        for (position, event) in timeline::of(history) {
            ledger.apply_at(position, event);
            clock = clock.max(event.at);
            if is_command(&event.kind) {
                record.commands.push_back((position, event.kind.clone()));
            }
            if let EventKind::EpisodeCompleted { waits_served, fuel: Some(fuel) } = event.kind {
                record.fuel.push_back(RecordedFuel { position, waits_served, fuel });
            }
        }
        ledger.length = history.len();
        ledger
            .started_children
            .extend(timeline::set_aside(history).into_iter().filter_map(|at| child_of(history.get(at)?)));
        let started = started.as_ref().clone();
        let mut run = Run::new(Phase::Live, ledger.began.unwrap_or(*at));
        run.mark.tasks = ledger.tasks.len();
        Ok((Self { started, ledger, run, clock, decision: Decision::default() }, record))
    }

    /// What the execution was started with.
    #[must_use]
    pub fn started(&self) -> &ExecutionStarted {
        &self.started
    }

    /// The name under which others know this execution: answers to another one are not for it. A rewound execution has a
    /// new one, while its code goes on with the one it was started with.
    #[must_use]
    pub fn execution_id(&self) -> String {
        self.ledger.execution_at(usize::MAX)
    }

    /// When its code began to run; none: its time has not come.
    #[must_use]
    pub fn began(&self) -> Option<Timestamp> {
        self.ledger.began
    }

    /// Which call of the parent waits for the outcome.
    #[must_use]
    pub fn awaited_by(&self) -> Option<&AwaitedBy> {
        self.ledger.awaited_by.as_ref()
    }

    /// How many events the history has, those not yet saved included.
    #[must_use]
    pub fn history_length(&self) -> usize {
        self.ledger.length
    }

    /// What the execution looks like from outside.
    #[must_use]
    pub fn state(&self) -> State {
        match (&self.ledger.ended, &self.ledger.returned, &self.ledger.suspended) {
            (Some(ended), Some(Ending::ContinuedAsNew { input, keep_events }), _)
                if ended.status == Status::ContinuedAsNew =>
            {
                let events = if *keep_events { self.unread_events() } else { Vec::new() };
                State::ContinuedAsNew { input: input.clone(), events }
            }
            (Some(ended), _, _) => State::Ended { status: ended.status, outcome: ended.outcome.clone() },
            (None, _, Some(reason)) => State::Suspended { reason: reason.clone() },
            (None, _, None) => State::Running,
        }
    }

    /// Events that the code has not seen: first those that met a wait which never delivered them, then those that
    /// found no wait. For each name that is the order in which they came.
    fn unread_events(&self) -> Vec<(String, Option<Payload>)> {
        let mut events = self.ledger.events_of_waits(|index| !self.run.delivered.get(index).copied().unwrap_or(false));
        events.extend(self.ledger.unread_events());
        events
    }

    /// True: an episode of it was recorded; false: it is pending.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.ledger.waits_served.is_some() || self.ledger.returned.is_some() || self.ledger.was_rewound()
    }

    /// True: the code may run now. False: it has returned, is suspended or not yet due, or the execution is over.
    #[must_use]
    pub fn can_run(&self) -> bool {
        self.ledger.ended.is_none()
            && self.ledger.returned.is_none()
            && self.ledger.suspended.is_none()
            && self.ledger.scheduled.is_none()
    }

    /// True: activities are open, so a restarted host must look after this instance by itself. Timers, event waits and
    /// sub-orchestrations need no looking after: they have rows of their own, or come from outside.
    #[must_use]
    pub fn has_work_in_flight(&self) -> bool {
        self.ledger.ended.is_none()
            && ((self.ledger.waits_served.is_none() && self.can_run())
                || self.ledger.open_tasks().any(|(_, work, retry_at)| match work {
                    Work::Activity { .. } => retry_at.is_none(),
                    Work::Child { .. } | Work::Timer { .. } | Work::Event { .. } => false,
                }))
    }

    /// Activities and timers that must be under way: what a host begins that has just loaded the execution.
    #[must_use]
    pub fn effects_in_flight(&self) -> Vec<Effect> {
        self.open_effects(false).into_iter().filter(|effect| !matches!(effect, Effect::Send(_))).collect()
    }

    /// What brings the open tasks to their ends. `again`: as for calls that may have been made before.
    fn open_effects(&self, again: bool) -> Vec<Effect> {
        if self.ledger.ended.is_some() {
            return Vec::new();
        }
        let scheduled = self.ledger.scheduled.map(|due| Effect::SetTimer { task: TaskId::SCHEDULED_START, due });
        let tasks = self.ledger.open_tasks().filter_map(|(task, work, retry_at)| match (work, retry_at) {
            (Work::Activity { .. } | Work::Child { .. }, Some(due)) => Some(Effect::SetTimer { task, due }),
            (Work::Activity { call, .. }, None) => Some(Effect::RunActivity(call.clone())),
            (Work::Child { call, .. }, None) => Some(self.start_child(call, again)),
            (Work::Timer { fire_at }, _) => Some(Effect::SetTimer { task, due: *fire_at }),
            (Work::Event { .. }, _) => None,
        });
        scheduled.into_iter().chain(tasks).collect()
    }

    /// What begins an open task: nothing for a wait.
    fn effect_of(&self, task: TaskId) -> Option<Effect> {
        match &self.ledger.task(task)?.work {
            Work::Activity { call, .. } => Some(Effect::RunActivity(ActivityCall::clone(call))),
            Work::Child { call, .. } => Some(self.start_child(call, false)),
            Work::Timer { fire_at } => Some(Effect::SetTimer { task, due: *fire_at }),
            Work::Event { .. } => None,
        }
    }

    fn start_child(&self, call: &ChildCall, again: bool) -> Effect {
        let awaited_by = AwaitedBy { execution_id: self.execution_id(), task: call.task, attempt: call.attempt };
        let start = ChildStart {
            name: call.name.clone(),
            input: call.input.clone(),
            version: call.version.clone(),
            tags: call.tags.clone(),
            parent_instance_id: self.started.instance_id.clone(),
            awaited_by: Some(awaited_by),
            depth: self.started.depth + 1,
            trace_parent: self.started.trace_parent.clone(),
            trace_state: self.started.trace_state.clone(),
            again,
        };
        Effect::Send(Outgoing { to: call.instance_id.clone(), letter: Letter::StartChild(Box::new(start)) })
    }

    /// What is to be saved, and done once it is saved, since the last time this was asked.
    pub fn take_decision(&mut self) -> Decision {
        self.run.mark = Mark { tasks: self.ledger.tasks.len(), events: 0, effects: 0 };
        std::mem::take(&mut self.decision)
    }

    /// Time goes on; never back.
    fn tick(&mut self, now: Timestamp) {
        self.clock = self.clock.max(now);
    }

    fn record(&mut self, kind: EventKind) {
        let event = HistoryEvent { at: self.clock, kind };
        self.ledger.apply(&event);
        self.decision.events.push(event);
    }

    fn end(&mut self, status: Status, outcome: Outcome) {
        for effect in self.open_effects(false) {
            if let Effect::SetTimer { task, due } = effect {
                self.decision.effects.push(Effect::ClearTimer { task, due });
            }
        }
        if status != Status::ContinuedAsNew
            && let Some(awaited_by) = self.ledger.awaited_by.clone()
            && let Some(to) = self.started.parent_instance_id.clone()
        {
            let outcome = self.outcome_for_parent(status, &outcome);
            let letter = Letter::ChildEnded { awaited_by, outcome };
            self.decision.effects.push(Effect::Send(Outgoing { to, letter }));
        }
        self.record(EventKind::ExecutionCompleted { status, outcome });
    }

    /// A terminated child has failed its parent's call.
    fn outcome_for_parent(&self, status: Status, outcome: &Outcome) -> Outcome {
        let Ok(reason) = outcome else { return outcome.clone() };
        if status != Status::Terminated {
            return outcome.clone();
        }
        let reason = reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
        let message = format!("the sub-orchestration '{}' was terminated{reason}", self.started.instance_id);
        Err(Failure::new("OrchestrationTerminated", message))
    }

    /// Ends the execution if its code has returned and no call holds it any more. A fresh execution waits for
    /// nobody: what the old one left open is dropped.
    fn end_if_nothing_holds_it(&mut self) {
        if self.ledger.ended.is_some() {
            return;
        }
        match self.ledger.returned.clone() {
            Some(Ending::ContinuedAsNew { input, .. }) => self.end(Status::ContinuedAsNew, Ok(input)),
            Some(Ending::Returned(outcome)) if self.ledger.open_calls == 0 || self.started.completes_early => {
                let status = if outcome.is_ok() { Status::Completed } else { Status::Failed };
                self.end(status, outcome);
            }
            Some(Ending::Returned(_)) | None => {}
        }
    }
}

impl Run {
    fn new(phase: Phase, now: Timestamp) -> Self {
        Self {
            phase,
            tasks_made: 0,
            notices_made: 0,
            waits_served: 0,
            delivered: Vec::new(),
            all_done_prefix: 0,
            now,
            episode: (0, 0),
            mark: Mark::default(),
            guids: 0,
            fuel: FuelCount::default(),
            next_execution: None,
        }
    }
}

/// The sub-orchestration that an event began.
fn child_of(event: &HistoryEvent) -> Option<InstanceId> {
    if let EventKind::SubOrchestrationCreated { instance_id, .. }
    | EventKind::SubOrchestrationStarted { instance_id, .. }
    | EventKind::TaskRetried { child: Some(instance_id), .. } = &event.kind
    {
        return Some(instance_id.clone());
    }
    None
}

/// True: the code itself made this event, so a replay must make it again.
fn is_command(kind: &EventKind) -> bool {
    match kind {
        EventKind::TaskScheduled { .. }
        | EventKind::SubOrchestrationCreated { .. }
        | EventKind::SubOrchestrationStarted { .. }
        | EventKind::EventSent { .. }
        | EventKind::TimerCreated { .. }
        | EventKind::EventAwaited { .. }
        | EventKind::TaskCanceled { .. }
        | EventKind::OrchestratorReturned { .. } => true,
        EventKind::ExecutionStarted(_)
        | EventKind::TaskAttemptFailed { .. }
        | EventKind::TaskPostponed { .. }
        | EventKind::TaskRetried { .. }
        | EventKind::TaskCompleted { .. }
        | EventKind::TaskFailed { .. }
        | EventKind::TimerFired { .. }
        | EventKind::EventRaised { .. }
        | EventKind::ExecutionSuspended { .. }
        | EventKind::ExecutionResumed { .. }
        | EventKind::ExecutionTerminated { .. }
        | EventKind::ScheduledTimeReached
        | EventKind::FailureDelivered { .. }
        | EventKind::ExecutionRewound { .. }
        | EventKind::ParentRewound { .. }
        | EventKind::ExecutionMoved { .. }
        | EventKind::EpisodeCompleted { .. }
        | EventKind::ExecutionCompleted { .. } => false,
    }
}
