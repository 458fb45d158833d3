//! `PUT` and `GET /admin/hubs/{hub}/apps/{app}`: deploy a component, see what is deployed.
//!
//! A `PUT` that changes the app's current version answers 201, one of the version that is current already 200 with
//! `"changed": false`. Errors are `{"error": {"code", "message"}}`: 400 says what is wrong with the component, 409
//! names the app that has a function of the same name, 413 the limit.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::codes::Mint;
use super::error::{AdminError, ApiError, ErrorBody};
use super::query::Query;
use super::{ApiSettings, Call, body, functions, links, moves, wire};
use crate::engine::{Bounds, OptionChanges};
use crate::store::{AppRecord, AuthLevel, Digest, FunctionKind, HttpTrigger, HubRecord, Trigger, TriggerKind};

/// An app's version, as the administration shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = App)]
pub(super) struct AppView {
    app: String,
    hub: String,
    /// The SHA-256 of the component: the version.
    digest: String,
    /// The version's label.
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
    /// Only after a deployment: false when nothing changed.
    changed: Option<bool>,
    /// Only of one app: what its instances on other versions would do on this one. Not there if there were no instances
    /// when it became current, or the server was started since.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<moves::AftermathView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Function)]
struct FunctionView {
    name: String,
    /// `orchestrator`, `activity`, `http`, `manual` or `timer`.
    kind: &'static str,
    /// Of an HTTP function: its route below the prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// Of an HTTP function: the methods it answers; empty: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    methods: Option<Vec<String>>,
    /// Of an HTTP function: `anonymous`, `function` or `admin`.
    #[serde(rename = "authLevel", skip_serializing_if = "Option::is_none")]
    auth_level: Option<&'static str>,
    /// Of an HTTP function: where it is called, `{…}` as in its route. With the code that opens it, if it needs one.
    #[serde(rename = "invokeUrl", skip_serializing_if = "Option::is_none")]
    invoke_url: Option<String>,
    /// Of a timer function: its six fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
}

fn trigger(trigger: &Trigger, url: impl Fn(&str, &HttpTrigger) -> String) -> FunctionView {
    let (kind, http, timer) = match &trigger.kind {
        TriggerKind::Http(http) => ("http", Some(http), None),
        TriggerKind::Manual => ("manual", None, None),
        TriggerKind::Timer(timer) => ("timer", None, Some(timer)),
    };
    FunctionView {
        name: trigger.name.clone(),
        kind,
        route: http.map(|http| http.route.clone()),
        methods: http.map(|http| http.methods.clone()),
        auth_level: http.map(|http| match http.level {
            AuthLevel::Anonymous => "anonymous",
            AuthLevel::Function => "function",
            AuthLevel::Admin => "admin",
        }),
        invoke_url: http.map(|http| url(&trigger.name, http)),
        schedule: timer.map(|timer| timer.schedule.clone()),
    }
}

/// Deploys a component as the app's current version.
///
/// New instances take it; running ones keep theirs.
#[utoipa::path(
    put,
    path = "/admin/hubs/{hub}/apps/{app}",
    operation_id = "deploy",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("app" = String, Path, pattern = "^[a-z0-9][a-z0-9-]{0,62}$", description = "The app."),
        ("completeEarly" = Option<bool>, Query, description = "Whether an orchestrator that has returned is over although \
            activities or sub-orchestrations of it are open. None: as it was, at first false."),
        ("activities" = Option<String>, Query, description = "`pinned` or `current`: on which version instances call \
            functions of their own app. None: as it was, at first pinned."),
        ("check" = Option<bool>, Query, description = "Deploys nothing: runs the component on the histories of the \
            app's instances and answers what it does not repeat, with 200 and a `verdict`. Default: false."),
        ("checkLimit" = Option<u32>, Query, description = "Of a check: how many open instances it looks at, and as many \
            ended ones in all, the last of each orchestrator. At most 1000, by default 100."),
        ("checkSeconds" = Option<f64>, Query, description = "Of a check: how long it may take. At most 60, by default \
            10."),
    ),
    request_body(content_type = "application/wasm", description = "The component, at most 64 MiB."),
    responses(
        (status = 200, description = "This version is the app's current one already.", body = AppView),
        (status = 201, description = "Deployed, durably.", body = AppView),
        (status = 400, description = "Something is wrong with the component, and the text says what; a bad name of a \
            hub or an app.", body = AdminError),
        (status = 404, description = "No such hub.", body = AdminError),
        (status = 408, description = "The body did not arrive within 5 minutes.", body = ErrorBody),
        (status = 409, description = "Another app of the hub has a function of the same name.", body = AdminError),
        (status = 413, description = "The component is larger than 64 MiB, or the hub's limit `componentBytes` has no room.", body = AdminError),
    ),
)]
pub(super) async fn put(call: Call) -> Result<Response, ApiError> {
    let app = app_name(&call)?;
    let limit = call.settings.component_limit;
    let options = options(&call.query)?;
    let from = Viewpoint::of(&call);
    let component = match body::component(call.body, limit).await {
        Err(ApiError::BodyTooLarge { limit }) => return Err(too_large(limit)),
        other => other?,
    };
    if call.query.flag("check", false) {
        let trial = call.engine.try_deploy(&call.hub, &app, component, bounds(&call.query)).await?;
        return Ok(wire::json(StatusCode::OK, &moves::trial(trial)));
    }
    let deployed = call.engine.deploy(&call.hub, &app, component, options).await?;
    let record = call.engine.app(&call.hub, &app).ok_or_else(|| no_such_app(&call.hub, &app))?;
    let view =
        view(&from, &record, deployed.digest, Some(deployed.changed)).ok_or_else(|| no_such_app(&call.hub, &app))?;
    let view =
        AppView { verdict: call.engine.aftermath(&call.hub, &app, deployed.digest).map(moves::aftermath), ..view };
    Ok(wire::json(if deployed.changed { StatusCode::CREATED } else { StatusCode::OK }, &view))
}

