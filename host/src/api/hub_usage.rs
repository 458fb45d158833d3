//! `GET /admin/hubs/{hub}/usage`: what a hub uses, and what it may.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::config::LimitsView;
use super::error::{AdminError, ApiError};
use super::{Call, wire};

/// What a hub has now and what it has used since it was created.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubMeters)]
pub(super) struct UsageView {
    hub: String,
    now: Now,
    used: Used,
    limits: LimitsView,
}

/// What a hub has now. Exact, also after a crash.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubNow)]
struct Now {
    /// Instances that have not ended.
    open_instances: u64,
    /// All instances.
    instances: u64,
    /// Bytes of histories, inputs, outputs and custom statuses.
    stored_bytes: u64,
    /// Apps.
    apps: u64,
    /// Bytes of the components of all their versions.
    component_bytes: u64,
    /// Activities and HTTP calls of orchestrators that run.
    running_activities: usize,
    /// HTTP, manual and timer functions that run.
    running_functions: usize,
}

/// Sums since the hub was created.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubUsed)]
struct Used {
    /// Fuel of all guests: about an instruction each. Replays are not counted.
    fuel: u64,
    /// Of these, that of orchestrators. Charged with the commit that saves an episode: exactly once.
    orchestrator_fuel: u64,
    /// That of activities. Charged with the commit that takes the outcome: exactly once.
    activity_fuel: u64,
    /// That of HTTP, manual and timer functions. A crash may lose that of the last 5 seconds.
    function_fuel: u64,
    /// Attempts of activities whose outcome was taken, HTTP calls of orchestrators among them.
    activities: u64,
    /// How long they ran, in microseconds.
    activity_microseconds: u64,
    /// Calls of HTTP, manual and timer functions. A crash may lose those of the last 5 seconds.
    functions: u64,
    /// How long they ran, in microseconds.
    function_microseconds: u64,
    /// Memory of activities and functions times how long they ran, in MiB-milliseconds.
    memory_mebibyte_milliseconds: u64,
    /// Requests, those that were refused for a limit among them. A crash may lose those of the last 5 seconds.
    requests: u64,
}

/// Shows what a hub uses: what it has now, what it has used since it was created, and its limits.
#[utoipa::path(
    get,
    path = "/admin/hubs/{hub}/usage",
    operation_id = "hubUsage",
    tag = "administration",
    params(("hub" = String, Path, description = "The task hub.")),
    responses(
        (status = 200, description = "The usage.", body = UsageView),
        (status = 400, description = "A bad name of a hub.", body = AdminError),
        (status = 404, description = "No such hub.", body = AdminError),
    ),
)]
pub(super) async fn get(call: Call) -> Result<Response, ApiError> {
    let counts = call.engine.counts(&call.hub).await?.all();
    let usage = call.engine.usage(&call.hub).await?;
    let (apps, component_bytes) = call.engine.deployed(&call.hub);
    let (running_activities, running_functions) = call.engine.running(&call.hub);
    let used = usage.used;
    let view = UsageView {
        hub: call.hub.to_string(),
        now: Now {
            open_instances: counts.open(),
            instances: counts.total(),
            stored_bytes: usage.stored_bytes,
            apps,
            component_bytes,
            running_activities,
            running_functions,
        },
        used: Used {
            fuel: used.fuel(),
            orchestrator_fuel: used.orchestrator_fuel,
            activity_fuel: used.activity_fuel,
            function_fuel: used.function_fuel,
            activities: used.activities,
            activity_microseconds: used.activity_time,
            functions: used.functions,
            function_microseconds: used.function_time,
            memory_mebibyte_milliseconds: used.memory_time,
            requests: used.requests,
        },
        limits: LimitsView::new(call.record.config.limits),
    };
    Ok(wire::json(StatusCode::OK, &view))
}
