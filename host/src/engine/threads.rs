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
use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;

use super::actor::Actor;
use super::{Engine, Inner};
use crate::fair::{LOOK, Lane, Shares, charge, charged};
use crate::store::{BoxFuture, HubName, background};

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

/// For whose hub something is done.
pub(super) trait OfHub: Send + Unpin + 'static {
    /// The hub's slices; none: nobody knows yet, or there is no hub.
    fn lane(&self) -> Option<&Arc<Lane>>;

    /// It is for a heavy hub now.
    fn is_heavy(&self) -> bool {
        self.lane().is_some_and(|lane| lane.share().is_heavy())
    }
}

impl OfHub for Option<Arc<Lane>> {
    fn lane(&self) -> Option<&Arc<Lane>> {
        self.as_ref()
    }
}

impl OfHub for Arc<Actor> {
    fn lane(&self) -> Option<&Arc<Lane>> {
        self.hub_lane()
    }
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
        lane: Option<Arc<Lane>>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let runtime = self.of(lane.is_heavy());
        match lane {
            Some(lane) => runtime.spawn(charged(lane, work)),
            None => runtime.spawn(work),
        }
    }

    /// Does something on the threads for whom it is, wherever that leads, and at the hub's expense.
    pub(super) fn spawn_for(self: &Arc<Self>, hub: impl OfHub, work: impl Future<Output = ()> + Send + 'static) {
        if self.heavy.is_none() {
            drop(tokio::spawn(work));
            return;
        }
        let began = hub.is_heavy();
        let (threads, work) = (Arc::downgrade(self), Some(Box::pin(work) as Work));
        drop(self.of(began).spawn(Moving { threads, hub: Some(hub), began, work }));
    }

    /// As [`Self::spawn_for`], to be stopped with what this returns.
    pub(super) fn spawn_abortable(
        self: &Arc<Self>,
        lane: Option<Arc<Lane>>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let (handle, registration) = AbortHandle::new_pair();
        let work = Abortable::new(work, registration);
        self.spawn_for(lane, async move {
            // Stopped or done: nobody asks.
            let _ended = work.await;
        });
        handle
    }

    /// Does something where its caller is; on the threads for heavy hubs as soon as its hub is one. Dropped, it stops.
    ///
    /// # Errors
    /// It was carried over, and then interrupted by a panic or the end of the server.
    pub(super) async fn run_for<T: Send + 'static>(
        &self,
        lane: &Arc<Lane>,
        mut work: Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> Result<T, JoinError> {
        let Some(heavy) = self.heavy() else { return Ok(work.await) };
        let is_there = Handle::try_current().is_ok_and(|current| current.id() == heavy.id());
        let done = poll_fn(|context| {
            if !is_there && lane.share().is_heavy() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        });
        if let Some(done) = done.await {
            return Ok(done);
        }
        let mut carried = Carried(heavy.spawn(work.in_current_span()));
        (&mut carried.0).await
    }
}

impl Engine {
    /// Does something that a hub is asked for, at its expense; while it uses much, on the threads for that. Dropped, it stops.
    /// A panic goes on here. None: the server ends.
    pub async fn work_for<T: Send + 'static>(&self, hub: &HubName, work: BoxFuture<'static, T>) -> Option<T> {
        let Some(hub) = self.inner.hubs.get(hub) else { return Some(work.await) };
        let lane = &hub.lanes().slices;
        match self.inner.threads.run_for(lane, Box::pin(charged(Arc::clone(lane), work))).await {
            Ok(done) => Some(done),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => None,
            },
        }
    }

    /// Who pays for what is done for a hub later.
    #[must_use]
    pub fn payer(&self, hub: &HubName) -> Payer {
        Payer(self.inner.hubs.get(hub).map(|hub| Arc::clone(&hub.lanes().slices)))
    }
}

/// A hub that pays for the processors; see [`Engine::payer`].
#[derive(Clone, Debug)]
pub struct Payer(Option<Arc<Lane>>);

