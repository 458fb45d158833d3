//! An attempt of an orchestrator's HTTP call.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use durawasm_core::{Failure, Payload, Timestamp};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{HeaderName, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::http::response::Parts;
use hyper::{HeaderMap, Method, Request};
use serde_json::json;
use url::Url;

use super::egress::{ConnectError, Egress, LOG};
use super::exchange::{self, ExchangeError};
use crate::engine::http::{Again, HeaderValues, Headers, HttpAnswer, HttpCall, HttpEnd, HttpRun, add_header};

/// The wait before asking again when the answer does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);
/// Bytes of a URI: servers take no longer ones.
const URI: usize = 16 << 10;
/// Bytes of all headers: the same, and each time of asking records them anew.
const HEADERS: usize = 64 << 10;
/// Bytes of a body that are shown of an answer which is not the result.
const SHOWN: usize = 4 << 10;

/// Headers that belong to the connection.
const OURS: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Makes an attempt. `limit`: bytes of the answer as it is recorded.
pub async fn attempt(egress: &Egress, run: HttpRun, limit: usize) -> HttpEnd {
    let ended = match read(run.call.as_deref()) {
        Ok((call, url)) => {
            match tokio::time::timeout(run.timeout, exchange(egress, &run, (&call, &url), limit)).await {
                Ok(Ok((head, body))) => answered(&call, &url, (&head, &body), limit),
                Ok(Err(failure)) => Err(failure),
                Err(_) => {
                    let message = format!("{} did not answer within {:?}", shown(&call, &url), run.timeout);
                    let message = match run.traffic.room() {
                        Ok(()) => message,
                        Err(exceeded) => format!("{message}; it had to wait: {exceeded}"),
                    };
                    Err(Failure::new("HttpTimeout", message))
                }
            }
        }
        Err(failure) => Err(failure),
    };
    ended.unwrap_or_else(|failure| HttpEnd::Ended(Err(failure)))
}

/// W3C trace context.
const TRACE_PARENT: &str = "traceparent";
const TRACE_STATE: &str = "tracestate";

fn bad(message: impl Into<String>) -> Failure {
    Failure::new("InvalidHttpRequest", message).non_retriable()
}

fn read(input: Option<&str>) -> Result<(HttpCall, Url), Failure> {
    let call: HttpCall = serde_json::from_str(input.unwrap_or("null"))
        .map_err(|error| bad(format!("the input of an HTTP call is none: {error}")))?;
    if call.uri.len() > URI {
        return Err(bad(format!("the URI has {} bytes; the limit is {URI}", call.uri.len())));
    }
    let each = |(name, values): (&String, &HeaderValues)| {
        values.all().iter().map(|value| name.len() + value.len()).sum::<usize>()
    };
    let bytes: usize = call.headers.iter().map(each).sum();
    if bytes > HEADERS {
        return Err(bad(format!("the headers have {bytes} bytes; the limit is {HEADERS}")));
    }
    let url = Url::parse(&call.uri)
        .map_err(|error| bad(format!("'{}' is no absolute URI: {error}", shortened(&call.uri))))?;
    Ok((call, url))
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

/// The call in words. Queries hold keys: they are left out.
fn shown(call: &HttpCall, url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let host = url.host_str().unwrap_or_default();
    format!("{} {}://{host}{port}{}", shortened(&call.method), url.scheme(), shortened(url.path()))
}

/// The trace context of an attempt: `traceparent`, and the `tracestate` that goes with it.
type TraceContext<'a> = (Option<&'a str>, Option<&'a str>);

fn request(call: &HttpCall, url: &Url, trace: TraceContext<'_>) -> Result<Request<Full<Bytes>>, Failure> {
    let method = Method::from_bytes(call.method.as_bytes())
        .map_err(|_| bad(format!("'{}' is no HTTP method", shortened(&call.method))))?;
    let mut url = url.clone();
    url.set_fragment(None);
    let body = match (&call.content, &call.content_base64) {
        (Some(text), _) => Bytes::from(text.clone()),
        (None, Some(text)) => {
            STANDARD.decode(text).map_err(|error| bad(format!("contentBase64 is not base64: {error}")))?.into()
        }
        (None, None) => Bytes::new(),
    };
    let mut request = Request::builder().method(method).uri(url.as_str());
    if !call.headers.keys().any(|name| USER_AGENT == *name.to_ascii_lowercase()) {
        request = request.header(USER_AGENT, concat!("durawasm/", env!("CARGO_PKG_VERSION")));
    }
    // A call that brings a context of its own is a part of that.
    let brings = |header: &str| call.headers.keys().any(|name| name.eq_ignore_ascii_case(header));
    if let (Some(parent), state) = trace
        && !brings(TRACE_PARENT)
    {
        request = request.header(TRACE_PARENT, parent);
        if let Some(state) = state.filter(|_| !brings(TRACE_STATE)) {
            request = request.header(TRACE_STATE, state);
        }
    }
    for (name, values) in &call.headers {
        if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(bad(format!("the header {name} is set by the host: leave it out")));
        }
        for value in values.all() {
            request = request.header(name.as_str(), value.as_str());
        }
    }
    request.body(Full::new(body)).map_err(|error| bad(format!("{} cannot be sent: {error}", shown(call, &url))))
}

