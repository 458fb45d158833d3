//! One HTTP request on a connection of its own. Redirects are not followed: they are answers like others.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::egress::{ConnectError, Egress, Target};
use super::metered::Metered;
use crate::engine::http::Traffic;
use crate::store::HubName;

/// Bytes of a response's head at most.
const HEAD: usize = 64 << 10;

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// It cannot be sent as it is.
    #[error("{0}")]
    BadRequest(String),
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or the other side does not speak HTTP.
    #[error("the exchange failed: {0}")]
    Http(#[from] hyper::Error),
}

/// Carries the response's body; dropped, the connection ends.
pub struct Carrier(JoinSet<Result<(), hyper::Error>>);

impl Carrier {
    /// Returns when the connection has ended.
    pub async fn ended(mut self) -> Result<(), hyper::Error> {
        match self.0.join_next().await {
            Some(Ok(ended)) => ended,
            // Stopped by us.
            Some(Err(_)) | None => Ok(()),
        }
    }
}

/// Where a request goes.
///
/// # Errors
/// When its URI says no host, another scheme than `http` and `https`, or credentials.
pub fn target(uri: &Uri) -> Result<Target, ExchangeError> {
    let wrong = |why: &str| ExchangeError::BadRequest(why.to_owned());
    let tls = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => false,
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(_) | None => return Err(wrong("the URI's scheme is neither http nor https")),
    };
    let authority = uri.authority().ok_or_else(|| wrong("the URI has no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("the URI has credentials in it; send them in a header, such as Authorization"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(wrong("the URI has no host"));
    }
    let port = match (authority.port(), authority.port_u16()) {
        (None, _) => {
            if tls {
                443
            } else {
                80
            }
        }
        (Some(_), Some(port)) if port != 0 => port,
        (Some(_), Some(_) | None) => return Err(wrong("the URI's port is no number from 1 to 65535")),
    };
    Ok(Target { host: host.to_owned(), port, tls })
}

/// Connects as the hub's rules allow and sends a request whose URI is absolute. The body of the response arrives while
/// the carrier is kept. `traffic` counts and bounds what passes.
///
/// # Errors
/// See [`ExchangeError`].
pub async fn send<B>(
    egress: &Egress,
    (hub, traffic): (&HubName, Arc<dyn Traffic>),
    mut request: Request<B>,
) -> Result<(Response<Incoming>, Carrier), ExchangeError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let target = target(request.uri())?;
    if request.method() == Method::CONNECT {
        return Err(ExchangeError::BadRequest("the method CONNECT is for proxies".to_owned()));
    }
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
    let host = HeaderValue::from_str(&authority).map_err(|error| ExchangeError::BadRequest(error.to_string()))?;
    request.headers_mut().insert(HOST, host);
    // Only proxies are told scheme and host.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = path.parse().map_err(|_| ExchangeError::BadRequest("the URI's path is none".to_owned()))?;
    let stream = egress.connect(hub, &target).await?;
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(Metered::new(stream, traffic))).await?;
    let mut carrier = JoinSet::new();
    carrier.spawn(connection);
    let response = sender.send_request(request.map(|body| body.map_err(Into::into).boxed_unsync())).await?;
    Ok((response, Carrier(carrier)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_says_where_to_go() {
        let to = |uri: &str| target(&uri.parse().unwrap()).map_err(|error| error.to_string());
        let at = |host: &str, port, tls| Ok(Target { host: host.to_owned(), port, tls });
        assert_eq!(to("http://a.b/c"), at("a.b", 80, false));
        assert_eq!(to("https://a.b"), at("a.b", 443, true));
        assert_eq!(to("https://[::1]:8443/x?y"), at("::1", 8443, true));
        for bad in ["/path", "ftp://a.b", "http://user:secret@a.b/", "http://a.b:0/", "a.b"] {
            assert!(to(bad).is_err(), "{bad}");
        }
    }
}
