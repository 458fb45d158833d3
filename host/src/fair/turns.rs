//! Whose turn it is: deficit round robin over lanes, in the order of arrival within a lane. Pure.
//!
//! Each lane has a balance. What is taken from a lane is charged to it, first by what its work has cost of late and then,
//! once that is known, by what this piece did cost. A lane without balance is passed over and gets a quantum for it. So
//! lanes that always have something waiting come to equal shares of the cost, whatever their pieces cost, and a lane
//! with a single piece waits for at most one turn of the others.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

/// A lane owes at most so many quanta: a piece that was much dearer than expected must not shut it out for long.
const MOST_DEBT: i64 = 16;
/// A lane whose pieces are cheap is charged at least this part of a quantum for each before their cost is known.
const LEAST_CHARGE: i64 = 64;

/// What waits, by lanes.
#[derive(Debug)]
pub(crate) struct Turns<K, T> {
    quantum: i64,
    lanes: HashMap<K, Lane<T>>,
    /// The lanes in their order. One that has become empty is taken out when its turn comes.
    ring: VecDeque<K>,
    waiting: usize,
    next_ticket: u64,
}

#[derive(Debug)]
struct Lane<T> {
    /// By ticket, which is the order of arrival.
    waiting: BTreeMap<u64, T>,
    balance: i64,
    /// What its pieces have cost of late.
    usual: i64,
    in_ring: bool,
}

/// What was taken.
#[derive(Debug)]
pub(crate) struct Turn<K, T> {
    pub(crate) lane: K,
    pub(crate) item: T,
    /// What the lane was charged for it.
    pub(crate) charged: i64,
}

