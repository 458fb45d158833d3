//! `/admin/hubs/{hub}/apps`: all apps of a hub, their versions, which of them is current, and the end of an app.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::apps::{AppView, Viewpoint, app_name, no_such_app, view};
use super::error::{AdminError, ApiError};
use super::{Call, wire};
use crate::engine::{AppError, Needs};
use crate::store::{AppRecord, Digest};

/// Digits of a digest that are enough to name a version.
const SHORTEST_DIGEST: usize = 8;

/// The apps of a hub.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Apps)]
pub(super) struct AppList {
    apps: Vec<AppView>,
}

/// The versions of an app.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Versions)]
pub(super) struct VersionList {
    app: String,
    hub: String,
    /// Oldest first.
    versions: Vec<VersionView>,
}

/// A version of an app.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
struct VersionView {
    /// The SHA-256 of the component.
    digest: String,
    /// Its label.
    version: Option<String>,
    /// Whether new instances take it.
    current: bool,
    deployed: String,
    /// Bytes of the component.
    size: u64,
    instances: NeedsView,
}

/// How many instances need a version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Needs)]
struct NeedsView {
    /// That have not ended.
    open: u64,
    /// That have failed and could be rewound.
    failed: u64,
}

fn versions(record: &AppRecord, needs: &BTreeMap<Digest, Needs>) -> Vec<VersionView> {
    let one = |version: &crate::store::AppVersion| {
        let Needs { open, failed } = needs.get(&version.digest).copied().unwrap_or_default();
        VersionView {
            digest: version.digest.to_string(),
            version: version.label.clone(),
            current: version.digest == record.current,
            deployed: wire::ticks(version.deployed),
            size: version.size,
            instances: NeedsView { open, failed },
        }
    };
    record.versions.iter().map(one).collect()
}

/// Lists the apps of a hub with their current versions.
#[utoipa::path(
    get,
    path = "/admin/hubs/{hub}/apps",
    operation_id = "apps",
    tag = "administration",
    params(("hub" = String, Path, description = "The task hub.")),
    responses(
        (status = 200, description = "The apps, by name.", body = AppList),
        (status = 400, description = "A bad name of a hub.", body = AdminError),
        (status = 404, description = "No such hub.", body = AdminError),
    ),
)]
pub(super) fn list(call: &Call) -> Response {
    let (from, apps) = (Viewpoint::of(call), call.engine.apps(&call.hub));
    let apps = apps.iter().filter_map(|record| view(&from, record, record.current, None)).collect();
    wire::json(StatusCode::OK, &AppList { apps })
}

/// Lists the versions of an app, with how many instances need each.
#[utoipa::path(
    get,
    path = "/admin/hubs/{hub}/apps/{app}/versions",
    operation_id = "versions",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("app" = String, Path, description = "The app."),
    ),
    responses(
        (status = 200, description = "The versions. One that is not current and that no instance needs is removed after a \
            while.", body = VersionList),
        (status = 400, description = "A bad name of a hub or an app.", body = AdminError),
        (status = 404, description = "No such hub, or no such app.", body = AdminError),
    ),
)]
pub(super) async fn versions_of(call: Call) -> Result<Response, ApiError> {
    let app = app_name(&call)?;
    let record = call.engine.app(&call.hub, &app).ok_or_else(|| no_such_app(&call.hub, &app))?;
    let needs = call.engine.needs(&call.hub, &app).await?;
    let list = VersionList { app, hub: call.hub.to_string(), versions: versions(&record, &needs) };
    Ok(wire::json(StatusCode::OK, &list))
}

/// Makes a version current: new instances take it, running ones keep theirs.
#[utoipa::path(
    post,
    path = "/admin/hubs/{hub}/apps/{app}/versions/{digest}/activate",
    operation_id = "activate",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("app" = String, Path, description = "The app."),
        ("digest" = String, Path, description = "The version, or the first 8 or more digits of it."),
    ),
    responses(
        (status = 200, description = "It is current, durably.", body = AppView),
        (status = 400, description = "A bad name of a hub or an app.", body = AdminError),
        (status = 404, description = "No such hub, app or version.", body = AdminError),
        (status = 409, description = "Another app of the hub has one of its functions by now.", body = AdminError),
    ),
)]
pub(super) async fn activate(call: Call) -> Result<Response, ApiError> {
    let app = app_name(&call)?;
    let from = Viewpoint::of(&call);
    let wanted = call.param(2).to_ascii_lowercase();
    let record = call.engine.app(&call.hub, &app).ok_or_else(|| no_such_app(&call.hub, &app))?;
    let named = |digest: &Digest| wanted.len() >= SHORTEST_DIGEST && digest.to_string().starts_with(&wanted);
    let mut found = record.versions.iter().map(|version| version.digest).filter(named);
    let (Some(digest), None) = (found.next(), found.next()) else {
        return Err(AppError::UnknownVersion { app, version: wanted }.into());
    };
    let changed = call.engine.activate(&call.hub, &app, digest).await?;
    let missing = || no_such_app(&call.hub, &app);
    let record = call.engine.app(&call.hub, &app).ok_or_else(missing)?;
    let view = view(&from, &record, digest, Some(changed)).ok_or_else(missing)?;
    Ok(wire::json(StatusCode::OK, &view))
}

/// Removes an app with all its versions.
///
/// Its instances that have ended stay, and can still be looked at; those that have failed cannot be rewound any more.
#[utoipa::path(
    delete,
    path = "/admin/hubs/{hub}/apps/{app}",
    operation_id = "deleteApp",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("app" = String, Path, description = "The app."),
        ("force" = Option<bool>, Query, description = "Terminate its instances that have not ended. Default: false."),
    ),
    responses(
        (status = 204, description = "Removed, durably. Empty."),
        (status = 400, description = "A bad name of a hub or an app.", body = AdminError),
        (status = 404, description = "No such hub, or no such app.", body = AdminError),
        (status = 409, description = "Instances of it have not ended; the text says how many.", body = AdminError),
    ),
)]
pub(super) async fn delete(call: Call) -> Result<Response, ApiError> {
    let app = app_name(&call)?;
    call.engine.delete_app(&call.hub, &app, call.query.flag("force", false)).await?;
    Ok(wire::empty(StatusCode::NO_CONTENT))
}

impl From<AppError> for ApiError {
    fn from(error: AppError) -> Self {
        let message = error.to_string();
        let (status, code) = match error {
            AppError::Unknown { .. } => (StatusCode::NOT_FOUND, "no-such-app"),
            AppError::UnknownVersion { .. } => (StatusCode::NOT_FOUND, "no-such-version"),
            AppError::Taken(_) => (StatusCode::CONFLICT, "function-taken"),
            AppError::Needed { .. } => (StatusCode::CONFLICT, "app-needed"),
            AppError::Hub(error) => return error.into(),
            AppError::Store(error) => return Self::Store(error),
        };
        Self::Admin { status, code, message }
    }
}
