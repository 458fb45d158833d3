//! Whatever goes wrong becomes one of these, and one of these becomes a response (http-api.md 9).

use std::any::Any;
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use durawasm_core::Divergence;
use serde::Serialize;
use utoipa::ToSchema;

use super::route::Base;
use super::wire;
use crate::engine::executor::AdmitError;
use crate::engine::verdict::CheckError;
use crate::engine::{DeployError, MoveError, PurgeError, QuotaExceeded, SendError, StartError};
use crate::store::StoreError;

/// What clients get when something is wrong with the server: nothing internal leaks.
const UNEXPECTED: &str = "Something went wrong while processing your request";

/// When to try again, in seconds, what is not possible just now.
const SHORTLY: HeaderValue = HeaderValue::from_static("1");

/// Why a request was not served.
#[derive(Debug)]
pub(super) enum ApiError {
    /// Not in the table of contents, or the base is not offered here: 404, empty.
    NoSuchRoute,
    /// There is no such instance: 404, empty.
    NoSuchInstance,
    /// The instance has ended: 410, empty.
    Gone,
    /// The request names something that it cannot have, a hub for instance.
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// For people.
        message: String,
    },
    /// A keyless server was asked under a foreign name: 403.
    ForeignHost(String),
    /// The key is missing or wrong: 401, empty.
    Unauthorized,
    /// The key is right, but not for this: 403, in the form of its base.
    Forbidden(Base),
    /// The hub is at one of its limits: 429, or 413 for what is too large.
    Quota(Base, QuotaExceeded),
    /// Too many wrong keys: 429.
    TooManyAttempts {
        /// How long no key of this peer is looked at.
        wait: Duration,
    },
    /// The engine is not open yet: 503.
    Opening,
    /// The body is not JSON: 400.
    InvalidJson,
    /// Anything else the client did wrong: 400.
    BadRequest(String),
    /// 409.
    Conflict(String),
    /// The instance has not ended: 409.
    NotTerminal(String),
    /// A version does not repeat an instance's history: 409.
    Diverges {
        /// For people.
        message: String,
        /// Where and how.
        divergence: Box<Divergence>,
    },
    /// It cannot be done just now: 503.
    Busy(String),
    /// 400 with nothing but a JSON string, as purges of many have it (http-api.md 7).
    BareText(&'static str),
    /// Nothing fits: 404, empty.
    NothingFits,
    /// 413.
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body did not arrive in time: 408.
    SlowBody,
    /// The connection broke while the body arrived; nobody reads the answer.
    BrokenBody,
    /// The administration's errors have a form of their own.
    Admin {
        /// The HTTP status.
        status: StatusCode,
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// The store failed.
    Store(StoreError),
}

/// The management API's error body; clients read `ExceptionMessage` on any 400 from a start, so all four are sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ErrorBody<'a> {
    /// What was wrong.
    message: &'a str,
    /// The same.
    exception_message: &'a str,
    /// What kind of error it is.
    exception_type: &'a str,
    /// Always empty.
    stack_trace: &'a str,
}

/// The error body when a version does not repeat an instance's history.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DivergenceBody<'a> {
    #[serde(flatten)]
    error: ErrorBody<'a>,
    /// Index into the history of the event that the version should have made (the history's length: after its end).
    position: usize,
    /// What the history has there.
    expected: &'a str,
    /// What the version would do.
    found: &'a str,
}

/// The administration's error body.
#[derive(Serialize, ToSchema)]
pub(super) struct AdminError<'a> {
    error: AdminErrorDetail<'a>,
}

/// What was wrong.
#[derive(Serialize, ToSchema)]
struct AdminErrorDetail<'a> {
    /// For programs.
    code: &'a str,
    /// For people.
    message: &'a str,
}

