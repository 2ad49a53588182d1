"""The daemon with one planted bug: ``python mutants.py BUG run --config DIR``.

Each bug is a change somebody could make in good faith; the kill test must notice it.
"""

import sys
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import trio

from isthmus.cli import main
from isthmus.delivery import actor as delivery
from isthmus.delivery.attempt import attempt
from isthmus.delivery.lane import Group
from isthmus.ingest import actor as ingest
from isthmus.ingest.record import Recorded, record
from isthmus.sdk.connector import Page, Receipt, Sink
from isthmus.store import cursors
from isthmus.store.face import Store


def cursor_moved_first() -> None:
    """The cursor is saved when the page arrives, the page itself a moment later."""

    async def careless(
        store: Store, instance: str, stream: str, page: Page, now: datetime, **known: Any
    ) -> Recorded:
        await store.write(lambda tx: cursors.move(tx, instance, stream, page.next, now))
        if page.events:
            await trio.sleep(0.9)
        return await record(store, instance, stream, page, now, **{**known, "begun_at": page.next})

    ingest.record = careless  # type: ignore[attr-defined]


def done_before_send() -> None:
    """The receipt is written first, to save a transaction."""

    async def hasty(self: Any, sink: Sink, group: Group) -> None:
        await self._end(sink, group, None, [Receipt(remote_id="sent") for _ in group.items])
        await attempt(self._lane, sink, group.items)

    delivery.LaneActor._carry_out = hasty  # type: ignore[method-assign]


def random_keys() -> None:
    """Every attempt gets a key of its own."""
    from isthmus_netsuite.settings import NetSuiteSettings

    def fresh(self: Any, key: str) -> str:
        return f"{self.external_id_prefix}:{uuid.uuid4()}:{key}"

    NetSuiteSettings.external_id = fresh  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    "cursor-moved-first": cursor_moved_first,
    "done-before-send": done_before_send,
    "random-keys": random_keys,
}

if __name__ == "__main__":
    BUGS[sys.argv.pop(1)]()
    main()
