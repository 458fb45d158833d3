//! Starting an instance: the start and, when it ends in time, the first episode in one durable commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use durawasm_core::model::{Tags, check_instance_id};
use durawasm_core::{
    AwaitedBy, ChildStart, Effect, ExecutionStarted, InstanceId, Message, Orchestration, Payload, Status, Timestamp,
};
use tokio::time::Instant;

use super::Inner;
use super::activities::Begun;
use super::actor::Actor;
use super::ahead::Ahead;
use super::apps::Found;
use super::client::{Reuse, SendError, StartError, StartRequest};
use super::commit::numbered;
use super::episode::{Live, UNNUMBERED};
use super::hubs::Starting;
use super::session::Session;
use super::spans::{Attribute, Context, Open, SpanError, SpanKind};
use super::waiters::{End, Waiter};
use crate::store::{
    self, CommitError, Committed, Expect, FunctionKind, HubName, InstanceRecord, MailId, StoreError, Usage,
};

/// Bytes of an input at most.
pub(super) const LARGEST_INPUT: usize = 4 << 20;
/// Instances that one call can start; all of them are one commit.
const STARTS_AT_ONCE: usize = 1_000;
/// Starts that replace any instance, at most: somebody else may start that id again and again.
const REPLACEMENTS: usize = 16;

/// What became of the first episode while the start waited for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    /// It ended: start and episode are one commit.
    Done,
    /// It still runs: the start is saved by itself and the rest follows.
    Running,
    /// The host could not run it now: the same, from the beginning.
    Postponed,
    /// It ended, and the host could not go on with what ran ahead after it: that much is one commit, the rest is replayed.
    Interrupted,
}

/// Whether a start lets the guest run before it is saved.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstEpisode {
    /// For a moment, so that both fit into one commit.
    Now,
    /// No: the guest has brought the host down when it did.
    Later,
}

/// An instance to be.
pub(super) struct Birth {
    id: InstanceId,
    name: String,
    input: Option<Payload>,
    version: Option<String>,
    tags: Tags,
    trace_parent: Option<String>,
    trace_state: Option<String>,
    scheduled_at: Option<Timestamp>,
    parent: Option<(InstanceId, Option<AwaitedBy>)>,
    depth: u32,
}

impl Birth {
    pub(super) fn of_child(id: &InstanceId, start: &ChildStart) -> Self {
        Self {
            id: id.clone(),
            name: start.name.clone(),
            input: start.input.clone(),
            version: start.version.clone(),
            tags: start.tags.clone(),
            trace_parent: start.trace_parent.clone(),
            trace_state: start.trace_state.clone(),
            scheduled_at: None,
            parent: Some((start.parent_instance_id.clone(), start.awaited_by.clone())),
            depth: start.depth,
        }
    }
}

impl Inner {
    /// `waiter`: who waits for the instance's end.
    pub(super) async fn start(
        self: Arc<Self>,
        mut request: StartRequest,
        waiter: Option<Arc<Waiter>>,
    ) -> Result<InstanceId, StartError> {
        let span = self.open_start(&mut request);
        let answer = Arc::clone(&self).start_one(request, waiter).await;
        tell_start(span, answer.as_ref());
        answer
    }

    /// The span of a start. The instance keeps its place.
    fn open_start(&self, request: &mut StartRequest) -> Option<Open> {
        let name = ("start", request.function.as_str());
        let mut open = self.open_span(SpanKind::Start, name, request.trace_parent.as_deref())?;
        open.add("durawasm.hub", Attribute::text(&request.hub));
        request.trace_parent = open.trace_parent();
        Some(open)
    }

    async fn start_one(
        self: Arc<Self>,
        request: StartRequest,
        waiter: Option<Arc<Waiter>>,
    ) -> Result<InstanceId, StartError> {
        let reuse = match request.reuse {
            Reuse::Never => store::Reuse::Never,
            Reuse::Terminal => store::Reuse::Terminal,
            Reuse::Any => return self.start_replacing(request, waiter).await,
        };
        if self.is_stopping() {
            return Err(StoreError::Unavailable("the host is shutting down".to_owned()).into());
        }
        let starting = self.hubs.enter_start(&request.hub).await;
        let starting = starting.ok_or_else(|| StartError::NoHub(request.hub.clone()))?;
        let mut live = self.prepare(&request)?;
        live.waiter = waiter;
        let id = live.record.id.clone();
        if request.instance_id.is_some() {
            self.refuse_taken(&live.record, reuse).await?;
        }
        self.check_stored(starting.hub()).await?;
        starting.hub().check_fuel(self.now())?;
        self.check_memory(starting.hub())?;
        starting.hub().take_starts(1, self.now())?;
        let _place = self.reserve(starting.hub(), 1).await?;
        self.begin(live, (reuse, Vec::new()), FirstEpisode::Now).await.map_err(refused)?;
        Ok(id)
    }

