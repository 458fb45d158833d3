//! `/admin/hubs`: create, show, list and delete task hubs.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{AdminError, ApiError};
use super::{Call, wire};
use crate::engine::HubError;
use crate::store::{HubRecord, HubState};

/// A hub in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hub)]
pub(super) struct HubView {
    name: String,
    /// `open` or `deleting`.
    state: &'static str,
    /// When it was created; null: it is older than the records of hubs.
    created: Option<String>,
    /// How many keys it has.
    keys: usize,
}

impl HubView {
    fn new(hub: &HubRecord) -> Self {
        Self {
            name: hub.name.to_string(),
            state: match hub.state {
                HubState::Open => "open",
                HubState::Deleting => "deleting",
            },
            created: hub.created.map(wire::ticks),
            keys: hub.keys.len(),
        }
    }
}

/// All hubs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hubs)]
pub(super) struct HubList {
    hubs: Vec<HubView>,
}

/// A hub, with what it has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HubDetail)]
pub(super) struct HubDetail {
    #[serde(flatten)]
    hub: HubView,
    usage: Usage,
}

/// What a hub has.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubUsage)]
struct Usage {
    /// Instances that have not ended.
    open_instances: u64,
    /// All instances.
    instances: u64,
    /// Apps.
    apps: u64,
    /// Bytes of the components of all their versions.
    component_bytes: u64,
}

/// Lists all hubs.
#[utoipa::path(
    get,
    path = "/admin/hubs",
    operation_id = "hubs",
    tag = "administration",
    responses((status = 200, description = "All hubs, by name.", body = HubList)),
)]
pub(super) fn list(call: &Call) -> Response {
    let hubs = call.engine.hubs().iter().map(|hub| HubView::new(hub)).collect();
    wire::json(StatusCode::OK, &HubList { hubs })
}

/// Creates a hub.
#[utoipa::path(
    put,
    path = "/admin/hubs/{hub}",
    operation_id = "createHub",
    tag = "administration",
    params(("hub" = String, Path, pattern = "^[a-zA-Z][a-zA-Z0-9]{2,44}$", description = "The task hub.")),
    responses(
        (status = 200, description = "It exists already, and stays as it is.", body = HubView),
        (status = 201, description = "Created, durably.", body = HubView),
        (status = 400, description = "A bad name.", body = AdminError),
        (status = 409, description = "A hub of this name is being deleted.", body = AdminError),
    ),
)]
pub(super) async fn put(call: Call) -> Result<Response, ApiError> {
    let (hub, is_new) = call.engine.create_hub(&call.hub).await?;
    Ok(wire::json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &HubView::new(&hub)))
}

/// Shows a hub and what it has.
#[utoipa::path(
    get,
    path = "/admin/hubs/{hub}",
    operation_id = "hub",
    tag = "administration",
    params(("hub" = String, Path, description = "The task hub.")),
    responses(
        (status = 200, description = "The hub.", body = HubDetail),
        (status = 400, description = "A bad name of a hub.", body = AdminError),
        (status = 404, description = "No such hub.", body = AdminError),
    ),
)]
pub(super) async fn get(call: Call) -> Result<Response, ApiError> {
    let counts = call.engine.counts(&call.hub).await?.all();
    let (apps, component_bytes) = call.engine.deployed(&call.hub);
    let usage = Usage { open_instances: counts.open(), instances: counts.total(), apps, component_bytes };
    Ok(wire::json(StatusCode::OK, &HubDetail { hub: HubView::new(&call.record), usage }))
}

/// Deletes a hub with all that it has.
///
/// From the answer on it takes nothing any more; what it has is removed in the background, and the hub is shown as
/// `deleting` until all is gone.
#[utoipa::path(
    delete,
    path = "/admin/hubs/{hub}",
    operation_id = "deleteHub",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("force" = Option<bool>, Query, description = "Delete it although instances of it have not ended. Default: false."),
    ),
    responses(
        (status = 202, description = "It is being deleted, also if it was already. Empty."),
        (status = 400, description = "A bad name of a hub, or the hub `default`, which stays.", body = AdminError),
        (status = 404, description = "No such hub.", body = AdminError),
        (status = 409, description = "Instances of it have not ended; the text says how many.", body = AdminError),
    ),
)]
pub(super) async fn delete(call: Call) -> Result<Response, ApiError> {
    call.engine.delete_hub(&call.hub, call.query.flag("force", false)).await?;
    Ok(wire::empty(StatusCode::ACCEPTED))
}

impl From<HubError> for ApiError {
    fn from(error: HubError) -> Self {
        let message = error.to_string();
        let (status, code) = match error {
            HubError::Unknown(_) => (StatusCode::NOT_FOUND, "no-such-hub"),
            HubError::Deleting(_) => (StatusCode::CONFLICT, "hub-deleting"),
            HubError::Default => (StatusCode::BAD_REQUEST, "default-hub"),
            HubError::Busy { .. } => (StatusCode::CONFLICT, "hub-busy"),
            HubError::Store(error) => return Self::Store(error),
        };
        Self::Admin { status, code, message }
    }
}
