"""Tasks: what an orchestrator asked for and waits for."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any, Generator, Generic, Iterable, TypeVar

from . import _host
from ._json import decode
from .errors import DurableError, TaskFailedError

T = TypeVar("T")

#: Above this many tasks `task_all` waits for all of them in one call, also when one has failed: to look at each failure
#: as it comes would pass the handles of all others every time.
FAIL_FAST = 256


class TaskState(Enum):
    """What is known about a task: what it was waited for and has brought."""

    RUNNING = 0
    SUCCEEDED = 1
    FAILED = 2
    CANCELLED = 3


class TaskBase(Generic[T]):
    """Something that completes later. ``yield`` it in a generator, ``await`` it in an ``async def``."""

    def __init__(self) -> None:
        self.state = TaskState.RUNNING
        self._value: Any = None
        self._parents: list[_CompoundTask[Any]] = []
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def result(self) -> Any:
        """What it brought; of a failed task its exception; ``None`` before it was waited for."""
        return self._value

    @property
    def is_completed(self) -> bool:
        """It was waited for, and has succeeded or failed."""
        return self.state in (TaskState.SUCCEEDED, TaskState.FAILED)

    @property
    def is_faulted(self) -> bool:
        """It has failed."""
        return self.state is TaskState.FAILED

    @property
    def exception(self) -> BaseException | None:
        """Why it failed."""
        return self._value if self.is_faulted else None

    def _outcome(self) -> Any:
        if self.state is TaskState.FAILED:
            raise self._value
        if self.state is TaskState.CANCELLED:
            raise asyncio.CancelledError
        return self._value

    def _settle(self, state: TaskState, value: Any) -> None:
        if self.state is not TaskState.RUNNING:
            return
        self.state, self._value = state, value
        parents, self._parents = self._parents, []
        waiters, self._waiters = self._waiters, []
        for parent in parents:
            parent._child_settled(self)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _collect(self, into: dict[int, AtomicTask[Any]]) -> None:
        """Adds the open tasks of the host that this one waits for."""
        raise NotImplementedError

    def _abandon(self) -> None:
        """Nobody waits for it any more."""
        raise NotImplementedError

    def __await__(self) -> Generator[Any, None, T]:
        if self.state is TaskState.RUNNING:
            loop = asyncio.get_running_loop()
            waits = getattr(loop, "wait_for_task", None)
            if waits is None:
                raise RuntimeError("a task of an orchestrator can only be awaited in that orchestrator")
            yield from waits(self)
        outcome: T = self._outcome()
        return outcome


class AtomicTask(TaskBase[T]):
    """A task of the host's: an activity, a sub-orchestration, an event, a timer."""

    def __init__(self, task: int) -> None:
        super().__init__()
        self.id = task

    def _collect(self, into: dict[int, AtomicTask[Any]]) -> None:
        if self.state is TaskState.RUNNING:
            into[self.id] = self

    @property
    def is_cancelled(self) -> bool:
        """It was given up."""
        return self.state is TaskState.CANCELLED

    def cancel(self) -> None:
        """Gives it up: it never completes. An activity is told by its next heartbeat; an event finds another waiter."""
        self._abandon()

    def _abandon(self) -> None:
        if self.state is TaskState.RUNNING:
            _host.backend().orchestration.cancel(self.id)
            self._settle(TaskState.CANCELLED, None)

    def _complete(self) -> None:
        """Takes the outcome, which the host has delivered."""
        try:
            self._settle(TaskState.SUCCEEDED, decode(_host.backend().orchestration.get_result(self.id)))
        except _host.Err as error:
            self._settle(TaskState.FAILED, TaskFailedError(error.value))


class TimerTask(AtomicTask[None]):
    """A durable timer."""

    def cancel(self) -> None:
        """Gives it up: it never fires."""
        if self.is_completed:
            raise ValueError("this timer has fired: it cannot be cancelled any more")
        self._abandon()


class _CompoundTask(TaskBase[T]):
    def __init__(self, children: Iterable[TaskBase[Any]], name: str) -> None:
        super().__init__()
        self.children = list(children)
        for child in self.children:
            if not isinstance(child, TaskBase):
                raise TypeError(f"{name} takes tasks of the context, not {type(child).__name__}")
        self._open = len(self.children)
        for child in self.children:
            if child.is_completed:
                self._child_settled(child)
            else:
                child._parents.append(self)

    def _child_settled(self, child: TaskBase[Any]) -> None:
        raise NotImplementedError

    def _collect(self, into: dict[int, AtomicTask[Any]]) -> None:
        if self.state is TaskState.RUNNING:
            for child in self.children:
                child._collect(into)

    def _abandon(self) -> None:
        if self.state is TaskState.RUNNING:
            self._settle(TaskState.CANCELLED, None)
            for child in self.children:
                # Who is waited for elsewhere, too, goes on.
                if not child._waiters and child._parents in ([], [self]):
                    child._abandon()


class WhenAllTask(_CompoundTask[list[Any]]):
    """Completes with the results of all, in their order, or fails with the first failure."""

    def __init__(self, children: Iterable[TaskBase[Any]]) -> None:
        super().__init__(children, "task_all")
        if not self.children:
            self._settle(TaskState.SUCCEEDED, [])

    def _child_settled(self, child: TaskBase[Any]) -> None:
        if child.state is TaskState.FAILED:
            self._settle(TaskState.FAILED, child._value)
        elif child.state is TaskState.SUCCEEDED:
            self._open -= 1
            if self._open == 0:
                self._settle(TaskState.SUCCEEDED, [child._value for child in self.children])


class WhenAnyTask(_CompoundTask[TaskBase[Any]]):
    """Completes with the task that completed first. The others go on."""

    def __init__(self, children: Iterable[TaskBase[Any]]) -> None:
        super().__init__(children, "task_any")
        if not self.children:
            raise ValueError("task_any of no tasks would never complete")

    def _child_settled(self, child: TaskBase[Any]) -> None:
        if child.is_completed:
            self._settle(TaskState.SUCCEEDED, child)


class Stalled(DurableError):
    """The orchestrator waits for what no task will ever complete."""


def wait_once(tasks: Iterable[TaskBase[Any]], more: Iterable[int] = ()) -> int | None:
    """Waits until something of these has completed, and notes it; the number of a task of ``more``, if it was one."""
    pending: dict[int, AtomicTask[Any]] = {}
    tasks = list(tasks)
    for task in tasks:
        task._collect(pending)
    orchestration = _host.backend().orchestration
    if len(pending) > FAIL_FAST and not more and len(tasks) == 1 and isinstance(tasks[0], WhenAllTask):
        if all(isinstance(child, AtomicTask) for child in tasks[0].children):
            orchestration.when_all(list(pending))
            for waiting in pending.values():
                waiting._complete()
            return None
    ids = [*pending, *more]
    if not ids:
        raise Stalled(
            "the orchestrator waits for what will never complete: it was cancelled, or is no task of the context"
        )
    done = orchestration.when_any(ids)
    if done in pending:
        pending[done]._complete()
        return None
    return int(done)
