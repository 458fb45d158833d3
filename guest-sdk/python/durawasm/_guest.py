"""What a component exports: the way from the host into the app's functions."""

from __future__ import annotations

import gc
import inspect
import json
import sys
from typing import Any, Callable

from . import _drive, _functions, _host, _json, _log
from .app import FunctionApp, FunctionBuilder, Kind
from .client import DurableOrchestrationClient
from .context import DurableOrchestrationContext
from .errors import BadRequestError, to_failure
from .http import HttpRequest, HttpResponse, response_of
from .invocation import ActivityContext, Context, Out, TimerRequest

SDK = "durawasm-python 0.1.0"

#: What the app's functions may import while they run, although there are no files then.
_PRELOADED = ("_strptime", "encodings.ascii", "encodings.idna", "encodings.latin_1", "random", "uuid", "zoneinfo")

_app = FunctionApp()
_functions_by_kind: dict[tuple[Kind, str], FunctionBuilder] = {}


def install(app: FunctionApp) -> None:
    """Makes the functions of an app those that the component runs."""
    global _app
    _app = app
    _functions_by_kind.clear()
    for builder in app.functions():
        _functions_by_kind[builder.check().kind, builder.function_name] = builder


def load(folder: str) -> None:
    """Loads the app of a folder, once, when the component is built."""
    _host.set_root(folder)
    _log.install()
    install(_functions.load(folder))
    from . import _imports

    _imports.preload(folder, _PRELOADED)
    # What is loaded is never garbage: to look at it would touch the memory that all instances share.
    gc.collect()
    gc.freeze()


def _find(kinds: tuple[Kind, ...], name: str) -> FunctionBuilder:
    for kind in kinds:
        builder = _functions_by_kind.get((kind, name))
        if builder is not None:
            return builder
    raise LookupError(f"the app has no function '{name}' ({' or '.join(kind.value for kind in kinds)})")


def run(role: _host.Role, call: Callable[[], Any]) -> Any:
    """Runs something in a role; what it raises becomes a failure."""
    backend = _host.backend()
    backend.role = role
    try:
        return call()
    except _host.Err:
        raise
    except BaseException as error:
        # An exit and a cancellation, too: the host is to hear why a function ended.
        raise _host.Err(to_failure(error)) from None
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def orchestrate(name: str, input_text: str | None) -> str | None:
    """Runs an orchestrator."""
    builder = _find((Kind.ORCHESTRATOR,), name)
    context = DurableOrchestrationContext(input_text)
    output = _drive.run(builder.get_user_function(), context)
    return None if context.will_continue_as_new else _json.encode(output, f"the output of '{name}'")


def act(name: str, input_text: str | None) -> str | None:
    """Runs an activity."""
    builder = _find((Kind.ACTIVITY,), name)
    output = _call(builder, _json.decode(input_text), lambda: ActivityContext(name))
    return _json.encode(output, f"the output of '{name}'")


def trigger(name: str, input_text: str | None) -> str | None:
    """Runs a manual or timer function."""
    builder = _find((Kind.MANUAL, Kind.TIMER), name)
    value = _json.decode(input_text)
    if builder.check().kind is Kind.TIMER:
        value = TimerRequest(value)
    output = _call(builder, value, lambda: Context(name))
    return _json.encode(output, f"the output of '{name}'")


def handle(name: str, request: HttpRequest) -> HttpResponse:
    """Answers a request."""
    builder = _find((Kind.HTTP,), name)
    try:
        return response_of(_call(builder, request, lambda: Context(name)))
    except BadRequestError as error:
        return HttpResponse(str(error), status_code=400)


def _call(builder: FunctionBuilder, value: Any, make_context: Callable[[], Any]) -> Any:
    bound: dict[str, Any] = {builder.check().parameter: value}
    outs: dict[str, Out[Any]] = {name: Out() for name in builder.outputs}
    bound.update(outs)
    for name, as_object in builder.clients.items():
        bound[name] = DurableOrchestrationClient() if as_object else "{}"
    if "context" not in bound and builder.takes("context"):
        bound["context"] = make_context()
    output = builder.get_user_function()(**bound)
    if inspect.iscoroutine(output):
        from ._loop import RealLoop

        output = RealLoop().run_until_complete(output)  # type: ignore[abstract]
    for name, starts in builder.outputs.items():
        set_value = outs[name].get()
        if set_value is None:
            continue
        if starts:
            requests = json.loads(set_value) if isinstance(set_value, (str, bytes)) else set_value
            DurableOrchestrationClient().start_many(requests if isinstance(requests, list) else [requests])
        elif output is None:
            output = set_value
    return output


def declared(app: FunctionApp) -> list[tuple[str, Kind, str | None]]:
    """The functions as `describe` tells them: name, kind and configuration."""
    functions = []
    for builder in app.functions():
        trigger = builder.check()
        config: dict[str, Any] | None = None
        if trigger.kind is Kind.TIMER:
            config = {
                "schedule": trigger.schedule,
                "useMonitor": trigger.use_monitor,
                "runOnStartup": trigger.run_on_startup,
            }
        elif trigger.kind is Kind.HTTP:
            config = {"methods": list(trigger.methods)}
            if trigger.route is not None:
                config["route"] = trigger.route
            if trigger.auth_level is not None:
                config["authLevel"] = trigger.auth_level.value
        functions.append((builder.function_name, trigger.kind, None if config is None else json.dumps(config)))
    return functions
