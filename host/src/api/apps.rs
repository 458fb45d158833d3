//! `PUT` and `GET /admin/hubs/{hub}/apps/{app}`: deploy a component, see what is deployed.
//!
//! A `PUT` that changes the app's current version answers 201, one of the version that is current already 200 with
//! `"changed": false`. Errors are `{"error": {"code", "message"}}`: 400 says what is wrong with the component, 409
//! names the app that has a function of the same name, 413 the limit.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::error::ApiError;
use super::query::Query;
use super::{Call, body, wire};
use crate::engine::OptionChanges;
use crate::store::{AppRecord, Digest, FunctionKind};

/// An app's version, as the administration shows it.
#[derive(Debug, Serialize)]
struct AppView {
    app: String,
    hub: String,
    digest: String,
    version: Option<String>,
    functions: Vec<FunctionView>,
    imports: Vec<String>,
    size: u64,
    sdk: String,
    deployed: String,
    #[serde(rename = "completeEarly")]
    completes_early: bool,
    activities: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
}

#[derive(Debug, Serialize)]
struct FunctionView {
    name: String,
    kind: &'static str,
}

pub(super) async fn put(call: Call) -> Result<Response, ApiError> {
    let app = app_name(&call)?;
    let limit = call.settings.component_limit;
    let options = options(&call.query)?;
    let component = match body::component(call.body, limit).await {
        Err(ApiError::BodyTooLarge { limit }) => return Err(too_large(limit)),
        other => other?,
    };
    let deployed = call.engine.deploy(&call.hub, &app, component, options).await?;
    let record = call.engine.app(&call.hub, &app).ok_or_else(|| no_such_app(&call.hub, &app))?;
    let view = view(&record, deployed.digest, Some(deployed.changed)).ok_or_else(|| no_such_app(&call.hub, &app))?;
    Ok(wire::json(if deployed.changed { StatusCode::CREATED } else { StatusCode::OK }, &view))
}

pub(super) fn get(call: &Call) -> Result<Response, ApiError> {
    let app = app_name(call)?;
    let missing = || no_such_app(&call.hub, &app);
    let record = call.engine.app(&call.hub, &app).ok_or_else(missing)?;
    let view = view(&record, record.current, None).ok_or_else(missing)?;
    Ok(wire::json(StatusCode::OK, &view))
}

fn view(record: &AppRecord, digest: Digest, changed: Option<bool>) -> Option<AppView> {
    let version = record.versions.iter().find(|version| version.digest == digest)?;
    let function = |(kind, name): &(FunctionKind, String)| FunctionView { name: name.clone(), kind: kind_name(*kind) };
    Some(AppView {
        app: record.name.clone(),
        hub: record.hub.to_string(),
        digest: digest.to_string(),
        version: version.label.clone(),
        functions: version.functions.iter().map(function).collect(),
        imports: version.imports.clone(),
        size: version.size,
        sdk: version.sdk.clone(),
        deployed: wire::ticks(version.deployed),
        completes_early: record.options.completes_early,
        activities: if record.options.current_activities { "current" } else { "pinned" },
        changed,
    })
}

fn kind_name(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::Orchestrator => "orchestrator",
        FunctionKind::Activity => "activity",
    }
}

/// `completeEarly=true|false` and `activities=pinned|current`; what is not said stays as it is.
fn options(query: &Query) -> Result<OptionChanges, ApiError> {
    let bad = |message: String| ApiError::Admin { status: StatusCode::BAD_REQUEST, code: "bad-option", message };
    let completes_early = match query.filled("completeearly").map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => return Err(bad(format!("completeEarly is true or false, not '{other}'."))),
    };
    let current_activities = match query.filled("activities").map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("current") => Some(true),
        Some("pinned") => Some(false),
        Some(other) => return Err(bad(format!("activities is 'pinned' or 'current', not '{other}'."))),
    };
    Ok(OptionChanges { completes_early, current_activities })
}

/// The path's app, if its name has the form `[a-z0-9][a-z0-9-]{0,62}`.
fn app_name(call: &Call) -> Result<String, ApiError> {
    let name = call.param(1);
    if is_app_name(name) {
        return Ok(name.to_owned());
    }
    Err(ApiError::Admin {
        status: StatusCode::BAD_REQUEST,
        code: "bad-app-name",
        message: format!(
            "'{name}' is no name of an app: 1 to 63 lowercase letters, digits and hyphens, not beginning with a hyphen."
        ),
    })
}

fn is_app_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || byte == b'-')
        && name.bytes().next().is_some_and(plain)
}

fn no_such_app(hub: &str, app: &str) -> ApiError {
    ApiError::Admin {
        status: StatusCode::NOT_FOUND,
        code: "no-such-app",
        message: format!("The hub '{hub}' has no app '{app}'."),
    }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::Admin {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: "component-too-large",
        message: format!("The component is larger than the limit of {limit} bytes."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names() {
        for name in ["a", "0", "hello-cities", "a-"] {
            assert!(is_app_name(name), "{name}");
        }
        for name in ["", "-a", "Hello", "a_b", "ä", &"a".repeat(64)] {
            assert!(!is_app_name(name), "{name}");
        }
    }
}
