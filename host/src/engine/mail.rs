//! Messages between instances: each is a row from the commit that sends it to the commit that takes it. Here they are
//! brought from one to the other; those for one instance in the order in which they were sent.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use durawasm_core::{ChildStart, Failure, Letter, Message, Status};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Inner;
use super::actor::{Content, Envelope};
use super::start::Birth;
use crate::store::{
    CommitError, FunctionKind, HubName, InstanceNumber, InstanceRecord, Mail, MailId, NewMail, Reuse, SharedStore,
    StoreError,
};

/// Messages are brought to different instances at once, to one instance one after the other.
const LANES: usize = 64;
/// Messages read at once when the engine opens.
const PAGE: usize = 1_000;
/// Between tries while the store cannot answer.
const REST: Duration = Duration::from_millis(500);

/// Who brings the messages. What is in a lane is a row as well, so nothing is lost with the process.
pub(super) struct Mailroom {
    lanes: Vec<UnboundedSender<Mail>>,
}

/// The other ends of the lanes.
pub(super) struct Lanes(Vec<UnboundedReceiver<Mail>>);

impl Mailroom {
    /// With the messages that an earlier process left.
    pub(super) async fn open(store: &SharedStore) -> Result<(Self, Lanes), StoreError> {
        let (lanes, ends): (Vec<_>, Vec<_>) = (0..LANES).map(|_| unbounded_channel()).unzip();
        let room = Self { lanes };
        let mut after = None;
        loop {
            let page = store.mail(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            page.into_iter().for_each(|mail| room.post(mail));
        }
        Ok((room, Lanes(ends)))
    }

    fn post(&self, mail: Mail) {
        let mut hasher = DefaultHasher::new();
        (&mail.hub, &mail.to).hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        if let Some(lane) = self.lanes.get(lane) {
            // A lane is closed only when the engine is gone.
            drop(lane.send(mail));
        }
    }
}

/// Begins to bring messages.
pub(super) fn run(engine: &Arc<Inner>, Lanes(lanes): Lanes) {
    for mut lane in lanes {
        let engine = Arc::downgrade(engine);
        tokio::spawn(async move {
            while let Some(mail) = lane.recv().await {
                if bring_until_done(&engine, mail).await.is_none() {
                    return;
                }
            }
        });
    }
}

/// None: the engine is gone or stops.
async fn bring_until_done(engine: &Weak<Inner>, mail: Mail) -> Option<()> {
    let mail = Arc::new(mail);
    loop {
        let engine = engine.upgrade().filter(|engine| !engine.is_stopping())?;
        match engine.bring(&mail).await {
            Ok(()) => return Some(()),
            Err(error) => {
                tracing::error!(to = %mail.to, %error, "a message between instances cannot be brought; trying again");
                drop(engine);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

impl Inner {
    /// Messages that have just been made durable.
    pub(super) fn post_mail(&self, mail: Vec<Mail>) {
        mail.into_iter().for_each(|mail| self.mailroom.post(mail));
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

    async fn bring(self: &Arc<Self>, mail: &Arc<Mail>) -> Result<(), StoreError> {
        let found = self.store.instance(&mail.hub, &mail.to).await?;
        match (&mail.letter, found) {
            (Letter::StartChild(start), Some(child)) if start.again && is_child_of(&child, start) => {
                self.call_child_again(mail, start, child).await
            }
            (Letter::StartChild(start), _) => self.start_child(mail, start).await,
            (_, None) => {
                self.discard(vec![mail.id]).await;
                Ok(())
            }
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
            (Letter::Terminate { reason }, Some(to)) => {
                let message = Message::Terminate { reason: reason.clone(), recursive: true };
                self.put_mail(to.number, mail.id, (Content::Message(message), None));
                Ok(())
            }
        }
    }

    fn put_mail(self: &Arc<Self>, to: InstanceNumber, id: MailId, (content, execution): (Content, Option<String>)) {
        self.put(to, Envelope { content, execution, mail: Some(id), ack: None });
    }

    async fn start_child(self: &Arc<Self>, mail: &Mail, start: &ChildStart) -> Result<(), StoreError> {
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
        let live = self.born(&mail.hub, Birth::of_child(&mail.to, start), found);
        match self.begin(live, Reuse::Terminal, vec![mail.id]).await {
            // A conflict: the message was taken before.
            Ok(()) | Err(CommitError::Conflict) => Ok(()),
            Err(CommitError::Exists(existing)) => {
                let message = format!(
                    "an orchestration with instance ID '{}' and status '{}' already exists",
                    existing.id, existing.status
                );
                self.refuse_child(mail, start, Failure::new("OrchestrationAlreadyExists", message)).await
            }
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    /// The call fails; where nobody waits, the log says so.
    async fn refuse_child(&self, mail: &Mail, start: &ChildStart, failure: Failure) -> Result<(), StoreError> {
        tracing::warn!(parent = %start.parent_instance_id, child = %mail.to, %failure, "a sub-orchestration was not started");
        self.answer_parent(mail, start, Err(failure)).await
    }

    async fn answer_parent(
        &self,
        mail: &Mail,
        start: &ChildStart,
        outcome: durawasm_core::model::Outcome,
    ) -> Result<(), StoreError> {
        let answer = start.awaited_by.clone().map(|awaited_by| NewMail {
            to: start.parent_instance_id.clone(),
            pin: None,
            letter: Letter::ChildEnded { awaited_by, outcome },
        });
        let hub: HubName = mail.hub.clone();
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

    /// A rewound parent calls again what it had called before.
    async fn call_child_again(
        self: &Arc<Self>,
        mail: &Arc<Mail>,
        start: &ChildStart,
        child: InstanceRecord,
    ) -> Result<(), StoreError> {
        match child.status {
            Status::Completed => {
                let output = self.store.payloads(child.number).await?.output;
                self.answer_parent(mail, start, Ok(output)).await
            }
            Status::Terminated | Status::Canceled => self.start_child(mail, start).await,
            Status::Failed | Status::Running | Status::ContinuedAsNew | Status::Pending | Status::Suspended => {
                self.put_mail(child.number, mail.id, (Content::CallAgain(Arc::clone(mail)), None));
                Ok(())
            }
        }
    }
}

fn is_child_of(child: &InstanceRecord, start: &ChildStart) -> bool {
    child.parent_instance_id.as_ref() == Some(&start.parent_instance_id)
}
