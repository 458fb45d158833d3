//! Guests that have answered an HTTP call and stay for another one, for a moment.
//!
//! Making an instance and clearing it away is a good part of what a short call costs. A guest that has used nothing but the
//! calls of the contract leaves nothing behind except its memory, so it may answer the next call of the same function app
//! in the same hub, as a worker process of Azure Functions does. Of what such a guest holds nobody is charged; there are
//! few of them, and none stays for long.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::Store;

use super::bindings::exports::durable::functions::http_function;
use super::guest::Guest;
use super::limits::Limits;
use crate::engine::executor::SameHub;
use crate::store::Digest;

/// Guests that stay, of all hubs together.
const GUESTS: usize = 64;
/// The part of all guests that they may be at most: they take places of runs.
const PART: u32 = 8;
/// Bytes of their memories together: what they have touched of them is less.
const BYTES: usize = 128 << 20;
/// Bytes of the memory of one that may stay. What grew more is cleared away.
const GUEST_BYTES: usize = 8 << 20;
/// How often one may answer: what it forgets to give back does not pile up.
const ANSWERS: u32 = 1_000;
/// How often it is looked for those that have stayed long enough.
const LOOK: Duration = Duration::from_millis(500);

/// Whose guest it is: nobody else may have it, and no later hub of the same name.
#[derive(Clone, PartialEq)]
pub(super) struct Owner {
    pub(super) hub: SameHub,
    pub(super) code: Digest,
}

/// A guest that can answer HTTP calls.
pub(super) struct Answering {
    pub(super) store: Store<Guest>,
    pub(super) guest: http_function::Guest,
    /// How often it has answered.
    pub(super) answers: u32,
}

struct Waiting {
    owner: Owner,
    guest: Answering,
    bytes: usize,
    since: Instant,
}

/// The guests that stay.
pub(super) struct Warm {
    /// How many there may be.
    places: usize,
    /// How long one stays without a call.
    stay: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that came last are at the end.
    waiting: Vec<Waiting>,
    bytes: usize,
    /// Somebody looks after them.
    watched: bool,
}

impl State {
    fn remove(&mut self, index: usize) -> Waiting {
        let waiting = self.waiting.remove(index);
        self.bytes -= waiting.bytes;
        waiting
    }

    /// Takes out those for which this holds: they are to be dropped where nobody waits for the lock.
    fn take_where(&mut self, gone: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let (out, stay) = mem::take(&mut self.waiting).into_iter().partition(gone);
        self.waiting = stay;
        self.bytes = self.waiting.iter().map(|waiting| waiting.bytes).sum();
        out
    }
}

impl Warm {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let part = usize::try_from(limits.concurrent_guests / PART).unwrap_or(GUESTS);
        Arc::new(Self { places: part.min(GUESTS), stay: limits.function_stay, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in between would cost the guests that were there, or none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A guest of this owner, if one has stayed.
    pub(super) fn take(&self, owner: &Owner) -> Option<Answering> {
        let mut state = self.lock();
        let may_answer = |waiting: &Waiting| waiting.owner == *owner && waiting.since.elapsed() < self.stay;
        let index = state.waiting.iter().rposition(may_answer)?;
        Some(state.remove(index).guest)
    }

    /// Lets a guest that has answered stay, if it may.
    pub(super) fn keep(self: &Arc<Self>, owner: Owner, mut guest: Answering) {
        guest.answers += 1;
        let Some(bytes) = guest.store.data_mut().rest().filter(|bytes| *bytes <= GUEST_BYTES) else { return };
        if guest.answers >= ANSWERS || self.places == 0 || self.stay.is_zero() {
            return;
        }
        let mut state = self.lock();
        let mut gone = Vec::new();
        while state.waiting.len() >= self.places || state.bytes + bytes > BYTES {
            gone.push(state.remove(0));
        }
        state.bytes += bytes;
        state.waiting.push(Waiting { owner, guest, bytes, since: Instant::now() });
        let is_watched = mem::replace(&mut state.watched, true);
        drop(state);
        drop(gone);
        if !is_watched {
            tokio::spawn(Watch(Some(Arc::clone(self))).watch());
        }
    }

    /// Drops all: somebody needs their places.
    pub(super) fn clear(&self) {
        let gone = self.lock().take_where(|_| true);
        drop(gone);
    }

    /// Drops the guests of a component that is removed.
    pub(super) fn forget(&self, code: Digest) {
        let gone = self.lock().take_where(|waiting| waiting.owner.code == code);
        drop(gone);
    }

    /// Drops those that nobody has called for some time. False: there are no others, and nobody looks after them any more.
    fn sweep(&self) -> bool {
        let mut state = self.lock();
        let gone = state.take_where(|waiting| waiting.since.elapsed() >= self.stay);
        state.watched = !state.waiting.is_empty();
        let goes_on = state.watched;
        drop(state);
        drop(gone);
        goes_on
    }
}

/// Who looks after the guests that stay, until there are none or the runtime ends.
struct Watch(Option<Arc<Warm>>);

impl Watch {
    async fn watch(mut self) {
        while let Some(warm) = &self.0 {
            tokio::time::sleep(LOOK).await;
            if !warm.sweep() {
                self.0 = None;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(warm) = &self.0 {
            warm.lock().watched = false;
        }
    }
}
