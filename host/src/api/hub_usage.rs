//! `GET /admin/hubs/{hub}/usage`: what a hub uses, and what it may.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::config::LimitsView;
use super::error::{AdminError, ApiError};
use super::{Call, wire};
use crate::engine::Rates;
use crate::store::HubLimits;

/// What a hub has now and what it has used since it was created.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubMeters)]
pub(super) struct UsageView {
    hub: String,
    now: Now,
    used: Used,
    quotas: Quotas,
    limits: LimitsView,
}

/// Each limit with what the hub has of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubQuotas)]
struct Quotas {
    open_instances: Quota,
    starts_per_second: Quota,
    requests_per_second: Quota,
    apps: Quota,
    component_bytes: Quota,
    concurrent_activities: Quota,
    stored_bytes: Quota,
    fuel_per_second: Quota,
    memory_bytes: Quota,
    connections_per_second: Quota,
    egress_bytes_per_second: Quota,
}

/// A limit of a hub.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubQuota)]
struct Quota {
    /// What it has now; of a limit per second what was taken and has not flowed back, and null without a limit.
    used: Option<u64>,
    /// What it may have; null: as much as there is.
    limit: Option<u64>,
}

impl Quotas {
    fn new(now: &Now, rates: Rates, limits: HubLimits) -> Self {
        let quota = |used, limit| Quota { used, limit };
        Self {
            open_instances: quota(Some(now.open_instances), limits.open_instances),
            starts_per_second: quota(rates.starts, limits.starts_per_second),
            requests_per_second: quota(rates.requests, limits.requests_per_second),
            apps: quota(Some(now.apps), limits.apps),
            component_bytes: quota(Some(now.component_bytes), limits.component_bytes),
            concurrent_activities: quota(Some(now.running_activities as u64), limits.concurrent_activities),
            stored_bytes: quota(Some(now.stored_bytes), limits.stored_bytes),
            fuel_per_second: quota(rates.fuel, limits.fuel_per_second),
            memory_bytes: quota(Some(now.memory_bytes), limits.memory_bytes),
            connections_per_second: quota(rates.connections, limits.connections_per_second),
            egress_bytes_per_second: quota(rates.egress_bytes, limits.egress_bytes_per_second),
        }
    }
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
    /// Bytes of memory of its guests, those that wait in memory included.
    memory_bytes: u64,
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
    /// Memory of guests times how long they had it, in MiB-milliseconds: of orchestrators also while they wait in memory,
    /// charged when they go on or are dropped. A crash loses what was not charged by then.
    memory_mebibyte_milliseconds: u64,
    /// Requests, those that were refused for a limit among them. A crash may lose those of the last 5 seconds.
    requests: u64,
    /// Connections to the outside: HTTP calls of orchestrators, requests and TCP connections of activities and functions. A
    /// crash may lose those of the last 5 seconds.
    connections: u64,
    /// Bytes sent and received on these connections, without what TLS adds. A crash may lose those of the last 5 seconds.
    egress_bytes: u64,
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
    let (used, rates, limits) = (usage.used, call.engine.rates(&call.hub), call.record.config.limits);
    let now = Now {
        open_instances: counts.open(),
        instances: counts.total(),
        stored_bytes: usage.stored_bytes,
        apps,
        component_bytes,
        running_activities,
        running_functions,
        memory_bytes: rates.memory,
    };
    let view = UsageView {
        hub: call.hub.to_string(),
        quotas: Quotas::new(&now, rates, limits),
        now,
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
            connections: used.connections,
            egress_bytes: used.egress_bytes,
        },
        limits: LimitsView::new(limits),
    };
    Ok(wire::json(StatusCode::OK, &view))
}
