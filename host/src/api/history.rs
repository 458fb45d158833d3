//! Shapes a recorded history into `historyEvents` (http-api.md 5): what the wire calls things, what is folded into
//! what, what is internal and left out. Pure.
//!
//! A call with a retry policy is one command here and a series of calls and timers on the wire: a failed attempt
//! appears as `TaskFailed` and the `TimerCreated` of the wait after it, the end of the wait as `TimerFired`. An HTTP call
//! that was told to ask again looks the same, with `TaskCompleted`: a series of calls of `BuiltIn::HttpActivity`.

use std::collections::BTreeMap;

use durawasm_core::model::{Outcome, Tags};
use durawasm_core::{EventKind, ExecutionStarted, Failure, HistoryEvent, Payload, Status, TaskId, Timestamp, timeline};
use serde_json::value::RawValue;

use super::wire;

/// One event of the wire: PascalCase names, in their order.
pub(super) type Event = Fields;

/// What to show beside names and times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detail {
    pub(super) input: bool,
    pub(super) output: bool,
}

/// An object whose fields keep the order in which they were put.
#[derive(Debug)]
pub(super) struct Fields(Vec<(&'static str, Box<RawValue>)>);

impl serde::Serialize for Fields {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Fields {
    fn event(kind: &str, at: Timestamp) -> Self {
        Self(Vec::new()).text("EventType", kind).text("Timestamp", &wire::ticks(at))
    }

    fn raw(mut self, name: &'static str, value: Box<RawValue>) -> Self {
        self.0.push((name, value));
        self
    }

    fn text(self, name: &'static str, text: &str) -> Self {
        self.raw(name, wire::string(text))
    }

    fn optional_text(self, name: &'static str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self.raw(name, wire::value(None)),
        }
    }

    /// Always a string that holds JSON.
    fn input(self, input: Option<&Payload>, detail: Detail) -> Self {
        if detail.input { self.optional_text("Input", input.map(|input| &**input)) } else { self }
    }

    /// The JSON itself.
    fn result(self, result: Option<&Payload>, detail: Detail) -> Self {
        if detail.output { self.raw("Result", wire::value(result)) } else { self }
    }

    fn child(self, instance: Option<&str>) -> Self {
        match instance {
            Some(instance) => self.text("InstanceId", instance),
            None => self,
        }
    }

    fn tags(self, tags: &Tags) -> Self {
        match serde_json::value::to_raw_value(tags) {
            Ok(value) if !tags.is_empty() => self.raw("Tags", value),
            Ok(_) | Err(_) => self,
        }
    }

    fn failure(self, failure: &Failure) -> Self {
        self.text("Reason", &failure.message)
            .optional_text("Details", failure.stack_trace.as_deref())
            .raw("FailureDetails", failure_details(failure))
    }

    /// What a completion takes over from the call it completes.
    fn scheduled(self, call: Option<&Scheduled<'_>>, detail: Detail) -> Self {
        match call {
            Some(call) => self
                .text("ScheduledTime", &wire::ticks(call.at))
                .text("FunctionName", call.name)
                .input(call.input, detail)
                .child(call.child)
                .tags(call.tags),
            None => self,
        }
    }
}

/// A call or timer that later events refer to.
struct Scheduled<'a> {
    /// Of the attempt that runs.
    at: Timestamp,
    name: &'a str,
    input: Option<&'a Payload>,
    tags: &'a Tags,
    /// Of a sub-orchestration.
    child: Option<&'a str>,
    /// Index of the last event that ends an attempt of it.
    last_end: Option<usize>,
}

/// What an event needs to know of the others.
struct Shaper<'a> {
    detail: Detail,
    calls: BTreeMap<TaskId, Scheduled<'a>>,
    timers: BTreeMap<TaskId, Timestamp>,
    out: Vec<Event>,
}

