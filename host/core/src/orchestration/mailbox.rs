//! Messages from outside.

use jiff::Timestamp;

use super::{MAX_HISTORY_EVENTS, Orchestration};
use crate::decision::Effect;
use crate::history::EventKind;
use crate::ledger::{Task, TaskState, Work};
use crate::message::{Delivery, Message};
use crate::model::{Outcome, Payload, Status, TaskId};
use crate::retry;

impl Orchestration {
    /// Takes a message into the history, at this time (or later, never earlier than what is recorded already).
    pub fn deliver(&mut self, message: Message, now: Timestamp) -> Delivery {
        if self.ledger.ended.is_some() {
            return Delivery::Ended;
        }
        self.tick(now);
        match message {
            Message::ActivityEnded { task, attempt, outcome } => self.activity_ended(task, attempt, outcome),
            Message::TimerDue { task, due } => self.timer_due(task, due),
            Message::EventRaised { name, input } => {
                if self.ledger.length >= MAX_HISTORY_EVENTS {
                    return Delivery::Full;
                }
                self.record(EventKind::EventRaised { name, input });
                Delivery::Recorded
            }
            Message::Suspend { reason } => {
                if self.ledger.suspended.is_some() {
                    return Delivery::Stale;
                }
                self.record(EventKind::ExecutionSuspended { reason });
                Delivery::Recorded
            }
            Message::Resume { reason } => {
                if self.ledger.suspended.is_none() {
                    return Delivery::Stale;
                }
                self.record(EventKind::ExecutionResumed { reason });
                Delivery::Recorded
            }
            Message::Terminate { reason } => {
                self.record(EventKind::ExecutionTerminated { reason: reason.clone() });
                self.end(Status::Terminated, Ok(reason.map(Payload::from)));
                Delivery::Recorded
            }
        }
    }

    fn activity_ended(&mut self, task: TaskId, attempt: u32, outcome: Outcome) -> Delivery {
        let Some(Task { work: Work::Activity { call, retry, made }, state: TaskState::Open { retry_at: None } }) =
            self.ledger.task(task)
        else {
            return Delivery::Stale;
        };
        if call.attempt != attempt {
            return Delivery::Stale;
        }
        match outcome {
            Ok(result) => self.record(EventKind::TaskCompleted { task, result }),
            Err(failure) => {
                let next = retry::next_attempt(retry.as_ref(), attempt, &failure, (*made, self.clock));
                match next {
                    Some(retry_at) => {
                        self.record(EventKind::TaskAttemptFailed { task, attempt, failure, retry_at });
                        self.decision.effects.push(Effect::SetTimer { task, due: retry_at });
                    }
                    None => self.record(EventKind::TaskFailed { task, failure }),
                }
            }
        }
        self.end_if_nothing_holds_it();
        Delivery::Recorded
    }

    fn timer_due(&mut self, task: TaskId, due: Timestamp) -> Delivery {
        match self.ledger.task(task) {
            Some(Task { work: Work::Timer { fire_at }, state: TaskState::Open { .. } }) if *fire_at == due => {
                // The standard library's sleeps loop until the clock says that the time is over.
                self.tick(due);
                self.record(EventKind::TimerFired { task });
                self.decision.effects.push(Effect::ClearTimer { task, due });
                Delivery::Recorded
            }
            Some(Task { work: Work::Activity { call, .. }, state: TaskState::Open { retry_at: Some(at) } })
                if *at == due =>
            {
                let mut call = call.clone();
                call.attempt += 1;
                self.tick(due);
                self.record(EventKind::TaskRetried { task, attempt: call.attempt });
                self.decision.effects.push(Effect::ClearTimer { task, due });
                self.decision.effects.push(Effect::RunActivity(call));
                Delivery::Recorded
            }
            Some(_) | None => Delivery::Stale,
        }
    }
}
