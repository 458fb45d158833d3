//! What functions log, kept in memory for whoever looks after an instance: bounded for each instance and in total.
//!
//! An orchestrator's lines are taken with the commit of the episode that wrote them: so they are there once, however
//! often it is replayed, and lines of an episode that was not saved never are. An activity's are there at once,
//! as soon as it is durable that it runs.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use durawasm_core::Timestamp;

use super::{Clock, Engine};
use crate::store::{HubName, InstanceNumber, StoreError};

/// What a line takes beside its text, about.
const LINE_BYTES: usize = 128;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// Lines of an instance; the oldest make room.
    pub lines: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Bytes of all instances together; those of the instance that has been silent for longest make room.
    pub total: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { lines: 1_000, bytes: 256 << 10, total: 32 << 20 }
    }
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For who looks for a fault.
    Debug,
    /// What happens.
    Info,
    /// What should not happen.
    Warn,
    /// What must not happen.
    Error,
}

impl LogLevel {
    /// In lowercase.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A line.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// Greater than that of every line before it, also of an earlier process.
    pub sequence: u64,
    /// When. Of an orchestrator: the time of its episode.
    pub time: Timestamp,
    /// How important.
    pub level: LogLevel,
    /// The function.
    pub function: Arc<str>,
    /// Of an activity: which attempt, from 1. None: an orchestrator.
    pub attempt: Option<u32>,
    /// The text.
    pub text: Box<str>,
}

/// Some lines of an instance, oldest first.
#[derive(Clone, Debug, Default)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Lines between what was asked for and these have made room for others.
    pub dropped: bool,
}

/// Lines in their order, the oldest of which make room.
#[derive(Debug, Default)]
pub(super) struct Ring {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// The sequence of the last line that made room; 0: none did.
    dropped: u64,
}

impl Ring {
    pub(super) fn push(&mut self, line: LogLine, limits: &LogLimits) {
        self.bytes += line.text.len() + LINE_BYTES;
        self.lines.push_back(line);
        while self.lines.len() > limits.lines || self.bytes > limits.bytes {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len() + LINE_BYTES;
            self.dropped = oldest.sequence;
        }
    }

    pub(super) fn extend(&mut self, lines: impl IntoIterator<Item = LogLine>, limits: &LogLimits) {
        lines.into_iter().for_each(|line| self.push(line, limits));
    }

    pub(super) fn into_lines(self) -> VecDeque<LogLine> {
        self.lines
    }
}

/// What is kept of all instances.
pub(super) struct Logs {
    limits: LogLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    bytes: usize,
    rings: HashMap<InstanceNumber, (u64, Ring)>,
    /// By the last line of each.
    by_use: BTreeMap<u64, InstanceNumber>,
}

impl State {
    fn remove(&mut self, number: InstanceNumber) -> Option<Ring> {
        let (used, ring) = self.rings.remove(&number)?;
        self.by_use.remove(&used);
        self.bytes -= ring.bytes;
        Some(ring)
    }
}

impl Logs {
    /// Sequences begin at the time, in microseconds: nobody writes a million lines a second for long, so that they are
    /// greater than those of an earlier process.
    pub(super) fn new(limits: LogLimits, now: Timestamp) -> Self {
        let state = State { last: u64::try_from(now.as_microsecond()).unwrap_or_default(), ..State::default() };
        Self { limits, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, number: InstanceNumber, lines: impl IntoIterator<Item = LogLine>) {
        let mut lines = lines.into_iter().peekable();
        if lines.peek().is_none() {
            return;
        }
        let state = &mut *self.lock();
        let mut ring = state.remove(number).unwrap_or_default();
        for line in lines {
            state.last += 1;
            ring.push(LogLine { sequence: state.last, ..line }, &self.limits);
        }
        state.bytes += ring.bytes;
        state.by_use.insert(state.last, number);
        state.rings.insert(number, (state.last, ring));
        while state.bytes > self.limits.total {
            let Some(silent) = state.by_use.values().next().copied() else { break };
            state.remove(silent);
        }
    }

    /// The lines of an instance after this one, at most so many.
    pub(super) fn read(&self, number: InstanceNumber, after: u64, limit: usize) -> LogPage {
        let state = self.lock();
        let Some((_, ring)) = state.rings.get(&number) else { return LogPage::default() };
        let from = ring.lines.partition_point(|line| line.sequence <= after);
        let lines = ring.lines.iter().skip(from).take(limit).cloned().collect();
        LogPage { lines, dropped: ring.dropped > after }
    }

    /// The instance is gone.
    pub(super) fn forget(&self, number: InstanceNumber) {
        let gone = self.lock().remove(number);
        drop(gone);
    }
}

/// Where an attempt of an activity logs.
pub struct ActivityLog {
    logs: Arc<Logs>,
    clock: Clock,
    function: Arc<str>,
    attempt: u32,
    place: Mutex<LogPlace>,
}

/// Where lines of an activity go.
enum LogPlace {
    /// Nobody may see them yet.
    Held(Ring),
    /// To the instance that called it.
    Of(InstanceNumber),
}

impl ActivityLog {
    /// Of an attempt that nobody may see yet.
    pub(super) fn new(logs: &Arc<Logs>, clock: &Clock, (function, attempt): (&str, u32)) -> Self {
        let place = Mutex::new(LogPlace::Held(Ring::default()));
        Self { logs: Arc::clone(logs), clock: Arc::clone(clock), function: function.into(), attempt, place }
    }

