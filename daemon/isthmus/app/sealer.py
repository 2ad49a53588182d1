"""Seals what is new in the books every few seconds, and anchors the chain outside the file every hour."""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

import trio

from isthmus.runtime.patience import wait_out
from isthmus.store import anchors, audit, seals
from isthmus.store.errors import StoreFull
from isthmus.store.face import Store

log = logging.getLogger(__name__)

__all__ = ["Sealer"]

EVERY_S = 5.0
PAGE = 1000
"""Rows of each book in one transaction: a writer's turn stays short."""
ANCHOR_EVERY_S = 3600.0


class Sealer:
    """The actor. `run` never returns."""

    def __init__(self, store: Store, now: Callable[[], datetime], file: Path) -> None:
        """
        Args:
            file: Where anchors are kept.
        """
        self._store = store
        self._now = now
        self._file = file
        self._anchored = 0
        """The act that was anchored last."""

    async def run(self) -> NoReturn:
        """Seal and anchor, in turn."""
        anchor_at = trio.current_time() + ANCHOR_EVERY_S
        while True:
            await self.seal()
            if trio.current_time() >= anchor_at:
                await self.anchor()
                anchor_at = trio.current_time() + ANCHOR_EVERY_S
            await trio.sleep(EVERY_S)

    async def seal(self) -> None:
        """Seal everything that is settled, page by page."""
        while await self._store.read(seals.pending):
            at = self._now()
            await wait_out(
                StoreFull,
                lambda at=at: self._store.write(lambda tx: seals.seal_next(tx, at, limit=PAGE)),  # type: ignore[misc]
            )

    async def anchor(self) -> None:
        """Keep the end of the chain outside the file; nothing where it has not grown."""
        act, digest = await self._store.read(audit.last)
        if act == self._anchored:
            return
        kept = anchors.Anchor(at=self._now(), act=act, hash=digest.hex())
        await trio.to_thread.run_sync(partial(anchors.append, self._file, kept))
        log.info("audit.anchored", extra={"reason": f"act {act} {kept.hash}"})
        self._anchored = act
