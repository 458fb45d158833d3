"""Apps and their functions, declared with decorators."""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Callable, Iterable

from ._host import shown_path
from .http import HttpMethod

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")


class AuthLevel(Enum):
    """Which key a request needs."""

    FUNCTION = "function"
    ANONYMOUS = "anonymous"
    ADMIN = "admin"


class Kind(Enum):
    """What a function is for."""

    ORCHESTRATOR = "orchestrator"
    ACTIVITY = "activity"
    HTTP = "http"
    MANUAL = "manual"
    TIMER = "timer"


@dataclass
class Trigger:
    """What sets a function off."""

    kind: Kind
    #: The parameter that takes what comes with it.
    parameter: str
    #: HTTP: where, how and by whom it is reached. None: see the app, and the function's name.
    route: str | None = None
    methods: tuple[str, ...] = ()
    auth_level: AuthLevel | None = None
    #: Timer: six fields from the second on.
    schedule: str | None = None
    #: Whether an occurrence that the host missed runs late, and whether it runs when the host starts.
    use_monitor: bool = True
    run_on_startup: bool = False


class FunctionBuilder:
    """A function of an app. Calling it calls the author's function, as in a test."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._name: str | None = None
        self.trigger: Trigger | None = None
        #: Parameters that take the durable client: as an object, or as the text of a binding.
        self.clients: dict[str, bool] = {}
        #: Parameters of output bindings, and whether they start orchestrations.
        self.outputs: dict[str, bool] = {}
        self._checked = False
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def function_name(self) -> str:
        """The name under which it is known."""
        return self._name or self._function.__name__

    def build(self) -> FunctionBuilder:
        """The function itself; tests of the original ask for it before its author's function."""
        return self

    def get_user_function(self) -> Callable[..., Any]:
        """The author's function, also as its `orchestrator_function` and `client_function`, where the original has it."""
        function: Any = self._function
        for name in ("orchestrator_function", "client_function"):
            if not hasattr(function, name):
                setattr(function, name, function)
        return self._function

    def set_name(self, name: str) -> None:
        """Gives it another name than its own."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a function: 1 to 128 characters, none of them a control character")
        self._name = name

    def set_trigger(self, trigger: Trigger) -> None:
        """Says what sets it off: one thing."""
        if self.trigger is not None:
            kinds = f"{self.trigger.kind.value} and {trigger.kind.value}"
            raise ValueError(f"{self.place} has two triggers: {kinds}")
        self.trigger = trigger

    @property
    def place(self) -> str:
        """Where it is written, and its name."""
        code = getattr(inspect.unwrap(self._function), "__code__", None)
        path = None if code is None else shown_path(code.co_filename)
        where = f'File "{path}", line {code.co_firstlineno}: ' if code is not None and path else ""
        return f"{where}the function '{self.function_name}'"

    def check(self) -> Trigger:
        """Its trigger; ``ValueError`` if the declaration does not fit the function."""
        if self.trigger is None:
            raise ValueError(f"{self.place} has no trigger: add one, such as @app.activity_trigger")
        parameters = inspect.signature(self._function).parameters
        if self._checked or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            return self.trigger
        bound = {self.trigger.parameter, *self.clients, *self.outputs}
        for name in bound - parameters.keys():
            raise ValueError(f"{self.place} has no parameter '{name}', which is bound to something")
        for name, parameter in parameters.items():
            if name not in bound and name != "context" and parameter.default is parameter.empty:
                raise ValueError(f"{self.place} has the parameter '{name}', which nothing is bound to")
        self._checked = True
        return self.trigger

    def takes(self, parameter: str) -> bool:
        """Whether the author's function has this parameter."""
        return parameter in inspect.signature(self._function).parameters


Decorator = Callable[[Callable[..., Any]], FunctionBuilder]


def check_schedule(schedule: str) -> None:
    """``ValueError`` unless there are as many fields as a schedule has; the host reads them."""
    if len(schedule.split()) != 6:
        raise ValueError(f"the schedule {schedule!r} does not have six fields, from the second on")


