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
from types import SimpleNamespace
from typing import Any, Callable, Iterable, Mapping

from . import _drive, _guest, _host, _json, _time
from ._contract import Cause, Failure
from .app import Blueprint, FunctionBuilder, Kind
from .context import DurableOrchestrationContext
from .errors import to_failure
from .invocation import ActivityContext

__all__ = ["Call", "Event", "NonDeterminismError", "Result", "Runner"]

#: When everything begins, unless a test says otherwise.
START = datetime(2026, 1, 1, tzinfo=timezone.utc)

#: Executions after which an orchestrator that always continues as new is stopped.
ROUNDS = 100

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

#: An attempt: of the task's number and its own, to what it comes and when.
Work = Callable[[int, int], "tuple[Any, datetime]"]


class Runner:
    """Runs the orchestrators of an app.

    ``activities`` and ``sub_orchestrators`` take the place of the app's own: functions of the input, by name. An
    exception of theirs fails the call. ``http`` answers HTTP calls: of method, URI and body. ``activity_time`` is how
    long each attempt of a call takes.
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
        self._child_events: dict[str, list[Event]] = {}

    def run(
        self,
        name: str,
        input_: Any = None,
        *,
        events: Iterable[Event] = (),
        child_events: Mapping[str, Iterable[Event]] | None = None,
        instance_id: str = "test",
        version: str | None = None,
        tags: Mapping[str, str] | None = None,
        rounds: int = ROUNDS,
    ) -> Result:
        """Runs an orchestrator to its end, over at most so many executions if it continues as new.

        ``child_events``: events of sub-orchestrations, by their instance ids.
        """
        self._child_events = {child: list(given) for child, given in (child_events or {}).items()}
        who = _Instance(name, instance_id, START, version, dict(tags or {}))
        return self._run(who, input_, events, rounds)

    def _run(self, who: _Instance, input_: Any, events: Iterable[Event], rounds: int = ROUNDS) -> Result:
        coming = [(who.start + event.after, event.name, _data(event)) for event in events]
        inbox = _Inbox(who.start, coming, {})
        for _ in range(rounds):
            result, inbox = self._run_once(who, input_, inbox)
            if not result.continued_as_new:
                return result
            input_ = result.continued_with
        return result

    def _run_once(self, who: _Instance, input_: Any, inbox: _Inbox) -> tuple[Result, _Inbox]:
        builder = self._functions.get((Kind.ORCHESTRATOR, who.name))
        if builder is None:
            raise LookupError(f"the app has no orchestrator '{who.name}'")
        text = _json.encode(input_, f"the input of orchestrator '{who.name}'")
        live = _Execution(self, who, inbox)
        result = live.run(builder, text)
        replayed = _Execution(self, who, inbox, recorded=live).run(builder, text)
        if repr(replayed.calls) != repr(result.calls):
            raise NonDeterminismError(_difference(who.name, result.calls, replayed.calls))
        if repr((replayed.output, type(replayed.error))) != repr((result.output, type(result.error))):
            came = f"came to {result.output!r}, and when it ran again to {replayed.output!r}"
            raise NonDeterminismError(f"'{who.name}' {came}")
        return result, live.left()

    def _activity(self, name: str, text: str | None, call: _Activity) -> Any:
        """What an attempt of an activity comes to: a text, or a failure."""
        if name in self._activities:
            return _outcome(lambda: self._activities[name](_json.decode(text)), name)
        builder = self._functions.get((Kind.ACTIVITY, name))
        if builder is None:
            return _unknown(Kind.ACTIVITY, name)
        with _host.replaced(_host.Backend(activity_context=call, role=_host.Role.ACTIVITY)):
            return _outcome(lambda: _guest._call(builder, _json.decode(text), lambda: ActivityContext(name)), name)

    def _child(self, who: _Instance, text: str | None) -> tuple[Any, datetime]:
        """What a sub-orchestration comes to, and when."""
        if who.name in self._children:
            return _outcome(lambda: self._children[who.name](_json.decode(text)), who.name), who.start
        if (Kind.ORCHESTRATOR, who.name) not in self._functions:
            return _unknown(Kind.ORCHESTRATOR, who.name), who.start
        ended = self._run(who, _json.decode(text), self._child_events.get(who.id, ()))
        if ended.error is not None:
            return to_failure(ended.error), ended.ended
        return _json.encode(ended.output, f"the output of '{who.name}'"), ended.ended

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


def _outcome(work: Callable[[], Any], name: str) -> Any:
    try:
        return _json.encode(work(), f"the output of '{name}'")
    except Exception as error:
        return to_failure(error)


def _unknown(kind: Kind, name: str) -> Failure:
    return Failure("FunctionNotFound", f"no app declares the {kind.value} '{name}'", non_retriable=True)


def _data(event: Event) -> str | None:
    return _json.encode(event.data, f"the data of event '{event.name}'")


def _difference(name: str, first: list[Call], second: list[Call]) -> str:
    for index, (one, two) in enumerate(itertools.zip_longest(first, second)):
        if repr(one) != repr(two):
            return f"'{name}' is not deterministic: its call {index + 1} was {one}, and when it ran again {two}"
    return f"'{name}' is not deterministic"


@dataclass(frozen=True)
class _Instance:
    """Who runs."""

    name: str
    id: str
    start: datetime
    version: str | None
    tags: dict[str, str]
    parent: str | None = None


@dataclass
class _Inbox:
    """What one execution leaves to the next one: the time, events to come, events that nobody has waited for."""

    now: datetime
    coming: list[tuple[datetime, str, str | None]]
    buffered: dict[str, list[Any]]


class _Activity:
    """The host for one attempt of an activity: what the contract's interface `activity-context` has."""

    def __init__(self, instance_id: str, task: int, attempt: int, last: str | None) -> None:
        key = f"{instance_id}:{task}:{attempt}"
        self._info = SimpleNamespace(
            instance_id=instance_id, task=task, attempt=attempt, idempotency_key=key, last_heartbeat=last
        )
        self.last = last

    def info(self) -> Any:
        return self._info

    def heartbeat(self, details: str | None) -> bool:
        self.last = details
        return False

    def log(self, level: Any, message: str) -> None:
        print(message)


