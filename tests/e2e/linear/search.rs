//! Whether operations that overlapped in time can have happened one after another: the search of Wing and Gong, which
//! remembers where it has been.

use std::collections::HashSet;

use super::model::{Op, Outcome, State};

/// Places at which the search gives up: far more than what fits needs.
const PLACES: usize = 2_000_000;

/// An operation and when it was under way, on one clock for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    pub(crate) op: Op,
    pub(crate) outcome: Outcome,
}

impl Call {
    fn must_happen(&self) -> bool {
        self.outcome != Outcome::Unknown
    }
}

/// How far an order of calls has come.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    state: State,
    /// All calls before it have happened, or never will.
    from: usize,
    /// Of those from there on: which have happened.
    happened: Vec<usize>,
    /// The latest beginning among those that have happened.
    latest: u64,
}

/// Finds an order in which the calls answer as they did. Otherwise an error with what no order gets past.
pub(crate) fn check(mut calls: Vec<Call>) -> Result<(), String> {
    calls.sort_by_key(|call| call.begun);
    let first = Place { state: State::Absent, from: 0, happened: Vec::new(), latest: 0 };
    let (mut seen, mut open, mut furthest) = (HashSet::new(), vec![first.clone()], first);
    while let Some(place) = open.pop() {
        if !calls.iter().skip(place.from).any(Call::must_happen) {
            return Ok(());
        }
        if !seen.insert(place.clone()) {
            continue;
        }
        if seen.len() > PLACES {
            break;
        }
        if place.from > furthest.from {
            furthest = place.clone();
        }
        // In reverse, so that the call that began first is tried first.
        for index in candidates(&calls, &place).into_iter().rev() {
            let Call { op, outcome, begun, .. } = calls[index];
            for state in place.state.after(op, outcome) {
                open.push(advance(&calls, &place, (index, begun), state));
            }
        }
    }
    let around = calls.iter().skip(furthest.from.saturating_sub(10)).take(25);
    let around: Vec<_> = around.map(|call| format!("{call:?}")).collect();
    Err(format!(
        "no order gets past {} of {} calls; {:?} there\n{}",
        furthest.from,
        calls.len(),
        furthest.state,
        around.join("\n")
    ))
}

/// The calls that may be next: those that began before any other that must happen had ended.
fn candidates(calls: &[Call], place: &Place) -> Vec<usize> {
    let waiting = |index: &usize| !place.happened.contains(index);
    let (mut found, mut first_end) = (Vec::new(), u64::MAX);
    for index in (place.from..calls.len()).filter(waiting) {
        let call = &calls[index];
        if call.begun > first_end {
            break;
        }
        if call.must_happen() {
            first_end = first_end.min(call.ended);
            found.push(index);
        } else if call.ended > place.latest {
            found.push(index);
        }
    }
    found.retain(|index| calls[*index].begun < first_end);
    found
}

fn advance(calls: &[Call], place: &Place, (index, begun): (usize, u64), state: State) -> Place {
    let (mut from, latest) = (place.from, place.latest.max(begun));
    let mut happened = place.happened.clone();
    happened.push(index);
    while let Some(call) = calls.get(from) {
        let done = happened.contains(&from);
        if !done && (call.must_happen() || call.ended > latest) {
            break;
        }
        happened.retain(|index| *index != from);
        from += 1;
    }
    happened.sort_unstable();
    Place { state, from, happened, latest }
}

#[cfg(test)]
mod tests {
    use super::super::model::Seen;
    use super::*;

    const START: Op = Op::Start { input: 1, never: false };
    const OPEN: Outcome = Outcome::Seen(Seen::Open { input: 1, suspended: false });
    const ABSENT: Outcome = Outcome::Seen(Seen::Absent);
    const YES: Outcome = Outcome::Code(202);

