//! Timer functions. The store has where each is in its schedule; what is due runs, and then its next occurrence is
//! written. So each occurrence runs at least once, and one that was written never again. A run serves all that was due
//! until it began: what was due while the host was down, however often, runs once, and so does what was due while the
//! function ran.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use durawasm_core::{Payload, SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::Notify;

use super::Inner;
use super::cron::Cron;
use super::executor::FunctionCall;
use super::functions::FunctionError;
use crate::store::{CommitError, HubName, ScheduleKey, ScheduleState, StoreError, TimerTrigger};

/// What is due is looked for at least this often in real time: clocks are set.
const GLANCE: Duration = Duration::from_secs(30);
/// Before something is tried again that failed by the host's fault.
const REST: Duration = Duration::from_secs(1);
/// What runs later than this is past due.
const LATE: SignedDuration = SignedDuration::from_secs(60);

/// Where all timer functions are.
pub(super) struct Schedules {
    entries: Mutex<HashMap<ScheduleKey, Entry>>,
    /// One at a time decides what is written.
    deciding: tokio::sync::Mutex<()>,
    changed: Arc<Notify>,
    /// What was due before is past due.
    opened: Timestamp,
}

struct Entry {
    /// As it is in the store.
    state: ScheduleState,
    cron: Cron,
    /// It runs, or what came of it is being written.
    busy: bool,
    /// It is to run now, whatever its schedule says.
    at_once: bool,
}

/// When the schedules are brought in line with the apps.
pub(super) enum Beginning {
    /// The host has started.
    Opened,
    /// This app was deployed.
    Deployed((HubName, String)),
    /// Neither.
    Later,
}

/// A function that is to run.
struct Due {
    key: ScheduleKey,
    state: ScheduleState,
    /// Its occurrence has come; otherwise it only runs because the host or the app is new.
    scheduled: bool,
}

impl Schedules {
    pub(super) fn new(opened: Timestamp) -> Self {
        Self { entries: Mutex::default(), deciding: tokio::sync::Mutex::default(), changed: Arc::default(), opened }
    }

    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ScheduleKey, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, key: &ScheduleKey) -> Option<ScheduleState> {
        self.entries().get(key).map(|entry| entry.state.clone())
    }

    /// Takes over what the store has.
    fn hold(&self, key: ScheduleKey, state: ScheduleState, cron: Cron) {
        let mut entries = self.entries();
        let before = entries.remove(&key);
        let busy = before.as_ref().is_some_and(|entry| entry.busy);
        let at_once = before.is_some_and(|entry| entry.at_once);
        entries.insert(key, Entry { state, cron, busy, at_once });
        drop(entries);
        self.changed.notify_one();
    }

    fn take_due(&self, now: Timestamp) -> Vec<Due> {
        let mut due = Vec::new();
        for (key, entry) in self.entries().iter_mut().filter(|(_, entry)| !entry.busy) {
            let scheduled = entry.state.due <= now;
            if scheduled || entry.at_once {
                (entry.busy, entry.at_once) = (true, false);
                due.push(Due { key: key.clone(), state: entry.state.clone(), scheduled });
            }
        }
        due
    }

    fn release(&self, key: &ScheduleKey) {
        if let Some(entry) = self.entries().get_mut(key) {
            entry.busy = false;
        }
        self.changed.notify_one();
    }

    /// How long there is nothing to do.
    fn pause(&self, now: Timestamp) -> Duration {
        let entries = self.entries();
        let mut waiting = entries.values().filter(|entry| !entry.busy);
        if waiting.any(|entry| entry.at_once) {
            return Duration::ZERO;
        }
        let next = entries.values().filter(|entry| !entry.busy).map(|entry| entry.state.due).min();
        let pause = next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO));
        pause.unwrap_or(GLANCE).min(GLANCE)
    }
}

