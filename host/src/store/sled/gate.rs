//! A hand on the sync, for tests: holds it back or makes it fail.

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
    waiting: usize,
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
        self.state().waiting
    }

    /// The next sync fails with this message.
    pub fn fail_next(&self, message: &str) {
        self.state().failure = Some(message.to_owned());
    }

    /// Passes the gate, once it is open.
    pub(super) fn pass(&self) -> Result<(), String> {
        let mut state = self.state();
        state.waiting += 1;
        while state.held {
            state = self.inner.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        state.failure.take().map_or(Ok(()), Err)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
