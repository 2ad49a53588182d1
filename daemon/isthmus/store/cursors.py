"""How far we have read each source. The bytes are the connector's own; nobody here looks inside."""

from datetime import UTC, datetime

import msgspec

from isthmus.store.face import Tx
from isthmus.store.instants import from_text, maybe_from_text, to_text


class Cursor(msgspec.Struct, frozen=True):
    """Where the next page of a source begins."""

    source: str
    entity: str
    position: bytes
    updated_at: datetime


def get(tx: Tx, source: str, entity: str) -> bytes | None:
    """None before the first page."""
    row = tx.one("cursor_get", source=source, entity=entity)
    return None if row is None else bytes(row[0])


class Moved(Exception):
    """A person sent the cursor elsewhere while a page was on its way; the page must be dropped."""


def move(
    tx: Tx,
    source: str,
    entity: str,
    position: bytes,
    now: datetime,
    *,
    begun_at: bytes | msgspec.UnsetType | None = msgspec.UNSET,
) -> None:
    """Remember where the next page begins, in the transaction that keeps this one.

    Args:
        begun_at: Where the page began, as `get` said before it was asked for; unset: anywhere.

    Raises:
        Moved: the cursor does not stand there any more.
    """
    if begun_at is not msgspec.UNSET and get(tx, source, entity) != begun_at:
        raise Moved(f"{source}.{entity}")
    tx.run("cursor_mark", source=source, entity=entity, hour=to_text(_hour(now)))
    tx.run("cursor_move", source=source, entity=entity, position=position, now=now)


class Mark(msgspec.Struct, frozen=True):
    """Where a cursor stood when an hour began."""

    hour: datetime
    position: bytes


def mark_before(tx: Tx, source: str, entity: str, at: datetime) -> Mark | None:
    """Where the cursor stood at ``at``, or in the hour before that in which it moved; None: not known."""
    row = tx.one("cursor_mark_before", source=source, entity=entity, at=to_text(at))
    return None if row is None else Mark(from_text(row[0]), bytes(row[1]))


def first_mark(tx: Tx, source: str, entity: str) -> datetime | None:
    """How far back `mark_before` knows."""
    row = tx.one("cursor_marks_first", source=source, entity=entity)
    return maybe_from_text(row[0]) if row else None


def go_back(tx: Tx, source: str, entity: str, mark: Mark, now: datetime) -> None:
    """Read on from where the cursor stood; what is known already is not counted twice."""
    tx.run("cursor_move", source=source, entity=entity, position=mark.position, now=now)
    tx.run("cursor_marks_drop_after", source=source, entity=entity, hour=to_text(mark.hour))


def forget(tx: Tx, source: str, entity: str) -> bool:
    """Read the source from its beginning again; what is known already is not counted twice."""
    tx.run("cursor_marks_drop_after", source=source, entity=entity, hour="")
    return tx.run("cursor_forget", source=source, entity=entity) == 1


def listing(tx: Tx) -> list[Cursor]:
    return [
        Cursor(source, entity, bytes(position), from_text(updated_at))
        for source, entity, position, updated_at in tx.all("cursors_all")
    ]


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
