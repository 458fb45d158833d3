//! Route 1: start an instance, and wait for it when asked to (http-api.md 3).

use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use durawasm_core::Status;

use super::error::{ApiError, ErrorBody};
use super::links::{self, LinkParts, Links};
use super::query::Query;
use super::route::Base;
use super::status::{self, Shown};
use super::{Call, body, trace, wire};
use crate::engine::client::LONGEST_WAIT;
use crate::engine::{InstanceView, StartRequest, Waited};
use crate::store::Reuse;

/// What of the query decides, checked before anything is started.
struct Wishes {
    reuse: Reuse,
    wait: Option<std::time::Duration>,
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
            `terminal` (the default) replaces one that has ended, `never` none."),
        ("returnInternalServerErrorOnFailure" = Option<bool>, Query, description = "Makes the status link ask for 500 \
            when the instance has failed."),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, the parent of the instance's; \
            ignored when it is not well formed."),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "The input: any JSON, \
        at most 4 MiB, whatever the content type. None: null."),
    responses(
        (status = 202, description = "Started, durably. Also when the time to wait ran out or the server began to stop.",
            body = Links, headers(
            ("Location" = String, description = "The status link."),
            ("Retry-After" = u32, description = "10."))),
        (status = 200, description = "Waited for, and ended in time: the bare output when it completed, else the status \
            object.", body = serde_json::Value),
        (status = 400, description = "The body is not JSON; no such orchestrator function; a bad id; a bad `reuse`; \
            `pollingInterval` larger than `timeout`.", body = ErrorBody),
        (status = 408, description = "The body did not arrive within 30 seconds.", body = ErrorBody),
        (status = 409, description = "An instance has the id already.", body = ErrorBody),
        (status = 413, description = "The body is larger than 4 MiB.", body = ErrorBody),
    ),
)]
pub(super) async fn start(base: Base, call: Call) -> Result<Response, ApiError> {
    let wishes = Wishes { reuse: reuse(&call.query)?, wait: wait_time(&call.query)? };
    let links_of = link_maker(base, &call);
    let request = StartRequest {
        hub: call.hub.clone(),
        function: call.param(0).to_owned(),
        instance_id: call.params.get(1).cloned(),
        version: call.query.get("version").map(str::to_owned),
        tags: Default::default(),
        reuse: wishes.reuse,
        trace_parent: trace::parent(&call.parts.headers),
        input: body::json(call.body, call.settings.payload_limit).await?,
    };
    let id = call.engine.start(request).await?;
    if let Some(timeout) = wishes.wait {
        let waited = tokio::select! {
            biased;
            waited = call.engine.wait(&call.hub, &id, timeout) => waited?,
            // The instance goes on without this process; its links say where to ask.
            () = call.stopping.begun() => Waited::StillRunning,
        };
        if let Waited::Ended(view) = waited {
            return Ok(ended(&view));
        }
    }
    Ok(accepted(&links_of(&id)))
}

/// Completed: the bare output. Otherwise: what the status route answers, without its failure flag.
fn ended(view: &InstanceView) -> Response {
    match view.record.status {
        Status::Completed => wire::json(StatusCode::OK, &wire::value(view.payloads.output.as_ref())),
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
    headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
    response
}

/// The links of an id that is not known yet, from a request whose body is still to be read.
fn link_maker(base: Base, call: &Call) -> impl Fn(&str) -> Links + use<> {
    let origin = links::origin(&call.settings, &call.parts);
    let (hub, connection) = (call.hub.clone(), call.query.connection().to_owned());
    let failure_flag = call.query.flag("returninternalservererroronfailure", false);
    let codes = call.codes.clone();
    move |id| {
        let (hub, connection, codes) = (&*hub, connection.as_str(), codes.as_ref());
        Links::new(id, &LinkParts { origin: &origin, base, hub, connection, failure_flag, codes })
    }
}

fn reuse(query: &Query) -> Result<Reuse, ApiError> {
    match query.filled("reuse").map(str::to_ascii_lowercase).as_deref() {
        None | Some("terminal") => Ok(Reuse::Terminal),
        Some("never") => Ok(Reuse::Never),
        Some(other) => Err(ApiError::BadRequest(format!("reuse is 'never' or 'terminal', not '{other}'."))),
    }
}

/// How long to wait: only when both parameters parse; one alone is a plain start. The interval is only checked, since
/// nothing is polled.
fn wait_time(query: &Query) -> Result<Option<std::time::Duration>, ApiError> {
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
    use std::time::Duration;

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
    fn reuse_has_two_values() {
        assert!(matches!(reuse(&Query::parse("")), Ok(Reuse::Terminal)));
        assert!(matches!(reuse(&Query::parse("reuse=Never")), Ok(Reuse::Never)));
        assert!(matches!(reuse(&Query::parse("reuse=sometimes")), Err(ApiError::BadRequest(_))));
    }
}
