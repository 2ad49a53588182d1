"""The analytical feed: the log in pages, for a reader that tolerates lag and remembers how far it read."""

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from isthmus.events.codec import CURRENT_TYPES, KINDS, encode
from isthmus.events.values import Instant
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = ["FeedItem", "FeedPage", "FeedQuery", "feed_page"]

if TYPE_CHECKING:
    AnyEvent = msgspec.Raw
else:

    class AnyEvent:
        """Stands for any event in the document; what is sent is its JSON as it is."""


EVENT_TYPES: tuple[Any, ...] = tuple(CURRENT_TYPES[tag] for tag in sorted(CURRENT_TYPES))
Kind = Annotated[str, Meta(extra_json_schema={"enum": sorted(KINDS)})]


class FeedQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page."""

    cursor: Annotated[
        str,
        Meta(
            pattern=r"^[0-9]{1,15}$(?!\n)", description="`next` of the page before; none: from the beginning"
        ),
    ] = "0"
    kind: Annotated[list[Kind], Meta(description="only these kinds; repeat the parameter for several")] = []
    entity: Annotated[str | None, Meta(description="only this legal entity")] = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="at most so many facts")] = 200

    def __post_init__(self) -> None:
        for kind in self.kind:
            if kind not in KINDS:
                raise ValueError(f"there is no kind {kind!r}")


class FeedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One fact, in its newest shape."""

    position: int
    recorded_at: Instant
    event: AnyEvent


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Facts in the order of the log. Where few fit the filter, a page may be empty though more follows."""

    items: list[FeedItem]
    next: str
    """The cursor of the next page. Keep it with what you took from this one."""
    more: bool
    """False: that was all there is now; ask again later."""
    as_of: Instant
    """When the page was read."""


def feed_page(tx: Tx, query: FeedQuery, now: datetime) -> FeedPage:
    """Read a page. Facts that were overtaken before they arrived (stale) are left out, as everywhere."""
    kinds: Collection[str] = query.kind or KINDS
    rows, upto = event_log.read_after(tx, int(query.cursor), frozenset(kinds), query.limit)
    items = [
        FeedItem(position=row.seq, recorded_at=row.recorded_at, event=msgspec.Raw(encode(row.event())))
        for row in rows
        if query.entity in (None, row.entity)
    ]
    return FeedPage(items=items, next=str(upto), more=upto < event_log.head(tx), as_of=now)
