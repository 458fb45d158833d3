//! Who pays for the processors: the lane for which a thread works.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use super::gate::Lane;

/// Nobody interrupts a thread and gives it back within this: for what is shorter the clock on the wall, which costs
/// next to nothing to read, says the same as the thread's own.
const SHORT: Duration = Duration::from_micros(100);
/// The thread's own clock is read anew where it was read longer ago than this. What the thread did between that and the
/// beginning of longer work is charged with the work: so much too much at most.
const FRESH: Duration = Duration::from_millis(1);

thread_local! {
    /// For whom this thread works now.
    static PAYER: Cell<Option<Arc<Lane>>> = const { Cell::new(None) };
    /// When the thread's own clock was read last, and what it said.
    static READ: Cell<Option<(Instant, i64)>> = const { Cell::new(None) };
}

/// How long this thread has had a processor, in nanoseconds. Unlike the clock on the wall it stands still while others have
/// it: who is interrupted does not use more by that.
#[cfg(target_os = "linux")]
fn processor_time() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// Where threads have no such clock, the one on the wall has to do.
#[cfg(not(target_os = "linux"))]
fn processor_time() -> i64 {
    static BEGAN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    i64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(i64::MAX)
}

/// Reads the thread's own clock.
fn read_at(now: Instant) -> (Instant, i64) {
    let read = (now, processor_time());
    READ.set(Some(read));
    read
}

/// When work began, and what the thread's own clock said shortly before.
#[derive(Clone, Copy)]
struct Began {
    at: Instant,
    processor: i64,
}

impl Began {
    fn now() -> Self {
        let at = Instant::now();
        let known = READ.get().filter(|(read, _)| at.duration_since(*read) < FRESH);
        let (_, processor) = known.unwrap_or_else(|| read_at(at));
        Self { at, processor }
    }

    /// Nanoseconds of processor time since then.
    fn used(self) -> i64 {
        let now = Instant::now();
        let passed = now.duration_since(self.at);
        let wall = i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX);
        if passed < SHORT {
            return wall;
        }
        let (_, processor) = read_at(now);
        wall.min(processor - self.processor)
    }
}

/// Does something for a lane, which pays for the time that this thread has a processor meanwhile, also when it panics.
/// Within other work that somebody pays for nothing is added to that.
pub(crate) fn charge<T>(lane: &Arc<Lane>, work: impl FnOnce() -> T) -> T {
    let _charged = Charge::begin(lane);
    work()
}

/// For whom this thread works, if for anybody.
pub(crate) fn payer() -> Option<Arc<Lane>> {
    let payer = PAYER.take();
    PAYER.set(payer.clone());
    payer
}

/// See [`charge`].
struct Charge<'a>(Option<(&'a Lane, Began)>);

impl<'a> Charge<'a> {
    fn begin(lane: &'a Arc<Lane>) -> Self {
        let outer = PAYER.take();
        let is_outermost = outer.is_none();
        PAYER.set(outer.or_else(|| Some(Arc::clone(lane))));
        Self(is_outermost.then(|| (&**lane, Began::now())))
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if let Some((lane, began)) = self.0 {
            lane.share().spend(began.used());
            drop(PAYER.take());
        }
    }
}

pin_project! {
    /// See [`charged`].
    pub(crate) struct Charged<F> {
        lane: Arc<Lane>,
        #[pin]
        work: F,
    }
}

/// Does something for a lane, which pays for each poll. (An `async fn` would have room for the work twice: where it comes
/// in, and where it is polled.)
pub(crate) fn charged<F: Future>(lane: Arc<Lane>, work: F) -> Charged<F> {
    Charged { lane, work }
}

impl<F: Future> Future for Charged<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        charge(this.lane, || this.work.poll(context))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Keeps a processor busy for so many milliseconds of processor time.
    fn compute(milliseconds: i64) {
        let began = processor_time();
        while processor_time() - began < milliseconds * 1_000_000 {}
    }

    fn spent(lane: &Lane) -> i64 {
        lane.share().spent() / 1_000_000
    }

    /// A thread that sleeps has no processor, as one that was interrupted.
    #[cfg(target_os = "linux")]
    #[test]
    fn who_has_no_processor_does_not_pay() {
        let lane = Lane::new();
        charge(&lane, || std::thread::sleep(Duration::from_millis(200)));
        assert!(spent(&lane) < 100, "{}", spent(&lane));
        charge(&lane, || compute(20));
        assert!(spent(&lane) >= 20);
    }

    /// What a thread did before is nobody's, but for what it did just before.
    #[test]
    fn what_others_did_is_not_charged() {
        let lane = Lane::new();
        charge(&lane, || compute(1));
        let before = lane.share().spent();
        compute(50);
        charge(&lane, || compute(1));
        let spent = lane.share().spent() - before;
        #[cfg(target_os = "linux")]
        assert!((1_000_000..25_000_000).contains(&spent), "{spent}");
        // Many short pieces add up.
        let began = processor_time();
        for _ in 0..10_000 {
            charge(&lane, || std::hint::black_box((0..1_000_u64).sum::<u64>()));
        }
        let used = processor_time() - began;
        assert!(lane.share().spent() - before - spent >= used / 2);
    }

    #[test]
    fn work_within_work_is_paid_for_once() {
        let (outer, inner) = (Lane::new(), Lane::new());
        charge(&outer, || {
            charge(&inner, || compute(20));
            assert_eq!(payer().map(|lane| Arc::ptr_eq(&lane, &outer)), Some(true));
        });
        assert!(spent(&outer) >= 20);
        assert_eq!(inner.share().spent(), 0);
        assert!(payer().is_none());
    }

    #[test]
    fn who_panics_pays_as_well() {
        let (broken, next) = (Lane::new(), Lane::new());
        let work = || -> () {
            compute(10);
            panic!("as it should")
        };
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| charge(&broken, work)));
        assert!(ended.is_err() && spent(&broken) >= 10);
        charge(&next, || compute(10));
        assert!(spent(&next) >= 10);
    }

    #[tokio::test]
    async fn a_future_pays_for_each_poll() {
        let (lane, mut left) = (Lane::new(), 3);
        let work = poll_fn(|context| {
            compute(10);
            left -= 1;
            context.waker().wake_by_ref();
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        charged(Arc::clone(&lane), work).await;
        assert!(spent(&lane) >= 30);
    }
}
