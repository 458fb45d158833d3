"""The top of a component: loads the app when the component is built, and exports it."""

import sys
import traceback

sys.dont_write_bytecode = True

from componentize_py_types import Err  # noqa: E402
from durawasm import _guest, _host  # noqa: E402
from durawasm._functions import AppError  # noqa: E402
from wit_world.exports import describe as wit_describe  # noqa: E402
from wit_world.exports import http_function as wit_http  # noqa: E402
from wit_world.imports.types import Tag  # noqa: E402

#: Where componentize-py shows the second folder of its search path: the app's.
APP = "/1"
#: Where it shows the first one: this file's and the package's.
SDK = "/0"


def _load() -> None:
    """Loads the app. What is wrong with it is printed between two marks, with the files as the author knows them."""
    try:
        _guest.load(APP)
    except AppError as error:
        text = str(error)
    except BaseException as error:
        text = _report(error)
    else:
        return
    print(f"<<durawasm:\n{text.replace(APP + '/', '')}\n:durawasm>>", file=sys.stderr)
    raise SystemExit(1)


def _report(error: BaseException) -> str:
    trace = error.__traceback__
    # From the author's first frame on; an import has frames of Python's own in between.
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(APP + "/"):
        trace = trace.tb_next
    error.__context__ = None
    error.__traceback__ = trace
    report = traceback.TracebackException.from_exception(error)
    # An error that this package raises is the author's: it ends with the author's last frame.
    while report.stack and len(report.stack) > 1 and report.stack[-1].filename.startswith(SDK + "/"):
        report.stack.pop()
    lines = list(report.format())
    text = "".join(line for line in lines if "<frozen importlib" not in line).strip()
    if isinstance(error, ModuleNotFoundError):
        text += "\nIs its package in requirements.txt?"
    return text


_load()


class Describe:
    def describe(self) -> wit_describe.App:
        kinds = {kind.name.lower(): kind for kind in wit_describe.FunctionKind}
        functions = [
            wit_describe.Function(name, kinds[kind.value], config) for name, kind, config in _guest.declared(_guest._app)
        ]
        return wit_describe.App(sdk=_guest.SDK, version=_guest._app.version, functions=functions)


class Orchestrator:
    def run(self, name: str, input: str | None) -> str | None:
        return _guest.run(_host.Role.ORCHESTRATOR, lambda: _guest.orchestrate(name, input))


class Activity:
    def run(self, name: str, input: str | None) -> str | None:
        return _guest.run(_host.Role.ACTIVITY, lambda: _guest.act(name, input))


class Trigger:
    def run(self, name: str, input: str | None) -> str | None:
        return _guest.run(_host.Role.FUNCTION, lambda: _guest.trigger(name, input))


class HttpFunction:
    def handle(self, name: str, request: wit_http.Request) -> wit_http.Response:
        response = _guest.run(_host.Role.FUNCTION, lambda: _guest.handle(name, _request(request)))
        headers = [Tag(name, value) for name, value in response._wire_headers()]
        return wit_http.Response(status=response.status_code, headers=headers, body=response.get_body())


def _request(request: wit_http.Request) -> _guest.HttpRequest:
    headers: dict[str, str] = {}
    for header in request.headers:
        joined = f"{headers[header.name]}, {header.value}" if header.name in headers else header.value
        headers[header.name] = joined
    return _guest.HttpRequest(
        method=request.method,
        url=request.url,
        headers=headers,
        params={pair.name: pair.value for pair in request.query},
        route_params={pair.name: pair.value for pair in request.params},
        body=request.body,
    )


__all__ = ["Activity", "Describe", "Err", "HttpFunction", "Orchestrator", "Trigger"]
