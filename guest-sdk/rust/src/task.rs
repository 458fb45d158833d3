//! The future of one task.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::error::{Error, Failure, Result};
use crate::executor::{self, TaskId};
use crate::payload::decode;
use crate::{host, orchestration};

/// Something asked of the host that completes later: an activity, a sub-orchestration, a timer, an event.
///
/// The work is under way from the call that made this, awaited or not: make several, then await them. Dropping it
/// leaves the work alone; see [`TaskFuture::cancel`].
///
/// ```no_run
/// # use durawasm::prelude::*;
/// # async fn example(ctx: OrchestrationContext) -> Result<u32> {
/// let left = ctx.call_activity::<u32>("Measure", "left");
/// let right = ctx.call_activity::<u32>("Measure", "right");
/// Ok(left.await? + right.await?) // both ran at the same time
/// # }
/// ```
#[must_use = "the work is under way, but its result is lost unless this is awaited"]
pub struct TaskFuture<T> {
    state: State,
    output: PhantomData<fn() -> T>,
}

enum State {
    Open {
        task: TaskId,
        cancelable: bool,
    },
    /// Its input could not be written as JSON, so that it was never asked for.
    Refused(Error),
    Done,
}

impl<T> TaskFuture<T> {
    pub(crate) fn open(task: TaskId) -> Self {
        Self { state: State::Open { task, cancelable: true }, output: PhantomData }
    }

    /// For sub-orchestrations, which the contract cannot give up.
    pub(crate) fn uncancelable(task: TaskId) -> Self {
        Self { state: State::Open { task, cancelable: false }, output: PhantomData }
    }

    pub(crate) fn refused(error: Error) -> Self {
        Self { state: State::Refused(error), output: PhantomData }
    }

    /// The task's handle in the instance, as its history shows it. None: it has been awaited, or it was never asked
    /// for because its input cannot be written as JSON.
    pub fn id(&self) -> Option<u32> {
        match self.state {
            State::Open { task, .. } => Some(task),
            State::Refused(_) | State::Done => None,
        }
    }

    /// Gives the task up: a timer no longer fires, an event wait no longer takes an event, an activity is told. A
    /// sub-orchestration cannot be given up and goes on unheard.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let reminder = ctx.sleep(Duration::from_secs(3600));
    /// ctx.call_activity::<()>("Pay", ()).await?;
    /// reminder.cancel();
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(self) {
        if let State::Open { task, cancelable: true } = self.state {
            host::cancel(task);
        }
    }

    /// Waits no longer than this: `Ok(None)` means that the time was up, and that the task was canceled.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<bool> {
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let approved = ctx.wait_for_event::<bool>("Approval").timeout(day).await?;
    /// Ok(approved.unwrap_or(false))
    /// # }
    /// ```
    pub fn timeout(self, limit: Duration) -> Timeout<T> {
        Timeout { both: Some((self, orchestration::timer(limit))) }
    }
}

/// Awaiting it a second time panics, as with every future.
impl<T: DeserializeOwned> Future for TaskFuture<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        if let State::Open { task, .. } = self.state
            && executor::take_or_wait(task, context).is_pending()
        {
            return Poll::Pending;
        }
        Poll::Ready(self.take_result())
    }
}

impl<T: DeserializeOwned> TaskFuture<T> {
    /// The result of a task that has been delivered.
    pub(crate) fn take_result(&mut self) -> Result<T> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Open { task, .. } => {
                executor::forget(task);
                match host::get_result(task) {
                    Ok(json) => decode(json.as_deref(), || format!("the result of task {task}")),
                    Err(failure) => Err(Failure::from(failure).into()),
                }
            }
            State::Refused(error) => Err(error),
            State::Done => panic!("this task was awaited before"),
        }
    }
}

impl<T> Drop for TaskFuture<T> {
    fn drop(&mut self) {
        if let State::Open { task, .. } = self.state {
            executor::forget(task);
        }
    }
}

/// A task and its time limit; see [`TaskFuture::timeout`].
#[must_use = "the work is under way, but its result is lost unless this is awaited"]
pub struct Timeout<T> {
    /// The task and the timer, until one of them wins.
    both: Option<(TaskFuture<T>, TaskFuture<()>)>,
}

impl<T: DeserializeOwned> Future for Timeout<T> {
    type Output = Result<Option<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((task, timer)) = &mut self.both else { panic!("this task was awaited before") };
        let won = Pin::new(task).poll(context);
        if won.is_pending() && Pin::new(timer).poll(context).is_pending() {
            return Poll::Pending;
        }
        let both = self.both.take();
        Poll::Ready(match (won, both) {
            (Poll::Ready(result), Some((_, timer))) => {
                timer.cancel();
                result.map(Some)
            }
            (_, both) => {
                if let Some((task, _)) = both {
                    task.cancel();
                }
                Ok(None)
            }
        })
    }
}
