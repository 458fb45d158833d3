//! What the engine tells about its work as spans of traces. Where they go is not its business; nobody asks for them by
//! default, and then nothing is made.
//!
//! A trace is the caller's (`traceparent`), or begins with the start. The instance keeps the start's place in it, so that
//! all of its executions, its children and every host that runs it add to one trace. The span of an execution is told
//! when it ends; its id follows from the execution's, so that what happens before, on whatever host, names it as parent.

use std::fmt;
use std::sync::Arc;

use durawasm_core::{ExecutionStarted, Failure, State, Status, Timestamp};
use prometheus_client::registry::Registry;
use sha2::{Digest as _, Sha256};

use super::episode::Live;
use super::executor::Environment;
use super::session::Session;
use super::{Clock, Inner};
use crate::store::{HubName, InstanceRecord};

/// Bytes of a text in a span at most.
const TEXT: usize = 1_024;
/// Characters of `version-traceid-parentid-flags`.
const LENGTH: usize = 55;
/// The flag of those who keep what they tell about a trace.
const SAMPLED: u8 = 1;

/// Takes the spans.
pub trait SpanSink: fmt::Debug + Send + Sync + 'static {
    /// Takes a span, or drops it; never waits.
    fn take(&self, span: Span);

    /// Adds what it counts to the metrics.
    fn register(&self, registry: &mut Registry);
}

/// What a span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// From the request to the durable start.
    Start,
    /// From the first episode's beginning to the end of an execution.
    Orchestration,
    /// An episode whose work is durable.
    Episode,
    /// An attempt of an activity.
    Activity,
    /// An attempt of an orchestrator's HTTP call.
    HttpCall,
    /// A call of an HTTP, manual or timer function.
    Function,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// At most 1024 bytes.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

/// Why what a span is about went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanError {
    /// The type, as in failure details; at most 1024 bytes.
    pub kind: String,
    /// For people; at most 1024 bytes.
    pub message: String,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What it is about.
    pub kind: SpanKind,
    /// Kind and function.
    pub name: String,
    /// Its place.
    pub place: Place,
    /// Which span of the trace it is a part of.
    pub parent: Option<[u8; 8]>,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// None: all went well.
    pub error: Option<SpanError>,
    /// What else there is to know.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// A span's place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
}

impl fmt::Display for Place {
    /// As a `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{SAMPLED:02x}", hex::encode(self.trace), hex::encode(self.span))
    }
}

/// What work is a part of, for whoever is asked to do it.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) place: Place,
    /// The `tracestate` that came with the trace.
    pub(super) state: Option<Arc<str>>,
}

impl Context {
    fn new(place: Place, started: &ExecutionStarted) -> Self {
        Self { place, state: started.trace_state.as_deref().map(Arc::from) }
    }
}

/// The four fields of a `traceparent` (W3C Trace Context, level 1) that this version of the format knows; none: it is
/// not well formed. A later version may append others, after a hyphen.
#[must_use]
pub fn known_part(text: &str) -> Option<&str> {
    let known = text.get(..LENGTH)?;
    let mut fields = known.split('-');
    let (Some(version), Some(trace), Some(span), Some(flags), None) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return None;
    };
    let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
    let hex = |field: &str| field.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    let ids = [trace, span].iter().all(|id| id.bytes().any(|byte| byte != b'0'));
    let rest = text.get(LENGTH..).unwrap_or_default();
    let complete = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let valid = lengths && version != "ff" && [version, trace, span, flags].into_iter().all(hex) && ids && complete;
    valid.then_some(known)
}

/// What a caller says about the trace it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// This is its place.
    Traced(Place),
    /// The trace is not kept.
    Unwanted,
    /// Nothing.
    Nothing,
}

