//! Routes 4 and 5: removing instances (http-api.md 7).

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use super::{Call, list, wire};
use crate::engine::PurgeOptions;
use crate::store::Filter;

/// How many instances were removed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Purged {
    instances_deleted: u64,
}

fn purged(instances_deleted: u64) -> Response {
    wire::json(StatusCode::OK, &Purged { instances_deleted })
}

/// Removes an instance that has ended.
#[utoipa::path(
    delete,
    path = "/runtime/webhooks/durabletask/instances/{id}",
    operation_id = "purge",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance."),
        ("recursive" = Option<bool>, Query, description = "Removes its ended sub-orchestrations, too. Default: false."),
        ("force" = Option<bool>, Query, description = "Terminates it first. Default: false."),
    ),
    responses(
        (status = 200, description = "Removed, durably.", body = Purged),
        (status = 404, description = "No such instance. Empty."),
        (status = 409, description = "The instance has not ended.", body = ErrorBody),
    ),
)]
pub(super) async fn one(call: Call) -> Result<Response, ApiError> {
    let flag = |name| call.query.flag(name, false);
    let options = PurgeOptions { force: flag("force"), recursive: flag("recursive") };
    Ok(purged(call.engine.purge(&call.hub, call.param(0), options).await?))
}

/// Removes the instances that match and have ended.
#[utoipa::path(
    delete,
    path = "/runtime/webhooks/durabletask/instances",
    operation_id = "purgeMany",
    tag = "instances",
    params(
        ("createdTimeFrom" = Option<String>, Query, description = "ISO 8601, inclusive. Needed."),
        ("createdTimeTo" = Option<String>, Query, description = "ISO 8601, inclusive. Default: now."),
        ("runtimeStatus" = Option<String>, Query, description = "Names or numbers, separated by commas; unknown ones are \
            dropped."),
        ("name" = Option<String>, Query, description = "The orchestrator function."),
        ("instanceIdPrefix" = Option<String>, Query, description = "The beginning of the id."),
        ("recursive" = Option<bool>, Query, description = "Removes their ended sub-orchestrations, too. Default: false."),
    ),
    responses(
        (status = 200, description = "Removed, durably.", body = Purged),
        (status = 400, description = "`createdTimeFrom` is missing or cannot be read, or `force` was asked for. A JSON \
            string, or the error.", body = serde_json::Value),
        (status = 404, description = "Nothing matches. Empty."),
    ),
)]
// The filters of a list that the original has not narrow a purge as well: whoever sends them does not want more to go
// than they name.
pub(super) async fn many(call: Call) -> Result<Response, ApiError> {
    let asked = list::filter(&call.query);
    if asked.created_from.is_none() {
        return Err(ApiError::BareText("Please provide value for 'createdTimeFrom' parameter."));
    }
    let to = asked.created_to.unwrap_or_else(|| call.engine.now());
    let filter = Filter { created_to: Some(to), ..asked };
    match call.engine.purge_many(&call.hub, &filter, call.query.flag("recursive", false)).await? {
        0 => Err(ApiError::NothingFits),
        count => Ok(purged(count)),
    }
}
