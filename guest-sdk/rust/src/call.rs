//! Calls with options.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::durable::functions::types as wit;
use crate::error::{Failure, Result};
use crate::host::{self, ActivityOptions, SubOrchestrationOptions};
use crate::payload::encode;
use crate::retry::{RetryPolicy, millis};
use crate::task::TaskFuture;
use crate::{Timestamp, orchestration};

/// An activity call being put together; see [`OrchestrationContext::activity`](crate::OrchestrationContext::activity).
#[must_use = "nothing is called before `call`"]
pub struct ActivityCall {
    name: String,
    input: Result<Option<String>>,
    retry: Option<RetryPolicy>,
    timeout: Option<Duration>,
    tags: Vec<wit::Tag>,
}

impl ActivityCall {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), input: Ok(None), retry: None, timeout: None, tags: vec![] }
    }

    /// What the activity gets.
    pub fn input(mut self, input: impl Serialize) -> Self {
        self.input = encode(&input);
        self
    }

    /// How the host tries again when it fails.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// How long one attempt may take; without it the hub's default.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// A name and a value that the management API shows with the call.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push(wit::Tag { name: name.into(), value: value.into() });
        self
    }

    /// Calls it.
    pub fn call<T>(self) -> TaskFuture<T> {
        let options = self.options(self.retry.clone());
        match self.input {
            Ok(input) => TaskFuture::open(host::call_activity(&self.name, input.as_deref(), &options)),
            Err(error) => TaskFuture::refused(error),
        }
    }

    /// Calls it, and again by the retry policy as long as `again` says so of the failure.
    ///
    /// Where [`ActivityCall::call`] leaves the retries to the host, this is a loop of single calls and timers in the
    /// orchestrator, each in the history; the activity sees attempt 1 every time. Without a policy there is one
    /// attempt. Nothing is called before it is awaited.
    ///
    /// ```no_run
    /// # use durawasm::prelude::*;
    /// # async fn example(ctx: OrchestrationContext) -> Result<String> {
    /// ctx.activity("Fetch")
    ///     .input("https://example.org")
    ///     .retry(RetryPolicy::new(3, Duration::from_secs(5)))
    ///     .call_while(|failure| failure.error_type == "Unavailable")
    ///     .await
    /// # }
    /// ```
    pub async fn call_while<T: DeserializeOwned>(self, again: impl Fn(&Failure) -> bool) -> Result<T> {
        let options = self.options(None);
        let input = self.input?;
        let began = orchestration::now();
        for attempt in 1.. {
            let task = TaskFuture::open(host::call_activity(&self.name, input.as_deref(), &options));
            let error = match task.await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let wait = self.retry.as_ref().and_then(|policy| wait_before_next(policy, attempt, began));
            match wait {
                Some(wait) if !error.non_retriable && again(&error) => orchestration::timer(wait).await?,
                _ => return Err(error),
            }
        }
        unreachable!("attempts have no end but a return")
    }

    fn options(&self, retry: Option<RetryPolicy>) -> ActivityOptions {
        ActivityOptions { retry: retry.map(Into::into), timeout: self.timeout.map(millis), tags: self.tags.clone() }
    }
}

/// None: the policy allows no further attempt.
fn wait_before_next(policy: &RetryPolicy, attempt: u32, began: Timestamp) -> Option<Duration> {
    let wait = policy.wait_after(attempt);
    let late = policy.timeout.is_some_and(|limit| orchestration::now() + wait > began + limit);
    (attempt < policy.max_attempts && !late).then_some(wait)
}

/// A call of another orchestrator being put together; see
/// [`OrchestrationContext::sub_orchestration`](crate::OrchestrationContext::sub_orchestration).
#[must_use = "nothing is called before `call` or `start`"]
pub struct SubOrchestrationCall {
    name: String,
    input: Result<Option<String>>,
    options: SubOrchestrationOptions,
}

impl SubOrchestrationCall {
    pub(crate) fn new(name: &str) -> Self {
        let options = SubOrchestrationOptions { instance_id: None, retry: None, version: None, tags: vec![] };
        Self { name: name.to_owned(), input: Ok(None), options }
    }

    /// What the orchestrator gets.
    pub fn input(mut self, input: impl Serialize) -> Self {
        self.input = encode(&input);
        self
    }

    /// The child's instance id; without it one derived from the parent's.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.options.instance_id = Some(id.into());
        self
    }

    /// How the host tries again when it fails.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.options.retry = Some(policy.into());
        self
    }

    /// The child's version label.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.options.version = Some(version.into());
        self
    }

    /// A name and a value that the child instance carries.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.tags.push(wit::Tag { name: name.into(), value: value.into() });
        self
    }

    /// Calls it.
    pub fn call<T>(self) -> TaskFuture<T> {
        match self.input {
            Ok(input) => {
                TaskFuture::uncancelable(host::call_sub_orchestration(&self.name, input.as_deref(), &self.options))
            }
            Err(error) => TaskFuture::refused(error),
        }
    }

    /// Starts it without waiting for it; returns its instance id. Fails if the input cannot be written as JSON.
    pub fn start(self) -> Result<String> {
        Ok(host::start_sub_orchestration(&self.name, self.input?.as_deref(), &self.options))
    }
}
