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

/// What one has used of the processors lately, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// Since the last look. Work pays when it gives the processor back, which guests do every millisecond.
    spent: AtomicI64,
    /// The older the less; changed by looks only.
    lately: AtomicI64,
    heavy: AtomicBool,
}

impl Share {
    /// Pays for so many nanoseconds.
    pub(super) fn spend(&self, time: i64) {
        self.spent.fetch_add(time.max(0), Ordering::Relaxed);
    }

    /// It uses so much that others, who use little, go first.
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
        self.spent.load(Ordering::Relaxed) + self.lately()
    }

    fn lately(&self) -> i64 {
        self.lately.load(Ordering::Relaxed)
    }

    /// What was used since the last look, and lately.
    fn look(&self) -> (i64, i64) {
        let spent = self.spent.swap(0, Ordering::Relaxed);
        let lately = (self.lately() * REMEMBERED.0 / REMEMBERED.1).saturating_add(spent);
        self.lately.store(lately, Ordering::Relaxed);
        (spent, lately)
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

    /// Looks at all shares, and says who is heavy from now on: who has used at least half as much as the one that has used
    /// most. It is no longer when that is less than a quarter, so that nobody goes to and fro. False: nobody did anything.
    ///
    /// Nobody starves by that: who gets nothing has used less at each look, until others have used half as much and are
    /// heavy as well, or it has used less than a quarter of what they have and is not heavy any more.
    pub(crate) fn look(&mut self, shares: &[&Share]) -> bool {
        let (mut most, mut sum, mut doers) = (0_i64, 0_i64, 0_usize);
        for share in shares {
            let (spent, lately) = share.look();
            most = most.max(lately);
            sum = sum.saturating_add(lately);
            doers += usize::from(spent > 0);
        }
        self.alone = if doers > 1 { 0 } else { self.alone.saturating_add(1) };
        let scarce = sum >= self.all / BUSY && self.alone < COMPANY;
        if scarce || self.any_heavy {
            self.any_heavy = false;
            for share in shares {
                let part = if share.is_heavy() { 4 } else { 2 };
                let is_heavy = scarce && share.lately() >= (most / part).max(1);
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
        let one_less = |look: i64| [200, if look < 40 { 120 } else { 80 }, 0];
        assert_eq!(after(400, one_less), [true, true, false], "it was");
        assert_eq!(after(400, |_| [200, 80, 0]), [true, false, false], "it was not");
    }

    /// What comes to one look all at once is charged, and no more than that.
    #[test]
    fn a_long_piece_of_work_counts_when_it_has_ended() {
        let (long, short) = (Share::default(), Share::default());
        let mut looking = Shares::new(2);
        short.spend(STEP);
        looking.look(&[&long, &short]);
        assert!(!long.is_heavy());
        long.spend(40 * STEP);
        short.spend(STEP);
        looking.look(&[&long, &short]);
        assert!(long.is_heavy() && !short.is_heavy());
        assert_eq!(long.look(), (0, 38 * STEP));
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
        assert!((500..2_000).contains(&longest), "{longest}: for a while it stands back, and not for long");
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
            prop_assert!(longest_wait(&got) < 2_000, "{}", longest_wait(&got));
            // And over some seconds at least a quarter of an equal part.
            let sum: i64 = got[5_000..].iter().sum();
            prop_assert!(sum >= 10_000 * 2_000_000 / hubs / 4, "{sum} of {hubs}");
        }
    }
}
