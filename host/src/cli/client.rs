//! Talks to a server's HTTP API on behalf of a verb.

use std::error::Error;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::CliError;
use super::args::TargetArgs;
use crate::net::tls;

/// A server may have to compile a large component before it answers.
const TIMEOUT: Duration = Duration::from_secs(600);
/// How long a download may take.
const LONG: Duration = Duration::from_hours(30 * 24);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    key: Option<String>,
}

/// What is sent.
pub(super) enum Body {
    None,
    Json(String),
    Component(Vec<u8>),
    /// Sent as it is read, however long that takes.
    File(tokio::fs::File),
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// Of a list: where it goes on.
    pub(super) next: Option<String>,
    /// Which version of something it is.
    pub(super) etag: Option<String>,
}

/// Where an answer says how a list goes on, and a request where to.
const TOKEN: &str = "x-ms-continuation-token";

impl Client {
    pub(super) fn new(target: &TargetArgs) -> Result<Self, CliError> {
        if !["http://", "https://"].iter().any(|scheme| target.url.starts_with(scheme)) {
            let message = format!("--url must begin with http:// or https://, unlike '{}'", target.url);
            return Err(CliError::Usage(message));
        }
        let tls = tls::client(target.ca.as_deref()).map_err(|error| CliError::Usage(format!("--ca: {error}")))?;
        // A key is for the server it is given for, and not for whoever that names.
        let http =
            reqwest::Client::builder().timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT).redirect(Policy::none());
        let http = http.tls_backend_preconfigured(tls).build();
        let http = http.map_err(|error| CliError::Refused(format!("cannot make requests: {error}")))?;
        Ok(Self { http, url: target.url.trim_end_matches('/').to_owned(), key: target.key.clone() })
    }

    /// Sends a request; `path` begins with a slash and is encoded already.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Body,
    ) -> Result<Answer, CliError> {
        let request = self.http.request(method, format!("{}{path}", self.url)).query(query);
        self.finish(request, body).await
    }

    /// Asks for a page of a list; `after`: what the page before said.
    pub(super) async fn page(
        &self,
        path: &str,
        query: &[(&str, &str)],
        after: Option<&str>,
    ) -> Result<Answer, CliError> {
        let mut request = self.http.get(format!("{}{path}", self.url)).query(query);
        if let Some(after) = after {
            request = request.header(TOKEN, after);
        }
        self.finish(request, Body::None).await
    }

    /// Asks for bytes. An answer that is none is as text.
    pub(super) async fn bytes(&self, path: &str, query: &[(&str, &str)]) -> Result<Result<Vec<u8>, Answer>, CliError> {
        let request = self.http.get(format!("{}{path}", self.url)).query(query);
        let response = self.begin(request, Body::None).await?;
        let status = response.status();
        if status.is_success() {
            let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
            return Ok(Ok(bytes.into()));
        }
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        Ok(Err(Answer { status, text, next: None, etag: None }))
    }

    async fn begin(&self, mut request: reqwest::RequestBuilder, body: Body) -> Result<reqwest::Response, CliError> {
        if let Some(key) = &self.key {
            request = request.header("x-functions-key", key);
        }
        request = match body {
            Body::None => request,
            Body::Json(text) => request.header("content-type", "application/json").body(text),
            Body::File(file) => {
                request.timeout(LONG).header("content-type", "application/octet-stream").body(reqwest::Body::from(file))
            }
            Body::Component(bytes) => request.header("content-type", "application/wasm").body(bytes),
        };
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    /// Asks for what is too much for memory. The answer may take any time.
    pub(super) async fn download(&self, path: &str) -> Result<reqwest::Response, CliError> {
        let mut request = self.http.get(format!("{}{path}", self.url)).timeout(LONG);
        if let Some(key) = &self.key {
            request = request.header("x-functions-key", key);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        let refused =
            Answer { status, text, next: None, etag: None }.accepted("the server is too old for this", "gone");
        Err(refused.err().unwrap_or_else(|| CliError::Refused(format!("the server answered {status}"))))
    }

    /// Replaces something, if it is still this version of it; none: whichever it is.
    pub(super) async fn put_if(&self, path: &str, etag: Option<&str>, body: Body) -> Result<Answer, CliError> {
        let mut request = self.http.put(format!("{}{path}", self.url));
        if let Some(etag) = etag {
            request = request.header("if-match", etag);
        }
        self.finish(request, body).await
    }

    async fn finish(&self, request: reqwest::RequestBuilder, body: Body) -> Result<Answer, CliError> {
        let response = self.begin(request, body).await?;
        let status = response.status();
        let next = response.headers().get(TOKEN).and_then(|next| next.to_str().ok()).filter(|next| !next.is_empty());
        let next = next.map(str::to_owned);
        let etag = response.headers().get("etag").and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        Ok(Answer { status, text, next, etag })
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        if error.is_builder() {
            return CliError::Usage(format!("'{}' is no URL of a server", self.url));
        }
        if let Some(why) = distrust(error) {
            return CliError::Unreachable(format!(
                "the server at {} is not trusted: {why}. Name the authority that signed its certificate with --ca.",
                self.url
            ));
        }
        let what = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
        CliError::Unreachable(format!(
            "the server at {} {what}. Is the server running? Start it with `durawasm serve`.",
            self.url
        ))
    }
}

/// What is wrong with the TLS of a server, if that is what is wrong.
fn distrust(error: &reqwest::Error) -> Option<String> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(wrong) = error.downcast_ref::<rustls::Error>() {
            return Some(wrong.to_string());
        }
        // What it holds is not what it names as its source.
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

impl Answer {
    /// The answer, if the server did what was asked; `missing` and `ended` are what 404 and 410 without text mean.
    pub(super) fn accepted(self, missing: &str, ended: &str) -> Result<Self, CliError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let text = match (self.message(), self.status) {
            (Some(message), _) => message,
            (None, StatusCode::NOT_FOUND) => missing.to_owned(),
            (None, StatusCode::GONE) => ended.to_owned(),
            (None, StatusCode::UNAUTHORIZED) => {
                "the server wants its key: give it with --key or DURAWASM_KEY".to_owned()
            }
            (None, status) if status.is_redirection() => {
                format!("the server answered {status}: it is to be found elsewhere, at https:// perhaps")
            }
            (None, status) => format!("the server answered {status}"),
        };
        Err(CliError::Refused(text))
    }

    /// The answer as JSON.
    pub(super) fn json(&self) -> Result<Value, CliError> {
        self.parse()
    }

    /// The answer as JSON of a known form.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, CliError> {
        serde_json::from_str(&self.text)
            .map_err(|_| CliError::Refused("the server's answer is not JSON; is it a durawasm server?".to_owned()))
    }

    /// The error's text, in any of its forms.
    fn message(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.text).ok()?;
        // Some refusals are a JSON string and nothing else.
        let text = Some(&body)
            .filter(|body| body.is_string())
            .or_else(|| body.get("Message"))
            .or_else(|| body.pointer("/error/message"))?;
        text.as_str().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: StatusCode, text: &str) -> String {
        let answer = Answer { status, text: text.to_owned(), next: None, etag: None };
        answer.accepted("missing", "ended").err().map(|error| error.text().to_owned()).unwrap_or_default()
    }

    #[test]
    fn the_servers_words_come_first() {
        assert_eq!(refused(StatusCode::CONFLICT, r#"{"Message":"taken"}"#), "taken");
        assert_eq!(refused(StatusCode::BAD_REQUEST, r#"{"error":{"code":"c","message":"bad"}}"#), "bad");
        assert_eq!(refused(StatusCode::PRECONDITION_FAILED, r#""not failed""#), "not failed");
        assert_eq!(refused(StatusCode::NOT_FOUND, ""), "missing");
        assert_eq!(refused(StatusCode::GONE, ""), "ended");
        assert!(refused(StatusCode::UNAUTHORIZED, "").contains("--key"));
        assert_eq!(refused(StatusCode::OK, "[]"), "");
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let target = TargetArgs {
            hub: "default".into(),
            url: format!("http://127.0.0.1:{port}"),
            key: None,
            ca: None,
            json: false,
        };
        let answer = Client::new(&target).unwrap().send(Method::GET, "/healthz", &[], Body::None).await;
        assert!(matches!(answer, Err(CliError::Unreachable(text)) if text.contains("`durawasm serve`")));
    }
}
