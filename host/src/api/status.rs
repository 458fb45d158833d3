//! Route 2: the status of one instance (http-api.md 4).

use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use durawasm_core::Status;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::ApiError;
use super::history::{self, Detail, Event};
use super::query::Query;
use super::schema::HistoryEvent;
use super::{Call, links, wire};
use crate::engine::{InstanceView, Parts};

/// What a status shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    input: bool,
    history: bool,
    history_output: bool,
}

impl Default for Shown {
    fn default() -> Self {
        Self { input: true, history: false, history_output: false }
    }
}

impl Shown {
    /// What a list shows: no history, and the input unless it is not wanted.
    pub(super) fn in_list(input: bool) -> Self {
        Self { input, ..Self::default() }
    }

    fn of(query: &Query) -> Self {
        Self {
            input: query.flag("showinput", true),
            history: query.flag("showhistory", false),
            history_output: query.flag("showhistoryoutput", false),
        }
    }
}

/// The status object. Clients refuse it without `input`, `customStatus` and `output`, so these are always there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InstanceStatus)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a> {
    /// The orchestrator function.
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The version label.
    version: Option<&'a str>,
    instance_id: &'a str,
    /// `Pending`, `Running`, `ContinuedAsNew`, `Suspended`, `Completed`, `Failed`, `Canceled` or `Terminated`.
    runtime_status: &'static str,
    /// Any JSON; null when there is none or it is not shown.
    #[schema(value_type = serde_json::Value)]
    input: Box<RawValue>,
    /// Any JSON that the function set.
    #[schema(value_type = serde_json::Value)]
    custom_status: Box<RawValue>,
    /// Any JSON. Failed: the error's text. Terminated: the reason. Suspended: the reason.
    #[schema(value_type = serde_json::Value)]
    output: Box<RawValue>,
    /// UTC, whole seconds.
    created_time: String,
    /// UTC, whole seconds: the last commit.
    last_updated_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<HistoryEvent>>)]
    history_events: Option<Vec<Event>>,
}

/// Shows an instance.
#[utoipa::path(
    get,
    path = "/runtime/webhooks/durabletask/instances/{id}",
    operation_id = "status",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance."),
        ("showHistory" = Option<bool>, Query, description = "Adds `historyEvents`. Default: false."),
        ("showHistoryOutput" = Option<bool>, Query, description = "Adds `Result` to the events. Default: false."),
        ("showInput" = Option<bool>, Query, description = "Shows inputs. Default: true."),
        ("returnInternalServerErrorOnFailure" = Option<bool>, Query, description = "500 instead of 200 when the instance \
            has failed. Default: false."),
    ),
    responses(
        (status = 200, description = "The instance has ended.", body = Envelope),
        (status = 202, description = "The instance goes on.", body = Envelope, headers(
            ("Location" = String, description = "The request's own URL."),
            ("Retry-After" = u32, description = "5."))),
        (status = 404, description = "No such instance. Empty."),
        (status = 500, description = "The instance has failed and `returnInternalServerErrorOnFailure` was asked for: \
            the status object.", body = Envelope),
    ),
)]
pub(super) async fn status(call: Call) -> Result<Response, ApiError> {
    let shown = Shown::of(&call.query);
    let parts = Parts { payloads: true, history: shown.history };
    let view = call.engine.instance(&call.hub, call.param(0), parts).await?.ok_or(ApiError::NoSuchInstance)?;
    let failure_flag = call.query.flag("returninternalservererroronfailure", false);
    let code = code(view.record.status, failure_flag);
    let mut response = wire::json(code, &envelope(&view, shown));
    if code == StatusCode::ACCEPTED {
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        if let Ok(location) = HeaderValue::from_str(&own_url(&call)) {
            headers.insert(LOCATION, location);
        }
    }
    Ok(response)
}

/// The status object of an instance.
pub(super) fn envelope(view: &InstanceView, shown: Shown) -> Envelope<'_> {
    let record = &view.record;
    // An instance that has not run has no history to show, whatever is asked for (http-api.md 5).
    let history = shown.history && record.status != Status::Pending;
    let detail = Detail { input: shown.input, output: shown.history_output };
    Envelope {
        name: &record.name,
        version: record.version.as_deref(),
        instance_id: &record.id,
        runtime_status: record.status.name(),
        input: wire::value(view.payloads.input.as_ref().filter(|_| shown.input)),
        custom_status: wire::value(view.payloads.custom_status.as_ref()),
        output: wire::value(view.payloads.output.as_ref()),
        created_time: wire::seconds(record.created),
        last_updated_time: wire::seconds(record.updated),
        parent_instance_id: record.parent_instance_id.as_deref(),
        history_events: history.then(|| history::shape(&view.history, detail)),
    }
}

fn code(status: Status, failure_flag: bool) -> StatusCode {
    match status {
        Status::Pending | Status::Running | Status::ContinuedAsNew | Status::Suspended => StatusCode::ACCEPTED,
        Status::Failed if failure_flag => StatusCode::INTERNAL_SERVER_ERROR,
        Status::Completed | Status::Canceled | Status::Terminated | Status::Failed => StatusCode::OK,
    }
}

/// The request's own URL with its query.
fn own_url(call: &Call) -> String {
    let path = call.parts.uri.path_and_query().map_or("", |path| path.as_str());
    format!("{}{path}", links::origin(&call.settings, &call.parts))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{Digest, InstanceNumber, InstanceRecord, Payloads};

    fn view(status: Status) -> InstanceView {
        InstanceView {
            record: InstanceRecord {
                hub: Arc::from("default"),
                id: Arc::from("i-1"),
                number: InstanceNumber(1),
                revision: 1,
                name: "Hello".to_owned(),
                status,
                created: "2026-05-04T03:02:01.5Z".parse().unwrap(),
                updated: "2026-05-04T03:02:02Z".parse().unwrap(),
                version: None,
                app: "hello".to_owned(),
                digest: Digest([0; 32]),
                execution_id: "e".to_owned(),
                generation: 0,
                parent_instance_id: None,
                tags: Default::default(),
                ready: false,
            },
            payloads: Payloads { input: Some("{\"a\": 1}".into()), output: None, custom_status: Some("oops".into()) },
            history: Vec::new(),
        }
    }

    #[test]
    fn fields_have_their_order_and_nulls_stay() {
        let text = serde_json::to_string(&envelope(&view(Status::Running), Shown::default())).unwrap();
        assert_eq!(
            text,
            r#"{"name":"Hello","instanceId":"i-1","runtimeStatus":"Running","input":{"a": 1},"customStatus":"oops","output":null,"createdTime":"2026-05-04T03:02:01Z","lastUpdatedTime":"2026-05-04T03:02:02Z"}"#
        );
    }

    #[test]
    fn input_can_be_hidden_and_history_asked_for() {
        let shown = Shown { input: false, history: true, history_output: false };
        let json = serde_json::to_value(envelope(&view(Status::Running), shown)).unwrap();
        assert!(json["input"].is_null());
        assert_eq!(json["historyEvents"], serde_json::json!([]));
        let json = serde_json::to_value(envelope(&view(Status::Pending), shown)).unwrap();
        assert!(json.get("historyEvents").is_none());
    }

    #[test]
    fn codes() {
        for status in Status::ALL {
            let expected = if status.is_terminal() { StatusCode::OK } else { StatusCode::ACCEPTED };
            assert_eq!(code(status, false), expected);
        }
        assert_eq!(code(Status::Failed, true), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(code(Status::Terminated, true), StatusCode::OK);
    }
}
