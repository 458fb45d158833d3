"""Python's logging becomes the log of the instance or function: once, not again in replays."""

from __future__ import annotations

import logging
import sys

from . import _host
from .errors import stack_of, type_name

_LEVELS = (
    (logging.ERROR, _host.LogLevel.ERROR),
    (logging.WARNING, _host.LogLevel.WARN),
    (logging.INFO, _host.LogLevel.INFO),
    (logging.DEBUG, _host.LogLevel.DEBUG),
)


class HostHandler(logging.Handler):
    """Hands records to the host."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write(record.levelno, self.format(record))
        except Exception:
            self.handleError(record)


class _Formatter(logging.Formatter):
    def formatException(self, ei: object) -> str:
        error = ei[1]  # type: ignore[index]
        return f"{type_name(error)}: {error}\n{stack_of(error.__traceback__) or ''}".rstrip()


def write(level: int, text: str) -> None:
    """Writes a line into the log of what runs."""
    backend = _host.backend()
    known = next((name for limit, name in _LEVELS if level >= limit), _host.LogLevel.TRACE)
    logs = {
        _host.Role.ORCHESTRATOR: backend.orchestration,
        _host.Role.ACTIVITY: backend.activity_context,
        _host.Role.FUNCTION: backend.function_context,
    }
    target = logs.get(backend.role)
    if target is None:
        print(text, file=sys.stderr)
    else:
        target.log(known, text.encode("utf-8", "replace").decode())


def install() -> None:
    """Makes the root logger write to the host, from INFO on; the app may choose another level."""
    handler = HostHandler()
    handler.setFormatter(_Formatter("%(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    # What is inside a call of logging need not be kept for each record: it costs time in every replay.
    logging.logThreads = False
    logging.logProcesses = False
    logging.logMultiprocessing = False
