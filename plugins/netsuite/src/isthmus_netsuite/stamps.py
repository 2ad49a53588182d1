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
SECOND_TELLING = 6_000


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """When a record was saved: as an instant, and as the revision that is made of its stamp."""

    at: datetime
    revision: int


def moment_of(stamp: str, zone: ZoneInfo, *, again: bool = False) -> Moment:
    """A stamp of the account.

    The revision is its digits, taken literally, so that no zone table changes it. In the hour told twice
    the second telling goes on counting seconds where no clock does: 01:59:59 is ..015959, then 01:00:00
    is ..016000 and 01:59:59 is ..019599, then comes ..020000. So it grows with time there, too.

    Args:
        again: It is the second telling of an hour told twice.

    Raises:
        ValueError: not ``YYYY-MM-DD HH:MM:SS``.
    """
    wall = datetime.strptime(stamp, STAMP).replace(tzinfo=zone, fold=int(again))
    digits = int(f"{wall:%Y%m%d%H}") * 10_000
    digits += SECOND_TELLING + wall.minute * 60 + wall.second if again else wall.minute * 100 + wall.second
    return Moment(at=wall.astimezone(UTC), revision=digits)


def told_twice(stamp: str, zone: ZoneInfo) -> bool:
    """Whether the account's clock shows this time twice, so that the stamp alone names no instant."""
    return _told_twice(datetime.strptime(stamp, STAMP), zone)  # noqa: DTZ007  wall-clock arithmetic


def to_stamp(instant: datetime, zone: ZoneInfo) -> str:
    return instant.astimezone(zone).strftime(STAMP)


def is_again(instant: datetime, zone: ZoneInfo) -> bool:
    """Whether the account's clock shows the hour told twice for the second time."""
    return instant.astimezone(zone).fold == 1


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
