//! Going on with a failed execution from before its failure (architecture: a rewind appends and never punches holes).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{BrokenHistory, Orchestration};
use crate::history::{EventKind, HistoryEvent};
use crate::ledger::{TaskState, Work};
use crate::model::{AwaitedBy, Failure, Outcome, Status, TaskId};
use crate::timeline;

/// What a rewind is asked with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rewind {
    /// Why.
    pub reason: Option<String>,
    /// The parent's call that waits now, when the parent was rewound.
    pub awaited_by: Option<AwaitedBy>,
}

/// Why an execution was not rewound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewindError {
    /// No execution can have this history.
    #[error(transparent)]
    Broken(#[from] BrokenHistory),
    /// Only what failed can be rewound.
    #[error("only a failed orchestration can be rewound")]
    NotFailed,
}

type Timeline<'a> = Vec<(usize, &'a HistoryEvent)>;

/// Where a rewind goes back to.
struct Cut {
    position: usize,
    waits_served: Option<u32>,
}

impl Orchestration {
    /// The execution as a rewind makes it: the event that says so is ready to be saved, the failed calls are to run again.
    ///
    /// The cut is where the code was handed the failure that made it fail. When it failed for a reason of its own, it
    /// is the place where it last waited.
    ///
    /// # Errors
    /// When the execution has not failed.
    pub fn rewind(history: &[HistoryEvent], rewind: Rewind, now: Timestamp) -> Result<Self, RewindError> {
        let whole = Self::rewound(history, rewind, now)?;
        let mut rewound = Self::replay(&whole)?;
        rewound.decision.events.extend(whole.last().cloned());
        rewound.decision.effects = rewound.open_effects(true);
        Ok(rewound)
    }

    /// The history as a rewind leaves it: with the event that says so at its end.
    ///
    /// # Errors
    /// When the execution has not failed.
    pub fn rewound(history: &[HistoryEvent], rewind: Rewind, now: Timestamp) -> Result<Vec<HistoryEvent>, RewindError> {
        let failed = Self::replay(history)?;
        let Some(failure) = failed.failure() else { return Err(RewindError::NotFailed) };
        let events = timeline::of(history);
        let cut = failed.cut(&events, failure);
        let again = failed.failed_at(&events, cut.position);
        let kind = EventKind::ExecutionRewound {
            reason: rewind.reason,
            cut: u32::try_from(cut.position).unwrap_or(u32::MAX),
            waits_served: cut.waits_served,
            again,
            awaited_by: rewind.awaited_by,
        };
        let event = HistoryEvent { at: failed.clock.max(now), kind };
        let mut whole = history.to_vec();
        whole.push(event);
        Ok(whole)
    }

    /// The call whose failure is this one word for word: its function and whether that is an activity (or else an
    /// orchestrator). What the code passes on unchanged is shown with the name of the function that failed.
    #[must_use]
    pub fn failed_call(&self, failure: &Failure) -> Option<(&str, bool)> {
        self.ledger.tasks.iter().rev().find_map(|task| {
            let TaskState::Done { outcome: Err(of_task), .. } = &task.state else { return None };
            if (&of_task.error_type, &of_task.message) != (&failure.error_type, &failure.message) {
                return None;
            }
            match &task.work {
                Work::Activity { call, .. } => Some((call.name.as_str(), true)),
                Work::Child { call, .. } => Some((call.name.as_str(), false)),
                Work::Timer { .. } | Work::Event { .. } => None,
            }
        })
    }

    fn failure(&self) -> Option<&Failure> {
        let ended = self.ledger.ended.as_ref()?;
        ended.outcome.as_ref().err().filter(|_| ended.status == Status::Failed)
    }

    fn cut(&self, events: &Timeline<'_>, failure: &Failure) -> Cut {
        let delivered = events.iter().rev().find_map(|(position, event)| {
            let EventKind::FailureDelivered { tasks, waits_served } = &event.kind else { return None };
            let is_cause = tasks.iter().filter_map(|task| self.failure_of(*task)).any(|f| is_due_to(failure, f));
            is_cause.then_some(Cut { position: *position, waits_served: Some(*waits_served) })
        });
        delivered.unwrap_or_else(|| last_wait(events))
    }

    /// Failed calls that were made before the cut and whose failure the code had not seen by then.
    fn failed_at(&self, events: &Timeline<'_>, cut: usize) -> Vec<TaskId> {
        let before = || events.iter().filter(|(position, _)| *position < cut).map(|(_, event)| &event.kind);
        let mut seen = BTreeSet::new();
        for kind in before() {
            if let EventKind::FailureDelivered { tasks, .. } = kind {
                seen.extend(tasks.iter().copied());
            }
        }
        let made = before().filter_map(timeline::made_by);
        made.filter(|task| !seen.contains(task) && self.failure_of(*task).is_some()).collect()
    }

    fn failure_of(&self, task: TaskId) -> Option<&Failure> {
        match self.ledger.task(task).map(|entry| &entry.state) {
            Some(TaskState::Done { outcome: Outcome::Err(failure), .. }) => Some(failure),
            Some(TaskState::Done { .. } | TaskState::Open { .. } | TaskState::Canceled) | None => None,
        }
    }
}

/// The place where the code last waited before it ended.
fn last_wait(events: &Timeline<'_>) -> Cut {
    let ran = events.iter().take_while(|(_, event)| {
        !matches!(event.kind, EventKind::OrchestratorReturned { .. } | EventKind::ExecutionCompleted { .. })
    });
    let waits = ran.filter_map(|(position, event)| {
        // A rewound execution waits where the rewind put it, and its next episode need not say so again.
        if let EventKind::EpisodeCompleted { waits_served, .. } = event.kind {
            return Some(Cut { position: position + 1, waits_served: Some(waits_served) });
        }
        let EventKind::ExecutionRewound { waits_served, .. } = event.kind else { return None };
        Some(Cut { position: position + 1, waits_served })
    });
    waits.last().unwrap_or(Cut { position: 1, waits_served: None })
}

/// Whether somebody failed because of this: the same failure, one of its causes, or words that quote it.
fn is_due_to(failure: &Failure, cause: &Failure) -> bool {
    let same = |error_type: &str, message: &str| error_type == cause.error_type && message == cause.message;
    same(&failure.error_type, &failure.message)
        || failure.causes.iter().any(|inner| same(&inner.error_type, &inner.message))
        || (!cause.message.is_empty() && failure.message.contains(&cause.message))
}
