//! The HTTP listener: accepts connections, bounds what each of them may cost, and ends them in order.

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower_http::add_extension::AddExtension;

use crate::api::{Peer, Stopping};

/// How long the head of a request may take, from its first byte or from the end of the request before: so this is also
/// how long an idle connection is kept. Longer than clients keep theirs as a rule, so that they are the ones to close.
const HEAD_TIME: Duration = Duration::from_secs(100);
/// The largest head of a request, in bytes: an id of 256 characters, escaped, has 3 KiB, a `reason` may have more. A
/// larger one is answered 431, and so is one with more than 100 headers.
const LARGEST_HEAD: usize = 64 << 10;
/// Connections at once; more wait in the system's queue. Where the limit of open files is below it, which is said at the
/// start, accepting fails and is tried again.
pub(crate) const MOST_CONNECTIONS: usize = 16_384;
/// The rest after a failed accept: the process is out of files, and closing some takes time.
const ACCEPT_REST: Duration = Duration::from_millis(500);
/// How long requests in flight may take to end when the server stops. Starts that wait are answered at once.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until the server is to stop, then finishes the requests that were taken, for a bounded time.
pub(crate) async fn serve(listener: TcpListener, router: Router, stopping: Stopping) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let full = connections.len() >= MOST_CONNECTIONS;
        tokio::select! {
            biased;
            () = stopping.begun() => break,
            _ended = connections.join_next(), if full => {}
            accepted = listener.accept(), if !full => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(graceful.watcher().watch(connection(stream, peer.ip(), router.clone())));
                }
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
        }
    }
    // From now on connecting fails, so that clients turn elsewhere.
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were still in flight when the server stopped");
    }
    connections.shutdown().await;
}

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<AddExtension<Router, Peer>>>;

fn connection(stream: TcpStream, peer: IpAddr, router: Router) -> Connection {
    // Answers are written whole; holding back their last packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(AddExtension::new(router, Peer(peer))))
}

/// The connection was gone before it was accepted; the next one is none the worse.
fn is_of_the_peer(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
