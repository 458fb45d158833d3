//! What of a history counts. A rewind appends an event and removes nothing; what it sets aside follows from its fields.

use std::collections::BTreeSet;

use crate::history::{EventKind, HistoryEvent};
use crate::model::TaskId;

/// The events that count, with their positions in the history.
pub(crate) fn of(history: &[HistoryEvent]) -> Vec<(usize, &HistoryEvent)> {
    let mut kept: Vec<(usize, &HistoryEvent)> = Vec::with_capacity(history.len());
    for (position, event) in history.iter().enumerate() {
        if let EventKind::ExecutionRewound { cut, again, .. } = &event.kind {
            let cut = usize::try_from(*cut).unwrap_or(usize::MAX);
            let again: BTreeSet<TaskId> = again.iter().copied().collect();
            let made = kept.iter().filter(|(at, _)| *at < cut).filter_map(|(_, event)| made_by(&event.kind)).max();
            kept.retain(|(at, event)| if *at < cut { fits(&event.kind, &again) } else { outlives(&event.kind, made) });
        }
        kept.push((position, event));
    }
    kept
}

/// Positions of the events that rewinds have set aside, in order.
#[must_use]
pub fn set_aside(history: &[HistoryEvent]) -> BTreeSet<usize> {
    let mut aside: BTreeSet<usize> = (0..history.len()).collect();
    for (position, _) in of(history) {
        aside.remove(&position);
    }
    aside
}

/// The task that this event made.
pub(crate) fn made_by(kind: &EventKind) -> Option<TaskId> {
    match kind {
        EventKind::TaskScheduled { task, .. }
        | EventKind::SubOrchestrationCreated { task, .. }
        | EventKind::TimerCreated { task, .. }
        | EventKind::EventAwaited { task, .. } => Some(*task),
        EventKind::ExecutionStarted(_)
        | EventKind::TaskAttemptFailed { .. }
        | EventKind::TaskPostponed { .. }
        | EventKind::TaskRetried { .. }
        | EventKind::TaskCompleted { .. }
        | EventKind::TaskFailed { .. }
        | EventKind::SubOrchestrationStarted { .. }
        | EventKind::EventSent { .. }
        | EventKind::TimerFired { .. }
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
        | EventKind::ExecutionCompleted { .. } => None,
    }
}

/// Before the cut only the failures of calls that run again go.
fn fits(kind: &EventKind, again: &BTreeSet<TaskId>) -> bool {
    !matches!(kind, EventKind::TaskFailed { task, .. } if again.contains(task))
}

/// After the cut only what came from outside stays, as far as it is for something that was made before.
fn outlives(kind: &EventKind, made: Option<TaskId>) -> bool {
    match kind {
        EventKind::TaskAttemptFailed { task, .. }
        | EventKind::TaskPostponed { task, .. }
        | EventKind::TaskRetried { task, .. }
        | EventKind::TaskCompleted { task, .. }
        | EventKind::TimerFired { task } => Some(*task) <= made,
        EventKind::EventRaised { .. }
        | EventKind::ExecutionSuspended { .. }
        | EventKind::ExecutionResumed { .. }
        | EventKind::ScheduledTimeReached
        | EventKind::ExecutionRewound { .. }
        | EventKind::ParentRewound { .. }
        | EventKind::ExecutionMoved { .. } => true,
        EventKind::ExecutionStarted(_)
        | EventKind::TaskScheduled { .. }
        | EventKind::SubOrchestrationCreated { .. }
        | EventKind::SubOrchestrationStarted { .. }
        | EventKind::EventSent { .. }
        | EventKind::TaskFailed { .. }
        | EventKind::TimerCreated { .. }
        | EventKind::EventAwaited { .. }
        | EventKind::TaskCanceled { .. }
        | EventKind::ExecutionTerminated { .. }
        | EventKind::OrchestratorReturned { .. }
        | EventKind::FailureDelivered { .. }
        | EventKind::EpisodeCompleted { .. }
        | EventKind::ExecutionCompleted { .. } => false,
    }
}
