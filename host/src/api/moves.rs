//! Versions of running instances: the recorded history for a replay elsewhere, moves of one instance and of an app's.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use durawasm_core::Divergence;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{AdminError, ApiError, DivergenceBody, ErrorBody};
use super::query::Query;
use super::{Call, apps, wire};
use crate::engine::{Aftermath, MOST_MOVED, MoveError, MoveMany, Moved, Parts, Stage, Target, Trial, TrialRefusal};
use crate::store::{Position, portable};

/// Digits of a digest that are enough to name a version.
const SHORTEST_DIGEST: usize = 8;

/// The version an instance ran on and runs on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MovedView {
    instance_id: String,
    /// The digest before.
    from: String,
    /// The digest from now on.
    to: String,
    /// False: it was on that version already.
    moved: bool,
    /// With `children=true`: the same of each open sub-orchestration of the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    children: Option<Vec<MovedView>>,
}

/// What became of an app's instances.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MovedManyView {
    /// Moved, each durably; in a dry run: could be.
    moved: u64,
    /// Were on that version already.
    unchanged: u64,
    refused: u64,
    dry_run: bool,
    /// The first 100 of those that were refused.
    refusals: Vec<RefusalView>,
    /// Not null: ask again with `after` set to this.
    next: Option<String>,
}

/// An instance whose history a version does not repeat.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefusalView {
    instance_id: String,
    /// The orchestrator and the status; only of a check of a deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_status: Option<&'static str>,
    reason: String,
    /// Index of the event of the history where the version does something else; none: that is not the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    /// What the history has there.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    /// What the version would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

/// What deploying a component would mean for the app's instances.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrialView {
    digest: String,
    /// The version's label.
    version: Option<String>,
    verdict: VerdictView,
}

