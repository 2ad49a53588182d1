"""Instants as text: UTC, microseconds, ``Z``. Fixed width: the order of text is the order of time."""

from datetime import UTC, datetime
from functools import lru_cache


def to_text(at: datetime) -> str:
    """``2026-10-30T12:00:00.000000Z``.

    Raises:
        ValueError: ``at`` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone; instants are aware")
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


@lru_cache(maxsize=1024)  # the events of a page were recorded at one instant
def from_text(text: str) -> datetime:
    """Read what `to_text` wrote; aware, UTC."""
    return datetime.fromisoformat(text)


def maybe_from_text(text: str | None) -> datetime | None:
    """Like `from_text`, for columns that may be null."""
    return None if text is None else from_text(text)
