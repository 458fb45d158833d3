//! Which guests wait in memory, the least recently used first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::InstanceNumber;

/// Bytes of a component for which a guest counts as one more: what a guest changes in its memory grows with its language's
/// runtime, and that is nearly all of a component that is large.
const BYTES_A_UNIT: u64 = 2 << 20;

/// How much of the room for waiting guests one of a component of this size takes: 1 for Rust, about 10 for Python.
pub(super) fn weight(component_bytes: u64) -> usize {
    usize::try_from(component_bytes / BYTES_A_UNIT).unwrap_or(usize::MAX).saturating_add(1)
}

/// The part of the room that guests get whose replay costs little, while nothing of ours is about to wake them.
const IDLE_PART: usize = 8;

pub(super) struct Hot {
    /// Weight of all guests at most.
    limit: usize,
    /// All of them, and among them the idle ones.
    orders: Mutex<(Order, Order)>,
}

/// A guest that has just parked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parked {
    pub(super) number: InstanceNumber,
    pub(super) weight: usize,
    /// No activity of it is under way: it waits for a timer, an event or another instance, perhaps for long.
    pub(super) idle: bool,
}

#[derive(Default)]
struct Order {
    next: u64,
    weight: usize,
    by_use: BTreeMap<u64, InstanceNumber>,
    /// When it was used last, and its weight.
    uses: HashMap<InstanceNumber, (u64, usize)>,
}

impl Hot {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, orders: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, (Order, Order)> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that this guest has just parked; returns those to drop if there are too many now.
    pub(super) fn parked(&self, parked: Parked) -> Vec<InstanceNumber> {
        let (all, idle) = &mut *self.lock();
        idle.forget(parked.number);
        all.used(parked);
        // A large component's guests cost more to replay than to keep.
        if parked.idle && parked.weight == 1 {
            idle.used(parked);
        }
        let mut dropped = idle.beyond(self.limit / IDLE_PART);
        dropped.iter().for_each(|number| all.forget(*number));
        let beyond = all.beyond(self.limit);
        beyond.iter().for_each(|number| idle.forget(*number));
        dropped.extend(beyond);
        dropped
    }

    /// How many guests wait, and what they weigh together.
    pub(super) fn used(&self) -> (usize, usize) {
        let (all, _) = &*self.lock();
        (all.uses.len(), all.weight)
    }

    /// Notes that this guest runs or is gone.
    pub(super) fn taken(&self, number: InstanceNumber) {
        let (all, idle) = &mut *self.lock();
        all.forget(number);
        idle.forget(number);
    }

    pub(super) fn drain(&self) -> Vec<InstanceNumber> {
        let (all, _) = std::mem::take(&mut *self.lock());
        all.uses.into_keys().collect()
    }
}

impl Order {
    fn used(&mut self, Parked { number, weight, .. }: Parked) {
        self.forget(number);
        self.next += 1;
        self.by_use.insert(self.next, number);
        self.uses.insert(number, (self.next, weight));
        self.weight = self.weight.saturating_add(weight);
    }

    /// Forgets the least recently used until there are not too many.
    fn beyond(&mut self, limit: usize) -> Vec<InstanceNumber> {
        let mut dropped = Vec::new();
        while self.weight > limit {
            let Some(oldest) = self.by_use.values().next().copied() else { break };
            self.forget(oldest);
            dropped.push(oldest);
        }
        dropped
    }

    fn forget(&mut self, number: InstanceNumber) {
        if let Some((used, weight)) = self.uses.remove(&number) {
            self.by_use.remove(&used);
            self.weight = self.weight.saturating_sub(weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: [InstanceNumber; 4] = [InstanceNumber(1), InstanceNumber(2), InstanceNumber(3), InstanceNumber(4)];

    #[test]
    fn the_least_recently_used_make_room_for_their_weight() {
        let [one, two, three, four] = NUMBERS;
        let hot = Hot::new(10);
        let parked = |number, weight| hot.parked(Parked { number, weight, idle: weight > 1 });
        assert_eq!(parked(one, 4), []);
        assert_eq!(parked(two, 4), []);
        assert_eq!(parked(one, 4), [], "it was used again");
        assert_eq!(parked(three, 6), [two]);
        hot.taken(one);
        assert_eq!(parked(two, 4), []);
        assert_eq!(parked(four, 20), [three, two, four], "it alone is more than there is room for");
        assert_eq!(hot.drain(), []);
    }

    #[test]
    fn light_guests_that_nothing_wakes_soon_get_a_part_of_the_room() {
        let [one, two, three, four] = NUMBERS;
        let hot = Hot::new(2 * IDLE_PART);
        let parked = |number, idle| hot.parked(Parked { number, weight: 1, idle });
        assert_eq!((parked(one, true), parked(two, true), parked(three, false)), (vec![], vec![], vec![]));
        assert_eq!(parked(one, false), [], "it waits for an activity now");
        assert_eq!((parked(three, true), parked(four, true)), (vec![], vec![two]));
        hot.taken(three);
        assert_eq!(parked(two, true), []);
        assert_eq!((hot.used(), hot.drain().len()), ((3, 3), 3));
    }

    #[test]
    fn large_components_weigh_more() {
        assert_eq!((weight(70_000), weight(20_400_000)), (1, 10));
    }
}
