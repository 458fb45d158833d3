//! What the guest's code does.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::check::is_same;
use super::fuel::same_fuel_at_return;
use super::{
    MAX_DEPTH, MAX_EPISODE_BYTES, MAX_EPISODE_LETTERS, MAX_HISTORY_EVENTS, MAX_TASKS, Mark, Orchestration, Phase,
    RecordEnd, is_command,
};
use crate::command::{Command, Notice, Say};
use crate::decision::{ChildStart, Effect, Letter, Outgoing};
use crate::error::{GuestFault, NonDeterminism};
use crate::guid;
use crate::history::{Ending, EventKind};
use crate::ledger::{Task, TaskState, Work};
use crate::model::{InstanceId, Outcome, Payload, TaskId, check_instance_id};

impl Orchestration {
    /// Issues a command and returns the handle of its task. Replaying, it must be the next recorded one.
    ///
    /// # Errors
    /// Non-determinism; too many tasks or events; a sub-orchestration that cannot be.
    pub fn call(&mut self, command: Command) -> Result<TaskId, GuestFault> {
        if self.run.tasks_made >= MAX_TASKS {
            return Err(GuestFault::Limit { what: "too many tasks in one execution", limit: MAX_TASKS });
        }
        let task = TaskId(self.run.tasks_made + 1);
        let event = self.event_of(command, task)?;
        self.run.tasks_made += 1;
        self.run.delivered.push(false);
        if self.issue(event)? {
            let effect = self.effect_of(task);
            self.decision.effects.extend(effect);
        }
        Ok(task)
    }

    /// Issues a request that nothing comes back for; returns the instance it is about.
    ///
    /// # Errors
    /// Non-determinism; too many events; a sub-orchestration that cannot be, or an impossible instance id.
    pub fn notify(&mut self, notice: Notice) -> Result<InstanceId, GuestFault> {
        if self.run.notices_made >= MAX_TASKS {
            let what = "too many sub-orchestrations started and events sent in one execution";
            return Err(GuestFault::Limit { what, limit: MAX_TASKS });
        }
        self.run.notices_made += 1;
        match notice {
            Notice::StartSubOrchestration { instance_id, name, input, version, tags } => {
                let number = self.run.notices_made;
                let instance_id = self.child_id(instance_id, format_args!("child_{number}"))?;
                let start = ChildStart {
                    name: name.clone(),
                    input: input.clone(),
                    version: version.clone(),
                    tags: tags.clone(),
                    parent_instance_id: self.started.instance_id.clone(),
                    awaited_by: None,
                    depth: self.started.depth + 1,
                    trace_parent: self.started.trace_parent.clone(),
                    trace_state: self.started.trace_state.clone(),
                    again: false,
                };
                let event =
                    EventKind::SubOrchestrationStarted { instance_id: instance_id.clone(), name, input, version, tags };
                self.issue_letter(event, &instance_id, Letter::StartChild(Box::new(start)))?;
                Ok(instance_id)
            }
            Notice::SendEvent { instance_id, name, input } => {
                let instance_id = checked(instance_id)?;
                let letter = Letter::EventRaised { name: name.clone(), input: input.clone() };
                let event = EventKind::EventSent { instance_id: instance_id.clone(), name, input };
                self.issue_letter(event, &instance_id, letter)?;
                Ok(instance_id)
            }
        }
    }

    fn issue_letter(&mut self, event: EventKind, to: &InstanceId, letter: Letter) -> Result<(), GuestFault> {
        if self.issue(event)? {
            self.decision.effects.push(Effect::Send(Outgoing { to: to.clone(), letter }));
        }
        Ok(())
    }

    /// The event that records this command.
    fn event_of(&self, command: Command, task: TaskId) -> Result<EventKind, GuestFault> {
        Ok(match command {
            Command::CallActivity { name, input, retry, timeout_ms, tags } => {
                EventKind::TaskScheduled { task, name, input, retry, timeout_ms, tags }
            }
            Command::CallSubOrchestration { instance_id, name, input, retry, version, tags } => {
                let chosen_id = instance_id.is_some();
                let instance_id = self.child_id(instance_id, format_args!("{task}_1"))?;
                EventKind::SubOrchestrationCreated { task, instance_id, chosen_id, name, input, retry, version, tags }
            }
            Command::CreateTimer { fire_at } => EventKind::TimerCreated { task, fire_at },
            Command::AwaitEvent { name } => EventKind::EventAwaited { task, name },
        })
    }

