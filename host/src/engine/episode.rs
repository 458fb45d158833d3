//! One step of an instance: take messages, let the guest run, save, act.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use durawasm_core::decision::Decision;
use durawasm_core::{
    Delivery, Effect, EventKind, ExecutionStarted, Failure, GuestFault, Message, Orchestration, Payload, State, Status,
    TaskId,
};
use tokio::sync::oneshot;

use super::Inner;
use super::actor::{Actor, Envelope, InFlight};
use super::client::SendError;
use super::executor::{OrchestratorRun, RunEnd};
use super::session::Session;
use super::waiters::End;
use crate::store::{
    BoxFuture, Commit, CommitError, Committed, Expect, FunctionKind, InstanceNumber, InstanceRecord, PayloadChanges,
    StoreError,
};

/// An instance in memory.
pub(super) struct Live {
    /// As it is in the store.
    pub(super) record: InstanceRecord,
    pub(super) session: Arc<Session>,
    /// None: the guest has not been needed yet.
    pub(super) guest: Option<BoxFuture<'static, RunEnd>>,
}

/// What a step came to.
pub(super) enum Step {
    /// The instance waits.
    Parked(Box<Live>),
    /// Nothing of it needs to stay in memory.
    Over,
    /// It could not be done; try again after a rest.
    Failed,
}

type Ack = (oneshot::Sender<Result<(), SendError>>, Result<(), SendError>);

/// What a batch of envelopes did.
#[derive(Default)]
struct Taken {
    acks: Vec<Ack>,
    outcomes: Vec<(TaskId, u32)>,
    run: bool,
}

impl Inner {
    pub(super) async fn step(
        self: &Arc<Self>,
        actor: &Arc<Actor>,
        live: Option<Box<Live>>,
        batch: Vec<Envelope>,
    ) -> Step {
        let mut live = match live {
            Some(live) => live,
            None => match self.load(actor).await {
                Ok(Some(live)) => live,
                Ok(None) => return refuse(batch, &SendError::Unknown, Step::Over),
                Err(error) => {
                    tracing::error!(number = actor.number.0, %error, "an instance cannot be loaded");
                    // Their outcomes are lost with the batch: they run again.
                    for (task, attempt) in batch.iter().filter_map(outcome_of) {
                        actor.consumed(task, attempt);
                    }
                    return refuse(batch, &SendError::Store(error), Step::Failed);
                }
            },
        };
        let mut taken = self.take(&mut live, batch);
        let mut decision = live.session.with(Orchestration::take_decision);
        let host_fault = taken.run && self.run(&mut live).await;
        if !host_fault {
            // What a guest did that the host could not carry on is not decided: it does it again.
            decision = decision.then(live.session.with(Orchestration::take_decision));
        }
        match self.save(actor, &mut live, (decision, host_fault)).await {
            Ok(()) => {}
            Err(error) => {
                let error = match error {
                    CommitError::Store(error) => SendError::Store(error),
                    CommitError::Conflict | CommitError::Exists(_) => SendError::Store(StoreError::Unavailable(
                        "the instance was changed by somebody else meanwhile; try again".to_owned(),
                    )),
                };
                taken.acks.into_iter().for_each(|(ack, _)| drop(ack.send(Err(error.clone()))));
                for (task, attempt) in taken.outcomes {
                    actor.consumed(task, attempt);
                }
                return Step::Failed;
            }
        }
        for (task, attempt) in taken.outcomes.drain(..) {
            actor.consumed(task, attempt);
        }
        taken.acks.into_iter().for_each(|(ack, answer)| drop(ack.send(answer)));
        if live.record.status.is_terminal() {
            actor.forget_activities();
            return Step::Over;
        }
        if host_fault { Step::Failed } else { Step::Parked(live) }
    }

    /// Loads an instance and begins what must be under way for it but is not.
    async fn load(self: &Arc<Self>, actor: &Arc<Actor>) -> Result<Option<Box<Live>>, StoreError> {
        let Some((record, history)) = self.store.history(actor.number).await? else { return Ok(None) };
        let orchestration = Orchestration::replay(&history)
            .map_err(|error| StoreError::Corrupt(format!("instance {}: {error}", record.id)))?;
        let activities = orchestration.effects_in_flight().into_iter().filter(|effect| match effect {
            Effect::RunActivity(call) => !actor.is_in_flight(call.task, call.attempt),
            // Timers have rows of their own.
            Effect::SetTimer { .. } | Effect::ClearTimer { .. } | Effect::CancelActivity { .. } => false,
        });
        if !record.status.is_terminal() {
            self.act(actor, &record, activities.collect());
        }
        Ok(Some(Box::new(Live { record, session: Arc::new(Session::new(orchestration)), guest: None })))
    }

