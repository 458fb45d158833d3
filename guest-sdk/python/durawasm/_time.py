"""Times as the contract has them: RFC 3339 in UTC."""

from __future__ import annotations

from datetime import datetime, timezone


def parse(text: str) -> datetime:
    """The time of a text of the host's."""
    return datetime.fromisoformat(text).astimezone(timezone.utc)


def text(time: datetime) -> str:
    """The text of a time; one without a time zone is in UTC."""
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    return time.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def optional_text(time: datetime | None) -> str | None:
    """The same for a time that need not be given."""
    return None if time is None else text(time)
