//! Instances as actors: a mailbox each, one episode at a time, no task and no memory while nothing happens.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use durawasm_core::{AwaitedBy, Message, Rewind, TaskId};
use futures_util::future::AbortHandle;
use tokio::sync::oneshot;

use super::Inner;
use super::client::SendError;
use super::episode::{Again, Live, Step};
use super::executor::Pulse;
use super::hot::Parked;
use super::moves::Change;
use crate::fair::Lane;
use crate::store::{Digest, InstanceNumber, MailId, Revision, StoreError, Usage};

/// How long an instance rests after the store or the host failed it.
const REST: Duration = Duration::from_millis(500);

/// Envelopes that one step takes at most: what they say becomes one commit.
const STEP_ENVELOPES: usize = 1_024;

/// What an envelope holds.
pub(super) enum Content {
    /// Look what there is to do.
    Look,
    /// Something that happened.
    Message(Message),
    /// Go on from before the failure; on another version, if the instance is still at this revision.
    Rewind(Rewind, Option<(Digest, Revision)>),
    /// Go on with another version, if the instance is still at the revision that it was found to be fine for.
    Move(Box<Change>),
    /// The parent was rewound and calls its child again; whoever brings the call waits for what becomes of it.
    CallAgain(AwaitedBy, oneshot::Sender<Again>),
}

/// Something in a mailbox.
pub(super) struct Envelope {
    pub(super) content: Content,
    /// The execution it is for; none: whichever is current.
    pub(super) execution: Option<String>,
    /// The message between instances that is taken with it.
    pub(super) mail: Option<MailId>,
    /// What was used for it; charged by the commit that takes it.
    pub(super) usage: Usage,
    /// Who waits for it to be durable.
    pub(super) ack: Option<oneshot::Sender<Result<(), SendError>>>,
}

impl Envelope {
    pub(super) fn new(content: Content) -> Self {
        Self { content, execution: None, mail: None, usage: Usage::default(), ack: None }
    }

    /// A second one for the case that the first is lost; only messages between instances have nobody else who would
    /// send them again.
    fn copy_of_mail(&self) -> Option<Self> {
        let Content::Message(message) = &self.content else { return None };
        let content = Content::Message(message.clone());
        self.mail.is_some().then(|| Self {
            content,
            execution: self.execution.clone(),
            mail: self.mail,
            usage: self.usage,
            ack: None,
        })
    }
}

/// An attempt of an activity that this process is running.
pub(super) struct InFlight {
    pub(super) attempt: u32,
    pub(super) handle: AbortHandle,
    pub(super) pulse: Arc<Pulse>,
}

pub(super) struct Actor {
    pub(super) number: InstanceNumber,
    /// Its hub's slices; none: it was not loaded yet.
    lane: OnceLock<Arc<Lane>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mailbox: VecDeque<Envelope>,
    /// Messages between instances that the step under way has taken from the mailbox.
    mail_in_step: Vec<Envelope>,
    running: bool,
    live: Option<Box<Live>>,
    in_flight: HashMap<TaskId, InFlight>,
}

/// All actors that have something to do or to remember.
#[derive(Default)]
pub(super) struct Actors {
    by_number: Mutex<HashMap<InstanceNumber, Arc<Actor>>>,
    /// How many instances were loaded from the store.
    loads: AtomicU64,
}

impl Actors {
    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceNumber, Arc<Actor>>> {
        self.by_number.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// An instance is about to be loaded from the store.
    pub(super) fn loading(&self) {
        self.loads.fetch_add(1, Ordering::SeqCst);
    }

    /// How many instances were loaded so far. The same before a start and after: nobody has loaded what was started.
    pub(super) fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    /// Drops the guest of an actor that does not run.
    pub(super) fn drop_idle(&self, number: InstanceNumber) {
        let mut actors = self.lock();
        let Some(actor) = actors.get(&number).cloned() else { return };
        let mut state = actor.lock();
        if state.running {
            return;
        }
        let dropped = state.live.take();
        if state.in_flight.is_empty() {
            actors.remove(&number);
        }
        drop(state);
        drop(actors);
        // A guest's memory is given back outside the locks.
        drop(dropped);
    }

    /// Drops the guests of a hub whose actors do not run; those instances.
    pub(super) fn drop_idle_of(&self, hub: &str) -> Vec<InstanceNumber> {
        let (mut numbers, mut dropped) = (Vec::new(), Vec::new());
        self.lock().retain(|number, actor| {
            let mut state = actor.lock();
            if state.running || state.live.as_ref().is_none_or(|live| *live.record.hub != *hub) {
                return true;
            }
            numbers.push(*number);
            dropped.extend(state.live.take());
            !state.in_flight.is_empty()
        });
        // A guest's memory is given back outside the locks.
        drop(dropped);
        numbers
    }

    /// Stops the activities of an instance that is gone.
    pub(super) fn stop_activities(&self, number: InstanceNumber) {
        let Some(actor) = self.lock().get(&number).cloned() else { return };
        for (_, running) in actor.lock().in_flight.drain() {
            running.handle.abort();
        }
    }

    /// Gives a freshly started instance its actor. False: it has one already, which has loaded it from the store.
    pub(super) fn adopt(&self, number: InstanceNumber, live: Box<Live>) -> Option<Arc<Actor>> {
        let mut actors = self.lock();
        if actors.contains_key(&number) {
            return None;
        }
        let state = State { live: Some(live), running: true, ..State::default() };
        let actor = Arc::new(Actor::new(number, state));
        actors.insert(number, Arc::clone(&actor));
        Some(actor)
    }
}

impl Actor {
    fn new(number: InstanceNumber, state: State) -> Self {
        Self { number, lane: OnceLock::new(), state: Mutex::new(state) }
    }