fn said(trace_parent: Option<&str>) -> Said {
    fn read(text: &str) -> Option<(Place, bool)> {
        let mut fields = known_part(text)?.split('-').skip(1);
        let mut place = Place { trace: [0; 16], span: [0; 8] };
        hex::decode_to_slice(fields.next()?, &mut place.trace).ok()?;
        hex::decode_to_slice(fields.next()?, &mut place.span).ok()?;
        let flags = u8::from_str_radix(fields.next()?, 16).ok()?;
        Some((place, flags & SAMPLED != 0))
    }
    match trace_parent.and_then(read) {
        Some((place, true)) => Said::Traced(place),
        Some((_, false)) => Said::Unwanted,
        None => Said::Nothing,
    }
}

/// Never all zeros, which is no id.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    bytes.iter().any(|byte| *byte != 0).then_some(bytes)
}

fn derived<const N: usize>(what: &str, from: &str) -> [u8; N] {
    let digest = Sha256::new().chain_update(what).chain_update([0]).chain_update(from).finalize();
    std::array::from_fn(|index| digest.get(index).copied().unwrap_or_default())
}

/// The place of an execution's span, and what that is a part of; none: nobody wants to know.
fn execution(trace_parent: Option<&str>, execution_id: &str) -> Option<(Place, Option<[u8; 8]>)> {
    let span = derived("execution", execution_id);
    match said(trace_parent) {
        Said::Traced(parent) => Some((Place { trace: parent.trace, span }, Some(parent.span))),
        Said::Unwanted => None,
        // Started while nobody wanted spans. A rewound execution adds to its id.
        Said::Nothing => {
            let base = execution_id.split('-').next().unwrap_or(execution_id);
            Some((Place { trace: derived("trace", base), span }, None))
        }
    }
}

