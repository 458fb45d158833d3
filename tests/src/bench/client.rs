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

    /// The same in a hub.
    pub(super) fn run_in(hub: &str, function: &str) -> Self {
        let path = format!("{BASE}/orchestrators/{function}?taskHub={hub}&timeout=300&pollingInterval=1");
        Self::new("POST", &path, ("application/json", b"1"))
    }

    /// Starts an orchestration.
    pub(super) fn start(function: &str, input: &str) -> Self {
        Self::new("POST", &format!("{BASE}/orchestrators/{function}"), ("application/json", input.as_bytes()))
    }

    /// Raises an event.
    pub(super) fn raise(id: &str, event: &str, data: &str) -> Self {
        let path = format!("{BASE}/instances/{id}/raiseEvent/{event}");
        Self::new("POST", &path, ("application/json", data.as_bytes()))
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
        let (status, body, length) = loop {
            self.receive().await?;
            if let Some(head) = head(&self.received)? {
                break head;
            }
        };
        while self.received.len() < body + length {
            self.receive().await?;
        }
        Ok(Answer { status, body: &self.received[body..body + length] })
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the server closed the connection in the middle of an answer");
        }
        Ok(())
    }
}

/// Status, where the body begins, and how long it is; none: the head is not complete yet.
fn head(received: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body) = response.parse(received)? else { return Ok(None) };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.context("an answer without content-length")?;
    let length = std::str::from_utf8(length.value)?.trim().parse()?;
    Ok(Some((response.code.context("an answer without a status")?, body, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(head(&answer[..30]).unwrap(), None);
        assert_eq!(head(answer).unwrap(), Some((202, answer.len() - 2, 2)));
        assert!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(head(b"nonsense\r\n\r\n").is_err());
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