/// Runs what is due until the engine is gone.
pub(super) async fn run(engine: Weak<Inner>) {
    loop {
        let Some(inner) = engine.upgrade() else { return };
        if inner.is_stopping() {
            return;
        }
        for due in inner.schedules.take_due(inner.now()) {
            tokio::spawn(fire(Weak::clone(&engine), due));
        }
        let pause = inner.schedules.pause(inner.now());
        let changed = Arc::clone(&inner.schedules.changed);
        // An engine that nobody uses any more must not be kept by its schedules.
        drop(inner);
        let _changed = tokio::time::timeout(pause, changed.notified()).await;
    }
}

/// What is left to do of an occurrence.
enum Step {
    Run,
    /// What was due until the run began has been served by it.
    Write {
        began: Timestamp,
    },
    Done,
}

/// Runs a function and writes its next occurrence, however often either has to be tried.
async fn fire(engine: Weak<Inner>, due: Due) {
    let mut step = Step::Run;
    loop {
        let Some(inner) = engine.upgrade().filter(|inner| !inner.is_stopping()) else { return };
        let tried = match step {
            Step::Run => inner.run_due(&due).await,
            Step::Write { began } => inner.write_next(&due, began).await.map(|()| Step::Done),
            Step::Done => return inner.schedules.release(&due.key),
        };
        match tried {
            Ok(next) => step = next,
            Err(reason) => {
                tracing::warn!(function = due.key.function, reason, "a timer function is tried again");
                drop(inner);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// What a timer function is given.
fn input(state: &ScheduleState, next: Option<Timestamp>, past_due: bool) -> Payload {
    let ScheduleState { last, updated, .. } = state;
    let (last, next) = (last.map(|last| last.to_string()), next.map(|next| next.to_string()));
    let status = json!({ "last": last, "next": next, "lastUpdated": updated.to_string() });
    json!({ "scheduleStatus": status, "isPastDue": past_due }).to_string().into()
}

impl Inner {
    /// Brings the schedules in line with the apps' current versions, durably.
    pub(super) async fn keep_schedules(&self, beginning: Beginning) -> Result<(), StoreError> {
        let _one_at_a_time = self.schedules.deciding.lock().await;
        if matches!(beginning, Beginning::Opened) {
            self.load_schedules().await?;
        }
        let wanted = self.apps.timers();
        let names: HashSet<&ScheduleKey> = wanted.iter().map(|(key, _)| key).collect();
        let gone: Vec<_> = self.schedules.entries().keys().filter(|key| !names.contains(key)).cloned().collect();
        for key in gone {
            self.change_schedule(&key, None).await?;
        }
        for (key, timer) in &wanted {
            let begins = match &beginning {
                Beginning::Opened => true,
                Beginning::Deployed((hub, app)) => key.hub == *hub && key.app == *app,
                Beginning::Later => false,
            };
            let held = self.schedules.state(key);
            let after = self.renewed(held.as_ref(), timer, matches!(beginning, Beginning::Opened));
            let at_once = begins && timer.run_on_startup;
            match after {
                Some(after) => self.change_schedule(key, Some(after)).await?,
                None if !at_once => continue,
                None => {}
            }
            if at_once && let Some(entry) = self.schedules.entries().get_mut(key) {
                entry.at_once = true;
            }
            self.schedules.look_again();
        }
        Ok(())
    }

    async fn load_schedules(&self) -> Result<(), StoreError> {
        for (key, state) in self.store.schedules().await? {
            if let Ok(cron) = Cron::parse(&state.schedule) {
                self.schedules.hold(key, state, cron);
            } else {
                // Of no use to anybody; what the app declares counts.
                tracing::error!(function = key.function, schedule = state.schedule, "a schedule cannot be read");
                self.put_schedule(&key, Some(state), None).await?;
            }
        }
        Ok(())
    }

    async fn put_schedule(
        &self,
        key: &ScheduleKey,
        before: Option<ScheduleState>,
        after: Option<ScheduleState>,
    ) -> Result<(), StoreError> {
        match self.store.put_schedule(key.clone(), before, after).await {
            Ok(()) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
            Err(CommitError::Conflict | CommitError::Exists(_)) => {
                Err(StoreError::Unavailable("a schedule was changed by somebody else".to_owned()))
            }
        }
    }

    /// Where a function's schedule begins, if what is held of it does not serve.
    fn renewed(
        &self,
        held: Option<&ScheduleState>,
        timer: &TimerTrigger,
        opened: bool,
    ) -> Option<(ScheduleState, Cron)> {
        let now = self.now();
        // What cannot be read was refused when it was deployed.
        let cron = Cron::parse(&timer.schedule).ok()?;
        let due = cron.next(now)?;
        let serves = held.is_some_and(|state| {
            let missed = opened && !timer.use_monitor && state.due <= now;
            // Later than the next occurrence: the clock was wrong when it was written.
            state.schedule == timer.schedule && !missed && state.due <= due
        });
        if serves {
            return None;
        }
        let last = held.and_then(|state| state.last);
        Some((ScheduleState { schedule: timer.schedule.clone(), due, last, updated: now }, cron))
    }

    /// Writes a state with its schedule as it was read, or removes it. To be called by whoever decides.
    async fn change_schedule(&self, key: &ScheduleKey, after: Option<(ScheduleState, Cron)>) -> Result<(), StoreError> {
        let state = after.as_ref().map(|(state, _)| state.clone());
        self.put_schedule(key, self.schedules.state(key), state).await?;
        match after {
            Some((state, cron)) => self.schedules.hold(key.clone(), state, cron),
            None => drop(self.schedules.entries().remove(key)),
        }
        Ok(())
    }

    /// Runs a function that is due. The error is a fault of the host: it is to be tried again.
    async fn run_due(self: &Arc<Self>, due: &Due) -> Result<Step, String> {
        let Due { key, state, scheduled } = due;
        let Some(digest) = self.apps.find_timer(key) else {
            self.keep_schedules(Beginning::Later).await.map_err(|error| error.to_string())?;
            return Ok(Step::Done);
        };
        let now = self.now();
        let past_due = *scheduled && (state.due < self.schedules.opened || now.duration_since(state.due) > LATE);
        let call = FunctionCall::Trigger(Some(self.timer_input(key, state, past_due)));
        match self.call(&key.hub, (digest, key.function.clone()), call).await {
            Ok(_) => tracing::info!(function = key.function, past_due, "a timer function has returned"),
            Err(error @ (FunctionError::Failed(_) | FunctionError::Timeout | FunctionError::Unknown)) => {
                tracing::warn!(function = key.function, past_due, %error, "a timer function has failed");
            }
            Err(error @ (FunctionError::Busy | FunctionError::Quota(_) | FunctionError::Host(_))) => {
                return Err(error.to_string());
            }
        }
        Ok(if *scheduled { Step::Write { began: now } } else { Step::Done })
    }

    fn timer_input(&self, key: &ScheduleKey, state: &ScheduleState, past_due: bool) -> Payload {
        let next = self.schedules.entries().get(key).and_then(|entry| entry.cron.next(self.now()));
        input(state, next, past_due)
    }

    /// What a timer function is given that is called by hand.
    pub(super) fn timer_status(&self, key: &ScheduleKey) -> Option<Payload> {
        Some(self.timer_input(key, &self.schedules.state(key)?, false))
    }

    /// Writes that an occurrence has run. The next one may have come meanwhile. What was deployed meanwhile stays.
    async fn write_next(&self, due: &Due, began: Timestamp) -> Result<(), String> {
        let _one_at_a_time = self.schedules.deciding.lock().await;
        if self.schedules.state(&due.key).as_ref() != Some(&due.state) {
            return Ok(());
        }
        let Ok(cron) = Cron::parse(&due.state.schedule) else { return Ok(()) };
        let after = ScheduleState {
            due: cron.next(began.max(due.state.due)).unwrap_or(Timestamp::MAX),
            last: Some(due.state.due),
            updated: self.now(),
            ..due.state.clone()
        };
        self.change_schedule(&due.key, Some((after, cron))).await.map_err(|error| error.to_string())
    }
}
