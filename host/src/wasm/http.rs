//! `wasi:http` requests of activities and client functions: sent as the hub's rules allow, on connections of the host's.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Request, Response};
use tokio::time::{Interval, interval, timeout};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::network::Reach;
use super::stdio::Level;
use crate::net::egress::ConnectError;
use crate::net::exchange::{self, ExchangeError};

/// How long each part of an exchange may take when the guest does not say. The time limit of the function is shorter as a rule.
const PATIENCE: Duration = Duration::from_secs(600);

/// The outgoing side of a guest's `wasi:http`.
pub(super) struct Outgoing(pub(super) Option<Arc<Reach>>);

/// A response, and what carries its body.
type Answered = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        // Nothing is left to be said once a response is there.
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        let reach = self.0.clone();
        Box::new(async move {
            // Guests without a network do not come here: their linker refuses the call.
            let reach = reach.ok_or(Error::HttpRequestDenied)?;
            send(&reach, request, options.unwrap_or_default()).await
        })
    }

    fn p2_error_from_hyper(&mut self, _error: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    fn p2_error_from_connect(&mut self, _error: &std::io::Error) -> ErrorCode {
        ErrorCode::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, _error: &std::io::Error) -> ErrorCode {
        ErrorCode::TlsProtocolError
    }
}

async fn send(reach: &Arc<Reach>, request: Request<WasiBody>, options: RequestOptions) -> Result<Answered, Error> {
    reach.may_be_seen().await;
    let first_byte = options.first_byte_timeout.unwrap_or(PATIENCE);
    let patience = options.connect_timeout.unwrap_or(PATIENCE).saturating_add(first_byte);
    let sent = timeout(patience, async {
        let place = Arc::clone(&reach.places).acquire_owned().await;
        if !reach.take_connection() {
            return Err(Error::ConnectionLimitReached);
        }
        Ok((exchange::send(&reach.egress, (&reach.hub, Arc::clone(reach) as _), request).await, place))
    });
    let (sent, place) = sent.await.map_err(|_| Error::ConnectionReadTimeout)??;
    let (response, carrier) = sent.map_err(|error| told(reach, error))?;
    // An interval of nothing would be a fault of ours.
    let between = options.between_bytes_timeout.unwrap_or(PATIENCE).max(Duration::from_millis(1));
    let mut late = interval(between);
    late.reset();
    let response = response.map(|incoming| Arriving { incoming, late }.boxed_unsync());
    let carried = async move {
        let ended = carrier.ended().await;
        drop(place);
        Ok(ended?)
    };
    Ok((response, Box::new(carried)))
}

/// The code that a guest gets; the words go to its log.
fn told(reach: &Reach, error: ExchangeError) -> Error {
    let text = error.to_string();
    let code = match error {
        ExchangeError::Connect(ConnectError::Refused(refusal)) => {
            reach.refuse(&refusal);
            return Error::HttpRequestDenied;
        }
        ExchangeError::BadRequest(_) => Error::HttpRequestUriInvalid,
        ExchangeError::Connect(ConnectError::Lookup { .. }) => Error::DnsError { rcode: None, info_code: None },
        ExchangeError::Connect(ConnectError::Connect { .. }) => Error::ConnectionRefused,
        ExchangeError::Connect(ConnectError::Tls { .. }) => Error::TlsProtocolError,
        ExchangeError::Http(error) => Error::Hyper(error),
    };
    reach.say(Level::Warn, &text);
    code
}

/// A response's body, which must go on arriving.
struct Arriving {
    incoming: Incoming,
    late: Interval,
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(Some(frame)) => {
                self.late.reset();
                Poll::Ready(Some(frame.map_err(Error::from)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.late.poll_tick(context));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