class Blueprint:
    """Functions that are declared apart and become part of an app by ``register_functions``."""

    def __init__(self, http_auth_level: AuthLevel | str = AuthLevel.FUNCTION) -> None:
        self._auth_level = AuthLevel(http_auth_level.lower()) if isinstance(http_auth_level, str) else http_auth_level
        self._builders: list[FunctionBuilder] = []

    def functions(self) -> list[FunctionBuilder]:
        """The functions in the order of their declaration; ``ValueError`` if one is not whole, or a name comes twice."""
        seen = set()
        for builder in self._builders:
            key = (builder.check().kind, builder.function_name)
            if key in seen:
                raise ValueError(f"{builder.place} has the name of another {key[0].value}: give one of them another name")
            seen.add(key)
        return list(self._builders)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.endswith(("_trigger", "_input", "_output", "_binding")) and not name.startswith("_"):
                raise AttributeError(
                    f"this host offers no {name}: functions are declared with orchestration_trigger, activity_trigger, "
                    "route, timer_trigger and manual_trigger, and get the client by durable_client_input"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _decorator(self, change: Callable[[FunctionBuilder], None]) -> Decorator:
        def decorate(function: Callable[..., Any]) -> FunctionBuilder:
            builder = function if isinstance(function, FunctionBuilder) else FunctionBuilder(function)
            change(builder)
            if builder not in self._builders:
                self._builders.append(builder)
            return builder

        return decorate

    def function_name(self, name: str) -> Decorator:
        """Gives the function another name than its own."""
        return self._decorator(lambda builder: builder.set_name(name))

    def orchestration_trigger(self, context_name: str, orchestration: str | None = None) -> Decorator:
        """An orchestrator. Its only parameter takes the context."""

        def change(builder: FunctionBuilder) -> None:
            builder.set_trigger(Trigger(Kind.ORCHESTRATOR, context_name))
            if orchestration is not None:
                builder.set_name(orchestration)

        return self._decorator(change)

    def activity_trigger(self, input_name: str, activity: str | None = None) -> Decorator:
        """An activity. The parameter takes its input; one that is called ``context`` the `ActivityContext`."""

        def change(builder: FunctionBuilder) -> None:
            builder.set_trigger(Trigger(Kind.ACTIVITY, input_name))
            if activity is not None:
                builder.set_name(activity)

        return self._decorator(change)

    def route(
        self,
        route: str | None = None,
        trigger_arg_name: str = "req",
        binding_arg_name: str = "$return",
        methods: Iterable[str | HttpMethod] | str | None = None,
        auth_level: AuthLevel | str | None = None,
    ) -> Decorator:
        """An HTTP function: ``orders/{id}/{page?}``. Without a route it is reached under its name."""
        named = [methods] if isinstance(methods, (str, HttpMethod)) else list(methods or [])
        level = AuthLevel(auth_level.lower()) if isinstance(auth_level, str) else auth_level
        verbs = tuple(method.value if isinstance(method, HttpMethod) else method.upper() for method in named)

        def change(builder: FunctionBuilder) -> None:
            chosen = level or self._auth_level
            builder.set_trigger(Trigger(Kind.HTTP, trigger_arg_name, route=route, methods=verbs, auth_level=chosen))
            if binding_arg_name != "$return":
                builder.outputs[binding_arg_name] = False

        return self._decorator(change)

    def timer_trigger(
        self,
        arg_name: str = "timer",
        schedule: str = "",
        run_on_startup: bool | None = None,
        use_monitor: bool | None = None,
    ) -> Decorator:
        """A function that runs by a schedule of six fields, from the second on, in UTC: ``0 */5 * * * *``.

        ``run_on_startup``: also when the host starts, and when the app is deployed. ``use_monitor``: an occurrence
        that comes while the host is down runs once when it is back, unless this is false.
        """
        check_schedule(schedule)
        trigger = Trigger(
            Kind.TIMER,
            arg_name,
            schedule=schedule,
            use_monitor=use_monitor is not False,
            run_on_startup=bool(run_on_startup),
        )
        return self._decorator(lambda builder: builder.set_trigger(trigger))

    schedule = timer_trigger

    def manual_trigger(self, arg_name: str = "input") -> Decorator:
        """A function that is set off by hand, with ``POST /admin/functions/{name}``."""
        return self._decorator(lambda builder: builder.set_trigger(Trigger(Kind.MANUAL, arg_name)))

    def durable_client_input(
        self, client_name: str, task_hub: str | None = None, connection_name: str | None = None
    ) -> Decorator:
        """The parameter takes the durable client of the function's own hub."""

        def change(builder: FunctionBuilder) -> None:
            builder.clients[client_name] = True

        return self._decorator(change)


class FunctionApp(Blueprint):
    """The app: what ``function_app.py`` makes one of. ``version`` is the label of this version of it."""

    def __init__(self, http_auth_level: AuthLevel | str = AuthLevel.FUNCTION, version: str | None = None) -> None:
        super().__init__(http_auth_level)
        self.version = version

    def register_functions(self, blueprint: Blueprint) -> None:
        """Makes the functions of a blueprint part of the app."""
        self._builders.extend(builder for builder in blueprint._builders if builder not in self._builders)

    register_blueprint = register_functions


class DFApp(FunctionApp):
    """The same under the name that it has in Durable Functions."""
