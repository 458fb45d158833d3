//! The shapes of the wire that are built field by field, told to the OpenAPI document: what `history.rs` makes.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An event of a history. Which fields it has depends on `EventType` (http-api.md 5).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HistoryEvent {
    /// `ExecutionStarted`, `TaskScheduled`, `TaskCompleted`, `TaskFailed`, `TimerCreated`, `TimerFired`, `EventRaised`,
    /// `ExecutionSuspended`, `ExecutionResumed`, `ExecutionTerminated`, `ContinueAsNew`, `ExecutionCompleted`; others
    /// may be added.
    event_type: String,
    /// UTC, up to 7 fraction digits.
    timestamp: String,
    /// A string that holds JSON; absent with `showInput=false`.
    input: Option<String>,
    /// Only with `showHistoryOutput=true`: any JSON.
    result: Option<Value>,
    /// Of a call that is still open, or of an event.
    name: Option<String>,
    /// Of the orchestrator, or of the activity that was called.
    function_name: Option<String>,
    /// Of a completion: when the call was made.
    scheduled_time: Option<String>,
    /// Of a timer.
    fire_at: Option<String>,
    /// Why.
    reason: Option<String>,
    /// Of a failure: where.
    details: Option<String>,
    failure_details: Option<FailureDetails>,
    /// How the execution ended.
    orchestration_status: Option<String>,
    parent_trace_context: Option<ParentTraceContext>,
    /// Names and values.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    tags: Option<Value>,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct FailureDetails {
    error_type: String,
    error_message: String,
    stack_trace: Option<String>,
    inner_failure: Option<FailureCause>,
    is_non_retriable: bool,
    /// Any JSON.
    properties: Option<Value>,
}

/// What led to it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct FailureCause {
    error_type: String,
    error_message: String,
    stack_trace: Option<String>,
    #[schema(no_recursion)]
    inner_failure: Option<Box<FailureCause>>,
}

/// The caller's trace context.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct ParentTraceContext {
    trace_parent: String,
    trace_state: Option<String>,
}
