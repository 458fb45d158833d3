//! Every bound of what a guest hands over, reached and gone over by one.

use durawasm_core::model::TAG_BYTES;

use super::bindings::durable::functions::orchestration as wit;
use super::bindings::durable::functions::types::{Cause, Failure, RetryPolicy, Tag};
use super::convert;
use super::guest::Stop;
use super::limits::{
    ATTEMPTS, CAUSES, CUSTOM_STATUS_UTF16_BYTES, ERROR_TYPE, FAILURE_TEXT, HTTP_HEADERS, LABEL_CHARS, LONGEST_MS,
    NAME_CHARS, STATUSES, TAG_VALUE_CHARS, TAGS,
};

const PAYLOAD: usize = 1_000;

/// It is refused, with a failure of this type and these words, that no retry changes.
fn refused<T>(value: wasmtime::Result<T>, (error_type, words): (&str, &str)) {
    let Err(error) = value else { panic!("it is taken: {words}") };
    match error.downcast_ref::<Stop>() {
        Some(Stop::Failed(failure)) => {
            assert_eq!((failure.error_type.as_str(), failure.non_retriable), (error_type, true), "{failure:?}");
            assert!(failure.message.contains(words), "'{words}' is not in: {}", failure.message);
        }
        other => panic!("{other:?}"),
    }
}

const ARGUMENT: &str = "InvalidArgument";

#[test]
fn names_and_labels() {
    assert!(convert::name("an event", "é".repeat(NAME_CHARS)).is_ok());
    refused(convert::name("an event", "é".repeat(NAME_CHARS + 1)), (ARGUMENT, "longer than"));
    refused(convert::name("an event", String::new()), (ARGUMENT, "is empty"));
    refused(convert::name("an event", "a\0".to_owned()), (ARGUMENT, "control characters"));
    assert!(convert::label("1".repeat(LABEL_CHARS)).is_ok());
    refused(convert::label("1".repeat(LABEL_CHARS + 1)), (ARGUMENT, "version label"));
    assert!(convert::reason("x".repeat(FAILURE_TEXT)).is_ok());
    refused(convert::reason("x".repeat(FAILURE_TEXT + 1)), ("PayloadTooLarge", "the reason"));
}

fn tags(count: usize, name: usize, value: usize) -> Vec<Tag> {
    let name = |number: usize| format!("{number:0>name$}");
    (0..count).map(|number| Tag { name: name(number), value: "x".repeat(value) }).collect()
}

#[test]
fn tags_are_counted_and_measured() {
    assert!(convert::tags(tags(TAGS, 4, 4)).is_ok());
    refused(convert::tags(tags(TAGS + 1, 4, 4)), (ARGUMENT, "tags; the limit is"));
    refused(convert::tags(tags(1, 4, TAG_VALUE_CHARS + 1)), (ARGUMENT, "the value of tag"));
    refused(convert::tags(tags(1, NAME_CHARS + 1, 1)), (ARGUMENT, "longer than"));
    let large = tags(TAGS, NAME_CHARS, TAG_VALUE_CHARS);
    const { assert!(TAGS * (NAME_CHARS + TAG_VALUE_CHARS) > TAG_BYTES) };
    refused(convert::tags(large), (ARGUMENT, "bytes together"));
}

#[test]
fn payloads_and_statuses() {
    let of = |bytes: usize| Some(format!("\"{}\"", "x".repeat(bytes - 2)));
    assert!(convert::payload("it", of(PAYLOAD), PAYLOAD).is_ok());
    refused(
        convert::payload("it", of(PAYLOAD + 1), PAYLOAD),
        ("PayloadTooLarge", "it has 1001 bytes; the limit is 1000"),
    );
    refused(convert::payload("it", Some("{".to_owned()), PAYLOAD), ("InvalidJson", "it is not JSON"));
    let most = CUSTOM_STATUS_UTF16_BYTES / 2;
    assert!(convert::custom_status(of(most), usize::MAX).is_ok());
    refused(convert::custom_status(of(most + 1), usize::MAX), ("PayloadTooLarge", "the custom status"));
}

