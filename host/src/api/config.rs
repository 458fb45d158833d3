//! `GET` and `PUT /admin/hubs/{hub}/config`: what a hub is configured to.
//!
//! A `PUT` brings the whole document and is taken as a whole or not at all; its error names every field that is wrong.
//! Secrets are written and never shown: a `GET` says `null` for each, and a `PUT` that says `null` keeps it, so that what was
//! got can be changed and put back. `ETag` and `If-Match` keep two editors from undoing each other's work.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use jiff::{Span, SpanRelativeTo};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::error::{AdminError, ApiError};
use super::{Call, body, wire};
use crate::net::rules::Rule;
use crate::store::{HubConfig, HubLimits, HubRecord, Keep, Secret};

/// Variables and secrets together.
const MOST_VARIABLES: usize = 256;
/// Characters of a variable's name.
const LONGEST_NAME: usize = 128;
/// Bytes of one value.
const LARGEST_VALUE: usize = 32 << 10;
/// Bytes of all values together.
const LARGEST_VALUES: usize = 128 << 10;
/// Rules for connections.
const MOST_RULES: usize = 256;
/// Bytes of one rule.
const LONGEST_RULE: usize = 512;
/// Characters of a route prefix.
const LONGEST_PREFIX: usize = 100;
/// What paths of the server itself begin with.
const RESERVED: [&str; 4] = ["admin", "hubs", "runtime", "durabletask"];
const FIELDS: [&str; 6] = ["env", "secrets", "egress", "limits", "retention", "routePrefix"];

/// What a hub is configured to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubConfig)]
pub(super) struct ConfigView<'a> {
    /// Environment variables of activities and client functions.
    env: &'a BTreeMap<String, String>,
    /// The same, whose values are never shown: `null` here; in a `PUT` a text sets, `null` keeps, and what is not named
    /// goes. Without this field all stay.
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    secrets: BTreeMap<&'a str, ()>,
    /// Rules for where guests may connect to beside what the server allows to all, in the form of its `--egress`.
    egress: &'a [String],
    limits: LimitsView,
    /// How long ended instances are kept: days, a duration like `12h` or `30d`, or `forever`; null: as the server says.
    retention: Option<String>,
    /// What the paths of its HTTP functions begin with; null: as the server says, which is `api`.
    route_prefix: Option<&'a str>,
}

/// What a hub may use; null: as much as there is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubLimits)]
pub(super) struct LimitsView {
    /// Instances that have not ended.
    open_instances: Option<u64>,
    /// Starts per second.
    starts_per_second: Option<u64>,
    /// Requests per second.
    requests_per_second: Option<u64>,
    /// Apps.
    apps: Option<u64>,
    /// Bytes of the components of all versions together.
    component_bytes: Option<u64>,
    /// Activities that run at once; more wait.
    concurrent_activities: Option<u64>,
    /// Bytes of histories, inputs, outputs and custom statuses. Over it starts and events from outside are refused.
    stored_bytes: Option<u64>,
    /// What its guests may run per second, in units of fuel, about an instruction each. Over it starts and requests to
    /// functions are refused.
    fuel_per_second: Option<u64>,
    /// Bytes of memory of all its guests at once, those that wait in memory included, which make room first. Over it
    /// starts and requests to functions are refused; activities and orchestrators wait.
    memory_bytes: Option<u64>,
    /// Connections to the outside per second: HTTP calls of orchestrators, requests and TCP connections of activities and
    /// functions. Over it they fail.
    connections_per_second: Option<u64>,
    /// Bytes per second on these connections, sent and received together. Over it they wait.
    egress_bytes_per_second: Option<u64>,
}

impl LimitsView {
    pub(super) fn new(limits: HubLimits) -> Self {
        let HubLimits {
            open_instances,
            starts_per_second,
            requests_per_second,
            apps,
            component_bytes,
            concurrent_activities,
            stored_bytes,
            fuel_per_second,
            memory_bytes,
            connections_per_second,
            egress_bytes_per_second,
        } = limits;
        Self {
            open_instances,
            starts_per_second,
            requests_per_second,
            apps,
            component_bytes,
            concurrent_activities,
            stored_bytes,
            fuel_per_second,
            memory_bytes,
            connections_per_second,
            egress_bytes_per_second,
        }
    }
}

