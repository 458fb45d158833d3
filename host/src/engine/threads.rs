//! Which threads work for a hub.
//!
//! The operating system divides processors between threads better than a runtime does between tasks: it interrupts. So
//! the work of hubs that use much ([`Share`]) is done by threads of their own, which have a lower priority: whoever uses
//! little finds a processor at once, whatever the others have queued and however long a piece of their work is.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_util::future::{AbortHandle, Abortable};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Inner;
use crate::fair::{LOOK, Lane, Shares};
use crate::store::{HubName, background};

/// While nothing happens, looks are so many times as seldom.
const IDLE: u32 = 8;

/// What these threads are called.
const NAME: &str = "heavy-hubs";

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The runtimes that do the hubs' work.
pub(super) struct Threads {
    usual: Handle,
    /// For heavy hubs; none: all are treated alike.
    heavy: Option<Heavy>,
}

/// A runtime that can be dropped everywhere.
struct Heavy(Option<Runtime>);

impl Drop for Heavy {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Threads {
    /// Within the usual runtime.
    pub(super) fn new(heavy: Option<usize>) -> std::io::Result<Self> {
        let heavy = heavy.map(|threads| {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads.max(1)).enable_all().thread_name(NAME);
            builder.on_thread_start(|| {
                background::leave_writing();
                lower_priority();
            });
            builder.build().map(|runtime| Heavy(Some(runtime)))
        });
        Ok(Self { usual: Handle::current(), heavy: heavy.transpose()? })
    }

    /// The runtime for heavy hubs.
    fn heavy(&self) -> Option<&Handle> {
        self.heavy.as_ref().and_then(|heavy| heavy.0.as_ref()).map(Runtime::handle)
    }

    fn of(&self, is_heavy: bool) -> &Handle {
        self.heavy().filter(|_| is_heavy).unwrap_or(&self.usual)
    }

    /// Does something short; it stays where it began.
    fn spawn_short<T: Send + 'static>(
        &self,
        is_heavy: bool,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.of(is_heavy).spawn(work)
    }

    /// Does something on the threads for whom it is, wherever that leads. `is_heavy`: it is for a heavy hub now.
    pub(super) fn spawn_for(
        self: &Arc<Self>,
        is_heavy: impl Fn() -> bool + Send + Unpin + 'static,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        if self.heavy.is_none() {
            drop(tokio::spawn(work));
            return;
        }
        let began = is_heavy();
        let (threads, work) = (Arc::downgrade(self), Some(Box::pin(work) as Work));
        drop(self.of(began).spawn(Moving { threads, is_heavy: Some(is_heavy), began, work }));
    }

    /// As [`Self::spawn_for`], to be stopped with what this returns.
    pub(super) fn spawn_abortable(
        self: &Arc<Self>,
        lane: Option<Arc<Lane>>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let (handle, registration) = AbortHandle::new_pair();
        let work = Abortable::new(work, registration);
        let is_heavy = move || lane.as_ref().is_some_and(|lane| lane.share().is_heavy());
        self.spawn_for(is_heavy, async move {
            // Stopped or done: nobody asks.
            let _ended = work.await;
        });
        handle
    }

    /// Runs a guest where its caller is; on the threads for heavy hubs as soon as its hub is one. Dropped, it stops. None: it
    /// was interrupted, by a panic or the end of the server.
    pub(super) async fn run_for<T: Send + 'static>(
        &self,
        lane: &Arc<Lane>,
        mut guest: Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> Option<T> {
        let Some(heavy) = self.heavy() else { return Some(guest.await) };
        let is_there = Handle::try_current().is_ok_and(|current| current.id() == heavy.id());
        let done = poll_fn(|context| {
            if !is_there && lane.share().is_heavy() {
                return Poll::Ready(None);
            }
            guest.as_mut().poll(context).map(Some)
        });
        if let Some(done) = done.await {
            return Some(done);
        }
        let (answer, answered) = oneshot::channel();
        let (stop, registration) = AbortHandle::new_pair();
        let _stop = Stop(stop);
        let work = Abortable::new(guest, registration);
        heavy.spawn(async move {
            if let Ok(done) = work.await {
                drop(answer.send(done));
            }
        });
        answered.await.ok()
    }
}

impl Inner {
    /// Does something short for a hub; it stays where it began.
    pub(super) fn spawn_short<T: Send + 'static>(
        &self,
        hub: Option<&HubName>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let hub = hub.and_then(|hub| self.hubs.get(hub));
        self.threads.spawn_short(hub.is_some_and(|hub| hub.lanes().slices.share().is_heavy()), work)
    }
}

/// Stops what was begun for somebody who is gone.
struct Stop(AbortHandle);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Work that changes threads when its hub becomes heavy, or is no longer.
struct Moving<F> {
    threads: Weak<Threads>,
    is_heavy: Option<F>,
    /// On the threads for heavy hubs.
    began: bool,
    work: Option<Work>,
}

impl<F: Fn() -> bool + Send + Unpin + 'static> Future for Moving<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let is_heavy = this.is_heavy.as_ref().is_some_and(|is_heavy| is_heavy());
        if is_heavy != this.began
            && let Some(threads) = this.threads.upgrade()
        {
            let (is_heavy, work) = (this.is_heavy.take(), this.work.take());
            let began = !this.began;
            threads.of(began).spawn(Self { threads: Weak::clone(&this.threads), is_heavy, began, work });
            return Poll::Ready(());
        }
        match &mut this.work {
            Some(work) => work.as_mut().poll(context),
            None => Poll::Ready(()),
        }
    }
}