#[test]
fn times_and_durations() {
    for ms in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, LONGEST_MS * 1.01] {
        refused(convert::duration("the timeout", ms, false), (ARGUMENT, "the timeout"));
    }
    assert!(convert::duration("the timeout", 0.0, false).is_ok() && convert::duration("it", LONGEST_MS, true).is_ok());
    refused(convert::duration("the timeout", 0.0, true), (ARGUMENT, "more than 0"));
    refused(convert::timestamp(&"9".repeat(10_000)), (ARGUMENT, "is not a time"));
}

fn retry(max_attempts: u32, backoff_coefficient: f64) -> wasmtime::Result<durawasm_core::Command> {
    let retry = RetryPolicy {
        first_retry_interval: 1.0,
        max_attempts,
        backoff_coefficient,
        max_retry_interval: None,
        retry_timeout: None,
    };
    let options = wit::ActivityOptions { retry: Some(retry), timeout: None, tags: vec![] };
    convert::call_activity("A".to_owned(), None, options, PAYLOAD)
}

#[test]
fn retry_policies() {
    assert!(retry(ATTEMPTS, 1.0).is_ok());
    for attempts in [0, ATTEMPTS + 1] {
        refused(retry(attempts, 1.0), (ARGUMENT, "max-attempts"));
    }
    for backoff in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(retry(1, backoff), (ARGUMENT, "backoff-coefficient"));
    }
}

#[test]
fn http_calls() {
    let call = |headers: usize, statuses: usize| {
        let headers = (0..headers).map(|number| Tag { name: format!("x-{number}"), value: String::new() }).collect();
        let call = wit::HttpCall { method: "GET".to_owned(), uri: "http://a/".to_owned(), headers, body: None };
        let retry_statuses = vec![500; statuses];
        let options = wit::HttpOptions { retry: None, retry_statuses, timeout: None, poll: false, tags: vec![] };
        convert::call_http(call, options, 1 << 20)
    };
    assert!(call(HTTP_HEADERS, STATUSES).is_ok());
    refused(call(HTTP_HEADERS + 1, 0), ("LimitExceeded", "headers; the limit is"));
    refused(call(0, STATUSES + 1), (ARGUMENT, "statuses"));
}

#[test]
fn what_a_failure_says_is_cut() {
    let text = |bytes: usize| "é".repeat(bytes);
    let cause =
        || Cause { error_type: text(ERROR_TYPE), message: text(FAILURE_TEXT), stack_trace: Some(text(FAILURE_TEXT)) };
    let failure = Failure {
        error_type: text(ERROR_TYPE),
        message: text(FAILURE_TEXT),
        stack_trace: Some(text(FAILURE_TEXT)),
        non_retriable: false,
        causes: (0..=CAUSES).map(|_| cause()).collect(),
        properties: Some("{".to_owned()),
    };
    let kept = convert::outcome(Err(failure), PAYLOAD).unwrap_err();
    assert_eq!((kept.error_type.len(), kept.message.len(), kept.causes.len()), (ERROR_TYPE, FAILURE_TEXT, CAUSES));
    assert_eq!(kept.stack_trace.map(|trace| trace.len()), Some(FAILURE_TEXT));
    assert!(
        kept.causes.iter().all(|cause| cause.error_type.len() == ERROR_TYPE && cause.message.len() == FAILURE_TEXT)
    );
    assert_eq!(kept.properties, None);
}

#[test]
fn times_are_read_and_refused() {
    assert!(convert::timestamp("2026-01-31T12:00:00Z").is_ok());
    for text in ["tomorrow", "2026-01-31T12:00:00", "2026-13-01T00:00:00Z"] {
        refused(convert::timestamp(text), (ARGUMENT, &format!("'{text}' is not a time like 2026-01-31T12:00:00Z")));
    }
    for text in ["9999-12-31T23:59:59Z", "9999-12-30T22:00:00-01:00"] {
        refused(
            convert::timestamp(text),
            (ARGUMENT, &format!("'{text}' is out of range: the last time is 9999-12-30")),
        );
    }
}
