//! What a guest prints and logs becomes the host's log: once, not again in replays, and never without bound.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::guest::Role;
use super::limits::Limits;
use crate::engine::executor::ActivityLog;
pub(super) use crate::engine::executor::LogLevel as Level;
use crate::engine::session::Session;

/// The log of one run.
pub(super) struct GuestLog {
    /// The instance that runs or called; none for `describe`, whose output is of no use.
    instance: Option<Arc<str>>,
    session: Option<Arc<Session>>,
    activity: Option<Arc<ActivityLog>>,
    line_bytes: usize,
    tail_bytes: usize,
    state: Mutex<State>,
}

struct State {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    tail: VecDeque<u8>,
    lines_left: u32,
}

impl GuestLog {
    pub(super) fn new(role: &Role, limits: &Limits) -> Self {
        let (instance, session, activity) = match role {
            Role::Describe => (None, None, None),
            Role::Orchestrator(session, _) => (Some(session.instance_id()), Some(Arc::clone(session)), None),
            Role::Activity(run) => (Some(Arc::clone(&run.instance_id)), None, Some(Arc::clone(&run.log))),
            Role::Function(run) => (Some(Arc::from(format!("{} {}", run.name, run.invocation_id))), None, None),
        };
        let state =
            State { stdout: Vec::new(), stderr: Vec::new(), tail: VecDeque::new(), lines_left: limits.log_lines };
        Self {
            instance,
            session,
            activity,
            line_bytes: limits.log_line,
            tail_bytes: limits.stderr_tail,
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Text only: nothing in here can be half-changed in a way that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that the guest logs.
    pub(super) fn line(&self, level: Level, text: &str) {
        self.emit(&mut self.lock(), level, text);
    }

    fn emit(&self, state: &mut State, level: Level, text: &str) {
        let Some(instance) = self.instance.as_deref() else { return };
        if self.session.as_ref().is_some_and(|session| session.is_replaying()) || state.lines_left == 0 {
            return;
        }
        state.lines_left -= 1;
        let text = if state.lines_left == 0 { "too many log lines in one run; the rest is dropped" } else { text };
        let text = cut(text, self.line_bytes);
        if let Some(session) = &self.session {
            session.log(level, text);
        }
        if let Some(activity) = &self.activity {
            activity.line(level, text);
        }
        match level {
            Level::Trace => tracing::trace!(target: "durawasm::guest", instance, "{text}"),
            Level::Debug => tracing::debug!(target: "durawasm::guest", instance, "{text}"),
            Level::Info => tracing::info!(target: "durawasm::guest", instance, "{text}"),
            Level::Warn => tracing::warn!(target: "durawasm::guest", instance, "{text}"),
            Level::Error => tracing::error!(target: "durawasm::guest", instance, "{text}"),
        }
    }

    fn print(&self, stderr: bool, bytes: &[u8]) {
        let state = &mut *self.lock();
        if stderr {
            state.tail.extend(bytes);
            let excess = state.tail.len().saturating_sub(self.tail_bytes);
            state.tail.drain(..excess);
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, level) =
                if stderr { (&mut state.stderr, Level::Warn) } else { (&mut state.stdout, Level::Info) };
            let room = self.line_bytes.saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = std::mem::take(line);
                self.emit(state, level, String::from_utf8_lossy(&line).trim_end());
            }
        }
    }

    /// What the guest wrote to stderr last.
    pub(super) fn stderr_tail(&self) -> String {
        let state = &mut *self.lock();
        String::from_utf8_lossy(state.tail.make_contiguous()).trim().to_owned()
    }
}

/// At most `bytes` bytes of a text, ending between characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A guest's stdout or stderr.
#[derive(Clone)]
pub(super) struct Stream {
    log: Arc<GuestLog>,
    stderr: bool,
}

impl Stream {
    pub(super) fn stdout(log: Arc<GuestLog>) -> Self {
        Self { log, stderr: false }
    }

    pub(super) fn stderr(log: Arc<GuestLog>) -> Self {
        Self { log, stderr: true }
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only other versions of WASI use this one.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.print(self.stderr, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}
