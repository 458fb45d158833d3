"""How failed calls are tried again."""

from __future__ import annotations

from . import _host


class RetryOptions:
    """How a failed call is tried again. Attempts and the waits between them are the host's: they survive crashes.

    Intervals are in milliseconds. ``max_number_of_attempts`` counts the first one. Each wait is the one before times
    ``backoff_coefficient``, at most ``max_retry_interval_in_milliseconds`` (6 days if not given); no attempt starts later
    than ``retry_timeout_in_milliseconds`` after the first one.
    """

    def __init__(
        self,
        first_retry_interval_in_milliseconds: float,
        max_number_of_attempts: int,
        backoff_coefficient: float = 1.0,
        max_retry_interval_in_milliseconds: float | None = None,
        retry_timeout_in_milliseconds: float | None = None,
    ) -> None:
        if not first_retry_interval_in_milliseconds > 0:
            raise ValueError("first_retry_interval_in_milliseconds must be more than 0")
        if max_number_of_attempts < 1:
            raise ValueError("max_number_of_attempts must be at least 1: it counts the first attempt")
        self.first_retry_interval_in_milliseconds = first_retry_interval_in_milliseconds
        self.max_number_of_attempts = max_number_of_attempts
        self.backoff_coefficient = backoff_coefficient
        self.max_retry_interval_in_milliseconds = max_retry_interval_in_milliseconds
        self.retry_timeout_in_milliseconds = retry_timeout_in_milliseconds

    def _policy(self) -> _host.RetryPolicy:
        def optional(value: float | None) -> float | None:
            return None if value is None else float(value)

        return _host.RetryPolicy(
            first_retry_interval=float(self.first_retry_interval_in_milliseconds),
            max_attempts=int(self.max_number_of_attempts),
            backoff_coefficient=float(self.backoff_coefficient),
            max_retry_interval=optional(self.max_retry_interval_in_milliseconds),
            retry_timeout=optional(self.retry_timeout_in_milliseconds),
        )
