//! The HTTP calls of orchestrators: what is recorded of them and how an attempt ends.
//!
//! A call is recorded as a call of the activity [`durawasm_core::model::HTTP_ACTIVITY`], with an [`HttpCall`] as its input
//! and an [`HttpAnswer`] as its result, both as JSON in the original's words.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use durawasm_core::model::Outcome;
use durawasm_core::{Payload, SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::quota::QuotaExceeded;
use super::spans::{Attribute, Open, SpanError};
use crate::store::HubName;

/// Headers by name. A name that comes more than once has a list.
pub type Headers = BTreeMap<String, HeaderValues>;

/// The values of a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HeaderValues {
    /// The usual one.
    One(String),
    /// Several, in their order.
    Many(Vec<String>),
}

impl HeaderValues {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    /// Adds one more.
    pub fn push(&mut self, value: String) {
        match self {
            Self::One(first) => *self = Self::Many(vec![std::mem::take(first), value]),
            Self::Many(values) => values.push(value),
        }
    }
}

/// Puts a header under its name.
pub fn add_header(headers: &mut Headers, name: String, value: String) {
    match headers.get_mut(&name) {
        Some(values) => values.push(value),
        None => {
            headers.insert(name, HeaderValues::One(value));
        }
    }
}

/// A request of an orchestrator.
///
/// A replay compares it as text: the order of the fields and what is left out must stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpCall {
    /// `GET` and so on.
    pub method: String,
    /// Absolute.
    pub uri: String,
    /// Names in lowercase.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: Headers,
    /// The body, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The body, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_base64: Option<String>,
    /// Whether an answer of 202 leads to asking again where it says.
    #[serde(default = "yes")]
    pub asynchronous_pattern_enabled: bool,
    /// There is a retry policy, for these answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_options: Option<RetryOptions>,
}

/// Which answers a retry policy is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryOptions {
    /// Empty: all of 400 and above.
    #[serde(default)]
    pub status_codes_to_retry: Vec<u16>,
}

fn yes() -> bool {
    true
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpAnswer {
    /// The status.
    pub status_code: u16,
    /// Names in lowercase.
    pub headers: Headers,
    /// The body, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The body, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_base64: Option<String>,
}

/// Counts what goes to the outside and comes from there, and bounds it.
pub trait Traffic: Send + Sync {
    /// So many bytes were sent or received.
    fn passed(&self, bytes: u64);

    /// Whether more may pass.
    ///
    /// # Errors
    /// Not now: there were too many of late. Who has to wait looks again then.
    fn room(&self) -> Result<(), QuotaExceeded>;
}

impl fmt::Debug for dyn Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traffic")
    }
}

/// What belongs to no hub: it is not counted, and has no bounds.
#[derive(Clone, Copy, Debug)]
pub struct Unmetered;

impl Traffic for Unmetered {
    fn passed(&self, _bytes: u64) {}

    fn room(&self) -> Result<(), QuotaExceeded> {
        Ok(())
    }
}

/// An attempt to make.
#[derive(Clone, Debug)]
pub struct HttpRun {
    /// Whose rules hold.
    pub hub: HubName,
    /// An [`HttpCall`] as JSON.
    pub call: Option<Payload>,
    /// `{execution id}:{task}:{attempt}`.
    pub idempotency_key: String,
    /// W3C trace context of the attempt, for a call that brings none of its own.
    pub trace_parent: Option<String>,
    /// The `tracestate` that goes with it.
    pub trace_state: Option<Arc<str>>,
    /// After this the attempt is stopped and fails.
    pub timeout: Duration,
    /// Told what goes to and fro.
    pub traffic: Arc<dyn Traffic>,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum HttpEnd {
    /// With an [`HttpAnswer`] as JSON, or a failure.
    Ended(Outcome),
    /// The work is under way at the other side: ask again.
    Postponed {
        /// The answer, shortened.
        answer: Option<Payload>,
        /// The next [`HttpCall`].
        next: Payload,
        /// When.
        again: Again,
    },
}

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// So much later.
    After(Duration),
    /// At this time.
    At(Timestamp),
}

impl Again {
    /// The time to ask, seen from now. Every time of asking is a durable commit: not at once, whatever the answer says.
    #[must_use]
    pub fn due(self, now: Timestamp) -> Timestamp {
        let from_now = |seconds| now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        let wanted = match self {
            Self::After(wait) => from_now(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)),
            Self::At(time) => time,
        };
        wanted.clamp(from_now(SHORTEST_WAIT), from_now(LONGEST_WAIT))
    }
}

/// Seconds.
const SHORTEST_WAIT: i64 = 1;
/// Seconds: a year.
const LONGEST_WAIT: i64 = 366 * 86_400;

/// What a span says of a call: method and host. Paths and queries may hold keys.
pub(super) fn method_and_host(call: Option<&str>) -> (String, Option<String>) {
    #[derive(Deserialize)]
    struct Head {
        method: String,
        uri: String,
    }
    let Ok(head) = serde_json::from_str::<Head>(call.unwrap_or_default()) else { return (String::new(), None) };
    let url = url::Url::parse(&head.uri).ok();
    (head.method, url.and_then(|url| url.host_str().map(str::to_owned)))
}

/// Ends the span of an attempt.
pub(super) fn tell(mut span: Open, end: &HttpEnd) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        status_code: u16,
    }
    let answer = match end {
        HttpEnd::Ended(Err(failure)) => return span.ended(Some(SpanError::of(failure))),
        HttpEnd::Ended(Ok(answer)) | HttpEnd::Postponed { answer, .. } => answer.as_deref().unwrap_or_default(),
    };
    let status = serde_json::from_str(answer).ok().map(|head: Head| head.status_code);
    if let Some(status) = status {
        span.add("http.response.status_code", Attribute::Number(status.into()));
    }
    let failed = status.filter(|status| *status >= 400);
    span.ended(failed.map(|status| SpanError::new(&status.to_string(), "")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_at_once_or_never() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let after = |seconds| Again::After(Duration::from_secs(seconds)).due(now).duration_since(now).as_secs();
        assert_eq!([after(0), after(30), after(u64::MAX)], [1, 30, LONGEST_WAIT]);
        let at = |text: &str| Again::At(text.parse().unwrap()).due(now).to_string();
        assert_eq!(at("1990-01-01T00:00:00Z"), "2026-01-01T00:00:01Z");
        assert_eq!(at("2026-01-01T08:00:00Z"), "2026-01-01T08:00:00Z");
        assert_eq!(at("9990-01-01T00:00:00Z"), "2027-01-02T00:00:00Z");
    }
}
