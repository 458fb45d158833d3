//! Values of guests as values of the core and back. Everything that comes from a guest is checked and bounded here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use durawasm_core::model::{
    HTTP_ACTIVITY, LONGEST_INSTANCE_ID, Outcome, TAG_BYTES, Tags, check_name, tags_fit, why_no_time,
};
use durawasm_core::{Cause, Command, Failure, Notice, Payload, RetryPolicy, Timestamp};
use serde::de::IgnoredAny;

use super::bindings::durable::functions::{orchestration as wit, types};
use super::bindings::exports::durable::functions::{activity, orchestrator};
use super::guest::fail;
use super::limits::{
    ATTEMPTS, CAUSES, CUSTOM_STATUS_UTF16_BYTES, ERROR_TYPE, FAILURE_TEXT, HTTP_HEADERS, LABEL_CHARS, LONGEST_MS,
    STATUSES, TAG_VALUE_CHARS, TAGS,
};
use super::stdio::{Level, cut};
use crate::engine::http::{Headers, HttpCall, RetryOptions, add_header};

/// What a run of a guest's function came to, in the guest's terms.
pub(super) type GuestOutcome = Result<Option<String>, GuestFailure>;

/// Orchestrators and activities fail in the same way; the contract has one type for both.
pub(super) type GuestFailure = types::Failure;

// The two exported interfaces share the failure of `types`.
const _: fn(orchestrator::Failure) -> GuestFailure = |failure| failure;
const _: fn(activity::Failure) -> GuestFailure = |failure| failure;

/// A payload that a guest hands over; `what` names it in errors.
pub(super) fn payload(what: &str, json: Option<String>, limit: usize) -> wasmtime::Result<Option<Payload>> {
    let checked = json.map(|json| check_json(what, json, limit)).transpose();
    checked.map_err(|failure| super::guest::Stop::Failed(failure).into())
}

fn check_json(what: &str, json: String, limit: usize) -> Result<Payload, Failure> {
    if json.len() > limit {
        let message = format!("{what} has {} bytes; the limit is {limit}", json.len());
        return Err(Failure::new("PayloadTooLarge", message).non_retriable());
    }
    match serde_json::from_str::<IgnoredAny>(&json) {
        Ok(IgnoredAny) => Ok(json.into()),
        Err(error) => Err(Failure::new("InvalidJson", format!("{what} is not JSON: {error}")).non_retriable()),
    }
}

/// What a guest's function returned. A result that cannot be kept is a failure.
pub(super) fn outcome(returned: GuestOutcome, limit: usize) -> Outcome {
    match returned {
        Ok(result) => result.map(|json| check_json("the result", json, limit)).transpose(),
        Err(failure) => Err(failure_in(failure, limit)),
    }
}

fn text(text: String, bytes: usize) -> String {
    if text.len() <= bytes { text } else { cut(&text, bytes).to_owned() }
}

fn failure_in(failure: GuestFailure, limit: usize) -> Failure {
    let trace = |trace: Option<String>| trace.map(|trace| text(trace, FAILURE_TEXT));
    let causes = failure.causes.into_iter().take(CAUSES).map(|cause| Cause {
        error_type: text(cause.error_type, ERROR_TYPE),
        message: text(cause.message, FAILURE_TEXT),
        stack_trace: trace(cause.stack_trace),
    });
    Failure {
        error_type: text(failure.error_type, ERROR_TYPE),
        message: text(failure.message, FAILURE_TEXT),
        stack_trace: trace(failure.stack_trace),
        non_retriable: failure.non_retriable,
        causes: causes.collect(),
        // A failure is kept even when its extras are no good.
        properties: failure.properties.and_then(|json| check_json("properties", json, limit).ok()),
    }
}

/// An outcome as the guest sees it.
#[allow(clippy::result_large_err, reason = "the type is the contract's")]
pub(super) fn outcome_out(outcome: Outcome) -> GuestOutcome {
    match outcome {
        Ok(result) => Ok(result.map(|json| json.to_string())),
        Err(failure) => Err(types::Failure {
            error_type: failure.error_type,
            message: failure.message,
            stack_trace: failure.stack_trace,
            non_retriable: failure.non_retriable,
            causes: failure
                .causes
                .into_iter()
                .map(|cause| types::Cause {
                    error_type: cause.error_type,
                    message: cause.message,
                    stack_trace: cause.stack_trace,
                })
                .collect(),
            properties: failure.properties.map(|json| json.to_string()),
        }),
    }
}

