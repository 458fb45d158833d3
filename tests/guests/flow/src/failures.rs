//! Failures and retries.

use durawasm::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Fails by an error of the standard library with a message in front.
#[durawasm::orchestrator(name = "Fails")]
pub(crate) async fn fails(_ctx: OrchestrationContext) -> Result<u32> {
    "seven".parse::<u32>().context("the amount is not a number")
}

/// Fails by an activity's failure.
#[durawasm::orchestrator(name = "ActivityFails")]
pub(crate) async fn activity_fails(ctx: OrchestrationContext, non_retriable: Option<bool>) -> Result<()> {
    ctx.call_activity("Fail", non_retriable).await
}

/// Catches an activity's failure and gives what it saw of it.
#[durawasm::orchestrator(name = "Catches")]
pub(crate) async fn catches(ctx: OrchestrationContext) -> Result<Value> {
    match ctx.call_activity::<()>("Fail", true).await {
        Ok(()) => Ok(json!("it did not fail")),
        Err(error) => Ok(json!({
            "errorType": error.error_type,
            "message": error.message,
            "nonRetriable": error.non_retriable,
            "causes": error.causes.iter().map(|cause| &cause.message).collect::<Vec<_>>(),
            "properties": error.properties,
        })),
    }
}

#[durawasm::orchestrator(name = "ChildFails")]
pub(crate) async fn child_fails(ctx: OrchestrationContext) -> Result<Value> {
    ctx.call_sub_orchestration("ActivityFails", ()).await
}

#[durawasm::orchestrator(name = "UnknownActivity")]
pub(crate) async fn unknown_activity(ctx: OrchestrationContext) -> Result<Value> {
    ctx.call_activity("NobodyDeclaresThis", ()).await
}

/// Of n activities the even ones fail; gives how many did.
#[durawasm::orchestrator(name = "JoinFailing")]
pub(crate) async fn join_failing(ctx: OrchestrationContext, n: u32) -> Result<usize> {
    let calls = (0..n).map(|i| ctx.call_activity::<Value>(if i % 2 == 0 { "Fail" } else { "Echo" }, ()));
    Ok(ctx.join_all(calls).await.iter().filter(|result| result.is_err()).count())
}

/// Sleeps `[millis, limit]` with a time limit for the attempt.
#[durawasm::orchestrator(name = "ActivityTimesOut")]
pub(crate) async fn activity_times_out(ctx: OrchestrationContext, (millis, limit): (u64, u64)) -> Result<u64> {
    ctx.activity("Sleep").input(millis).timeout(Duration::from_millis(limit)).call().await
}

#[derive(Deserialize)]
pub(crate) struct Retry {
    /// The attempt that succeeds.
    k: u32,
    max_attempts: u32,
    #[serde(default = "ten")]
    first_millis: u64,
    #[serde(default = "one")]
    backoff: f64,
}

fn ten() -> u64 {
    10
}

fn one() -> f64 {
    1.0
}

impl Retry {
    fn policy(&self) -> RetryPolicy {
        RetryPolicy::new(self.max_attempts, Duration::from_millis(self.first_millis)).backoff(self.backoff)
    }
}

/// Calls an activity that fails before attempt k; gives the attempt that succeeded.
#[durawasm::orchestrator(name = "Retry")]
pub(crate) async fn retry(ctx: OrchestrationContext, input: Retry) -> Result<u32> {
    ctx.activity("FailUntil").input(input.k).retry(input.policy()).call().await
}

/// Calls an activity twice at most that says in its first attempt how far it came.
#[durawasm::orchestrator(name = "ResumesHalfway")]
pub(crate) async fn resumes_halfway(ctx: OrchestrationContext, half: u32) -> Result<Value> {
    ctx.activity("Resumes").input(half).retry(RetryPolicy::new(2, Duration::from_millis(10))).call().await
}

/// Calls an activity that always fails as long as a predicate allows; gives how often the predicate was asked.
#[durawasm::orchestrator(name = "RetryPredicate")]
pub(crate) async fn retry_predicate(ctx: OrchestrationContext, allowed: u32) -> Result<u32> {
    let asked = std::cell::Cell::new(0);
    let policy = RetryPolicy::new(100, Duration::from_millis(5));
    let result = ctx
        .activity("Fail")
        .retry(policy)
        .call_while::<()>(|failure| {
            asked.set(asked.get() + 1);
            failure.error_type == "DiskError" && asked.get() <= allowed
        })
        .await;
    match result {
        Ok(()) => Err(Error::msg("it cannot succeed")),
        Err(_) => Ok(asked.get()),
    }
}

/// Awaits what no host will ever complete.
#[durawasm::orchestrator(name = "Stalls")]
pub(crate) async fn stalls(_ctx: OrchestrationContext) -> Result<()> {
    std::future::pending().await
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Order {
    item: String,
    amount: u32,
}

/// Has an input that not every JSON document is.
#[durawasm::orchestrator(name = "TypedInput")]
pub(crate) async fn typed_input(_ctx: OrchestrationContext, order: Order) -> Result<Order> {
    Ok(order)
}
