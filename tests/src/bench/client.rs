//! An HTTP/1.1 client that costs little: requests are made once, a connection is kept, answers are read in place.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where the management API lies.
const BASE: &str = "/runtime/webhooks/durabletask";
/// More than the server answers with, and few enough to be read quickly.
const HEADERS: usize = 32;
/// Ends an answer in chunks; within one of ours it cannot stand, because JSON has no raw line ends.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// A request, ready to be sent any number of times.
#[derive(Clone, Debug)]
pub(super) struct Request(Vec<u8>);

impl Request {
    /// A request for any path.
    pub(super) fn new(method: &str, path: &str, (kind, body): (&str, &[u8])) -> Self {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Self([head.as_bytes(), body].concat())
    }

    /// Starts an orchestration and waits for its output.
    pub(super) fn run(function: &str, input: &str) -> Self {
        let path = format!("{BASE}/orchestrators/{function}?timeout=300&pollingInterval=1");
        Self::new("POST", &path, ("application/json", input.as_bytes()))
    }

    /// Starts an orchestration.
    pub(super) fn start(function: &str, input: &str) -> Self {
        Self::new("POST", &format!("{BASE}/orchestrators/{function}"), ("application/json", input.as_bytes()))
    }

    /// Starts an orchestration of a hub and waits for its output.
    pub(super) fn run_in(hub: &str, function: &str, input: &str) -> Self {
        let path = format!("{BASE}/orchestrators/{function}?taskHub={hub}&timeout=300&pollingInterval=1");
        Self::new("POST", &path, ("application/json", input.as_bytes()))
    }

    /// Starts an orchestration of a hub.
    pub(super) fn start_in(hub: &str, function: &str, input: &str) -> Self {
        let path = format!("{BASE}/orchestrators/{function}?taskHub={hub}");
        Self::new("POST", &path, ("application/json", input.as_bytes()))
    }

    /// Counts the instances of a hub.
    pub(super) fn statistics(hub: &str) -> Self {
        Self::new("GET", &format!("{BASE}/statistics?taskHub={hub}"), ("application/json", b""))
    }

    /// Raises an event.
    pub(super) fn raise(id: &str, event: &str, data: &str) -> Self {
        let path = format!("{BASE}/instances/{id}/raiseEvent/{event}");
        Self::new("POST", &path, ("application/json", data.as_bytes()))
    }

    /// Asks below the management API, for the page with this token.
    pub(super) fn get(path: &str, token: &str) -> Self {
        let head = format!("GET {BASE}{path} HTTP/1.1\r\nhost: localhost\r\nx-ms-continuation-token: {token}\r\n\r\n");
        Self(head.into_bytes())
    }

    /// Purges all that ended and was created until then.
    pub(super) fn purge(until: &str) -> Self {
        let path = format!("{BASE}/instances?createdTimeFrom=1970-01-01T00:00:00Z&createdTimeTo={until}");
        Self::new("DELETE", &path, ("application/json", b""))
    }

    /// Asks for a status, with the history if `history` says so.
    pub(super) fn status(id: &str, history: bool) -> Self {
        let query = if history { "?showHistory=true" } else { "" };
        Self::new("GET", &format!("{BASE}/instances/{id}{query}"), ("application/json", b""))
    }
}

/// An answer.
pub(super) struct Answer<'a> {
    /// The status line's number.
    pub(super) status: u16,
    /// The body.
    pub(super) body: &'a [u8],
    /// The token of the next page; empty: there is none.
    pub(super) continuation: String,
}

impl Answer<'_> {
    /// The body as JSON.
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(self.body).with_context(|| format!("{} {}", self.status, self.text()))
    }

    /// The body for a report.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.body).chars().take(500).collect()
    }

    /// An error that shows the answer, unless it has this status.
    pub(super) fn expect(&self, status: u16) -> anyhow::Result<()> {
        if self.status != status {
            bail!("the server answered {} instead of {status}: {}", self.status, self.text());
        }
        Ok(())
    }
}

/// A kept connection.
pub(super) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its whole answer.
    pub(super) async fn send(&mut self, request: &Request) -> anyhow::Result<Answer<'_>> {
        self.received.clear();
        self.stream.write_all(&request.0).await?;
        let Head { status, body, length, continuation } = loop {
            self.receive().await?;
            if let Some(head) = head(&self.received)? {
                break head;
            }
        };
        let Some(length) = length else {
            while !self.received[body..].ends_with(LAST_CHUNK) {
                self.receive().await?;
            }
            self.received = joined(&self.received[body..])?;
            return Ok(Answer { status, body: &self.received, continuation });
        };
        while self.received.len() < body + length {
            self.receive().await?;
        }
        Ok(Answer { status, body: &self.received[body..body + length], continuation })
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the server closed the connection in the middle of an answer");
        }
        Ok(())
    }
}

/// The beginning of an answer.
#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    /// Where the body begins.
    body: usize,
    /// How long it is; none: it comes in chunks.
    length: Option<usize>,
    continuation: String,
}

/// None: the head is not complete yet.
fn head(received: &[u8]) -> anyhow::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body) = response.parse(received)? else { return Ok(None) };
    let value = |name: &str| response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let length = match (value("content-length"), value("transfer-encoding")) {
        (Some(length), _) => Some(std::str::from_utf8(length.value)?.trim().parse()?),
        (None, Some(_)) => None,
        (None, None) => bail!("an answer without a length"),
    };
    let continuation = value("x-ms-continuation-token").map_or(&b""[..], |header| header.value);
    let continuation = std::str::from_utf8(continuation)?.to_owned();
    let status = response.code.context("an answer without a status")?;
    Ok(Some(Head { status, body, length, continuation }))
}

/// The content of chunks.
fn joined(mut chunks: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let httparse::Status::Complete((begin, size)) =
            httparse::parse_chunk_size(chunks).map_err(|_| anyhow::anyhow!("no chunk"))?
        else {
            bail!("a chunk without its size");
        };
        if size == 0 {
            return Ok(all);
        }
        let size = usize::try_from(size)?;
        all.extend_from_slice(chunks.get(begin..begin + size).context("a chunk that is too short")?);
        chunks = chunks.get(begin + size + 2..).context("a chunk without an end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(head(&answer[..30]).unwrap(), None);
        let whole = Head { status: 202, body: answer.len() - 2, length: Some(2), continuation: String::new() };
        assert_eq!(head(answer).unwrap(), Some(whole));
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_are_joined() {
        let chunked = head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap().unwrap();
        assert_eq!(chunked.length, None);
        assert_eq!(joined(b"3\r\n[1,\r\nb\r\n2,3,4,5,6,7\r\n0\r\n\r\n").unwrap(), b"[1,2,3,4,5,6,7");
        assert!(joined(b"9\r\n[1,\r\n").is_err());
    }

    #[test]
    fn a_request_says_how_long_it_is() {
        let Request(bytes) = Request::raise("a", "Go", "true");
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with("POST /runtime/webhooks/durabletask/instances/a/raiseEvent/Go HTTP/1.1\r\n"),
            "{text}"
        );
        assert!(text.ends_with("content-length: 4\r\n\r\ntrue"), "{text}");
    }
}