/// A name that a guest gives; `what` names it in errors.
pub(super) fn name(what: &str, name: String) -> wasmtime::Result<String> {
    match check_name(&name) {
        Ok(()) => Ok(name),
        Err(wrong) => Err(fail("InvalidArgument", format!("the name of {what} {wrong}"))),
    }
}

pub(super) fn tags(tags: Vec<types::Tag>) -> wasmtime::Result<Tags> {
    if tags.len() > TAGS {
        return Err(fail("InvalidArgument", format!("{} tags; the limit is {TAGS}", tags.len())));
    }
    let checked = tags.into_iter().map(|tag| {
        if tag.value.chars().nth(TAG_VALUE_CHARS).is_some() {
            let message = format!("the value of tag '{}' is longer than {TAG_VALUE_CHARS} characters", tag.name);
            return Err(fail("InvalidArgument", message));
        }
        Ok((name("a tag", tag.name)?, tag.value))
    });
    let checked: Tags = checked.collect::<wasmtime::Result<_>>()?;
    if !tags_fit(&checked) {
        return Err(fail("InvalidArgument", format!("the tags have more than {TAG_BYTES} bytes together")));
    }
    Ok(checked)
}

/// An instance id that a guest chooses. The core knows the rules; here only what is absurd is cut off.
fn instance_id(id: String) -> wasmtime::Result<String> {
    if id.len() > 4 * LONGEST_INSTANCE_ID {
        let message =
            format!("an instance ID has {} bytes; at most {LONGEST_INSTANCE_ID} characters are allowed", id.len());
        return Err(fail("BadInstanceId", message));
    }
    Ok(id)
}

/// The request that sends an event to another instance.
pub(super) fn send_event(id: String, event: String, data: Option<String>, limit: usize) -> wasmtime::Result<Notice> {
    Ok(Notice::SendEvent {
        instance_id: instance_id(id)?,
        name: name("an event", event)?,
        input: payload("the event's data", data, limit)?,
    })
}

pub(super) fn duration(what: &str, ms: f64, positive: bool) -> wasmtime::Result<f64> {
    let too_small = if positive { ms <= 0.0 } else { ms < 0.0 };
    if !ms.is_finite() || too_small || ms > LONGEST_MS {
        let least = if positive { "more than 0" } else { "0 or more" };
        return Err(fail("InvalidArgument", format!("{what} is {ms} ms; it must be {least} and finite")));
    }
    Ok(ms)
}

fn retry_policy(retry: types::RetryPolicy) -> wasmtime::Result<RetryPolicy> {
    if retry.max_attempts == 0 || retry.max_attempts > ATTEMPTS {
        let message = format!("max-attempts is {}; it must be 1 to {ATTEMPTS}", retry.max_attempts);
        return Err(fail("InvalidArgument", message));
    }
    let backoff = retry.backoff_coefficient;
    if !backoff.is_finite() || backoff <= 0.0 {
        let message = format!("backoff-coefficient is {backoff}; it must be more than 0 and finite");
        return Err(fail("InvalidArgument", message));
    }
    Ok(RetryPolicy {
        first_retry_interval_ms: duration("first-retry-interval", retry.first_retry_interval, true)?,
        max_attempts: retry.max_attempts,
        backoff_coefficient: backoff,
        max_retry_interval_ms: retry
            .max_retry_interval
            .map(|ms| duration("max-retry-interval", ms, true))
            .transpose()?,
        retry_timeout_ms: retry.retry_timeout.map(|ms| duration("retry-timeout", ms, false)).transpose()?,
    })
}

/// The command that calls an activity.
pub(super) fn call_activity(
    activity: String,
    input: Option<String>,
    options: wit::ActivityOptions,
    limit: usize,
) -> wasmtime::Result<Command> {
    Ok(Command::CallActivity {
        name: name("an activity", activity)?,
        input: payload("the activity's input", input, limit)?,
        retry: options.retry.map(retry_policy).transpose()?,
        timeout_ms: options.timeout.map(|ms| duration("the activity's timeout", ms, true)).transpose()?,
        tags: tags(options.tags)?,
    })
}