fn body(status: StatusCode, message: &str, kind: &str) -> Response {
    let body = ErrorBody { message, exception_message: message, exception_type: kind, stack_trace: "" };
    wire::json(status, &body)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::NoSuchRoute | Self::NoSuchInstance | Self::NothingFits => wire::empty(StatusCode::NOT_FOUND),
            Self::Gone => wire::empty(StatusCode::GONE),
            Self::Unauthorized => wire::empty(StatusCode::UNAUTHORIZED),
            Self::Forbidden(base) => forbidden(base),
            Self::Quota(base, exceeded) => quota(base, &exceeded),
            Self::TooManyAttempts { wait } => too_many_attempts(wait),
            Self::Refused { status, message } => body(status, &message, "ArgumentException"),
            Self::ForeignHost(text) => body(StatusCode::FORBIDDEN, &text, "ForbiddenHost"),
            Self::Opening => unavailable("The server is starting: its store is being opened. Try again shortly."),
            Self::InvalidJson => body(StatusCode::BAD_REQUEST, "Invalid JSON content", "ArgumentException"),
            Self::BadRequest(text) => body(StatusCode::BAD_REQUEST, &text, "ArgumentException"),
            Self::Conflict(text) => body(StatusCode::CONFLICT, &text, "InstanceAlreadyExists"),
            Self::NotTerminal(text) => body(StatusCode::CONFLICT, &text, "InvalidOperationException"),
            Self::Diverges { message, divergence } => {
                let Divergence { position, expected, found, .. } = &*divergence;
                let kind = "NonDeterministicOrchestrationException";
                let error =
                    ErrorBody { message: &message, exception_message: &message, exception_type: kind, stack_trace: "" };
                wire::json(StatusCode::CONFLICT, &DivergenceBody { error, position: *position, expected, found })
            }
            Self::Busy(text) => unavailable(&text),
            Self::BareText(text) => wire::json(StatusCode::BAD_REQUEST, &text),
            Self::BodyTooLarge { limit } => {
                let text = format!("The request's body is larger than the limit of {limit} bytes.");
                body(StatusCode::PAYLOAD_TOO_LARGE, &text, "PayloadTooLarge")
            }
            Self::SlowBody => {
                body(StatusCode::REQUEST_TIMEOUT, "The request's body did not arrive in time.", "Timeout")
            }
            Self::BrokenBody => body(StatusCode::BAD_REQUEST, "The request's body broke off.", "ArgumentException"),
            Self::Admin { status, code, message } => {
                let mut response =
                    wire::json(status, &AdminError { error: AdminErrorDetail { code, message: &message } });
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    response.headers_mut().insert(RETRY_AFTER, SHORTLY);
                }
                response
            }
            Self::Store(error) => store_failed(&error),
        }
    }
}

fn store_failed(error: &StoreError) -> Response {
    tracing::error!(%error, "a request failed in the store");
    match error {
        StoreError::Unavailable(_) => unavailable("The server's store is unavailable. Try again shortly."),
        StoreError::TooLarge(text) => body(StatusCode::PAYLOAD_TOO_LARGE, text, "PayloadTooLarge"),
        StoreError::Corrupt(_) => unexpected(),
    }
}

/// The same whatever there is, so that nothing is told.
fn forbidden(base: Base) -> Response {
    let message = "The key does not open this.";
    match base {
        Base::Admin => {
            wire::json(StatusCode::FORBIDDEN, &AdminError { error: AdminErrorDetail { code: "forbidden", message } })
        }
        Base::Webhooks | Base::Extension | Base::Rpc | Base::Root => {
            body(StatusCode::FORBIDDEN, message, "UnauthorizedAccessException")
        }
    }
}

fn quota(base: Base, exceeded: &QuotaExceeded) -> Response {
    let is_size = ["componentBytes", "storedBytes"].contains(&exceeded.quota);
    let status = if is_size { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::TOO_MANY_REQUESTS };
    let message = exceeded.to_string();
    let mut response = match base {
        Base::Admin => {
            let error = AdminErrorDetail { code: "quota-exceeded", message: &message };
            wire::json(status, &AdminError { error })
        }
        Base::Webhooks | Base::Extension | Base::Rpc | Base::Root => body(status, &message, "QuotaExceeded"),
    };
    if let Some(wait) = exceeded.wait {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    response
}

/// At least one: `Retry-After` has no parts of seconds.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn too_many_attempts(wait: Duration) -> Response {
    let text = "Too many wrong keys came from this address. Try again later.";
    let mut response = body(StatusCode::TOO_MANY_REQUESTS, text, "TooManyRequests");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    response
}

fn unavailable(text: &str) -> Response {
    let mut response = body(StatusCode::SERVICE_UNAVAILABLE, text, "ServiceUnavailable");
    response.headers_mut().insert(RETRY_AFTER, SHORTLY);
    response
}

fn unexpected() -> Response {
    body(StatusCode::INTERNAL_SERVER_ERROR, UNEXPECTED, "InternalServerError")
}

/// What a client gets for a panic in a handler; its text goes to the log.
#[allow(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(panic = text, "a request's handler panicked");
    unexpected()
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SendError> for ApiError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Unknown => Self::NoSuchInstance,
            SendError::Ended => Self::Gone,
            SendError::NotFailed => Self::Refused {
                status: StatusCode::PRECONDITION_FAILED,
                message: "Only a failed instance can be rewound.".to_owned(),
            },
            SendError::NoVersion => Self::Refused {
                status: StatusCode::CONFLICT,
                message: "The version of the app that the instance is on was removed with its app.".to_owned(),
            },
            SendError::Full => Self::Refused {
                status: StatusCode::TOO_MANY_REQUESTS,
                message: "The instance's history is full: it takes no further events in this execution.".to_owned(),
            },
            SendError::Changed => Self::Busy("The instance was changed meanwhile. Try again.".to_owned()),
            SendError::Store(error) => Self::Store(error),
        }
    }
}

