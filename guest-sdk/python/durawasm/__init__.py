"""Durable Functions in Python, as WebAssembly components that durawasm runs."""

from .app import AuthLevel, Blueprint, DFApp, FunctionApp, FunctionBuilder
from .client import (
    ClientError,
    DurableOrchestrationClient,
    InstanceAlreadyExistsError,
    InstanceNotFoundError,
    InvalidStateError,
    UnavailableError,
)
from .context import DurableOrchestrationContext
from .errors import BadRequestError, DurableError, FailureCause, FunctionError, NotJsonError, TaskFailedError
from .http import HttpMethod, HttpRequest, HttpResponse
from .invocation import ActivityContext, Context, Out, TimerRequest
from .orchestrator import Orchestrator
from .retry import RetryOptions
from .status import DurableOrchestrationStatus, OrchestrationRuntimeStatus, PurgeHistoryResult
from .tasks import Stalled, TaskBase, TaskState, TimerTask

__version__ = "0.1.0"

__all__ = [
    "ActivityContext",
    "AuthLevel",
    "BadRequestError",
    "Blueprint",
    "ClientError",
    "Context",
    "DFApp",
    "DurableError",
    "DurableOrchestrationClient",
    "DurableOrchestrationContext",
    "DurableOrchestrationStatus",
    "FailureCause",
    "FunctionApp",
    "FunctionBuilder",
    "FunctionError",
    "HttpMethod",
    "HttpRequest",
    "HttpResponse",
    "InstanceAlreadyExistsError",
    "InstanceNotFoundError",
    "InvalidStateError",
    "NotJsonError",
    "OrchestrationRuntimeStatus",
    "Orchestrator",
    "Out",
    "PurgeHistoryResult",
    "RetryOptions",
    "Stalled",
    "TaskBase",
    "TaskFailedError",
    "TaskState",
    "TimerRequest",
    "TimerTask",
    "UnavailableError",
]