impl<'a> ConfigView<'a> {
    fn new(config: &'a HubConfig) -> Self {
        Self {
            env: &config.env,
            secrets: config.secrets.keys().map(|name| (name.as_str(), ())).collect(),
            egress: &config.egress,
            limits: LimitsView::new(config.limits),
            retention: config.retention.map(keep_text),
            route_prefix: config.route_prefix.as_deref(),
        }
    }
}

/// Shows a hub's configuration, without the values of secrets.
#[utoipa::path(
    get,
    path = "/admin/hubs/{hub}/config",
    operation_id = "hubConfig",
    tag = "administration",
    params(("hub" = String, Path, description = "The task hub.")),
    responses(
        (status = 200, description = "The configuration; `ETag` tells its version.", body = ConfigView),
        (status = 400, description = "A bad name of a hub.", body = AdminError),
        (status = 404, description = "No such hub.", body = AdminError),
    ),
)]
pub(super) fn get(call: &Call) -> Response {
    shown(&call.record)
}

/// Configures a hub: the whole document, taken as a whole.
#[utoipa::path(
    put,
    path = "/admin/hubs/{hub}/config",
    operation_id = "configureHub",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the configuration that this one replaces. None: \
            whichever there is."),
    ),
    request_body(content = ConfigView, content_type = "application/json"),
    responses(
        (status = 200, description = "The new configuration; durable.", body = ConfigView),
        (status = 400, description = "Nothing was changed; the text names each field that is wrong.", body = AdminError),
        (status = 404, description = "No such hub.", body = AdminError),
        (status = 412, description = "The configuration was changed since; nothing was changed now.", body = AdminError),
    ),
)]
pub(super) async fn put(call: Call) -> Result<Response, ApiError> {
    let Call { engine, hub, settings, parts, body, .. } = call;
    let document: Map<String, Value> = body::document(body, settings.payload_limit).await?;
    let changed = engine.change_hub(&hub, |hub, _| {
        check_match(hub, &parts.headers)?;
        let config = read(&document, &hub.config).map_err(|problems| ApiError::Admin {
            status: StatusCode::BAD_REQUEST,
            code: "bad-config",
            message: format!("The configuration was not taken: {}.", problems.join("; ")),
        })?;
        if config != hub.config {
            hub.config = config;
            hub.config_version += 1;
        }
        Ok::<_, ApiError>(hub.clone())
    });
    Ok(shown(&changed.await??))
}

fn shown(hub: &HubRecord) -> Response {
    let mut response = wire::json(StatusCode::OK, &ConfigView::new(&hub.config));
    if let Ok(tag) = HeaderValue::from_str(&tag(hub)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Another one for each configuration of each hub, also for those of an earlier hub of the name.
fn tag(hub: &HubRecord) -> String {
    format!("\"{}-{}\"", hub.created.map_or(0, |at| at.as_microsecond()), hub.config_version)
}

fn check_match(hub: &HubRecord, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(wanted) = headers.get(IF_MATCH) else { return Ok(()) };
    let tag = tag(hub);
    let matches = |wanted: &str| wanted.split(',').map(str::trim).any(|one| one == "*" || one == tag);
    if wanted.to_str().is_ok_and(matches) {
        return Ok(());
    }
    Err(ApiError::Admin {
        status: StatusCode::PRECONDITION_FAILED,
        code: "config-changed",
        message: "The configuration was changed since it was read. Read it again, and change that.".to_owned(),
    })
}

/// The configuration that a document says, or what is wrong with it.
fn read(document: &Map<String, Value>, before: &HubConfig) -> Result<HubConfig, Vec<String>> {
    let mut problems = Problems::default();
    for name in document.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
        problems.add(name, &format!("is unknown; the fields are {}", FIELDS.join(", ")));
    }
    let field = |name: &str| document.get(name).filter(|value| !value.is_null());
    let config = HubConfig {
        env: field("env").map(|value| env(value, &mut problems)).unwrap_or_default(),
        secrets: match field("secrets") {
            Some(value) => secrets(value, &before.secrets, &mut problems),
            None => before.secrets.clone(),
        },
        egress: field("egress").map(|value| egress(value, &mut problems)).unwrap_or_default(),
        limits: field("limits").map(|value| limits(value, &mut problems)).unwrap_or_default(),
        retention: field("retention").and_then(|value| retention(value, &mut problems)),
        route_prefix: field("routePrefix").and_then(|value| route_prefix(value, &mut problems)),
    };
    check_together(&config, &mut problems);
    if problems.0.is_empty() { Ok(config) } else { Err(problems.0) }
}

/// What is wrong, field by field.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, field: &str, what: &str) {
        // A document with a thousand faults needs no thousand words.
        if self.0.len() < 20 {
            let field: String = field.chars().take(LONGEST_NAME).collect();
            self.0.push(format!("the field '{}' {what}", field.escape_debug()));
        }
    }

    fn object<'v>(&mut self, field: &str, value: &'v Value) -> Option<&'v Map<String, Value>> {
        let found = value.as_object();
        if found.is_none() {
            self.add(field, "must be an object");
        }
        found
    }
}