impl From<MoveError> for ApiError {
    fn from(error: MoveError) -> Self {
        let message = format!("{error}.");
        match error {
            MoveError::Unknown => Self::NoSuchInstance,
            MoveError::Ended => Self::Gone,
            MoveError::NotFailed => SendError::NotFailed.into(),
            MoveError::UnknownVersion { .. } | MoveError::VersionGone => Self::BadRequest(message),
            MoveError::Diverges { divergence, .. } => Self::Diverges { message, divergence },
            MoveError::Child { error, .. } => match *error {
                MoveError::Diverges { divergence, .. } => Self::Diverges { message, divergence },
                other => other.into(),
            },
            MoveError::TooMany { .. } => Self::BadRequest(message),
            MoveError::Busy | MoveError::Check(CheckError::TooLong(_)) => Self::Busy(message),
            MoveError::Check(CheckError::Broken(text)) => Self::Store(StoreError::Corrupt(text)),
            MoveError::Check(CheckError::Host(fault)) => {
                tracing::error!(%fault, "a check of a version failed");
                Self::Busy("The server cannot run the version just now. Try again shortly.".to_owned())
            }
            MoveError::Store(error) => Self::Store(error),
        }
    }
}

impl From<PurgeError> for ApiError {
    fn from(error: PurgeError) -> Self {
        match error {
            PurgeError::Unknown => Self::NoSuchInstance,
            PurgeError::NotTerminal { .. } => Self::NotTerminal(format!("{error}.")),
            PurgeError::Store(error) => Self::Store(error),
        }
    }
}

impl From<StartError> for ApiError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::BadInstanceId(text) => Self::BadRequest(text),
            StartError::UnknownFunction { function, known } => Self::BadRequest(unknown_function(&function, &known)),
            StartError::Quota(exceeded) => Self::Quota(Base::Webhooks, exceeded),
            StartError::NoHub(_) => Self::Refused { status: StatusCode::NOT_FOUND, message: format!("{error}.") },
            StartError::Exists { .. } => Self::Conflict(error.to_string()),
            StartError::InputTooLarge { limit, .. } => Self::BodyTooLarge { limit },
            StartError::TooMany { .. } => Self::BadRequest(error.to_string()),
            StartError::Store(error) => Self::Store(error),
        }
    }
}

fn unknown_function(function: &str, known: &[String]) -> String {
    let known = if known.is_empty() {
        "No orchestrator functions are currently registered!".to_owned()
    } else {
        let names: Vec<_> = known.iter().map(|name| format!("'{name}'")).collect();
        format!("The following are the known orchestrator functions: {}.", names.join(", "))
    };
    format!(
        "The function '{function}' doesn't exist, is disabled, or is not an orchestrator function. Additional info: {known}"
    )
}

impl From<DeployError> for ApiError {
    fn from(error: DeployError) -> Self {
        let message = error.to_string();
        let (status, code) = match error {
            DeployError::Quota(exceeded) => return Self::Quota(Base::Admin, exceeded),
            DeployError::NoHub(_) => (StatusCode::NOT_FOUND, "no-such-hub"),
            DeployError::BadName(_) => (StatusCode::BAD_REQUEST, "bad-app-name"),
            DeployError::Admit(AdmitError::Refused(_)) => (StatusCode::BAD_REQUEST, "component-refused"),
            DeployError::Admit(AdmitError::TooLarge { .. }) => (StatusCode::PAYLOAD_TOO_LARGE, "component-too-large"),
            DeployError::Admit(AdmitError::Full) => (StatusCode::SERVICE_UNAVAILABLE, "host-busy"),
            DeployError::Admit(AdmitError::Host(_)) => {
                tracing::error!(error = message, "a deployment failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "host-failed")
            }
            DeployError::FunctionTaken { .. } => (StatusCode::CONFLICT, "function-taken"),
            DeployError::Store(error) => return Self::Store(error),
        };
        Self::Admin { status, code, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_functions_name_what_exists() {
        assert_eq!(
            unknown_function("X", &["A".to_owned(), "B".to_owned()]),
            "The function 'X' doesn't exist, is disabled, or is not an orchestrator function. Additional info: \
             The following are the known orchestrator functions: 'A', 'B'."
        );
        assert!(unknown_function("X", &[]).ends_with("No orchestrator functions are currently registered!"));
    }

    #[tokio::test]
    async fn a_bad_request_has_all_four_fields() {
        let response = ApiError::InvalidJson.into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            r#"{"Message":"Invalid JSON content","ExceptionMessage":"Invalid JSON content","ExceptionType":"ArgumentException","StackTrace":""}"#
        );
    }
}
