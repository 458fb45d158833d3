//! What an HTTP function answers.

use serde::Serialize;

use crate::bindings::durable::functions::types::Tag;
use crate::bindings::exports::durable::functions::http_function as wit;
use crate::client::ClientError;
use crate::error::Result;
use crate::payload::encode;

const CONTENT_TYPE: &str = "Content-Type";

/// The answer of an HTTP function.
///
/// ```
/// use durawasm::prelude::*;
///
/// let taken = HttpResponse::new(409).text("An instance with ID 'sole' already exists.");
/// let made = HttpResponse::new(201).header("Location", "/orders/7").json(&["teapot"])?;
/// assert_eq!(made.content(), br#"["teapot"]"#);
/// # Ok::<(), Error>(())
/// ```
///
/// A function may also return `Result<String>`, `Result<&'static str>` (200 with a text) and `Result<()>` (204).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a response is what the function returns"]
pub struct HttpResponse {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl HttpResponse {
    /// A response without a body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: vec![], body: vec![] }
    }

    /// Adds a header. A name may come more than once, but for `Content-Type`: the last one holds.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        if name.eq_ignore_ascii_case(CONTENT_TYPE) {
            self.headers.retain(|header| !header.0.eq_ignore_ascii_case(CONTENT_TYPE));
        }
        self.headers.push((name, value.into()));
        self
    }

    /// A text as the body: `text/plain; charset=utf-8`.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.header(CONTENT_TYPE, "text/plain; charset=utf-8").body(text.into())
    }

    /// A value as the body: `application/json; charset=utf-8`. Fails if it cannot be written as JSON.
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Result<Self> {
        Ok(self.json_text(encode(value)?.unwrap_or_else(|| "null".to_owned())))
    }

    /// JSON that is text already, such as an instance's output.
    pub(crate) fn json_text(self, json: String) -> Self {
        self.header(CONTENT_TYPE, "application/json; charset=utf-8").body(json)
    }

    /// Bytes as the body; says nothing about their type.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers in the order they were added.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The bytes of the body.
    pub fn content(&self) -> &[u8] {
        &self.body
    }
}

impl From<String> for HttpResponse {
    fn from(text: String) -> Self {
        Self::new(200).text(text)
    }
}

impl From<&str> for HttpResponse {
    fn from(text: &str) -> Self {
        Self::new(200).text(text)
    }
}

impl From<()> for HttpResponse {
    fn from((): ()) -> Self {
        Self::new(204)
    }
}

/// The status the management API answers in the same case, with the reason as a text: 409, 404, 410, 412, 400, 429 or 503.
///
/// ```
/// use durawasm::{ClientError, HttpResponse};
///
/// assert_eq!(HttpResponse::from(ClientError::NotFound).status(), 404);
/// ```
impl From<ClientError> for HttpResponse {
    fn from(error: ClientError) -> Self {
        let status = match &error {
            ClientError::AlreadyExists(_) | ClientError::NotEnded => 409,
            ClientError::NotFound => 404,
            ClientError::Ended => 410,
            ClientError::NotFailed => 412,
            ClientError::Invalid(_) => 400,
            ClientError::Limit(_) => 429,
            ClientError::Unavailable(_) => 503,
        };
        Self::new(status).text(error.to_string())
    }
}

impl From<HttpResponse> for wit::Response {
    fn from(response: HttpResponse) -> Self {
        Self {
            status: response.status,
            headers: response.headers.into_iter().map(|(name, value)| Tag { name, value }).collect(),
            body: response.body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_content_type_holds() {
        let response = HttpResponse::new(200).text("<p>").header("content-type", "text/html").header("X", "1");
        assert_eq!(response.headers().collect::<Vec<_>>(), [("content-type", "text/html"), ("X", "1")]);
    }

    #[test]
    fn cookies_come_more_than_once() {
        let response = HttpResponse::new(200).header("Set-Cookie", "a=1").header("Set-Cookie", "b=2");
        assert_eq!(response.headers().count(), 2);
    }

    #[test]
    fn nothing_is_the_json_null() {
        let response = HttpResponse::new(200).json(&()).expect("it can be written");
        assert_eq!(response.content(), b"null");
    }
}