@dataclass(order=True)
class _Due:
    time: datetime
    order: int
    complete: Callable[[], None] = field(compare=False)


class _Execution:
    """A host for one execution: what the contract's interface `orchestration` has."""

    def __init__(self, runner: Runner, who: _Instance, inbox: _Inbox, recorded: _Execution | None = None) -> None:
        self._runner = runner
        self._who = who
        self._recorded = recorded
        self._order = itertools.count()
        self._tasks = itertools.count(1)
        self._guids = itertools.count()
        self._now = inbox.now
        self._due: list[_Due] = []
        self._outcomes: dict[int, Any] = {}
        self._completed: dict[int, datetime] = {}
        self._cancelled: set[int] = set()
        self._heartbeats: dict[int, str | None] = {}
        self._waiters: dict[str, list[int]] = {}
        self._buffered: dict[str, list[Any]] = {name: list(texts) for name, texts in inbox.buffered.items()}
        self._coming = list(inbox.coming)
        self._keeps_events = False
        self._result = Result()
        for event in inbox.coming:
            self._at(event[0], lambda event=event: self._arrive(event))  # type: ignore[misc]

    def left(self) -> _Inbox:
        """What there is for the next execution."""
        return _Inbox(self._now, self._coming, self._buffered if self._keeps_events else {})

    def _arrive(self, event: tuple[datetime, str, str | None]) -> None:
        self._coming.remove(event)
        self._raise(event[1], event[2])

    def run(self, builder: FunctionBuilder, text: str | None) -> Result:
        with _host.replaced(_host.Backend(orchestration=self, role=_host.Role.ORCHESTRATOR)):
            context = DurableOrchestrationContext(text)
            try:
                output = _drive.run(builder.get_user_function(), context)
                encoded = _json.encode(output, f"the output of '{self._who.name}'")
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
        who = self._who
        return SimpleNamespace(
            instance_id=who.id,
            execution_id="0" * 32,
            parent_instance_id=who.parent,
            name=who.name,
            version=who.version,
            tags=[_host.Tag(name, value) for name, value in who.tags.items()],
        )

    def _call(self, call: Call, work: Work, retry: Any) -> int:
        task = self._called(call.kind, call.name, call.input)
        if self._recorded is not None and task in self._recorded._outcomes:
            # What it came to then, and when: it does not run again.
            outcome, time = self._recorded._outcomes[task], self._recorded._completed[task]
            self._at(time, lambda: self._complete(task, outcome))
        elif self._recorded is None:
            self._attempt(task, work, retry, (1, self._now))
        return task

    def _attempt(self, task: int, work: Work, retry: Any, begun: tuple[int, datetime]) -> None:
        number, first = begun

        def end() -> None:
            outcome, ended = work(task, number)
            if ended > self._now:
                self._at(ended, lambda: settle(outcome))
            else:
                settle(outcome)

        def settle(outcome: Any) -> None:
            failed = isinstance(outcome, Failure)
            if failed and retry is not None and not outcome.non_retriable and number < retry.max_attempts:
                longest = retry.max_retry_interval or 6 * 86_400_000
                wait = min(retry.first_retry_interval * retry.backoff_coefficient ** (number - 1), longest)
                again = self._now + timedelta(milliseconds=wait)
                if retry.retry_timeout is None or again <= first + timedelta(milliseconds=retry.retry_timeout):
                    self._at(again, lambda: self._attempt(task, work, retry, (number + 1, first)))
                    return
            self._complete(task, outcome)

        self._at(self._now + self._runner._activity_time, end)

    def call_activity(self, name: str, text: str | None, options: Any) -> int:
        def work(task: int, attempt: int) -> tuple[Any, datetime]:
            host = _Activity(self._who.id, task, attempt, self._heartbeats.get(task))
            outcome = self._runner._activity(name, text, host)
            self._heartbeats[task] = host.last
            return outcome, self._now

        return self._call(Call("activity", name, _json.decode(text)), work, options.retry)

    def call_sub_orchestration(self, name: str, text: str | None, options: Any) -> int:
        tags = {tag.name: tag.value for tag in options.tags}

        def work(task: int, attempt: int) -> tuple[Any, datetime]:
            child = options.instance_id or f"{self._who.id}:{task}"
            who = _Instance(name, child, self._now, options.version, tags, self._who.id)
            return self._runner._child(who, text)

        return self._call(Call("sub-orchestration", name, _json.decode(text)), work, options.retry)

    def call_http(self, call: Any, options: Any) -> int:
        def work(task: int, attempt: int) -> tuple[Any, datetime]:
            return self._runner._answer(call, options), self._now

        return self._call(Call("http", f"{call.method} {call.uri}", call.body), work, options.retry)

    def start_sub_orchestration(self, name: str, text: str | None, options: Any) -> str:
        number = self._called("start", name, _json.decode(text))
        return str(options.instance_id or f"{self._who.id}:{number}")

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
                raise TimeoutError(f"'{self._who.name}' waits for ever; events that it waits for: {waiting or 'none'}")
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
        return str(uuid.uuid5(_NAMESPACE, f"{self._who.id}_{_time.text(self._now)}_{next(self._guids)}"))

    def set_custom_status(self, text: str | None) -> None:
        self._result.custom_status = _json.decode(text)

    def send_event(self, instance_id: str, name: str, text: str | None) -> None:
        self._result.calls.append(Call("send-event", f"{instance_id} {name}", _json.decode(text)))
        if instance_id == self._who.id:
            self._raise(name, text)

    def continue_as_new(self, text: str | None, keep_events: bool) -> None:
        self._result.continued_as_new = True
        self._result.continued_with = _json.decode(text)
        self._keeps_events = keep_events

    def log(self, level: Any, message: str) -> None:
        if self._recorded is None:
            print(message)
