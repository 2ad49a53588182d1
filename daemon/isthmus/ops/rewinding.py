"""How far each source is read, and sending a cursor back: what is read again is dropped where it is known."""

from datetime import datetime

import msgspec

from isthmus.store import audit, cursors
from isthmus.store.face import Tx

__all__ = ["CursorLine", "Rewound", "cursor_lines", "rewind"]

SHOWN_MAX = 120


class CursorLine(msgspec.Struct, frozen=True, kw_only=True):
    """How far one stream of one source is read."""

    connector: str
    stream: str
    moved_at: datetime
    back_to: datetime | None
    """How far back its places are known; None when it has not moved for an hour yet."""
    position: str
    """The connector's own word, as far as it is text."""


class Rewound(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cursor stood and where it stands."""

    connector: str
    stream: str
    stood_at: datetime
    stands_at: datetime | None
    """As of when it stands now; None: at the beginning."""
    dry_run: bool


def cursor_lines(tx: Tx) -> list[CursorLine]:
    """Every cursor."""
    return [
        CursorLine(
            connector=each.source,
            stream=each.entity,
            moved_at=each.updated_at,
            back_to=cursors.first_mark(tx, each.source, each.entity),
            position=each.position.decode(errors="replace")[:SHOWN_MAX],
        )
        for each in cursors.listing(tx)
    ]


def rewind(
    tx: Tx,
    connector: str,
    stream: str,
    to: datetime | None,
    now: datetime,
    *,
    by: str,
    why: str,
    dry_run: bool = False,
) -> Rewound:
    """Send a cursor back to where it stood at ``to``, or in the hour before that in which it moved.

    Args:
        to: None reads the source from its beginning.

    Raises:
        LookupError: there is no such cursor, or nobody knows where it stood then; the message says what is.
    """
    found = [each for each in cursors.listing(tx) if (each.source, each.entity) == (connector, stream)]
    if not found:
        known = ", ".join(f"{each.source} {each.entity}" for each in cursors.listing(tx)) or "none yet"
        raise LookupError(f"{connector} has read no stream {stream!r}; cursors are: {known}")
    mark = None if to is None else cursors.mark_before(tx, connector, stream, to)
    if to is not None and mark is None:
        first = cursors.first_mark(tx, connector, stream)
        since = "its places are known from its second hour on" if first is None else f"known since {first}"
        raise LookupError(
            f"nobody knows where {connector} {stream} stood at {to}, {since}; or --to-beginning"
        )
    result = Rewound(
        connector=connector,
        stream=stream,
        stood_at=found[0].updated_at,
        stands_at=None if mark is None else mark.hour,
        dry_run=dry_run,
    )
    if dry_run:
        return result
    if mark is None:
        cursors.forget(tx, connector, stream)
    else:
        cursors.go_back(tx, connector, stream, mark, now)
    detail = {"connector": connector, "stream": stream, "to": str(result.stands_at), "reason": why}
    audit.append(tx, by, "cursor.rewind", detail, now)
    return result