/// The command that makes an HTTP call. What is wrong with the request itself fails its task and not the orchestrator.
pub(super) fn call_http(call: wit::HttpCall, options: wit::HttpOptions, limit: usize) -> wasmtime::Result<Command> {
    if call.headers.len() > HTTP_HEADERS {
        let message = format!("an HTTP call with {} headers; the limit is {HTTP_HEADERS}", call.headers.len());
        return Err(fail("LimitExceeded", message));
    }
    if options.retry_statuses.len() > STATUSES {
        let message = format!("{} statuses to retry; there are no more than {STATUSES}", options.retry_statuses.len());
        return Err(fail("InvalidArgument", message));
    }
    let mut headers = Headers::new();
    for header in call.headers {
        add_header(&mut headers, header.name.to_ascii_lowercase(), header.value);
    }
    let (content, content_base64) = match call.body.map(String::from_utf8) {
        Some(Ok(text)) => (Some(text), None),
        Some(Err(binary)) => (None, Some(STANDARD.encode(binary.as_bytes()))),
        None => (None, None),
    };
    let retry = options.retry.map(retry_policy).transpose()?;
    let call = HttpCall {
        method: call.method.to_ascii_uppercase(),
        uri: call.uri,
        headers,
        content,
        content_base64,
        asynchronous_pattern_enabled: options.poll,
        retry_options: retry.is_some().then_some(RetryOptions { status_codes_to_retry: options.retry_statuses }),
    };
    let input = serde_json::to_string(&call)?;
    Ok(Command::CallActivity {
        name: HTTP_ACTIVITY.to_owned(),
        input: payload("the HTTP call", Some(input), limit)?,
        retry,
        timeout_ms: options.timeout.map(|ms| duration("the HTTP call's timeout", ms, true)).transpose()?,
        tags: tags(options.tags)?,
    })
}

/// The command that calls a sub-orchestration.
pub(super) fn call_sub_orchestration(
    orchestrator: String,
    input: Option<String>,
    options: wit::SubOrchestrationOptions,
    limit: usize,
) -> wasmtime::Result<Command> {
    Ok(Command::CallSubOrchestration {
        instance_id: options.instance_id.map(instance_id).transpose()?,
        name: name("an orchestrator", orchestrator)?,
        input: payload("the sub-orchestration's input", input, limit)?,
        retry: options.retry.map(retry_policy).transpose()?,
        version: options.version.map(label).transpose()?,
        tags: tags(options.tags)?,
    })
}

/// The request that starts a sub-orchestration nobody waits for.
pub(super) fn start_sub_orchestration(
    orchestrator: String,
    input: Option<String>,
    options: wit::SubOrchestrationOptions,
    limit: usize,
) -> wasmtime::Result<Notice> {
    if options.retry.is_some() {
        let message = "a sub-orchestration that nobody waits for cannot have a retry policy: call it and wait for it";
        return Err(fail("InvalidArgument", message));
    }
    Ok(Notice::StartSubOrchestration {
        instance_id: options.instance_id.map(instance_id).transpose()?,
        name: name("an orchestrator", orchestrator)?,
        input: payload("the sub-orchestration's input", input, limit)?,
        version: options.version.map(label).transpose()?,
        tags: tags(options.tags)?,
    })
}

/// A version label; empty means none.
pub(super) fn label(label: String) -> wasmtime::Result<String> {
    if label.chars().nth(LABEL_CHARS).is_some() {
        return Err(fail("InvalidArgument", format!("the version label is longer than {LABEL_CHARS} characters")));
    }
    Ok(label)
}

/// Why somebody does something; people read it.
pub(super) fn reason(reason: String) -> wasmtime::Result<String> {
    if reason.len() > FAILURE_TEXT {
        return Err(fail(
            "PayloadTooLarge",
            format!("the reason has {} bytes; the limit is {FAILURE_TEXT}", reason.len()),
        ));
    }
    Ok(reason)
}

/// A point in time that a guest names.
pub(super) fn timestamp(text: &str) -> wasmtime::Result<Timestamp> {
    text.parse().map_err(|_| fail("InvalidArgument", format!("'{}' {}", cut(text, 64), why_no_time(text))))
}

/// A custom status.
pub(super) fn custom_status(status: Option<String>, limit: usize) -> wasmtime::Result<Option<Payload>> {
    let size = status.as_ref().map_or(0, |status| 2 * status.encode_utf16().count());
    if size > CUSTOM_STATUS_UTF16_BYTES {
        let message = format!("the custom status has {size} bytes in UTF-16; the limit is {CUSTOM_STATUS_UTF16_BYTES}");
        return Err(fail("PayloadTooLarge", message));
    }
    payload("the custom status", status, limit)
}

/// A guest's log level.
pub(super) fn level(level: types::LogLevel) -> Level {
    match level {
        types::LogLevel::Trace => Level::Trace,
        types::LogLevel::Debug => Level::Debug,
        types::LogLevel::Info => Level::Info,
        types::LogLevel::Warn => Level::Warn,
        types::LogLevel::Error => Level::Error,
    }
}
