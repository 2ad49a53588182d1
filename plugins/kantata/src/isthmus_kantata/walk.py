"""Where a stream stands, and how far one page takes it; pure, so that every corner has a test.

A pass reads everything changed since ``resume``, in one or more phases. Within a pass there are two ways
to go on. Where Kantata sorts by ``updated_at`` the walk follows the stamps: the next page begins at the
newest stamp met, so records that move to the end while we read cannot push others over a page border.
Only when one stamp fills a whole page does it count pages. Where Kantata cannot sort so, it counts pages
in an order that does not change; the set only grows meanwhile.

The next pass resumes at the newest stamp met, but never later than ``overlap_s`` before this pass began:
what was committed late, or changed on a page already read, is met again. What is met twice has the same
event id and dies at intake.
"""

from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from isthmus.sdk import Fatal

T = TypeVar("T")


class Walk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cursor of a stream; ``started`` is None between passes."""

    resume: datetime | None = None
    started: datetime | None = None
    seen: datetime | None = None
    phase: int = 0
    after: datetime | None = None
    page: int = 1

    @property
    def updated_after(self) -> str | None:
        """The filter that includes ``after`` itself, whatever the peer's stamps are rounded to."""
        if self.after is None:
            return None
        return (self.after - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


class People(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cursor of the users: what was told of each, by id, as digest and revision."""

    told: dict[str, tuple[str, int]] = {}
    page: int = 1


def read_walk(cursor: bytes | None, read_from: datetime | None) -> Walk:
    return _read(cursor, Walk) if cursor is not None else Walk(resume=read_from)


def read_people(cursor: bytes | None) -> People:
    return _read(cursor, People) if cursor is not None else People()


def begin(walk: Walk, now: datetime) -> Walk:
    """The walk with a pass in hand."""
    if walk.started is not None:
        return walk
    return Walk(resume=walk.resume, started=now, after=walk.resume)


def advance(
    walk: Walk, stamps: list[datetime], *, full: bool, by_stamp: bool, phases: int, overlap: timedelta
) -> Walk:
    """The walk after a page.

    Args:
        stamps: when each record of the page changed; those that were held back are left out.
        full: whether the peer has more pages.
        by_stamp: whether the page was sorted by ``updated_at``.
    """
    newest = max(stamps, default=None)
    seen = max((s for s in (walk.seen, newest) if s is not None), default=None)
    walk = msgspec.structs.replace(walk, seen=seen)
    if full:
        if by_stamp and newest is not None and (walk.after is None or newest > walk.after):
            return msgspec.structs.replace(walk, after=newest, page=1)
        return msgspec.structs.replace(walk, page=walk.page + 1)
    if walk.phase + 1 < phases:
        return msgspec.structs.replace(walk, phase=walk.phase + 1, after=walk.resume, page=1)
    assert walk.started is not None, "a pass ends only after it began"
    if seen is None:
        return Walk(resume=walk.resume)
    resume = min(seen, walk.started - overlap)
    return Walk(resume=resume if walk.resume is None else max(resume, walk.resume))


def _read(cursor: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(cursor, type=kind)
    except msgspec.DecodeError as error:
        raise Fatal(f"the cursor is not one of this connector: {error}; reset it") from error