/// The wire's events of a history, in its order.
pub(super) fn shape(history: &[HistoryEvent], detail: Detail) -> Vec<Event> {
    let mut shaper = Shaper { detail, calls: calls(history), timers: BTreeMap::new(), out: Vec::new() };
    let aside = timeline::set_aside(history);
    for (index, event) in history.iter().enumerate() {
        if aside.contains(&index) { shaper.take_aside(event) } else { shaper.take(index, event) }
    }
    shaper.out
}

fn calls(history: &[HistoryEvent]) -> BTreeMap<TaskId, Scheduled<'_>> {
    let aside = timeline::set_aside(history);
    let mut calls = BTreeMap::new();
    for (index, event) in history.iter().enumerate().filter(|(index, _)| !aside.contains(index)) {
        if let EventKind::TaskScheduled { task, name, input, tags, .. } = &event.kind {
            let call = Scheduled { at: event.at, name, input: input.as_ref(), tags, child: None, last_end: None };
            calls.insert(*task, call);
        } else if let EventKind::SubOrchestrationCreated { task, instance_id, name, input, tags, .. } = &event.kind {
            let child = Some(&**instance_id);
            calls.insert(*task, Scheduled { at: event.at, name, input: input.as_ref(), tags, child, last_end: None });
        } else if let EventKind::TaskAttemptFailed { task, .. }
        | EventKind::TaskPostponed { task, .. }
        | EventKind::TaskCompleted { task, .. }
        | EventKind::TaskFailed { task, .. } = &event.kind
            && let Some(call) = calls.get_mut(task)
        {
            call.last_end = Some(index);
        }
    }
    calls
}

impl<'a> Shaper<'a> {
    fn take(&mut self, index: usize, event: &'a HistoryEvent) {
        let (at, detail) = (event.at, self.detail);
        match &event.kind {
            EventKind::ExecutionStarted(started) => self.out.push(execution_started(at, started, detail)),
            EventKind::TaskScheduled { task, .. } | EventKind::SubOrchestrationCreated { task, .. } => {
                self.open_call(index, *task);
            }
            EventKind::SubOrchestrationStarted { instance_id, name, input, tags, .. } => {
                let started = Fields::event("SubOrchestrationInstanceCreated", at).text("Name", name);
                self.out.push(started.child(Some(instance_id)).input(input.as_ref(), detail).tags(tags));
            }
            EventKind::EventSent { instance_id, name, input } => {
                let sent = Fields::event("EventSent", at).text("InstanceId", instance_id).text("Name", name);
                self.out.push(sent.input(input.as_ref(), detail));
            }
            EventKind::TaskAttemptFailed { task, failure, retry_at, .. } => {
                self.ended(*task, at, Err(failure));
                self.timer_created(*task, at, *retry_at);
            }
            EventKind::TaskPostponed { task, answer, next, due, .. } => {
                self.ended(*task, at, Ok(answer.as_ref()));
                self.timer_created(*task, at, *due);
                if let Some(call) = self.calls.get_mut(task) {
                    call.input = Some(next);
                }
            }
            EventKind::TaskRetried { task, child, .. } => {
                self.timer_fired(*task, at);
                if let Some(call) = self.calls.get_mut(task) {
                    call.at = at;
                    call.child = child.as_deref().or(call.child);
                }
                self.open_call(index, *task);
            }
            EventKind::TaskCompleted { task, result } => self.ended(*task, at, Ok(result.as_ref())),
            EventKind::TaskFailed { task, failure } => self.ended(*task, at, Err(failure)),
            EventKind::TimerCreated { task, fire_at } => self.timer_created(*task, at, *fire_at),
            EventKind::TimerFired { task } => self.timer_fired(*task, at),
            EventKind::EventRaised { name, input } => {
                self.out.push(Fields::event("EventRaised", at).text("Name", name).input(input.as_ref(), detail));
            }
            EventKind::ExecutionSuspended { reason } => self.reason("ExecutionSuspended", at, reason.as_deref()),
            EventKind::ExecutionResumed { reason } => self.reason("ExecutionResumed", at, reason.as_deref()),
            EventKind::ExecutionTerminated { reason } => {
                let reason = reason.as_deref().map(Payload::from);
                self.out.push(Fields::event("ExecutionTerminated", at).input(reason.as_ref(), detail));
            }
            EventKind::ExecutionCompleted { status, outcome } => {
                self.out.push(execution_completed(at, *status, outcome, detail));
            }
            EventKind::ExecutionRewound { reason, .. } => self.reason("ExecutionRewound", at, reason.as_deref()),
            EventKind::ExecutionMoved { from, to } => {
                self.out.push(Fields::event("GenericEvent", at).text("Data", &format!("Moved: {from} to {to}")));
            }
            // Ours alone: the wire has nothing like them.
            EventKind::ScheduledTimeReached
            | EventKind::FailureDelivered { .. }
            | EventKind::ParentRewound { .. }
            | EventKind::EventAwaited { .. }
            | EventKind::TaskCanceled { .. }
            | EventKind::OrchestratorReturned { .. }
            | EventKind::EpisodeCompleted { .. } => {}
        }
    }