async fn exchange(
    egress: &Egress,
    run: &HttpRun,
    (call, url): (&HttpCall, &Url),
    limit: usize,
) -> Result<(Parts, Bytes), Failure> {
    let request = request(call, url, (run.trace_parent.as_deref(), run.trace_state.as_deref()))?;
    let what = || shown(call, url);
    let (response, carrier) =
        exchange::send(egress, (&run.hub, Arc::clone(&run.traffic)), request).await.map_err(|error| match error {
            ExchangeError::BadRequest(why) => bad(format!("{} cannot be sent: {why}", what())),
            ExchangeError::Connect(ConnectError::Refused(refusal)) => {
                tracing::warn!(target: LOG, "hub {}: {refusal}", run.hub);
                Failure::new("EgressRefused", format!("{} was not made: {refusal}", what())).non_retriable()
            }
            ExchangeError::Connect(
                error @ (ConnectError::Lookup { .. } | ConnectError::Connect { .. } | ConnectError::Tls { .. }),
            ) => Failure::new("HttpConnectionFailed", format!("{} failed: {error}", what())),
            ExchangeError::Http(error) => Failure::new("HttpConnectionFailed", format!("{} failed: {error}", what())),
        })?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            too_large(&what(), limit)
        } else {
            Failure::new("HttpConnectionFailed", format!("the answer to {} broke off: {error}", what()))
        }
    })?;
    drop(carrier);
    Ok((head, body.to_bytes()))
}

fn too_large(what: &str, limit: usize) -> Failure {
    let message = format!("the answer to {what} has more than {limit} bytes: fetch it in an activity, in pieces");
    Failure::new("HttpAnswerTooLarge", message).non_retriable()
}

fn answered(call: &HttpCall, url: &Url, (head, body): (&Parts, &Bytes), limit: usize) -> Result<HttpEnd, Failure> {
    let status = head.status.as_u16();
    if call.asynchronous_pattern_enabled
        && status == 202
        && let Some(location) = head.headers.get(LOCATION)
    {
        return postponed(call, url, (head, body), &String::from_utf8_lossy(location.as_bytes()));
    }
    if let Some(options) = &call.retry_options {
        let codes = &options.status_codes_to_retry;
        if if codes.is_empty() { status >= 400 } else { codes.contains(&status) } {
            let mut failure =
                Failure::new("HttpStatus", format!("{} was answered with status {status}", shown(call, url)));
            failure.properties = payload(&json!({"answer": answer(head, short(body))}), usize::MAX);
            return Err(failure);
        }
    }
    match payload(&answer(head, Some(body)), limit) {
        Some(answer) => Ok(HttpEnd::Ended(Ok(Some(answer)))),
        None => Err(too_large(&shown(call, url), limit)),
    }
}