impl Payer {
    /// As a look would decide.
    #[cfg(test)]
    pub(crate) fn mark(&self, is_heavy: bool) {
        self.0.iter().for_each(|lane| lane.share().mark(is_heavy));
    }

    /// What it has paid lately, in nanoseconds.
    #[cfg(test)]
    pub(crate) fn spent(&self) -> i64 {
        self.0.as_ref().map_or(0, |lane| lane.share().spent())
    }

    /// Does something at the hub's expense.
    pub fn pays<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(lane) => charge(lane, work),
            None => work(),
        }
    }
}

impl Inner {
    /// Does something short for a hub; it stays where it began.
    pub(super) fn spawn_short<T: Send + 'static>(
        &self,
        hub: Option<&HubName>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let lane = hub.and_then(|hub| self.hubs.get(hub)).map(|hub| Arc::clone(&hub.lanes().slices));
        self.threads.spawn_short(lane, work)
    }
}

/// Work that is stopped when nobody waits for it any more.
struct Carried<T>(JoinHandle<T>);

impl<T> Drop for Carried<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Work that changes threads when its hub becomes heavy, or is no longer.
struct Moving<H> {
    threads: Weak<Threads>,
    hub: Option<H>,
    /// On the threads for heavy hubs.
    began: bool,
    work: Option<Work>,
}

impl<H: OfHub> Future for Moving<H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let is_heavy = this.hub.as_ref().is_some_and(OfHub::is_heavy);
        if is_heavy != this.began
            && let Some(threads) = this.threads.upgrade()
        {
            let (hub, work) = (this.hub.take(), this.work.take());
            let began = !this.began;
            threads.of(began).spawn(Self { threads: Weak::clone(&this.threads), hub, began, work });
            return Poll::Ready(());
        }
        let Some(work) = &mut this.work else { return Poll::Ready(()) };
        match this.hub.as_ref().and_then(OfHub::lane) {
            Some(lane) => charge(lane, || work.as_mut().poll(context)),
            None => work.as_mut().poll(context),
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
    use tokio::sync::{mpsc, oneshot};

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

    #[tokio::test(flavor = "multi_thread")]
    async fn work_goes_where_its_hub_goes_and_back() {
        let (threads, lane) = (Arc::new(Threads::new(Some(1)).unwrap()), Lane::new());
        let (questions, asked) = mpsc::channel(1);
        threads.spawn_for(Some(Arc::clone(&lane)), teller(asked));
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
        assert_eq!(run.await.unwrap().unwrap(), NAME);
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
        assert!(threads.run_for(&lane, Box::pin(broken)).await.is_err_and(|error| error.is_panic()));
        assert_eq!(threads.run_for(&lane, Box::pin(async { 5 })).await.unwrap(), 5);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whatever_is_done_for_a_hub_is_at_its_expense() {
        let threads = Arc::new(Threads::new(Some(1)).unwrap());
        let compute = async || (0..100).fold(0_u64, |sum, number| std::hint::black_box(sum + number));
        for is_heavy in [false, true] {
            let lane = Lane::new();
            lane.share().mark(is_heavy);
            threads.spawn_short(Some(Arc::clone(&lane)), async move { compute().await }).await.unwrap();
            let short = lane.share().spent();
            let (done, is_done) = oneshot::channel();
            threads.spawn_for(Some(Arc::clone(&lane)), async move {
                compute().await;
                tokio::task::yield_now().await;
                done.send(()).unwrap();
            });
            is_done.await.unwrap();
            assert!(short > 0 && lane.share().spent() > short);
        }
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
        let light = threads.spawn_short(Some(Arc::clone(&lane)), policy()).await.unwrap();
        assert_eq!(light, Some(libc::SCHED_OTHER));
        lane.share().mark(true);
        let heavy = threads.spawn_short(Some(Arc::clone(&lane)), policy()).await.unwrap();
        assert_eq!((heavy, policy().await), (Some(libc::SCHED_IDLE), light));
    }
}
