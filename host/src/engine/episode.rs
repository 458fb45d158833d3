//! One step of an instance: take messages, let the guest run, save, act.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use durawasm_core::decision::Decision;
use durawasm_core::model::Outcome;
use durawasm_core::{
    AwaitedBy, Delivery, Effect, Failure, GuestFault, HistoryEvent, Message, Orchestration, Rewind, State, Status,
    TaskId,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Inner;
use super::activities::Begun;
use super::actor::{Actor, Content, Envelope};
use super::ahead::Ahead;
use super::client::SendError;
use super::commit::numbered;
use super::executor::{GuestRole, OrchestratorRun, RunEnd};
use super::logs::{LogLimits, LogLine, Ring};
use super::moves::Change;
use super::session::Session;
use super::share::Share;
use super::spans::{self, Context};
use super::waiters::{End, Waiter};
use crate::fair::Permit;
use crate::store::{
    BoxFuture, Commit, CommitError, Committed, Digest, Expect, InstanceNumber, InstanceRecord, MailId, Revision,
    StoreError, Usage,
};

/// An instance in memory.
pub(super) struct Live {
    /// As it is in the store.
    pub(super) record: InstanceRecord,
    pub(super) session: Arc<Session>,
    /// None: the guest has not been needed yet.
    pub(super) guest: Option<BoxFuture<'static, RunEnd>>,
    /// Of an instance that was loaded and has failed: it may be rewound.
    pub(super) failed_history: Option<Vec<HistoryEvent>>,
    /// Who waits for the end of an instance that is about to be started.
    pub(super) waiter: Option<Arc<Waiter>>,
    /// The episode that runs or has run since the last commit, if somebody wants to know.
    pub(super) ran: Option<spans::Ran>,
    /// What its episodes have used that no commit has charged.
    pub(super) used: Usage,
    /// Of a guest in the middle of an episode.
    pub(super) place: Option<Permit>,
    /// The guest's part of what the hub has.
    pub(super) share: Arc<Share>,
    /// What it and the activities that ran ahead have logged since the last commit.
    pub(super) logged: Ring,
}

impl Live {
    /// Takes what the guest has logged until now, so that what is logged next comes after it.
    pub(super) fn keep_log(&mut self) {
        self.keep_lines(self.session.take_log());
    }

    pub(super) fn keep_lines(&mut self, lines: impl IntoIterator<Item = LogLine>) {
        self.logged.extend(lines, &LogLimits::default());
    }
}

/// What a step came to.
pub(super) enum Step {
    /// The instance waits.
    Parked(Box<Live>),
    /// Nothing of it needs to stay in memory.
    Over,
    /// It could not be done, or not to its end; try again after a rest.
    Failed {
        /// True: what was taken from the mailbox was saved all the same.
        saved: bool,
        /// Messages between instances that were taken before, by whom ever.
        gone: Vec<MailId>,
    },
}

/// What became of a rewound parent's call of a child that exists.
#[derive(Clone, Debug)]
pub(super) enum Again {
    /// The child goes on, and its outcome will answer the call.
    Taken,
    /// It had returned this.
    Returned(Outcome),
    /// The instance is no answer to this call: it was terminated, or it belongs to another call.
    Other,
}

type Ack = (oneshot::Sender<Result<(), SendError>>, Result<(), SendError>);

/// What a batch of envelopes did.
#[derive(Default)]
struct Taken {
    acks: Vec<Ack>,
    outcomes: Vec<(TaskId, u32)>,
    mail: Vec<MailId>,
    called_again: Vec<oneshot::Sender<Again>>,
    run: bool,
}

impl Inner {
    pub(super) async fn step(
        self: &Arc<Self>,
        actor: &Arc<Actor>,
        live: Option<Box<Live>>,
        batch: Vec<Envelope>,
    ) -> Step {
        let (live, used) = match live {
            Some(live) if live.place.is_some() => self.first_episode(live).await,
            live => (live, Usage::default()),
        };
        let mut live = match live {
            Some(live) => live,
            None => match self.load(actor).await {
                Ok(Some(live)) => Box::new(Live { used, ..*live }),
                Ok(None) => {
                    // A call made again finds another instance, or none, when it is brought once more.
                    let lost = batch.iter().filter(|envelope| !matches!(envelope.content, Content::CallAgain(..)));
                    let mail = lost.filter_map(|envelope| envelope.mail).collect();
                    self.discard(mail).await;
                    return refuse(batch, &SendError::Unknown, Step::Over);
                }
                Err(error) => {
                    tracing::error!(number = actor.number.0, %error, "an instance cannot be loaded");
                    // Their outcomes are lost with the batch: they run again.
                    for (task, attempt) in batch.iter().filter_map(outcome_of) {
                        actor.consumed(task, attempt);
                    }
                    return refuse(batch, &SendError::Store(error), Step::Failed { saved: false, gone: Vec::new() });
                }
            },
        };
        if let Some(hub) = self.hubs.get(&live.record.hub) {
            actor.is_of(&hub.lanes().slices);
        }
        if !self.is_hub_open(&live.record.hub) {
            // It is about to be removed with its hub.
            return refuse(batch, &SendError::Unknown, Step::Over);
        }
        let began = Instant::now();
        let mut taken = self.take(&mut live, batch);
        let decision = live.session.with(Orchestration::take_decision);
        let ahead = if taken.run && self.run(&mut live).await {
            // What a guest did that the host could not carry on is not decided: it does it again.
            Ahead { host_fault: true, ..Ahead::of(decision) }
        } else {
            let decision = decision.then(live.session.with(Orchestration::take_decision));
            self.run_ahead(&mut live, decision, began).await
        };
        let host_fault = ahead.host_fault;
        match self.save(actor, &mut live, (ahead, taken.mail.clone())).await {
            Ok(()) => {}
            Err(error) => {
                let (error, gone) = match error {
                    CommitError::Store(error) => (error, Vec::new()),
                    CommitError::Conflict | CommitError::Exists(_) => {
                        let text = "the instance was changed by somebody else meanwhile; try again".to_owned();
                        (StoreError::Unavailable(text), self.gone(&taken.mail).await)
                    }
                };
                let error = SendError::Store(error);
                taken.acks.into_iter().for_each(|(ack, _)| drop(ack.send(Err(error.clone()))));
                for (task, attempt) in taken.outcomes {
                    actor.consumed(task, attempt);
                }
                return Step::Failed { saved: false, gone };
            }
        }
        taken.called_again.into_iter().for_each(|ack| drop(ack.send(Again::Taken)));
        for (task, attempt) in taken.outcomes.drain(..) {
            actor.consumed(task, attempt);
        }
        taken.acks.into_iter().for_each(|(ack, answer)| drop(ack.send(answer)));
        if live.record.status.is_terminal() {
            actor.forget_activities();
            return Step::Over;
        }
        if host_fault { Step::Failed { saved: true, gone: Vec::new() } } else { Step::Parked(live) }
    }

    /// Lets a guest go on whose start was saved in the middle of its first episode, before anything new is told to it: what
    /// it has done is no one's yet, and is saved as a whole or not at all. None: the host could not, and the guest has to
    /// begin again; with what it used until then.
    async fn first_episode(&self, mut live: Box<Live>) -> (Option<Box<Live>>, Usage) {
        if self.run(&mut live).await { (None, live.used) } else { (Some(live), Usage::default()) }
    }

    /// Loads an instance and begins what must be under way for it but is not.
    async fn load(self: &Arc<Self>, actor: &Arc<Actor>) -> Result<Option<Box<Live>>, StoreError> {
        self.actors.loading();
        let Some((record, history)) = self.store.history(actor.number).await? else { return Ok(None) };
        let orchestration = Orchestration::replay(&history)
            .map_err(|error| StoreError::Corrupt(format!("instance {}: {error}", record.id)))?;
        let activities = orchestration.effects_in_flight().into_iter().filter(|effect| match effect {
            Effect::RunActivity(call) => !actor.is_in_flight(call.task, call.attempt),
            // Timers have rows of their own.
            Effect::SetTimer { .. } | Effect::ClearTimer { .. } | Effect::CancelActivity { .. } | Effect::Send(_) => {
                false
            }
        });
        let activities: Vec<_> = activities.collect();
        let failed_history = (record.status == Status::Failed).then_some(history);
        let session = Arc::new(Session::new(orchestration));
        if !record.status.is_terminal() && !activities.is_empty() {
            self.act(actor, &record, (activities, Vec::new()), self.context_of(&session));
        }
        Ok(Some(Box::new(Live {
            record,
            session,
            guest: None,
            failed_history,
            waiter: None,
            ran: None,
            used: Usage::default(),
            place: None,
            share: Arc::default(),
            logged: Ring::default(),
        })))
    }

    fn take(&self, live: &mut Live, batch: Vec<Envelope>) -> Taken {
        let now = self.now();
        let mut taken = Taken::default();
        live.session.with(|orchestration| orchestration.begin_episode(now));
        for envelope in batch {
            live.used.add(envelope.usage);
            if envelope.execution.is_some_and(|execution| execution != live.record.execution_id) {
                taken.mail.extend(envelope.mail);
                continue;
            }
            let answer = match envelope.content {
                Content::Look => {
                    taken.run = true;
                    continue;
                }
                Content::Message(message) => {
                    taken.outcomes.extend(attempt_of(&message));
                    let delivery = live.session.with(|orchestration| orchestration.deliver(message, now));
                    taken.run |= delivery == Delivery::Recorded;
                    match delivery {
                        Delivery::Recorded | Delivery::Stale => Ok(()),
                        Delivery::Full => Err(SendError::Full),
                        Delivery::Ended => Err(SendError::Ended),
                    }
                }
                Content::Rewind(rewind, onto) => self.rewind_live(live, (rewind, onto), &mut taken),
                Content::Move(change) => self.move_live(live, &change),
                Content::CallAgain(call, ack) => {
                    match self.call_again(live, &call, &mut taken) {
                        Again::Taken => taken.called_again.push(ack),
                        other @ (Again::Returned(_) | Again::Other) => {
                            drop(ack.send(other));
                            continue;
                        }
                    }
                    Ok(())
                }
            };
            if let Err(SendError::Full) = answer {
                tracing::warn!(instance = %live.record.id, "an event found the history full and was dropped");
            }
            taken.mail.extend(envelope.mail);
            taken.acks.extend(envelope.ack.map(|ack| (ack, answer)));
        }
        taken
    }

    /// Rewinds a failed instance in memory; the step saves it.
    fn rewind_live(
        &self,
        live: &mut Live,
        (rewind, onto): (Rewind, Option<(Digest, Revision)>),
        taken: &mut Taken,
    ) -> Result<(), SendError> {
        if onto.is_some_and(|(_, revision)| revision != live.record.revision) {
            return Err(SendError::Changed);
        }
        let version = onto.map_or(live.record.digest, |(to, _)| to);
        if !self.apps.has_version(&live.record.hub, &live.record.app, version) {
            return Err(SendError::NoVersion);
        }
        let Some(history) = live.failed_history.take() else { return Err(SendError::NotFailed) };
        let Ok(mut rewound) = Orchestration::rewind(&history, rewind, self.now()) else {
            return Err(SendError::NotFailed);
        };
        if let Some((to, _)) = onto {
            let from = std::mem::replace(&mut live.record.digest, to);
            rewound.note_move((&from.to_string(), &to.to_string()), self.now());
        }
        live.record.execution_id = rewound.execution_id();
        live.session = Arc::new(Session::new(rewound));
        live.guest = None;
        taken.run = true;
        Ok(())
    }

    /// Changes the version of an instance in memory; the step saves it. The guest is replayed when it is needed.
    fn move_live(&self, live: &mut Live, change: &Change) -> Result<(), SendError> {
        if live.record.revision != change.revision {
            return Err(SendError::Changed);
        }
        if !self.apps.has_version(&live.record.hub, &live.record.app, change.to) {
            return Err(SendError::NoVersion);
        }
        if let State::Ended { .. } | State::ContinuedAsNew { .. } =
            live.session.with(|orchestration| orchestration.state())
        {
            return Err(SendError::Ended);
        }
        let (from, to) = (live.record.digest.to_string(), change.to.to_string());
        let moved = live.session.with(|orchestration| orchestration.moved(&change.history, (&from, &to), self.now()));
        let Ok(moved) = moved else { return Err(SendError::Changed) };
        live.record.digest = change.to;
        live.session = Arc::new(Session::new(moved));
        live.guest = None;
        Ok(())
    }

    /// A rewound parent calls its child again.
    fn call_again(&self, live: &mut Live, call: &AwaitedBy, taken: &mut Taken) -> Again {
        let (known, state) =
            live.session.with(|orchestration| (orchestration.awaited_by().cloned(), orchestration.state()));
        if !known.is_some_and(|known| is_same_call(&known, call)) {
            return Again::Other;
        }
        match state {
            State::Running | State::Suspended { .. } | State::ContinuedAsNew { .. } => {
                let (message, now) = (Message::ParentRewound { awaited_by: call.clone() }, self.now());
                taken.run |=
                    live.session.with(|orchestration| orchestration.deliver(message, now)) == Delivery::Recorded;
                Again::Taken
            }
            State::Ended { status: Status::Completed, outcome } => Again::Returned(outcome),
            State::Ended { status: Status::Failed, outcome } => {
                let rewind =
                    Rewind { reason: Some("the parent was rewound".to_owned()), awaited_by: Some(call.clone()) };
                match self.rewind_live(live, (rewind, None), taken) {
                    Ok(()) => Again::Taken,
                    // It failed in this very step: its failure is the answer to the call before.
                    Err(_) => Again::Returned(outcome),
                }
            }
            State::Ended { .. } => Again::Other,
        }
    }

    /// Lets the guest run as far as it can. True: the host could not.
    pub(super) async fn run(&self, live: &mut Live) -> bool {
        if !live.session.with(|orchestration| orchestration.can_run()) {
            return false;
        }
        let Some(hub) = self.hubs.get(&live.record.hub) else { return true };
        if live.guest.is_none() {
            if !self.memory_room_soon(&hub).await {
                return true;
            }
            live.share = self.share(&hub);
        }
        if live.place.is_none() {
            live.place = Some(self.places.episodes.acquire(&hub.lanes().episodes).await);
        }
        self.meters.episodes.inc();
        self.episode_runs(live);
        let session = Arc::clone(&live.session);
        if live.guest.is_none() && session.is_replaying() {
            self.meters.replays.inc();
        }
        let guest = live.guest.get_or_insert_with(|| self.guest(&live.record, &session, &live.share));
        let mut pace = self.places.slices.pace(&hub.lanes().slices);
        let end = poll_fn(|context| {
            pace.poll(context, |context| match guest.as_mut().poll(context) {
                Poll::Ready(end) => Poll::Ready(Some(end)),
                Poll::Pending if session.is_blocked() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
        })
        .await;
        live.place = None;
        let host_fault = end.is_some_and(|end| self.ended(live, end));
        if !host_fault {
            let (fuel, now) = (live.session.with(Orchestration::take_new_fuel), self.now());
            self.meters.used(GuestRole::Orchestrator, fuel);
            hub.burn(fuel, now);
            live.used.orchestrator_fuel += fuel;
            live.used.memory_time += live.share.take_memory_time();
            live.session.with(Orchestration::end_episode);
        }
        host_fault
    }

    fn guest(&self, record: &InstanceRecord, session: &Arc<Session>, share: &Arc<Share>) -> BoxFuture<'static, RunEnd> {
        let input = session.with(|orchestration| orchestration.started().input.clone());
        self.executor.orchestrate(OrchestratorRun {
            digest: record.digest,
            name: record.name.clone(),
            input,
            session: Arc::clone(session),
            stops: Arc::clone(&self.meters.stops),
            share: Arc::clone(share),
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
                self.was_short(&live.share);
                return true;
            }
        };
        if let Some(fault) = fault {
            tracing::warn!(instance = %live.record.id, %fault, "orchestrator stopped");
            let failure = failure_of(&fault);
            self.meters.stops.count(GuestRole::Orchestrator, &failure.error_type);
            live.session.with(|orchestration| orchestration.fail(failure, now));
        }
        false
    }

    /// Saves what was decided, then acts on it.
    async fn save(
        self: &Arc<Self>,
        actor: &Arc<Actor>,
        live: &mut Live,
        (Ahead { decision, begun, host_fault, .. }, mail): (Ahead, Vec<MailId>),
    ) -> Result<(), CommitError> {
        if host_fault {
            // What a guest logged that the host could not carry on, it logs again.
            drop(live.session.take_log());
            live.ran = None;
        }
        live.keep_log();
        let logged = std::mem::take(&mut live.logged).into_lines();
        if decision == Decision::default() && !host_fault {
            // A replay that came to nothing new.
            live.ran = None;
            self.logs.append(live.record.number, logged);
            let used = std::mem::take(&mut live.used);
            if let Some(hub) = self.hubs.get(&live.record.hub).filter(|_| !used.is_nothing()) {
                hub.uncharged().add(used);
            }
            self.discard(mail).await;
            return Ok(());
        }
        let expect = Expect::Revision(live.record.revision);
        let spans = self.span_step(live);
        let context = spans.as_ref().map(spans::Step::context);
        let (commit, effects) = self.commit_of(live, decision, (expect, mail));
        let commit =
            Commit { record: InstanceRecord { ready: commit.record.ready || host_fault, ..commit.record }, ..commit };
        let fresh = commit.fresh_history;
        let (record, end) = (commit.record.clone(), End::of(&commit));
        let sent = numbered(&commit);
        // Who sees the commit reads the lines.
        let logging = (!logged.is_empty()).then(|| self.logging.begin(&record.hub, &record.id));
        let quiet = self.hubs.commits(&live.record.hub).await;
        let Committed { number, revision, first_mail } = self.store.commit(commit).await?;
        drop(quiet);
        self.tell_step(spans);
        self.logs.append(number, logged);
        drop(logging);
        live.record = InstanceRecord { number, revision, ..record };
        if fresh {
            actor.forget_activities();
            self.wake(number);
        }
        self.act(actor, &live.record, (effects, begun), context);
        self.post_mail(sent(first_mail));
        if live.record.status.is_terminal() {
            self.waiters.ended(number, end);
        }
        Ok(())
    }

    /// Does what a durable decision asks for, as a part of the span at this place. Some of its activities run already.
    pub(super) fn act(
        self: &Arc<Self>,
        actor: &Arc<Actor>,
        record: &InstanceRecord,
        (effects, mut begun): (Vec<Effect>, Vec<Begun>),
        context: Option<Context>,
    ) {
        let number = record.number;
        let mut caller = None;
        for effect in effects {
            match effect {
                Effect::RunActivity(call) => {
                    let task = call.task;
                    let known = begun.iter().position(|begun| (begun.task, begun.attempt) == (task, call.attempt));
                    let begun = match known {
                        Some(index) => begun.swap_remove(index),
                        None => {
                            let caller = caller.get_or_insert_with(|| Arc::new(record.clone()));
                            self.send_off(record, self.attempt_of(caller, call, context.clone()))
                        }
                    };
                    actor.started(task, begun.scheduled(number));
                }
                Effect::SetTimer { task, due } => self.timers.set(number, task, (due, self.now())),
                Effect::ClearTimer { task, due } => self.timers.clear(number, task, due),
                Effect::CancelActivity { task } => actor.cancel(task, self.settings.cancel_grace),
                // It is a row of the commit.
                Effect::Send(_) => {}
            }
        }
    }
}

/// A rewound parent has another execution id, of which the old one is the beginning, and the call its old number.
fn is_same_call(one: &AwaitedBy, two: &AwaitedBy) -> bool {
    fn base(execution: &str) -> &str {
        execution.split('-').next().unwrap_or(execution)
    }
    one.task == two.task && base(&one.execution_id) == base(&two.execution_id)
}

fn outcome_of(envelope: &Envelope) -> Option<(TaskId, u32)> {
    match &envelope.content {
        Content::Message(message) => attempt_of(message),
        Content::Look | Content::Rewind(..) | Content::Move(_) | Content::CallAgain(..) => None,
    }
}

/// The attempt of an activity that the message brings the outcome of.
fn attempt_of(message: &Message) -> Option<(TaskId, u32)> {
    match message {
        Message::ActivityEnded { task, attempt, .. } | Message::ActivityPostponed { task, attempt, .. } => {
            Some((*task, *attempt))
        }
        Message::ChildEnded { .. }
        | Message::ParentRewound { .. }
        | Message::TimerDue { .. }
        | Message::EventRaised { .. }
        | Message::Suspend { .. }
        | Message::Resume { .. }
        | Message::Terminate { .. } => None,
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
        GuestFault::BadInstanceId { .. } => "BadInstanceId",
        GuestFault::Limit { .. } => "LimitExceeded",
    };
    Failure::new(error_type, fault.to_string()).non_retriable()
}

/// What the number of an instance is before the store has given it one.
pub(super) const UNNUMBERED: InstanceNumber = InstanceNumber(0);
