//! An execution of an orchestration: replay and advance, one machine for both.
//!
//! The guest's calls come in through [`Orchestration::call`], [`Orchestration::when_any`] and the like, messages through
//! [`Orchestration::deliver`]; what is to be saved and done goes out through [`Orchestration::take_decision`].

mod guest;
mod mailbox;

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::decision::{Decision, Effect, State};
use crate::history::{Ending, EventKind, ExecutionStarted, HistoryEvent};
use crate::ledger::{Ledger, Work};
use crate::model::{Payload, Status};

/// More tasks than this and an execution fails: continue-as-new is the way to go on for ever.
pub const MAX_TASKS: u32 = 100_000;

/// More events than this and an execution takes no further ones from outside.
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
    /// Waits of this run that were served.
    waits_served: u32,
    /// Which tasks the waits have delivered, by task number minus 1.
    delivered: Vec<bool>,
    /// While the guest is parked in when-all: how many of its list are known to be done, so that a fan-in of n costs n.
    all_done_prefix: usize,
    now: Timestamp,
    guids: u32,
    next_execution: Option<(Option<Payload>, bool)>,
}

/// Where a run is.
#[derive(Debug)]
enum Phase {
    /// It repeats what history has. `commands` are those it must still make, with their positions; it goes live at the
    /// wait after `waits` served ones, where the last recorded episode stopped.
    Replaying { commands: VecDeque<(usize, EventKind)>, waits: u32 },
    /// What it does is new.
    Live,
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
        orchestration.record(EventKind::ExecutionStarted(Box::new(started)));
        orchestration
    }

    /// An execution as its history tells it, with the guest before its first instruction.
    ///
    /// # Errors
    /// When the history does not begin with `ExecutionStarted`.
    pub fn replay(history: &[HistoryEvent]) -> Result<Self, BrokenHistory> {
        let Some(HistoryEvent { at, kind: EventKind::ExecutionStarted(started) }) = history.first() else {
            return Err(BrokenHistory);
        };
        let mut ledger = Ledger::default();
        let mut commands = VecDeque::new();
        let mut clock = *at;
        for (position, event) in history.iter().enumerate() {
            ledger.apply(event);
            clock = clock.max(event.at);
            if is_command(&event.kind) {
                commands.push_back((position, event.kind.clone()));
            }
        }
        let phase = match ledger.waits_served {
            Some(waits) => Phase::Replaying { commands, waits },
            None => Phase::Live,
        };
        let started = started.as_ref().clone();
        Ok(Self { started, ledger, run: Run::new(phase, *at), clock, decision: Decision::default() })
    }

    /// What the execution was started with.
    #[must_use]
    pub fn started(&self) -> &ExecutionStarted {
        &self.started
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
        self.ledger.waits_served.is_some() || self.ledger.returned.is_some()
    }

    /// True: the code may run now. False: it has returned, is suspended, or the execution is over.
    #[must_use]
    pub fn can_run(&self) -> bool {
        self.ledger.ended.is_none() && self.ledger.returned.is_none() && self.ledger.suspended.is_none()
    }

    /// True: activities are open, so a restarted host must look after this instance by itself. Timers and event waits
    /// need no looking after: they have rows of their own, or come from outside.
    #[must_use]
    pub fn has_work_in_flight(&self) -> bool {
        self.ledger.ended.is_none()
            && (self.ledger.waits_served.is_none()
                || self.ledger.open_tasks().any(|(_, work, retry_at)| match work {
                    Work::Activity { .. } => retry_at.is_none(),
                    Work::Timer { .. } | Work::Event { .. } => false,
                }))
    }

    /// What must be under way for the open tasks: what a host does that has just loaded the execution.
    #[must_use]
    pub fn effects_in_flight(&self) -> Vec<Effect> {
        let in_flight = |(task, work, retry_at): (_, &Work, Option<Timestamp>)| match (work, retry_at) {
            (Work::Activity { .. }, Some(due)) => Some(Effect::SetTimer { task, due }),
            (Work::Activity { call, .. }, None) => Some(Effect::RunActivity(call.clone())),
            (Work::Timer { fire_at }, _) => Some(Effect::SetTimer { task, due: *fire_at }),
            (Work::Event { .. }, _) => None,
        };
        if self.ledger.ended.is_some() { Vec::new() } else { self.ledger.open_tasks().filter_map(in_flight).collect() }
    }

    /// What is to be saved, and done once it is saved, since the last time this was asked.
    pub fn take_decision(&mut self) -> Decision {
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

    fn end(&mut self, status: Status, outcome: crate::model::Outcome) {
        let timers: Vec<_> = self
            .ledger
            .open_tasks()
            .filter_map(|(task, work, retry_at)| match (work, retry_at) {
                (Work::Timer { fire_at }, _) => Some(Effect::ClearTimer { task, due: *fire_at }),
                (Work::Activity { .. }, Some(due)) => Some(Effect::ClearTimer { task, due }),
                (Work::Activity { .. }, None) | (Work::Event { .. }, _) => None,
            })
            .collect();
        self.decision.effects.extend(timers);
        self.record(EventKind::ExecutionCompleted { status, outcome });
    }

    /// Ends the execution if its code has returned and no activity holds it any more. A fresh execution waits for
    /// nobody: what the old one left open is dropped.
    fn end_if_nothing_holds_it(&mut self) {
        if self.ledger.ended.is_some() {
            return;
        }
        match self.ledger.returned.clone() {
            Some(Ending::ContinuedAsNew { input, .. }) => self.end(Status::ContinuedAsNew, Ok(input)),
            Some(Ending::Returned(outcome)) if self.ledger.open_activities == 0 => {
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
            waits_served: 0,
            delivered: Vec::new(),
            all_done_prefix: 0,
            now,
            guids: 0,
            next_execution: None,
        }
    }
}

/// True: the code itself made this event, so a replay must make it again.
fn is_command(kind: &EventKind) -> bool {
    match kind {
        EventKind::TaskScheduled { .. }
        | EventKind::TimerCreated { .. }
        | EventKind::EventAwaited { .. }
        | EventKind::TaskCanceled { .. }
        | EventKind::OrchestratorReturned { .. } => true,
        EventKind::ExecutionStarted(_)
        | EventKind::TaskAttemptFailed { .. }
        | EventKind::TaskRetried { .. }
        | EventKind::TaskCompleted { .. }
        | EventKind::TaskFailed { .. }
        | EventKind::TimerFired { .. }
        | EventKind::EventRaised { .. }
        | EventKind::ExecutionSuspended { .. }
        | EventKind::ExecutionResumed { .. }
        | EventKind::ExecutionTerminated { .. }
        | EventKind::EpisodeCompleted { .. }
        | EventKind::ExecutionCompleted { .. } => false,
    }
}
