//! Requests and responses of HTTP functions, and what `describe` says about functions that something sets off.

use bytes::Bytes;
use durawasm_core::Failure;
use serde::Deserialize;

use super::bindings::durable::functions::types;
use super::bindings::exports::durable::functions::describe::{Function, FunctionKind as Kind};
use super::bindings::exports::durable::functions::http_function as wit;
use super::convert;
use super::limits::{RESPONSE_BODY, RESPONSE_HEADER_BYTES, RESPONSE_HEADERS};
use crate::engine::cron::Cron;
use crate::engine::executor::{HttpRequest, HttpResponse};
use crate::engine::routes::Route;
use crate::store::{AuthLevel, HttpTrigger, TimerTrigger, Trigger, TriggerKind};

fn pairs(pairs: Vec<(String, String)>) -> Vec<types::Tag> {
    pairs.into_iter().map(|(name, value)| types::Tag { name, value }).collect()
}

/// A request as the guest sees it.
pub(super) fn request(request: HttpRequest) -> wit::Request {
    wit::Request {
        method: request.method,
        url: request.url,
        headers: pairs(request.headers),
        query: pairs(request.query),
        params: pairs(request.params),
        body: request.body.to_vec(),
    }
}

/// A guest's response, bounded. Whether it can be sent is for the HTTP surface to say.
pub(super) fn response(
    answer: Result<wit::Response, convert::GuestFailure>,
    limit: usize,
) -> Result<HttpResponse, Failure> {
    let wit::Response { status, headers, body } = match answer {
        Ok(response) => response,
        Err(failure) => return Err(convert::outcome(Err(failure), limit).err().unwrap_or_else(|| wrong("it failed"))),
    };
    if !(200..=599).contains(&status) {
        return Err(wrong(&format!("it answered with status {status}; a status is 200 to 599")));
    }
    let headers: Vec<_> = headers.into_iter().map(|header| (header.name, Bytes::from(header.value))).collect();
    check_size("headers", &headers).map_err(|what| wrong(&what))?;
    if body.len() > RESPONSE_BODY {
        return Err(wrong(&format!("its body has {} bytes; the limit is {RESPONSE_BODY}", body.len())));
    }
    Ok(HttpResponse { status, headers, body: Bytes::from(body) })
}

/// Whether so many headers, or trailers, are sent. The error says that they are too many.
pub(super) fn check_size(what: &str, headers: &[(String, Bytes)]) -> Result<(), String> {
    let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > RESPONSE_HEADERS || size > RESPONSE_HEADER_BYTES {
        let count = headers.len();
        return Err(format!(
            "its {what} are too many: {count} of {size} bytes; the limits are {RESPONSE_HEADERS} and {RESPONSE_HEADER_BYTES}"
        ));
    }
    Ok(())
}

fn wrong(what: &str) -> Failure {
    Failure::new("BadResponse", what).non_retriable()
}

/// What an HTTP function's `config` may say.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HttpConfig {
    route: Option<String>,
    #[serde(default)]
    methods: Vec<String>,
    auth_level: Option<String>,
    handler: Option<String>,
}

/// What a timer function's `config` may say.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TimerConfig {
    schedule: String,
    #[serde(default = "monitored")]
    use_monitor: bool,
    #[serde(default)]
    run_on_startup: bool,
}

fn monitored() -> bool {
    true
}

/// The HTTP function of a component that exports `wasi:http/incoming-handler` and declares none that leads there: it answers
/// whatever nobody else does.
pub(super) fn undeclared() -> Trigger {
    let kind =
        HttpTrigger { route: "{*path}".to_owned(), methods: Vec::new(), level: AuthLevel::default(), streams: true };
    Trigger { name: "http".to_owned(), kind: TriggerKind::Http(kind) }
}