fn env(value: &Value, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (name, value) in problems.object("env", value).into_iter().flatten() {
        if let Some(text) = variable(&format!("env.{name}"), (name, value), problems) {
            env.insert(name.clone(), text);
        }
    }
    env
}

fn secrets(value: &Value, before: &BTreeMap<String, Secret>, problems: &mut Problems) -> BTreeMap<String, Secret> {
    let mut secrets = BTreeMap::new();
    for (name, value) in problems.object("secrets", value).into_iter().flatten() {
        let field = format!("secrets.{name}");
        match (value, before.get(name)) {
            (Value::Null, Some(kept)) => drop(secrets.insert(name.clone(), kept.clone())),
            (Value::Null, None) => problems.add(&field, "is null, but there is no such secret to keep"),
            (value, _) => {
                let text = variable(&field, (name, value), problems);
                secrets.extend(text.map(|text| (name.clone(), Secret(text))));
            }
        }
    }
    secrets
}

fn variable(field: &str, (name, value): (&str, &Value), problems: &mut Problems) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty()
        || name.len() > LONGEST_NAME
        || !name.chars().all(plain)
        || name.starts_with(|c: char| c.is_ascii_digit())
    {
        problems.add(field, &format!("has a bad name: 1 to {LONGEST_NAME} letters, digits and '_', not a digit first"));
    }
    let Some(text) = value.as_str() else {
        problems.add(field, "must be a text");
        return None;
    };
    if text.len() > LARGEST_VALUE || text.contains('\0') {
        problems.add(field, &format!("must have at most {LARGEST_VALUE} bytes, and no character 0"));
    }
    Some(text.to_owned())
}

fn egress(value: &Value, problems: &mut Problems) -> Vec<String> {
    let Some(rules) = value.as_array() else {
        problems.add("egress", "must be a list");
        return Vec::new();
    };
    if rules.len() > MOST_RULES {
        problems.add("egress", &format!("must have at most {MOST_RULES} rules"));
    }
    let mut egress = Vec::new();
    for (number, rule) in rules.iter().enumerate().take(MOST_RULES) {
        match rule.as_str() {
            Some(text) if text.len() <= LONGEST_RULE => match text.parse::<Rule>() {
                Ok(_) => egress.push(text.to_owned()),
                Err(error) => problems.add(&format!("egress[{number}]"), &format!("is wrong: {error}")),
            },
            Some(_) | None => {
                problems.add(&format!("egress[{number}]"), &format!("must be a text of at most {LONGEST_RULE} bytes"));
            }
        }
    }
    egress
}