fn bounded(text: &str) -> String {
    let end = (0..=TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default().to_owned()
}

impl Attribute {
    /// A text, shortened.
    pub(super) fn text(text: &str) -> Self {
        Self::Text(bounded(text))
    }
}

impl SpanError {
    pub(super) fn new(kind: &str, message: &str) -> Self {
        Self { kind: bounded(kind), message: bounded(message) }
    }

    pub(super) fn of(failure: &Failure) -> Self {
        Self::new(&failure.error_type, &failure.message)
    }
}

/// A span of something that is under way. Dropped before its end, that was stopped.
pub(super) struct Open {
    sink: Arc<dyn SpanSink>,
    clock: Clock,
    span: Option<Span>,
}

impl Open {
    /// As a `traceparent`, for those who do a part of it.
    pub(super) fn trace_parent(&self) -> Option<String> {
        self.span.as_ref().map(|span| span.place.to_string())
    }

    /// It begins now and not before.
    pub(super) fn begins(&mut self) {
        if let Some(span) = &mut self.span {
            span.began = (self.clock)();
        }
    }

    pub(super) fn add(&mut self, name: &'static str, value: Attribute) {
        if let Some(span) = &mut self.span {
            span.attributes.push((name, value));
        }
    }

    pub(super) fn ended(mut self, error: Option<SpanError>) {
        self.end(error);
    }

    fn end(&mut self, error: Option<SpanError>) {
        if let Some(span) = self.span.take() {
            self.sink.take(Span { ended: (self.clock)(), error, ..span });
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end(Some(SpanError::new("Stopped", "it was stopped before its end")));
    }
}

/// What a step is about to make durable of an execution.
pub(super) struct Step {
    context: Context,
    parent: Option<[u8; 8]>,
    of: Subject,
    /// The episode: when it began, and whether it had to repeat others first.
    episode: Option<Ran>,
    end: Option<(Status, Option<SpanError>, Timestamp)>,
}

/// Which execution of which instance.
struct Subject {
    hub: HubName,
    instance: Arc<str>,
    execution_id: String,
    function: String,
}

/// An episode that ran and is not durable yet.
#[derive(Clone, Copy)]
pub(super) struct Ran {
    began: Timestamp,
    replayed: bool,
}

impl Step {
    /// What the step's work is a part of.
    pub(super) fn context(&self) -> Context {
        self.context.clone()
    }
}

impl Subject {
    fn span(&self, (kind, word): (SpanKind, &str), place: Place, times: (Timestamp, Timestamp)) -> Span {
        let attributes = vec![
            ("durawasm.hub", Attribute::text(&self.hub)),
            ("durawasm.instance.id", Attribute::text(&self.instance)),
            ("durawasm.execution.id", Attribute::text(&self.execution_id)),
            ("durawasm.function", Attribute::text(&self.function)),
        ];
        let name = bounded(&format!("{word} {}", self.function));
        Span { kind, name, place, parent: None, began: times.0, ended: times.1, error: None, attributes }
    }
}

impl Inner {
    /// A span that is part of the caller's, or the first of a trace. None: nobody wants it.
    pub(super) fn open_span(&self, kind: SpanKind, name: (&str, &str), parent: Option<&str>) -> Option<Open> {
        let sink = self.settings.spans.as_ref()?;
        let parent = match said(parent) {
            Said::Traced(parent) => Some(parent),
            Said::Unwanted => return None,
            Said::Nothing => None,
        };
        let trace = parent.map_or_else(random, |parent| Some(parent.trace))?;
        self.open_at(sink, (kind, name), (trace, parent.map(|parent| parent.span)))
    }

    /// A span of what an instance asks for.
    pub(super) fn open_task(
        &self,
        (kind, name): (SpanKind, (&str, &str)),
        caller: &InstanceRecord,
        (task, attempt): (u32, u32),
        context: Option<&Context>,
    ) -> Option<Open> {
        let (sink, place) = (self.settings.spans.as_ref()?, context?.place);
        let mut open = self.open_at(sink, (kind, name), (place.trace, Some(place.span)))?;
        open.add("durawasm.hub", Attribute::text(&caller.hub));
        open.add("durawasm.instance.id", Attribute::text(&caller.id));
        open.add("durawasm.execution.id", Attribute::text(&caller.execution_id));
        open.add("durawasm.task", Attribute::Number(task.into()));
        open.add("durawasm.attempt", Attribute::Number(attempt.into()));
        Some(open)
    }

    fn open_at(
        &self,
        sink: &Arc<dyn SpanSink>,
        (kind, (word, function)): (SpanKind, (&str, &str)),
        (trace, parent): ([u8; 16], Option<[u8; 8]>),
    ) -> Option<Open> {
        let now = self.now();
        let span = Span {
            kind,
            name: bounded(&format!("{word} {function}")),
            place: Place { trace, span: random()? },
            parent,
            began: now,
            ended: now,
            error: None,
            attributes: Vec::with_capacity(8),
        };
        Some(Open { sink: Arc::clone(sink), clock: Arc::clone(&self.clock), span: Some(span) })
    }

    /// The `traceparent` of a child: a part of the execution that waits for it.
    pub(super) fn trace_parent_of_child(&self, given: Option<String>, waiting: Option<&str>) -> Option<String> {
        let (Some(_), Some(execution_id)) = (&self.settings.spans, waiting) else { return given };
        match execution(given.as_deref(), execution_id) {
            Some((place, _)) => Some(place.to_string()),
            None => given,
        }
    }

    /// What an instance's work is a part of; none: nobody wants to know.
    pub(super) fn context_of(&self, session: &Session) -> Option<Context> {
        self.settings.spans.as_ref()?;
        session.with(|known| {
            let (place, _) = execution(known.started().trace_parent.as_deref(), &known.execution_id())?;
            Some(Context::new(place, known.started()))
        })
    }

    /// An episode begins, or goes on.
    pub(super) fn episode_runs(&self, live: &mut Live) {
        if self.settings.spans.is_some() && live.ran.is_none() {
            let replayed = live.guest.is_none() && live.session.is_replaying();
            live.ran = Some(Ran { began: self.now(), replayed });
        }
    }

    /// What the commit that follows makes durable; to be asked before it replaces an execution by another.
    pub(super) fn span_step(&self, live: &mut Live) -> Option<Step> {
        self.settings.spans.as_ref()?;
        let (episode, record) = (live.ran.take(), &live.record);
        live.session.with(|known| {
            let execution_id = known.execution_id();
            let (place, parent) = execution(known.started().trace_parent.as_deref(), &execution_id)?;
            let began = known.began().unwrap_or_else(|| self.now());
            let end = match known.state() {
                State::Ended { status, outcome } => Some((status, outcome.err().as_ref().map(SpanError::of), began)),
                State::ContinuedAsNew { .. } => Some((Status::ContinuedAsNew, None, began)),
                State::Running | State::Suspended { .. } => None,
            };
            let (hub, instance, function) = (record.hub.clone(), record.id.clone(), record.name.clone());
            Some(Step {
                context: Context::new(place, known.started()),
                parent,
                of: Subject { hub, instance, execution_id, function },
                episode,
                end,
            })
        })
    }

    /// A step is durable.
    pub(super) fn tell_step(&self, step: Option<Step>) {
        let (Some(sink), Some(step)) = (&self.settings.spans, step) else { return };
        let now = self.now();
        let Step { context: Context { place, .. }, parent, of, episode, end } = step;
        if let Some(ran) = episode
            && let Some(span) = random()
        {
            let its_place = Place { span, ..place };
            let mut span = of.span((SpanKind::Episode, "episode"), its_place, (ran.began, now));
            span.parent = Some(place.span);
            span.attributes.push(("durawasm.replayed", Attribute::Flag(ran.replayed)));
            sink.take(span);
        }
        if let Some((status, error, began)) = end {
            let mut span = of.span((SpanKind::Orchestration, "orchestration"), place, (began, now));
            span.attributes.push(("durawasm.status", Attribute::text(&status.to_string())));
            sink.take(Span { parent, error, ..span });
        }
    }
}

/// An environment with a `TRACEPARENT`, if there is one to hand on.
pub(super) fn with_trace_parent(env: Environment, trace_parent: Option<&str>) -> Environment {
    const NAME: &str = "TRACEPARENT";
    let Some(parent) = trace_parent else { return env };
    let others = env.iter().filter(|(name, _)| name != NAME).cloned();
    others.chain([(NAME.to_owned(), parent.to_owned())]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_place_is_written_as_it_is_read() {
        let Said::Traced(place) = said(Some(SAID)) else { panic!("not read") };
        assert_eq!(place.to_string(), SAID);
        assert_eq!(said(Some(&SAID.replace("-01", "-03"))), Said::Traced(place));
        assert_eq!(said(Some(&SAID.replace("-01", "-02"))), Said::Unwanted);
        assert_eq!(said(Some("00-0-0-01")), Said::Nothing);
        assert_eq!(said(None), Said::Nothing);
    }

    #[test]
    fn an_execution_has_the_same_place_on_every_host() {
        let (place, parent) = execution(Some(SAID), "e1").unwrap();
        assert_eq!(execution(Some(SAID), "e1"), Some((place, parent)));
        assert!(said(Some(SAID)) == Said::Traced(Place { span: parent.unwrap(), ..place }));
        assert_ne!(execution(Some(SAID), "e2").unwrap().0.span, place.span);
        assert_eq!(execution(Some(&SAID.replace("-01", "-00")), "e1"), None);
        let (own, none) = execution(None, "e1").unwrap();
        let (rewound, _) = execution(None, "e1-7").unwrap();
        assert_eq!((own.trace, none), (rewound.trace, None));
        assert_ne!(own.span, rewound.span);
    }

    #[test]
    fn texts_are_bounded() {
        assert_eq!(bounded("short"), "short");
        assert_eq!(bounded(&"é".repeat(TEXT)), "é".repeat(TEXT / 2));
        assert_eq!(bounded(&format!("a{}", "é".repeat(TEXT))).len(), TEXT - 1);
    }
}
