"""Errors: what functions fail with, and what failed calls raise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from . import _host

#: Links in the chain of causes that the host takes.
_CAUSES = 32


class DurableError(Exception):
    """The base of this package's errors."""


class NotJsonError(DurableError, TypeError):
    """A value that JSON has no form for."""

    non_retriable = True


class FunctionError(DurableError):
    """What a function fails with when the class of an exception and its text do not say enough.

    ``error_type`` takes the place of the class's name, ``non_retriable`` stops every retry policy, and ``properties`` (a
    dict) is shown beside the message.
    """

    def __init__(
        self,
        message: str,
        *,
        error_type: str | None = None,
        non_retriable: bool = False,
        properties: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.non_retriable = non_retriable
        self.properties = properties


class BadRequestError(DurableError, ValueError):
    """An error of the client that called an HTTP function: answered with 400 and the message."""

    non_retriable = True


@dataclass(frozen=True)
class FailureCause:
    """One link of the chain of causes of a failure."""

    error_type: str
    message: str
    stack_trace: str | None = None


def _optional(text: str | None) -> str | None:
    return None if text is None else str(text)


class TaskFailedError(DurableError):
    """A call that failed: an activity, a sub-orchestration. Raised where its task is waited for.

    Let it pass, or raise another exception ``from`` it: the failed call stays recognisable, and an instance that failed
    by it can be rewound.
    """

    def __init__(self, failure: _host.Failure) -> None:
        super().__init__(failure.message)
        self._failure = failure

    @property
    def message(self) -> str:
        """What went wrong."""
        return str(self._failure.message)

    @property
    def error_type(self) -> str:
        """The kind of error, in the words of the language that the function is written in."""
        return str(self._failure.error_type)

    @property
    def stack_trace(self) -> str | None:
        """Where it happened."""
        return _optional(self._failure.stack_trace)

    @property
    def non_retriable(self) -> bool:
        """No retry policy tries again."""
        return bool(self._failure.non_retriable)

    @property
    def causes(self) -> list[FailureCause]:
        """The chain of inner causes, outermost first."""
        return [FailureCause(cause.error_type, cause.message, cause.stack_trace) for cause in self._failure.causes]

    @property
    def properties(self) -> dict[str, Any] | None:
        """Further facts."""
        return None if self._failure.properties is None else json.loads(self._failure.properties)


def type_name(error: BaseException) -> str:
    """The kind of an exception: ``ValueError``, ``function_app.OutOfStock``."""
    named = getattr(error, "error_type", None)
    if isinstance(error, FunctionError) and named:
        return str(named)
    kind = type(error)
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def stack_of(trace: TracebackType | None) -> str | None:
    """The author's frames, outermost first, without those of this package."""
    lines = []
    while trace is not None:
        code = trace.tb_frame.f_code
        path = _host.shown_path(code.co_filename)
        if path is not None:
            name = getattr(code, "co_qualname", code.co_name)
            lines.append(f'File "{path}", line {trace.tb_lineno}, in {name}')
        trace = trace.tb_next
    return "\n".join(lines) or None


def to_failure(error: BaseException) -> _host.Failure:
    """What the host is told about an exception. A failed call that nobody caught stays what it is."""
    if isinstance(error, TaskFailedError):
        return error._failure
    properties = getattr(error, "properties", None)
    text = None
    if isinstance(properties, dict):
        try:
            text = json.dumps(properties, allow_nan=False)
        except (TypeError, ValueError):
            # Facts beside the error must not take its place.
            text = None
    return _host.Failure(
        error_type=type_name(error),
        message=_message(error),
        stack_trace=stack_of(error.__traceback__),
        non_retriable=bool(getattr(error, "non_retriable", False)),
        causes=_causes(error),
        properties=text,
    )


def _message(error: BaseException) -> str:
    # A text that cannot be encoded must not hide the error it belongs to.
    return (str(error) or type(error).__name__).encode("utf-8", "replace").decode()


def _causes(error: BaseException) -> list[_host.Cause]:
    causes: list[_host.Cause] = []
    seen = {id(error)}
    inner = _inner(error)
    while inner is not None and id(inner) not in seen and len(causes) < _CAUSES:
        seen.add(id(inner))
        if isinstance(inner, TaskFailedError):
            failure = inner._failure
            causes.append(_host.Cause(failure.error_type, failure.message, failure.stack_trace))
            causes.extend(failure.causes)
        else:
            causes.append(_host.Cause(type_name(inner), _message(inner), stack_of(inner.__traceback__)))
        inner = _inner(inner)
    return causes[:_CAUSES]


def _inner(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__
