"""The host's functions as the contract in ``wit/`` has them: the real ones in a component, others in tests."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Iterator

try:
    from componentize_py_types import Err
    from wit_world.imports import activity_context as _activity_context
    from wit_world.imports import client as _client
    from wit_world.imports import function_context as _function_context
    from wit_world.imports import orchestration as _orchestration
    from wit_world.imports.client import Filter, Parts, Reuse, RuntimeStatus, StartOptions, StartRequest
    from wit_world.imports.orchestration import ActivityOptions, HttpCall, HttpOptions, SubOrchestrationOptions
    from wit_world.imports.types import Cause, Failure, LogLevel, RetryPolicy, Tag

    IN_COMPONENT = True
except ImportError:
    from ._contract import (
        ActivityOptions,
        Cause,
        Err,
        Failure,
        Filter,
        HttpCall,
        HttpOptions,
        LogLevel,
        Parts,
        Reuse,
        RetryPolicy,
        RuntimeStatus,
        StartOptions,
        StartRequest,
        SubOrchestrationOptions,
        Tag,
    )

    _activity_context = _client = _function_context = _orchestration = None
    IN_COMPONENT = False

__all__ = [
    "ActivityOptions",
    "Backend",
    "Cause",
    "Err",
    "Failure",
    "Filter",
    "HttpCall",
    "HttpOptions",
    "IN_COMPONENT",
    "LogLevel",
    "Parts",
    "Reuse",
    "RetryPolicy",
    "Role",
    "RuntimeStatus",
    "StartOptions",
    "StartRequest",
    "SubOrchestrationOptions",
    "Tag",
    "backend",
    "replaced",
    "shown_path",
]


class Role(Enum):
    """What runs right now."""

    NOTHING = "nothing"
    ORCHESTRATOR = "an orchestrator"
    ACTIVITY = "an activity"
    FUNCTION = "a function"


class _Absent:
    """Stands for the host where there is none."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(
            f"'{name}' needs a durawasm host: run the function with `durawasm dev`, or in a test with durawasm.testing"
        )


@dataclass
class Backend:
    """Everything imported from the host, and the role in which it is used."""

    orchestration: Any = field(default_factory=_Absent)
    activity_context: Any = field(default_factory=_Absent)
    function_context: Any = field(default_factory=_Absent)
    client: Any = field(default_factory=_Absent)
    role: Role = Role.NOTHING


def _real() -> Backend:
    if not IN_COMPONENT:
        return Backend()
    return Backend(_orchestration, _activity_context, _function_context, _client)


_current = _real()


def backend() -> Backend:
    """The host of now."""
    return _current


@contextmanager
def replaced(other: Backend) -> Iterator[Backend]:
    """Another host for the time of a ``with``."""
    global _current
    before, _current = _current, other
    try:
        yield other
    finally:
        _current = before


#: Where the app's files were when the component was built.
_roots: list[str] = []


def set_root(folder: str) -> None:
    """Names the folder of the app, from which paths are shown."""
    _roots.append(folder.rstrip("/") + "/")


def shown_path(path: str) -> str | None:
    """A source file as its author knows it; none for the files of this package."""
    if path.startswith(os.path.dirname(__file__)) and not path.endswith("testing.py"):
        return None
    for root in _roots:
        if path.startswith(root):
            return path[len(root) :]
    return path
