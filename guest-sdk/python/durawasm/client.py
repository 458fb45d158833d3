"""The durable client: starts orchestrations and manages them.

What a call acknowledges is durable when it returns. Calls answer at once, so ``await`` may stand before them or not.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Generator, Iterable, Mapping, Sequence, TypeVar
from urllib.parse import urlsplit

from . import _host, _time
from ._json import encode
from .context import Function, name_of, tags_of
from .errors import BadRequestError, DurableError
from .http import HttpRequest, HttpResponse
from .status import (
    DurableOrchestrationStatus,
    OrchestrationRuntimeStatus,
    PurgeHistoryResult,
    contract_status,
)

T = TypeVar("T")

Statuses = Iterable[OrchestrationRuntimeStatus | str]

_REUSE = {"never": _host.Reuse.NEVER, "terminal": _host.Reuse.TERMINAL, "any": _host.Reuse.ANY}


class ClientError(DurableError):
    """Why the client did nothing."""


class InstanceAlreadyExistsError(ClientError):
    """The id is taken by an instance that the start may not replace: ``status``."""

    def __init__(self, status: DurableOrchestrationStatus) -> None:
        super().__init__(f"an instance with ID '{status.instance_id}' already exists: it is {status.runtime_status}")
        self.status = status


class InstanceNotFoundError(ClientError):
    """There is no such instance."""


class InvalidStateError(ClientError):
    """The instance has ended, or has not ended, or has not failed, and the call needs it to be otherwise."""


class UnavailableError(ClientError):
    """The host cannot do it now; trying again later may help."""


class _Text(str):
    def __await__(self) -> Generator[Any, None, str]:
        return str(self)
        yield


class _List(list[T]):
    def __await__(self) -> Generator[Any, None, list[T]]:
        return list(self)
        yield


class _Done:
    """Nothing, and done: there is nothing to wait for."""

    def __bool__(self) -> bool:
        return False

    def __await__(self) -> Generator[Any, None, None]:
        return None
        yield


class _Response(HttpResponse):
    def __await__(self) -> Generator[Any, None, HttpResponse]:
        return self
        yield


class DurableOrchestrationClient:
    """Starts orchestrations of the own hub and manages them. Works in activities and client functions."""

    def __init__(self, context: str | None = None, function_invocation_id: str | None = None) -> None:
        """``context`` is what a binding of the original hands over; the hub is always the function's own."""
        self._binding = context

    @property
    def task_hub_name(self) -> str:
        """The hub of the HTTP, manual or timer function that runs."""
        return str(_host.backend().function_context.info().hub)

    def _check_hub(self, name: str | None) -> None:
        if name is not None and name != self.task_hub_name:
            raise ValueError(f"the client manages the function's own hub, {self.task_hub_name}, and not {name}")

    # Starts

    def start_new(
        self,
        orchestration_function_name: Function,
        instance_id: str | None = None,
        client_input: Any = None,
        version: str | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        reuse: str = "terminal",
        scheduled_at: datetime | None = None,
    ) -> _Text:
        """Starts an orchestration and gives its instance id.

        ``reuse`` says what happens when the id is taken: ``never`` refuses, ``terminal`` replaces an instance that has
        ended, ``any`` replaces every one. A refusal is an `InstanceAlreadyExistsError`. A body of bytes is taken for the
        JSON that it is.
        """
        name = name_of(orchestration_function_name)
        options = _start_options(instance_id, version, tags, reuse, scheduled_at)
        return _Text(_call("start_new", instance_id, name, _input(client_input, name), options))

    def start_many(self, requests: Sequence[Mapping[str, Any]]) -> _List[str]:
        """Starts several orchestrations, all or none: ``[{"FunctionName", "Input", "InstanceId"}]``. Gives their ids."""
        starts = []
        for request in requests:
            unknown = request.keys() - {"FunctionName", "Input", "InstanceId"}
            if unknown or not request.get("FunctionName"):
                raise ValueError(f"a start has FunctionName, Input and InstanceId, not {sorted(request)}")
            name = name_of(request["FunctionName"])
            options = _start_options(request.get("InstanceId"), None, None, "terminal", None)
            starts.append(_host.StartRequest(name, _input(request.get("Input"), name), options))
        return _List(_call("start_many", None, starts))

    # Questions

    def get_status(
        self, instance_id: str, show_history: bool = False, show_history_output: bool = False, show_input: bool = True
    ) -> DurableOrchestrationStatus:
        """The status of an instance. One that does not exist has a status of ``None`` s, which counts as false."""
        parts = _host.Parts(show_input, show_history, show_history_output)
        return DurableOrchestrationStatus(_call("get_status", instance_id, instance_id, parts))

    def get_status_all(self) -> _List[DurableOrchestrationStatus]:
        """The status of every instance of the hub."""
        return self.get_status_by()

    def get_status_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: Statuses | None = None,
        instance_id_prefix: str | None = None,
        *,
        name: Function | None = None,
        show_input: bool = True,
    ) -> _List[DurableOrchestrationStatus]:
        """The status of every instance that fits, oldest first."""
        wanted = _filter(created_time_from, created_time_to, runtime_status, name, instance_id_prefix)
        found: _List[DurableOrchestrationStatus] = _List()
        continuation = None
        while True:
            page = _call("list_instances", None, wanted, show_input, None, continuation)
            found.extend(DurableOrchestrationStatus(status) for status in page.instances)
            continuation = page.continuation
            if continuation is None:
                return found

    def wait_for_completion(self, instance_id: str, timeout: float | timedelta) -> DurableOrchestrationStatus:
        """Waits until the instance has ended; the status counts as false if it has not after so many seconds."""
        return DurableOrchestrationStatus(_call("wait_for_completion", instance_id, instance_id, _millis(timeout)))

    def wait_for_start(self, instance_id: str, timeout: float | timedelta = 30.0) -> DurableOrchestrationStatus:
        """Waits until the instance runs or has ended; the status counts as false if it is still pending."""
        return DurableOrchestrationStatus(_call("wait_for_start", instance_id, instance_id, _millis(timeout)))

    # Management

    def raise_event(
        self,
        instance_id: str,
        event_name: str,
        event_data: Any = None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> _Done:
        """Raises an event on an instance of the own hub: to name another one is an error."""
        self._check_hub(task_hub_name)
        text = encode(event_data, f"the data of event '{event_name}'")
        return _done("raise_event", instance_id, instance_id, event_name, text)

    def terminate(self, instance_id: str, reason: str | None = None, *, recursive: bool = False) -> _Done:
        """Ends an instance from outside."""
        return _done("terminate", instance_id, instance_id, reason, recursive)

    def suspend(self, instance_id: str, reason: str | None = None) -> _Done:
        """Makes an instance stand still."""
        return _done("suspend", instance_id, instance_id, reason)

    def resume(self, instance_id: str, reason: str | None = None) -> _Done:
        """Lets a suspended instance go on."""
        return _done("resume", instance_id, instance_id, reason)

    def rewind(
        self,
        instance_id: str,
        reason: str | None = None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> _Done:
        """Lets a failed instance of the own hub go on from before its failure."""
        self._check_hub(task_hub_name)
        return _done("rewind", instance_id, instance_id, reason)

    def restart(self, instance_id: str, restart_with_new_instance_id: bool = True) -> _Text:
        """Starts an instance anew and gives its id."""
        return _Text(_call("restart", instance_id, instance_id, restart_with_new_instance_id))

    def purge_instance_history(self, instance_id: str, *, recursive: bool = False) -> PurgeHistoryResult:
        """Removes an instance that has ended."""
        return PurgeHistoryResult(_call("purge", instance_id, instance_id, recursive))

    def purge_instance_history_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: Statuses | None = None,
        *,
        name: Function | None = None,
        instance_id_prefix: str | None = None,
        recursive: bool = False,
    ) -> PurgeHistoryResult:
        """Removes all instances that fit and have ended."""
        wanted = _filter(created_time_from, created_time_to, runtime_status, name, instance_id_prefix)
        return PurgeHistoryResult(_call("purge_many", None, wanted, recursive))

    # Answers of HTTP functions

    def create_http_management_payload(self, instance_id: str) -> dict[str, str]:
        """The URLs by which others manage the instance, ready to be given away."""
        payload = _call("create_management_payload", instance_id, instance_id)
        return {_camel(name): getattr(payload, name) for name in _LINKS}

    def get_client_response_links(self, request: HttpRequest | None, instance_id: str) -> dict[str, str]:
        """The same, on the scheme and host of a request."""
        links = self.create_http_management_payload(instance_id)
        if request is None:
            return links
        to = _origin(request.url)
        return {name: to + link[len(_origin(link)) :] if to and _origin(link) else link for name, link in links.items()}

    def create_check_status_response(self, request: HttpRequest | None, instance_id: str) -> _Response:
        """What the management API answers a start with: 202, and where to ask for the instance."""
        links = self.get_client_response_links(request, instance_id)
        headers = {"Location": links["statusQueryGetUri"], "Retry-After": "10"}
        return _Response(_compact(links), status_code=202, headers=headers, mimetype="application/json")

    def wait_for_completion_or_create_check_status_response(
        self,
        request: HttpRequest | None,
        instance_id: str,
        timeout_in_milliseconds: float = 10_000,
        retry_interval_in_milliseconds: float = 1_000,
    ) -> _Response:
        """Answers with the output if the instance ends in time, and with where to ask for it if not.

        A failed instance is answered with 500 and its status, a terminated one with 200 and its status. The answer comes
        the moment the instance ends; the interval is there because the original has it.
        """
        if retry_interval_in_milliseconds > timeout_in_milliseconds:
            interval, timeout = retry_interval_in_milliseconds, timeout_in_milliseconds
            raise ValueError(f"the interval ({interval} ms) is above the timeout ({timeout} ms)")
        status = self.wait_for_completion(instance_id, timedelta(milliseconds=timeout_in_milliseconds))
        if not status:
            return self.create_check_status_response(request, instance_id)
        if status.runtime_status is OrchestrationRuntimeStatus.Completed:
            return _Response(status._texts["output"] or "null", mimetype="application/json")
        failed = status.runtime_status is OrchestrationRuntimeStatus.Failed
        return _Response(status._wire_text(), status_code=500 if failed else 200, mimetype="application/json")


_LINKS = (
    "id",
    "status_query_get_uri",
    "send_event_post_uri",
    "terminate_post_uri",
    "rewind_post_uri",
    "purge_history_delete_uri",
    "restart_post_uri",
    "suspend_post_uri",
    "resume_post_uri",
)


def _origin(url: str) -> str:
    """Scheme and host of a URL; nothing for what is none, such as the id among the links."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _millis(timeout: float | timedelta) -> float:
    return timeout / timedelta(milliseconds=1) if isinstance(timeout, timedelta) else float(timeout) * 1000


def _input(value: Any, name: str) -> str | None:
    if not isinstance(value, (bytes, bytearray)):
        return encode(value, f"the input of orchestrator '{name}'")
    if not value.strip():
        return None
    try:
        return encode(json.loads(value), f"the input of orchestrator '{name}'")
    except ValueError as error:
        raise BadRequestError(f"the body that is the input of orchestrator '{name}' is not JSON: {error}") from None


def _start_options(
    instance_id: str | None,
    version: str | None,
    tags: Mapping[str, str] | None,
    reuse: str,
    scheduled_at: datetime | None,
) -> _host.StartOptions:
    if reuse not in _REUSE:
        raise ValueError(f"reuse is 'never', 'terminal' or 'any', not {reuse!r}")
    return _host.StartOptions(
        instance_id=instance_id or None,
        version=version,
        tags=tags_of(tags),
        reuse=_REUSE[reuse],
        scheduled_at=_time.optional_text(scheduled_at),
    )


def _filter(
    created_from: datetime | None,
    created_to: datetime | None,
    statuses: Statuses | None,
    name: Function | None,
    prefix: str | None,
) -> _host.Filter:
    return _host.Filter(
        created_from=_time.optional_text(created_from),
        created_to=_time.optional_text(created_to),
        runtime_status=[contract_status(status) for status in statuses or []],
        name=None if name is None else name_of(name),
        instance_id_prefix=prefix,
    )


def _done(call: str, instance_id: str, *args: Any) -> _Done:
    _call(call, instance_id, *args)
    return _Done()


def _call(call: str, instance_id: str | None, *args: Any) -> Any:
    try:
        return getattr(_host.backend().client, call)(*args)
    except _host.Err as error:
        raise _error(error.value, instance_id) from None


def _error(refusal: Any, instance_id: str | None) -> ClientError:
    kind = type(refusal).__name__.removeprefix("Error_")
    instance = f"instance '{instance_id}'"
    value = getattr(refusal, "value", None)
    if kind == "AlreadyExists":
        return InstanceAlreadyExistsError(DurableOrchestrationStatus(value))
    if kind == "NotFound":
        return InstanceNotFoundError(f"there is no {instance}")
    if kind in ("Ended", "NotFailed", "NotEnded"):
        reason = {"Ended": "has ended", "NotFailed": "has not failed: only failed ones can be rewound"}
        return InvalidStateError(f"{instance} {reason.get(kind, 'has not ended: only what has ended can be purged')}")
    return UnavailableError(str(value)) if kind == "Unavailable" else ClientError(str(value))
