"""The names of ``azure.functions`` that durawasm knows, so that apps written for it run unchanged."""

from durawasm import (
    AuthLevel,
    Blueprint,
    Context,
    FunctionApp,
    HttpMethod,
    HttpRequest,
    HttpResponse,
    Out,
    TimerRequest,
)

__all__ = [
    "AuthLevel",
    "Blueprint",
    "Context",
    "FunctionApp",
    "HttpMethod",
    "HttpRequest",
    "HttpResponse",
    "Out",
    "TimerRequest",
]
