//! HTTP calls of orchestrators: made by the host, recorded in the history.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bindings::durable::functions::types::Tag;
use crate::error::{Error, Result};
use crate::host::{self, HttpOptions};
use crate::payload::{decode, encode};
use crate::retry::{RetryPolicy, millis};
use crate::task::TaskFuture;

/// An HTTP request for the host to make; see [`OrchestrationContext::call_http`](crate::OrchestrationContext::call_http).
///
/// ```
/// use durawasm::prelude::*;
///
/// let call = HttpCall::post("https://api.example.com/jobs")
///     .header("Authorization", "Bearer …")
///     .json(&["teapot"])
///     .retry(RetryPolicy::new(3, Duration::from_secs(5)))
///     .retry_statuses([429, 503])
///     .timeout(Duration::from_secs(20));
/// # drop(call);
/// ```
#[derive(Debug)]
#[must_use = "nothing is sent before it is given to `call_http`"]
pub struct HttpCall {
    method: String,
    uri: String,
    headers: Vec<Tag>,
    body: Result<Option<Vec<u8>>>,
    retry: Option<RetryPolicy>,
    retry_statuses: Vec<u16>,
    timeout: Option<Duration>,
    poll: bool,
    tags: Vec<Tag>,
}

impl HttpCall {
    /// A call with any method. The URI is absolute.
    pub fn new(method: impl Into<String>, uri: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            uri: uri.into(),
            headers: vec![],
            body: Ok(None),
            retry: None,
            retry_statuses: vec![],
            timeout: None,
            poll: true,
            tags: vec![],
        }
    }

    /// `GET`.
    pub fn get(uri: impl Into<String>) -> Self {
        Self::new("GET", uri)
    }

    /// `POST`.
    pub fn post(uri: impl Into<String>) -> Self {
        Self::new("POST", uri)
    }

    /// `PUT`.
    pub fn put(uri: impl Into<String>) -> Self {
        Self::new("PUT", uri)
    }

    /// `DELETE`.
    pub fn delete(uri: impl Into<String>) -> Self {
        Self::new("DELETE", uri)
    }

    /// Adds a header. It is part of the history, as the whole request is.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Tag { name: name.into(), value: value.into() });
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Ok(Some(body.into()));
        self
    }

    /// A value as the body, with its content type. What cannot be written as JSON fails the call.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        self.body = encode(value).map(|text| Some(text.unwrap_or_else(|| "null".to_owned()).into_bytes()));
        self.header("Content-Type", "application/json")
    }

    /// How the host tries again: when there is no answer, and when its status is 400 or above. Once it has given up
    /// the call fails. Without a policy every answer is a result, whatever its status.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// Which statuses the retry policy is for, instead of all of 400 and above.
    pub fn retry_statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.retry_statuses = statuses.into_iter().collect();
        self
    }

    /// How long one attempt may take; without it as long as an activity.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Takes an answer of 202 as the result. Otherwise the host goes on to ask where such an answer says, until there is
    /// another one.
    pub fn without_polling(mut self) -> Self {
        self.poll = false;
        self
    }

    /// A name and a value that the management API shows with the call.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push(Tag { name: name.into(), value: value.into() });
        self
    }

    pub(crate) fn call(self) -> TaskFuture<HttpAnswer> {
        let body = match self.body {
            Ok(body) => body,
            Err(error) => return TaskFuture::refused(error),
        };
        let call = host::HttpCall { method: self.method, uri: self.uri, headers: self.headers, body };
        let options = HttpOptions {
            retry: self.retry.map(Into::into),
            retry_statuses: self.retry_statuses,
            timeout: self.timeout.map(millis),
            poll: self.poll,
            tags: self.tags,
        };
        TaskFuture::open(host::call_http(&call, &options))
    }
}

/// What came back.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Recorded")]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// Names in lowercase. A name may come more than once.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// The first header of this name, ignoring case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|header| header.0.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.as_str())
    }

    /// True: a status of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The answer itself if it is a success, or else an error that says the status.
    pub fn successful(self) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let begin: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
        Err(Error::of_sdk("HttpStatus", format!("answered with status {}: {begin}", self.status)))
    }

    /// The body as text.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.body)
            .map_err(|error| Error::of_sdk("UnexpectedPayload", format!("the answer is not UTF-8: {error}")))
    }

    /// The body as a value.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        decode(Some(self.text()?), || "the answer".to_owned())
    }
}

/// An answer as histories have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    content: Option<String>,
    content_base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

impl TryFrom<Recorded> for HttpAnswer {
    type Error = &'static str;

    fn try_from(recorded: Recorded) -> std::result::Result<Self, &'static str> {
        let body = match (recorded.content, recorded.content_base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(text)) => base64(&text).ok_or("contentBase64 is not base64")?,
            (None, None) => vec![],
        };
        let mut headers = vec![];
        for (name, values) in recorded.headers {
            match values {
                Values::One(value) => headers.push((name, value)),
                Values::Many(values) => headers.extend(values.into_iter().map(|value| (name.clone(), value))),
            }
        }
        Ok(Self { status: recorded.status_code, headers, body })
    }
}

/// The host writes the standard alphabet, padded. A library for this alone would be part of every app.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let text = r#"{"statusCode":201,"headers":{"a":"1","b":["2","3"]},"content":"[7]"}"#;
        let answer: HttpAnswer = serde_json::from_str(text).unwrap();
        assert_eq!((answer.status, answer.header("A"), answer.headers.len()), (201, Some("1"), 3));
        assert_eq!(answer.json::<Vec<u8>>().unwrap(), [7]);
        let binary = |text| -> std::result::Result<HttpAnswer, _> {
            serde_json::from_value(serde_json::json!({"statusCode": 404, "contentBase64": text}))
        };
        for (text, bytes) in
            [("", &b""[..]), ("/w==", b"\xff"), ("/wA=", b"\xff\0"), ("AAEC", &[0, 1, 2]), ("+/+/", &[251, 255, 191])]
        {
            assert_eq!(binary(text).unwrap().body, bytes, "{text}");
        }
        assert!(binary("?").is_err());
        assert_eq!(binary("").unwrap().successful().unwrap_err().error_type, "HttpStatus");
    }
}
