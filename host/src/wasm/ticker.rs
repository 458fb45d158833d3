//! The clock by which guests are interrupted. It stands still while none of them runs, so that a server with nothing to do
//! does nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread::Thread;

use pin_project_lite::pin_project;

use super::limits::TICK;

/// So many ticks without a guest before it stands still: to stop and to begin again costs more than a tick.
const IDLE: u32 = 100;

/// A thread that ticks; it ends with this.
pub(super) struct Ticker(Pulse);

/// What guests run by.
#[derive(Clone)]
pub(super) struct Pulse(Arc<State>);

#[derive(Default)]
struct State {
    /// Guests on a processor.
    running: AtomicUsize,
    /// The thread stands still, or is about to.
    rests: AtomicBool,
    stop: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Ticker {
    /// Calls this about every [`TICK`] while guests run; false: it has ended.
    pub(super) fn new(tick: impl Fn() -> bool + Send + 'static) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let its_state = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("wasm-ticker".to_owned());
        thread.spawn(move || its_state.run(tick))?;
        Ok(Self(Pulse(state)))
    }

    pub(super) fn pulse(&self) -> Pulse {
        self.0.clone()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        let Pulse(state) = &self.0;
        state.stop.store(true, Ordering::SeqCst);
        state.wake();
    }
}

impl State {
    fn run(&self, tick: impl Fn() -> bool) {
        // Whoever finds it at rest has to know whom to wake.
        drop(self.thread.set(std::thread::current()));
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
            if !tick() {
                return;
            }
            idle = if self.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            if idle >= IDLE {
                self.rest();
                idle = 0;
            }
        }
    }

    fn rest(&self) {
        self.rests.store(true, Ordering::SeqCst);
        // Who came before that wakes nobody, but is seen here.
        if self.running.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
            while self.rests.load(Ordering::SeqCst) {
                std::thread::park();
            }
        }
        self.rests.store(false, Ordering::SeqCst);
    }

    fn wake(&self) {
        if self.rests.load(Ordering::SeqCst)
            && self.rests.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

/// A guest on a processor, until it is dropped.
struct Runs<'a>(&'a State);

impl<'a> Runs<'a> {
    fn new(state: &'a State) -> Self {
        state.running.fetch_add(1, Ordering::SeqCst);
        state.wake();
        Self(state)
    }
}

impl Drop for Runs<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Pulse {
    /// Runs what guests run in: it ticks during each poll.
    pub(super) fn during<F: Future>(self, guest: F) -> During<F> {
        During { pulse: self, guest }
    }
}

pin_project! {
    /// See [`Pulse::during`].
    pub(super) struct During<F> {
        pulse: Pulse,
        #[pin]
        guest: F,
    }
}

impl<F: Future> Future for During<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _runs = Runs::new(&this.pulse.0);
        this.guest.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn until(what: &str, holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[tokio::test]
    async fn it_ticks_while_a_guest_runs_and_rests_when_none_does() {
        let ticks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ticks);
        let ticker = Ticker::new(move || counted.fetch_add(1, Ordering::SeqCst) < usize::MAX).unwrap();
        let state = Arc::clone(&ticker.0.0);
        for _ in 0..3 {
            until("it does not rest", || state.rests.load(Ordering::SeqCst));
            let before = ticks.load(Ordering::SeqCst);
            let (pulse, counted) = (ticker.pulse(), Arc::clone(&ticks));
            // In one poll, as a guest that does not come to an end by itself.
            pulse.during(async move { until("no tick", || counted.load(Ordering::SeqCst) > before + 3) }).await;
        }
        assert_eq!(state.running.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn its_thread_ends_with_it_also_at_rest() {
        for rests in [false, true] {
            let held = Arc::new(());
            let its = Arc::clone(&held);
            let ticker = Ticker::new(move || Arc::strong_count(&its) > 0).unwrap();
            if rests {
                until("it does not rest", || ticker.0.0.rests.load(Ordering::SeqCst));
            }
            drop(ticker);
            until("the thread goes on", || Arc::strong_count(&held) == 1);
        }
    }
}
