"""Where a stream stands, and how far one page takes it; pure, so that every corner has a test.

A pass reads everything changed since ``resume``, in one or more phases. Within a pass there are two ways
to go on. Where Kantata sorts by ``updated_at`` the walk follows the stamps: the next page begins at the
newest stamp met, so records that move to the end while we read cannot push others over a page border.
Where one stamp fills a whole page, and where Kantata cannot sort so, it counts records (`Place`).

The next pass resumes at the newest stamp met, but never later than ``overlap_s`` before this pass began:
what was committed late, or changed on a page already read, is met again. What is met twice has the same
event id and dies at intake.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from isthmus.sdk import Fatal
from isthmus_kantata.paging import Place

T = TypeVar("T")


class Walk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cursor of a stream; ``started`` is None between passes."""

    resume: datetime | None = None
    started: datetime | None = None
    seen: datetime | None = None
    phase: int = 0
    after: datetime | None = None
    place: Place = Place()
    hint: str | None = None
    """The newest events of the feed when the pass began; None where it is not read."""
    passed: datetime | None = None
    """When the last whole pass began, where the feed is read: without news there the next one may wait."""

    @property
    def updated_after(self) -> str | None:
        """The filter that includes ``after`` itself, whatever the peer's stamps are rounded to."""
        if self.after is None:
            return None
        return (self.after - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


class People(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cursor of the users: what was told of each, by id, as digest and revision."""

    told: dict[str, tuple[str, int]] = {}
    place: Place = Place()
    hint: str | None = None
    passed: datetime | None = None


def read_walk(cursor: bytes | None, read_from: datetime | None) -> Walk:
    return read(cursor, Walk) if cursor is not None else Walk(resume=read_from)


def begin(walk: Walk, now: datetime) -> Walk:
    """The walk with a pass in hand."""
    if walk.started is not None:
        return walk
    return msgspec.structs.replace(walk, started=now, after=walk.resume)


def advance(
    walk: Walk,
    ids: Sequence[str],
    stamps: Sequence[datetime],
    *,
    more: bool,
    size: int,
    by_stamp: bool,
    phases: int,
    overlap: timedelta,
) -> Walk:
    """The walk after a page.

    Args:
        ids: every record of the page, in order.
        stamps: when each record of the page changed; those that were held back are left out.
        more: whether the peer has records behind this page.
        size: how many records were asked for, at least 2.
        by_stamp: whether the page was sorted by ``updated_at``.

    Raises:
        Retryable: the peer claims to have more and does not show it.
    """
    newest = max(stamps, default=None)
    seen = max((s for s in (walk.seen, newest) if s is not None), default=None)
    walk = msgspec.structs.replace(walk, seen=seen)
    jumps = by_stamp and newest is not None and (walk.after is None or newest > walk.after)
    if more and jumps and walk.place.whole(ids):
        return msgspec.structs.replace(walk, after=newest, place=Place())
    place = walk.place.following(ids, size=size, more=more)
    if place is not None:
        return msgspec.structs.replace(walk, place=place)
    if walk.phase + 1 < phases:
        return msgspec.structs.replace(walk, phase=walk.phase + 1, after=walk.resume, place=Place())
    assert walk.started is not None, "a pass ends only after it began"
    resume = walk.resume
    if seen is not None:
        resume = min(seen, walk.started - overlap)
        resume = resume if walk.resume is None else max(resume, walk.resume)
    return Walk(resume=resume, passed=None if walk.hint is None else walk.started, hint=walk.hint)


def read(cursor: bytes, kind: type[T]) -> T:
    """A cursor of this connector.

    Raises:
        Fatal: it is none.
    """
    try:
        return msgspec.json.decode(cursor, type=kind)
    except msgspec.DecodeError as error:
        raise Fatal(f"the cursor is not one of this connector: {error}; reset it") from error
