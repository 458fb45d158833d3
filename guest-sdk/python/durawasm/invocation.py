"""What activities, HTTP, manual and timer functions know about their own call."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from . import _host
from ._json import decode, encode

T = TypeVar("T")


class Context:
    """The call of an HTTP, manual or timer function: what a parameter ``context`` takes."""

    def __init__(self, function_name: str) -> None:
        self.function_name = function_name

    @property
    def invocation_id(self) -> str:
        """A new one for every call."""
        return str(_host.backend().function_context.info().invocation_id)

    @property
    def hub(self) -> str:
        """The task hub."""
        return str(_host.backend().function_context.info().hub)


class ActivityContext:
    """The call of an activity: what a parameter ``context`` takes."""

    def __init__(self, function_name: str) -> None:
        self.function_name = function_name
        self._info = _host.backend().activity_context.info()

    @property
    def instance_id(self) -> str:
        """The instance that called."""
        return str(self._info.instance_id)

    @property
    def task_id(self) -> int:
        """The task of the call in that instance."""
        return int(self._info.task)

    @property
    def attempt(self) -> int:
        """1 for the first attempt of a retry policy."""
        return int(self._info.attempt)

    @property
    def idempotency_key(self) -> str:
        """The same for every delivery of one attempt: give it to services that can deduplicate."""
        return str(self._info.idempotency_key)

    @property
    def invocation_id(self) -> str:
        """The same, under the name that other functions have it."""
        return self.idempotency_key

    @property
    def last_heartbeat(self) -> Any:
        """What the attempt before this one gave with its last heartbeat: where to go on from."""
        return decode(self._info.last_heartbeat)

    def heartbeat(self, details: Any = None) -> bool:
        """Says that the activity is alive, with what its next attempt should know. True: nobody waits for it any more."""
        return bool(_host.backend().activity_context.heartbeat(encode(details, "the details of the heartbeat")))


class Out(Generic[T]):
    """What an output binding takes."""

    def __init__(self) -> None:
        self._value: T | None = None

    def set(self, val: T) -> None:
        """Sets it."""
        self._value = val

    def get(self) -> T | None:
        """What was set."""
        return self._value


class TimerRequest:
    """Why a timer function runs."""

    def __init__(self, details: dict[str, Any] | None = None) -> None:
        details = details or {}
        self.past_due = bool(details.get("isPastDue", False))
        status = details.get("scheduleStatus") or {}
        self.schedule_status: dict[str, Any] = status
