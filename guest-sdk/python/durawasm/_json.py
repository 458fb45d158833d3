"""JSON in and out. ``None`` has one form only: no text at all."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

from .errors import NotJsonError


def encode(value: Any, what: str) -> str | None:
    """The text of a value, ``None`` for ``None``. ``what`` names it in the error."""
    if value is None:
        return None
    try:
        text = json.dumps(value, default=_to_custom, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if not text.isascii():
            text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJsonError(f"{what} is not JSON: {_reason(value, error)}") from None
    return None if text == "null" else text


def decode(text: str | None) -> Any:
    """The value of a text of the host's, which lets in nothing but JSON."""
    return None if text is None else json.loads(text, object_hook=_from_custom)


def _to_custom(value: Any) -> Any:
    """Objects of classes with ``to_json`` and ``from_json`` travel with the name of their class."""
    kind = type(value)
    if not hasattr(kind, "to_json") or not hasattr(kind, "from_json"):
        raise TypeError(kind.__qualname__)
    return {"__class__": kind.__name__, "__module__": kind.__module__, "__data__": kind.to_json(value)}


def _from_custom(value: dict[str, Any]) -> Any:
    if value.keys() != {"__class__", "__module__", "__data__"}:
        return value
    # Data never imports anything: the class is one that the app has loaded, or the object stays what it is.
    module = sys.modules.get(str(value["__module__"]))
    kind = getattr(module, str(value["__class__"]), None)
    if not isinstance(kind, type) or not hasattr(kind, "to_json") or not hasattr(kind, "from_json"):
        return value
    return kind.from_json(value["__data__"])


_ADVICE = {
    "datetime": "pass value.isoformat()",
    "date": "pass value.isoformat()",
    "bytes": "pass value.decode(), or base64",
    "set": "pass sorted(value)",
    "Decimal": "pass str(value)",
    "UUID": "pass str(value)",
    "AtomicTask": "wait for it, with yield or await",
    "TimerTask": "wait for it, with yield or await",
    "WhenAllTask": "wait for it, with yield or await",
    "WhenAnyTask": "wait for it, with yield or await",
    "coroutine": "await it",
}


def _reason(value: Any, error: Exception) -> str:
    if isinstance(error, RecursionError) or "Circular" in str(error):
        return "it contains itself, or is nested too deeply"
    found = _find(value, "", 0)
    if found is None:
        return str(error)
    path, part = found
    where = f" at {path[1:] if path.startswith('.') else path}" if path else ""
    if isinstance(part, float):
        return f"{part!r}{where} is no number of JSON"
    if isinstance(part, str):
        return f"the text{where} has characters that are no Unicode text"
    kind = type(part).__name__
    advice = _ADVICE.get(kind, "pass a dict of its fields, or give its class to_json and from_json")
    article = "an" if kind[0] in "AEIOUaeio" else "a"
    return f"there is {article} {kind}{where}: {advice}"


def _find(value: Any, path: str, depth: int) -> tuple[str, Any] | None:
    """The first part of a value that JSON has no form for."""
    if depth > 100 or value is None or isinstance(value, (bool, int)):
        return None
    if isinstance(value, str):
        return (path, value) if any("\ud800" <= c <= "\udfff" for c in value) else None
    if isinstance(value, float):
        return None if math.isfinite(value) else (path, value)
    if isinstance(value, dict):
        parts = [(f"{path}.{key}", part) for key, part in value.items()]
        wrong = next((key for key in value if not isinstance(key, (str, int, float, bool, type(None)))), None)
        if wrong is not None:
            return f"{path}.(key)", wrong
    elif isinstance(value, (list, tuple)):
        parts = [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    elif hasattr(type(value), "to_json") and hasattr(type(value), "from_json"):
        parts = [(path, type(value).to_json(value))]
    else:
        return path, value
    return next((found for at, part in parts if (found := _find(part, at, depth + 1))), None)