/// What the app's instances on other versions would do on its current one, found out in the background after the
/// deployment. Nothing is moved by it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AftermathView {
    /// `waiting`, `running`, `done`, or `failed` when the store failed over it.
    state: &'static str,
    /// Instances that were looked at, so far.
    checked: u64,
    #[serde(flatten)]
    verdict: VerdictView,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VerdictView {
    /// True: nothing that was looked at diverges, and all instances that have not ended were looked at.
    compatible: bool,
    /// All instances that have not ended were looked at.
    complete: bool,
    open: CountsView,
    closed: CountsView,
    /// Without a verdict, because the server could not find one.
    unknown: u64,
    /// The first 20 of those that diverge.
    diverging: Vec<RefusalView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct CountsView {
    compatible: u64,
    diverging: u64,
}

impl RefusalView {
    fn of(instance_id: &str, reason: String, divergence: Option<&Divergence>) -> Self {
        Self {
            instance_id: instance_id.to_owned(),
            name: None,
            runtime_status: None,
            reason,
            position: divergence.map(|divergence| divergence.position),
            expected: divergence.map(|divergence| divergence.expected.clone()),
            found: divergence.map(|divergence| divergence.found.clone()),
        }
    }

    fn of_trial(refusal: TrialRefusal) -> Self {
        let TrialRefusal { id, name, status, divergence } = refusal;
        let (name, runtime_status) = (Some(name), Some(status.name()));
        Self { name, runtime_status, ..Self::of(&id, divergence.to_string(), Some(&divergence)) }
    }
}

impl VerdictView {
    fn of(trial: Trial) -> Self {
        let Trial { open_compatible, open_diverging, closed_compatible, closed_diverging, .. } = trial;
        Self {
            compatible: trial.complete && open_diverging + closed_diverging + trial.unknown == 0,
            complete: trial.complete,
            open: CountsView { compatible: open_compatible, diverging: open_diverging },
            closed: CountsView { compatible: closed_compatible, diverging: closed_diverging },
            unknown: trial.unknown,
            diverging: trial.diverging.into_iter().map(RefusalView::of_trial).collect(),
        }
    }
}

/// The check of a deployment as the administration shows it.
pub(super) fn trial(trial: Trial) -> TrialView {
    TrialView {
        digest: trial.version.digest.to_string(),
        version: trial.version.label.clone(),
        verdict: VerdictView::of(trial),
    }
}

/// What is known of an app's current version.
pub(super) fn aftermath(known: Aftermath) -> AftermathView {
    let state = match known.stage {
        Stage::Waiting => "waiting",
        Stage::Running => "running",
        Stage::Done => "done",
        Stage::Failed => "failed",
    };
    AftermathView { state, checked: known.trial.checked(), verdict: VerdictView::of(known.trial) }
}

/// The recorded history in a form that can be kept and replayed elsewhere.
///
/// `durawasm replay` runs a component on it. It holds all payloads.
#[utoipa::path(
    get,
    path = "/runtime/webhooks/durabletask/instances/{id}/history",
    operation_id = "history",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance."),
        ("format" = String, Query, description = "`portable`."),
    ),
    responses(
        (status = 200, description = "The history of the current execution.", body = Vec<u8>,
            content_type = "application/octet-stream"),
        (status = 400, description = "Another format was asked for.", body = ErrorBody),
        (status = 404, description = "No such instance. Empty."),
    ),
)]
pub(super) async fn history(call: Call) -> Result<Response, ApiError> {
    if !call.query.filled("format").is_some_and(|format| format.eq_ignore_ascii_case("portable")) {
        let text = "Ask for format=portable; events as JSON are in the status, with showHistory=true.".to_owned();
        return Err(ApiError::BadRequest(text));
    }
    let parts = Parts { payloads: false, history: true };
    let view = call.engine.instance(&call.hub, call.param(0), parts).await?.ok_or(ApiError::NoSuchInstance)?;
    let bytes = portable::encode_history(&view.history)?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

/// Moves an instance to another version of its app.
///
/// The version is run on the instance's history first; nothing changes unless it repeats all of it.
#[utoipa::path(
    post,
    path = "/runtime/webhooks/durabletask/instances/{id}/move",
    operation_id = "move",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance."),
        ("to" = String, Query, description = "`current`, or the digest of a version of the app; its \
            first 8 digits are enough."),
        ("children" = Option<bool>, Query, description = "Moves those of its sub-orchestrations as well, and theirs, that \
            have not ended and are of the same app. Nothing is moved unless the version repeats all of their histories. \
            Default: false."),
    ),
    responses(
        (status = 200, description = "Moved, durably, or on that version already.", body = MovedView),
        (status = 400, description = "No such version.", body = ErrorBody),
        (status = 404, description = "No such instance. Empty."),
        (status = 409, description = "The version does not repeat the instance's history.", body = DivergenceBody),
        (status = 410, description = "The instance has ended. Empty."),
    ),
)]
pub(super) async fn move_one(call: Call) -> Result<Response, ApiError> {
    let to = target(&call.query).map_err(ApiError::BadRequest)?;
    let id = call.param(0);
    if !call.query.flag("children", false) {
        let moved = call.engine.move_instance(&call.hub, id, to).await?;
        return Ok(wire::json(StatusCode::OK, &MovedView::of(id, moved)));
    }
    let family = call.engine.move_family(&call.hub, id, &to).await?;
    let children = family.children.iter().map(|(id, moved)| MovedView::of(id, *moved)).collect();
    let view = MovedView { children: Some(children), ..MovedView::of(id, family.moved) };
    Ok(wire::json(StatusCode::OK, &view))
}

impl MovedView {
    fn of(id: &str, moved: Moved) -> Self {
        Self {
            instance_id: id.to_owned(),
            from: moved.from.to_string(),
            to: moved.to.to_string(),
            moved: moved.from != moved.to,
            children: None,
        }
    }
}