    fn take(&self, live: &mut Live, batch: Vec<Envelope>) -> Taken {
        let now = self.now();
        let mut taken = Taken::default();
        live.session.with(|orchestration| orchestration.begin_episode(now));
        for envelope in batch {
            let Some(message) = envelope.message else {
                taken.run = true;
                continue;
            };
            if envelope.execution.is_some_and(|execution| execution != live.record.execution_id) {
                continue;
            }
            if let Message::ActivityEnded { task, attempt, .. } = &message {
                taken.outcomes.push((*task, *attempt));
            }
            let delivery = live.session.with(|orchestration| orchestration.deliver(message, now));
            taken.run |= delivery == Delivery::Recorded;
            if let Some(ack) = envelope.ack {
                let answer = match delivery {
                    Delivery::Recorded | Delivery::Stale => Ok(()),
                    Delivery::Full => Err(SendError::Full),
                    Delivery::Ended => Err(SendError::Ended),
                };
                taken.acks.push((ack, answer));
            }
        }
        taken
    }

    /// Lets the guest run as far as it can. True: the host could not.
    pub(super) async fn run(&self, live: &mut Live) -> bool {
        if !live.session.with(|orchestration| orchestration.can_run()) {
            return false;
        }
        let session = Arc::clone(&live.session);
        let guest = live.guest.get_or_insert_with(|| self.guest(&live.record, &session));
        let end = poll_fn(|context| match guest.as_mut().poll(context) {
            Poll::Ready(end) => Poll::Ready(Some(end)),
            Poll::Pending if session.is_blocked() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await;
        let host_fault = end.is_some_and(|end| self.ended(live, end));
        if !host_fault {
            live.session.with(Orchestration::end_episode);
        }
        host_fault
    }

    pub(super) fn guest(&self, record: &InstanceRecord, session: &Arc<Session>) -> BoxFuture<'static, RunEnd> {
        let input = session.with(|orchestration| orchestration.started().input.clone());
        self.executor.orchestrate(OrchestratorRun {
            digest: record.digest,
            name: record.name.clone(),
            input,
            session: Arc::clone(session),
        })
    }

    /// The guest is gone. True: by a fault of the host.
    fn ended(&self, live: &mut Live, end: RunEnd) -> bool {
        live.guest = None;
        let now = self.now();
        let fault = match end {
            RunEnd::Returned(outcome) => live.session.with(|orchestration| orchestration.returned(outcome, now)).err(),
            RunEnd::Faulted => live.session.fault(),
            RunEnd::Host(fault) => {
                tracing::warn!(instance = %live.record.id, %fault, "orchestrator postponed");
                return true;
            }
        };
        if let Some(fault) = fault {
            tracing::warn!(instance = %live.record.id, %fault, "orchestrator stopped");
            live.session.with(|orchestration| orchestration.fail(failure_of(&fault), now));
        }
        false
    }

    /// Saves what was decided, then acts on it.
    async fn save(
        self: &Arc<Self>,
        actor: &Arc<Actor>,
        live: &mut Live,
        (decision, host_fault): (Decision, bool),
    ) -> Result<(), CommitError> {
        if decision == Decision::default() && !host_fault {
            return Ok(());
        }
        let expect = Expect::Revision(live.record.revision);
        let (commit, effects) = self.commit_of(live, decision, expect);
        let commit =
            Commit { record: InstanceRecord { ready: commit.record.ready || host_fault, ..commit.record }, ..commit };
        let fresh = commit.fresh_history;
        let (record, end) = (commit.record.clone(), End::of(&commit));
        let Committed { number, revision } = self.store.commit(commit).await?;
        live.record = InstanceRecord { number, revision, ..record };
        if fresh {
            actor.forget_activities();
            self.wake(number);
        }
        self.act(actor, &live.record, effects);
        if live.record.status.is_terminal() {
            self.waiters.ended(number, end);
        }
        Ok(())
    }

    /// The commit for a decision, and what to do once it is durable. A fresh execution takes the place of one that
    /// continues as new.
    pub(super) fn commit_of(&self, live: &mut Live, decision: Decision, expect: Expect) -> (Commit, Vec<Effect>) {
        let mut record = InstanceRecord { updated: self.now(), ..live.record.clone() };
        let mut payloads = PayloadChanges { custom_status: decision.custom_status.clone(), ..Default::default() };
        let state = live.session.with(|orchestration| orchestration.state());
        let mut events = decision.events;
        let mut effects = decision.effects;
        let fresh_history = matches!(state, State::ContinuedAsNew { .. });
        if let State::ContinuedAsNew { input, events: unread } = &state {
            payloads.input = Some(input.clone());
            self.renew(&mut record, live, input.clone(), unread);
            events = live.session.with(Orchestration::take_decision).events;
            effects.retain(|effect| matches!(effect, Effect::ClearTimer { .. }));
        }
        if events.iter().any(|event| changes_output(&event.kind)) {
            payloads.output = Some(output_of(&state, &record.name));
        }
        record.status = live.session.with(|orchestration| status_of(orchestration, record.generation));
        record.ready = live.session.with(|orchestration| orchestration.has_work_in_flight());
        let (timers_set, timers_cleared) = timers_of(&effects);
        let commit = Commit { expect, record, payloads, fresh_history, events, timers_set, timers_cleared };
        (commit, effects)
    }

    /// Replaces the ended execution by a fresh one, on the app's current version.
    fn renew(
        &self,
        record: &mut InstanceRecord,
        live: &mut Live,
        input: Option<Payload>,
        unread: &[(String, Option<Payload>)],
    ) {
        let now = self.now();
        record.generation += 1;
        record.execution_id = uuid::Uuid::now_v7().simple().to_string();
        if let Some(found) = self.apps.find(&record.hub, FunctionKind::Orchestrator, &record.name) {
            record.digest = found.digest;
            record.app = found.app;
        }
        let before = live.session.started();
        let started = ExecutionStarted { input, execution_id: record.execution_id.clone(), ..before };
        let mut orchestration = Orchestration::start(started, now);
        for (name, input) in unread {
            orchestration.deliver(Message::EventRaised { name: name.clone(), input: input.clone() }, now);
        }
        live.session = Arc::new(Session::new(orchestration));
        live.guest = None;
    }

    /// Does what a durable decision asks for.
    pub(super) fn act(self: &Arc<Self>, actor: &Arc<Actor>, record: &InstanceRecord, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::RunActivity(call) => {
                    let (task, attempt) = (call.task, call.attempt);
                    let handle = self.run_activity(record, call);
                    actor.started(task, InFlight { attempt, handle });
                }
                Effect::SetTimer { task, due } => self.timers.set(record.number, task, (due, self.now())),
                Effect::ClearTimer { task, due } => self.timers.clear(record.number, task, due),
                Effect::CancelActivity { task } => actor.cancel(task),
            }
        }
    }
}

