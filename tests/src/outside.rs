//! A service on this machine for functions to call: it answers as its paths say and keeps what it was asked.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::json;
use tokio::net::TcpListener;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lowercase.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

#[derive(Clone, Default)]
struct Kept {
    asked: Arc<Mutex<Vec<Asked>>>,
    counts: Arc<Mutex<HashMap<String, u32>>>,
}

/// See the module.
pub struct Outside {
    /// Where it is.
    pub address: SocketAddr,
    kept: Kept,
}

impl Outside {
    /// One that serves until the test is over.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn new() -> Self {
        let listener = match TcpListener::bind("127.0.0.1:0").await {
            Ok(listener) => listener,
            Err(error) => panic!("no port: {error}"),
        };
        let address = listener.local_addr().unwrap_or_else(|error| panic!("{error}"));
        let kept = Kept::default();
        let router = Self::router(&kept);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, kept }
    }

    fn router(kept: &Kept) -> Router {
        Router::new()
            .route("/echo", any(echo))
            .route("/status", any(status))
            .route("/binary", any(|| async { vec![0xff_u8, 0, 1] }))
            .route("/slow", any(|| async { tokio::time::sleep(Duration::from_secs(3600)).await }))
            .route("/huge", any(huge))
            .route("/redirect", any(|| async { (StatusCode::FOUND, [("location", "/echo")]) }))
            .route("/job", any(job))
            .route("/flaky", any(flaky))
            .with_state(kept.clone())
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests, in their order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.kept.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Paths and queries of all requests, in their order.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path).collect()
    }
}

type Parameters = Query<HashMap<String, String>>;

fn number(parameters: &Parameters, name: &str) -> Option<u32> {
    parameters.get(name).and_then(|text| text.parse().ok())
}

impl Kept {
    fn keep(&self, (method, uri): (&Method, &Uri), headers: &HeaderMap, body: &Bytes) -> Asked {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let asked = Asked {
            method: method.to_string(),
            path: uri.to_string(),
            headers: headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            body: text(body),
        };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        asked
    }
}

async fn echo(State(kept): State<Kept>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let asked = kept.keep((&method, &uri), &headers, &body);
    let text = json!({"method": asked.method, "path": asked.path, "body": asked.body}).to_string();
    ([("x-twice", "a"), ("content-type", "application/json")], text).into_response()
}

/// `?code=…`
async fn status(State(kept): State<Kept>, query: Parameters, method: Method, uri: Uri) -> Response {
    kept.keep((&method, &uri), &HeaderMap::new(), &Bytes::new());
    let code = number(&query, "code").and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok());
    (code.unwrap_or(StatusCode::IM_A_TEAPOT), "as you wish").into_response()
}

/// `?bytes=…`
async fn huge(query: Parameters) -> String {
    "x".repeat(number(&query, "bytes").and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0))
}

/// `?left=…`: how often it says "not yet"; `&after=…`: with this `Retry-After`; `&end=…`: the status it has then.
async fn job(
    State(kept): State<Kept>,
    query: Parameters,
    (method, uri): (Method, Uri),
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    kept.keep((&method, &uri), &headers, &body);
    let (left, end) = (number(&query, "left").unwrap_or(0), number(&query, "end").unwrap_or(200));
    if left == 0 {
        let status = u16::try_from(end).ok().and_then(|end| StatusCode::from_u16(end).ok()).unwrap_or_default();
        return (status, "done").into_response();
    }
    let after = query.get("after");
    let more = after.map_or_else(String::new, |after| format!("&after={after}"));
    let location = format!("job?left={}&end={end}{more}", left - 1);
    let mut response = (StatusCode::ACCEPTED, [("location", location)], "not yet").into_response();
    if let Some(after) = after.and_then(|after| after.parse().ok()) {
        response.headers_mut().insert("retry-after", after);
    }
    response
}

/// `?fails=…`: how often it answers 500 first.
async fn flaky(State(kept): State<Kept>, query: Parameters, method: Method, uri: Uri) -> Response {
    kept.keep((&method, &uri), &HeaderMap::new(), &Bytes::new());
    let mut counts = kept.counts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.entry(uri.to_string()).or_default();
    *count += 1;
    if *count > number(&query, "fails").unwrap_or(0) {
        return "at last".into_response();
    }
    (StatusCode::INTERNAL_SERVER_ERROR, "not now").into_response()
}