/// The whole body if it is short.
fn short(body: &Bytes) -> Option<&Bytes> {
    (body.len() <= SHOWN).then_some(body)
}

fn payload(value: &impl serde::Serialize, limit: usize) -> Option<Payload> {
    serde_json::to_string(value).ok().filter(|text| text.len() <= limit).map(Payload::from)
}

fn answer(head: &Parts, body: Option<&Bytes>) -> HttpAnswer {
    let mut headers = Headers::new();
    for (name, value) in &head.headers {
        add_header(&mut headers, name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let (content, content_base64) = match body.map(|body| (std::str::from_utf8(body), body)) {
        Some((Ok(text), _)) => (Some(text.to_owned()), None),
        Some((Err(_), bytes)) => (None, Some(STANDARD.encode(bytes))),
        None => (None, None),
    };
    HttpAnswer { status_code: head.status.as_u16(), headers, content, content_base64 }
}

/// The call that asks how the work is going: at the place that the answer names, with the same headers, but for the key
/// of the function that was called.
fn postponed(call: &HttpCall, url: &Url, (head, body): (&Parts, &Bytes), location: &str) -> Result<HttpEnd, Failure> {
    let uri = url.join(location).map_err(|error| {
        let what = shown(call, url);
        Failure::new("InvalidHttpAnswer", format!("{what} was answered with a Location that is no URI: {error}"))
            .non_retriable()
    })?;
    let headers = call.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("x-functions-key"));
    let next = HttpCall {
        method: Method::GET.to_string(),
        uri: uri.into(),
        headers: headers.map(|(name, values): (&String, &HeaderValues)| (name.clone(), values.clone())).collect(),
        content: None,
        content_base64: None,
        asynchronous_pattern_enabled: true,
        retry_options: call.retry_options.clone(),
    };
    let next = payload(&next, usize::MAX).ok_or_else(|| bad("the next request cannot be written"))?;
    let answer = payload(&answer(head, short(body)), usize::MAX);
    Ok(HttpEnd::Postponed { answer, next, again: retry_after(&head.headers) })
}

fn retry_after(headers: &HeaderMap) -> Again {
    let name: HeaderName = RETRY_AFTER;
    let Some(text) = headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim) else {
        return Again::After(DEFAULT_WAIT);
    };
    if let Ok(seconds) = text.parse::<u64>() {
        return Again::After(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok();
    let since = date.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok());
    let seconds = since.and_then(|since| i64::try_from(since.as_secs()).ok());
    match seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        Some(time) => Again::At(time),
        None => Again::After(DEFAULT_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(json: &str) -> (HttpCall, Url) {
        read(Some(json)).unwrap()
    }

    fn response(status: u16, headers: &[(&str, &str)]) -> Parts {
        let mut response = hyper::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    #[test]
    fn waits_are_read() {
        let wait = |text: &str| retry_after(&response(202, &[("retry-after", text)]).headers);
        assert_eq!(wait("7"), Again::After(Duration::from_secs(7)));
        assert_eq!(wait("0"), Again::After(Duration::ZERO));
        assert_eq!(wait("soon"), Again::After(DEFAULT_WAIT));
        assert_eq!(wait("-3"), Again::After(DEFAULT_WAIT));
        assert_eq!(wait("Wed, 21 Oct 2026 07:28:00 GMT"), Again::At("2026-10-21T07:28:00Z".parse().unwrap()));
        assert_eq!(retry_after(&HeaderMap::new()), Again::After(DEFAULT_WAIT));
    }

    #[test]
    fn an_answer_that_promises_one_is_asked_again_without_the_key() {
        let (call, url) = call(
            r#"{"method":"POST","uri":"http://a.b/x/start?code=1","headers":{"authorization":"t","x-functions-key":"k",
               "content-type":"text/plain"},"content":"body"}"#,
        );
        let head = response(202, &[("location", "../status/7?code=2"), ("retry-after", "5")]);
        let Ok(HttpEnd::Postponed { answer, next, again }) = answered(&call, &url, (&head, &Bytes::from("{}")), 1000)
        else {
            panic!("it was not postponed")
        };
        assert_eq!(
            &*next,
            r#"{"method":"GET","uri":"http://a.b/status/7?code=2","headers":{"authorization":"t","content-type":"text/plain"},"asynchronousPatternEnabled":true}"#
        );
        assert_eq!(again, Again::After(Duration::from_secs(5)));
        let expected =
            r#"{"statusCode":202,"headers":{"location":"../status/7?code=2","retry-after":"5"},"content":"{}"}"#;
        assert_eq!(answer.as_deref(), Some(expected));
        // Without a place to ask it is an answer like others, and so it is when nobody wants to ask.
        assert!(matches!(answered(&call, &url, (&response(202, &[]), &Bytes::new()), 1000), Ok(HttpEnd::Ended(Ok(_)))));
        let off = HttpCall { asynchronous_pattern_enabled: false, ..call };
        assert!(matches!(answered(&off, &url, (&head, &Bytes::new()), 1000), Ok(HttpEnd::Ended(Ok(_)))));
    }

    #[test]
    fn answers_fail_only_for_a_retry_policy() {
        let (mut call, url) = call(r#"{"method":"GET","uri":"http://a.b/x?secret=1"}"#);
        let fails = |call: &HttpCall, status| answered(call, &url, (&response(status, &[]), &Bytes::new()), 1000).err();
        assert!(fails(&call, 500).is_none());
        call.retry_options = Some(Default::default());
        assert!(fails(&call, 399).is_none());
        let failure = fails(&call, 404).unwrap();
        assert!(!failure.non_retriable && !failure.message.contains("secret"), "{failure:?}");
        call.retry_options.as_mut().unwrap().status_codes_to_retry = vec![503];
        assert!(fails(&call, 500).is_none());
        assert!(fails(&call, 503).is_some());
    }

    #[test]
    fn what_is_recorded_may_be_larger_than_what_came() {
        let (call, url) = call(r#"{"method":"GET","uri":"http://a.b"}"#);
        let ends = |body: &'static [u8]| answered(&call, &url, (&response(200, &[]), &Bytes::from_static(body)), 60);
        assert!(ends(b"0123456789").is_ok());
        assert!(ends(b"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01").is_err_and(|failure| failure.non_retriable));
        let Ok(HttpEnd::Ended(Ok(Some(binary)))) = ends(b"\xff\x00") else { panic!("no answer") };
        assert_eq!(&*binary, r#"{"statusCode":200,"headers":{},"contentBase64":"/wA="}"#);
    }

    #[test]
    fn bad_requests_are_refused() {
        let long = format!(r#"{{"method":"GET","uri":"http://{}.b"}}"#, "a".repeat(URI));
        let heavy = format!(r#"{{"method":"GET","uri":"http://a.b","headers":{{"x":"{}"}}}}"#, "a".repeat(HEADERS));
        for bad in [
            long.as_str(),
            &heavy,
            "null",
            "{}",
            r#"{"method":"GET","uri":"/relative"}"#,
            r#"{"method":"G T","uri":"http://a.b"}"#,
            r#"{"method":"GET","uri":"http://a.b","headers":{"Host":"c.d"}}"#,
            r#"{"method":"GET","uri":"http://a.b","headers":{"x\ny":"1"}}"#,
            r#"{"method":"GET","uri":"http://a.b","headers":{"x":"1\r\ny: 2"}}"#,
            r#"{"method":"GET","uri":"http://a.b","contentBase64":"?"}"#,
        ] {
            let failure =
                read(Some(bad)).and_then(|(call, url)| request(&call, &url, (None, None)).map(|_| ())).unwrap_err();
            assert!(failure.non_retriable, "{bad}");
        }
    }
}
