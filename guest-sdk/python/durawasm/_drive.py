"""Runs orchestrators: generators, coroutines and plain functions."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Generator

from ._loop import DurableLoop
from .tasks import Stalled, TaskBase, TaskState, wait_once


def run(function: Callable[..., Any], context: Any) -> Any:
    """Runs an orchestrator from its start to its end."""
    if inspect.isasyncgenfunction(function):
        raise TypeError("an `async def` orchestrator waits with `await`: use it in the place of `yield`")
    returned = function(context)
    if inspect.isgenerator(returned):
        return _run_generator(returned)
    if inspect.iscoroutine(returned):
        return DurableLoop().run_until_complete(returned)  # type: ignore[abstract]
    return returned


def _run_generator(generator: Generator[Any, Any, Any]) -> Any:
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            waited = generator.send(value) if error is None else generator.throw(error)
        except StopIteration as stop:
            return stop.value
        value, error = None, None
        if not isinstance(waited, TaskBase):
            error = TypeError(f"an orchestrator yields tasks of its context, not {_description(waited)}")
            continue
        while waited.state is TaskState.RUNNING:
            wait_once([waited])
        if waited.state is TaskState.CANCELLED:
            error = Stalled("the orchestrator waits for a task that it has cancelled: it never completes")
        elif waited.state is TaskState.FAILED:
            error = waited.exception
        else:
            value = waited.result


def _description(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "a list: yield context.task_all([...]) of it"
    if inspect.isgenerator(value):
        return "a generator: call it with `yield from`"
    if inspect.iscoroutine(value):
        return "a coroutine: write the orchestrator as `async def` and await it"
    return f"{type(value).__name__} {value!r}"[:200]