    /// For what is left to be done for an instance that has ended.
    pub(super) fn of_ended(number: InstanceNumber) -> Arc<Self> {
        Arc::new(Self::new(number, State::default()))
    }

    /// It is an instance of the hub with these slices.
    pub(super) fn is_of(&self, lane: &Arc<Lane>) {
        self.lane.get_or_init(|| Arc::clone(lane));
    }

    /// The slices of its hub, as soon as that is known.
    pub(super) fn hub_lane(&self) -> Option<&Arc<Lane>> {
        self.lane.get()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held of the instance is not true any more.
    pub(super) fn forget(&self) {
        let outdated = self.lock().live.take();
        drop(outdated);
    }

    pub(super) fn is_in_flight(&self, task: TaskId, attempt: u32) -> bool {
        self.lock().in_flight.get(&task).is_some_and(|running| running.attempt == attempt)
    }

    pub(super) fn started(&self, task: TaskId, running: InFlight) {
        self.lock().in_flight.insert(task, running);
    }

    /// The outcome of this attempt is durable (or nobody wants it).
    pub(super) fn consumed(&self, task: TaskId, attempt: u32) {
        let in_flight = &mut self.lock().in_flight;
        if in_flight.get(&task).is_some_and(|running| running.attempt == attempt) {
            in_flight.remove(&task);
        }
    }

    /// Nobody waits for this activity any more: its next heartbeat says so, and after the grace it is stopped.
    pub(super) fn cancel(&self, task: TaskId, grace: Duration) {
        if let Some(InFlight { handle, pulse, .. }) = self.lock().in_flight.remove(&task) {
            pulse.cancel();
            tokio::spawn(async move {
                tokio::time::sleep(grace).await;
                handle.abort();
            });
        }
    }

    /// The execution is over: its activities go on, but nobody waits for them.
    pub(super) fn forget_activities(&self) {
        for (_, running) in self.lock().in_flight.drain() {
            running.pulse.cancel();
        }
    }
}

impl Inner {
    /// Puts something into an instance's mailbox and sees that it is read.
    pub(super) fn put(self: &Arc<Self>, number: InstanceNumber, envelope: Envelope) {
        let mut actors = self.actors.lock();
        let actor = actors.entry(number).or_insert_with(|| Arc::new(Actor::new(number, State::default())));
        let actor = Arc::clone(actor);
        let mut state = actor.lock();
        state.mailbox.push_back(envelope);
        if !state.running {
            state.running = true;
            drop(state);
            drop(actors);
            self.set_going(actor);
        }
    }

    /// Has an actor that is marked as running read its mailbox, on its hub's threads.
    pub(super) fn set_going(self: &Arc<Self>, actor: Arc<Actor>) {
        self.threads.spawn_for(Arc::clone(&actor), Arc::clone(self).drive(actor));
    }

    /// A message that nobody waits for.
    pub(super) fn post(self: &Arc<Self>, number: InstanceNumber, message: Message) {
        self.put(number, Envelope::new(Content::Message(message)));
    }

    /// A message for one execution only, and what was used for it.
    pub(super) fn post_for(
        self: &Arc<Self>,
        number: InstanceNumber,
        execution: &str,
        (message, usage): (Message, Usage),
    ) {
        let envelope = Envelope::new(Content::Message(message));
        self.put(number, Envelope { execution: Some(execution.to_owned()), usage, ..envelope });
    }

