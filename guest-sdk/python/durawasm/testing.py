"""Tests of orchestrators without a host: everything runs in the test's process, and no time passes.

    from durawasm.testing import Runner
    from function_app import app

    def test_a_late_approval_expires():
        result = Runner(app).run("Approval", "a trip")
        assert result.output == "expired"

An orchestrator runs twice: once to its end, and once more against what was recorded. One that does something else the
second time is not deterministic, and fails with `NonDeterminismError`.
"""

from __future__ import annotations

import heapq
import itertools
import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Iterable, Mapping

from . import _drive, _guest, _host, _json, _time
from ._contract import Cause, Failure
from .app import Blueprint, FunctionBuilder, Kind
from .context import DurableOrchestrationContext
from .errors import to_failure

__all__ = ["Call", "Event", "NonDeterminismError", "Result", "Runner"]

#: When everything begins, unless a test says otherwise.
START = datetime(2026, 1, 1, tzinfo=timezone.utc)

_NAMESPACE = uuid.UUID("9e952959-5e33-4daf-827f-2fa12937b875")


class NonDeterminismError(AssertionError):
    """An orchestrator did something else when it ran again."""


@dataclass(frozen=True)
class Event:
    """An event raised from outside, so long after the start."""

    name: str
    data: Any = None
    after: timedelta = timedelta()


@dataclass(frozen=True)
class Call:
    """Something that an orchestrator did."""

    kind: str
    name: str
    input: Any = None


@dataclass
class Result:
    """How an orchestration ended."""

    #: What it returned.
    output: Any = None
    #: What it failed with.
    error: BaseException | None = None
    #: What it showed last.
    custom_status: Any = None
    #: Everything it did, in order: activity, sub-orchestration, timer, event, send-event.
    calls: list[Call] = field(default_factory=list)
    #: When it ended.
    ended: datetime = START
    #: The input of the next execution, if it continued as new.
    continued_with: Any = None
    continued_as_new: bool = False

    def activities(self, name: str) -> list[Any]:
        """The inputs of all calls of an activity."""
        return [call.input for call in self.calls if call.kind == "activity" and call.name == name]


Fake = Callable[[Any], Any]


class Runner:
    """Runs the orchestrators of an app.

    ``activities`` and ``sub_orchestrators`` take the place of the app's own: functions of the input, by name. An
    exception of theirs fails the call. ``http`` answers HTTP calls: of method, URI and body. ``activity_time`` is how long each activity takes.
    """

    def __init__(
        self,
        app: Blueprint,
        *,
        activities: Mapping[str, Fake] | None = None,
        sub_orchestrators: Mapping[str, Fake] | None = None,
        http: Callable[[str, str, bytes | None], dict[str, Any]] | None = None,
        activity_time: timedelta = timedelta(milliseconds=1),
    ) -> None:
        self._functions: dict[tuple[Kind, str], FunctionBuilder] = {
            (builder.check().kind, builder.function_name): builder for builder in app.functions()
        }
        self._activities = dict(activities or {})
        self._children = dict(sub_orchestrators or {})
        self._http = http
        self._activity_time = activity_time

    def run(
        self,
        name: str,
        input_: Any = None,
        *,
        events: Iterable[Event] = (),
        instance_id: str = "test",
        rounds: int = 100,
    ) -> Result:
        """Runs an orchestrator to its end, over at most so many executions if it continues as new."""
        for _ in range(rounds):
            result = self._run_once(name, input_, list(events), instance_id)
            if not result.continued_as_new:
                return result
            input_, events = result.continued_with, ()
        return result

    def _run_once(self, name: str, input_: Any, events: list[Event], instance_id: str) -> Result:
        builder = self._functions.get((Kind.ORCHESTRATOR, name))
        if builder is None:
            raise LookupError(f"the app has no orchestrator '{name}'")
        text = _json.encode(input_, f"the input of orchestrator '{name}'")
        live = _Execution(self, name, instance_id, events)
        result = live.run(builder, text)
        again = _Execution(self, name, instance_id, events, recorded=live)
        replayed = again.run(builder, text)
        if repr(replayed.calls) != repr(result.calls):
            raise NonDeterminismError(_difference(name, result.calls, replayed.calls))
        if repr((replayed.output, type(replayed.error))) != repr((result.output, type(result.error))):
            raise NonDeterminismError(f"'{name}' came to {result.output!r}, and when it ran again to {replayed.output!r}")
        return result

    def _outcome(self, kind: Kind, name: str, text: str | None) -> Any:
        """What a call comes to: a text, or a failure."""
        value = _json.decode(text)
        fakes = self._activities if kind is Kind.ACTIVITY else self._children
        try:
            if name in fakes:
                return _json.encode(fakes[name](value), f"the output of '{name}'")
            builder = self._functions.get((kind, name))
            if builder is None:
                return Failure("FunctionNotFound", f"no app declares the {kind.value} '{name}'", non_retriable=True)
            if kind is Kind.ACTIVITY:
                output = _guest._call(builder, value, lambda: None)
                return _json.encode(output, f"the output of '{name}'")
            child = self.run(name, value, instance_id=f"test:{name}")
            return to_failure(child.error) if child.error else _json.encode(child.output, f"the output of '{name}'")
        except Exception as error:
            return to_failure(error)


    def _answer(self, call: Any, options: Any) -> Any:
        """The answer of an HTTP call as a text, or a failure."""
        if self._http is None:
            reason = f"nothing answers {call.method} {call.uri}: give the Runner an http="
            return Failure("NoAnswer", reason, non_retriable=True)
        try:
            answer = self._http(call.method, call.uri, call.body)
            status = int(answer["statusCode"])
            wrong = status in options.retry_statuses if options.retry_statuses else status >= 400
            if options.retry is not None and wrong:
                return Failure("HttpError", f"{call.method} {call.uri} was answered with {status}")
            return _json.encode(answer, f"the answer of {call.uri}")
        except Exception as error:
            return to_failure(error)


