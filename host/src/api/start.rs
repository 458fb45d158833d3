//! Route 1: start an instance, and wait for it when asked to (http-api.md 3).

use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use durawasm_core::{Payload, Status};

use super::error::ApiError;
use super::links::{self, LinkParts, Links};
use super::query::Query;
use super::route::Base;
use super::status::{self, Shown};
use super::{Call, body, wire};
use crate::engine::client::LONGEST_WAIT;
use crate::engine::{InstanceView, StartRequest, Waited};
use crate::store::Reuse;

/// What of the query decides, checked before anything is started.
struct Wishes {
    reuse: Reuse,
    wait: Option<std::time::Duration>,
}

pub(super) async fn start(base: Base, call: Call) -> Result<Response, ApiError> {
    let wishes = Wishes { reuse: reuse(&call.query)?, wait: wait_time(&call.query)? };
    let links_of = link_maker(base, &call);
    let trace_parent = call.parts.headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let request = StartRequest {
        hub: call.hub.clone(),
        function: call.param(0).to_owned(),
        instance_id: call.params.get(1).cloned(),
        version: call.query.get("version").map(str::to_owned),
        tags: Default::default(),
        reuse: wishes.reuse,
        trace_parent,
        input: body::json(call.body, call.settings.payload_limit).await?,
    };
    let id = call.engine.start(request).await?;
    let Some(timeout) = wishes.wait else { return Ok(accepted(&links_of(&id))) };
    match call.engine.wait(&call.hub, &id, timeout).await? {
        Waited::Completed(output) => Ok(completed(output.as_ref())),
        Waited::Ended(view) => Ok(ended(&view)),
        Waited::StillRunning | Waited::Unknown => Ok(accepted(&links_of(&id))),
    }
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
    headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
    response
}

/// The links of an id that is not known yet, from a request whose body is still to be read.
fn link_maker(base: Base, call: &Call) -> impl Fn(&str) -> Links + use<> {
    let origin = links::origin(&call.settings, &call.parts);
    let (hub, connection) = (call.hub.clone(), call.query.connection().to_owned());
    let failure_flag = call.query.flag("returninternalservererroronfailure", false);
    move |id| Links::new(id, &LinkParts { origin: &origin, base, hub: &hub, connection: &connection, failure_flag })
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
