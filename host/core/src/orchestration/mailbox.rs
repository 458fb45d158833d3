//! Messages from outside.

use jiff::Timestamp;

use super::{MAX_HISTORY_EVENTS, Orchestration};
use crate::decision::{Effect, Letter, Outgoing};
use crate::guid;
use crate::history::EventKind;
use crate::ledger::{Task, TaskState, Work};
use crate::message::{Delivery, Message};
use crate::model::{Failure, Outcome, Payload, RetryPolicy, Status, TaskId};
use crate::retry;

/// Bytes of a reason that goes along to sub-orchestrations, of which there may be many.
const MAX_PASSED_REASON: usize = 1_024;

fn shortened(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or(text)
}

impl Orchestration {
    /// Takes a message into the history, at this time (or later, never earlier than what is recorded already).
    pub fn deliver(&mut self, message: Message, now: Timestamp) -> Delivery {
        if self.ledger.ended.is_some() {
            return Delivery::Ended;
        }
        self.tick(now);
        match message {
            Message::ActivityEnded { task, attempt, outcome, heartbeat } => {
                self.activity_ended((task, attempt), outcome, heartbeat)
            }
            Message::ActivityPostponed { task, attempt, answer, next, due } => {
                self.activity_postponed((task, attempt), answer, (next, due))
            }
            Message::ChildEnded { task, attempt, outcome } => self.child_ended((task, attempt), outcome),
            Message::ParentRewound { awaited_by } => {
                self.record(EventKind::ParentRewound { awaited_by });
                Delivery::Recorded
            }
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
            Message::Terminate { reason, recursive } => {
                self.record(EventKind::ExecutionTerminated { reason: reason.clone() });
                if recursive {
                    self.terminate_children(reason.as_deref());
                }
                self.end(Status::Terminated, Ok(reason.map(Payload::from)));
                Delivery::Recorded
            }
        }
    }

    /// Tells the sub-orchestrations of this execution that may still run: those it waits for, those it has given up,
    /// those nobody waits for, those that a rewind set aside. What has ended does not mind.
    fn terminate_children(&mut self, reason: Option<&str>) {
        let called = self.ledger.tasks.iter().filter_map(|task| match (&task.work, &task.state) {
            (Work::Child { call, .. }, TaskState::Open { .. } | TaskState::Canceled) => Some(call.instance_id.clone()),
            (Work::Child { .. } | Work::Activity { .. } | Work::Timer { .. } | Work::Event { .. }, _) => None,
        });
        let children: Vec<_> = called.chain(self.ledger.started_children.iter().cloned()).collect();
        let parent_instance_id = self.started.instance_id.clone();
        let reason = reason.map(|reason| Payload::from(shortened(reason, MAX_PASSED_REASON)));
        for to in children {
            let letter = Letter::Terminate { parent_instance_id: parent_instance_id.clone(), reason: reason.clone() };
            self.decision.effects.push(Effect::Send(Outgoing { to, letter }));
        }
    }

    fn activity_ended(&mut self, attempt: (TaskId, u32), outcome: Outcome, heartbeat: Option<Payload>) -> Delivery {
        let Some(Task { work: Work::Activity { call, retry, made, first }, state: TaskState::Open { retry_at: None } }) =
            self.ledger.task(attempt.0)
        else {
            return Delivery::Stale;
        };
        if call.attempt != attempt.1 {
            return Delivery::Stale;
        }
        let counted = (attempt.1 + 1).saturating_sub(*first);
        let next = self.attempt_after(counted, &outcome, (retry.as_ref(), *made));
        self.call_ended(attempt, outcome, (next, heartbeat))
    }

