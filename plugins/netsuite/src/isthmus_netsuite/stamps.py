"""Times of an account, and the cursors made of them.

SuiteQL tells times of day in the account's zone, to the second. Where clocks go back an hour is told
twice, so a watermark in that hour is read from an hour earlier; what is read again is known already.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

STAMP = "%Y-%m-%d %H:%M:%S"
ORACLE_STAMP = "YYYY-MM-DD HH24:MI:SS"
HOUR = timedelta(hours=1)


def to_instant(stamp: str, zone: ZoneInfo) -> datetime:
    """A stamp of the account as an aware instant, UTC; the first of two readings where there are two.

    Raises:
        ValueError: not ``YYYY-MM-DD HH:MM:SS``.
    """
    return datetime.strptime(stamp, STAMP).replace(tzinfo=zone).astimezone(UTC)


def to_stamp(instant: datetime, zone: ZoneInfo) -> str:
    return instant.astimezone(zone).strftime(STAMP)


def revision_of(stamp: str) -> int:
    """A number that grows with the stamp: its digits. Taken literally, so no zone table changes it."""
    return int("".join(filter(str.isdigit, stamp)))


def reread_from(watermark: str, overlap_s: float, zone: ZoneInfo) -> str:
    """Where the next sweep starts, so that nothing saved late, or in the hour told twice, is missed."""
    wall = datetime.strptime(watermark, STAMP)  # noqa: DTZ007  wall-clock arithmetic on purpose
    start = wall - timedelta(seconds=overlap_s)
    if any(_told_twice(wall + step, zone) for step in (-HOUR, timedelta(0), HOUR)):
        start -= HOUR
    return start.strftime(STAMP)


def _told_twice(wall: datetime, zone: ZoneInfo) -> bool:
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first is not None and second is not None and first > second


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a stream of transactions was read.

    A sweep reads from ``since`` upwards by (stamp, id); ``stamp`` and ``id`` are the last row of the page
    before. Between sweeps only ``watermark`` counts: the newest stamp ever seen.
    """

    watermark: str = ""
    since: str = ""
    stamp: str = ""
    id: int = 0

    @property
    def sweeping(self) -> bool:
        return bool(self.stamp)


def read_cursor(data: bytes | None, type: type[Any]) -> Any:
    """A cursor from its bytes; None is the beginning.

    Raises:
        ValueError: bytes of another make.
    """
    return type() if data is None else msgspec.json.decode(data, type=type)


def write_cursor(cursor: msgspec.Struct) -> bytes:
    return msgspec.json.encode(cursor)
