//! Route 1: start an instance, and wait for it when asked to (http-api.md 3).

use std::time::Duration;

use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use durawasm_core::model::{NAME_CHARS, TAG_BYTES, TAG_VALUE_CHARS, TAGS, Tags, tags_fit, why_no_time};
use durawasm_core::{Payload, Status, Timestamp};

use super::error::{ApiError, ErrorBody};
use super::links::{self, LinkParts, Links};
use super::query::{Query, moment};
use super::route::Base;
use super::status::{self, Shown};
use super::{Call, Stopping, body, trace, wire};
use crate::engine::client::LONGEST_WAIT;
use crate::engine::{Engine, InstanceView, Reuse, StartRequest, Waited};
use crate::store::{HubName, StoreError};

/// How long whoever started an instance should wait before asking for it (http-api.md 3).
pub(super) const RETRY_AFTER_SECONDS: u32 = 10;

/// What of the query decides, checked before anything is started.
struct Wishes {
    reuse: Reuse,
    wait: Option<Duration>,
    version: Option<String>,
    tags: Tags,
    scheduled_at: Option<Timestamp>,
}

/// Starts an instance of an orchestrator function.
///
/// With both `timeout` and `pollingInterval` the answer waits for the instance: when it completes in time, the answer
/// is 200 with its bare output.
#[utoipa::path(
    post,
    path = "/runtime/webhooks/durabletask/orchestrators/{function}/{id}",
    operation_id = "startWithId",
    tag = "instances",
    params(
        ("function" = String, Path, description = "The orchestrator function."),
        ("id" = String, Path, max_length = 256, description = "The instance id: at most 256 characters, not beginning \
            with `@`, without `/`, `\\`, `#`, `?` and control characters. None: a new one of 32 hexadecimal digits."),
        ("timeout" = Option<f64>, Query, description = "Seconds to wait for the end; only together with `pollingInterval`."),
        ("pollingInterval" = Option<f64>, Query, description = "Seconds; at most `timeout`. Nothing is polled inside."),
        ("version" = Option<String>, Query, description = "The version label. None: the app version's own; empty: none."),
        ("reuse" = Option<String>, Query, description = "What may happen to an instance that has the id already: \
            `terminal` (the default) replaces one that has ended, `never` none, `any` also one that runs: it is \
            terminated first."),
        ("tags" = Option<String>, Query, description = "`name=value`, separated by commas: at most 32 of 8 KiB together."),
        ("scheduledStartTime" = Option<String>, Query, description = "ISO 8601. None: now."),
        ("returnInternalServerErrorOnFailure" = Option<bool>, Query, description = "Makes the status link ask for 500 \
            when the instance has failed."),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, the parent of the instance's; \
            ignored when it is not well formed."),
        ("tracestate" = Option<String>, Header, description = "What goes with `traceparent`: at most 512 characters, \
            32 members; ignored otherwise."),
    ),
    request_body(content = Option<serde_json::Value>, content_type = "application/json", description = "The input: any JSON, \
        at most 4 MiB, whatever the content type. None: null."),
    responses(
        (status = 202, description = "Started, durably. Also when the time to wait ran out or the server began to stop.",
            body = Links, headers(
            ("Location" = String, description = "The status link."),
            ("Retry-After" = u32, description = "10."))),
        (status = 200, description = "Waited for, and ended in time: the bare output when it completed, else the status \
            object.", body = serde_json::Value),
        (status = 400, description = "The body is not JSON; no such orchestrator function; a bad id; a bad `reuse`, tag, version or time; \
            `pollingInterval` larger than `timeout`.", body = ErrorBody),
        (status = 408, description = "The body did not arrive within 30 seconds.", body = ErrorBody),
        (status = 409, description = "An instance has the id already.", body = ErrorBody),
        (status = 413, description = "The body is larger than 4 MiB, or the hub is at its limit `storedBytes`.",
            body = ErrorBody),
    ),
)]
pub(super) async fn start(base: Base, call: Call) -> Result<Response, ApiError> {
    let wishes = Wishes {
        reuse: reuse(&call.query)?,
        wait: wait_time(&call.query)?,
        version: version(&call.query)?,
        tags: tags(&call.query)?,
        scheduled_at: scheduled_at(&call.query)?,
    };
    let links_of = link_maker(base, &call);
    let hub = call.hub.clone();
    let trace_parent = trace::parent(&call.parts.headers);
    let request = StartRequest {
        hub: hub.clone(),
        function: call.param(0).to_owned(),
        instance_id: call.params.get(1).cloned(),
        version: wishes.version,
        tags: wishes.tags,
        reuse: wishes.reuse,
        trace_state: trace_parent.as_ref().and_then(|_| trace::state(&call.parts.headers)),
        trace_parent,
        scheduled_at: wishes.scheduled_at,
        input: body::json(call.body, call.settings.payload_limit).await?,
    };
    let Some(timeout) = wishes.wait else {
        let id = call.engine.start(request).await?;
        return Ok(accepted(&links_of(&id)));
    };
    let (id, watch) = call.engine.start_watched(request).await?;
    let waiting = call.engine.wait_for((&id, &watch), &hub, timeout);
    answered(waiting, &call.stopping).await.map(|ended| ended.unwrap_or_else(|| accepted(&links_of(&id))))
}

