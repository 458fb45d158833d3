//! What an HTTP function is asked.

use serde::de::DeserializeOwned;

use crate::bindings::durable::functions::types::Tag;
use crate::bindings::exports::durable::functions::http_function as wit;
use crate::error::{Error, Result};

/// A request that matched an HTTP function's route; the function's second parameter.
///
/// ```
/// use durawasm::prelude::*;
///
/// fn answer(request: &HttpRequest) -> Result<String> {
///     let name = request.require_param("functionName")?;
///     let times: u32 = request.json()?;
///     Ok(format!("{name} {times}"))
/// }
///
/// let request = HttpRequest::new("POST", "http://localhost/orchestrators/Count")
///     .with_param("functionName", "Count")
///     .with_body("3");
/// assert_eq!(answer(&request)?, "Count 3");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
    params: Vec<(String, String)>,
    body: Vec<u8>,
}

impl HttpRequest {
    /// A request without headers and body, for tests of functions; the query is that of the URL only if it is added
    /// with [`HttpRequest::with_query`].
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), ..Self::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a value of the query.
    #[must_use]
    pub fn with_query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Adds the value of a parameter of the route.
    #[must_use]
    pub fn with_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// `GET`, `POST` and so on.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The URL as the client wrote it, with scheme and host.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Scheme and host of the URL, as links to this server begin; none if it has none.
    ///
    /// ```
    /// let request = durawasm::HttpRequest::new("GET", "http://localhost:7071/api/orders?page=2");
    /// assert_eq!(request.origin(), Some("http://localhost:7071"));
    /// ```
    pub fn origin(&self) -> Option<&str> {
        origin(&self.url)
    }

    /// The first header of this name, compared ignoring case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0.eq_ignore_ascii_case(name)).map(|header| header.1.as_str())
    }

    /// All headers; names come in lowercase.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of the query of this name, decoded. Names are compared ignoring case, as the management API does.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.queries().find(|value| value.0.eq_ignore_ascii_case(name)).map(|value| value.1)
    }

    /// All values of the query, decoded; a name may come more than once.
    pub fn queries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of the route's parameter `{name}`, decoded; none if it is `{name?}` and absent.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|param| param.0.eq_ignore_ascii_case(name)).map(|param| param.1.as_str())
    }

    /// The value of the route's parameter `{name}`, which the function cannot do without. Absent: `?` answers 400.
    pub fn require_param(&self, name: &str) -> Result<&str> {
        self.param(name).ok_or_else(|| Error::bad_request(format!("the route's parameter {name:?} is missing")))
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, without a copy.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// The body as text. Not UTF-8: `?` answers 400.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.body).map_err(|error| Error::bad_request(format!("the body is not UTF-8: {error}")))
    }

    /// The body read from JSON, whatever its content type says; a body of no bytes counts as `null`. Not the JSON that
    /// `T` expects: `?` answers 400 with the reason.
    ///
    /// ```
    /// use durawasm::prelude::*;
    ///
    /// let request = HttpRequest::new("POST", "http://localhost/").with_body("[1, 2]");
    /// assert_eq!(request.json::<Vec<u8>>()?, [1, 2]);
    /// assert_eq!(request.json::<String>().unwrap_err().error_type, "BadRequest");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let text: &[u8] = if self.body.is_empty() { b"null" } else { &self.body };
        serde_json::from_slice(text)
            .map_err(|error| Error::bad_request(format!("the body is not the JSON that is expected: {error}")))
    }
}

/// `scheme://host` at the begin of a URL.
pub(crate) fn origin(url: &str) -> Option<&str> {
    let host = url.find("://")? + "://".len();
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |length| host + length);
    (end > host).then_some(&url[..end])
}

fn pairs(tags: Vec<Tag>) -> Vec<(String, String)> {
    tags.into_iter().map(|tag| (tag.name, tag.value)).collect()
}

impl From<wit::Request> for HttpRequest {
    fn from(request: wit::Request) -> Self {
        Self {
            method: request.method,
            url: request.url,
            headers: pairs(request.headers),
            query: pairs(request.query),
            params: pairs(request.params),
            body: request.body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HttpRequest, origin};

    #[test]
    fn names_are_found_ignoring_case_and_the_first_of_several_counts() {
        let request = HttpRequest::new("GET", "http://host/")
            .with_header("x-mode", "a")
            .with_query("Page", "1")
            .with_query("page", "2")
            .with_param("orderId", "7");
        assert_eq!(request.header("X-Mode"), Some("a"));
        assert_eq!((request.query("page"), request.queries().count()), (Some("1"), 2));
        assert_eq!((request.param("orderid"), request.param("other")), (Some("7"), None));
        let error = request.require_param("other").expect_err("it is not there");
        assert_eq!(error.to_string(), "the route's parameter \"other\" is missing");
    }

    #[test]
    fn the_origin_ends_before_path_query_and_fragment() {
        for url in ["https://host", "https://host/", "https://host?a=//b", "https://host#a"] {
            assert_eq!(origin(url), Some("https://host"), "{url}");
        }
        for url in ["", "/api/orders", "http:///orders"] {
            assert_eq!(origin(url), None, "{url}");
        }
    }
}
