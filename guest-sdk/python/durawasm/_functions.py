"""Finds the functions of an app's folder: ``function_app.py``, or a folder with ``function.json`` for each function."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import types
from typing import Any

from .app import AuthLevel, FunctionApp, FunctionBuilder, Kind, Trigger, check_schedule

#: The name under which the app's folder is a package, so that functions may import from each other.
_PACKAGE = "__app__"


class AppError(Exception):
    """What is wrong with an app, for its author."""


def load(folder: str) -> FunctionApp:
    """The app of a folder."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if os.path.isfile(os.path.join(folder, "function_app.py")):
        return _load_module()
    return _load_folders(folder)


def _load_module() -> FunctionApp:
    module = importlib.import_module("function_app")
    apps: list[FunctionApp] = []
    for value in vars(module).values():
        if isinstance(value, FunctionApp) and value not in apps:
            apps.append(value)
    if len(apps) != 1:
        found = "no app" if not apps else f"{len(apps)} apps"
        raise AppError(f"function_app.py makes {found}: it needs one, as in `app = df.DFApp()`")
    try:
        functions = apps[0].functions()
    except ValueError as error:
        raise AppError(str(error)) from error
    if not functions:
        raise AppError("function_app.py declares no functions: use the decorators of its app")
    return apps[0]


def _load_folders(folder: str) -> FunctionApp:
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [folder]
    sys.modules[_PACKAGE] = package
    app = FunctionApp()
    for name in sorted(os.listdir(folder)):
        declaration = os.path.join(folder, name, "function.json")
        if os.path.isfile(declaration):
            app._builders.append(_load_function(name, os.path.join(folder, name), declaration))
    if not app.functions():
        raise AppError("there is no function_app.py and no folder with a function.json")
    return app


def _load_function(name: str, folder: str, declaration: str) -> FunctionBuilder:
    shown = f"{name}/function.json"
    try:
        with open(declaration, encoding="utf-8-sig") as file:
            declared = json.load(file)
        bindings = declared["bindings"]
    except (ValueError, KeyError, TypeError) as error:
        raise AppError(f"{shown} is no JSON object with bindings: {error}") from error
    script = declared.get("scriptFile", "__init__.py")
    module = _import(name, os.path.normpath(os.path.join(folder, script)), script)
    entry = declared.get("entryPoint", "main")
    function = getattr(module, entry, None)
    if not callable(function):
        raise AppError(f"{name}/{script} has no function '{entry}'")
    builder = function if isinstance(function, FunctionBuilder) else FunctionBuilder(function)
    builder.set_name(name)
    for binding in bindings:
        _bind(builder, binding, shown)
    if builder.trigger is None:
        raise AppError(f"{shown} has no trigger among its bindings")
    try:
        builder.check()
    except ValueError as error:
        raise AppError(f"{shown}: {error}") from error
    return builder


def _import(name: str, path: str, script: str) -> Any:
    if not os.path.isfile(path):
        raise AppError(f"{name}/{script} is not there")
    if script == "__init__.py":
        return importlib.import_module(f"{_PACKAGE}.{name}")
    package = types.ModuleType(f"{_PACKAGE}.{name}")
    package.__path__ = [os.path.dirname(path)]
    sys.modules[package.__name__] = package
    return importlib.import_module(f"{package.__name__}.{os.path.splitext(os.path.basename(path))[0]}")


def _bind(builder: FunctionBuilder, binding: dict[str, Any], shown: str) -> None:
    kind, parameter = str(binding.get("type", "")).lower(), str(binding.get("name", ""))
    direction = str(binding.get("direction", "in")).lower()
    if kind in ("orchestrationclient", "durableclient"):
        if direction == "out":
            builder.outputs[parameter] = True
        else:
            builder.clients[parameter] = False
    elif kind == "http" and direction == "out":
        if parameter != "$return":
            builder.outputs[parameter] = False
    elif kind == "httptrigger":
        level = AuthLevel(str(binding.get("authLevel", "function")).lower())
        methods = tuple(str(method).upper() for method in binding.get("methods", []))
        route = binding.get("route")
        builder.set_trigger(Trigger(Kind.HTTP, parameter, route=route, methods=methods, auth_level=level))
    elif kind == "timertrigger":
        schedule = str(binding.get("schedule", ""))
        try:
            check_schedule(schedule)
        except ValueError as error:
            raise AppError(f"{shown}: {error}") from error
        monitor, at_once = binding.get("useMonitor") is not False, binding.get("runOnStartup") is True
        trigger = Trigger(Kind.TIMER, parameter, schedule=schedule, use_monitor=monitor, run_on_startup=at_once)
        builder.set_trigger(trigger)
    elif kind in _TRIGGERS:
        builder.set_trigger(Trigger(_TRIGGERS[kind], parameter))
    else:
        raise AppError(f"{shown}: the binding '{parameter}' is of the type '{binding.get('type')}', which is not supported")


_TRIGGERS = {
    "orchestrationtrigger": Kind.ORCHESTRATOR,
    "activitytrigger": Kind.ACTIVITY,
    "manualtrigger": Kind.MANUAL,
}