    /// The id of a new sub-orchestration: the chosen one, or one that every replay derives again.
    fn child_id(&self, chosen: Option<String>, call: std::fmt::Arguments<'_>) -> Result<InstanceId, GuestFault> {
        if self.started.depth >= MAX_DEPTH {
            let what = "too many levels of sub-orchestrations";
            return Err(GuestFault::Limit { what, limit: MAX_DEPTH });
        }
        let Some(chosen) = chosen else {
            let position = match &self.run.phase {
                Phase::Replaying { record, .. } => {
                    record.commands.front().map_or(usize::MAX, |(position, _)| *position)
                }
                Phase::Live | Phase::Checked => usize::MAX,
            };
            return Ok(guid::child_id(&self.ledger.execution_at(position), call).into());
        };
        let chosen = checked(chosen)?;
        if chosen == self.started.instance_id {
            let why = "is that of the parent itself".to_owned();
            return Err(GuestFault::BadInstanceId { id: chosen.to_string(), why });
        }
        Ok(chosen)
    }

    /// True: the event is new, and recorded now. False: it is the next recorded one.
    fn issue(&mut self, event: EventKind) -> Result<bool, GuestFault> {
        if self.matches_recorded(&event)? {
            return Ok(false);
        }
        if self.ledger.length >= MAX_HISTORY_EVENTS {
            let limit = u32::try_from(MAX_HISTORY_EVENTS).unwrap_or(u32::MAX);
            return Err(GuestFault::Limit { what: "too many events in the history of one execution", limit });
        }
        let (bytes, letters) = &mut self.run.episode;
        *bytes += weight(&event);
        *letters += u32::from(is_letter(&event));
        if *bytes > MAX_EPISODE_BYTES {
            let limit = u32::try_from(MAX_EPISODE_BYTES).unwrap_or(u32::MAX);
            return Err(GuestFault::Limit {
                what: "too many bytes of inputs and events without waiting for a task",
                limit,
            });
        }
        if *letters > MAX_EPISODE_LETTERS {
            let what = "too many sub-orchestrations and events to others without waiting for a task";
            return Err(GuestFault::Limit { what, limit: MAX_EPISODE_LETTERS });
        }
        self.record(event);
        Ok(true)
    }

    /// Gives a task up. One that has completed stays as it is; a sub-orchestration goes on, but nobody waits for it.
    ///
    /// # Errors
    /// Non-determinism; too many events; a task that does not exist.
    pub fn cancel(&mut self, task: TaskId) -> Result<(), GuestFault> {
        self.known(task)?;
        let effect = match self.ledger.task(task) {
            Some(Task { work, state: TaskState::Open { retry_at } }) => match (work, retry_at) {
                (Work::Timer { fire_at }, _) => Some(Effect::ClearTimer { task, due: *fire_at }),
                (Work::Activity { .. } | Work::Child { .. }, Some(due)) => Some(Effect::ClearTimer { task, due: *due }),
                (Work::Activity { .. }, None) => Some(Effect::CancelActivity { task }),
                (Work::Child { .. }, None) | (Work::Event { .. }, _) => None,
            },
            Some(Task { state: TaskState::Done { .. } | TaskState::Canceled, .. }) | None => None,
        };
        if self.issue(EventKind::TaskCanceled { task })? {
            self.decision.effects.extend(effect);
        }
        Ok(())
    }

