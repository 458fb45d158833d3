//! Who uses so much that others feel it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// How often shares are looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(25);
/// Of what was used before, this part counts at the next look: what was used half a second ago counts for a third.
const REMEMBERED: (i64, i64) = (19, 20);
/// Where less than one part in so many of the processors' time is used, nobody is heavy: there is enough for all.
const BUSY: i64 = 8;
/// Two that did something so many looks ago or less are company (a minute). Without company nobody is heavy.
const COMPANY: u32 = 2_400;

/// A wait counts as no longer than this, or one that ends after a long time would be remembered for as long.
const LONGEST_WAIT: i64 = 250_000_000;

/// What one has used of the processors lately, and what it would have liked to, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Share {
    used: Lately,
    wanted: Lately,
    heavy: AtomicBool,
}

/// What came together lately.
#[derive(Debug, Default)]
struct Lately {
    /// Since the last look. Work pays when it gives the processor back, which guests do every millisecond.
    new: AtomicI64,
    /// The older the less; changed by looks only.
    sum: AtomicI64,
}

impl Lately {
    fn add(&self, time: i64) {
        self.new.fetch_add(time.max(0), Ordering::Relaxed);
    }

    fn sum(&self) -> i64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// What is new since the last look, and all.
    fn look(&self) -> (i64, i64) {
        let new = self.new.swap(0, Ordering::Relaxed);
        let sum = (self.sum() * REMEMBERED.0 / REMEMBERED.1).saturating_add(new);
        self.sum.store(sum, Ordering::Relaxed);
        (new, sum)
    }
}

impl Share {
    /// Pays for so many nanoseconds of a processor.
    pub(super) fn spend(&self, time: i64) {
        self.used.add(time);
        self.wanted.add(time);
    }

    /// A guest was ready to run for so many nanoseconds, and waited for a processor or had one.
    pub(super) fn want(&self, time: i64) {
        self.wanted.add(time.min(LONGEST_WAIT));
    }

    fn forget(&self) {
        self.used.sum.store(0, Ordering::Relaxed);
        self.wanted.sum.store(0, Ordering::Relaxed);
    }

    /// It wants so much that others, who want little, go first.
    pub(crate) fn is_heavy(&self) -> bool {
        self.heavy.load(Ordering::Relaxed)
    }

    /// As a look would decide.
    #[cfg(test)]
    pub(crate) fn mark(&self, is_heavy: bool) {
        self.heavy.store(is_heavy, Ordering::Relaxed);
    }

    /// What was spent, whether a look has seen it or not.
    #[cfg(test)]
    pub(crate) fn spent(&self) -> i64 {
        self.used.new.load(Ordering::Relaxed) + self.used.sum()
    }
}

/// What is remembered from look to look.
#[derive(Debug)]
pub(crate) struct Shares {
    /// What comes together when all processors are used all the time.
    all: i64,
    /// Looks since two did something.
    alone: u32,
    /// At the last look somebody was heavy.
    any_heavy: bool,
}

impl Shares {
    pub(crate) fn new(processors: usize) -> Self {
        let look = i64::try_from(LOOK.as_nanos()).unwrap_or(i64::MAX);
        let looks = REMEMBERED.1 / (REMEMBERED.1 - REMEMBERED.0);
        let all = look.saturating_mul(looks).saturating_mul(i64::try_from(processors).unwrap_or(1));
        Self { all, alone: COMPANY, any_heavy: false }
    }

