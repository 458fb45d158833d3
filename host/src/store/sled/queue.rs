//! What waits for the writer: hubs in turn, each hub's work in its order.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::flight::Landing;
use super::prepare::Prepared;
use super::settings::Setting;
use super::work::{Job, Work};
use crate::fair::Turns;
use crate::store::HubName;

/// What a hub may put into a group in its turn: the price of a small commit.
const QUANTUM: i64 = 16;
/// Bytes beside the rows of a commit that cost as much as a sixteenth of a small one.
const BYTES: usize = 1024;
/// Commits of one hub in a group, at most, while there are other hubs that commit: theirs should not wait for long groups.
const HUB_JOBS: usize = 128;
/// Other hubs are expected to commit again within this time.
const COMPANY: Duration = Duration::from_secs(1);

/// What reaches the writer.
pub(super) enum Note {
    Job(Job),
    /// A sync that another thread did.
    Landed(Landing),
    /// No work follows.
    Closed,
}

/// See the module.
pub(super) struct Queue {
    notes: Receiver<Note>,
    landings: VecDeque<Landing>,
    closed: bool,
    turns: Turns<HubName, Job>,
    /// The lane of work that is no hub's.
    nobody: HubName,
    last_hub: HubName,
    /// When two hubs were seen last.
    company: Option<Instant>,
}

/// A group that is being filled.
pub(super) struct Filling {
    pub(super) bytes: usize,
    /// Jobs of each hub; none: no hub is bounded.
    hubs: Option<HashMap<HubName, usize>>,
}

impl Queue {
    pub(super) fn new(notes: Receiver<Note>) -> Self {
        let nobody = HubName::from("");
        Self {
            notes,
            landings: VecDeque::new(),
            closed: false,
            turns: Turns::new(QUANTUM),
            last_hub: nobody.clone(),
            nobody,
            company: None,
        }
    }

    fn take_in(&mut self) {
        while let Ok(note) = self.notes.try_recv() {
            self.note(note);
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Job(job) => self.put(job),
            Note::Landed(landing) => self.landings.push_back(landing),
            Note::Closed => self.closed = true,
        }
    }

    /// Takes in what was sent. False: there is no work. None: there is none, and none will come.
    pub(super) fn receive(&mut self) -> Option<bool> {
        self.take_in();
        if self.turns.is_empty() && self.closed { None } else { Some(!self.turns.is_empty()) }
    }

    /// Several hubs commit.
    pub(super) fn has_company(&self) -> bool {
        self.company.is_some_and(|seen| seen.elapsed() < COMPANY)
    }

    /// Waits for work, the end of a sync, or the close of the store.
    pub(super) fn wait_for_any(&mut self) {
        if !self.landings.is_empty() {
            return;
        }
        match self.notes.recv() {
            Ok(note) => self.note(note),
            Err(_) => self.closed = true,
        }
    }

    /// Waits for the end of a sync, but only until then. Work that comes meanwhile wakes nobody: on a busy machine that
    /// would cost more than what it is for.
    pub(super) fn rest(&mut self, until: Option<Instant>) {
        loop {
            self.take_in();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if !self.landings.is_empty() || left.is_some_and(|left| left.is_zero()) {
                return;
            }
            match left {
                Some(left) => std::thread::park_timeout(left),
                None => std::thread::park(),
            }
        }
    }

    /// The end of a sync that was not looked at yet.
    pub(super) fn landing(&mut self) -> Option<Landing> {
        self.take_in();
        self.landings.pop_front()
    }

    fn put(&mut self, job: Job) {
        let hub = hub_of(&job.work).unwrap_or(&self.nobody);
        if **hub != *self.last_hub && !hub.is_empty() {
            if !self.last_hub.is_empty() {
                self.company = Some(Instant::now());
            }
            self.last_hub = hub.clone();
        }
        let hub = hub.clone();
        self.turns.push(&hub, job);
    }

    /// Begins to fill a group, with what has been waiting for it.
    pub(super) fn filling(&mut self, group: &[Job]) -> Filling {
        self.take_in();
        let shared = self.has_company();
        Filling { bytes: group.iter().map(job_bytes).sum(), hubs: shared.then(HashMap::new) }
    }

    /// The next one that the group takes.
    pub(super) fn next(&mut self, filling: &mut Filling) -> Option<Job> {
        if self.turns.is_empty() {
            self.take_in();
        }
        let Filling { bytes, hubs } = filling;
        let fits = |job: &Job| match (&hubs, hub_of(&job.work)) {
            (Some(hubs), Some(hub)) => hubs.get(hub).is_none_or(|jobs| *jobs < HUB_JOBS),
            (None, _) | (_, None) => true,
        };
        let turn = self.turns.pop(fits)?;
        let size = job_bytes(&turn.item);
        *bytes += size;
        let cost = QUANTUM.saturating_add(i64::try_from(size / BYTES).unwrap_or(i64::MAX / 2));
        self.turns.settle(&turn.lane, turn.charged, cost);
        if let Some(hubs) = hubs {
            *hubs.entry(turn.lane).or_default() += 1;
        }
        Some(turn.item)
    }

    /// Something waits that the group did not take.
    pub(super) fn has_more(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Waits for more. False: nothing came.
    pub(super) fn wait(&mut self, time: Duration) -> bool {
        if time.is_zero() {
            return false;
        }
        match self.notes.recv_timeout(time) {
            Ok(note) => {
                self.note(note);
                true
            }
            Err(_) => false,
        }
    }
}

fn hub_of(work: &Work) -> Option<&HubName> {
    match work {
        Work::Commit(prepared, _) => Some(&prepared.hub),
        Work::CommitAll(all, _) => all.first().map(|prepared| &prepared.hub),
        Work::PutApp(app, ..) => Some(&app.hub),
        Work::PutSchedule(change, _) => Some(&change.key.hub),
        Work::Set(Setting::Hub(hub, _), _) => Some(&hub.name),
        Work::Set(Setting::NoHub(hub, _) | Setting::NoApp(hub, ..), _) | Work::Charge(hub, ..) => Some(hub),
        Work::AnswerMail(..) | Work::Purge(..) | Work::Forget(_) => None,
    }
}

fn job_bytes(job: &Job) -> usize {
    match &job.work {
        Work::Commit(prepared, _) => prepared.piece_bytes(),
        Work::CommitAll(all, _) => all.iter().map(Prepared::piece_bytes).sum(),
        Work::AnswerMail(_, answer, _) => answer.as_ref().map_or(0, Vec::len),
        Work::PutApp(..)
        | Work::PutSchedule(..)
        | Work::Set(..)
        | Work::Purge(..)
        | Work::Forget(_)
        | Work::Charge(..) => 0,
    }
}
