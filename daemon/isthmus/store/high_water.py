"""What this machine has seen of the store, kept beside the file, so that a restored backup is noticed.

A backup put back is a store that has forgotten: its cursors are older, and deliveries that were made look as
if they were not. Keys are deterministic, so asking again is safe where the other side enforces them; for the
rest a person starts `restore --accept`, and lanes ask before they send.
"""

import os
import time
from pathlib import Path

import msgspec

from isthmus.store.errors import StoreRewound
from isthmus.store.lock import sync_directory

HIGH_WATER_NAME = "isthmus.high-water"
EVERY_S = 1.0


class Mark(msgspec.Struct, frozen=True, order=True):
    """How far a store is; later starts and later events compare higher."""

    generation: int
    head: int


class HighWater:
    """The mark of one state directory. Written at most every second: it may lag, it never runs ahead."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / HIGH_WATER_NAME
        self._written_at = 0.0
        self._written: Mark | None = None

    def check(self, found: Mark) -> None:
        """Compare the file with what was seen.

        Raises:
            StoreRewound: the store is behind.
        """
        try:
            seen = msgspec.json.decode(self._path.read_bytes(), type=Mark)
        except FileNotFoundError:
            return
        except msgspec.DecodeError as error:
            raise StoreRewound(
                f"{self._path} cannot be read; accept the store as it is to renew it"
            ) from error
        if found.generation < seen.generation or found.head < seen.head:
            raise StoreRewound(
                f"the store is at start {found.generation}, event {found.head}; this machine has seen "
                f"start {seen.generation}, event {seen.head}: a backup was put back"
            )

    def note(self, mark: Mark, *, at_once: bool = False) -> None:
        """Remember how far the store is, after that was committed."""
        now = time.monotonic()
        if mark == self._written or (not at_once and now - self._written_at < EVERY_S):
            return
        partial = self._path.with_name(HIGH_WATER_NAME + ".partial")
        with partial.open("wb") as file:
            file.write(msgspec.json.encode(mark))
            file.flush()
            if at_once:
                os.fsync(file.fileno())
        partial.rename(self._path)
        if at_once:
            sync_directory(self._path.parent)
        self._written, self._written_at = mark, now

    def due(self) -> bool:
        """True when `note` would write; spares the question how far the store is."""
        return time.monotonic() - self._written_at >= EVERY_S