    /// Looks at all shares, and says who is heavy from now on: who has wanted at least half as much as the one that has wanted
    /// most. It is no longer when that is less than two fifths, so that nobody goes to and fro. What somebody wanted counts, and
    /// not only what it had: many short requests may use as much as a guest that computes for ever, but do not keep the processors
    /// from others. False: nobody did anything.
    ///
    /// Nobody starves by that: who has had less than a quarter of an equal part is not heavy, until it has had half.
    pub(crate) fn look(&mut self, shares: &[&Share]) -> bool {
        let (mut most, mut sum, mut doers) = (0_i64, 0_i64, 0_i64);
        for share in shares {
            let (new, used) = share.used.look();
            let (_, wanted) = share.wanted.look();
            most = most.max(wanted);
            sum = sum.saturating_add(used);
            doers += i64::from(new > 0);
        }
        if doers > 1 && self.alone >= COMPANY {
            // What one used while it was alone kept nobody waiting.
            shares.iter().for_each(|share| share.forget());
            sum = 0;
        }
        self.alone = if doers > 1 { 0 } else { self.alone.saturating_add(1) };
        let scarce = sum >= self.all / BUSY && self.alone < COMPANY;
        if scarce || self.any_heavy {
            self.any_heavy = false;
            let equal = sum / doers.max(1);
            for share in shares {
                let (much, little) = if share.is_heavy() { (most * 2 / 5, equal / 4) } else { (most / 2, equal / 2) };
                let is_heavy = scarce && share.wanted.sum() >= much.max(1) && share.used.sum() >= little;
                share.heavy.store(is_heavy, Ordering::Relaxed);
                self.any_heavy |= is_heavy;
            }
        }
        doers > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEP: i64 = 25_000_000;

    /// What each of three uses of every look, in hundredths of a processor; the last look says who is heavy.
    fn after(looks: i64, use_of: impl Fn(i64) -> [i64; 3]) -> [bool; 3] {
        let shares = [Share::default(), Share::default(), Share::default()];
        let all: Vec<&Share> = shares.iter().collect();
        let mut looking = Shares::new(2);
        for look in 0..looks {
            for (share, hundredths) in all.iter().zip(use_of(look)) {
                share.spend(hundredths * STEP / 100);
            }
            looking.look(&all);
        }
        shares.map(|share| share.is_heavy())
    }

    #[test]
    fn who_uses_most_is_heavy_when_it_has_company() {
        assert_eq!(after(40, |_| [170, 20, 0]), [true, false, false]);
        assert_eq!(after(40, |_| [190, 0, 0]), [false; 3], "alone");
        assert_eq!(after(40, |_| [10, 5, 0]), [false; 3], "enough for all");
        assert_eq!(after(40, |_| [90, 80, 5]), [true, true, false]);
    }

    #[test]
    fn it_takes_a_fraction_of_a_second_both_ways() {
        assert!(after(4, |_| [200, 10, 0])[0]);
        let then_little = |look| if look < 40 { [200, 10, 0] } else { [1, 10, 0] };
        assert!(!after(40 + 80, then_little)[0]);
    }

    #[test]
    fn who_is_near_the_border_does_not_go_to_and_fro() {
        let one_less = |look: i64| [200, if look < 40 { 120 } else { 90 }, 0];
        assert_eq!(after(400, one_less), [true, true, false], "it was");
        assert_eq!(after(400, |_| [200, 90, 0]), [true, false, false], "it was not");
    }

    /// What comes to one look all at once is charged, and no more than that.
    #[test]
    fn a_long_piece_of_work_counts_when_it_has_ended() {
        let (long, short) = (Share::default(), Share::default());
        let mut looking = Shares::new(2);
        for share in [&short, &long] {
            share.spend(STEP / 100);
        }
        looking.look(&[&long, &short]);
        assert!(!long.is_heavy());
        long.spend(40 * STEP);
        short.spend(STEP);
        looking.look(&[&long, &short]);
        assert!(long.is_heavy() && !short.is_heavy());
        assert_eq!(long.used.look(), (0, 38 * STEP));
    }

    /// One whose guests keep waiting, and one that uses as much without: only the former keeps others waiting.
    #[test]
    fn who_wants_more_than_it_gets_is_heavy_beside_one_that_uses_as_much() {
        let (greedy, brisk) = (Share::default(), Share::default());
        let mut looking = Shares::new(2);
        for _ in 0..40 {
            for share in [&greedy, &brisk] {
                share.spend(STEP * 9 / 10);
            }
            (0..8).for_each(|_| greedy.want(STEP));
            looking.look(&[&greedy, &brisk]);
        }
        assert!(greedy.is_heavy() && !brisk.is_heavy());
    }

    #[test]
    fn what_one_used_while_it_was_alone_is_not_held_against_it() {
        let (brisk, greedy) = (Share::default(), Share::default());
        let mut looking = Shares::new(2);
        for look in 0..100 {
            brisk.spend(STEP);
            if look >= 90 {
                greedy.spend(STEP);
                (0..8).for_each(|_| greedy.want(STEP));
            }
            looking.look(&[&brisk, &greedy]);
            assert!(!brisk.is_heavy(), "{look}");
        }
        assert!(greedy.is_heavy());
    }

    /// One that wants processors: so many hundredths of one, in the last `on` of every `period` milliseconds.
    #[derive(Clone, Debug)]
    struct Wish {
        hundredths: i64,
        on: i64,
        period: i64,
    }

    fn wish() -> impl Strategy<Value = Wish> {
        (1_i64..200, 1_i64..3_000, 1_i64..3_000).prop_map(|(hundredths, on, more)| Wish {
            hundredths,
            on,
            period: on + more,
        })
    }

    /// Two processors, one millisecond after the other; those who are not heavy take all they want, the others what is left:
    /// harder than the threads' priorities are. Within either, all get the same. What the first one gets in each step, who
    /// always wants everything.
    fn simulate(wishes: &[Wish], steps: i64) -> Vec<i64> {
        const ALL: i64 = 2_000_000;
        let shares: Vec<Share> = wishes.iter().map(|_| Share::default()).collect();
        let all: Vec<&Share> = shares.iter().collect();
        let (mut looking, mut behind) = (Shares::new(2), vec![0; wishes.len()]);
        let mut first = Vec::new();
        for step in 0..steps {
            for (behind, wish) in behind.iter_mut().zip(wishes) {
                // Nobody has more than a few seconds' work in its queue.
                let wanted = if step % wish.period >= wish.period - wish.on { wish.hundredths * 10_000 } else { 0 };
                *behind = (*behind + wanted).min(4_000_000_000);
            }
            let (mut left, mut got) = (ALL, 0);
            for heavy in [false, true] {
                let mut waiting: Vec<usize> =
                    (0..all.len()).filter(|one| all[*one].is_heavy() == heavy && behind[*one] > 0).collect();
                waiting.sort_by_key(|one| behind[*one]);
                for (position, one) in waiting.iter().enumerate() {
                    let part = behind[*one].min(left / (waiting.len() - position) as i64);
                    all[*one].spend(part);
                    // With guests that wait, however many and long.
                    all[*one].want(if behind[*one] > part { 8_000_000 } else { part });
                    behind[*one] -= part;
                    left -= part;
                    got += if *one == 0 { part } else { 0 };
                }
            }
            first.push(got);
            if step % 25 == 24 {
                looking.look(&all);
            }
        }
        first
    }

    /// The longest time without a processor, in milliseconds.
    fn longest_wait(got: &[i64]) -> usize {
        got.split(|got| *got > 0).map(<[i64]>::len).max().unwrap_or(0)
    }

    const GREEDY: Wish = Wish { hundredths: 200, on: 1, period: 1 };

    #[test]
    fn one_that_wants_everything_has_its_part_beside_forty_who_together_do() {
        // They come when it has had all for a second.
        let many = std::iter::repeat_n(Wish { hundredths: 5, on: 9_000, period: 10_000 }, 40);
        let got = simulate(&[GREEDY].into_iter().chain(many).collect::<Vec<_>>(), 10_000);
        let longest = longest_wait(&got);
        assert!(longest < 2_000, "{longest}");
        let lately: i64 = got[5_000..].iter().sum();
        assert!(lately >= 5_000 * 2_000_000 / 41 / 2, "{lately}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nobody_starves(others in prop::collection::vec(wish(), 1..24)) {
            let hubs = others.len() as i64 + 1;
            let wishes: Vec<Wish> = [GREEDY].into_iter().chain(others).collect();
            let got = simulate(&wishes, 15_000);
            prop_assert!(longest_wait(&got) < 3_000, "{}", longest_wait(&got));
            // And over some seconds at least a quarter of an equal part.
            let sum: i64 = got[5_000..].iter().sum();
            prop_assert!(sum >= 10_000 * 2_000_000 / hubs / 4, "{sum} of {hubs}");
        }
    }
}
