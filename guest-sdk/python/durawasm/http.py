"""Requests and responses of HTTP functions."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, Iterator, Mapping, MutableMapping
from urllib.parse import parse_qsl


class HttpMethod(Enum):
    """The methods of HTTP."""

    GET = "GET"
    POST = "POST"
    DELETE = "DELETE"
    HEAD = "HEAD"
    PATCH = "PATCH"
    PUT = "PUT"
    OPTIONS = "OPTIONS"


class Headers(MutableMapping[str, str]):
    """Headers; their names are the same in upper and lower case."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._values: dict[str, tuple[str, str]] = {}
        self.update(headers or {})

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __setitem__(self, name: str, value: str) -> None:
        self._values[name.lower()] = (name, value)

    def __delitem__(self, name: str) -> None:
        del self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"


class HttpRequest:
    """A request that matched the function's route."""

    def __init__(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        route_params: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        self._method = method
        self._url = url
        self._headers = Headers(headers)
        self._params = dict(params or {})
        self._route_params = dict(route_params or {})
        self._body = bytes(body)

    @property
    def method(self) -> str:
        """The method, in capitals."""
        return self._method

    @property
    def url(self) -> str:
        """The URL as the client wrote it, with scheme and host."""
        return self._url

    @property
    def headers(self) -> Headers:
        """The headers; of one that came more than once the values, with commas between them."""
        return self._headers

    @property
    def params(self) -> dict[str, str]:
        """The query, decoded; of a name that came more than once the last value."""
        return self._params

    @property
    def route_params(self) -> dict[str, str]:
        """The parameters of the route, decoded. An optional one that is absent is not there."""
        return self._route_params

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form (``application/x-www-form-urlencoded``)."""
        return dict(parse_qsl(self._body.decode(), keep_blank_values=True))

    def get_body(self) -> bytes:
        """The body."""
        return self._body

    def get_json(self) -> Any:
        """The body as JSON; ``ValueError`` if it is none."""
        try:
            return json.loads(self._body)
        except ValueError as error:
            raise ValueError(f"the HTTP request does not contain valid JSON data: {error}") from error


class HttpResponse:
    """What an HTTP function answers: text, bytes or nothing, 200 unless it says otherwise."""

    mimetype = "text/plain"
    charset = "utf-8"

    def __init__(
        self,
        body: str | bytes | None = None,
        *,
        status_code: int | None = None,
        headers: Mapping[str, str] | None = None,
        mimetype: str | None = None,
        charset: str | None = None,
    ) -> None:
        self.status_code = 200 if status_code is None else int(status_code)
        self.mimetype = mimetype or self.mimetype
        self.charset = charset or self.charset
        self.headers = Headers(headers)
        if body is None:
            body = b""
        if not isinstance(body, (str, bytes, bytearray)):
            raise TypeError(f"the body of a response is str or bytes, not {type(body).__name__}: use json.dumps(body)")
        self._body = body.encode(self.charset) if isinstance(body, str) else bytes(body)

    def get_body(self) -> bytes:
        """The body."""
        return self._body

    def _wire_headers(self) -> list[tuple[str, str]]:
        headers = [(str(name), str(value)) for name, value in self.headers.items()]
        if "content-type" not in self.headers and self._body:
            text = self.mimetype.startswith("text/") or self.mimetype == "application/json"
            headers.append(("Content-Type", f"{self.mimetype}; charset={self.charset}" if text else self.mimetype))
        return headers


def response_of(value: Any) -> HttpResponse:
    """The response that a function's result stands for."""
    if isinstance(value, HttpResponse):
        return value
    if value is None:
        return HttpResponse(status_code=204)
    if isinstance(value, (str, bytes)):
        return HttpResponse(value)
    if isinstance(value, dict) and value.keys() <= {"status", "status_code", "body", "headers"}:
        status = value.get("status", value.get("status_code"))
        body, headers = value.get("body"), value.get("headers")
        if not isinstance(body, (str, bytes, type(None))):
            return HttpResponse(json.dumps(body), status_code=status, headers=headers, mimetype="application/json")
        return HttpResponse(body, status_code=status, headers=headers)
    raise TypeError(f"an HTTP function returns an HttpResponse or a str, not {type(value).__name__}")
