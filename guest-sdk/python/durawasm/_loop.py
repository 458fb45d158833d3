"""A small asyncio event loop: in orchestrators it waits with durable tasks, elsewhere with the clock."""

# mypy: disable-error-code="override, assignment, attr-defined"
from __future__ import annotations

import asyncio
import contextvars
import heapq
import logging
import time
from collections import deque
from datetime import datetime, timedelta
from typing import Any, Callable, Coroutine, Generator

from . import _host, _time
from .tasks import TaskBase, wait_once


class Loop(asyncio.AbstractEventLoop):
    """First come, first served. Subclasses say how to wait."""

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()
        self._scheduled: list[asyncio.TimerHandle] = []
        self._running = False

    def idle(self, next_timer: asyncio.TimerHandle | None) -> None:
        """Nothing is ready: waits until something may be."""
        raise NotImplementedError

    def run_until_complete(self, future: Any) -> Any:
        """Runs a coroutine to its end."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        self._running = True
        try:
            task = asyncio.ensure_future(future, loop=self)
            while not task.done():
                self._run_once()
            return task.result()
        finally:
            self._running = False
            asyncio._set_running_loop(before)

    def _run_once(self) -> None:
        now = self.time()
        while self._scheduled and (self._scheduled[0].cancelled() or self._scheduled[0].when() <= now):
            self._make_ready(heapq.heappop(self._scheduled))
        if not self._ready:
            self.idle(self._scheduled[0] if self._scheduled else None)
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _make_ready(self, handle: asyncio.TimerHandle) -> None:
        handle._scheduled = False
        if not handle.cancelled():
            self._ready.append(handle)

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        handle._scheduled = True
        heapq.heappush(self._scheduled, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asyncio tells it; cancelled timers leave the list when their time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, **options)

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return False

    def close(self) -> None:
        """There is nothing to close."""

    async def shutdown_asyncgens(self) -> None:
        """Nothing outlives the function."""

    def get_debug(self) -> bool:
        return False

    def get_exception_handler(self) -> None:
        return None

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        logging.getLogger("asyncio").error(context.get("message"), exc_info=context.get("exception"))

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        raise RuntimeError("a Wasm component has no threads: call the function itself")


class DurableLoop(Loop):
    """The loop of an orchestrator: its time is the orchestrator's, and its timers are durable."""

    def __init__(self) -> None:
        super().__init__()
        self._start = self._now()
        self._awaited: dict[TaskBase[Any], None] = {}
        self._timers: dict[asyncio.TimerHandle, int] = {}

    @staticmethod
    def _now() -> datetime:
        return _time.parse(_host.backend().orchestration.current_time())

    def time(self) -> float:
        """Seconds since the start."""
        return (self._now() - self._start) / timedelta(seconds=1)

    def wait_for_task(self, task: TaskBase[Any]) -> Generator[Any, None, None]:
        """Waits for a task; when the waiting is cancelled and nobody else waits for it, the task is, too."""
        future = self.create_future()
        task._waiters.append(future)
        self._awaited[task] = None
        try:
            yield from future
        finally:
            if future in task._waiters:
                task._waiters.remove(future)
            if not task._waiters:
                self._awaited.pop(task, None)
                if future.cancelled():
                    task._abandon()

    def idle(self, next_timer: asyncio.TimerHandle | None) -> None:
        timers = [] if next_timer is None else [self._durable(next_timer)]
        awaited = [task for task in self._awaited if task._waiters]
        fired = wait_once(awaited, timers)
        if fired is not None and next_timer is not None:
            self._timers.pop(next_timer, None)
            self._scheduled.remove(next_timer)
            heapq.heapify(self._scheduled)
            self._make_ready(next_timer)

    def _durable(self, handle: asyncio.TimerHandle) -> int:
        if handle not in self._timers:
            fire_at = self._start + timedelta(seconds=handle.when())
            self._timers[handle] = _host.backend().orchestration.create_timer(_time.text(fire_at))
        return self._timers[handle]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        timer = self._timers.pop(handle, None)
        if timer is not None:
            _host.backend().orchestration.cancel(timer)


class RealLoop(Loop):
    """The loop of activities and client functions."""

    def time(self) -> float:
        return time.monotonic()

    def idle(self, next_timer: asyncio.TimerHandle | None) -> None:
        if next_timer is None:
            raise RuntimeError("the function awaits what will never complete")
        time.sleep(max(0.0, next_timer.when() - self.time()))