    /// Lets the instance look what there is to do.
    pub(super) fn wake(self: &Arc<Self>, number: InstanceNumber) {
        self.put(number, Envelope::new(Content::Look));
    }

    /// Something whose sender waits until it is durable.
    pub(super) async fn deliver(self: &Arc<Self>, number: InstanceNumber, content: Content) -> Result<(), SendError> {
        let (ack, answer) = oneshot::channel();
        self.put(number, Envelope { ack: Some(ack), ..Envelope::new(content) });
        match answer.await {
            Ok(answer) => answer,
            Err(_) => {
                Err(StoreError::Unavailable("the instance was interrupted by a fault of the host".to_owned()).into())
            }
        }
    }

    /// Runs an actor until its mailbox is empty.
    pub(super) async fn drive(self: Arc<Self>, actor: Arc<Actor>) {
        let mut running = Running { engine: &self, actor: &actor, orderly: false };
        while let Some((batch, live)) = running.next() {
            if self.is_stopping() {
                continue;
            }
            match self.step(&actor, live, batch).await {
                Step::Parked(live) => running.park(Some(live)),
                Step::Over => running.park(None),
                Step::Failed { saved, gone } => {
                    running.put_back(saved, &gone);
                    tokio::time::sleep(REST).await;
                }
            }
        }
        running.orderly = true;
    }
}

/// Holds an actor's `running` mark; gives it back even when an episode panics, so that the instance is not stuck.
struct Running<'a> {
    engine: &'a Arc<Inner>,
    actor: &'a Arc<Actor>,
    orderly: bool,
}

impl Running<'_> {
    /// The waiting envelopes and the guest; none: the mailbox is empty and the actor rests.
    fn next(&mut self) -> Option<(Vec<Envelope>, Option<Box<Live>>)> {
        let mut actors = self.engine.actors.lock();
        let mut state = self.actor.lock();
        if !state.mailbox.is_empty() {
            let taken = state.mailbox.len().min(STEP_ENVELOPES);
            let batch: Vec<Envelope> = state.mailbox.drain(..taken).collect();
            state.mail_in_step = batch.iter().filter_map(Envelope::copy_of_mail).collect();
            let live = state.live.take();
            drop(state);
            drop(actors);
            self.engine.hot.taken(self.actor.number);
            return Some((batch, live));
        }
        state.running = false;
        let weight = state.live.as_ref().map(|live| self.engine.apps.weight(&live.record));
        let (number, idle) = (self.actor.number, state.in_flight.is_empty());
        if weight.is_none() && idle {
            actors.remove(&number);
        }
        drop(state);
        drop(actors);
        if let Some(weight) = weight {
            for oldest in self.engine.hot.parked(Parked { number, weight, idle }) {
                self.engine.actors.drop_idle(oldest);
            }
        }
        None
    }

    fn park(&self, live: Option<Box<Live>>) {
        let mut state = self.actor.lock();
        state.live = live;
        state.mail_in_step.clear();
    }

    /// Has the instance look again; what the failed step took comes back, unless it was saved.
    fn put_back(&self, saved: bool, gone: &[MailId]) {
        let state = &mut *self.actor.lock();
        let mail = std::mem::take(&mut state.mail_in_step);
        if !saved {
            let left = mail.into_iter().filter(|envelope| !envelope.mail.is_some_and(|id| gone.contains(&id)));
            left.rev().for_each(|envelope| state.mailbox.push_front(envelope));
        }
        state.mailbox.push_back(Envelope::new(Content::Look));
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.orderly {
            return;
        }
        // An episode panicked (or the runtime is going down): what it held is lost, the store is not.
        let mut actors = self.engine.actors.lock();
        let mut state = self.actor.lock();
        state.running = false;
        state.live = None;
        let mut mailbox: VecDeque<Envelope> = std::mem::take(&mut state.mail_in_step).into();
        mailbox.extend(state.mailbox.drain(..).filter_map(|envelope| envelope.copy_of_mail()));
        mailbox.push_back(Envelope::new(Content::Look));
        // Outcomes may have been lost with the mailbox: what is not recorded runs again.
        state.in_flight.clear();
        drop(state);
        actors.remove(&self.actor.number);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        // Its successor has the messages between instances at once, so that later ones stay behind them.
        let state = State { mailbox, running: true, ..State::default() };
        let successor = Arc::new(Actor::new(self.actor.number, state));
        actors.insert(self.actor.number, Arc::clone(&successor));
        drop(actors);
        let engine = Arc::clone(self.engine);
        runtime.spawn(async move {
            tokio::time::sleep(REST).await;
            engine.drive(successor).await;
        });
    }
}