fn outcome_of(envelope: &Envelope) -> Option<(TaskId, u32)> {
    match &envelope.message {
        Some(Message::ActivityEnded { task, attempt, .. }) => Some((*task, *attempt)),
        Some(_) | None => None,
    }
}

fn refuse(batch: Vec<Envelope>, error: &SendError, step: Step) -> Step {
    let mut waiting = batch.into_iter().filter_map(|envelope| envelope.ack);
    waiting.by_ref().for_each(|ack| drop(ack.send(Err(error.clone()))));
    step
}

fn failure_of(fault: &GuestFault) -> Failure {
    let error_type = match fault {
        GuestFault::NonDeterminism(_) => "NonDeterminism",
        GuestFault::UnknownTask { .. } => "UnknownTask",
        GuestFault::EmptyWait => "EmptyWait",
        GuestFault::NotDelivered { .. } => "NotDelivered",
        GuestFault::Limit { .. } => "LimitExceeded",
    };
    Failure::new(error_type, fault.to_string()).non_retriable()
}

fn status_of(orchestration: &Orchestration, generation: u32) -> Status {
    match orchestration.state() {
        State::Ended { status, .. } => status,
        State::Suspended { .. } => Status::Suspended,
        State::ContinuedAsNew { .. } => Status::Running,
        State::Running if orchestration.has_begun() || generation > 0 => Status::Running,
        State::Running => Status::Pending,
    }
}

fn changes_output(event: &EventKind) -> bool {
    matches!(
        event,
        EventKind::ExecutionSuspended { .. }
            | EventKind::ExecutionResumed { .. }
            | EventKind::ExecutionCompleted { .. }
    )
}

/// What the status shows as output (http-api.md 4): the result, the error's text, the reason.
fn output_of(state: &State, name: &str) -> Option<Payload> {
    let text = |text: &str| Some(Payload::from(serde_json::Value::from(text).to_string()));
    match state {
        State::Running | State::ContinuedAsNew { .. } => None,
        State::Suspended { reason } => reason.as_deref().and_then(text),
        State::Ended { outcome: Err(failure), .. } => {
            text(&format!("Orchestrator function '{name}' failed: {}", failure.message))
        }
        State::Ended { status: Status::Terminated, outcome: Ok(reason) } => reason.as_deref().and_then(text),
        State::Ended { outcome: Ok(result), .. } => result.clone(),
    }
}

type TimerRows = Vec<(TaskId, durawasm_core::Timestamp)>;

fn timers_of(effects: &[Effect]) -> (TimerRows, TimerRows) {
    let (mut set, mut cleared) = (Vec::new(), Vec::new());
    for effect in effects {
        match effect {
            Effect::SetTimer { task, due } => set.push((*task, *due)),
            Effect::ClearTimer { task, due } => cleared.push((*task, *due)),
            Effect::RunActivity(_) | Effect::CancelActivity { .. } => {}
        }
    }
    // Set and given up within one step: it never exists.
    set.retain(|timer| !cleared.contains(timer));
    (set, cleared)
}

/// What the number of an instance is before the store has given it one.
pub(super) const UNNUMBERED: InstanceNumber = InstanceNumber(0);
