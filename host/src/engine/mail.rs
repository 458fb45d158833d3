//! Messages between instances: each is a row from the commit that sends it to the commit that takes it. Here they are
//! brought from one to the other; those for one instance in the order in which they were sent.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use durawasm_core::model::Outcome;
use durawasm_core::{ChildStart, Failure, InstanceId, Letter, Message};
use tokio::sync::oneshot;

use super::Inner;
use super::actor::{Content, Envelope};
use super::episode::Again;
use super::quota::QuotaError;
use super::start::{Birth, FirstEpisode};
use crate::fair::Lane;
use crate::store::{
    CommitError, FunctionKind, HubName, InstanceNumber, InstanceRecord, Mail, MailId, NewMail, Reuse, SharedStore,
    StoreError,
};

/// Lanes of a hub. Messages are brought to different instances at once, to one instance one after the other.
const LANES: u64 = 64;
/// Messages read at once when the engine opens.
const PAGE: usize = 1_000;
/// Larger payloads are read again when their turn comes, so that what waits in the lanes stays small.
const SMALL: usize = 2 * 1_024;
/// Between tries while the store cannot answer.
const REST: Duration = Duration::from_millis(500);
/// Tries after which a message goes behind the others: it must not hold up a lane for ever.
const TRIES: u32 = 4;

/// Who brings the messages. What is in a lane is a row as well, so nothing is lost with the process.
#[derive(Default)]
pub(super) struct Mailroom {
    /// A lane is there, and somebody brings what is in it, as long as there is something. Lanes of one hub wait for
    /// places among themselves first.
    lanes: Mutex<HashMap<LaneKey, VecDeque<Item>>>,
    waiting: AtomicUsize,
}

/// A hub, and which of its lanes.
type LaneKey = (HubName, usize);

/// A message that waits for its turn.
enum Item {
    Whole(Arc<Mail>),
    /// Its payload is in the store.
    Number(MailId),
}