fn limits(value: &Value, problems: &mut Problems) -> HubLimits {
    let mut limits = HubLimits::default();
    for (name, value) in problems.object("limits", value).into_iter().flatten() {
        let field = format!("limits.{name}");
        let limit = match name.as_str() {
            "openInstances" => &mut limits.open_instances,
            "startsPerSecond" => &mut limits.starts_per_second,
            "requestsPerSecond" => &mut limits.requests_per_second,
            "apps" => &mut limits.apps,
            "componentBytes" => &mut limits.component_bytes,
            "concurrentActivities" => &mut limits.concurrent_activities,
            "storedBytes" => &mut limits.stored_bytes,
            "fuelPerSecond" => &mut limits.fuel_per_second,
            "memoryBytes" => &mut limits.memory_bytes,
            "connectionsPerSecond" => &mut limits.connections_per_second,
            "egressBytesPerSecond" => &mut limits.egress_bytes_per_second,
            _ => {
                problems.add(&field, "is unknown");
                continue;
            }
        };
        *limit = value.as_u64();
        let never = ["requestsPerSecond", "concurrentActivities", "fuelPerSecond", "egressBytesPerSecond"];
        let never = never.contains(&name.as_str());
        match limit {
            // With none of these nothing would ever end, or nobody could say so.
            Some(0) if never => problems.add(&field, "must be 1 or more"),
            None if !value.is_null() => problems.add(&field, "must be a whole number, or null for no limit"),
            Some(_) | None => {}
        }
    }
    limits
}

fn retention(value: &Value, problems: &mut Problems) -> Option<Keep> {
    let keep = match value.as_str() {
        Some("forever") => Some(Keep::Forever),
        Some(text) => days_or_duration(text).map(Keep::For),
        None => value.as_u64().and_then(|days| days_or_duration(&days.to_string())).map(Keep::For),
    };
    if keep.is_none() {
        problems.add(
            "retention",
            "must be a number of days above zero, a duration like \"12h\" or \"30d\", or \"forever\"",
        );
    }
    keep
}

fn route_prefix(value: &Value, problems: &mut Problems) -> Option<String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    let is_prefix = |text: &&str| {
        let mut segments = text.split('/');
        let first = segments.next().unwrap_or_default().to_ascii_lowercase();
        text.len() <= LONGEST_PREFIX
            && text.chars().all(fine)
            && !RESERVED.contains(&first.as_str())
            && (text.is_empty() || text.split('/').all(|segment| !segment.is_empty()))
    };
    let prefix = value.as_str().filter(is_prefix).map(str::to_owned);
    if prefix.is_none() {
        let what = format!(
            "must be segments of letters, digits and '-._~' with single slashes between them, at most {LONGEST_PREFIX} \
             characters, not beginning with {}",
            RESERVED.join(", ")
        );
        problems.add("routePrefix", &what);
    }
    prefix
}

/// What no field alone tells.
fn check_together(config: &HubConfig, problems: &mut Problems) {
    for name in config.env.keys().filter(|name| config.secrets.contains_key(*name)) {
        problems.add(&format!("env.{name}"), "is a secret as well");
    }
    if config.env.len() + config.secrets.len() > MOST_VARIABLES {
        problems.add("env", &format!("has too many variables: with the secrets at most {MOST_VARIABLES}"));
    }
    let values = config.env.values().chain(config.secrets.values().map(|secret| &secret.0));
    if values.map(String::len).sum::<usize>() > LARGEST_VALUES {
        problems.add("env", &format!("is too large: with the secrets at most {LARGEST_VALUES} bytes"));
    }
}

/// A number of days, or a duration like `12h` or `30d`; none: it is neither, or zero.
pub(crate) fn days_or_duration(text: &str) -> Option<Duration> {
    let days = || text.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("{text}d"));
    let span = days().unwrap_or_else(|| text.to_owned()).parse::<Span>().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok().filter(|duration| !duration.is_zero())
}