/// Moves those instances of an app that have not ended.
///
/// Each is moved by itself, if the version repeats its history. One call looks at some of the hub's instances and says
/// where to go on.
#[utoipa::path(
    post,
    path = "/admin/hubs/{hub}/apps/{app}/move",
    operation_id = "moveInstances",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("app" = String, Path, description = "The app."),
        ("to" = String, Query, description = "`current`, or the digest of a version of the app; its \
            first 8 digits are enough."),
        ("dryRun" = Option<bool>, Query, description = "Only finds out what could be moved. Default: false."),
        ("top" = Option<u32>, Query, description = "How many of the hub's open instances to look at; at most and by \
            default 1000."),
        ("after" = Option<String>, Query, description = "Where to go on: `next` of the answer before."),
    ),
    responses(
        (status = 200, description = "What became of them.", body = MovedManyView),
        (status = 400, description = "No such version; a bad name; a bad `after`.", body = AdminError),
        (status = 404, description = "No such hub, or no such app.", body = AdminError),
    ),
)]
pub(super) async fn move_many(call: Call) -> Result<Response, ApiError> {
    let app = apps::app_name(&call)?;
    call.engine.app(&call.hub, &app).ok_or_else(|| apps::no_such_app(&call.hub, &app))?;
    let to = target(&call.query).map_err(bad)?;
    let after = match call.query.filled("after") {
        Some(token) => {
            Some(Position::from_token(token).ok_or_else(|| bad(format!("'{token}' is no place to go on.")))?)
        }
        None => None,
    };
    let limit = call.query.integer("top").and_then(|top| usize::try_from(top).ok()).unwrap_or(MOST_MOVED);
    let dry_run = call.query.flag("dryrun", false);
    let done = call.engine.move_many(&call.hub, MoveMany { app, to, dry_run, after, limit }).await;
    let done = done.map_err(|error| match error {
        MoveError::UnknownVersion { .. } => bad(format!("{error}.")),
        other => other.into(),
    })?;
    let refusal = |(id, error): &(durawasm_core::InstanceId, MoveError)| {
        let divergence = match error {
            MoveError::Diverges { divergence, .. } => Some(&**divergence),
            MoveError::Unknown
            | MoveError::Ended
            | MoveError::NotFailed
            | MoveError::UnknownVersion { .. }
            | MoveError::VersionGone
            | MoveError::Child { .. }
            | MoveError::TooMany { .. }
            | MoveError::Busy
            | MoveError::Check(_)
            | MoveError::Store(_) => None,
        };
        RefusalView::of(id, error.to_string(), divergence)
    };
    let view = MovedManyView {
        moved: done.moved,
        unchanged: done.unchanged,
        refused: done.refused,
        dry_run,
        refusals: done.refusals.iter().map(refusal).collect(),
        next: done.next.map(|next| next.to_token()),
    };
    Ok(wire::json(StatusCode::OK, &view))
}

fn bad(message: String) -> ApiError {
    ApiError::Admin { status: StatusCode::BAD_REQUEST, code: "bad-move", message }
}

/// `to=current` or `to=DIGEST`.
fn target(query: &Query) -> Result<Target, String> {
    let Some(text) = query.filled("to") else {
        return Err("Say where to: to=current, or to= and the digest of a version of the app.".to_owned());
    };
    if text.eq_ignore_ascii_case("current") {
        return Ok(Target::Current);
    }
    let digest = text.to_ascii_lowercase();
    if (SHORTEST_DIGEST..=64).contains(&digest.len()) && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Target::Version(digest));
    }
    Err(format!(
        "'{text}' is neither 'current' nor the digest of a version, or its first {SHORTEST_DIGEST} digits or more."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let of = |text: &str| target(&Query::parse(text));
        assert_eq!(of("to=Current"), Ok(Target::Current));
        assert_eq!(of(&format!("to={}", "AB".repeat(32))), Ok(Target::Version("ab".repeat(32))));
        assert_eq!(of("to=0123abCD"), Ok(Target::Version("0123abcd".to_owned())));
        for wrong in ["", "to=", "to=0123abc", "to=latest", "to=latest-one"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
