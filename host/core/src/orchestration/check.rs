//! Whether code repeats what a history says that other code did, and executions that go on with other code.

use jiff::Timestamp;

use super::{BrokenHistory, Orchestration, Phase, RecordEnd};
use crate::command::Say;
use crate::error::{GuestFault, NonDeterminism};
use crate::history::{Ending, EventKind, HistoryEvent};
use crate::model::{Cause, Failure, Outcome, Status};

/// Where code does something else than a history says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at history event {position} the code should {expected}, but it would {found}")]
pub struct Divergence {
    /// Index into the history of the event that the code should have made (the history's length: after its end).
    pub position: usize,
    /// What the history has there.
    pub expected: String,
    /// What the code does.
    pub found: String,
    /// The failure by which the code ended there: it trapped, met a limit, broke a rule, or failed in words of its own.
    /// None: it went on, but otherwise.
    pub failure: Option<Box<Failure>>,
}

impl From<NonDeterminism> for Divergence {
    fn from(NonDeterminism { position, expected, found }: NonDeterminism) -> Self {
        Self { position, expected, found, failure: None }
    }
}

/// How far the code of a check has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Stopped {
    /// It waits.
    Waiting,
    /// It returned or failed, or was stopped for a trap or a limit, which is a failure as well.
    Returned(Outcome),
    /// It was refused this.
    Refused(GuestFault),
}

impl Orchestration {
    /// An execution as its history tells it, for code that is to be checked: it runs from its beginning to the end of the
    /// record and no further; then [`Orchestration::verdict`] says what became of it. What it decides is of no use.
    ///
    /// The record ends where the code waits; with its return; or, when the host stopped it, after its last command.
    ///
    /// # Errors
    /// When the history does not begin with `ExecutionStarted`.
    pub fn check(history: &[HistoryEvent]) -> Result<Self, BrokenHistory> {
        let (mut checked, record) = Self::load(history)?;
        let ledger = &checked.ledger;
        let stopped = ledger.ended.as_ref().is_some_and(|ended| ended.status == Status::Failed);
        let end = match (&ledger.returned, ledger.waits_served) {
            (Some(_), _) => Some(RecordEnd::Return),
            (None, _) if stopped => Some(RecordEnd::Somewhere),
            (None, Some(_)) => Some(RecordEnd::Wait),
            // No code has run yet: any may.
            (None, None) => None,
        };
        let waits = ledger.waits_served.unwrap_or(0);
        checked.run.phase = end.map_or(Phase::Checked, |end| Phase::Replaying { record, waits, end });
        Ok(checked)
    }

    /// True: the code has done all that is recorded. Further commands are neither compared nor kept, and it is served no
    /// further wait.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        match self.run.phase {
            Phase::Checked => true,
            Phase::Replaying { .. } | Phase::Live => false,
        }
    }

    /// What a check came to, now that its code has stopped.
    ///
    /// # Errors
    /// Where the code does something else than the history says.
    pub fn verdict(&mut self, stopped: Stopped) -> Result<(), Divergence> {
        if self.is_checked() {
            return Ok(());
        }
        let (found, failure) = match stopped {
            Stopped::Returned(outcome) => {
                let failure = outcome.as_ref().err().cloned().map(Box::new);
                match self.returned(outcome, self.clock) {
                    Ok(()) if self.is_checked() => return Ok(()),
                    Ok(()) => ("return".to_owned(), failure),
                    Err(GuestFault::NonDeterminism(fault)) => return Err(Divergence { failure, ..fault.into() }),
                    Err(fault) => (fault.to_string(), failure),
                }
            }
            Stopped::Refused(GuestFault::NonDeterminism(fault)) => return Err(fault.into()),
            // Where the host stopped the code it is stopped again.
            Stopped::Refused(_) if self.is_past_the_record() => return Ok(()),
            Stopped::Refused(fault) => {
                let failure = Failure::new("Refused", fault.to_string()).non_retriable();
                (format!("do what no orchestrator may: {fault}"), Some(Box::new(failure)))
            }
            Stopped::Waiting => ("wait".to_owned(), None),
        };
        let (position, expected) = self.next_recorded();
        Err(Divergence { position, expected, found, failure })
    }

    fn is_past_the_record(&self) -> bool {
        match &self.run.phase {
            Phase::Replaying { record, waits, end: RecordEnd::Somewhere } => {
                record.commands.is_empty() && self.run.waits_served >= *waits
            }
            Phase::Replaying { .. } | Phase::Live => false,
            Phase::Checked => true,
        }
    }

    fn next_recorded(&self) -> (usize, String) {
        match &self.run.phase {
            Phase::Replaying { record, .. } => match record.commands.front() {
                Some((position, recorded)) => (*position, Say(recorded).to_string()),
                None => (self.ledger.length, "wait".to_owned()),
            },
            Phase::Live | Phase::Checked => (self.ledger.length, "wait".to_owned()),
        }
    }

    /// The same execution with other code, which is before its first instruction. What was decided and not yet taken is
    /// kept. `history`: what is saved.
    ///
    /// # Errors
    /// When the history is not that of this execution.
    pub fn moved(
        &self,
        history: &[HistoryEvent],
        (from, to): (&str, &str),
        now: Timestamp,
    ) -> Result<Self, BrokenHistory> {
        let whole = [history, &self.decision.events].concat();
        let mut moved = Self::replay(&whole)?;
        moved.clock = moved.clock.max(self.clock);
        moved.decision = self.decision.clone();
        moved.note_move((from, to), now);
        Ok(moved)
    }

    /// Records that the execution goes on with other code. Its guest must be before its first instruction.
    pub fn note_move(&mut self, (from, to): (&str, &str), now: Timestamp) {
        self.tick(now);
        self.record(EventKind::ExecutionMoved { from: from.to_owned(), to: to.to_owned() });
    }
}

/// Whether a command is the recorded one. Stack traces do not count: they change with the code and decide nothing. Fuel
/// is compared by itself.
pub(super) fn is_same(recorded: &EventKind, made: &EventKind) -> bool {
    let (
        EventKind::OrchestratorReturned { ending: recorded, .. },
        EventKind::OrchestratorReturned { ending: made, .. },
    ) = (recorded, made)
    else {
        return recorded == made;
    };
    if let (Ending::Returned(Err(recorded)), Ending::Returned(Err(made))) = (recorded, made) {
        return without_traces(recorded) == without_traces(made);
    }
    recorded == made
}

fn without_traces(failure: &Failure) -> Failure {
    let cause = |cause: &Cause| Cause { stack_trace: None, ..cause.clone() };
    Failure { stack_trace: None, causes: failure.causes.iter().map(cause).collect(), ..failure.clone() }
}
