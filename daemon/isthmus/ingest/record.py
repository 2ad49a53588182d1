"""Keeps what a source told: all of a page or none of it."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.sdk.connector import Page
from isthmus.store import audit, crosswalk, cursors, dead_letters, recovery
from isthmus.store import log as event_log
from isthmus.store.errors import CrosswalkConflict
from isthmus.store.face import Store, Tx


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a page."""

    new: int
    duplicates: int
    stale: int
    refused: int
    woken: int = 0
    """Deliveries that waited for a record of this system and are due now, since a link arrived."""


async def record(
    store: Store,
    instance: str,
    stream: str,
    page: Page,
    now: datetime,
    *,
    begun_at: bytes | msgspec.UnsetType | None = msgspec.UNSET,
    lanes: Sequence[str] = (),
) -> Recorded:
    """Keep a page, its links, what it refused and the stream's new cursor.

    Fewer new facts than the page holds is normal: every source repeats itself after a restart, and reads
    some time twice on purpose.

    Args:
        begun_at: The cursor the page was asked for with; unset: it does not matter.
        lanes: Deliver to this instance; a link may be what their deliveries wait for.

    Raises:
        Moved: a person sent the cursor elsewhere meanwhile; nothing of the page is kept.
    """

    def unit(tx: Tx) -> Recorded:
        kept = event_log.append(tx, page.events, now)
        linked = False
        for link in page.links:
            try:
                linked |= crosswalk.link(tx, link.kind, link.key, instance, link.remote_id, now)
            except CrosswalkConflict as conflict:
                _open(tx, instance, "duplicate", str(conflict), link.key, link.remote_id.encode(), now)
        refused = 0
        for item in page.refused:
            refused += _open(tx, instance, "value", item.reason, item.place, item.raw, now)
        for event_id in kept.conflicts:
            reason = "told twice with different content under one revision; the first is kept"
            _open(tx, instance, "duplicate", reason, event_id, event_id.encode(), now)
        cursors.move(tx, instance, stream, page.next, now, begun_at=begun_at)
        if kept.new:
            audit.append(
                tx,
                actor=instance,
                act="recorded",
                detail={"stream": stream, "first": kept.new[0], "last": kept.new[-1]},
                now=now,
            )
        return Recorded(
            new=len(kept.new),
            duplicates=kept.duplicates,
            stale=kept.stale,
            refused=refused,
            woken=recovery.wake_unmet(tx, lanes, now) if linked else 0,
        )

    return await store.write(unit)


def _open(
    tx: Tx, instance: str, error_class: str, reason: str, place: str, raw: bytes, now: datetime
) -> bool:
    """A work item for what could not be taken in; False when the same one is known already."""
    letter = dead_letters.open_one(
        tx,
        "intake",
        instance,
        error_class,
        reason,
        now,
        subject=place,
        payload_hash=sha256(raw).hexdigest(),
        payload_place=place,
    )
    return letter is not None


def record_facts(
    tx: Tx, actor: str, events: Sequence[BusinessEvent], now: datetime, **detail: str
) -> event_log.Appended:
    """Keep facts that come from no stream, such as those other systems submit.

    Args:
        detail: What the audit trail is to say of them besides.
    """
    kept = event_log.append(tx, events, now)
    said = {**detail, "events": len(kept.new), **({"conflicts": kept.conflicts} if kept.conflicts else {})}
    audit.append(tx, actor, "submitted", said, now)
    return kept
