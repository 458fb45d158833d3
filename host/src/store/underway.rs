//! Writes that the disk has not answered yet: how long they have been under way is computed when somebody asks. A write
//! costs two atomic stores, and beside the clock that it reads anyway at most one more reading.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;

/// A disk in order answers each write much earlier, also one that is busy.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the disk is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// A batch of commits goes into the journal, and is synced.
    Journal,
    /// The rows of a batch go to where they belong.
    Rows,
    /// Everything since the last checkpoint goes to where it belongs, and is synced.
    Checkpoint,
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Journal => "a write of the journal",
            Self::Rows => "a write of rows",
            Self::Checkpoint => "a checkpoint",
        })
    }
}

/// A write that has been under way for too long. Whoever waits for it, or for one behind it, gets no answer meanwhile; nothing
/// is lost, and when the disk goes on, all of it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// What the disk was asked to do.
    pub write: Write,
    /// For how long that has been under way.
    pub lasts: Duration,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the disk has not answered {} for {} s", self.write, self.lasts.as_secs())
    }
}

/// How a place says what is under way: beside the time.
const KIND_BITS: u32 = 2;
const KINDS: u64 = (1 << KIND_BITS) - 1;

/// See the module.
#[derive(Debug)]
pub(super) struct Underway {
    /// Times are milliseconds since then.
    origin: Instant,
    /// One for each thread that may write: when its write began, and which it is; 0: none is under way.
    places: Box<[AtomicU64]>,
    patience: Duration,
    /// Writes that took longer, and have ended.
    stalls: Counter,
}

impl Underway {
    pub(super) fn new(places: usize, patience: Duration) -> Self {
        let places = (0..places).map(|_| AtomicU64::new(0)).collect();
        Self { origin: Instant::now(), places, patience, stalls: Counter::default() }
    }

    /// A write begins at this place, which one thread at a time has, and ends what went on there before.
    pub(super) fn begin(&self, place: usize, write: Write, now: Instant) {
        let kind = match write {
            Write::Journal => 1,
            Write::Rows => 2,
            Write::Checkpoint => 3,
        };
        self.replace(place, now, self.since_origin(now) << KIND_BITS | kind);
    }

    /// Nothing is under way at this place any more.
    pub(super) fn end(&self, place: usize, now: Instant) {
        self.replace(place, now, 0);
    }

    fn replace(&self, place: usize, now: Instant, next: u64) {
        let Some(place) = self.places.get(place) else { return };
        // Nobody else writes it meanwhile.
        if self.stall(place.load(Ordering::Relaxed), now).is_some_and(|stall| self.is_long(&stall)) {
            self.stalls.inc();
        }
        place.store(next, Ordering::Relaxed);
    }

    fn since_origin(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX >> KIND_BITS)
    }

    fn stall(&self, place: u64, now: Instant) -> Option<Stall> {
        let write = match place & KINDS {
            1 => Write::Journal,
            2 => Write::Rows,
            3 => Write::Checkpoint,
            _ => return None,
        };
        let lasts = Duration::from_millis(self.since_origin(now).saturating_sub(place >> KIND_BITS));
        Some(Stall { write, lasts })
    }

    fn is_long(&self, stall: &Stall) -> bool {
        stall.lasts >= self.patience
    }

    /// The write that has been under way for longest.
    pub(super) fn longest(&self, now: Instant) -> Option<Stall> {
        let places = self.places.iter().map(|place| place.load(Ordering::Relaxed));
        places.filter_map(|place| self.stall(place, now)).max_by_key(|stall| stall.lasts)
    }

    /// The same, if a disk in order would have answered it.
    pub(super) fn stalled(&self, now: Instant) -> Option<Stall> {
        self.longest(now).filter(|stall| self.is_long(stall))
    }

    /// How many writes took too long.
    pub(super) fn stalls(&self) -> Counter {
        self.stalls.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_a_write_that_takes_too_long_is_a_stall_until_it_ends() {
        let underway = Underway::new(1, PATIENCE);
        let began = underway.origin + 7 * SECOND;
        assert_eq!(underway.longest(began), None);
        underway.begin(0, Write::Checkpoint, began);
        let longest = Stall { write: Write::Checkpoint, lasts: 9 * SECOND };
        assert_eq!(underway.longest(began + 9 * SECOND), Some(longest));
        assert_eq!(underway.stalled(began + 9 * SECOND), None);
        let stall = underway.stalled(began + 14 * SECOND).unwrap();
        assert_eq!(stall, Stall { write: Write::Checkpoint, lasts: 14 * SECOND });
        assert_eq!(stall.to_string(), "the disk has not answered a checkpoint for 14 s");
        assert_eq!(underway.stalls().get(), 0, "it has not ended");
        underway.end(0, began + 15 * SECOND);
        assert_eq!(underway.longest(began + 15 * SECOND), None);
        assert_eq!(underway.stalls().get(), 1);
    }

    #[test]
    fn each_write_has_its_own_time_and_the_longest_is_told() {
        let underway = Underway::new(3, PATIENCE);
        let began = underway.origin;
        underway.begin(0, Write::Journal, began);
        underway.begin(2, Write::Journal, began + 4 * SECOND);
        underway.begin(0, Write::Rows, began + 6 * SECOND);
        let at = began + 14 * SECOND;
        assert_eq!(underway.stalled(at), Some(Stall { write: Write::Journal, lasts: 10 * SECOND }));
        underway.end(2, at);
        assert_eq!(underway.stalled(at), None, "the rows have only had eight seconds");
        assert_eq!(underway.stalled(at + 2 * SECOND), Some(Stall { write: Write::Rows, lasts: 10 * SECOND }));
        underway.end(0, at);
        assert_eq!(underway.stalls().get(), 1, "one of three took so long");
    }

    #[test]
    fn a_clock_that_stands_still_or_a_place_that_is_not_there_are_no_stall() {
        let underway = Underway::new(1, PATIENCE);
        underway.begin(0, Write::Rows, underway.origin + SECOND);
        assert_eq!(underway.longest(underway.origin).unwrap().lasts, Duration::ZERO);
        underway.begin(1, Write::Rows, underway.origin);
        underway.end(0, underway.origin);
        assert_eq!(underway.longest(underway.origin + 20 * SECOND), None);
    }
}
