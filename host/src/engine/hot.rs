//! Which guests wait in memory, the least recently used first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::store::InstanceNumber;

pub(super) struct Hot {
    limit: usize,
    order: Mutex<Order>,
}

#[derive(Default)]
struct Order {
    next: u64,
    by_use: BTreeMap<u64, InstanceNumber>,
    uses: HashMap<InstanceNumber, u64>,
}

impl Hot {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, order: Mutex::default() }
    }

    /// Notes that this guest has just parked; returns one to drop if there are too many now.
    pub(super) fn parked(&self, number: InstanceNumber) -> Option<InstanceNumber> {
        let order = &mut *self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.forget(number);
        order.next += 1;
        order.by_use.insert(order.next, number);
        order.uses.insert(number, order.next);
        if order.uses.len() <= self.limit {
            return None;
        }
        let oldest = order.by_use.values().next().copied()?;
        order.forget(oldest);
        Some(oldest)
    }

    /// Notes that this guest runs or is gone.
    pub(super) fn taken(&self, number: InstanceNumber) {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).forget(number);
    }

    pub(super) fn drain(&self) -> Vec<InstanceNumber> {
        let order = &mut *self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.by_use.clear();
        order.uses.drain().map(|(number, _)| number).collect()
    }
}

impl Order {
    fn forget(&mut self, number: InstanceNumber) {
        if let Some(used) = self.uses.remove(&number) {
            self.by_use.remove(&used);
        }
    }
}
