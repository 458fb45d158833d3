//! Routes 4 and 5: removing instances (http-api.md 7).

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::error::ApiError;
use super::{Call, list, wire};
use crate::engine::PurgeOptions;
use crate::store::Filter;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Purged {
    instances_deleted: u64,
}

fn purged(instances_deleted: u64) -> Response {
    wire::json(StatusCode::OK, &Purged { instances_deleted })
}

pub(super) async fn one(call: Call) -> Result<Response, ApiError> {
    let flag = |name| call.query.flag(name, false);
    let options = PurgeOptions { force: flag("force"), recursive: flag("recursive") };
    Ok(purged(call.engine.purge(&call.hub, call.param(0), options).await?))
}

/// The filters of a list that are not documented here narrow a purge as well: whoever sends them does not want more to
/// go than they name.
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
