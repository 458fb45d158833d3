//! Processor time for guests, slice by slice.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::charge::charge;
use super::gate::{Acquire, Gate, Lane, Permit};

/// What a lane may use in its turn: about what a guest runs before it is interrupted.
const QUANTUM: Duration = Duration::from_millis(5);

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Where guests wait for a processor. A guest is polled only with a place, and gives it back after each poll. So no
/// more of them than there are processors stand in the runtime's own queue, which knows no hubs.
#[derive(Clone)]
pub(crate) struct Slices {
    light: Arc<Gate>,
    heavy: Arc<Gate>,
}

impl Slices {
    /// As many places as there are threads; those who are heavy ([`super::Share`]) share places of their own if they have
    /// threads of their own.
    pub(crate) fn new(threads: usize, heavy_threads: Option<usize>) -> Self {
        let light = Gate::of_slices(threads, nanoseconds(QUANTUM));
        let heavy = heavy_threads.map(|threads| Gate::of_slices(threads, nanoseconds(QUANTUM)));
        Self { heavy: heavy.unwrap_or_else(|| Arc::clone(&light)), light }
    }

    /// For one that runs for this lane.
    pub(crate) fn pace(&self, lane: &Arc<Lane>) -> Pace {
        Pace { slices: self.clone(), lane: Arc::clone(lane), waits: None }
    }

    /// Polls a future in slices only.
    pub(crate) fn paced<F: Future + Unpin>(&self, lane: &Arc<Lane>, future: F) -> Paced<F> {
        Paced { future, pace: self.pace(lane) }
    }
}

/// The slices of one guest.
pub(crate) struct Pace {
    slices: Slices,
    lane: Arc<Lane>,
    /// For a slice, since then.
    waits: Option<(Acquire, Instant)>,
}

/// A slice, given back even when what it was used for panics.
enum Slice<'a> {
    /// Nobody waits.
    Free(&'a Arc<Gate>, &'a Lane, Instant),
    Granted(Permit, Instant),
}

impl Drop for Slice<'_> {
    fn drop(&mut self) {
        match self {
            Self::Free(gate, lane, began) => gate.give_back(lane, (None, nanoseconds(began.elapsed()))),
            Self::Granted(permit, began) => permit.costs(nanoseconds(began.elapsed())),
        }
    }
}

impl Pace {
    /// Does something with a slice, or waits for one.
    pub(crate) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        work: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { slices, lane, waits } = self;
        let gate = if lane.share().is_heavy() { &slices.heavy } else { &slices.light };
        let granted = match waits {
            None if gate.try_take(lane) => None,
            None | Some(_) => {
                let (waiter, since) = waits.get_or_insert_with(|| (gate.acquire(lane), Instant::now()));
                let Poll::Ready(permit) = Pin::new(waiter).poll(context) else { return Poll::Pending };
                lane.share().want(nanoseconds(since.elapsed()));
                *waits = None;
                Some(permit)
            }
        };
        let began = Instant::now();
        let slice = match granted {
            None => Slice::Free(gate, lane, began),
            Some(permit) => Slice::Granted(permit, began),
        };
        let done = charge(lane, || work(context));
        lane.share().want(nanoseconds(began.elapsed()));
        drop(slice);
        done
    }
}

/// See [`Slices::paced`].
pub(crate) struct Paced<F> {
    future: F,
    pace: Pace,
}

impl<F: Future + Unpin> Future for Paced<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, pace } = self.get_mut();
        pace.poll(context, |context| Pin::new(future).poll(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One processor, guests that never wait: 500 of one hub, one of another. The one gets half of the slices.
    #[tokio::test]
    async fn a_single_guest_beside_hundreds_has_its_share() {
        let slices = Slices::new(1, None);
        let (storm, quiet) = (Lane::new(), Lane::new());
        let spin = || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_micros(50) {}
        };
        let others = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..500 {
            let (mut pace, others) = (slices.pace(&storm), Arc::clone(&others));
            tasks.spawn(std::future::poll_fn(move |context| {
                pace.poll(context, |context| {
                    spin();
                    others.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    context.waker().wake_by_ref();
                    Poll::<()>::Pending
                })
            }));
        }
        // All of them stand in the queue.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let before = others.load(std::sync::atomic::Ordering::Relaxed);
        let (mut pace, mut left) = (slices.pace(&quiet), 20);
        std::future::poll_fn(|context| {
            pace.poll(context, |context| {
                spin();
                left -= 1;
                if left == 0 {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
        })
        .await;
        let meanwhile = others.load(std::sync::atomic::Ordering::Relaxed) - before;
        // A turn of cheap slices is many of them; without turns it would be 10,000.
        assert!(meanwhile < 20 * 150, "{meanwhile}");
    }
}
