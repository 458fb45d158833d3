//! Where a running guest and the engine meet: the guest's host functions on one side, the instance's actor on the other.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use durawasm_core::model::{InstanceId, Outcome};
use durawasm_core::{Command, Fuel, GuestFault, Notice, Orchestration, Payload, TaskId, Timestamp};

use super::logs::{LogLevel, LogLimits, LogLine, Ring};

/// The state that a guest's host functions work on. Locks are held for single core calls only, never across an await.
pub struct Session {
    inner: Mutex<Inner>,
}

struct Inner {
    orchestration: Orchestration,
    blocked: bool,
    fault: Option<GuestFault>,
    /// What the guest has logged since the last commit.
    log: Ring,
}

impl Session {
    /// A session for a guest that is about to run from its beginning.
    #[must_use]
    pub fn new(orchestration: Orchestration) -> Self {
        Self { inner: Mutex::new(Inner { orchestration, blocked: false, fault: None, log: Ring::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The core does not panic half-way through a change; a poisoned lock still holds a consistent orchestration.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep<T>(inner: &mut Inner, answer: Result<T, GuestFault>) -> Result<T, GuestFault> {
        if let Err(fault) = &answer {
            inner.fault = Some(fault.clone());
        }
        answer
    }

    /// Issues a command that makes a task.
    ///
    /// # Errors
    /// What the core refuses; the guest must be stopped.
    pub fn call(&self, command: Command) -> Result<TaskId, GuestFault> {
        let inner = &mut *self.lock();
        let answer = inner.orchestration.call(command);
        Self::keep(inner, answer)
    }

    /// Issues a request that nothing comes back for; the instance it is about.
    ///
    /// # Errors
    /// What the core refuses; the guest must be stopped.
    pub fn notify(&self, notice: Notice) -> Result<InstanceId, GuestFault> {
        let inner = &mut *self.lock();
        let answer = inner.orchestration.notify(notice);
        Self::keep(inner, answer)
    }

    /// Gives a task up.
    ///
    /// # Errors
    /// What the core refuses; the guest must be stopped.
    pub fn cancel(&self, task: TaskId) -> Result<(), GuestFault> {
        let inner = &mut *self.lock();
        let answer = inner.orchestration.cancel(task);
        Self::keep(inner, answer)
    }

    /// The first completed task of the list, or none: then the session is blocked and the guest must park (return
    /// `Pending`; ask again when polled again).
    ///
    /// # Errors
    /// What the core refuses; the guest must be stopped.
    pub fn when_any(&self, tasks: &[TaskId]) -> Result<Option<TaskId>, GuestFault> {
        let inner = &mut *self.lock();
        let answer = inner.orchestration.when_any(tasks);
        inner.blocked = matches!(answer, Ok(None));
        Self::keep(inner, answer)
    }

    /// True once all tasks have completed; false: blocked, as with [`Session::when_any`].
    ///
    /// # Errors
    /// What the core refuses; the guest must be stopped.
    pub fn when_all(&self, tasks: &[TaskId]) -> Result<bool, GuestFault> {
        let inner = &mut *self.lock();
        let answer = inner.orchestration.when_all(tasks);
        inner.blocked = matches!(answer, Ok(false));
        Self::keep(inner, answer)
    }

    /// The outcome of a delivered task.
    ///
    /// # Errors
    /// What the core refuses; the guest must be stopped.
    pub fn result(&self, task: TaskId) -> Result<Outcome, GuestFault> {
        let inner = &mut *self.lock();
        let answer = inner.orchestration.result(task);
        Self::keep(inner, answer)
    }

    /// The orchestrator's time.
    pub fn now(&self) -> Timestamp {
        self.lock().orchestration.now()
    }

    /// A GUID that is the same in every replay.
    pub fn new_guid(&self) -> uuid::Uuid {
        self.lock().orchestration.new_guid()
    }

    /// Sets or clears the custom status. The caller has checked that it is JSON of at most 16 KiB.
    pub fn set_custom_status(&self, status: Option<Payload>) {
        self.lock().orchestration.set_custom_status(status);
    }

    /// The orchestrator wants a fresh execution once it returns.
    pub fn continue_as_new(&self, input: Option<Payload>, keep_events: bool) {
        self.lock().orchestration.continue_as_new(input, keep_events);
    }

    /// True: the guest does what it did before; its logs are old news.
    pub fn is_replaying(&self) -> bool {
        self.lock().orchestration.is_replaying()
    }

    /// The guest logs a line; what it logs while it does what it did before is dropped. The caller has bounded it.
    pub fn log(&self, level: LogLevel, text: &str) {
        let inner = &mut *self.lock();
        if inner.orchestration.is_replaying() {
            return;
        }
        let line = LogLine {
            sequence: 0,
            time: inner.orchestration.now(),
            level,
            function: inner.orchestration.started().name.as_str().into(),
            attempt: None,
            text: text.into(),
        };
        inner.log.push(line, &LogLimits::default());
    }

    /// What the guest has logged since this was asked for last.
    pub(super) fn take_log(&self) -> VecDeque<LogLine> {
        std::mem::take(&mut self.lock().log).into_lines()
    }

    /// The guest is about to wait, or has returned, and has used this much since its start.
    pub fn spent(&self, fuel: Fuel) {
        self.lock().orchestration.spent(fuel);
    }

    /// The guest was stopped, having used this much since its start.
    pub fn stopped(&self, total: u64) {
        self.lock().orchestration.stopped(total);
    }

    /// True: the guest repeats episodes that are recorded to their ends.
    pub fn is_within_record(&self) -> bool {
        self.lock().orchestration.is_within_record()
    }

    /// What is recorded that the guest will have used, by this count, where the record ends.
    pub fn recorded_fuel(&self, code: u64) -> Option<u64> {
        self.lock().orchestration.recorded_fuel(code)
    }

    /// Instance id, for logs.
    pub fn instance_id(&self) -> InstanceId {
        self.lock().orchestration.started().instance_id.clone()
    }

    /// What the execution was started with.
    pub fn started(&self) -> durawasm_core::ExecutionStarted {
        self.lock().orchestration.started().clone()
    }

    /// True: the guest is parked in a wait.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.lock().blocked
    }

    /// What the guest was stopped for.
    #[must_use]
    pub fn fault(&self) -> Option<GuestFault> {
        self.lock().fault.clone()
    }

    /// Access to the core, for whoever drives the guest.
    pub fn with<T>(&self, work: impl FnOnce(&mut Orchestration) -> T) -> T {
        work(&mut self.lock().orchestration)
    }
}
