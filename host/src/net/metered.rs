//! Connections whose bytes are counted, and wait while there were too many of late.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::engine::http::Traffic;

/// Who waits looks at least this often: the limit may have been changed.
const LOOK: Duration = Duration::from_millis(50);
/// And not more often than this.
const SHORTEST: Duration = Duration::from_millis(1);

/// How long to wait before looking again whether more may pass; none: it may.
fn pause(traffic: &dyn Traffic) -> Option<Duration> {
    let short = traffic.room().err()?;
    Some(short.wait.unwrap_or(LOOK).clamp(SHORTEST, LOOK))
}

/// Waits until more may pass.
pub async fn room(traffic: &dyn Traffic) {
    while let Some(pause) = pause(traffic) {
        sleep(pause).await;
    }
}

/// A connection. What was too much is paid for afterwards: before anything else passes.
pub struct Metered<S> {
    stream: S,
    traffic: Arc<dyn Traffic>,
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Metered<S> {
    /// Counts what passes on a connection.
    pub fn new(stream: S, traffic: Arc<dyn Traffic>) -> Self {
        Self { stream, traffic, waits: None }
    }

    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(waits) = &mut self.waits {
                ready!(waits.as_mut().poll(context));
                self.waits = None;
            }
            match pause(&*self.traffic) {
                Some(pause) => self.waits = Some(Box::pin(sleep(pause))),
                None => return Poll::Ready(()),
            }
        }
    }

    fn passed(&self, bytes: usize) {
        if bytes > 0 {
            self.traffic.passed(bytes as u64);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_room(context));
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.passed(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(context));
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.passed(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(context));
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, parts))?;
        self.passed(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::engine::QuotaExceeded;

    /// Lets so many bytes pass, and then none.
    #[derive(Default)]
    struct Purse {
        left: Mutex<u64>,
        passed: Mutex<u64>,
    }

    impl Traffic for Purse {
        fn passed(&self, bytes: u64) {
            *self.passed.lock().unwrap() += bytes;
            let mut left = self.left.lock().unwrap();
            *left = left.saturating_sub(bytes);
        }

        fn room(&self) -> Result<(), QuotaExceeded> {
            if *self.left.lock().unwrap() > 0 {
                return Ok(());
            }
            Err(QuotaExceeded { hub: "h".into(), quota: "egressBytesPerSecond", limit: 1, wait: None })
        }
    }

    #[tokio::test]
    async fn bytes_of_both_directions_are_counted_and_wait() {
        let (near, mut far) = tokio::io::duplex(1024);
        let purse = Arc::new(Purse { left: Mutex::new(1), ..Purse::default() });
        let mut near = Metered::new(near, purse.clone());
        near.write_all(b"four").await.unwrap();
        far.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        // Until somebody fills the purse nothing passes.
        let later = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(*purse.passed.lock().unwrap(), 4);
            *purse.left.lock().unwrap() = 100;
        };
        let (read, ()) = tokio::join!(near.read_exact(&mut answer), later);
        assert_eq!((read.unwrap(), &answer), (6, b"answer"));
        assert_eq!(*purse.passed.lock().unwrap(), 10);
    }
}