    /// The task of the list that completed first; none: the guest must wait and ask again after the next message.
    ///
    /// # Errors
    /// Non-determinism; an empty list; a task that does not exist; a list of nothing but cancelled tasks.
    pub fn when_any(&mut self, tasks: &[TaskId]) -> Result<Option<TaskId>, GuestFault> {
        self.reach_wait(tasks)?;
        if self.is_checked() {
            return Ok(None);
        }
        let mut first: Option<(u32, Timestamp, TaskId)> = None;
        let mut all_canceled = true;
        for &task in tasks {
            self.known(task)?;
            match self.ledger.task(task).map(|entry| &entry.state) {
                Some(TaskState::Done { order, at, .. }) => {
                    all_canceled = false;
                    if first.is_none_or(|(best, _, _)| *order < best) {
                        first = Some((*order, *at, task));
                    }
                }
                Some(TaskState::Open { .. }) => all_canceled = false,
                Some(TaskState::Canceled) | None => {}
            }
        }
        match first {
            Some((_, at, task)) => {
                self.serve(&[task], at);
                Ok(Some(task))
            }
            None if all_canceled => Err(GuestFault::EmptyWait),
            None => {
                self.park(tasks)?;
                Ok(None)
            }
        }
    }

    /// True once all tasks of the list have completed; false: as [`Orchestration::when_any`]'s none. While it is false
    /// the guest must ask again with the same list.
    ///
    /// # Errors
    /// Non-determinism; a task that does not exist; a cancelled task, which would never complete.
    pub fn when_all(&mut self, tasks: &[TaskId]) -> Result<bool, GuestFault> {
        self.reach_wait(tasks)?;
        if self.is_checked() {
            return Ok(false);
        }
        let mut done = self.run.all_done_prefix.min(tasks.len());
        while let Some(&task) = tasks.get(done) {
            self.known(task)?;
            match self.ledger.task(task).map(|entry| &entry.state) {
                Some(TaskState::Done { .. }) => done += 1,
                Some(TaskState::Open { .. }) => break,
                Some(TaskState::Canceled) | None => return Err(GuestFault::EmptyWait),
            }
        }
        self.run.all_done_prefix = done;
        if done < tasks.len() {
            self.park(tasks)?;
            return Ok(false);
        }
        let latest = tasks.iter().filter_map(|task| self.completed_at(*task)).max();
        self.serve(tasks, latest.unwrap_or(self.run.now));
        Ok(true)
    }

    /// What a delivered task came to.
    ///
    /// # Errors
    /// When no wait has delivered it.
    pub fn result(&self, task: TaskId) -> Result<Outcome, GuestFault> {
        self.known(task)?;
        match self.ledger.task(task).map(|entry| &entry.state) {
            Some(TaskState::Done { outcome, .. }) if self.was_delivered(task) => Ok(outcome.clone()),
            Some(_) | None => Err(GuestFault::NotDelivered { task }),
        }
    }

