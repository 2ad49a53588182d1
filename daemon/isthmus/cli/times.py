"""Instants as people write them on a command line."""

import re
from datetime import UTC, datetime, timedelta

from isthmus.cli.exits import USAGE, Leave

__all__ = ["instant", "span"]

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def instant(option: str, text: str | None, now: datetime) -> datetime | None:
    """``2026-11-01T08:00:00+01:00``, ``2026-11-01`` (its midnight in UTC), or ``3h``, ``2d`` ago.

    Raises:
        Leave: it is none of these.
    """
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or (at.tzinfo is None and len(text) > 10):
        forms = "2026-11-01T08:00:00+01:00, 2026-11-01, 3h or 2d"
        raise Leave(USAGE, f"{option} {text!r} is no time; write it as one of: {forms}")
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def span(option: str, text: str) -> timedelta:
    """``90d``, ``12h``: how long something is to last.

    Raises:
        Leave: it is none.
    """
    if found := _AGO.fullmatch(text):
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    raise Leave(USAGE, f"{option} {text!r} is no span of time; write it as 90d, 12h or 30m")
