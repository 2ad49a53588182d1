"""Keeps what a source told: all of a page or none of it."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.sdk.connector import Page
from isthmus.store import audit, crosswalk, cursors, dead_letters
from isthmus.store import log as event_log
from isthmus.store.face import Store, Tx


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a page."""

    new: int
    duplicates: int
    stale: int
    refused: int


async def record(store: Store, instance: str, stream: str, page: Page, now: datetime) -> Recorded:
    """Keep a page, its links, what it refused and the stream's new cursor.

    Fewer new facts than the page holds is normal: every source repeats itself after a restart, and reads
    some time twice on purpose.
    """

    def unit(tx: Tx) -> Recorded:
        kept = event_log.append(tx, page.events, now)
        for link in page.links:
            crosswalk.link(tx, link.kind, link.key, instance, link.remote_id, now)
        refused = 0
        for item in page.refused:
            letter = dead_letters.open_one(
                tx,
                "intake",
                instance,
                "value",
                item.reason,
                now,
                subject=item.place,
                payload_hash=sha256(item.raw).hexdigest(),
                payload_place=item.place,
            )
            refused += letter is not None
        for event_id in kept.conflicts:
            dead_letters.open_one(
                tx,
                "intake",
                instance,
                "duplicate",
                "told twice with different content under one revision; the first is kept",
                now,
                subject=event_id,
                payload_hash=sha256(event_id.encode()).hexdigest(),
                payload_place=event_id,
            )
        cursors.move(tx, instance, stream, page.next, now)
        if kept.new:
            audit.append(
                tx,
                actor=instance,
                act="recorded",
                detail={"stream": stream, "first": kept.new[0], "last": kept.new[-1]},
                now=now,
            )
        return Recorded(new=len(kept.new), duplicates=kept.duplicates, stale=kept.stale, refused=refused)

    return await store.write(unit)


async def record_facts(store: Store, actor: str, events: Sequence[BusinessEvent], now: datetime) -> int:
    """Keep facts that come from no stream, such as an admin's; how many were new."""

    def unit(tx: Tx) -> int:
        kept = event_log.append(tx, events, now)
        audit.append(tx, actor=actor, act="submitted", detail={"events": len(kept.new)}, now=now)
        return len(kept.new)

    return await store.write(unit)
