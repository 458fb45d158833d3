//! Starting an instance: the start and, when it ends in time, the first episode in one durable commit.

use std::sync::Arc;

use durawasm_core::{Effect, ExecutionStarted, InstanceId, Orchestration, Status};

use super::Inner;
use super::client::{StartError, StartRequest};
use super::episode::{Live, UNNUMBERED};
use super::session::Session;
use super::waiters::End;
use crate::store::{CommitError, Committed, Expect, FunctionKind, InstanceRecord, Reuse, StoreError};

/// Characters of an instance id at most (http-api.md 3).
const LONGEST_ID: usize = 256;
/// Bytes of an input at most.
pub(super) const LARGEST_INPUT: usize = 4 << 20;

/// What became of the first episode while the start waited for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    /// It ended: start and episode are one commit.
    Done,
    /// It still runs: the start is saved by itself and the rest follows.
    Running,
    /// The host could not run it now: the same, from the beginning.
    Postponed,
}

impl Inner {
    pub(super) async fn start(self: Arc<Self>, request: StartRequest) -> Result<InstanceId, StartError> {
        if self.is_stopping() {
            return Err(StoreError::Unavailable("the host is shutting down".to_owned()).into());
        }
        let mut live = self.prepare(&request)?;
        let id = live.record.id.clone();
        if request.instance_id.is_some() {
            self.refuse_taken(&live.record, request.reuse).await?;
        }
        let mut decision = live.session.with(Orchestration::take_decision);
        let first_episode = tokio::time::timeout(self.settings.start_patience, self.run(&mut live)).await;
        let first = match first_episode {
            Ok(false) => First::Done,
            Ok(true) => First::Postponed,
            Err(_) => First::Running,
        };
        if first == First::Done {
            decision = decision.then(live.session.with(Orchestration::take_decision));
        }
        self.save_start(live, decision, (request.reuse, first)).await?;
        Ok(id)
    }

    /// The instance in memory, before its first instruction.
    fn prepare(&self, request: &StartRequest) -> Result<Box<Live>, StartError> {
        let id = match &request.instance_id {
            Some(id) => check_id(id)?,
            None => uuid::Uuid::now_v7().simple().to_string(),
        };
        if let Some(size) = request.input.as_ref().map(|input| input.len()).filter(|size| *size > LARGEST_INPUT) {
            return Err(StartError::InputTooLarge { size, limit: LARGEST_INPUT });
        }
        let found = self.apps.find(&request.hub, FunctionKind::Orchestrator, &request.function);
        let found = found.ok_or_else(|| StartError::UnknownFunction {
            function: request.function.clone(),
            known: self.apps.names(&request.hub, FunctionKind::Orchestrator),
        })?;
        let now = self.now();
        let started = ExecutionStarted {
            name: request.function.clone(),
            instance_id: id.into(),
            execution_id: uuid::Uuid::now_v7().simple().to_string(),
            input: request.input.clone(),
            parent_instance_id: None,
            version: request.version.clone().or(found.label).filter(|label| !label.is_empty()),
            tags: request.tags.clone(),
            trace_parent: request.trace_parent.clone(),
        };
        let record = InstanceRecord {
            hub: request.hub.clone(),
            id: started.instance_id.clone(),
            number: UNNUMBERED,
            revision: 0,
            name: started.name.clone(),
            status: Status::Pending,
            created: now,
            updated: now,
            version: started.version.clone(),
            app: found.app,
            digest: found.digest,
            execution_id: started.execution_id.clone(),
            generation: 0,
            parent_instance_id: None,
            tags: started.tags.clone(),
            ready: true,
        };
        let session = Arc::new(Session::new(Orchestration::start(started, now)));
        Ok(Box::new(Live { record, session, guest: None }))
    }

    /// An early look, so that no guest runs for a start that will be refused. The commit decides.
    async fn refuse_taken(&self, record: &InstanceRecord, reuse: Reuse) -> Result<(), StartError> {
        let Some(existing) = self.store.instance(&record.hub, &record.id).await? else { return Ok(()) };
        if reuse == Reuse::Terminal && existing.status.is_terminal() {
            return Ok(());
        }
        Err(StartError::Exists { id: existing.id, status: existing.status })
    }

    async fn save_start(
        self: &Arc<Self>,
        mut live: Box<Live>,
        decision: durawasm_core::Decision,
        (reuse, first): (Reuse, First),
    ) -> Result<(), StartError> {
        let input = live.session.started().input;
        let (mut commit, effects) = if first != First::Done {
            // The guest may have gone on meanwhile: what it did is not part of this commit.
            let status = Status::Pending;
            let record = InstanceRecord { status, ready: true, ..live.record.clone() };
            (start_only(record, decision, reuse), Vec::new())
        } else {
            self.commit_of(&mut live, decision, Expect::Startable(reuse))
        };
        if commit.payloads.input.is_none() {
            commit.payloads.input = Some(input);
        }
        let fresh = std::mem::take(&mut commit.fresh_history);
        let (record, end) = (commit.record.clone(), End::of(&commit));
        let Committed { number, revision } = self.store.commit(commit).await.map_err(refused)?;
        live.record = InstanceRecord { number, revision, ..record };
        if live.record.status.is_terminal() {
            self.waiters.ended(number, end);
            return Ok(());
        }
        if first == First::Postponed {
            // What the guest did before the host failed it is not decided: it is loaded and begins anew.
            self.wake(number);
            return Ok(());
        }
        let record = live.record.clone();
        if let Some(actor) = self.actors.adopt(number, live) {
            self.act(&actor, &record, effects);
            if first == First::Running || fresh {
                self.wake(number);
            }
            tokio::spawn(Arc::clone(self).drive(actor));
            return Ok(());
        }
        // A message came first and loaded the instance, its activities with it.
        for effect in effects {
            if let Effect::SetTimer { task, due } = effect {
                self.timers.set(number, task, (due, self.now()));
            }
        }
        self.wake(number);
        Ok(())
    }
}

fn start_only(record: InstanceRecord, decision: durawasm_core::Decision, reuse: Reuse) -> crate::store::Commit {
    crate::store::Commit {
        expect: Expect::Startable(reuse),
        record,
        payloads: Default::default(),
        fresh_history: false,
        events: decision.events,
        timers_set: Vec::new(),
        timers_cleared: Vec::new(),
    }
}

fn refused(error: CommitError) -> StartError {
    match error {
        CommitError::Exists(existing) => StartError::Exists { id: existing.id.clone(), status: existing.status },
        CommitError::Conflict => StoreError::Unavailable("the start met another one; try again".to_owned()).into(),
        CommitError::Store(error) => error.into(),
    }
}

/// The rules for ids that a caller chooses (http-api.md 3).
fn check_id(id: &str) -> Result<String, StartError> {
    let refuse = |why: &str| Err(StartError::BadInstanceId(format!("The instance ID {why}.")));
    if id.chars().count() > LONGEST_ID {
        return refuse("has more than 256 characters");
    }
    if id.is_empty() {
        return refuse("is empty");
    }
    if id.starts_with('@') {
        return refuse("begins with '@', which is reserved for entities");
    }
    if let Some(bad) = id.chars().find(|c| matches!(c, '/' | '\\' | '#' | '?') || c.is_control()) {
        return refuse(&format!("contains {bad:?}; '/', '\\', '#', '?' and control characters are not allowed"));
    }
    Ok(id.to_owned())
}
