//! What waits for the writer: hubs in turn, each hub's work in its order.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::prepare::Prepared;
use super::settings::Setting;
use super::writer::{Job, Work};
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

/// See the module.
pub(super) struct Queue {
    jobs: Receiver<Job>,
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
    pub(super) fn new(jobs: Receiver<Job>) -> Self {
        let nobody = HubName::from("");
        Self { jobs, turns: Turns::new(QUANTUM), last_hub: nobody.clone(), nobody, company: None }
    }

    /// Takes in what was sent; waits for something if `patient`. False: there is nothing. None: nobody can send any more,
    /// and all is done.
    pub(super) fn receive(&mut self, patient: bool) -> Option<bool> {
        if self.turns.is_empty() {
            match if patient { self.jobs.recv().map_err(|_| TryRecvError::Disconnected) } else { self.jobs.try_recv() }
            {
                Ok(job) => self.put(job),
                Err(TryRecvError::Empty) => return Some(false),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
        Some(true)
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
        while let Ok(job) = self.jobs.try_recv() {
            self.put(job);
        }
        let shared = self.company.is_some_and(|seen| seen.elapsed() < COMPANY);
        Filling { bytes: group.iter().map(job_bytes).sum(), hubs: shared.then(HashMap::new) }
    }

    /// The next one that the group takes.
    pub(super) fn next(&mut self, filling: &mut Filling) -> Option<Job> {
        if self.turns.is_empty() {
            self.put(self.jobs.try_recv().ok()?);
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
        match self.jobs.recv_timeout(time) {
            Ok(job) => {
                self.put(job);
                true
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
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