/// What an instance came to that ends while it is waited for; none: it goes on.
async fn answered(
    waiting: impl Future<Output = Result<Waited, StoreError>>,
    stopping: &Stopping,
) -> Result<Option<Response>, ApiError> {
    let waited = tokio::select! {
        biased;
        waited = waiting => waited?,
        // The instance goes on without this process; its links say where to ask.
        () = stopping.begun() => Waited::StillRunning,
    };
    Ok(match waited {
        Waited::Completed(output) => Some(completed(output.as_ref())),
        Waited::Ended(view) => Some(ended(&view)),
        Waited::StillRunning | Waited::Unknown => None,
    })
}

/// The answer to a start that was made: what the instance came to when it was to be waited for and ended in time,
/// otherwise its links.
pub(super) async fn started(
    (engine, stopping): (&Engine, &Stopping),
    hub: &HubName,
    (id, wait): (&str, Option<Duration>),
    links_of: &impl Fn(&str) -> Links,
) -> Result<Response, ApiError> {
    let ended = match wait {
        Some(timeout) => answered(engine.wait(hub, id, timeout), stopping).await?,
        None => None,
    };
    Ok(ended.unwrap_or_else(|| accepted(&links_of(id))))
}

fn completed(output: Option<&Payload>) -> Response {
    wire::json(StatusCode::OK, &wire::value(output))
}

/// Completed: the bare output. Otherwise: what the status route answers, without its failure flag.
fn ended(view: &InstanceView) -> Response {
    match view.record.status {
        Status::Completed => completed(view.payloads.output.as_ref()),
        Status::Failed
        | Status::Canceled
        | Status::Terminated
        | Status::Running
        | Status::ContinuedAsNew
        | Status::Pending
        | Status::Suspended => wire::json(StatusCode::OK, &status::envelope(view, Shown::default())),
    }
}

fn accepted(links: &Links) -> Response {
    let mut response = wire::json(StatusCode::ACCEPTED, links);
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&links.status_query_get_uri) {
        headers.insert(LOCATION, location);
    }
    headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    response
}

/// The links of an id that is not known yet, from a request whose body is still to be read.
pub(super) fn link_maker(base: Base, call: &Call) -> impl Fn(&str) -> Links + use<> {
    let origin = links::origin(&call.settings, &call.parts);
    let (hub, connection) = (call.hub.clone(), call.query.connection().to_owned());
    let failure_flag = call.query.flag("returninternalservererroronfailure", false);
    let mint = call.mint.clone();
    move |id| {
        let (hub, connection, mint) = (&*hub, connection.as_str(), mint.as_ref());
        Links::new(id, &LinkParts { origin: &origin, base, hub, connection, failure_flag, mint })
    }
}

fn reuse(query: &Query) -> Result<Reuse, ApiError> {
    match query.filled("reuse").map(str::to_ascii_lowercase).as_deref() {
        None | Some("terminal") => Ok(Reuse::Terminal),
        Some("never") => Ok(Reuse::Never),
        Some("any") => Ok(Reuse::Any),
        Some(other) => Err(ApiError::BadRequest(format!("reuse is 'never', 'terminal' or 'any', not '{other}'."))),
    }
}

/// A label; an empty one means none, whatever the app's own is.
fn version(query: &Query) -> Result<Option<String>, ApiError> {
    match query.get("version") {
        Some(label) if label.chars().count() > NAME_CHARS => {
            Err(ApiError::BadRequest(format!("a version is a label of at most {NAME_CHARS} characters.")))
        }
        label => Ok(label.map(str::to_owned)),
    }
}

