//! Fan-in of any number of tasks.

use std::pin::Pin;
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::executor::{self, GroupId};
use crate::task::TaskFuture;

/// All of several tasks; see [`OrchestrationContext::join_all`](crate::OrchestrationContext::join_all).
#[must_use = "the work is under way, but its results are lost unless this is awaited"]
pub struct JoinAll<T> {
    tasks: Vec<TaskFuture<T>>,
    group: Option<GroupId>,
}

impl<T> JoinAll<T> {
    pub(crate) fn new(tasks: Vec<TaskFuture<T>>) -> Self {
        Self { tasks, group: None }
    }

    fn poll_all(&mut self, context: &Context<'_>) -> Poll<()> {
        let pending = match self.group {
            Some(group) => executor::group_pending(group, context),
            None => {
                let ids: Vec<_> = self.tasks.iter().filter_map(TaskFuture::id).collect();
                self.group = executor::wait_for_group(&ids, context);
                self.group.is_some()
            }
        };
        if pending { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl<T: DeserializeOwned> Future for JoinAll<T> {
    type Output = Vec<Result<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_all(context).map(|()| {
            let mut tasks = std::mem::take(&mut self.tasks);
            tasks.iter_mut().map(TaskFuture::take_result).collect()
        })
    }
}

impl<T> Drop for JoinAll<T> {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            executor::forget_group(group);
        }
    }
}

/// All of several tasks, or an error; see
/// [`OrchestrationContext::try_join_all`](crate::OrchestrationContext::try_join_all).
#[must_use = "the work is under way, but its results are lost unless this is awaited"]
pub struct TryJoinAll<T>(pub(crate) JoinAll<T>);

impl<T: DeserializeOwned> Future for TryJoinAll<T> {
    type Output = Result<Vec<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|results| results.into_iter().collect())
    }
}