/// Shows an app's current version.
#[utoipa::path(
    get,
    path = "/admin/hubs/{hub}/apps/{app}",
    operation_id = "app",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("app" = String, Path, description = "The app."),
    ),
    responses(
        (status = 200, description = "The app.", body = AppView),
        (status = 400, description = "A bad name of a hub or an app.", body = AdminError),
        (status = 404, description = "No such hub, or no such app.", body = AdminError),
    ),
)]
pub(super) fn get(call: &Call) -> Result<Response, ApiError> {
    let app = app_name(call)?;
    let missing = || no_such_app(&call.hub, &app);
    let record = call.engine.app(&call.hub, &app).ok_or_else(missing)?;
    let view = view(&Viewpoint::of(call), &record, record.current, None).ok_or_else(missing)?;
    let verdict = call.engine.aftermath(&call.hub, &app, record.current).map(moves::aftermath);
    let view = AppView { verdict, ..view };
    Ok(wire::json(StatusCode::OK, &view))
}

/// From where an app is looked at: decides the URLs of its functions.
pub(super) struct Viewpoint {
    settings: Arc<ApiSettings>,
    hub: Arc<HubRecord>,
    /// None: the server is keyless, or who looks may not call all functions of the hub.
    mint: Option<Mint>,
    origin: String,
}

impl Viewpoint {
    pub(super) fn of(call: &Call) -> Self {
        let origin = links::origin(&call.settings, &call.parts);
        let mint = call.mint.clone().filter(Mint::is_of_admin);
        Self { settings: Arc::clone(&call.settings), hub: Arc::clone(&call.record), mint, origin }
    }
}

/// How much a check looks at: `checkLimit` instances (1 to 1000), `checkSeconds` (at most 60).
fn bounds(query: &Query) -> Bounds {
    let default = Bounds::default();
    let instances = query.integer("checklimit").and_then(|limit| usize::try_from(limit).ok());
    Bounds {
        instances: instances.unwrap_or(default.instances).clamp(1, 1_000),
        time: query.seconds("checkseconds").unwrap_or(default.time).min(Duration::from_secs(60)),
    }
}

pub(super) fn view(from: &Viewpoint, record: &AppRecord, digest: Digest, changed: Option<bool>) -> Option<AppView> {
    let version = record.versions.iter().find(|version| version.digest == digest)?;
    let function = |(kind, name): &(FunctionKind, String)| FunctionView {
        name: name.clone(),
        kind: kind_name(*kind),
        route: None,
        methods: None,
        auth_level: None,
        invoke_url: None,
        schedule: None,
    };
    let url = |name: &str, http: &HttpTrigger| {
        functions::invoke_url((&from.settings, from.mint.as_ref()), &from.origin, &from.hub, (name, http))
    };
    let triggers = version.triggers.iter().map(|declared| trigger(declared, url));
    Some(AppView {
        app: record.name.clone(),
        hub: record.hub.to_string(),
        digest: digest.to_string(),
        version: version.label.clone(),
        functions: version.functions.iter().map(function).chain(triggers).collect(),
        imports: version.imports.clone(),
        size: version.size,
        sdk: version.sdk.clone(),
        deployed: wire::ticks(version.deployed),
        completes_early: record.options.completes_early,
        activities: if record.options.current_activities { "current" } else { "pinned" },
        changed,
        verdict: None,
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
pub(super) fn app_name(call: &Call) -> Result<String, ApiError> {
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

pub(super) fn no_such_app(hub: &str, app: &str) -> ApiError {
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
