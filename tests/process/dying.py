"""A store whose process dies in the middle: what a test does to show that nothing lies between."""

from collections.abc import Callable
from typing import Literal, TypeVar

from isthmus.store.errors import StoreFailed
from isthmus.store.face import Store, Tx

T = TypeVar("T")
Moment = Literal["before the commit", "after the commit"]


class Died(Exception):
    """The process is gone; whoever holds this was killed."""


class DyingStore(Store):
    """Goes through to ``inner`` and dies at its ``at``-th write, before that or once it is on the disk."""

    def __init__(self, inner: Store, at: int = 0, moment: Moment = "before the commit") -> None:
        """
        Args:
            at: Counts from 1; 0 never dies.
        """
        self._inner = inner
        self._at = at
        self._moment = moment
        self.writes = 0
        self.path = inner.path
        self.generation = inner.generation
        self.failed = inner.failed

    @property
    def failure(self) -> StoreFailed | None:
        return self._inner.failure

    async def write(self, unit: Callable[[Tx], T]) -> T:
        self.writes += 1
        if self.writes != self._at:
            return await self._inner.write(unit)
        if self._moment == "after the commit":
            await self._inner.write(unit)
            raise Died

        def cut(tx: Tx) -> None:
            unit(tx)
            raise Died

        await self._inner.write(cut)
        raise AssertionError("a write that died went on")

    async def read(self, unit: Callable[[Tx], T], *, limit_s: float = 10.0) -> T:
        return await self._inner.read(unit, limit_s=limit_s)

    async def backup(self, target: object) -> None:
        raise AssertionError("no test backs up a dying store")

    def wal_bytes(self) -> int:
        return self._inner.wal_bytes()