/// The trigger that a function declares; none for orchestrators and activities. The error says what is wrong.
pub(super) fn trigger(function: &Function, streams_by_default: bool) -> Result<Option<Trigger>, String> {
    let name = &function.name;
    let unreadable =
        |error: serde_json::Error| format!("the configuration of function '{name}' cannot be read: {error}");
    let config = function.config.as_deref().unwrap_or("{}");
    let kind = match function.kind {
        Kind::Orchestrator | Kind::Activity => return Ok(None),
        Kind::Manual => TriggerKind::Manual,
        Kind::Http => {
            let config: HttpConfig = serde_json::from_str(config).map_err(unreadable)?;
            TriggerKind::Http(http(name, config, streams_by_default)?)
        }
        Kind::Timer => {
            let TimerConfig { schedule, use_monitor, run_on_startup } =
                serde_json::from_str(config).map_err(unreadable)?;
            Cron::parse(&schedule)
                .map_err(|why| format!("the schedule '{schedule}' of timer function '{name}' is wrong: {why}"))?;
            TriggerKind::Timer(TimerTrigger { schedule, use_monitor, run_on_startup })
        }
    };
    Ok(Some(Trigger { name: name.clone(), kind }))
}

fn http(name: &str, config: HttpConfig, streams_by_default: bool) -> Result<HttpTrigger, String> {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let route = config.route.unwrap_or_else(|| name.to_owned());
    Route::parse(&route).map_err(|why| format!("the route '{route}' of HTTP function '{name}' is wrong: {why}"))?;
    let mut methods = Vec::new();
    for method in config.methods {
        let method = method.to_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) {
            let known = METHODS.join(", ");
            return Err(format!("HTTP function '{name}' names the method '{method}'; methods are {known}"));
        }
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    let level = match config.auth_level.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("function") => AuthLevel::Function,
        Some("anonymous") => AuthLevel::Anonymous,
        Some("admin") => AuthLevel::Admin,
        Some(other) => {
            return Err(format!(
                "HTTP function '{name}' has the authLevel '{other}'; levels are anonymous, function and admin"
            ));
        }
    };
    let streams = match config.handler.as_deref() {
        None => streams_by_default,
        Some("function") => false,
        Some("incoming") => true,
        Some(other) => {
            return Err(format!(
                "HTTP function '{name}' has the handler '{other}'; handlers are function (durable:functions/http-function) \
                 and incoming (wasi:http/incoming-handler)"
            ));
        }
    };
    Ok(HttpTrigger { route: route.trim_matches('/').to_owned(), methods, level, streams })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(config: &str) -> Result<TriggerKind, String> {
        let function = Function { name: "Tick".to_owned(), kind: Kind::Timer, config: Some(config.to_owned()) };
        Ok(trigger(&function, false)?.unwrap().kind)
    }

    #[test]
    fn timers_are_declared_with_their_schedule() {
        let of = |use_monitor, run_on_startup| {
            Ok(TriggerKind::Timer(TimerTrigger { schedule: "0 * * * * *".to_owned(), use_monitor, run_on_startup }))
        };
        assert_eq!(timer(r#"{"schedule": "0 * * * * *"}"#), of(true, false));
        let all = r#"{"schedule": "0 * * * * *", "useMonitor": false, "runOnStartup": true}"#;
        assert_eq!(timer(all), of(false, true));
        for (wrong, words) in [
            ("{}", "function 'Tick' cannot be read: missing field `schedule`"),
            (r#"{"schedule": 5}"#, "invalid type"),
            (r#"{"schedule": "0 * * * * *", "useMonitor": "no"}"#, "expected a boolean"),
            (r#"{"schedule": "0 * * * * *", "zone": "CET"}"#, "unknown field `zone`"),
            (r#"{"schedule": "0 0 25 * * *"}"#, "timer function 'Tick' is wrong: its field 'hour', '25'"),
        ] {
            let error = timer(wrong).unwrap_err();
            assert!(error.contains(words), "{wrong}: {error}");
        }
    }
}
