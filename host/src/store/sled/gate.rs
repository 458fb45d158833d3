//! A hand on the sync, for tests: holds it back or makes it fail.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Lets a test decide when, and whether, the next sync succeeds. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct SyncGate {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: bool,
    /// Of the next sync that comes.
    next: u64,
    waiting: BTreeSet<u64>,
    may_pass: BTreeSet<u64>,
    failure: Option<String>,
}

impl SyncGate {
    /// An open gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every sync from now on waits for [`SyncGate::release`].
    pub fn hold(&self) {
        self.state().held = true;
    }

    /// Lets waiting and later syncs pass.
    pub fn release(&self) {
        self.state().held = false;
        self.inner.changed.notify_all();
    }

    /// True: a sync waits at the gate. Everything up to it is in the files. Nothing changes them, unless the store takes
    /// syncs for slow, see [`super::SledOptions::slow_sync`].
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting() > 0
    }

    /// How many syncs wait at the gate.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// Lets one of the waiting syncs pass: the first to come is 0. Nothing, if there is none.
    pub fn let_through(&self, which: usize) {
        let mut state = self.state();
        let ticket = state.waiting.iter().nth(which).copied();
        state.may_pass.extend(ticket);
        self.inner.changed.notify_all();
    }

    /// The next sync that passes fails with this message.
    pub fn fail_next(&self, message: &str) {
        self.state().failure = Some(message.to_owned());
    }

    /// Passes the gate, once it is open.
    pub(super) fn pass(&self) -> Result<(), String> {
        let mut state = self.state();
        let ticket = state.next;
        state.next += 1;
        state.waiting.insert(ticket);
        while state.held && !state.may_pass.contains(&ticket) {
            state = self.inner.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.remove(&ticket);
        state.may_pass.remove(&ticket);
        state.failure.take().map_or(Ok(()), Err)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