fn keep_text(keep: Keep) -> String {
    let Keep::For(time) = keep else { return "forever".to_owned() };
    let seconds = time.as_secs();
    let whole = |unit: u64| time.subsec_nanos() == 0 && seconds.is_multiple_of(unit);
    match () {
        () if whole(86_400) => format!("{}d", seconds / 86_400),
        () if whole(3_600) => format!("{}h", seconds / 3_600),
        () if whole(60) => format!("{}m", seconds / 60),
        () if whole(1) => format!("{seconds}s"),
        () => format!("{}ms", time.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn take(document: Value, before: &HubConfig) -> Result<HubConfig, String> {
        let Value::Object(document) = document else { panic!("no object") };
        read(&document, before).map_err(|problems| problems.join("; "))
    }

    #[test]
    fn a_document_is_read_as_a_whole() {
        let full = json!({
            "env": {"A": "1", "_b2": ""},
            "secrets": {"TOKEN": "t"},
            "egress": ["example.org", "*.example.org:443"],
            "limits": {"openInstances": 5, "apps": 0, "startsPerSecond": null},
            "retention": "12h",
            "routePrefix": "v1/api",
        });
        let config = take(full, &HubConfig::default()).unwrap();
        assert_eq!(config.env.len(), 2);
        assert_eq!(config.limits, HubLimits { open_instances: Some(5), apps: Some(0), ..HubLimits::default() });
        assert_eq!(config.retention, Some(Keep::For(Duration::from_secs(12 * 3600))));
        let shown = serde_json::to_value(ConfigView::new(&config)).unwrap();
        assert_eq!((&shown["secrets"], &shown["retention"]), (&json!({"TOKEN": null}), &json!("12h")));
        assert_eq!(take(shown, &config).unwrap(), config, "what was got can be put back");
        let fewer = take(json!({"secrets": {}}), &config).unwrap();
        assert_eq!(fewer, HubConfig::default());
        assert_eq!(take(json!({}), &config).unwrap().secrets, config.secrets);
        assert!(!format!("{config:?}").contains("\"t\""), "secrets are not logged");
    }

    #[test]
    fn each_wrong_field_is_named() {
        let before = HubConfig { secrets: BTreeMap::from([("S".into(), Secret("s".into()))]), ..HubConfig::default() };
        let large = "x".repeat(LARGEST_VALUE + 1);
        for (document, field) in [
            (json!({"enw": {}}), "enw"),
            (json!({"env": []}), "env"),
            (json!({"env": {"1A": ""}}), "env.1A"),
            (json!({"env": {"A B": ""}}), "env.A B"),
            (json!({"env": {"A": 1}}), "env.A"),
            (json!({"env": {"A": large}}), "env.A"),
            (json!({"env": {"S": "x"}}), "env.S"),
            (json!({"secrets": {"T": null}}), "secrets.T"),
            (json!({"egress": "all"}), "egress"),
            (json!({"egress": ["fine", "not fine"]}), "egress[1]"),
            (json!({"limits": {"apps": -1}}), "limits.apps"),
            (json!({"limits": {"apps": 1.5}}), "limits.apps"),
            (json!({"limits": {"moons": 1}}), "limits.moons"),
            (json!({"limits": {"requestsPerSecond": 0}}), "limits.requestsPerSecond"),
            (json!({"limits": {"egressBytesPerSecond": 0}}), "limits.egressBytesPerSecond"),
            (json!({"retention": "0"}), "retention"),
            (json!({"retention": true}), "retention"),
            (json!({"routePrefix": "/api"}), "routePrefix"),
            (json!({"routePrefix": "Admin/x"}), "routePrefix"),
        ] {
            let told = take(document, &before).unwrap_err();
            assert!(told.contains(&format!("the field '{field}' ")), "{field}: {told}");
        }
        let both = take(json!({"retention": "x", "limits": 1}), &before).unwrap_err();
        assert!(both.contains("'retention'") && both.contains("'limits'"), "{both}");
    }

    #[test]
    fn durations_keep_their_words() {
        for text in ["forever", "30d", "36h", "90m", "45s"] {
            let mut problems = Problems::default();
            let keep = retention(&json!(text), &mut problems).unwrap();
            assert_eq!(keep_text(keep), text);
        }
    }
}
