//! Runs an orchestrator's future: polls it, and whenever it is pending asks the host for the next completion.
//!
//! A component runs one orchestrator on one thread, so what is awaited lives in a thread-local.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::host;

/// The handle of a task in the contract.
pub(crate) type TaskId = u32;

/// What is being awaited and what has come. Ordered collections throughout: the host must see the same lists in every
/// replay.
#[derive(Default)]
struct Waits {
    /// Tasks awaited for themselves.
    tasks: BTreeMap<TaskId, Waker>,
    /// Tasks awaited together.
    groups: BTreeMap<GroupId, Group>,
    next_group: GroupId,
    /// Delivered by the host, not yet taken by their futures.
    delivered: BTreeSet<TaskId>,
}

/// Names a group of tasks that are awaited together.
pub(crate) type GroupId = u64;

struct Group {
    /// Undelivered tasks, the next to wait for at the end.
    pending: Vec<TaskId>,
    waker: Waker,
}

/// What to ask the host next.
enum Ask {
    Nothing,
    Any(Vec<TaskId>),
    All(GroupId, Vec<TaskId>),
}

thread_local!(static WAITS: RefCell<Waits> = RefCell::default());

/// The future waits for something that no task of the host will ever complete.
#[derive(Debug)]
pub(crate) struct Stalled;

/// Runs a future to its end.
pub(crate) fn run<F: Future>(future: F) -> Result<F::Output, Stalled> {
    WAITS.take();
    let mut future = pin!(future);
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let mut context = Context::from_waker(&waker);
    loop {
        flag.0.store(false, Ordering::Relaxed);
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        // Woken while it was polled: it only gave way to another branch of itself.
        if flag.0.load(Ordering::Relaxed) {
            continue;
        }
        if !deliver_next() {
            return Err(Stalled);
        }
    }
}

/// Notes that it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for the next completion and wakes who awaits it. False: nothing is awaited.
fn deliver_next() -> bool {
    // The list is made first and the borrow ended: wakers may call back.
    let ask = WAITS.with_borrow(Waits::ask);
    let woken = match ask {
        Ask::Nothing => return false,
        Ask::Any(tasks) => {
            let task = host::when_any(&tasks);
            WAITS.with_borrow_mut(|waits| waits.deliver(task))
        }
        Ask::All(group, tasks) => {
            host::when_all(&tasks);
            WAITS.with_borrow_mut(|waits| {
                waits.delivered.extend(tasks);
                waits.groups.remove(&group).map(|group| group.waker)
            })
        }
    };
    if let Some(waker) = woken {
        waker.wake();
    }
    true
}

impl Waits {
    /// A group alone is one call. Next to other things it is represented by one of its tasks, then by the next: it is
    /// complete before something else exactly if each of its tasks is. That keeps a race of 10,000 tasks with a timer
    /// from passing 10,000 handles 10,000 times.
    fn ask(&self) -> Ask {
        if self.tasks.is_empty()
            && self.groups.len() == 1
            && let Some((&id, group)) = self.groups.first_key_value()
        {
            return Ask::All(id, group.pending.iter().rev().copied().collect());
        }
        let mut tasks: Vec<TaskId> = self.tasks.keys().copied().collect();
        tasks.extend(self.groups.values().filter_map(|group| group.pending.last()));
        if tasks.is_empty() { Ask::Nothing } else { Ask::Any(tasks) }
    }

    fn deliver(&mut self, task: TaskId) -> Option<Waker> {
        self.delivered.insert(task);
        if let Some(waker) = self.tasks.remove(&task) {
            return Some(waker);
        }
        let (&id, group) = self.groups.iter_mut().find(|(_, group)| group.pending.last() == Some(&task))?;
        group.pending.pop();
        if group.pending.is_empty() { self.groups.remove(&id).map(|group| group.waker) } else { None }
    }
}

/// Takes a delivered task, whose result may then be read, or notes who waits for it.
pub(crate) fn take_or_wait(task: TaskId, context: &Context<'_>) -> Poll<()> {
    WAITS.with_borrow_mut(|waits| {
        if waits.delivered.remove(&task) {
            return Poll::Ready(());
        }
        waits.tasks.insert(task, context.waker().clone());
        Poll::Pending
    })
}

/// Nobody waits for the task any more.
pub(crate) fn forget(task: TaskId) {
    // Futures dropped while the thread ends find no executor, and need none.
    let _ = WAITS.try_with(|waits| {
        let mut waits = waits.borrow_mut();
        waits.tasks.remove(&task);
        waits.delivered.remove(&task);
    });
}

/// Begins to wait for several tasks together. None: they have all been delivered.
pub(crate) fn wait_for_group(tasks: &[TaskId], context: &Context<'_>) -> Option<GroupId> {
    WAITS.with_borrow_mut(|waits| {
        for task in tasks {
            waits.tasks.remove(task);
        }
        let pending: Vec<TaskId> = tasks.iter().rev().copied().filter(|task| !waits.delivered.contains(task)).collect();
        if pending.is_empty() {
            return None;
        }
        let id = waits.next_group;
        waits.next_group += 1;
        waits.groups.insert(id, Group { pending, waker: context.waker().clone() });
        Some(id)
    })
}

/// Whether a group is still incomplete; if so, notes who waits for it now.
pub(crate) fn group_pending(group: GroupId, context: &Context<'_>) -> bool {
    WAITS.with_borrow_mut(|waits| match waits.groups.get_mut(&group) {
        Some(group) => {
            group.waker.clone_from(context.waker());
            true
        }
        None => false,
    })
}

/// Nobody waits for the group any more.
pub(crate) fn forget_group(group: GroupId) {
    let _ = WAITS.try_with(|waits| waits.borrow_mut().groups.remove(&group));
}

#[cfg(test)]
mod tests;
