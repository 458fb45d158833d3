//! `GET instances/{id}/logs`: what an instance and its activities have logged.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiError;
use super::{Call, wire};
use crate::engine::LogLine;

/// Lines in an answer, unless it is said how many, and at most.
const LINES: usize = 200;
const MOST_LINES: usize = 1_000;

/// Some lines, oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Logs {
    lines: Vec<Line>,
    /// What to give as `after` for the lines that follow.
    next: u64,
    /// True: older lines that were asked for have made room for these.
    dropped: bool,
}

/// A line.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceLogLine)]
struct Line {
    /// Greater than that of every line before it.
    sequence: u64,
    /// UTC. Of an orchestrator: the time of the episode that wrote it.
    time: String,
    /// `trace`, `debug`, `info`, `warn` or `error`. What was printed is `info` (stdout) or `warn` (stderr).
    level: &'static str,
    /// `orchestrator` or `activity`.
    kind: &'static str,
    function: String,
    /// Of an activity: from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    message: String,
}

impl From<LogLine> for Line {
    fn from(line: LogLine) -> Self {
        Self {
            sequence: line.sequence,
            time: line.time.to_string(),
            level: line.level.name(),
            kind: if line.attempt.is_some() { "activity" } else { "orchestrator" },
            function: line.function.to_string(),
            attempt: line.attempt,
            message: line.text.into(),
        }
    }
}

/// Shows what an instance and its activities have logged and printed.
///
/// Kept in memory: the last 1,000 lines or 256 KiB of each instance, 32 MiB of all. An orchestrator's lines are there once
/// the episode that wrote them is durable.
#[utoipa::path(
    get,
    path = "/runtime/webhooks/durabletask/instances/{id}/logs",
    operation_id = "logs",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance."),
        ("after" = Option<u64>, Query, description = "Lines after this sequence only. Default: 0."),
        ("limit" = Option<u32>, Query, description = "Lines at most. Default: 200, at most 1,000."),
    ),
    responses(
        (status = 200, description = "The lines; empty when there are none.", body = Logs),
        (status = 404, description = "No such instance. Empty."),
    ),
)]
pub(super) async fn logs(call: Call) -> Result<Response, ApiError> {
    let after = call.query.integer("after").and_then(|after| u64::try_from(after).ok()).unwrap_or_default();
    let limit = call.query.integer("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LINES);
    let asked = (after, limit.clamp(1, MOST_LINES));
    let page = call.engine.logs(&call.hub, call.param(0), asked).await?.ok_or(ApiError::NoSuchInstance)?;
    let next = page.lines.last().map_or(after, |line| line.sequence);
    let lines = page.lines.into_iter().map(Line::from).collect();
    Ok(wire::json(StatusCode::OK, &Logs { lines, next, dropped: page.dropped }))
}
