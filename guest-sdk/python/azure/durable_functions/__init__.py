"""The names of ``azure.durable_functions`` that durawasm knows, so that apps written for it run unchanged."""

from durawasm import (
    Blueprint,
    DFApp,
    DurableOrchestrationClient,
    DurableOrchestrationContext,
    DurableOrchestrationStatus,
    OrchestrationRuntimeStatus,
    Orchestrator,
    PurgeHistoryResult,
    RetryOptions,
)

__all__ = [
    "Blueprint",
    "DFApp",
    "DurableOrchestrationClient",
    "DurableOrchestrationContext",
    "DurableOrchestrationStatus",
    "OrchestrationRuntimeStatus",
    "Orchestrator",
    "PurgeHistoryResult",
    "RetryOptions",
]
