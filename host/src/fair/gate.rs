//! Places, and who waits for them.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::share::Share;
use super::turns::Turns;

/// Somebody waits: no place may be taken past them.
const WAITING: u64 = 1 << 63;
/// Where a place is held for long, a lane may hold so many times as many as are free then. So a lane alone comes to
/// seven eighths of them, two lanes to almost half each, and whoever comes next finds one.
const TIMES_FREE: usize = 7;

/// A number of places, shared by lanes.
pub(crate) struct Gate {
    /// Free places, and [`WAITING`]. Changed under the lock only, while that is set.
    state: AtomicU64,
    keeps_some: bool,
    quantum: i64,
    turns: Mutex<Turns<u64, Waiter>>,
}

/// Who shares: a hub, at one gate.
#[derive(Debug)]
pub(crate) struct Lane {
    id: u64,
    held: AtomicUsize,
    share: Share,
}

struct Waiter {
    lane: Arc<Lane>,
    permit: oneshot::Sender<Permit>,
}

impl Lane {
    pub(crate) fn new() -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), held: AtomicUsize::new(0), share: Share::default() })
    }

    /// What it uses of all that there is.
    pub(crate) fn share(&self) -> &Share {
        &self.share
    }

    /// Places that it holds.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Gate {
    /// For what is held for long: a few places are always kept for lanes that have none. All count the same.
    pub(crate) fn of_places(places: usize) -> Arc<Self> {
        Self::new(places, true, 1)
    }

    /// For what is given back soon: any lane may have all of them. `quantum`: what a lane may use in its turn, in the
    /// unit of [`Permit::costs`].
    pub(crate) fn of_slices(places: usize, quantum: i64) -> Arc<Self> {
        Self::new(places, false, quantum)
    }

    fn new(places: usize, keeps_some: bool, quantum: i64) -> Arc<Self> {
        let places = u64::try_from(places).unwrap_or(WAITING - 1).clamp(1, WAITING / 2);
        Arc::new(Self { state: AtomicU64::new(places), keeps_some, quantum, turns: Mutex::new(Turns::new(quantum)) })
    }

    fn lock(&self) -> MutexGuard<'_, Turns<u64, Waiter>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody waits for a place, or there is none.
    pub(crate) fn is_short(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        state == 0 || state & WAITING != 0
    }

    fn fits(&self, lane: &Lane, state: u64) -> bool {
        let free = usize::try_from(state & !WAITING).unwrap_or(usize::MAX);
        free > 0 && (!self.keeps_some || lane.held() < free.saturating_mul(TIMES_FREE))
    }

    /// Takes a place if nobody waits for one; to be given back.
    pub(super) fn try_take(&self, lane: &Lane) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & WAITING != 0 || !self.fits(lane, state) {
                return false;
            }
            match self.state.compare_exchange_weak(state, state - 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    lane.held.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                Err(changed) => state = changed,
            }
        }
    }

    /// Gives a place back. `charged`: what the lane was charged for it; none, if nobody waited.
    pub(super) fn give_back(self: &Arc<Self>, lane: &Lane, (charged, cost): (Option<i64>, i64)) {
        lane.held.fetch_sub(1, Ordering::Relaxed);
        let mut state = self.state.load(Ordering::Relaxed);
        while state & WAITING == 0 {
            match self.state.compare_exchange_weak(state, state + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(changed) => state = changed,
            }
        }
        let mut turns = self.lock();
        self.state.fetch_add(1, Ordering::AcqRel);
        turns.settle(&lane.id, charged.unwrap_or(0), cost);
        let granted = self.grant(&mut turns);
        drop(turns);
        hand_out(granted);
    }

    /// Gives the free places to those who wait. The permits are to be handed out when the lock is released: one that
    /// nobody wants any more comes back here.
    fn grant(self: &Arc<Self>, turns: &mut Turns<u64, Waiter>) -> Vec<(oneshot::Sender<Permit>, Permit)> {
        let mut granted = Vec::new();
        while !turns.is_empty() {
            let state = self.state.load(Ordering::Relaxed);
            let Some(turn) = turns.pop(|waiter| self.fits(&waiter.lane, state)) else { break };
            self.state.fetch_sub(1, Ordering::AcqRel);
            let Waiter { lane, permit } = turn.item;
            lane.held.fetch_add(1, Ordering::Relaxed);
            let charged = Some(turn.charged);
            granted.push((permit, Permit { gate: Arc::clone(self), lane, charged, cost: self.quantum }));
        }
        if turns.is_empty() {
            self.state.fetch_and(!WAITING, Ordering::AcqRel);
        }
        granted
    }

    /// Waits for a place. Dropped before it has one, it leaves the queue.
    pub(crate) fn acquire(self: &Arc<Self>, lane: &Arc<Lane>) -> Acquire {
        Acquire { gate: Arc::clone(self), lane: Arc::clone(lane), waits: None }
    }

    fn enqueue(self: &Arc<Self>, lane: &Arc<Lane>) -> (u64, oneshot::Receiver<Permit>) {
        let (permit, receiver) = oneshot::channel();
        let mut turns = self.lock();
        self.state.fetch_or(WAITING, Ordering::AcqRel);
        let ticket = turns.push(&lane.id, Waiter { lane: Arc::clone(lane), permit });
        // A place may have come free just before.
        let granted = self.grant(&mut turns);
        drop(turns);
        hand_out(granted);
        (ticket, receiver)
    }

    fn leave(&self, lane: &Lane, ticket: u64) {
        let mut turns = self.lock();
        let left = turns.remove(&lane.id, ticket);
        if turns.is_empty() {
            self.state.fetch_and(!WAITING, Ordering::AcqRel);
        }
        drop(turns);
        drop(left);
    }
}

