//! Routes 9 and 10: rewind what has failed, restart what has ended (http-api.md 8).

use axum::http::StatusCode;
use axum::response::Response;

use super::error::{ApiError, DivergenceBody, ErrorBody};
use super::links::Links;
use super::route::Base;
use super::{Call, messages, start, wire};
use crate::engine::{MoveError, RestartError, SendError, StartError};

/// Lets a failed instance go on from before its failure.
///
/// What had succeeded stays; the failed calls run again, failed sub-orchestrations are rewound. With `version=current` the
/// instance goes on with its app's current version, if that repeats what the rewind keeps; sub-orchestrations keep theirs.
#[utoipa::path(
    post,
    path = "/runtime/webhooks/durabletask/instances/{id}/rewind",
    operation_id = "rewind",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance."),
        ("reason" = Option<String>, Query, description = "Why; shown in the history."),
        ("version" = Option<String>, Query, description = "`current`: goes on with the app's current version. None: with \
            the version it ran on."),
    ),
    responses(
        (status = 202, description = "Accepted, durably. Empty."),
        (status = 400, description = "Another `version` was asked for, or the app is gone.", body = ErrorBody),
        (status = 404, description = "No such instance. Empty."),
        (status = 409, description = "The current version does not repeat what the rewind keeps.", body = DivergenceBody),
        (status = 412, description = "The instance has not failed. A JSON string.", body = String,
            content_type = "application/json"),
    ),
)]
pub(super) async fn rewind(call: Call) -> Result<Response, ApiError> {
    let (id, reason) = (call.param(0), messages::reason(&call));
    match call.query.filled("version").map(|version| (version.eq_ignore_ascii_case("current"), version)) {
        None => match call.engine.rewind(&call.hub, id, reason).await {
            Ok(()) => Ok(wire::empty(StatusCode::ACCEPTED)),
            Err(SendError::NotFailed | SendError::Ended | SendError::Full) => Ok(not_failed()),
            Err(error @ (SendError::Unknown | SendError::NoVersion | SendError::Changed | SendError::Store(_))) => {
                Err(error.into())
            }
        },
        Some((true, _)) => match call.engine.rewind_to_current(&call.hub, id, reason).await {
            Ok(_) => Ok(wire::empty(StatusCode::ACCEPTED)),
            Err(MoveError::NotFailed | MoveError::Ended) => Ok(not_failed()),
            Err(
                error @ (MoveError::Unknown
                | MoveError::UnknownVersion { .. }
                | MoveError::VersionGone
                | MoveError::Child { .. }
                | MoveError::TooMany { .. }
                | MoveError::Diverges { .. }
                | MoveError::Busy
                | MoveError::Check(_)
                | MoveError::Store(_)),
            ) => Err(error.into()),
        },
        Some((false, version)) => Err(ApiError::BadRequest(format!(
            "version={version} is not offered: an instance is rewound on the version it runs on, or with version=current."
        ))),
    }
}

/// The clients expect a JSON string here and no error body.
fn not_failed() -> Response {
    wire::json(StatusCode::PRECONDITION_FAILED, &"Only orchestrations in the \"Failed\" state can be rewound.")
}

/// Starts an instance anew with its name, input and tags, on the app's current version.
#[utoipa::path(
    post,
    path = "/runtime/webhooks/durabletask/instances/{id}/restart",
    operation_id = "restart",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance."),
        ("restartWithNewInstanceId" = Option<bool>, Query, description = "Under a new id. Default: true."),
        ("timeout" = Option<f64>, Query, description = "Seconds to wait for the end; only together with `pollingInterval`."),
        ("pollingInterval" = Option<f64>, Query, description = "Seconds; at most `timeout`."),
    ),
    responses(
        (status = 202, description = "Started, durably.", body = Links, headers(
            ("Location" = String, description = "The status link."),
            ("Retry-After" = u32, description = "10."))),
        (status = 200, description = "Waited for, and ended in time: the bare output when it completed, else the status \
            object.", body = serde_json::Value),
        (status = 400, description = "No such instance; its function is gone; `pollingInterval` larger than `timeout`.",
            body = ErrorBody),
        (status = 409, description = "The id is to be kept, and the instance has not ended.", body = ErrorBody),
    ),
)]
pub(super) async fn restart(base: Base, call: Call) -> Result<Response, ApiError> {
    let fresh_id = call.query.flag("restartwithnewinstanceid", true);
    let wait = start::wait_time(&call.query)?;
    let links_of = start::link_maker(base, &call);
    let id = call.engine.restart(&call.hub, call.param(0), fresh_id).await.map_err(|error| match error {
        RestartError::Unknown => {
            ApiError::BadRequest("InstanceId does not match a valid orchestration instance.".to_owned())
        }
        RestartError::Start(StartError::Exists { .. }) => {
            ApiError::Conflict("A non-terminal instance with this instance ID already exists.".to_owned())
        }
        RestartError::Start(error) => error.into(),
    })?;
    start::started((&call.engine, &call.stopping), &call.hub, (&id, wait), &links_of).await
}
