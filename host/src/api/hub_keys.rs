//! `/admin/hubs/{hub}/keys`: make, list, rotate and revoke the keys of a hub. A key is shown once, in the answer that makes
//! it.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use durawasm_core::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{AdminError, ApiError};
use super::keys::HubKey;
use super::{Call, body, wire};
use crate::store::{HubRecord, KeyRecord, KeyScope};

/// Keys of one hub.
const MOST_KEYS: usize = 200;
/// Scopes of one key.
const MOST_SCOPES: usize = 20;
/// Characters of a key's name, and of a function's.
const LONGEST_NAME: usize = 128;
/// How long a key holds beside the one that takes its place, when nobody says.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// The longest.
const LONGEST_OVERLAP: Duration = Duration::from_secs(90 * 24 * 3600);

/// What a key is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// What its owner calls it; no two keys of a hub have one name.
    name: String,
    /// `manage`, `deploy`, `read`, `function:NAME`.
    scopes: Vec<String>,
}

/// A key, without the key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(super) struct KeyView {
    id: String,
    name: String,
    /// `manage`, `deploy`, `read`, `function:NAME`.
    scopes: Vec<String>,
    created: String,
    /// When it was rotated last.
    rotated: Option<String>,
    /// Until when the key before the rotation holds.
    #[serde(rename = "previousUntil")]
    previous_until: Option<String>,
    /// The key: in the answer that makes it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// The keys of a hub.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Keys)]
pub(super) struct KeyList {
    keys: Vec<KeyView>,
}

impl KeyView {
    fn new(record: &KeyRecord, now: Timestamp, key: Option<&HubKey>) -> Self {
        Self {
            id: record.id.to_string(),
            name: record.name.clone(),
            scopes: record.scopes.iter().map(scope_name).collect(),
            created: wire::ticks(record.created),
            rotated: record.rotated.map(wire::ticks),
            previous_until: record.previous.map(|(_, until)| until).filter(|until| now < *until).map(wire::ticks),
            key: key.map(HubKey::text),
        }
    }
}

fn scope_name(scope: &KeyScope) -> String {
    match scope {
        KeyScope::Manage => "manage".to_owned(),
        KeyScope::Deploy => "deploy".to_owned(),
        KeyScope::Read => "read".to_owned(),
        KeyScope::Function(name) => format!("function:{name}"),
    }
}

fn scope(text: &str) -> Result<KeyScope, ApiError> {
    match (text, text.split_once(':')) {
        ("manage", _) => Ok(KeyScope::Manage),
        ("deploy", _) => Ok(KeyScope::Deploy),
        ("read", _) => Ok(KeyScope::Read),
        (_, Some(("function", name))) if is_name(name) => Ok(KeyScope::Function(name.to_owned())),
        _ => Err(bad("scopes", &format!("has '{text}': a scope is manage, deploy, read or function:NAME"))),
    }
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

fn bad(field: &str, what: &str) -> ApiError {
    ApiError::Admin {
        status: StatusCode::BAD_REQUEST,
        code: "bad-key",
        message: format!("The field '{field}' {what}."),
    }
}

fn no_such_key(hub: &str, key: &str) -> ApiError {
    let message = format!("The hub '{hub}' has no key with the name or the id '{key}'.");
    ApiError::Admin { status: StatusCode::NOT_FOUND, code: "no-such-key", message }
}

fn no_chance(error: getrandom::Error) -> ApiError {
    tracing::error!(%error, "the system has no random numbers for a key");
    let message = "The server cannot make keys now.".to_owned();
    ApiError::Admin { status: StatusCode::INTERNAL_SERVER_ERROR, code: "no-random-numbers", message }
}

/// The place of the key with this name or id.
fn place(hub: &HubRecord, key: &str) -> Result<usize, ApiError> {
    let found = hub.keys.iter().position(|record| record.name == key || record.id.to_string() == key);
    found.ok_or_else(|| no_such_key(&hub.name, key))
}

/// Lists the keys of a hub, without the keys themselves.
#[utoipa::path(
    get,
    path = "/admin/hubs/{hub}/keys",
    operation_id = "keys",
    tag = "administration",
    params(("hub" = String, Path, description = "The task hub.")),
    responses(
        (status = 200, description = "Its keys, oldest first.", body = KeyList),
        (status = 400, description = "A bad name of a hub.", body = AdminError),
        (status = 404, description = "No such hub.", body = AdminError),
    ),
)]
pub(super) fn list(call: &Call) -> Response {
    let now = call.engine.now();
    let keys = call.record.keys.iter().map(|record| KeyView::new(record, now, None)).collect();
    wire::json(StatusCode::OK, &KeyList { keys })
}