impl<K: Clone + Eq + Hash, T> Turns<K, T> {
    /// `quantum`: what a lane may use in its turn.
    pub(crate) fn new(quantum: i64) -> Self {
        let quantum = quantum.max(1);
        Self { quantum, lanes: HashMap::new(), ring: VecDeque::new(), waiting: 0, next_ticket: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    fn lane(&mut self, key: &K) -> &mut Lane<T> {
        let quantum = self.quantum;
        let fresh = || Lane { waiting: BTreeMap::new(), balance: 0, usual: quantum, in_ring: false };
        self.lanes.entry(key.clone()).or_insert_with(fresh)
    }

    /// Puts something at the end of a lane. Returns its ticket, by which it can be removed.
    pub(crate) fn push(&mut self, key: &K, item: T) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting += 1;
        let lane = self.lane(key);
        lane.waiting.insert(ticket, item);
        if !std::mem::replace(&mut lane.in_ring, true) {
            self.ring.push_back(key.clone());
        }
        ticket
    }

    /// Removes what has this ticket, if it still waits.
    pub(crate) fn remove(&mut self, key: &K, ticket: u64) -> Option<T> {
        let removed = self.lanes.get_mut(key)?.waiting.remove(&ticket)?;
        self.waiting -= 1;
        self.forget_if_empty();
        Some(removed)
    }

    /// Takes what comes next of that which fits; none, if nothing does. All of one lane fits or nothing of it.
    pub(crate) fn pop(&mut self, mut fits: impl FnMut(&T) -> bool) -> Option<Turn<K, T>> {
        let mut passed_over = 0;
        while passed_over < self.ring.len() {
            let key = self.ring.front()?;
            let lane = self.lanes.get_mut(key)?;
            let Some((_, first)) = lane.waiting.first_key_value() else {
                lane.in_ring = false;
                self.ring.pop_front();
                continue;
            };
            if !fits(first) {
                passed_over += 1;
                self.ring.rotate_left(1);
                continue;
            }
            if lane.balance <= 0 {
                lane.balance += self.quantum;
            }
            if lane.balance <= 0 {
                passed_over = 0;
                self.ring.rotate_left(1);
                continue;
            }
            let (_, item) = lane.waiting.pop_first()?;
            let charged = lane.usual;
            lane.balance -= charged;
            let turn = Turn { lane: key.clone(), item, charged };
            if lane.waiting.is_empty() {
                lane.in_ring = false;
                self.ring.pop_front();
            } else if lane.balance <= 0 {
                self.ring.rotate_left(1);
            }
            self.waiting -= 1;
            self.forget_if_empty();
            return Some(turn);
        }
        None
    }

    /// Charges a lane what something did cost in place of what was charged for it. Nobody owes anything when nobody
    /// waits.
    pub(crate) fn settle(&mut self, key: &K, charged: i64, cost: i64) {
        if self.waiting == 0 {
            return;
        }
        let quantum = self.quantum;
        let lane = self.lane(key);
        lane.balance = (lane.balance + charged - cost).clamp(-MOST_DEBT * quantum, quantum);
        lane.usual = ((3 * lane.usual + cost) / 4).clamp((quantum / LEAST_CHARGE).max(1), MOST_DEBT * quantum);
    }

    fn forget_if_empty(&mut self) {
        if self.waiting == 0 {
            self.lanes.clear();
            self.ring.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUANTUM: i64 = 100;

    fn all(_: &(u8, u32)) -> bool {
        true
    }

    #[test]
    fn one_among_many_is_served_at_once() {
        let mut turns = Turns::new(QUANTUM);
        for number in 0..10_000 {
            turns.push(&0u8, (0u8, number));
        }
        for _ in 0..100 {
            turns.pop(all);
        }
        turns.push(&1, (1, 0));
        let until = (0..).find(|_| turns.pop(all).is_some_and(|turn| turn.lane == 1));
        assert!(until <= Some(2), "{until:?}");
    }

    #[test]
    fn shares_are_of_the_cost_and_not_of_the_number() {
        let mut turns = Turns::new(QUANTUM);
        let (mut spent, mut taken) = ([0i64; 2], [0; 2]);
        for number in 0..40_000 {
            turns.push(&0u8, (0u8, number));
            turns.push(&1, (1, number));
        }
        for _ in 0..20_000 {
            let turn = turns.pop(all).unwrap();
            let cost = if turn.lane == 0 { 10 * QUANTUM } else { QUANTUM / 5 };
            turns.settle(&turn.lane, turn.charged, cost);
            spent[usize::from(turn.lane)] += cost;
            taken[usize::from(turn.lane)] += 1;
        }
        let ratio = spent[0] as f64 / spent[1] as f64;
        assert!((0.8..1.25).contains(&ratio), "{spent:?} {taken:?}");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(u8),
        Pop { blocked: Option<u8>, cost: i64 },
        Remove(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        let blocked = prop::option::weighted(0.2, 0..5u8);
        prop_oneof![
            4 => (0..5u8).prop_map(Step::Push),
            3 => (blocked, 0..3_000i64).prop_map(|(blocked, cost)| Step::Pop { blocked, cost }),
            1 => any::<prop::sample::Index>().prop_map(Step::Remove),
        ]
    }

    proptest! {
        /// Against a list of what waits: nothing is lost or invented, each lane keeps its order, whatever fits is taken,
        /// nobody is passed over for long, and in the end nothing is left.
        #[test]
        fn turns_are_fair(steps in prop::collection::vec(step(), 1..400)) {
            let mut turns = Turns::new(QUANTUM);
            let mut model: Vec<(u8, u64, u32)> = Vec::new();
            let mut passed = HashMap::<u8, u32>::new();
            for (number, step) in (0..).zip(steps) {
                match step {
                    Step::Push(lane) => model.push((lane, turns.push(&lane, (lane, number)), number)),
                    Step::Remove(index) if model.is_empty() => { let _ = index; }
                    Step::Remove(index) => {
                        let (lane, ticket, number) = model.remove(index.index(model.len()));
                        prop_assert_eq!(turns.remove(&lane, ticket), Some((lane, number)));
                        prop_assert_eq!(turns.remove(&lane, ticket), None);
                        if model.iter().all(|(other, ..)| *other != lane) {
                            passed.remove(&lane);
                        }
                    }
                    Step::Pop { blocked, cost } => {
                        let fits = |lane: u8| Some(lane) != blocked;
                        let taken = turns.pop(|(lane, _)| fits(*lane));
                        prop_assert_eq!(taken.is_some(), model.iter().any(|(lane, ..)| fits(*lane)));
                        let Some(turn) = taken else { continue };
                        let first = model.iter().position(|(lane, ..)| *lane == turn.lane);
                        let (_, _, expected) = model.remove(first.unwrap());
                        prop_assert_eq!(turn.item, (turn.lane, expected));
                        turns.settle(&turn.lane, turn.charged, cost);
                        passed.remove(&turn.lane);
                        for lane in model.iter().map(|(lane, ..)| *lane).collect::<std::collections::HashSet<_>>() {
                            if lane != turn.lane && fits(lane) {
                                let passed = passed.entry(lane).or_default();
                                *passed += 1;
                                // Four others, each with its turn of the cheapest pieces while a debt is worked off.
                                prop_assert!(*passed < 4 * 64 * 18, "lane {} starves", lane);
                            }
                        }
                    }
                }
                prop_assert_eq!(turns.is_empty(), model.is_empty());
            }
            while turns.pop(all).is_some() {}
            prop_assert!(turns.lanes.is_empty() && turns.ring.is_empty() && turns.waiting == 0);
        }
    }
}
