//! Which guests wait in memory, the least recently used first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::store::InstanceNumber;

/// Bytes of a component for which a guest counts as one more: what a guest changes in its memory grows with its language's
/// runtime, and that is nearly all of a component that is large.
const BYTES_A_UNIT: u64 = 2 << 20;

/// How much of the room for waiting guests one of a component of this size takes: 1 for Rust, about 10 for Python.
pub(super) fn weight(component_bytes: u64) -> usize {
    usize::try_from(component_bytes / BYTES_A_UNIT).unwrap_or(usize::MAX).saturating_add(1)
}

pub(super) struct Hot {
    /// Weight of all guests at most.
    limit: usize,
    order: Mutex<Order>,
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
        Self { limit, order: Mutex::default() }
    }

    /// Notes that this guest has just parked; returns those to drop if there are too many now.
    pub(super) fn parked(&self, number: InstanceNumber, weight: usize) -> Vec<InstanceNumber> {
        let order = &mut *self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.forget(number);
        order.next += 1;
        order.by_use.insert(order.next, number);
        order.uses.insert(number, (order.next, weight));
        order.weight = order.weight.saturating_add(weight);
        let mut dropped = Vec::new();
        while order.weight > self.limit {
            let Some(oldest) = order.by_use.values().next().copied() else { break };
            order.forget(oldest);
            dropped.push(oldest);
        }
        dropped
    }

    /// How many guests wait, and what they weigh together.
    pub(super) fn used(&self) -> (usize, usize) {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        (order.uses.len(), order.weight)
    }

    /// Notes that this guest runs or is gone.
    pub(super) fn taken(&self, number: InstanceNumber) {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).forget(number);
    }

    pub(super) fn drain(&self) -> Vec<InstanceNumber> {
        let order = &mut *self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.by_use.clear();
        order.weight = 0;
        order.uses.drain().map(|(number, _)| number).collect()
    }
}

impl Order {
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

    #[test]
    fn the_least_recently_used_make_room_for_their_weight() {
        let (one, two, three, four) = (InstanceNumber(1), InstanceNumber(2), InstanceNumber(3), InstanceNumber(4));
        let hot = Hot::new(10);
        assert_eq!(hot.parked(one, 4), []);
        assert_eq!(hot.parked(two, 4), []);
        assert_eq!(hot.parked(one, 4), [], "it was used again");
        assert_eq!(hot.parked(three, 6), [two]);
        hot.taken(one);
        assert_eq!(hot.parked(two, 4), []);
        assert_eq!(hot.parked(four, 20), [three, two, four], "it alone is more than there is room for");
        assert_eq!(hot.drain(), []);
    }

    #[test]
    fn large_components_weigh_more() {
        assert_eq!((weight(70_000), weight(20_400_000)), (1, 10));
    }
}