impl Mailroom {
    /// With the messages that an earlier process left. [`run`] begins to bring them.
    pub(super) async fn open(store: &SharedStore) -> Result<Self, StoreError> {
        let room = Self::default();
        let mut after = None;
        loop {
            let page = store.mail(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for mail in page {
                room.put(mail);
            }
        }
        Ok(room)
    }

    /// Messages that wait to be brought.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<LaneKey, VecDeque<Item>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message at the end of its lane. A lane that this has made is returned: nobody brings it yet.
    fn put(&self, mail: Mail) -> Option<LaneKey> {
        let mut hasher = DefaultHasher::new();
        mail.to.hash(&mut hasher);
        let key = (mail.hub.clone(), usize::try_from(hasher.finish() % LANES).unwrap_or(0));
        let item =
            if payload_bytes(&mail.letter) > SMALL { Item::Number(mail.id) } else { Item::Whole(Arc::new(mail)) };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        match self.lanes().entry(key) {
            Entry::Occupied(mut lane) => {
                lane.get_mut().push_back(item);
                None
            }
            Entry::Vacant(vacant) => {
                let key = vacant.key().clone();
                vacant.insert(VecDeque::from([item]));
                Some(key)
            }
        }
    }

    /// The next message of a lane; none: the lane is gone.
    fn next(&self, key: &LaneKey) -> Option<Item> {
        let mut lanes = self.lanes();
        let next = lanes.get_mut(key)?.pop_front();
        if next.is_none() {
            lanes.remove(key);
        }
        next
    }
}

pub(super) fn payload_bytes(letter: &Letter) -> usize {
    let payload = match letter {
        Letter::StartChild(start) => &start.input,
        Letter::ChildEnded { outcome: Ok(result), .. } => result,
        Letter::EventRaised { input, .. } => input,
        // Bounded, and seldom large.
        Letter::ChildEnded { outcome: Err(_), .. } | Letter::Terminate { .. } => &None,
    };
    payload.as_ref().map_or(0, |payload| payload.len())
}

/// Begins to bring messages.
pub(super) fn run(engine: &Arc<Inner>) {
    let keys: Vec<_> = engine.mailroom.lanes().keys().cloned().collect();
    keys.into_iter().for_each(|key| engine.set_bringing(key));
}

/// Brings what is in a lane, one after the other. The hubs' lanes are served in turn.
async fn bring_lane(engine: Weak<Inner>, key: LaneKey) {
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let Some(item) = inner.mailroom.next(&key) else { return };
        let lane = inner.hubs.get(&key.0).map_or_else(Lane::new, |hub| Arc::clone(&hub.lanes().letters));
        let turn = inner.places.letters.acquire(&lane);
        drop(inner);
        let _place = turn.await;
        if bring_until_done(&engine, item).await.is_none() {
            return;
        }
        if let Some(inner) = engine.upgrade() {
            inner.mailroom.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// None: the engine is gone or stops.
async fn bring_until_done(engine: &Weak<Inner>, item: Item) -> Option<()> {
    let mut first_episode = FirstEpisode::Now;
    for _ in 0..TRIES {
        let engine = engine.upgrade().filter(|engine| !engine.is_stopping())?;
        let mail = match engine.whole(&item).await {
            Ok(Some(mail)) => mail,
            Ok(None) => return Some(()),
            Err(error) => {
                tracing::error!(%error, "a message between instances cannot be read; trying again");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        // On a task of its own: a panic of the host must not end the lane.
        let brought = tokio::spawn(Arc::clone(&engine).bring(Arc::clone(&mail), first_episode)).await;
        match brought {
            Ok(Ok(())) => return Some(()),
            Ok(Err(error)) => {
                tracing::error!(to = %mail.to, %error, "a message between instances cannot be brought; trying again");
            }
            Err(error) => {
                tracing::error!(to = %mail.to, %error, "bringing a message between instances was interrupted");
                first_episode = FirstEpisode::Later;
            }
        }
        drop(engine);
        tokio::time::sleep(REST).await;
    }
    let engine = engine.upgrade()?;
    if let Ok(Some(mail)) = engine.whole(&item).await {
        engine.post_mail(vec![Mail::clone(&mail)]);
    }
    Some(())
}

impl Inner {
    /// Begins to bring what is in a lane, on the hub's threads.
    fn set_bringing(self: &Arc<Self>, key: LaneKey) {
        let slices = self.hubs.get(&key.0).map(|hub| Arc::clone(&hub.lanes().slices));
        self.threads.spawn_for(slices, bring_lane(Arc::downgrade(self), key));
    }

    /// Messages that have just been made durable.
    pub(super) fn post_mail(self: &Arc<Self>, mail: Vec<Mail>) {
        for key in mail.into_iter().filter_map(|mail| self.mailroom.put(mail)) {
            self.set_bringing(key);
        }
    }

    /// Takes messages that nobody has a use for.
    pub(super) async fn discard(&self, mail: Vec<MailId>) {
        for id in mail {
            match self.store.answer_mail(id, None).await {
                Ok(_) | Err(CommitError::Conflict | CommitError::Exists(_)) => {}
                // The next start of the host brings it again, and again it finds nobody.
                Err(CommitError::Store(error)) => tracing::warn!(%error, "a message cannot be discarded"),
            }
        }
    }

    /// The message of an item; none: it was taken.
    async fn whole(&self, item: &Item) -> Result<Option<Arc<Mail>>, StoreError> {
        match item {
            Item::Whole(mail) => Ok(Some(Arc::clone(mail))),
            Item::Number(id) => Ok(self.waiting(*id).await?.map(Arc::new)),
        }
    }

    async fn waiting(&self, id: MailId) -> Result<Option<Mail>, StoreError> {
        let before = id.0.checked_sub(1).map(MailId);
        let found = self.store.mail(before, 1).await?;
        Ok(found.into_iter().next().filter(|mail| mail.id == id))
    }

    /// Those of these messages that somebody has taken.
    pub(super) async fn gone(&self, mail: &[MailId]) -> Vec<MailId> {
        let mut gone = Vec::new();
        for id in mail {
            if let Ok(None) = self.waiting(*id).await {
                gone.push(*id);
            }
        }
        gone
    }

    async fn bring(self: Arc<Self>, mail: Arc<Mail>, first_episode: FirstEpisode) -> Result<(), StoreError> {
        loop {
            self.starting.ended(&mail.hub, &mail.to).await;
            let found = self.store.instance(&mail.hub, &mail.to).await?;
            match (&mail.letter, found) {
                (Letter::StartChild(start), Some(child)) if start.again && is_child_of(&child, start) => {
                    if self.call_child_again(&mail, start, &child).await? {
                        return Ok(());
                    }
                }
                (Letter::StartChild(start), _) => return self.start_child(&mail, start, first_episode).await,
                (_, found) => return self.put_letter(&mail, found).await,
            }
        }
    }

    /// Puts a letter into its addressee's mailbox. Nobody there, or only what has ended: nobody has a use for it.
    async fn put_letter(self: &Arc<Self>, mail: &Mail, to: Option<InstanceRecord>) -> Result<(), StoreError> {
        let to = to.filter(|to| !to.status.is_terminal());
        match (&mail.letter, to) {
            (Letter::ChildEnded { awaited_by, outcome }, Some(to)) => {
                let message = Message::ChildEnded {
                    task: awaited_by.task,
                    attempt: awaited_by.attempt,
                    outcome: outcome.clone(),
                };
                self.put_mail(to.number, mail.id, (Content::Message(message), Some(awaited_by.execution_id.clone())));
                Ok(())
            }
            (Letter::EventRaised { name, input }, Some(to)) => {
                let message = Message::EventRaised { name: name.clone(), input: input.clone() };
                self.put_mail(to.number, mail.id, (Content::Message(message), None));
                Ok(())
            }
            (Letter::Terminate { parent_instance_id, reason }, Some(to))
                if to.parent_instance_id.as_ref() == Some(parent_instance_id) =>
            {
                let reason = reason.as_deref().map(str::to_owned);
                let message = Message::Terminate { reason, recursive: true };
                self.put_mail(to.number, mail.id, (Content::Message(message), None));
                Ok(())
            }
            (_, None) | (Letter::Terminate { .. } | Letter::StartChild(_), Some(_)) => {
                self.discard(vec![mail.id]).await;
                Ok(())
            }
        }
    }

    fn put_mail(self: &Arc<Self>, to: InstanceNumber, id: MailId, (content, execution): (Content, Option<String>)) {
        self.put(to, Envelope { execution, mail: Some(id), ..Envelope::new(content) });
    }

    async fn start_child(
        self: &Arc<Self>,
        mail: &Mail,
        start: &ChildStart,
        first_episode: FirstEpisode,
    ) -> Result<(), StoreError> {
        let Some(starting) = self.hubs.enter_start(&mail.hub).await else {
            self.discard(vec![mail.id]).await;
            return Ok(());
        };
        let pinned = mail.pin.as_ref().and_then(|pin| {
            let wanted = (FunctionKind::Orchestrator, start.name.as_str());
            self.apps.find_for(&mail.hub, (&pin.app, pin.digest), wanted)
        });
        let Some(found) = pinned.or_else(|| self.apps.find(&mail.hub, FunctionKind::Orchestrator, &start.name)) else {
            let known = self.apps.names(&mail.hub, FunctionKind::Orchestrator).join(", ");
            let message = format!(
                "the orchestrator function '{}' doesn't exist in hub '{}'; its orchestrators are: {known}",
                start.name, mail.hub
            );
            return self.refuse_child(mail, start, Failure::new("FunctionNotFound", message).non_retriable()).await;
        };
        let _place = match self.reserve(starting.hub(), 1).await {
            Ok(place) => place,
            Err(QuotaError::Exceeded(exceeded)) => {
                return self.refuse_child(mail, start, Failure::new("QuotaExceeded", exceeded.to_string())).await;
            }
            Err(QuotaError::Store(error)) => return Err(error),
        };
        let live = self.born(&mail.hub, Birth::of_child(&mail.to, start), found);
        match self.begin(live, (Reuse::Terminal, vec![mail.id]), first_episode).await {
            // A conflict: the message was taken before.
            Ok(()) | Err(CommitError::Conflict) => Ok(()),
            Err(CommitError::Exists(existing)) => {
                let message = format!(
                    "an orchestration with instance ID '{}' and status '{}' already exists",
                    existing.id, existing.status
                );
                self.refuse_child(mail, start, Failure::new("OrchestrationAlreadyExists", message)).await
            }
            Err(CommitError::Store(StoreError::TooLarge(text))) => {
                self.refuse_child(mail, start, Failure::new("PayloadTooLarge", text).non_retriable()).await
            }
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    /// The call fails; where nobody waits, the log says so.
    async fn refuse_child(
        self: &Arc<Self>,
        mail: &Mail,
        start: &ChildStart,
        failure: Failure,
    ) -> Result<(), StoreError> {
        tracing::warn!(parent = %start.parent_instance_id, child = %mail.to, %failure, "a sub-orchestration was not started");
        self.answer_parent(mail, start, Err(failure)).await
    }

    async fn answer_parent(
        self: &Arc<Self>,
        mail: &Mail,
        start: &ChildStart,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let answer = start.awaited_by.clone().map(|awaited_by| NewMail {
            to: start.parent_instance_id.clone(),
            pin: None,
            letter: Letter::ChildEnded { awaited_by, outcome },
        });
        let hub: HubName = mail.hub.clone();
        let _commits = self.hubs.commits(&hub).await;
        match self.store.answer_mail(mail.id, answer.clone().map(|answer| (hub.clone(), answer))).await {
            Ok(id) => {
                let posted = answer.map(|NewMail { to, pin, letter }| Mail { id, hub, to, pin, letter });
                self.post_mail(posted.into_iter().collect());
                Ok(())
            }
            Err(CommitError::Conflict | CommitError::Exists(_)) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    /// A rewound parent calls again what it had called before. False: look at the instance again.
    async fn call_child_again(
        self: &Arc<Self>,
        mail: &Mail,
        start: &ChildStart,
        child: &InstanceRecord,
    ) -> Result<bool, StoreError> {
        let Some(call) = start.awaited_by.clone() else { return Ok(true) };
        let (ack, answer) = oneshot::channel();
        self.put_mail(child.number, mail.id, (Content::CallAgain(call, ack), None));
        match answer.await {
            Ok(Again::Taken) => Ok(true),
            Ok(Again::Returned(outcome)) => self.answer_parent(mail, start, outcome).await.map(|()| true),
            Ok(Again::Other) => self.start_child(mail, start, FirstEpisode::Now).await.map(|()| true),
            // The instance was replaced or interrupted meanwhile.
            Err(_) => {
                tokio::time::sleep(REST).await;
                Ok(false)
            }
        }
    }
}

fn is_child_of(child: &InstanceRecord, start: &ChildStart) -> bool {
    child.parent_instance_id.as_ref() == Some(&start.parent_instance_id)
}

/// Instances for which something is durable, but not quite done. While one starts, what is for it waits, so that it does
/// not overtake what the instance has sent in its first episode.
#[derive(Default)]
pub(super) struct Underway {
    /// How often each: of several starts of one id all but one will be refused, and must not end that one's.
    ids: Mutex<HashMap<(HubName, InstanceId), usize>>,
    one_ended: tokio::sync::Notify,
}

/// Holds an instance among those that are under way.
pub(super) struct UnderwayGuard<'a> {
    underway: &'a Underway,
    key: (HubName, InstanceId),
}

impl Underway {
    fn lock(&self) -> MutexGuard<'_, HashMap<(HubName, InstanceId), usize>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, hub: &HubName, id: &InstanceId) -> UnderwayGuard<'_> {
        let key = (hub.clone(), id.clone());
        *self.lock().entry(key.clone()).or_default() += 1;
        UnderwayGuard { underway: self, key }
    }

    /// Returns once nothing of this id is under way.
    pub(super) async fn ended(&self, hub: &HubName, id: &InstanceId) {
        let key = (hub.clone(), id.clone());
        loop {
            let ended = self.one_ended.notified();
            tokio::pin!(ended);
            // From here on a notification is not missed.
            ended.as_mut().enable();
            if !self.lock().contains_key(&key) {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for UnderwayGuard<'_> {
    fn drop(&mut self) {
        let mut ids = self.underway.lock();
        if let Some(count) = ids.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                ids.remove(&self.key);
            }
        }
        drop(ids);
        self.underway.one_ended.notify_waiters();
    }
}