    /// The time of the last completion that a wait delivered; never goes back.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.run.now
    }

    /// A GUID that is the same in every replay and different in every call.
    pub fn new_guid(&mut self) -> Uuid {
        let guid = guid::deterministic(&self.started.instance_id, self.run.now, self.run.guids);
        self.run.guids = self.run.guids.wrapping_add(1);
        guid
    }

    /// Sets or clears the custom status. A replay sets it again to what it was.
    pub fn set_custom_status(&mut self, status: Option<Payload>) {
        self.decision.custom_status = Some(status);
    }

    /// Asks for a fresh execution once the code returns. The last call counts.
    pub fn continue_as_new(&mut self, input: Option<Payload>, keep_events: bool) {
        self.run.next_execution = Some((input, keep_events));
    }

    /// True: the code repeats what it did before, so what it logs was logged.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        match self.run.phase {
            Phase::Replaying { .. } | Phase::Checked => true,
            Phase::Live => false,
        }
    }

    /// The code returned. What it came to counts unless it asked for a fresh execution and did not fail.
    ///
    /// # Errors
    /// Non-determinism.
    pub fn returned(&mut self, outcome: Outcome, now: Timestamp) -> Result<(), GuestFault> {
        self.tick(now);
        let ending = match (self.run.next_execution.take(), outcome) {
            (Some((input, keep_events)), Ok(_)) => Ending::ContinuedAsNew { input, keep_events },
            (Some(_), Err(failure)) => Ending::Returned(Err(failure)),
            (None, outcome) => Ending::Returned(outcome),
        };
        let event = EventKind::OrchestratorReturned { ending, fuel: self.run.fuel.exact };
        if !self.matches_recorded(&event)? {
            self.record(event);
            self.end_if_nothing_holds_it();
        }
        Ok(())
    }

    /// The host stops the execution for something its code did that no replay could repeat. What the code asked for since
    /// its last wait never happened: nobody was told of it, and it is not recorded.
    pub fn fail(&mut self, failure: crate::model::Failure, now: Timestamp) {
        self.tick(now);
        self.forget_since_last_wait();
        self.end(crate::model::Status::Failed, Err(failure));
    }

    /// Takes back the commands that were issued since the code last waited; what it cancelled stays cancelled.
    fn forget_since_last_wait(&mut self) {
        let Mark { tasks, events, effects } = self.run.mark;
        let is_older = |task: TaskId| index_of(task).is_some_and(|index| index < tasks);
        let since = self.decision.events.split_off(events.min(self.decision.events.len()));
        let (stay, forgotten): (Vec<_>, Vec<_>) = since.into_iter().partition(|event| {
            if let EventKind::TaskCanceled { task } = &event.kind { is_older(*task) } else { !is_command(&event.kind) }
        });
        self.decision.events.extend(stay);
        self.ledger.forget(tasks, &forgotten);
        let since = self.decision.effects.split_off(effects.min(self.decision.effects.len()));
        self.decision.effects.extend(since.into_iter().filter(|effect| match effect {
            Effect::ClearTimer { task, .. } | Effect::CancelActivity { task } => is_older(*task),
            Effect::RunActivity(_) | Effect::SetTimer { .. } | Effect::Send(_) => false,
        }));
        // What was asked for before a wait that was over at once never begins either.
        self.decision.effects.retain(|effect| !matches!(effect, Effect::RunActivity(_) | Effect::SetTimer { .. }));
    }

    /// The code has run as far as it could: notes how much of it a replay has seen.
    pub fn end_episode(&mut self) {
        let waits_served = self.run.waits_served;
        if self.ledger.ended.is_none() && self.ledger.waits_served != Some(waits_served) {
            let fuel = self.run.fuel.exact.filter(|_| self.ledger.returned.is_none());
            self.record(EventKind::EpisodeCompleted { waits_served, fuel });
        }
    }

    /// Time for what the guest does next, if nothing was delivered that brought its own.
    pub fn begin_episode(&mut self, now: Timestamp) {
        self.tick(now);
    }

    fn known(&self, task: TaskId) -> Result<(), GuestFault> {
        let made = self.run.tasks_made;
        if task.0 == 0 || task.0 > made { Err(GuestFault::UnknownTask { task, made }) } else { Ok(()) }
    }

    fn completed_at(&self, task: TaskId) -> Option<Timestamp> {
        match self.ledger.task(task)?.state {
            TaskState::Done { at, .. } => Some(at),
            TaskState::Open { .. } | TaskState::Canceled => None,
        }
    }

    /// True: the event is the next recorded one. False: it is new.
    fn matches_recorded(&mut self, event: &EventKind) -> Result<bool, NonDeterminism> {
        let Phase::Replaying { record, waits, end } = &mut self.run.phase else { return Ok(false) };
        match record.commands.front() {
            Some((position, recorded)) if is_same(recorded, event) => {
                same_fuel_at_return(*position, recorded, event)?;
                record.commands.pop_front();
                if record.commands.is_empty() && *end == RecordEnd::Return {
                    self.run.phase = Phase::Checked;
                }
                Ok(true)
            }
            Some((position, recorded)) => Err(NonDeterminism {
                position: *position,
                expected: Say(recorded).to_string(),
                found: Say(event).to_string(),
            }),
            None if *end == RecordEnd::Somewhere && self.run.waits_served >= *waits => {
                self.run.phase = Phase::Checked;
                Ok(false)
            }
            None => Err(NonDeterminism {
                position: self.ledger.length,
                expected: "wait".to_owned(),
                found: Say(event).to_string(),
            }),
        }
    }

    /// The guest is at a wait: the one where the record ends ends the replay.
    fn reach_wait(&mut self, tasks: &[TaskId]) -> Result<(), NonDeterminism> {
        self.reach_fuel(tasks)?;
        let Phase::Replaying { record, waits, end } = &self.run.phase else { return Ok(()) };
        if self.run.waits_served < *waits || *end == RecordEnd::Return {
            return Ok(());
        }
        match record.commands.front() {
            Some(_) if *end == RecordEnd::Somewhere => Ok(()),
            Some((position, recorded)) => Err(NonDeterminism {
                position: *position,
                expected: Say(recorded).to_string(),
                found: format!("wait for {}", list_of(tasks)),
            }),
            None => {
                self.run.phase = if *end == RecordEnd::Live { Phase::Live } else { Phase::Checked };
                self.run.fuel.goes_live();
                Ok(())
            }
        }
    }

    /// Nothing to serve. Live, the guest waits; replaying, it once was served here.
    fn park(&self, tasks: &[TaskId]) -> Result<(), NonDeterminism> {
        let Phase::Replaying { record, .. } = &self.run.phase else { return Ok(()) };
        let (position, expected) = match record.commands.front() {
            Some((position, recorded)) => (*position, Say(recorded).to_string()),
            None => (self.ledger.length, "wait for something that has completed".to_owned()),
        };
        Err(NonDeterminism { position, expected, found: format!("wait for {}", list_of(tasks)) })
    }

    /// Failures that are about to reach the code for the first time are recorded first: a rewind may go back to here.
    fn note_failures(&mut self, tasks: &[TaskId]) {
        if self.is_replaying() {
            return;
        }
        let mut failed: BTreeSet<TaskId> = BTreeSet::new();
        for &task in tasks {
            let state = self.ledger.task(task).map(|entry| &entry.state);
            let has_failed = matches!(state, Some(TaskState::Done { outcome: Err(_), .. }));
            if has_failed && !self.was_delivered(task) {
                failed.insert(task);
            }
        }
        if !failed.is_empty() {
            let tasks = failed.into_iter().collect();
            self.record(EventKind::FailureDelivered { tasks, waits_served: self.run.waits_served });
        }
    }

    fn was_delivered(&self, task: TaskId) -> bool {
        index_of(task).and_then(|index| self.run.delivered.get(index)).copied().unwrap_or(false)
    }

    fn serve(&mut self, tasks: &[TaskId], at: Timestamp) {
        self.note_failures(tasks);
        self.run.now = self.run.now.max(at);
        self.run.waits_served += 1;
        self.run.episode = (0, 0);
        self.run.mark = Mark {
            tasks: self.ledger.tasks.len(),
            events: self.decision.events.len(),
            effects: self.decision.effects.len(),
        };
        self.run.all_done_prefix = 0;
        for index in tasks.iter().copied().filter_map(index_of) {
            if let Some(delivered) = self.run.delivered.get_mut(index) {
                *delivered = true;
            }
        }
    }
}

