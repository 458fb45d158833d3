//! Where the writer works: on a thread of its own, or on the thread of a commit that is alone.
//!
//! A commit that nobody else's could share a sync with, on a disk that is not slow, is written by whoever brings it: to wake
//! another thread and to be woken by it would be added to the write.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;

use tokio::runtime::Handle;

use super::gather::Gathered;
use super::work::{Job, Work};
use super::writer::{Watch, Writer};
use crate::store::background::leaves_writing;

/// Bytes of large values that a commit may have that is not the thread's work.
const SMALL: usize = 16 << 10;

pub(super) struct Desk {
    /// None: the writer has ended.
    writer: Mutex<Option<Writer>>,
    /// The thread sleeps, and has nothing to do but what comes next.
    idle: AtomicBool,
    thread: OnceLock<Thread>,
    /// A lone commit may be written where it comes from.
    shortcut: bool,
    /// How many were.
    #[cfg(test)]
    pub(super) lone: std::sync::atomic::AtomicU64,
}

impl Desk {
    pub(super) fn new(writer: Writer, shortcut: bool) -> Arc<Self> {
        // On the only thread of a runtime a disk that hangs would let nobody say so.
        let alone = Handle::try_current().is_ok_and(|runtime| runtime.metrics().num_workers() < 2);
        Arc::new(Self {
            writer: Mutex::new(Some(writer)),
            idle: AtomicBool::new(false),
            thread: OnceLock::new(),
            shortcut: shortcut && !alone,
            #[cfg(test)]
            lone: Default::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until the store is closed, or until writing fails. What waits then is dropped, and with it the reply
    /// channels: their owners find the reason in the published state.
    pub(super) fn work(&self) {
        // Whoever finds it idle has to know whom to wake.
        drop(self.thread.set(std::thread::current()));
        loop {
            let mut desk = self.lock();
            let Some(writer) = desk.as_mut() else { return };
            let gathered = if writer.has_failed() { Gathered::Closed } else { writer.work() };
            match gathered {
                Gathered::Group(_) => {}
                Gathered::Closed => {
                    let ended = desk.take();
                    drop(desk);
                    ended.into_iter().for_each(Writer::end);
                    return;
                }
                Gathered::Nothing => {
                    self.idle.store(true, Ordering::SeqCst);
                    fence(Ordering::SeqCst);
                    // What was sent before that, nobody wakes it for.
                    if writer.has_work() {
                        self.idle.store(false, Ordering::SeqCst);
                        continue;
                    }
                    drop(desk);
                    while self.idle.load(Ordering::SeqCst) {
                        std::thread::park();
                    }
                }
            }
        }
    }

    /// To be called when something was sent to the writer.
    pub(super) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.idle.load(Ordering::SeqCst)
            && self.idle.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Writes a commit here and now, if it is alone. Otherwise it comes back.
    pub(super) fn write_lone(&self, job: Job) -> Option<Job> {
        if !self.shortcut || leaves_writing() || !self.idle.load(Ordering::SeqCst) || !is_small(&job.work) {
            return Some(job);
        }
        let mut desk = match self.writer.try_lock() {
            Ok(desk) => desk,
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return Some(job),
        };
        let Some(writer) = desk.as_mut().filter(|writer| !writer.has_failed()) else { return Some(job) };
        if !writer.may_be_quick() {
            return Some(job);
        }
        let watch = Watch::new(writer);
        #[cfg(test)]
        self.lone.fetch_add(1, Ordering::SeqCst);
        let more = writer.write_lone(job);
        drop(watch);
        drop(desk);
        if more {
            // It has left something to do, or has failed for good.
            self.wake();
        }
        None
    }
}

fn is_small(work: &Work) -> bool {
    match work {
        Work::Commit(prepared, _) => prepared.piece_bytes() <= SMALL,
        Work::CommitAll(..)
        | Work::AnswerMail(..)
        | Work::PutApp(..)
        | Work::PutSchedule(..)
        | Work::Set(..)
        | Work::Purge(..)
        | Work::Forget(_)
        | Work::Charge(..) => false,
    }
}