/// Finds out again and again who is heavy.
pub(super) async fn look(engine: Weak<Inner>) {
    let threads = engine.upgrade().and_then(|inner| Some(inner.threads.heavy()?.metrics().num_workers()));
    let Some(threads) = threads else { return };
    let (mut shares, mut pause) = (Shares::new(threads), LOOK);
    loop {
        tokio::time::sleep(pause).await;
        let Some(inner) = engine.upgrade().filter(|inner| !inner.is_stopping()) else { return };
        let did = inner.hubs.look_at_shares(&mut shares);
        pause = if did { LOOK } else { LOOK * IDLE };
    }
}

/// Whoever else of this process has something to do takes the processor from such a thread at once. A lower niceness
/// would not do: its thread may keep the processor for some milliseconds more, and counts as busy where a woken thread
/// looks for an idle one. On Linux a priority is a thread's. Elsewhere it would be the whole process's.
#[allow(unsafe_code, reason = "no library that is used here has the call in a safe form")]
fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        let none = libc::sched_param { sched_priority: 0 };
        // SAFETY: it reads the parameter, which lives until it returns, and concerns this thread (0) only.
        if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) } != 0 {
            let error = std::io::Error::last_os_error();
            tracing::warn!(%error, "the threads for hubs that use much keep the usual priority");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn thread() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    /// Tells each time it is asked on which thread it is.
    async fn teller(mut asked: mpsc::Receiver<oneshot::Sender<String>>) {
        while let Some(answer) = asked.recv().await {
            answer.send(thread()).unwrap();
        }
    }

    async fn ask(teller: &mpsc::Sender<oneshot::Sender<String>>) -> String {
        let (answer, answered) = oneshot::channel();
        teller.send(answer).await.unwrap();
        answered.await.unwrap()
    }

    /// Asks until it is on these threads: a question may still be answered by the poll that answered the one before.
    async fn comes_to(teller: &mpsc::Sender<oneshot::Sender<String>>, heavy: bool) {
        for _ in 0..1_000 {
            if (ask(teller).await == NAME) == heavy {
                return;
            }
        }
        panic!("it stays where it is");
    }

    fn is_heavy(lane: &Arc<Lane>) -> impl Fn() -> bool + Send + Unpin + 'static {
        let lane = Arc::clone(lane);
        move || lane.share().is_heavy()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_goes_where_its_hub_goes_and_back() {
        let (threads, lane) = (Arc::new(Threads::new(Some(1)).unwrap()), Lane::new());
        let (questions, asked) = mpsc::channel(1);
        threads.spawn_for(is_heavy(&lane), teller(asked));
        for round in 0..40 {
            let heavy = round % 2 == 1;
            lane.share().mark(heavy);
            comes_to(&questions, heavy).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_guest_is_carried_over_and_its_answer_comes_back() {
        let (threads, lane) = (Arc::new(Threads::new(Some(1)).unwrap()), Lane::new());
        let (questions, asked) = mpsc::channel(1);
        let guest = Box::pin(async {
            teller(asked).await;
            thread()
        });
        let (its_threads, its_lane) = (Arc::clone(&threads), Arc::clone(&lane));
        let run = tokio::spawn(async move { its_threads.run_for(&its_lane, guest).await });
        assert_ne!(ask(&questions).await, NAME);
        lane.share().mark(true);
        comes_to(&questions, true).await;
        // What runs to its end may do so where it is.
        lane.share().mark(false);
        drop(questions);
        assert_eq!(run.await.unwrap().as_deref(), Some(NAME));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_dropped_or_stopped_ends_on_either_side() {
        let threads = Arc::new(Threads::new(Some(1)).unwrap());
        for is_heavy in [false, true] {
            let lane = Lane::new();
            lane.share().mark(is_heavy);
            let (questions, asked) = mpsc::channel(1);
            let stop = threads.spawn_abortable(Some(Arc::clone(&lane)), teller(asked));
            assert_eq!(ask(&questions).await == NAME, is_heavy);
            stop.abort();
            questions.closed().await;

            let (questions, asked) = mpsc::channel(1);
            let (its_threads, its_lane) = (Arc::clone(&threads), Arc::clone(&lane));
            let run = tokio::spawn(async move { its_threads.run_for(&its_lane, Box::pin(teller(asked))).await });
            assert_eq!(ask(&questions).await == NAME, is_heavy);
            run.abort();
            questions.closed().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_ends_its_own_guest_only() {
        let (threads, lane) = (Arc::new(Threads::new(Some(1)).unwrap()), Lane::new());
        lane.share().mark(true);
        let broken = async { "no number".parse::<usize>().unwrap() };
        assert_eq!(threads.run_for(&lane, Box::pin(broken)).await, None);
        assert_eq!(threads.run_for(&lane, Box::pin(async { 5 })).await, Some(5));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(flavor = "multi_thread")]
    async fn only_the_threads_for_heavy_hubs_have_a_lower_priority() {
        /// What the system says of this thread (proc_pid_stat(5), field 41).
        async fn policy() -> Option<i32> {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            stat.rsplit_once(')')?.1.split_whitespace().nth(38)?.parse().ok()
        }
        let (threads, lane) = (Arc::new(Threads::new(Some(2)).unwrap()), Lane::new());
        let light = threads.spawn_short(lane.share().is_heavy(), policy()).await.unwrap();
        assert_eq!(light, Some(libc::SCHED_OTHER));
        lane.share().mark(true);
        let heavy = threads.spawn_short(lane.share().is_heavy(), policy()).await.unwrap();
        assert_eq!((heavy, policy().await), (Some(libc::SCHED_IDLE), light));
    }
}
