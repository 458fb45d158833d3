"""What the client tells about instances."""

from __future__ import annotations

import json
from datetime import datetime
from enum import Enum
from typing import Any, Generator

from . import _host, _time
from ._json import decode


class OrchestrationRuntimeStatus(str, Enum):
    """What an instance is up to. Equal to its name."""

    Running = "Running"
    Completed = "Completed"
    ContinuedAsNew = "ContinuedAsNew"
    Failed = "Failed"
    Canceled = "Canceled"
    Terminated = "Terminated"
    Pending = "Pending"
    Suspended = "Suspended"

    def __str__(self) -> str:
        return str(self.value)


_NAMES = {
    "RUNNING": OrchestrationRuntimeStatus.Running,
    "COMPLETED": OrchestrationRuntimeStatus.Completed,
    "CONTINUED_AS_NEW": OrchestrationRuntimeStatus.ContinuedAsNew,
    "FAILED": OrchestrationRuntimeStatus.Failed,
    "CANCELED": OrchestrationRuntimeStatus.Canceled,
    "TERMINATED": OrchestrationRuntimeStatus.Terminated,
    "PENDING": OrchestrationRuntimeStatus.Pending,
    "SUSPENDED": OrchestrationRuntimeStatus.Suspended,
}


def contract_status(status: Any) -> _host.RuntimeStatus:
    """A status, or its name, in the contract's words."""
    wanted = OrchestrationRuntimeStatus(status)
    return next(_host.RuntimeStatus[name] for name, known in _NAMES.items() if known is wanted)


class DurableOrchestrationStatus:
    """An instance as the management API shows it. Of an instance that does not exist everything is ``None``, and the
    object counts as false."""

    def __init__(self, status: Any = None) -> None:
        def part(name: str) -> Any:
            return None if status is None else getattr(status, name)

        self.name: str | None = part("name")
        self.instance_id: str | None = part("instance_id")
        self.version: str | None = part("version")
        self.parent_instance_id: str | None = part("parent_instance_id")
        self.tags: dict[str, str] = {tag.name: tag.value for tag in part("tags") or []}
        self.created_time: datetime | None = self._time(part("created_time"))
        self.last_updated_time: datetime | None = self._time(part("last_updated_time"))
        self.input_: Any = decode(part("input"))
        self.output: Any = decode(part("output"))
        self.custom_status: Any = decode(part("custom_status"))
        self.history: list[Any] | None = decode(part("history"))
        state = part("runtime_status")
        self.runtime_status: OrchestrationRuntimeStatus | None = None if state is None else _NAMES[state.name]
        self._texts = {name: part(name) for name in ("input", "custom_status", "output", "history")}

    @staticmethod
    def _time(text: str | None) -> datetime | None:
        return None if text is None else _time.parse(text)

    def __bool__(self) -> bool:
        return self.instance_id is not None

    def __await__(self) -> Generator[Any, None, DurableOrchestrationStatus]:
        return self
        yield

    def __repr__(self) -> str:
        return f"DurableOrchestrationStatus({self.instance_id!r}, {self.runtime_status})"

    def to_json(self) -> dict[str, Any]:
        """The fields that are there, under the names of the management API."""

        def seconds(time: datetime | None) -> str | None:
            return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")

        fields = {
            "name": self.name,
            "version": self.version,
            "instanceId": self.instance_id,
            "runtimeStatus": None if self.runtime_status is None else self.runtime_status.value,
            "input": self.input_,
            "customStatus": self.custom_status,
            "output": self.output,
            "createdTime": seconds(self.created_time),
            "lastUpdatedTime": seconds(self.last_updated_time),
            "parentInstanceId": self.parent_instance_id,
            "historyEvents": self.history,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _wire_text(self) -> str:
        """The JSON of the management API, with the payloads as they were stored."""
        fields = self.to_json()
        for name, text in (("input", "input"), ("customStatus", "custom_status"), ("output", "output")):
            fields[name] = json.loads(self._texts[text] or "null")
        order = ["name", "version", "instanceId", "runtimeStatus", "input", "customStatus", "output"]
        rest = [name for name in fields if name not in order]
        ordered = {name: fields[name] for name in [*order, *rest] if name in fields}
        return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))


class PurgeHistoryResult:
    """How many instances were removed."""

    def __init__(self, instances_deleted: int) -> None:
        self.instances_deleted = instances_deleted

    def __await__(self) -> Generator[Any, None, PurgeHistoryResult]:
        return self
        yield

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PurgeHistoryResult) and other.instances_deleted == self.instances_deleted

    def __repr__(self) -> str:
        return f"PurgeHistoryResult({self.instances_deleted})"