fn index_of(task: TaskId) -> Option<usize> {
    usize::try_from(task.0).ok()?.checked_sub(1)
}

/// Bytes of the payload that a command hands over.
fn weight(event: &EventKind) -> usize {
    if let EventKind::TaskScheduled { input, .. }
    | EventKind::SubOrchestrationCreated { input, .. }
    | EventKind::SubOrchestrationStarted { input, .. }
    | EventKind::EventSent { input, .. } = event
    {
        return input.as_ref().map_or(0, |input| input.len());
    }
    0
}

/// True: another instance is told.
fn is_letter(event: &EventKind) -> bool {
    matches!(
        event,
        EventKind::SubOrchestrationCreated { .. }
            | EventKind::SubOrchestrationStarted { .. }
            | EventKind::EventSent { .. }
    )
}

fn checked(id: String) -> Result<InstanceId, GuestFault> {
    match check_instance_id(&id) {
        Ok(()) => Ok(id.into()),
        Err(why) => Err(GuestFault::BadInstanceId { id, why }),
    }
}

/// The first few tasks of a list, for a report.
pub(super) fn list_of(tasks: &[TaskId]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<_> = tasks.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if tasks.len() > SHOWN { ", …" } else { "" };
    format!("task {}{more}", shown.join(", "))
}
