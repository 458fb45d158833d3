//! `wasi:http/incoming-handler`: requests that a guest answers while they arrive. Nothing is collected: the guest waits for
//! its client, and the client for the guest.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use durawasm_core::Failure;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::Frame;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::Instance;
use wasmtime_wasi_http::p2::bindings::exports::wasi::http::incoming_handler;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error, WasiHttpView};

use super::functions;
use super::guest::Guest;
use crate::engine::executor::{BrokenOff, HttpRequest, Piece, PieceStream, StreamedCall, StreamedResponse};
use crate::engine::streams::StreamEnd;

/// Why a guest's response was not sent.
type Refused = Arc<Mutex<Option<Failure>>>;

/// Lets a guest answer a request; returns when it has, and has sent all of it.
pub(super) async fn answer(
    store: &mut Store<Guest>,
    instance: &Instance,
    (handler, call): (&incoming_handler::GuestIndices, StreamedCall),
) -> wasmtime::Result<Result<(), Failure>> {
    let StreamedCall { request, body, answer, end } = call;
    let running = end.running();
    let guest = handler.load(&mut *store, instance)?;
    let request = match head(&request) {
        Ok(head) => head.map(|()| arriving(body)),
        Err(what) => return Ok(Err(Failure::new("BadRequest", what))),
    };
    let refused = Refused::default();
    let scheme = match request.uri().scheme_str() {
        Some("https") => Scheme::Https,
        Some(_) | None => Scheme::Http,
    };
    let request = store.data_mut().http().new_incoming_request(scheme, request)?;
    let out = {
        let refused = Arc::clone(&refused);
        let take = move |given| take(given, answer, (&refused, &end));
        store.data_mut().http().new_response_outparam_from_callback(take)?
    };
    guest.call_handle(&mut *store, request, out).await?;
    running.ended();
    let refused = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(refused.map_or(Ok(()), Err))
}

/// A request without its body.
fn head(request: &HttpRequest) -> Result<Request<()>, String> {
    let mut head = Request::builder().method(request.method.as_str()).uri(&request.url);
    for (name, value) in &request.headers {
        head = head.header(name, value);
    }
    head.body(()).map_err(|error| format!("the request for {} cannot be told to a guest: {error}", request.url))
}

fn arriving(body: PieceStream) -> impl hyper::body::Body<Data = Bytes, Error = Error> + Send + 'static {
    StreamBody::new(body.map_err(|_broken| Error::HttpProtocolError).and_then(|piece| ready(frame(piece))))
}

/// A piece of a request. What its connection has taken is bounded already.
fn frame(piece: Piece) -> Result<Frame<Bytes>, Error> {
    let trailers = match piece {
        Piece::Data(bytes) => return Ok(Frame::data(bytes)),
        Piece::Trailers(trailers) => trailers,
    };
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        let name = HeaderName::try_from(name).map_err(|_| Error::HttpProtocolError)?;
        map.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| Error::HttpProtocolError)?);
    }
    Ok(Frame::trailers(map))
}

/// A piece of a response, bounded as its head is.
fn piece(frame: Result<Frame<Bytes>, Error>) -> Result<Piece, BrokenOff> {
    match frame.map_err(|error| BrokenOff(error.to_string()))?.into_data() {
        Ok(bytes) => Ok(Piece::Data(bytes)),
        Err(frame) => {
            let trailers = pairs(&frame.into_trailers().unwrap_or_default());
            functions::check_size("trailers", &trailers).map_err(BrokenOff)?;
            Ok(Piece::Trailers(trailers))
        }
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))
    };
    headers.iter().map(pair).collect()
}

/// Takes what the guest answers, as soon as it says how it begins.
fn take(
    given: Result<Response<HyperOutgoingBody>, ErrorCode>,
    answer: oneshot::Sender<StreamedResponse>,
    (refused, end): (&Refused, &StreamEnd),
) {
    let response = given
        .map_err(|code| Failure::new("HttpError", format!("it answered with an error: {code}")))
        .and_then(sendable);
    match response {
        Ok(response) => {
            end.begun();
            // Nobody there: the client is gone, and the guest is about to be stopped.
            let _gone = answer.send(response);
        }
        Err(failure) => *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure),
    }
}

fn sendable(response: Response<HyperOutgoingBody>) -> Result<StreamedResponse, Failure> {
    let (head, body) = response.into_parts();
    let status = head.status.as_u16();
    if !(200..=599).contains(&status) {
        let what = format!("it answered with status {status}; a status is 200 to 599");
        return Err(Failure::new("BadResponse", what).non_retriable());
    }
    let headers = pairs(&head.headers);
    functions::check_size("headers", &headers).map_err(|what| Failure::new("BadResponse", what).non_retriable())?;
    Ok(StreamedResponse { status, headers, body: BodyStream::new(body).map(piece).boxed() })
}