    /// Shows a call whose attempt has not ended; one that has is folded into its end.
    fn open_call(&mut self, index: usize, task: TaskId) {
        let Some(call) = self.calls.get(&task) else { return };
        if call.last_end.is_none_or(|end| end < index) {
            let kind = if call.child.is_some() { "SubOrchestrationInstanceCreated" } else { "TaskScheduled" };
            let open = Fields::event(kind, call.at).text("Name", call.name).child(call.child);
            self.out.push(open.input(call.input, self.detail).tags(call.tags));
        }
    }

    /// The end of an attempt, with what it takes over from the call.
    fn ended(&mut self, task: TaskId, at: Timestamp, outcome: Result<Option<&Payload>, &Failure>) {
        let call = self.calls.get(&task);
        let is_child = call.is_some_and(|call| call.child.is_some());
        let event = match outcome {
            Ok(result) => {
                let kind = if is_child { "SubOrchestrationInstanceCompleted" } else { "TaskCompleted" };
                Fields::event(kind, at).result(result, self.detail)
            }
            Err(failure) => {
                let kind = if is_child { "SubOrchestrationInstanceFailed" } else { "TaskFailed" };
                Fields::event(kind, at).failure(failure)
            }
        };
        self.out.push(event.scheduled(call, self.detail));
    }

    /// What a rewind has set aside keeps its place and says what it was.
    fn take_aside(&mut self, event: &HistoryEvent) {
        if let Some(what) = aside(&event.kind) {
            self.out.push(Fields::event("GenericEvent", event.at).text("Data", &format!("Rewound: {what}")));
        }
    }

    fn timer_created(&mut self, task: TaskId, at: Timestamp, fire_at: Timestamp) {
        self.timers.insert(task, fire_at);
        self.out.push(Fields::event("TimerCreated", at).text("FireAt", &wire::ticks(fire_at)));
    }

    fn timer_fired(&mut self, task: TaskId, at: Timestamp) {
        let fire_at = self.timers.get(&task).copied().unwrap_or(at);
        self.out.push(Fields::event("TimerFired", at).text("FireAt", &wire::ticks(fire_at)));
    }

    fn reason(&mut self, kind: &str, at: Timestamp, reason: Option<&str>) {
        self.out.push(Fields::event(kind, at).optional_text("Reason", reason));
    }
}

