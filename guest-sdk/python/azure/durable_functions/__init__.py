"""The names of ``azure.durable_functions`` that durawasm knows, so that apps written for it run unchanged."""

from typing import Any

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

_ENTITIES = ("DurableEntityContext", "Entity", "EntityId", "EntityStateResponse")


def __getattr__(name: str) -> Any:
    if name in _ENTITIES:
        raise ImportError(f"{name}: entities are not offered by this host; keep the state in an orchestration that takes events")
    if name == "ManagedIdentityTokenSource":
        raise ImportError(f"{name} is not offered by this host: send what proves who you are in the headers of call_http")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
