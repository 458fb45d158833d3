//! An instance in a test: a program, a saved history, a clock moved by hand.

use durawasm_core::model::Tags;
use durawasm_core::{
    AwaitedBy, Decision, Delivery, Divergence, EventKind, ExecutionStarted, Failure, GuestFault, HistoryEvent, Message,
    Orchestration, Rewind, SignedDuration, State, Stopped, TaskId, Timestamp,
};

use crate::program::{Program, Progress, Run};

pub(crate) struct Instance {
    program: Program,
    /// What a store would have.
    pub(crate) history: Vec<HistoryEvent>,
    live: Orchestration,
    run: Run,
    pub(crate) now: Timestamp,
    /// Drop the guest before every message.
    evicts: bool,
    pub(crate) fault: Option<GuestFault>,
}

/// What one message did.
pub(crate) struct Outcome {
    pub(crate) delivery: Delivery,
    pub(crate) decision: Decision,
    pub(crate) logs: Vec<String>,
    pub(crate) progress: Option<Progress>,
}

fn started(input: Option<&str>) -> ExecutionStarted {
    ExecutionStarted {
        name: "Program".to_owned(),
        instance_id: "i".into(),
        execution_id: "e".to_owned(),
        input: input.map(Into::into),
        parent_instance_id: None,
        version: None,
        tags: Tags::new(),
        trace_parent: None,
        trace_state: None,
        awaited_by: None,
        depth: 0,
        scheduled_at: None,
        completes_early: false,
    }
}

/// What is special about a start.
#[derive(Default)]
pub(crate) struct Special {
    /// It is a child that its parent waits for.
    pub(crate) child: bool,
    /// Seconds from now.
    pub(crate) scheduled: Option<i64>,
    pub(crate) completes_early: bool,
}

impl Instance {
    pub(crate) fn start(program: Program, evicts: bool) -> (Self, Outcome) {
        Self::start_as(program, evicts, &Special::default())
    }

    pub(crate) fn start_as(program: Program, evicts: bool, special: &Special) -> (Self, Outcome) {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut started = started(None);
        started.completes_early = special.completes_early;
        started.scheduled_at = special.scheduled.map(|seconds| now + SignedDuration::from_secs(seconds));
        if special.child {
            started.parent_instance_id = Some("parent".into());
            let task = TaskId(1);
            started.awaited_by = Some(AwaitedBy { execution_id: "p".to_owned(), task, attempt: 1 });
            started.depth = 1;
        }
        let live = Orchestration::start(started, now);
        let mut instance = Self { program, history: Vec::new(), live, run: Run::default(), now, evicts, fault: None };
        let outcome = instance.episode(Delivery::Recorded);
        (instance, outcome)
    }

    pub(crate) fn advance(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// Loses all that is not saved, and goes on with this program.
    pub(crate) fn reload(&mut self, program: Option<Program>) {
        if let Some(program) = program {
            self.program = program;
        }
        self.live = Orchestration::replay(&self.history).expect("the history was made here");
        self.run = Run::default();
    }

    pub(crate) fn deliver(&mut self, message: Message) -> Outcome {
        if self.evicts {
            self.reload(None);
        }
        let delivery = self.live.deliver(message, self.now);
        self.episode(delivery)
    }

    /// Rewinds a failed execution; none: it cannot be.
    pub(crate) fn rewind(&mut self, reason: Option<String>) -> Option<Outcome> {
        self.live = Orchestration::rewind(&self.history, Rewind { reason, awaited_by: None }, self.now).ok()?;
        self.run = Run::default();
        Some(self.episode(Delivery::Recorded))
    }

    /// Brings the message of the timer (or of the wait before an attempt) that was set last for this task.
    pub(crate) fn fire(&mut self, timer: TaskId) -> Outcome {
        let due = self.history.iter().rev().find_map(|event| match &event.kind {
            EventKind::TimerCreated { task, fire_at } if *task == timer => Some(*fire_at),
            EventKind::TaskAttemptFailed { task, retry_at, .. } if *task == timer => Some(*retry_at),
            EventKind::TaskPostponed { task, due, .. } if *task == timer => Some(*due),
            EventKind::ExecutionStarted(started) if timer == TaskId::SCHEDULED_START => started.scheduled_at,
            _ => None,
        });
        self.deliver(Message::TimerDue { task: timer, due: due.expect("it was set") })
    }

    /// A message of a timer that was set in an execution before this one.
    pub(crate) fn fire_for_another(&mut self, timer: TaskId) -> Outcome {
        self.deliver(Message::TimerDue { task: timer, due: self.now })
    }

    /// Runs the program although nothing came.
    pub(crate) fn wake(&mut self) -> Outcome {
        self.episode(Delivery::Recorded)
    }

    pub(crate) fn state(&self) -> State {
        self.live.state()
    }

    /// Whether a program does what the history of this instance says.
    pub(crate) fn check(&self, program: &Program) -> Result<(), Divergence> {
        let mut checked = Orchestration::check(&self.history).expect("the history was made here");
        if checked.is_checked() {
            return Ok(());
        }
        let stopped = match Run::default().go(program, &mut checked, self.now) {
            Progress::Stopped(fault) => Stopped::Refused(fault),
            Progress::Waiting | Progress::Returned => Stopped::Waiting,
        };
        checked.verdict(stopped)
    }

    fn episode(&mut self, delivery: Delivery) -> Outcome {
        self.live.begin_episode(self.now);
        let mut progress = None;
        if delivery == Delivery::Recorded && self.live.can_run() {
            let came = self.run.go(&self.program, &mut self.live, self.now);
            if let Progress::Stopped(fault) = &came {
                self.fault = Some(fault.clone());
                self.live.fail(Failure::new("Stopped", fault.to_string()), self.now);
            }
            progress = Some(came);
            self.live.end_episode();
        }
        let decision = self.live.take_decision();
        self.history.extend(decision.events.iter().cloned());
        if progress.is_some() && !matches!(self.fault, Some(GuestFault::NonDeterminism(_))) {
            assert_eq!(self.check(&self.program), Ok(()), "what made a history repeats it: {:#?}", self.history);
        }
        Outcome { delivery, decision, logs: std::mem::take(&mut self.run.logs), progress }
    }
}
