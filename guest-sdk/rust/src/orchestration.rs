//! The orchestrator's context.

use std::fmt::Display;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::{ActivityCall, SubOrchestrationCall};
use crate::combine::{self, Either, Join};
use crate::error::{Error, Result};
use crate::http::{HttpAnswer, HttpCall};
use crate::join_all::{JoinAll, TryJoinAll};
use crate::log::Log;
use crate::payload::encode;
use crate::task::TaskFuture;
use crate::time::Timestamp;
use crate::{InstanceInfo, LogLevel, host};

/// What an orchestrator can do; its first parameter. Free to copy into closures and async blocks.
///
/// Calls that give a [`TaskFuture`] have the work done from then on; awaiting it only waits for the result.
#[derive(Clone, Copy)]
pub struct OrchestrationContext {
    /// Stays on its thread.
    thread: PhantomData<*const ()>,
}

impl OrchestrationContext {
    pub(crate) fn new() -> Self {
        Self { thread: PhantomData }
    }

    /// Calls an activity by name, in this app or another one of the hub.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let greeting: String = ctx.call_activity("SayHello", "Tokyo").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_activity<T>(self, name: &str, input: impl Serialize) -> TaskFuture<T> {
        self.activity(name).input(input).call()
    }

    /// Begins a call of an activity with options.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let receipt: String = ctx
    ///     .activity("Charge")
    ///     .input(100)
    ///     .retry(RetryPolicy::new(5, Duration::from_secs(1)).backoff(2.0))
    ///     .timeout(Duration::from_secs(30))
    ///     .call()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn activity(self, name: &str) -> ActivityCall {
        ActivityCall::new(name)
    }

    /// Has the host make an HTTP request: at least once, with its answer in the history, where the rules for egress allow
    /// it. Every answer is a result, whatever its status, unless a retry policy takes it for a failure. Redirects are not
    /// followed.
    ///
    /// An answer of 202 that names a `Location` is not the result: the host asks there again, after as many seconds as
    /// its `Retry-After` says (30 without), until the answer is another one. That may take days, and costs nothing
    /// meanwhile. See [`HttpCall::without_polling`].
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let answer = ctx.call_http(HttpCall::post("https://api.example.com/jobs").json(&[1, 2])).await?.successful()?;
    /// let job: String = answer.json()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_http(self, call: HttpCall) -> TaskFuture<HttpAnswer> {
        call.call()
    }

    /// Calls another orchestrator as a child and waits for its end. The child is an instance of its own, with its own
    /// history, status and limits.
    ///
    /// A child that fails, or is terminated, fails the call. While it is open its parent stays Running, even if nobody
    /// awaits it any more.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let children = ["pump", "valve"].map(|device| ctx.call_sub_orchestration::<String>("Provision", device));
    /// let keys = ctx.try_join_all(children).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_sub_orchestration<T>(self, name: &str, input: impl Serialize) -> TaskFuture<T> {
        self.sub_orchestration(name).input(input).call()
    }

    /// Begins a call of another orchestrator with options, or its start without waiting for it.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let total: u32 = ctx.sub_orchestration("Order").input(7).instance_id("order-7").call().await?;
    /// let audit: String = ctx.sub_orchestration("Audit").input(total).start()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Without a chosen id each attempt of a retry policy is a new instance; with one, each replaces the one before:
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let policy = RetryPolicy::new(3, Duration::from_secs(60));
    /// let total: u32 = ctx.sub_orchestration("Order").input(7).retry(policy).call().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sub_orchestration(self, name: &str) -> SubOrchestrationCall {
        SubOrchestrationCall::new(name)
    }

    /// A durable timer of any length. The component need not stay in memory for it.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// ctx.sleep(Duration::from_secs(3600)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sleep(self, duration: Duration) -> TaskFuture<()> {
        timer(duration)
    }

    /// A durable timer that fires at a point in time; at once if that has passed.
    pub fn sleep_until(self, time: Timestamp) -> TaskFuture<()> {
        TaskFuture::open(host::create_timer(&time.to_string()))
    }

    /// Waits for an event raised from outside. Names are compared ignoring case. Events that came before anybody
    /// waited are kept for the first who does.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let approved: bool = ctx.wait_for_event("Approval").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for_event<T>(self, name: &str) -> TaskFuture<T> {
        TaskFuture::open(host::wait_for_event(name))
    }

    /// Waits for all tasks, however they end. Results come in the order of the tasks.
    ///
    /// One call of the host for any number of tasks: the way to fan in thousands.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let tasks = (0..10_000).map(|n| ctx.call_activity::<u64>("Square", n));
    /// let failed = ctx.join_all(tasks).await.into_iter().filter(Result::is_err).count();
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_all<T: DeserializeOwned>(self, tasks: impl IntoIterator<Item = TaskFuture<T>>) -> JoinAll<T> {
        JoinAll::new(tasks.into_iter().collect())
    }

    /// Waits for all tasks and gives their outputs, or the error of the first that failed, by their order here. It
    /// waits for the others in both cases, so that none runs on unheard.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<u64> {
    /// let squares = ctx.try_join_all((0..10).map(|n| ctx.call_activity::<u64>("Square", n))).await?;
    /// Ok(squares.iter().sum())
    /// # }
    /// ```
    pub fn try_join_all<T: DeserializeOwned>(self, tasks: impl IntoIterator<Item = TaskFuture<T>>) -> TryJoinAll<T> {
        TryJoinAll(self.join_all(tasks))
    }

    /// Waits for all of a tuple of two to six futures, of any kinds.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let stock = ctx.call_activity::<u32>("Stock", "tea");
    /// let price = ctx.call_activity::<f64>("Price", "tea");
    /// let (stock, price) = ctx.join((stock, price)).await;
    /// let worth = f64::from(stock?) * price?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join<J: Join>(self, futures: J) -> J::Output {
        futures.join().await
    }

    /// Waits for the first of several futures; gives its index and output. The others go on; of tasks that means the
    /// work, whose result is lost. See [`OrchestrationContext::select`] to keep them.
    ///
    /// A race of nothing never ends, so the orchestrator fails.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<String> {
    /// let mirrors = ["eu", "us"].map(|region| ctx.call_activity::<String>("Fetch", region));
    /// let (_fastest, page) = ctx.race(mirrors).await;
    /// page
    /// # }
    /// ```
    pub async fn race<F: Future>(self, futures: impl IntoIterator<Item = F>) -> (usize, F::Output) {
        let mut futures = futures.into_iter().map(Box::pin).collect();
        combine::select(&mut futures).await
    }

    /// Waits for the first of several futures and takes it out of the list; gives the index it had and its output.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let mut parcels: Vec<_> = (0..5).map(|n| ctx.call_activity::<String>("Deliver", n)).collect();
    /// while !parcels.is_empty() {
    ///     let (_, delivered) = ctx.select(&mut parcels).await;
    ///     ctx.set_custom_status(delivered?)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn select<F: Future + Unpin>(self, futures: &mut Vec<F>) -> (usize, F::Output) {
        combine::select(futures).await
    }

    /// Waits for the first of two futures of different kinds. Pass `&mut` to keep the loser.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let mut job = ctx.call_activity::<String>("Job", ());
    /// let stop = ctx.wait_for_event::<()>("Stop");
    /// match ctx.either(&mut job, stop).await {
    ///     Either::Left(output) => ctx.info(output?),
    ///     Either::Right(_) => job.cancel(),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn either<A: Future, B: Future>(self, left: A, right: B) -> Either<A::Output, B::Output> {
        combine::either(left, right).await
    }

    /// Waits for any future no longer than this; none: the time was up. For a single task
    /// [`TaskFuture::timeout`] is better, for it cancels the task.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// let all = ctx.try_join_all((0..10).map(|n| ctx.call_activity::<u64>("Square", n)));
    /// if let Some(squares) = ctx.timeout(Duration::from_secs(60), all).await {
    ///     ctx.info(format_args!("{:?}", squares?));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn timeout<F: Future>(self, limit: Duration, future: F) -> Option<F::Output> {
        let mut timer = timer(limit);
        match combine::either(future, &mut timer).await {
            Either::Left(output) => {
                timer.cancel();
                Some(output)
            }
            Either::Right(_) => None,
        }
    }

    /// The time of the last completion this orchestrator has seen; of its start before the first. The same in every
    /// replay.
    pub fn now(self) -> Timestamp {
        now()
    }

    /// A GUID that is the same in every replay and different in every call.
    pub fn new_guid(self) -> String {
        host::new_guid()
    }

    /// Who is running.
    pub fn instance(self) -> InstanceInfo {
        host::instance()
    }

    /// The id of the instance that is running.
    pub fn instance_id(self) -> String {
        host::instance().instance_id
    }

    /// What the status shows as `customStatus`, at most 16 KiB of JSON; `()` clears it. Fails if the value cannot be
    /// written as JSON.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// ctx.set_custom_status(serde_json::json!({"packed": 3, "of": 5}))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_custom_status(self, status: impl Serialize) -> Result<()> {
        host::set_custom_status(encode(&status)?.as_deref());
        Ok(())
    }

    /// Raises an event on another instance, or on this one. Events from here to one instance arrive in the order in
    /// which they were sent; one to an instance that does not exist is lost. Fails if the data cannot be written as JSON.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<()> {
    /// if let Some(parent) = ctx.instance().parent_instance_id {
    ///     ctx.send_event(&parent, "Progress", 50)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_event(self, instance_id: &str, name: &str, data: impl Serialize) -> Result<()> {
        host::send_event(instance_id, name, encode(&data)?.as_deref());
        Ok(())
    }

    /// Ends this execution and starts the next one, with a fresh history, the same instance id and the app's current
    /// version. `keep_events`: whether events that nobody has waited for yet are carried over.
    ///
    /// It takes effect when the function returns, so return what it gives:
    ///
    /// ```
    /// # use durawasm::prelude::*;
    /// #[durawasm::orchestrator]
    /// async fn count(ctx: OrchestrationContext, n: u32) -> Result<u32> {
    ///     if n == 100 {
    ///         return Ok(n);
    ///     }
    ///     ctx.sleep(Duration::from_secs(1)).await?;
    ///     ctx.continue_as_new(n + 1, true)
    /// }
    /// ```
    pub fn continue_as_new<T>(self, input: impl Serialize, keep_events: bool) -> Result<T> {
        host::continue_as_new(encode(&input)?.as_deref(), keep_events);
        Err(Error::of_sdk(CONTINUED_AS_NEW, "this execution ended by continue-as-new".to_owned()))
    }
}

/// The type of the error by which a function leaves after it asked for a fresh execution: it is an end, not a failure.
pub(crate) const CONTINUED_AS_NEW: &str = "durawasm::ContinuedAsNew";

impl Log for OrchestrationContext {
    fn log(&self, level: LogLevel, message: impl Display) {
        host::log(level, &message.to_string());
    }
}

pub(crate) fn timer(duration: Duration) -> TaskFuture<()> {
    TaskFuture::open(host::create_timer(&(now() + duration).to_string()))
}

pub(crate) fn now() -> Timestamp {
    let text = host::current_time();
    match text.parse() {
        Ok(time) => time,
        Err(error) => panic!("the host's clock is broken: {error}"),
    }
}
