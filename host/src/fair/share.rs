//! Who uses so much that others feel it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often shares are looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(25);
/// Of what was used before, this part counts at the next look: what was used half a second ago counts for a third.
const REMEMBERED: (i64, i64) = (19, 20);
/// Where less than one part in so many of the processors' time is used, nobody is heavy: there is enough for all.
const BUSY: i64 = 8;
/// Two that did something so many looks ago or less are company (a minute). Without company nobody is heavy.
const COMPANY: u32 = 2_400;

/// What one has used of the processors lately.
#[derive(Debug, Default)]
pub(crate) struct Share {
    used: Mutex<Used>,
    heavy: AtomicBool,
}

/// In microseconds.
#[derive(Debug, Default)]
struct Used {
    /// Pieces of work under way.
    running: i64,
    /// The times at which work began, or was under way at the last look, less those at which it ended. So what was used since
    /// then is `running * now - balance`, by work that has ended and by work that may go on for long.
    balance: i64,
    /// The older the less; changed by looks only.
    lately: i64,
}

impl Share {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Work begins now; see [`now`].
    pub(super) fn begins(&self, now: i64) {
        let mut used = self.used();
        used.running += 1;
        used.balance += now;
    }

    /// Work that has begun ends now.
    pub(super) fn ends(&self, now: i64) {
        let mut used = self.used();
        used.running -= 1;
        used.balance -= now;
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

    /// What was used since the last look, and lately.
    fn look(&self, now: i64) -> (i64, i64) {
        let mut used = self.used();
        let spent = (used.running * now - used.balance).max(0);
        used.balance = used.running * now;
        used.lately = used.lately * REMEMBERED.0 / REMEMBERED.1 + spent;
        (spent, used.lately)
    }
}

/// Microseconds since some moment.
pub(super) fn now() -> i64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    i64::try_from(BEGAN.elapsed().as_micros()).unwrap_or(i64::MAX)
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
        let look = i64::try_from(LOOK.as_micros()).unwrap_or(i64::MAX);
        let looks = REMEMBERED.1 / (REMEMBERED.1 - REMEMBERED.0);
        let all = look.saturating_mul(looks).saturating_mul(i64::try_from(processors).unwrap_or(1));
        Self { all, alone: COMPANY, any_heavy: false }
    }

    /// Looks at all shares, and says who is heavy from now on: who has used at least half as much as the one that has used
    /// most. It is no longer when that is less than a quarter, so that nobody goes to and fro. False: nobody did anything.
    pub(crate) fn look(&mut self, shares: &[&Share]) -> bool {
        self.look_at(shares, now())
    }

    fn look_at(&mut self, shares: &[&Share], now: i64) -> bool {
        let (mut most, mut sum, mut doers) = (0_i64, 0_i64, 0_usize);
        for share in shares {
            let (spent, lately) = share.look(now);
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
                let is_heavy = scarce && share.used().lately >= (most / part).max(1);
                share.heavy.store(is_heavy, Ordering::Relaxed);
                self.any_heavy |= is_heavy;
            }
        }
        doers > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: i64 = 25_000;

    /// What each of three uses of every look, in hundredths of a processor; the last look says who is heavy.
    fn after(looks: i64, use_of: impl Fn(i64) -> [i64; 3]) -> [bool; 3] {
        let shares = [Share::default(), Share::default(), Share::default()];
        let all: Vec<&Share> = shares.iter().collect();
        let mut looking = Shares::new(2);
        for look in 0..looks {
            for (share, hundredths) in all.iter().zip(use_of(look)) {
                let (mut left, from) = (hundredths * STEP / 100, look * STEP);
                while left > 0 {
                    let piece = left.min(STEP);
                    share.begins(from);
                    share.ends(from + piece);
                    left -= piece;
                }
            }
            looking.look_at(&all, (look + 1) * STEP);
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

    /// One that computes for a second without an end is heavy before that second is over.
    #[test]
    fn work_under_way_counts() {
        let (long, short) = (Share::default(), Share::default());
        let mut looking = Shares::new(2);
        long.begins(0);
        for look in 1..40 {
            short.begins(look * STEP - 1_000);
            short.ends(look * STEP);
            looking.look_at(&[&long, &short], look * STEP);
        }
        assert!(long.is_heavy() && !short.is_heavy());
        long.ends(40 * STEP);
        assert_eq!(long.used().running, 0);
        assert_eq!(long.look(40 * STEP).0, STEP);
    }
}