def _difference(name: str, first: list[Call], second: list[Call]) -> str:
    for index, (one, two) in enumerate(itertools.zip_longest(first, second)):
        if repr(one) != repr(two):
            return f"'{name}' is not deterministic: its call {index + 1} was {one}, and when it ran again {two}"
    return f"'{name}' is not deterministic"


@dataclass(order=True)
class _Due:
    time: datetime
    order: int
    complete: Callable[[], None] = field(compare=False)


class _Execution:
    """A host for one execution: what the contract's interface `orchestration` has."""

    def __init__(
        self, runner: Runner, name: str, instance_id: str, events: list[Event], recorded: _Execution | None = None
    ) -> None:
        self._runner = runner
        self._name = name
        self._id = instance_id
        self._recorded = recorded
        self._order = itertools.count()
        self._tasks = itertools.count(1)
        self._guids = itertools.count()
        self._now = START
        self._due: list[_Due] = []
        self._outcomes: dict[int, Any] = {}
        self._completed: dict[int, datetime] = {}
        self._cancelled: set[int] = set()
        self._waiters: dict[str, list[int]] = {}
        self._buffered: dict[str, list[Any]] = {}
        self._result = Result()
        for event in events:
            text = _json.encode(event.data, f"the data of event '{event.name}'")
            self._at(START + event.after, lambda name=event.name, text=text: self._raise(name, text))  # type: ignore[misc]

    def run(self, builder: FunctionBuilder, text: str | None) -> Result:
        with _host.replaced(_host.Backend(orchestration=self, role=_host.Role.ORCHESTRATOR)):
            context = DurableOrchestrationContext(text)
            try:
                output = _drive.run(builder.get_user_function(), context)
                encoded = _json.encode(output, f"the output of '{self._name}'")
                self._result.output = _json.decode(encoded)
            except Exception as error:
                self._result.error = error
        self._result.ended = self._now
        return self._result

    def _at(self, time: datetime, complete: Callable[[], None]) -> None:
        heapq.heappush(self._due, _Due(time, next(self._order), complete))

    def _complete(self, task: int, outcome: Any) -> None:
        if task not in self._cancelled:
            self._outcomes[task] = outcome
            self._completed.setdefault(task, self._now)

    def _called(self, kind: str, name: str, value: Any = None) -> int:
        self._result.calls.append(Call(kind, name, value))
        return next(self._tasks)

    def _raise(self, name: str, text: str | None) -> None:
        waiters = [task for task in self._waiters.get(name.lower(), []) if task not in self._cancelled]
        if waiters:
            # The newest waiter is served first.
            task = waiters[-1]
            self._waiters[name.lower()].remove(task)
            self._complete(task, text)
        else:
            self._buffered.setdefault(name.lower(), []).append(text)

    # The contract

    def instance(self) -> Any:
        @dataclass
        class Info:
            instance_id: str = self._id
            execution_id: str = "0" * 32
            parent_instance_id: str | None = None
            name: str = self._name
            version: str | None = None
            tags: tuple[()] = ()

        return Info()

    def _call(self, call: Call, work: Callable[[], Any], retry: Any) -> int:
        task = self._called(call.kind, call.name, call.input)
        if self._recorded is not None and task in self._recorded._outcomes:
            # What it came to then, and when: it does not run again.
            outcome, time = self._recorded._outcomes[task], self._recorded._completed[task]
            self._at(time, lambda: self._complete(task, outcome))
        else:
            self._attempt(task, work, retry, 1, self._now)
        return task

    def _attempt(self, task: int, work: Callable[[], Any], retry: Any, number: int, first: datetime) -> None:
        def end() -> None:
            outcome = work()
            failed = isinstance(outcome, Failure)
            if failed and retry is not None and not outcome.non_retriable and number < retry.max_attempts:
                longest = retry.max_retry_interval or 6 * 86_400_000
                wait = min(retry.first_retry_interval * retry.backoff_coefficient ** (number - 1), longest)
                again = self._now + timedelta(milliseconds=wait)
                if retry.retry_timeout is None or again <= first + timedelta(milliseconds=retry.retry_timeout):
                    self._at(again, lambda: self._attempt(task, work, retry, number + 1, first))
                    return
            self._complete(task, outcome)

        self._at(self._now + self._runner._activity_time, end)

    def call_activity(self, name: str, text: str | None, options: Any) -> int:
        call = Call("activity", name, _json.decode(text))
        return self._call(call, lambda: self._runner._outcome(Kind.ACTIVITY, name, text), options.retry)

    def call_sub_orchestration(self, name: str, text: str | None, options: Any) -> int:
        call = Call("sub-orchestration", name, _json.decode(text))
        return self._call(call, lambda: self._runner._outcome(Kind.ORCHESTRATOR, name, text), options.retry)

    def call_http(self, call: Any, options: Any) -> int:
        done = Call("http", f"{call.method} {call.uri}", call.body)
        return self._call(done, lambda: self._runner._answer(call, options), options.retry)

    def start_sub_orchestration(self, name: str, text: str | None, options: Any) -> str:
        number = self._called("start", name, _json.decode(text))
        return str(options.instance_id or f"{self._id}:{number}")

    def create_timer(self, fire_at: str) -> int:
        task = self._called("timer", fire_at)
        self._at(max(self._now, _time.parse(fire_at)), lambda: self._complete(task, None))
        return task

    def wait_for_event(self, name: str) -> int:
        task = self._called("event", name)
        buffered = self._buffered.get(name.lower())
        if buffered:
            self._complete(task, buffered.pop(0))
        else:
            self._waiters.setdefault(name.lower(), []).append(task)
        return task

    def cancel(self, task: int) -> None:
        if task not in self._completed:
            self._cancelled.add(task)

    def when_any(self, tasks: list[int]) -> int:
        while True:
            # Completions are kept in their order.
            done = next((task for task in self._completed if task in tasks), None)
            if done is not None:
                self._now = max(self._now, self._completed[done])
                return done
            if not self._due:
                waiting = ", ".join(f"'{name}'" for name, tasks in self._waiters.items() if tasks)
                raise TimeoutError(f"'{self._name}' waits for ever; events that it waits for: {waiting or 'none'}")
            due = heapq.heappop(self._due)
            self._now = max(self._now, due.time)
            due.complete()

    def when_all(self, tasks: list[int]) -> None:
        for task in tasks:
            self.when_any([task])

    def get_result(self, task: int) -> str | None:
        outcome = self._outcomes[task]
        if isinstance(outcome, Failure):
            raise _host.Err(outcome)
        return outcome  # type: ignore[no-any-return]

    def current_time(self) -> str:
        return _time.text(self._now)

    def new_guid(self) -> str:
        return str(uuid.uuid5(_NAMESPACE, f"{self._id}_{_time.text(self._now)}_{next(self._guids)}"))

    def set_custom_status(self, text: str | None) -> None:
        self._result.custom_status = _json.decode(text)

    def send_event(self, instance_id: str, name: str, text: str | None) -> None:
        self._result.calls.append(Call("send-event", f"{instance_id} {name}", _json.decode(text)))
        if instance_id == self._id:
            self._raise(name, text)

    def continue_as_new(self, text: str | None, keep_events: bool) -> None:
        self._result.continued_as_new = True
        self._result.continued_with = _json.decode(text)

    def log(self, level: Any, message: str) -> None:
        if self._recorded is None:
            print(message)