fn hand_out(granted: Vec<(oneshot::Sender<Permit>, Permit)>) {
    // One that comes back is dropped, and so goes to the next.
    granted.into_iter().for_each(|(waiter, permit)| drop(waiter.send(permit)));
}

/// A place, until it is dropped.
pub(crate) struct Permit {
    gate: Arc<Gate>,
    lane: Arc<Lane>,
    charged: Option<i64>,
    cost: i64,
}

impl Permit {
    /// What it was used for has cost this much.
    pub(super) fn costs(&mut self, cost: i64) {
        self.cost = cost;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.give_back(&self.lane, (self.charged, self.cost));
    }
}

/// See [`Gate::acquire`].
pub(crate) struct Acquire {
    gate: Arc<Gate>,
    lane: Arc<Lane>,
    waits: Option<(u64, oneshot::Receiver<Permit>)>,
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit> {
        let this = self.get_mut();
        loop {
            if let Some((_, permit)) = &mut this.waits {
                let permit = ready!(Pin::new(permit).poll(context));
                this.waits = None;
                // A gate does not forget those who wait; asking again costs a turn at most.
                if let Ok(permit) = permit {
                    return Poll::Ready(permit);
                }
            }
            if this.gate.try_take(&this.lane) {
                let (gate, lane, cost) = (Arc::clone(&this.gate), Arc::clone(&this.lane), this.gate.quantum);
                return Poll::Ready(Permit { gate, lane, charged: None, cost });
            }
            this.waits = Some(this.gate.enqueue(&this.lane));
        }
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        if let Some((ticket, permit)) = self.waits.take() {
            self.gate.leave(&self.lane, ticket);
            // If it was granted meanwhile, the place is given back with this.
            drop(permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    fn free(gate: &Gate) -> u64 {
        gate.state.load(Ordering::SeqCst)
    }

    #[test]
    fn a_lane_alone_leaves_an_eighth_and_a_newcomer_finds_it() {
        let (gate, one, two) = (Gate::of_places(256), Lane::new(), Lane::new());
        let held: Vec<_> = (0..300).filter_map(|_| gate.acquire(&one).now_or_never()).collect();
        assert_eq!((held.len(), one.held()), (224, 224));
        let others: Vec<_> = (0..300).filter_map(|_| gate.acquire(&two).now_or_never()).collect();
        assert_eq!(others.len(), 28);
        drop(held);
        drop(others);
        assert_eq!(free(&gate), 256);
    }

    #[test]
    fn few_places_can_all_be_held() {
        for places in 1..8 {
            let (gate, lane) = (Gate::of_places(places), Lane::new());
            let held: Vec<_> = (0..10).filter_map(|_| gate.acquire(&lane).now_or_never()).collect();
            assert_eq!(held.len(), places);
        }
    }

    #[test]
    fn one_that_comes_behind_ten_thousand_is_served_next() {
        let (gate, storm, quiet) = (Gate::of_slices(2, 1), Lane::new(), Lane::new());
        let mut held: Vec<_> = (0..2).map(|_| gate.acquire(&storm).now_or_never().unwrap()).collect();
        let mut queued: Vec<_> = (0..10_000).map(|_| Box::pin(gate.acquire(&storm))).collect();
        queued.iter_mut().for_each(|waiter| assert!(waiter.as_mut().now_or_never().is_none()));
        let mut one = Box::pin(gate.acquire(&quiet));
        assert!(one.as_mut().now_or_never().is_none());
        let mut before = 0;
        let mut storms = queued.iter_mut();
        while one.as_mut().now_or_never().is_none() {
            held.remove(0);
            held.extend(storms.next().and_then(|waiter| waiter.as_mut().now_or_never()));
            before += 1;
        }
        assert!(before <= 3, "{before}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn threads_never_hold_more_than_there_is() {
        let (gate, lanes) = (Gate::of_slices(3, 10), [Lane::new(), Lane::new(), Lane::new()]);
        let inside = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..60usize {
            let (gate, lane, inside) = (Arc::clone(&gate), Arc::clone(&lanes[task % 3]), Arc::clone(&inside));
            tasks.spawn(async move {
                for round in 0..500 {
                    if (task + round) % 7 == 0 {
                        // One that gives up, at whatever moment that is.
                        let _gone = tokio::time::timeout(std::time::Duration::ZERO, gate.acquire(&lane)).await;
                        continue;
                    }
                    let _permit = gate.acquire(&lane).await;
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                    if round % 3 == 0 {
                        tokio::task::yield_now().await;
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(free(&gate), 3, "all places are back, and nobody waits");
        assert!(lanes.iter().all(|lane| lane.held() == 0));
    }

    proptest! {
        /// Any order of coming, giving up and going: never more than there is; nobody waits for what is free and fits;
        /// in the end everything is back.
        #[test]
        fn places_are_kept(
            places in 1..20usize, keeps_some: bool, steps in prop::collection::vec((0..3u8, 0..4usize, any::<prop::sample::Index>()), 1..300)
        ) {
            let gate = Gate::new(places, keeps_some, 1);
            let lanes = [Lane::new(), Lane::new(), Lane::new(), Lane::new()];
            let mut held: Vec<Permit> = Vec::new();
            let mut waiting: Vec<(usize, Pin<Box<Acquire>>)> = Vec::new();
            for (what, lane, index) in steps {
                match what {
                    0 => waiting.push((lane, Box::pin(gate.acquire(&lanes[lane])))),
                    1 if !held.is_empty() => drop(held.swap_remove(index.index(held.len()))),
                    2 if !waiting.is_empty() => drop(waiting.remove(index.index(waiting.len()))),
                    _ => {}
                }
                let mut at = 0;
                while at < waiting.len() {
                    match waiting[at].1.as_mut().now_or_never() {
                        Some(permit) => {
                            // First in, first out: nobody of the lane has waited longer.
                            prop_assert!(waiting[..at].iter().all(|(other, _)| *other != waiting[at].0));
                            held.push(permit);
                            drop(waiting.remove(at));
                        }
                        None => at += 1,
                    }
                }
                prop_assert!(held.len() <= places);
                let left = places - held.len();
                for (lane, _) in &waiting {
                    let may = left > 0 && (!keeps_some || lanes[*lane].held() < 7 * left);
                    prop_assert!(!may, "a place is free for lane {lane}");
                }
            }
            drop(waiting);
            drop(held);
            prop_assert_eq!(free(&gate), places as u64);
        }
    }
}
