"""The orchestrator's context."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Callable, Iterable, Mapping

from . import _host, _time
from ._json import decode, encode
from .errors import DurableError
from .retry import RetryOptions
from .tasks import AtomicTask, TaskBase, TimerTask, WhenAllTask, WhenAnyTask

#: A function by its name, or the decorated function itself.
Function = str | Callable[..., Any]


def name_of(function: Function) -> str:
    """The name under which a function is called."""
    if isinstance(function, str):
        return function
    name = getattr(function, "function_name", None)
    if isinstance(name, str):
        return name
    raise TypeError(f"{function!r} is no function of an app: pass its name, or the decorated function")


def tags_of(tags: Mapping[str, str] | None) -> list[_host.Tag]:
    """Tags as the host takes them."""
    return [_host.Tag(str(name), str(value)) for name, value in (tags or {}).items()]


def _millis(limit: float | timedelta | None) -> float | None:
    if limit is None:
        return None
    return limit / timedelta(milliseconds=1) if isinstance(limit, timedelta) else float(limit) * 1000


class DurableOrchestrationContext:
    """What an orchestrator can do; its only parameter.

    Calls that give a task have the work done from then on; to ``yield`` or ``await`` it only waits for the result.

    ``expected_type`` is taken wherever the original takes it, and nothing is checked by it.
    """

    def __init__(self, input_text: str | None) -> None:
        self._input_text = input_text
        self._host = _host.backend().orchestration
        self._info = self._host.instance()
        self._custom_status: Any = None
        self._continues = False

    # Who is running

    @property
    def instance_id(self) -> str:
        """The id of the instance."""
        return str(self._info.instance_id)

    @property
    def execution_id(self) -> str:
        """A new one for each execution: continue-as-new keeps the instance id and changes this."""
        return str(self._info.execution_id)

    @property
    def parent_instance_id(self) -> str | None:
        """The instance that called this one as a sub-orchestration."""
        parent: str | None = self._info.parent_instance_id
        return parent

    @property
    def name(self) -> str:
        """The orchestrator function's name."""
        return str(self._info.name)

    @property
    def version(self) -> str | None:
        """The version label the instance was started with."""
        version: str | None = self._info.version
        return version

    @property
    def tags(self) -> dict[str, str]:
        """The tags the instance was started with."""
        return {tag.name: tag.value for tag in self._info.tags}

    @property
    def is_replaying(self) -> bool:
        """Always false: what is logged or printed in a replay is left out by the host."""
        return False

    @property
    def current_utc_datetime(self) -> datetime:
        """The time of the last completion that this orchestrator has seen; of its start before the first."""
        return _time.parse(self._host.current_time())

    def get_input(self, expected_type: type | None = None) -> Any:
        """What the instance was started with."""
        return decode(self._input_text)

    # Calls

    def call_activity(
        self,
        name: Function,
        input_: Any = None,
        expected_type: type | None = None,
        *,
        timeout: float | timedelta | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> AtomicTask[Any]:
        """Calls an activity, of this app or another one of the hub. ``timeout`` (seconds) is for each attempt."""
        return self._activity(name, input_, None, timeout, tags)

    def call_activity_with_retry(
        self,
        name: Function,
        retry_options: RetryOptions,
        input_: Any = None,
        expected_type: type | None = None,
        *,
        timeout: float | timedelta | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> AtomicTask[Any]:
        """Calls an activity that is tried again when it fails."""
        return self._activity(name, input_, retry_options, timeout, tags)

    def _activity(
        self,
        function: Function,
        input_: Any,
        retry: RetryOptions | None,
        timeout: float | timedelta | None,
        tags: Mapping[str, str] | None,
    ) -> AtomicTask[Any]:
        name = name_of(function)
        text = encode(input_, f"the input of activity '{name}'")
        policy = None if retry is None else retry._policy()
        options = _host.ActivityOptions(policy, _millis(timeout), tags_of(tags))
        return AtomicTask(self._host.call_activity(name, text, options))

    def call_sub_orchestrator(
        self,
        name: Function,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: type | None = None,
        *,
        tags: Mapping[str, str] | None = None,
    ) -> AtomicTask[Any]:
        """Calls another orchestrator as a child and waits for its end."""
        options = _host.SubOrchestrationOptions(instance_id, None, version, tags_of(tags))
        return self._child(name, input_, options)

    def call_sub_orchestrator_with_retry(
        self,
        name: Function,
        retry_options: RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: type | None = None,
        *,
        tags: Mapping[str, str] | None = None,
    ) -> AtomicTask[Any]:
        """Calls another orchestrator, which is tried again when it fails."""
        options = _host.SubOrchestrationOptions(instance_id, retry_options._policy(), version, tags_of(tags))
        return self._child(name, input_, options)

    def _child(self, function: Function, input_: Any, options: _host.SubOrchestrationOptions) -> AtomicTask[Any]:
        name = name_of(function)
        text = encode(input_, f"the input of sub-orchestrator '{name}'")
        return AtomicTask(self._host.call_sub_orchestration(name, text, options))

    def start_sub_orchestrator(
        self,
        name: Function,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        *,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Starts another orchestrator that nobody waits for, and gives its instance id."""
        options = _host.SubOrchestrationOptions(instance_id, None, version, tags_of(tags))
        text = encode(input_, f"the input of sub-orchestrator '{name_of(name)}'")
        return str(self._host.start_sub_orchestration(name_of(name), text, options))

    def call_http(
        self,
        method: str,
        uri: str,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
        token_source: Any = None,
        is_raw_str: bool = False,
        *,
        retry_options: RetryOptions | None = None,
        retry_statuses: Iterable[int] = (),
        timeout: float | timedelta | None = None,
        asynchronous_pattern_enabled: bool = True,
        tags: Mapping[str, str] | None = None,
    ) -> AtomicTask[Any]:
        """Has the host make an HTTP request; the result is ``{"statusCode", "headers", "content"}``, whatever the status.

        ``content`` is sent as JSON; a str as it is if ``is_raw_str``. An answer of 202 with a ``Location`` is asked for
        again until the work is done, unless ``asynchronous_pattern_enabled`` is false. ``retry_options`` are for answers
        with one of the ``retry_statuses`` (none: all of 400 and above), and for calls without an answer.
        """
        if token_source is not None:
            raise ValueError("token_source is not supported: send what proves who you are in the headers")
        raw = content if isinstance(content, str) and is_raw_str else encode(content, f"the content for {uri}")
        sent = dict(headers or {})
        if raw is not None and not is_raw_str and not any(name.lower() == "content-type" for name in sent):
            sent["Content-Type"] = "application/json"
        body = None if raw is None else raw.encode()
        options = _host.HttpOptions(
            retry=None if retry_options is None else retry_options._policy(),
            retry_statuses=list(retry_statuses),
            timeout=_millis(timeout),
            poll=asynchronous_pattern_enabled,
            tags=tags_of(tags),
        )
        return AtomicTask(self._host.call_http(_host.HttpCall(method.upper(), uri, tags_of(sent), body), options))

    def call_entity(self, *_: Any, **__: Any) -> Any:
        """There are no entities: says so."""
        raise DurableError("entities are not offered by this host: keep the state in an orchestration that takes events")

    signal_entity = call_entity

    # Waits

    def create_timer(self, fire_at: datetime | timedelta) -> TimerTask:
        """A durable timer of any length. A time without a zone is in UTC; a duration counts from now."""
        if isinstance(fire_at, timedelta):
            fire_at = self.current_utc_datetime + fire_at
        return TimerTask(self._host.create_timer(_time.text(fire_at)))

    def wait_for_external_event(self, name: str, expected_type: type | None = None) -> AtomicTask[Any]:
        """Waits for an event raised from outside; names are the same in upper and lower case."""
        return AtomicTask(self._host.wait_for_event(name))

    def task_all(self, activities: Iterable[TaskBase[Any]]) -> WhenAllTask:
        """Completes with the results of all tasks, in their order, or fails with the first failure.

        More than 256 tasks are waited for in one call: a failure is then seen when all have ended.
        """
        return WhenAllTask(activities)

    def task_any(self, activities: Iterable[TaskBase[Any]]) -> WhenAnyTask:
        """Completes with the task that completed first. The others go on."""
        return WhenAnyTask(activities)

    # What the instance shows and does

    @property
    def custom_status(self) -> Any:
        """What this execution has set."""
        return self._custom_status

    def set_custom_status(self, status: Any) -> None:
        """What the status shows as ``customStatus``, at most 16 KiB of JSON; ``None`` clears it."""
        self._host.set_custom_status(encode(status, "the custom status"))
        self._custom_status = status

    def new_uuid(self) -> str:
        """A GUID that is the same in every replay and different in every call."""
        return str(self._host.new_guid())

    def new_guid(self) -> uuid.UUID:
        """The same as an object."""
        return uuid.UUID(self.new_uuid())

    def send_event(self, instance_id: str, event_name: str, event_data: Any = None) -> None:
        """Raises an event on another instance, or on this one."""
        self._host.send_event(instance_id, event_name, encode(event_data, f"the data of event '{event_name}'"))

    def continue_as_new(self, input_: Any, *, keep_events: bool = False) -> None:
        """Ends this execution when the function returns, and starts the next one with a fresh history.

        Events that nobody has waited for are dropped unless ``keep_events`` is true.
        """
        self._host.continue_as_new(encode(input_, "the input of the next execution"), keep_events)
        self._continues = True

    @property
    def will_continue_as_new(self) -> bool:
        """`continue_as_new` was called."""
        return self._continues
