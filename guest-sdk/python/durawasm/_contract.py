"""The records of the contract in ``wit/``, for where the generated ones are not: outside a component."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Err(Exception):
    """What a function of the host refuses with."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


@dataclass
class Tag:
    name: str
    value: str


@dataclass
class Cause:
    error_type: str
    message: str
    stack_trace: str | None = None


@dataclass
class Failure:
    error_type: str
    message: str
    stack_trace: str | None = None
    non_retriable: bool = False
    causes: list[Cause] = field(default_factory=list)
    properties: str | None = None


@dataclass
class RetryPolicy:
    first_retry_interval: float
    max_attempts: int
    backoff_coefficient: float
    max_retry_interval: float | None
    retry_timeout: float | None


class LogLevel(Enum):
    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4


@dataclass
class ActivityOptions:
    retry: RetryPolicy | None
    timeout: float | None
    tags: list[Tag]


@dataclass
class SubOrchestrationOptions:
    instance_id: str | None
    retry: RetryPolicy | None
    version: str | None
    tags: list[Tag]


@dataclass
class HttpCall:
    method: str
    uri: str
    headers: list[Tag]
    body: bytes | None


@dataclass
class HttpOptions:
    retry: RetryPolicy | None
    retry_statuses: list[int]
    timeout: float | None
    poll: bool
    tags: list[Tag]


class RuntimeStatus(Enum):
    RUNNING = 0
    COMPLETED = 1
    CONTINUED_AS_NEW = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    PENDING = 6
    SUSPENDED = 7


class Reuse(Enum):
    NEVER = 0
    TERMINAL = 1
    ANY = 2


@dataclass
class StartOptions:
    instance_id: str | None
    version: str | None
    tags: list[Tag]
    reuse: Reuse
    scheduled_at: str | None


@dataclass
class StartRequest:
    name: str
    input: str | None
    options: StartOptions


@dataclass
class Parts:
    input: bool
    history: bool
    history_output: bool


@dataclass
class Filter:
    created_from: str | None
    created_to: str | None
    runtime_status: list[RuntimeStatus]
    name: str | None
    instance_id_prefix: str | None