/// The name of an event that was set aside; none: it was never shown.
fn aside(kind: &EventKind) -> Option<String> {
    match kind {
        EventKind::TaskScheduled { name, .. } => Some(format!("TaskScheduled {name}")),
        EventKind::SubOrchestrationCreated { name, .. } | EventKind::SubOrchestrationStarted { name, .. } => {
            Some(format!("SubOrchestrationInstanceCreated {name}"))
        }
        EventKind::EventSent { name, .. } => Some(format!("EventSent {name}")),
        EventKind::TaskCompleted { .. } | EventKind::TaskPostponed { .. } => Some("TaskCompleted".to_owned()),
        EventKind::TaskAttemptFailed { failure, .. } | EventKind::TaskFailed { failure, .. } => {
            Some(format!("TaskFailed {}", failure.message))
        }
        EventKind::TimerCreated { .. } => Some("TimerCreated".to_owned()),
        EventKind::TimerFired { .. } => Some("TimerFired".to_owned()),
        EventKind::EventRaised { name, .. } => Some(format!("EventRaised {name}")),
        EventKind::ExecutionCompleted { status, .. } => Some(format!("ExecutionCompleted {status}")),
        EventKind::ExecutionStarted(_)
        | EventKind::TaskRetried { .. }
        | EventKind::EventAwaited { .. }
        | EventKind::TaskCanceled { .. }
        | EventKind::ExecutionSuspended { .. }
        | EventKind::ExecutionResumed { .. }
        | EventKind::ExecutionTerminated { .. }
        | EventKind::OrchestratorReturned { .. }
        | EventKind::ScheduledTimeReached
        | EventKind::FailureDelivered { .. }
        | EventKind::ExecutionRewound { .. }
        | EventKind::ParentRewound { .. }
        | EventKind::ExecutionMoved { .. }
        | EventKind::EpisodeCompleted { .. } => None,
    }
}

fn execution_started(at: Timestamp, started: &ExecutionStarted, detail: Detail) -> Event {
    let event = Fields::event("ExecutionStarted", at).input(started.input.as_ref(), detail);
    let event = match started.scheduled_at {
        Some(due) => event.text("ScheduledStartTime", &wire::ticks(due)),
        None => event,
    };
    let event = match &started.trace_parent {
        Some(parent) => {
            let context = Fields(Vec::new()).text("TraceParent", parent);
            let context = match &started.trace_state {
                Some(state) => context.text("TraceState", state),
                None => context,
            };
            event.raw("ParentTraceContext", context.into_raw())
        }
        None => event,
    };
    event.text("FunctionName", &started.name).tags(&started.tags)
}

fn execution_completed(at: Timestamp, status: Status, outcome: &Outcome, detail: Detail) -> Event {
    match (status, outcome) {
        (Status::ContinuedAsNew, Ok(next)) => Fields::event("ContinueAsNew", at).result(next.as_ref(), detail),
        (_, Ok(output)) => Fields::event("ExecutionCompleted", at)
            .text("OrchestrationStatus", status.name())
            .result(output.as_ref(), detail),
        (_, Err(failure)) => {
            let event = Fields::event("ExecutionCompleted", at).text("OrchestrationStatus", status.name());
            let event = if detail.output { event.text("Result", &failure.message) } else { event };
            event.raw("FailureDetails", failure_details(failure))
        }
    }
}

/// `ErrorType, ErrorMessage, StackTrace, InnerFailure, IsNonRetriable, Properties`; inner causes nest.
fn failure_details(failure: &Failure) -> Box<RawValue> {
    let inner = failure.causes.iter().rev().fold(None, |inner, cause| {
        Some(details((&cause.error_type, &cause.message), cause.stack_trace.as_deref(), inner).into_raw())
    });
    details((&failure.error_type, &failure.message), failure.stack_trace.as_deref(), inner)
        .raw("IsNonRetriable", boolean(failure.non_retriable))
        .raw("Properties", wire::value(failure.properties.as_ref()))
        .into_raw()
}

fn details((kind, message): (&str, &str), stack: Option<&str>, inner: Option<Box<RawValue>>) -> Fields {
    Fields(Vec::new())
        .text("ErrorType", kind)
        .text("ErrorMessage", message)
        .optional_text("StackTrace", stack)
        .raw("InnerFailure", inner.unwrap_or_else(|| wire::value(None)))
}

fn boolean(value: bool) -> Box<RawValue> {
    if value { RawValue::TRUE.to_owned() } else { RawValue::FALSE.to_owned() }
}

impl Fields {
    fn into_raw(self) -> Box<RawValue> {
        serde_json::value::to_raw_value(&self).unwrap_or_else(|_| wire::value(None))
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