/// Makes a key.
#[utoipa::path(
    post,
    path = "/admin/hubs/{hub}/keys",
    operation_id = "createKey",
    tag = "administration",
    params(("hub" = String, Path, description = "The task hub.")),
    request_body(content = NewKey, content_type = "application/json"),
    responses(
        (status = 201, description = "The key, which is shown this once.", body = KeyView),
        (status = 400, description = "A bad name or a bad scope; the text names the field.", body = AdminError),
        (status = 404, description = "No such hub.", body = AdminError),
        (status = 409, description = "A key of this name exists, or there are 200 keys.", body = AdminError),
    ),
)]
pub(super) async fn create(call: Call) -> Result<Response, ApiError> {
    let Call { engine, hub, settings, body, .. } = call;
    let NewKey { name, scopes } = body::document(body, settings.payload_limit).await?;
    if !is_name(&name) {
        return Err(bad("name", &format!("must have 1 to {LONGEST_NAME} characters, and no control characters")));
    }
    if scopes.is_empty() || scopes.len() > MOST_SCOPES {
        return Err(bad("scopes", &format!("must have 1 to {MOST_SCOPES} scopes")));
    }
    let mut scopes = scopes.iter().map(|text| scope(text)).collect::<Result<Vec<_>, _>>()?;
    scopes.sort_unstable();
    scopes.dedup();
    let key = HubKey::generate(None).map_err(no_chance)?;
    let hash = key.hash().map_err(no_chance)?;
    let created = engine.change_hub(&hub, |hub, now| {
        let conflict = |message: String| ApiError::Admin { status: StatusCode::CONFLICT, code: "key-exists", message };
        if hub.keys.iter().any(|known| known.name == name || known.id == key.id) {
            return Err(conflict(format!("The hub '{}' has a key '{name}' already.", hub.name)));
        }
        if hub.keys.len() >= MOST_KEYS {
            return Err(conflict(format!("The hub '{}' has {MOST_KEYS} keys, and may have no more.", hub.name)));
        }
        let (rotated, generation, previous) = (None, 0, None);
        let record = KeyRecord { id: key.id, name, scopes, created: now, rotated, generation, hash, previous };
        hub.keys.push(record.clone());
        Ok(KeyView::new(&record, now, Some(&key)))
    });
    Ok(wire::json(StatusCode::CREATED, &created.await??))
}

/// Makes a new key in the place of one; both hold for a while.
#[utoipa::path(
    post,
    path = "/admin/hubs/{hub}/keys/{key}/rotate",
    operation_id = "rotateKey",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("key" = String, Path, description = "The key's name or id."),
        ("overlap" = Option<f64>, Query, description = "For how many seconds the old key, and what was minted with it, \
            holds beside the new one; at most 90 days. Default: a day."),
    ),
    responses(
        (status = 200, description = "The new key, which is shown this once.", body = KeyView),
        (status = 400, description = "A bad overlap, or a bad name of a hub.", body = AdminError),
        (status = 404, description = "No such hub, or no such key.", body = AdminError),
    ),
)]
pub(super) async fn rotate(call: Call) -> Result<Response, ApiError> {
    let overlap = match call.query.filled("overlap") {
        None => OVERLAP,
        Some(_) => call.query.seconds("overlap").filter(|overlap| *overlap <= LONGEST_OVERLAP).ok_or_else(|| {
            let days = LONGEST_OVERLAP.as_secs() / 86_400;
            bad("overlap", &format!("is a number of seconds, at most {days} days"))
        })?,
    };
    let overlap = SignedDuration::try_from(overlap).unwrap_or(SignedDuration::ZERO);
    let name = call.param(1).to_owned();
    let place_now = place(&call.record, &name)?;
    let id = call.record.keys.get(place_now).map(|record| record.id);
    let key = HubKey::generate(id).map_err(no_chance)?;
    let hash = key.hash().map_err(no_chance)?;
    let rotated = call.engine.change_hub(&call.hub, |hub, now| {
        let known = hub.keys.iter_mut().find(|record| record.id == key.id);
        let Some(record) = known else { return Err(no_such_key(&hub.name, &name)) };
        let until = now.saturating_add(overlap).unwrap_or(now);
        // Of three keys only two hold.
        record.previous = (!overlap.is_zero()).then_some((record.hash, until));
        record.hash = hash;
        record.rotated = Some(now);
        record.generation = record.generation.saturating_add(1);
        Ok(KeyView::new(record, now, Some(&key)))
    });
    Ok(wire::json(StatusCode::OK, &rotated.await??))
}

/// Revokes a key: it opens nothing any more, nor does what was minted with it.
#[utoipa::path(
    delete,
    path = "/admin/hubs/{hub}/keys/{key}",
    operation_id = "revokeKey",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("key" = String, Path, description = "The key's name or id."),
    ),
    responses(
        (status = 204, description = "Revoked, durably. Empty."),
        (status = 400, description = "A bad name of a hub.", body = AdminError),
        (status = 404, description = "No such hub, or no such key.", body = AdminError),
    ),
)]
pub(super) async fn revoke(call: Call) -> Result<Response, ApiError> {
    let name = call.param(1).to_owned();
    let revoked = call.engine.change_hub(&call.hub, |hub, _| {
        let place = place(hub, &name)?;
        hub.keys.remove(place);
        Ok::<_, ApiError>(())
    });
    revoked.await??;
    Ok(wire::empty(StatusCode::NO_CONTENT))
}