    /// Several starts in one commit. First episodes come after it.
    pub(super) async fn start_many(
        self: Arc<Self>,
        mut requests: Vec<StartRequest>,
    ) -> Result<Vec<InstanceId>, StartError> {
        if requests.len() > STARTS_AT_ONCE {
            return Err(StartError::TooMany { count: requests.len(), limit: STARTS_AT_ONCE });
        }
        let (mut commits, mut ids, mut timers) = (Vec::new(), Vec::new(), Vec::new());
        let all = self.enter_all(&requests).await?;
        let spans: Vec<_> = requests.iter_mut().filter_map(|request| self.open_start(request)).collect();
        for request in &requests {
            let reuse = match request.reuse {
                Reuse::Never => store::Reuse::Never,
                Reuse::Terminal => store::Reuse::Terminal,
                Reuse::Any => {
                    let text = "several starts at once cannot replace running instances (reuse 'any')".to_owned();
                    return Err(StartError::BadInstanceId(text));
                }
            };
            let mut live = self.prepare(request)?;
            if ids.contains(&live.record.id) {
                return Err(StartError::BadInstanceId(format!("The instance ID '{}' is given twice.", live.record.id)));
            }
            ids.push(live.record.id.clone());
            let decision = live.session.with(Orchestration::take_decision);
            let (mut commit, effects) = self.commit_of(&mut live, decision, (Expect::Startable(reuse), Vec::new()));
            commit.payloads.input = Some(request.input.clone());
            commits.push(commit);
            timers.push(effects);
        }
        let mut places = Vec::new();
        for (starting, count) in &all {
            self.check_stored(starting.hub()).await?;
            starting.hub().check_fuel(self.now())?;
            self.check_memory(starting.hub())?;
            starting.hub().take_starts(*count, self.now())?;
            places.push(self.reserve(starting.hub(), *count).await?);
        }
        let committed = self.store.commit_all(commits).await.map_err(refused)?;
        self.meters.starts.inc_by(ids.len() as u64);
        spans.into_iter().for_each(|span| span.ended(None));
        for (Committed { number, .. }, effects) in committed.into_iter().zip(timers) {
            for effect in effects {
                if let Effect::SetTimer { task, due } = effect {
                    self.timers.set(number, task, (due, self.now()));
                }
            }
            self.wake(number);
        }
        Ok(ids)
    }

    /// Begins starts in all hubs that are meant, so many in each, in one order, so that no two wait for each other.
    async fn enter_all(&self, requests: &[StartRequest]) -> Result<Vec<(Starting, u64)>, StartError> {
        let mut hubs = BTreeMap::<HubName, u64>::new();
        for request in requests {
            *hubs.entry(request.hub.clone()).or_default() += 1;
        }
        let mut all = Vec::new();
        for (hub, count) in hubs {
            all.push((self.hubs.enter_start(&hub).await.ok_or(StartError::NoHub(hub))?, count));
        }
        Ok(all)
    }

    /// Terminates what has the id, then starts; each is a step of its own.
    async fn start_replacing(
        self: Arc<Self>,
        request: StartRequest,
        waiter: Option<Arc<Waiter>>,
    ) -> Result<InstanceId, StartError> {
        let mut tries = 0;
        loop {
            let request = StartRequest { reuse: Reuse::Terminal, ..request.clone() };
            let (hub, start) = (request.hub.clone(), Arc::clone(&self).start_one(request, waiter.clone()));
            let existing = match Box::pin(start).await {
                Err(StartError::Exists { id, .. }) if tries < REPLACEMENTS => id,
                answer => return answer,
            };
            tries += 1;
            let Some(record) = self.store.instance(&hub, &existing).await? else { continue };
            let reason = Some("replaced by a new start".to_owned());
            let terminate = super::actor::Content::Message(Message::Terminate { reason, recursive: false });
            match self.deliver(record.number, terminate).await {
                Ok(())
                | Err(
                    SendError::Unknown
                    | SendError::Ended
                    | SendError::NotFailed
                    | SendError::NoVersion
                    | SendError::Full
                    | SendError::Changed,
                ) => {}
                Err(SendError::Store(error)) => return Err(error.into()),
            }
        }
    }

