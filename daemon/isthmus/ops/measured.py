"""A store whose writes are measured; everything else goes straight through."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from isthmus.store.errors import StoreFailed
from isthmus.store.face import Store, Tx

T = TypeVar("T")

__all__ = ["MeasuredStore"]


class MeasuredStore(Store):
    """Tells how long each write took, from asking for it to its being on the disk; failed ones too."""

    def __init__(self, store: Store, wrote: Callable[[float], None]) -> None:
        """
        Args:
            wrote: Hears seconds.
        """
        self._store = store
        self._wrote = wrote
        self.path = store.path
        self.generation = store.generation
        self.failed = store.failed

    @property
    def failure(self) -> StoreFailed | None:
        return self._store.failure

    async def write(self, unit: Callable[[Tx], T]) -> T:
        began = time.perf_counter()
        try:
            return await self._store.write(unit)
        finally:
            self._wrote(time.perf_counter() - began)

    async def read(self, unit: Callable[[Tx], T], *, limit_s: float = 10.0) -> T:
        return await self._store.read(unit, limit_s=limit_s)

    async def read_in_turn(self, unit: Callable[[Tx], T]) -> T:
        return await self._store.read_in_turn(unit)

    async def backup(self, target: Path) -> None:
        await self._store.backup(target)

    def wal_bytes(self) -> int:
        return self._store.wal_bytes()