    fn place(&self) -> MutexGuard<'_, LogPlace> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is durable that this instance makes the attempt.
    pub(super) fn show(&self, number: InstanceNumber) {
        let place = &mut *self.place();
        if let LogPlace::Held(ring) = std::mem::replace(place, LogPlace::Of(number)) {
            self.logs.append(number, ring.into_lines());
        }
    }

    /// What was logged and nobody may see yet.
    pub(super) fn take_held(&self) -> VecDeque<LogLine> {
        match &mut *self.place() {
            LogPlace::Held(ring) => std::mem::take(ring).into_lines(),
            LogPlace::Of(_) => VecDeque::new(),
        }
    }

    /// Keeps a line. The caller has bounded it.
    pub fn line(&self, level: LogLevel, text: &str) {
        let line = LogLine {
            sequence: 0,
            time: (self.clock)(),
            level,
            function: Arc::clone(&self.function),
            attempt: Some(self.attempt),
            text: text.into(),
        };
        match &mut *self.place() {
            LogPlace::Held(ring) => ring.push(line, &self.logs.limits),
            LogPlace::Of(number) => self.logs.append(*number, [line]),
        }
    }
}

impl Engine {
    /// What an instance of this hub and its activities have logged after this sequence, at most so many lines. None: there
    /// is no such instance.
    ///
    /// # Errors
    /// The store's.
    pub async fn logs(
        &self,
        hub: &HubName,
        id: &str,
        (after, limit): (u64, usize),
    ) -> Result<Option<LogPage>, StoreError> {
        let Some(record) = self.inner.store.instance(hub, id).await? else { return Ok(None) };
        // What is durable and what was logged with it are there together.
        self.inner.starting.ended(hub, &record.id).await;
        self.inner.logging.ended(hub, &record.id).await;
        Ok(Some(self.inner.logs.read(record.number, after, limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        let time = Timestamp::UNIX_EPOCH;
        LogLine { sequence: 0, time, level: LogLevel::Info, function: "F".into(), attempt: None, text: text.into() }
    }

    fn texts(page: &LogPage) -> Vec<&str> {
        page.lines.iter().map(|line| &*line.text).collect()
    }

    const ONE: InstanceNumber = InstanceNumber(1);
    const TWO: InstanceNumber = InstanceNumber(2);

    #[test]
    fn the_oldest_lines_of_an_instance_make_room_and_readers_are_told() {
        let logs = Logs::new(LogLimits { lines: 3, ..LogLimits::default() }, Timestamp::UNIX_EPOCH);
        logs.append(ONE, ["a", "b"].map(line));
        let page = logs.read(ONE, 0, 10);
        assert_eq!((texts(&page), page.dropped), (vec!["a", "b"], false));
        logs.append(ONE, ["c", "d", "e"].map(line));
        let page = logs.read(ONE, 1, 10);
        assert_eq!((texts(&page), page.dropped), (vec!["c", "d", "e"], true));
        let page = logs.read(ONE, page.lines[0].sequence, 1);
        assert_eq!((texts(&page), page.dropped), (vec!["d"], false));
        assert!(logs.read(TWO, 0, 10).lines.is_empty());
    }

    #[test]
    fn bytes_are_bounded_for_each_and_in_total() {
        let of = |text: &str| text.len() + LINE_BYTES;
        let long = "x".repeat(1_000);
        let limits = LogLimits { lines: 100, bytes: 3 * of(&long), total: 4 * of(&long) };
        let logs = Logs::new(limits, Timestamp::UNIX_EPOCH);
        logs.append(ONE, (0..10).map(|_| line(&long)));
        assert_eq!(logs.read(ONE, 0, 100).lines.len(), 3);
        logs.append(TWO, [line(&long)]);
        assert_eq!(logs.read(ONE, 0, 100).lines.len(), 3, "there is room for both");
        logs.append(TWO, [line(&long)]);
        assert_eq!(logs.read(ONE, 0, 100).lines.len(), 0, "it was silent for longest");
        assert_eq!(logs.read(TWO, 0, 100).lines.len(), 2);
        logs.forget(TWO);
        assert_eq!(logs.lock().bytes, 0);
        assert!(logs.lock().by_use.is_empty());
    }

    #[test]
    fn sequences_grow_from_one_process_to_the_next() {
        let at = |text: &str| Logs::new(LogLimits::default(), text.parse().unwrap());
        let (before, after) = (at("2026-05-04T03:02:01Z"), at("2026-05-04T03:02:02Z"));
        before.append(ONE, (0..999).map(|_| line("a")));
        after.append(ONE, [line("b")]);
        let last = before.read(ONE, 0, 1_000).lines.last().unwrap().sequence;
        assert_eq!(texts(&after.read(ONE, last, 10)), ["b"]);
        assert!(last < 1 << 53, "JSON's numbers hold it");
    }
}
