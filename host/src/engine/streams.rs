//! HTTP functions that read their request and write their response piece by piece: the response begins while the guest
//! still runs, and ends with it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use durawasm_core::Failure;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Engine;
use super::executor::{FunctionAnswer, FunctionCall, HostFault, HttpRequest};
use super::functions::{FunctionError, HttpFunction};
use crate::store::HubName;

/// A body that comes piece by piece. An error is the last of them, and so are trailers.
pub type PieceStream = BoxStream<'static, Result<Piece, BrokenOff>>;

/// A part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Some bytes of it.
    Data(Bytes),
    /// What follows its last byte: names and values.
    Trailers(Vec<(String, Bytes)>),
}

/// A stream ended before its end.
#[derive(Clone, Debug, thiserror::Error)]
#[error("it broke off: {0}")]
pub struct BrokenOff(pub String);

/// A request whose body is still arriving.
pub struct StreamedCall {
    /// The request; its body is empty.
    pub request: HttpRequest,
    /// The body.
    pub body: PieceStream,
    /// Takes the response as soon as the guest has said how it begins.
    pub answer: oneshot::Sender<StreamedResponse>,
    /// To be told how the guest ends.
    pub end: StreamEnd,
}

impl fmt::Debug for StreamedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamedCall").field("request", &self.request).finish_non_exhaustive()
    }
}

/// A response whose body is still to come.
pub struct StreamedResponse {
    /// The status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, Bytes)>,
    /// The body.
    pub body: PieceStream,
}

/// Whether what a guest sends is whole. A body that just stops looks like one that has ended.
#[derive(Clone, Debug, Default)]
pub struct StreamEnd {
    begun: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
}

/// Held while a guest runs. Dropped before [`Running::ended`], with the guest or before it: the guest was stopped, and what
/// it sent is not whole.
#[must_use]
pub struct Running(Option<Arc<AtomicBool>>);

impl StreamEnd {
    /// The guest begins to run.
    pub fn running(&self) -> Running {
        Running(Some(Arc::clone(&self.broken)))
    }

    /// The response has begun.
    pub fn begun(&self) {
        self.begun.store(true, Ordering::Release);
    }
}

impl Running {
    /// The guest has returned.
    pub fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(broken) = self.0.take() {
            broken.store(true, Ordering::Release);
        }
    }
}

/// A guest that is stopped when nobody waits for it any more.
struct Guest(Option<JoinHandle<Result<(), FunctionError>>>);

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(guest) = self.0.take() {
            guest.abort();
        }
    }
}

/// The body of a response, cut when its guest is stopped. Whoever drops it before its end stops the guest.
struct Watched {
    body: PieceStream,
    end: StreamEnd,
    guest: Guest,
    over: bool,
}

impl Stream for Watched {
    type Item = Result<Piece, BrokenOff>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = ready!(self.body.as_mut().poll_next(context));
        let item = match next {
            Some(Ok(Piece::Data(bytes))) => return Poll::Ready(Some(Ok(Piece::Data(bytes)))),
            // A guest that has said how its response ends has sent all of it.
            Some(end @ (Ok(Piece::Trailers(_)) | Err(_))) => Some(end),
            None if self.end.broken.load(Ordering::Acquire) => {
                Some(Err(BrokenOff("the function was stopped".to_owned())))
            }
            None => None,
        };
        self.over = true;
        // What it does after its response is its own.
        self.guest.0 = None;
        Poll::Ready(item)
    }
}

impl Engine {
    /// Lets an HTTP function that streams answer a request. Returns when its response begins.
    ///
    /// # Errors
    /// See [`FunctionError`]; what goes wrong later cuts the body.
    pub async fn stream_http(
        &self,
        hub: &HubName,
        function: HttpFunction,
        (request, body): (HttpRequest, PieceStream),
    ) -> Result<StreamedResponse, FunctionError> {
        let HttpFunction { digest, name, params, .. } = function;
        let (answer, answered) = oneshot::channel();
        let end = StreamEnd::default();
        let request = HttpRequest { params, ..request };
        let call = FunctionCall::Streamed(StreamedCall { request, body, answer, end: end.clone() });
        let (inner, hub, begun) = (Arc::clone(&self.inner), hub.clone(), Arc::clone(&end.begun));
        let mut guest = Guest(Some(tokio::spawn(async move {
            let ended = inner.call(&hub, (digest, name.clone()), call).await;
            if let Err(error) = &ended
                && begun.load(Ordering::Acquire)
            {
                tracing::warn!(function = name, %error, "a response was cut off");
            }
            ended.map(drop::<FunctionAnswer>)
        })));
        if let Ok(response) = answered.await {
            let body = Watched { body: response.body, end, guest, over: false };
            return Ok(StreamedResponse { body: Box::pin(body), ..response });
        }
        let ended = match guest.0.as_mut() {
            Some(running) => running.await,
            None => return Err(FunctionError::Unknown),
        };
        match ended {
            Ok(Ok(())) => Err(FunctionError::Failed(Failure::new("BadResponse", "it returned without a response"))),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(HostFault::Broken(error.to_string()).into()),
        }
    }
}
