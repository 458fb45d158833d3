//! Parts that rows of several kinds have.

use durawasm_core::{AwaitedBy, Cause, Failure, Payload, RetryPolicy, TaskId};
use minicbor::{Decode, Encode};

use super::{LoadPieces, PayloadRow, Pieces};
use crate::store::StoreError;

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(super) struct RetryRow {
    #[n(0)]
    first_retry_interval_ms: f64,
    #[n(1)]
    max_attempts: u32,
    #[n(2)]
    backoff_coefficient: f64,
    #[n(3)]
    max_retry_interval_ms: Option<f64>,
    #[n(4)]
    retry_timeout_ms: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(super) struct FailureRow<'a> {
    #[b(0)]
    error_type: &'a str,
    #[b(1)]
    message: &'a str,
    #[b(2)]
    stack_trace: Option<&'a str>,
    #[n(3)]
    non_retriable: Option<bool>,
    #[b(4)]
    causes: Option<Vec<CauseRow<'a>>>,
    #[b(5)]
    properties: Option<PayloadRow<'a>>,
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct CauseRow<'a> {
    #[b(0)]
    error_type: &'a str,
    #[b(1)]
    message: &'a str,
    #[b(2)]
    stack_trace: Option<&'a str>,
}

/// Which call of a parent an outcome is for.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(super) struct AwaitedByRow<'a> {
    #[b(0)]
    execution_id: &'a str,
    #[n(1)]
    task: u32,
    #[n(2)]
    attempt: u32,
}

pub(super) fn payload_row<'a>(payload: Option<&'a Payload>, pieces: &mut Pieces) -> Option<PayloadRow<'a>> {
    payload.map(|payload| pieces.event(payload))
}

impl RetryRow {
    pub(super) fn new(policy: &RetryPolicy) -> Self {
        let RetryPolicy {
            first_retry_interval_ms,
            max_attempts,
            backoff_coefficient,
            max_retry_interval_ms,
            retry_timeout_ms,
        } = *policy;
        Self { first_retry_interval_ms, max_attempts, backoff_coefficient, max_retry_interval_ms, retry_timeout_ms }
    }

    pub(super) fn load(&self) -> RetryPolicy {
        let Self {
            first_retry_interval_ms,
            max_attempts,
            backoff_coefficient,
            max_retry_interval_ms,
            retry_timeout_ms,
        } = *self;
        RetryPolicy {
            first_retry_interval_ms,
            max_attempts,
            backoff_coefficient,
            max_retry_interval_ms,
            retry_timeout_ms,
        }
    }
}

impl<'a> FailureRow<'a> {
    pub(super) fn new(failure: &'a Failure, pieces: &mut Pieces) -> Self {
        let causes: Vec<_> = failure.causes.iter().map(CauseRow::new).collect();
        Self {
            error_type: &failure.error_type,
            message: &failure.message,
            stack_trace: failure.stack_trace.as_deref(),
            non_retriable: failure.non_retriable.then_some(true),
            causes: (!causes.is_empty()).then_some(causes),
            properties: payload_row(failure.properties.as_ref(), pieces),
        }
    }

    pub(super) fn load(&self, pieces: &mut dyn LoadPieces) -> Result<Failure, StoreError> {
        Ok(Failure {
            error_type: self.error_type.to_owned(),
            message: self.message.to_owned(),
            stack_trace: self.stack_trace.map(str::to_owned),
            non_retriable: self.non_retriable.unwrap_or(false),
            causes: self.causes.iter().flatten().map(CauseRow::load).collect(),
            properties: self.properties.map(|properties| properties.load(pieces)).transpose()?,
        })
    }
}

impl<'a> CauseRow<'a> {
    pub(super) fn new(cause: &'a Cause) -> Self {
        Self { error_type: &cause.error_type, message: &cause.message, stack_trace: cause.stack_trace.as_deref() }
    }

    pub(super) fn load(&self) -> Cause {
        Cause {
            error_type: self.error_type.to_owned(),
            message: self.message.to_owned(),
            stack_trace: self.stack_trace.map(str::to_owned),
        }
    }
}

impl<'a> AwaitedByRow<'a> {
    pub(super) fn new(awaited_by: &'a AwaitedBy) -> Self {
        let AwaitedBy { execution_id, task, attempt } = awaited_by;
        Self { execution_id, task: task.0, attempt: *attempt }
    }

    pub(super) fn load(&self) -> AwaitedBy {
        AwaitedBy { execution_id: self.execution_id.to_owned(), task: TaskId(self.task), attempt: self.attempt }
    }
}