/// `tags=name=value,other=value`, or one a parameter.
fn tags(query: &Query) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in query.filled("tags").unwrap_or_default().split(',').filter(|tag| !tag.trim().is_empty()) {
        let (name, value) = tag.split_once('=').map_or((tag, ""), |(name, value)| (name, value));
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.chars().count() > NAME_CHARS || value.chars().count() > TAG_VALUE_CHARS {
            return Err(ApiError::BadRequest(format!(
                "a tag is name=value with a name of 1 to {NAME_CHARS} characters and a value of at most {TAG_VALUE_CHARS}."
            )));
        }
        tags.insert(name.to_owned(), value.to_owned());
    }
    if !tags_fit(&tags) {
        return Err(ApiError::BadRequest(format!(
            "an instance has at most {TAGS} tags of at most {TAG_BYTES} bytes together."
        )));
    }
    Ok(tags)
}

/// `scheduledStartTime=2026-01-31T12:00:00Z`. A time that cannot be read is refused: ignoring it would start at once.
fn scheduled_at(query: &Query) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = query.filled("scheduledstarttime") else { return Ok(None) };
    moment(text)
        .map(Some)
        .ok_or_else(|| ApiError::BadRequest(format!("scheduledStartTime '{text}' {}.", why_no_time(text))))
}

/// How long to wait: only when both parameters parse; one alone is a plain start. The interval is only checked, since
/// nothing is polled.
pub(super) fn wait_time(query: &Query) -> Result<Option<Duration>, ApiError> {
    let (Some(timeout), Some(interval)) = (query.seconds("timeout"), query.seconds("pollinginterval")) else {
        return Ok(None);
    };
    if interval > timeout {
        return Err(ApiError::BadRequest(format!(
            "Total timeout {} seconds should be bigger than retry timeout {} seconds",
            timeout.as_secs_f64(),
            interval.as_secs_f64()
        )));
    }
    Ok(Some(timeout.min(LONGEST_WAIT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_takes_both_parameters() {
        let wait = |query: &str| wait_time(&Query::parse(query));
        assert!(matches!(wait("timeout=10"), Ok(None)));
        assert!(matches!(wait("pollingInterval=1"), Ok(None)));
        assert!(matches!(wait("timeout=x&pollingInterval=1"), Ok(None)));
        assert!(matches!(wait("timeout=1&pollingInterval=2"), Err(ApiError::BadRequest(_))));
        assert_eq!(wait("Timeout=2.5&PollingInterval=0.5").ok().flatten(), Some(Duration::from_millis(2500)));
        assert_eq!(wait("timeout=100000&pollingInterval=1").ok().flatten(), Some(LONGEST_WAIT));
    }

    #[test]
    fn tags_are_pairs() {
        let of = |query: &str| tags(&Query::parse(query)).ok();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of(""), Some(Tags::new()));
        assert_eq!(of("tags=a=1,b=x=y"), Some(Tags::from([pair("a", "1"), pair("b", "x=y")])));
        assert_eq!(of("tags=a=1&tags=b"), Some(Tags::from([pair("a", "1"), pair("b", "")])));
        assert_eq!(of("tags==1"), None);
        let many: String = (0..=TAGS).map(|index| format!("t{index},")).collect();
        assert_eq!(of(&format!("tags={many}")), None);
    }

    #[test]
    fn a_scheduled_start_must_be_readable() {
        assert!(matches!(scheduled_at(&Query::parse("")), Ok(None)));
        let at = |text: &str| scheduled_at(&Query::parse(&format!("scheduledStartTime={text}")));
        let noon = "2026-01-31T12:00:00Z".parse::<Timestamp>().ok();
        for text in ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00", "2026-01-31T13:00:00%2B01:00"] {
            assert_eq!(at(text).ok().flatten(), noon, "{text}");
        }
        let refused = |text: &str| match at(text) {
            Err(ApiError::BadRequest(why)) => why,
            other => panic!("{text}: {other:?}"),
        };
        for text in ["tomorrow", "2026-13-01T00:00:00Z", "9999-99-99T00:00:00Z", "12:00:00"] {
            assert!(refused(text).contains("is not a time like 2026-01-31T12:00:00Z"), "{}", refused(text));
        }
        for text in ["9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59"] {
            assert!(
                refused(text).contains("is out of range: the last time is 9999-12-30T22:00:00Z"),
                "{}",
                refused(text)
            );
        }
    }

    #[test]
    fn reuse_has_three_values() {
        assert!(matches!(reuse(&Query::parse("reuse=ANY")), Ok(Reuse::Any)));
        assert!(matches!(reuse(&Query::parse("")), Ok(Reuse::Terminal)));
        assert!(matches!(reuse(&Query::parse("reuse=Never")), Ok(Reuse::Never)));
        assert!(matches!(reuse(&Query::parse("reuse=sometimes")), Err(ApiError::BadRequest(_))));
    }
}