    fn activity_postponed(
        &mut self,
        (task, attempt): (TaskId, u32),
        answer: Option<Payload>,
        (next, due): (Payload, Timestamp),
    ) -> Delivery {
        let Some(Task { work: Work::Activity { call, .. }, state: TaskState::Open { retry_at: None } }) =
            self.ledger.task(task)
        else {
            return Delivery::Stale;
        };
        if call.attempt != attempt {
            return Delivery::Stale;
        }
        if self.ledger.length >= MAX_HISTORY_EVENTS {
            let message = format!("it was told to ask again, and the history has {MAX_HISTORY_EVENTS} events already");
            self.record(EventKind::TaskFailed {
                task,
                failure: Failure::new("LimitExceeded", message).non_retriable(),
            });
            self.end_if_nothing_holds_it();
            return Delivery::Recorded;
        }
        self.record(EventKind::TaskPostponed { task, attempt, answer, next, due });
        self.decision.effects.push(Effect::SetTimer { task, due });
        Delivery::Recorded
    }

    fn child_ended(&mut self, attempt: (TaskId, u32), outcome: Outcome) -> Delivery {
        let Some(Task { work: Work::Child { call, retry, made }, state: TaskState::Open { retry_at: None } }) =
            self.ledger.task(attempt.0)
        else {
            return Delivery::Stale;
        };
        if call.attempt != attempt.1 {
            return Delivery::Stale;
        }
        let next = self.attempt_after(attempt.1, &outcome, (retry.as_ref(), *made));
        self.call_ended(attempt, outcome, (next, None))
    }

    /// When a call is tried again.
    fn attempt_after(
        &self,
        attempt: u32,
        outcome: &Outcome,
        (policy, made): (Option<&RetryPolicy>, Timestamp),
    ) -> Option<Timestamp> {
        let failure = outcome.as_ref().err()?;
        retry::next_attempt(policy, attempt, failure, (made, self.clock))
    }

    fn call_ended(
        &mut self,
        (task, attempt): (TaskId, u32),
        outcome: Outcome,
        (next, heartbeat): (Option<Timestamp>, Option<Payload>),
    ) -> Delivery {
        match (outcome, next) {
            (Ok(result), _) => self.record(EventKind::TaskCompleted { task, result }),
            (Err(failure), Some(retry_at)) => {
                self.record(EventKind::TaskAttemptFailed { task, attempt, failure, retry_at, heartbeat });
                self.decision.effects.push(Effect::SetTimer { task, due: retry_at });
            }
            (Err(failure), None) => self.record(EventKind::TaskFailed { task, failure }),
        }
        self.end_if_nothing_holds_it();
        Delivery::Recorded
    }

    fn timer_due(&mut self, task: TaskId, due: Timestamp) -> Delivery {
        if task == TaskId::SCHEDULED_START && self.ledger.scheduled == Some(due) {
            self.tick(due);
            self.record(EventKind::ScheduledTimeReached);
            self.run.now = self.clock;
            self.decision.effects.push(Effect::ClearTimer { task, due });
            return Delivery::Recorded;
        }
        let Some(Task { work, state: TaskState::Open { retry_at } }) = self.ledger.task(task) else {
            return Delivery::Stale;
        };
        let event = match (work, *retry_at) {
            (Work::Timer { fire_at }, _) if *fire_at == due => EventKind::TimerFired { task },
            (Work::Activity { call, .. }, Some(at)) if at == due => {
                EventKind::TaskRetried { task, attempt: call.attempt + 1, child: None }
            }
            (Work::Child { call, .. }, Some(at)) if at == due => {
                let attempt = call.attempt + 1;
                let child = if call.chosen_id {
                    call.instance_id.clone()
                } else {
                    guid::child_id(&self.execution_id(), format_args!("{task}_{attempt}")).into()
                };
                EventKind::TaskRetried { task, attempt, child: Some(child) }
            }
            (Work::Timer { .. } | Work::Event { .. } | Work::Activity { .. } | Work::Child { .. }, _) => {
                return Delivery::Stale;
            }
        };
        let starts_attempt = matches!(event, EventKind::TaskRetried { .. });
        // The standard library's sleeps loop until the clock says that the time is over.
        self.tick(due);
        self.record(event);
        self.decision.effects.push(Effect::ClearTimer { task, due });
        if starts_attempt {
            let effect = self.effect_of(task);
            self.decision.effects.extend(effect);
        }
        Delivery::Recorded
    }
}