    /// Calls that end before the next begins.
    fn in_sequence(calls: &[(Op, Outcome)]) -> Vec<Call> {
        let call = |(at, &(op, outcome)): (u64, &(Op, Outcome))| Call { begun: 2 * at, ended: 2 * at + 1, op, outcome };
        (1..).zip(calls).map(call).collect()
    }

    fn fits(calls: &[(Op, Outcome)]) -> bool {
        check(in_sequence(calls)).is_ok()
    }

    #[test]
    fn what_follows_the_promises_fits() {
        let completed = Outcome::Seen(Seen::Completed { input: 1, output: 7 });
        assert!(fits(&[
            (Op::Status, ABSENT),
            (START, YES),
            (START, Outcome::Code(409)),
            (Op::Suspend, YES),
            (Op::Raise(7), YES),
            (Op::Raise(8), YES),
            (Op::Status, Outcome::Seen(Seen::Open { input: 1, suspended: true })),
            (Op::Purge, Outcome::Code(409)),
            (Op::Resume, YES),
            (Op::Status, OPEN),
            (Op::Status, completed),
            (Op::Raise(9), Outcome::Code(410)),
            (Op::Start { input: 2, never: true }, Outcome::Code(409)),
            (Op::Purge, Outcome::Code(200)),
            (Op::Purge, Outcome::Code(404)),
        ]));
    }

    #[test]
    fn what_breaks_them_does_not() {
        let suspended = Outcome::Seen(Seen::Open { input: 1, suspended: true });
        let wrong: [&[(Op, Outcome)]; 9] = [
            // Lost, or there twice.
            &[(START, YES), (Op::Status, ABSENT)],
            &[(START, YES), (Op::Start { input: 2, never: false }, YES)],
            &[(Op::Status, OPEN)],
            // Not done, or undone.
            &[(START, YES), (Op::Terminate(3), YES), (Op::Status, OPEN)],
            &[(START, YES), (Op::Suspend, YES), (Op::Status, OPEN)],
            &[(START, YES), (Op::Suspend, YES), (Op::Resume, YES), (Op::Status, suspended)],
            // Done by somebody else.
            &[
                (START, YES),
                (Op::Terminate(3), YES),
                (Op::Status, Outcome::Seen(Seen::Terminated { input: 1, reason: 4 })),
            ],
            &[
                (START, YES),
                (Op::Raise(7), YES),
                (Op::Raise(8), YES),
                (Op::Status, Outcome::Seen(Seen::Completed { input: 1, output: 8 })),
            ],
            // Completed while it stood still.
            &[
                (START, YES),
                (Op::Suspend, YES),
                (Op::Raise(7), YES),
                (Op::Status, Outcome::Seen(Seen::Completed { input: 1, output: 7 })),
            ],
        ];
        for calls in wrong {
            assert!(!fits(calls), "{calls:?}");
        }
    }

    #[test]
    fn what_nobody_heard_of_has_happened_or_not_but_not_later_and_not_back() {
        let unheard = (START, Outcome::Unknown);
        assert!(fits(&[unheard, (Op::Status, OPEN)]));
        assert!(fits(&[unheard, (Op::Status, ABSENT)]));
        assert!(!fits(&[unheard, (Op::Status, ABSENT), (Op::Status, OPEN)]));
        assert!(!fits(&[unheard, (Op::Status, OPEN), (Op::Status, ABSENT)]));
    }

    #[test]
    fn what_overlaps_has_either_order() {
        let overlapping = |first: (Op, Outcome), second: (Op, Outcome)| {
            let call = |(op, outcome), begun| Call { begun, ended: begun + 10, op, outcome };
            check(vec![call(first, 1), call(second, 2)]).is_ok()
        };
        assert!(overlapping((Op::Status, OPEN), (START, YES)));
        assert!(overlapping((Op::Status, ABSENT), (START, YES)));
        assert!(!overlapping((Op::Status, OPEN), (START, Outcome::Code(409))));
        assert!(!overlapping((START, YES), (Op::Start { input: 2, never: true }, YES)));
    }
}