    /// The instance in memory, before its first instruction.
    fn prepare(&self, request: &StartRequest) -> Result<Box<Live>, StartError> {
        let id = match &request.instance_id {
            Some(id) => {
                check_instance_id(id).map_err(|why| StartError::BadInstanceId(format!("The instance ID {why}.")))?;
                if matches!(id.as_str(), "." | "..") {
                    let message = format!("The instance ID is '{id}', which URLs take for a step in their path.");
                    return Err(StartError::BadInstanceId(message));
                }
                id.clone()
            }
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
        let birth = Birth {
            id: id.into(),
            name: request.function.clone(),
            input: request.input.clone(),
            version: request.version.clone(),
            tags: request.tags.clone(),
            trace_parent: request.trace_parent.clone(),
            trace_state: request.trace_state.clone(),
            scheduled_at: request.scheduled_at,
            parent: None,
            depth: 0,
        };
        Ok(self.born(&request.hub, birth, found))
    }

    /// The instance in memory, on this component.
    pub(super) fn born(&self, hub: &HubName, birth: Birth, found: Found) -> Box<Live> {
        let now = self.now();
        let (parent_instance_id, awaited_by) = birth.parent.unzip();
        let awaited_by = awaited_by.flatten();
        let waiting = awaited_by.as_ref().map(|awaited_by| awaited_by.execution_id.as_str());
        let trace_parent = self.trace_parent_of_child(birth.trace_parent, waiting);
        let started = ExecutionStarted {
            name: birth.name,
            instance_id: birth.id,
            execution_id: uuid::Uuid::now_v7().simple().to_string(),
            input: birth.input,
            parent_instance_id,
            version: birth.version.or(found.label).filter(|label| !label.is_empty()),
            tags: birth.tags,
            trace_parent,
            trace_state: birth.trace_state,
            awaited_by,
            depth: birth.depth,
            scheduled_at: birth.scheduled_at,
            completes_early: found.options.completes_early,
        };
        let record = InstanceRecord {
            hub: hub.clone(),
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
            parent_instance_id: started.parent_instance_id.clone(),
            tags: started.tags.clone(),
            ready: true,
        };
        let session = Arc::new(Session::new(Orchestration::start(started, now)));
        Box::new(Live {
            record,
            session,
            guest: None,
            failed_history: None,
            waiter: None,
            ran: None,
            used: Usage::default(),
            place: None,
            share: Arc::default(),
            logged: Default::default(),
        })
    }

    /// An early look, so that no guest runs for a start that will be refused. The commit decides.
    async fn refuse_taken(&self, record: &InstanceRecord, reuse: store::Reuse) -> Result<(), StartError> {
        let Some(existing) = self.store.instance(&record.hub, &record.id).await? else { return Ok(()) };
        if reuse == store::Reuse::Terminal && existing.status.is_terminal() {
            return Ok(());
        }
        Err(StartError::Exists { id: existing.id, status: existing.status })
    }

    /// Runs the first episode for a moment and saves the start, with the episode if that has ended by then.
    pub(super) async fn begin(
        self: &Arc<Self>,
        mut live: Box<Live>,
        (reuse, mail): (store::Reuse, Vec<MailId>),
        first_episode: FirstEpisode,
    ) -> Result<(), CommitError> {
        let (decision, began) = (live.session.with(Orchestration::take_decision), Instant::now());
        let mut first = match first_episode {
            FirstEpisode::Later => First::Postponed,
            FirstEpisode::Now => match tokio::time::timeout(self.settings.start_patience, self.run(&mut live)).await {
                Ok(false) => First::Done,
                Ok(true) => First::Postponed,
                Err(_) => First::Running,
            },
        };
        let mut ahead = Ahead::of(decision);
        if first == First::Done {
            let decision = ahead.decision.then(live.session.with(Orchestration::take_decision));
            ahead = self.run_ahead(&mut live, decision, began).await;
        }
        if ahead.host_fault {
            first = First::Interrupted;
        }
        let (hub, id) = (live.record.hub.clone(), live.record.id.clone());
        let _starting = self.starting.begin(&hub, &id);
        self.save_start(live, ahead, (Expect::Startable(reuse), mail, first)).await
    }

    async fn save_start(
        self: &Arc<Self>,
        mut live: Box<Live>,
        Ahead { decision, begun, .. }: Ahead,
        (expect, mail, first): (Expect, Vec<MailId>, First),
    ) -> Result<(), CommitError> {
        let input = live.session.started().input;
        let spans = if first == First::Done { self.span_step(&mut live) } else { None };
        let context = self.context_of(&live.session);
        if first == First::Done {
            live.keep_log();
        }
        let logged = std::mem::take(&mut live.logged).into_lines();
        let (mut commit, effects) = match first {
            First::Done | First::Interrupted => self.commit_of(&mut live, decision, (expect, mail)),
            // The guest may have gone on meanwhile: what it did is not part of this commit.
            First::Running | First::Postponed => {
                let record = InstanceRecord { status: Status::Pending, ..live.record.clone() };
                (start_only(record, decision, (expect, mail)), Vec::new())
            }
        };
        commit.record.ready |= first != First::Done;
        if commit.payloads.input.is_none() {
            commit.payloads.input = Some(input);
        }
        let fresh = std::mem::take(&mut commit.fresh_history);
        let (record, end) = (commit.record.clone(), End::of(&commit));
        let sent = numbered(&commit);
        let loads = self.actors.loads();
        let Committed { number, revision, first_mail } = self.store.commit(commit).await?;
        self.meters.starts.inc();
        self.tell_step(spans);
        self.logs.append(number, logged);
        live.record = InstanceRecord { number, revision, ..record };
        if let Some(waiter) = live.waiter.take() {
            self.waiters.add(number, &waiter);
        }
        self.take_up((live, end), (effects, begun), (first, fresh, loads), context).await;
        // Not before the instance has its actor: what comes back to it would load it beside this one.
        self.post_mail(sent(first_mail));
        Ok(())
    }

    /// Gives an instance that has just been started its actor, and begins what it has decided.
    /// `loads`: what [`super::actor::Actors::loads`] said before the start was durable.
    async fn take_up(
        self: &Arc<Self>,
        (live, end): (Box<Live>, End),
        (effects, begun): (Vec<Effect>, Vec<Begun>),
        (first, fresh, loads): (First, bool, u64),
        context: Option<Context>,
    ) {
        let number = live.record.number;
        if live.record.status.is_terminal() {
            // Activities that it did not wait for go on.
            let actor = Actor::of_ended(number);
            self.act(&actor, &live.record, (effects, begun), context);
            actor.forget_activities();
            self.waiters.ended(number, end);
            return;
        }
        if first == First::Postponed {
            // What the guest did before the host failed it is not decided: it is loaded and begins anew.
            self.wake(number);
            return;
        }
        let record = live.record.clone();
        // What the host failed to go on with is loaded and replayed.
        if first != First::Interrupted
            && let Some(actor) = self.actors.adopt(number, live)
        {
            if let Some(hub) = self.hubs.get(&record.hub) {
                actor.is_of(&hub.lanes().slices);
            }
            // Somebody may have loaded it, taken it further and let it go before it had its actor.
            let is_untouched = self.actors.loads() == loads || self.is_current(&record).await;
            if is_untouched {
                self.act(&actor, &record, (effects, begun), context);
                if first == First::Running || fresh {
                    self.wake(number);
                }
                self.set_going(actor);
                return;
            }
            actor.forget();
            self.set_going(actor);
        }
        // A message came first and loaded the instance, its activities with it.
        for effect in effects {
            if let Effect::SetTimer { task, due } = effect {
                self.timers.set(number, task, (due, self.now()));
            }
        }
        self.wake(number);
    }

    /// Whether the instance is in the store as it is here.
    async fn is_current(&self, record: &InstanceRecord) -> bool {
        let found = self.store.instance(&record.hub, &record.id).await;
        matches!(found, Ok(Some(found)) if (found.number, found.revision) == (record.number, record.revision))
    }
}

fn start_only(
    record: InstanceRecord,
    decision: durawasm_core::Decision,
    (expect, mail_taken): (Expect, Vec<MailId>),
) -> store::Commit {
    store::Commit {
        expect,
        record,
        payloads: Default::default(),
        fresh_history: false,
        events: decision.events,
        timers_set: Vec::new(),
        timers_cleared: Vec::new(),
        mail_sent: Vec::new(),
        mail_taken,
        usage: Usage::default(),
    }
}

fn tell_start(span: Option<Open>, answer: Result<&InstanceId, &StartError>) {
    let Some(mut span) = span else { return };
    match answer {
        Ok(id) => {
            span.add("durawasm.instance.id", Attribute::text(id));
            span.ended(None);
        }
        Err(error) => span.ended(Some(SpanError::new("StartRefused", &error.to_string()))),
    }
}

fn refused(error: CommitError) -> StartError {
    match error {
        CommitError::Exists(existing) => StartError::Exists { id: existing.id.clone(), status: existing.status },
        CommitError::Conflict => StoreError::Unavailable("the start met another one; try again".to_owned()).into(),
        CommitError::Store(error) => error.into(),
    }
}
