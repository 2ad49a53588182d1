"""What the rest of the daemon sees of the store: units of work go in, their results come back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import trio

from isthmus.store.errors import StoreFailed

T = TypeVar("T")
Row = tuple[Any, ...]


class Tx(Protocol):
    """One open transaction, on the connection's thread. Statements are named in ``sql/*.sql``.

    Parameters are bound by name; aware datetimes become text (`isthmus.store.instants`), the rest goes as
    it is. Statements marked "by position" take sequences in `many`, already in the form they are stored in.
    """

    def run(self, name: str, /, **params: Any) -> int:
        """Run one statement; how many rows it changed."""

    def many(self, name: str, rows: Iterable[Mapping[str, Any] | Sequence[Any]], /) -> int:
        """Run one statement for each row; how many rows were changed in all."""

    def one(self, name: str, /, **params: Any) -> Row | None:
        """The first row, or None."""

    def all(self, name: str, /, **params: Any) -> list[Row]:
        """Every row."""


class Store(ABC):
    """The open store. `isthmus.store.open` makes one."""

    path: Path
    """The database file; never open it yourself. ``:memory:`` for the in-memory store."""
    generation: int
    """Which start of the daemon this is; grows with every start."""
    failed: trio.Event
    """Set when the store can no longer be trusted: end the process; `failure` says why."""

    @property
    @abstractmethod
    def failure(self) -> StoreFailed | None:
        """Why the store cannot be trusted; None while it can."""

    @abstractmethod
    async def write(self, unit: Callable[[Tx], T]) -> T:
        """Run ``unit`` in a write transaction and return its result once that is on the disk.

        Units that wait at the same time share a transaction. When one fails the others are run again, one
        by one: a unit must be plain code that touches only its ``tx``, and must not mind being run twice.
        A cancelled call either never started its unit or finishes it.

        Raises:
            StoreFull: no space; nothing was written.
            StoreFailed: nothing can be written any more.
            Exception: whatever the unit raised; its transaction was rolled back.
        """

    @abstractmethod
    async def read(self, unit: Callable[[Tx], T], *, limit_s: float = 10.0) -> T:
        """Run ``unit`` in a read transaction, beside the writer, and return its result.

        A cancelled call ends its read. Read in pages: an open read keeps the write-ahead log growing.

        Raises:
            ReadTooLong: the unit took more than ``limit_s`` seconds.
            Exception: whatever the unit raised.
        """

    async def read_in_turn(self, unit: Callable[[Tx], T]) -> T:
        """Read many rows, between the writes instead of beside them; otherwise as `read`.

        Two threads that hand rows to Python at the same time take the interpreter's lock from each other row
        by row. That costs a busy daemon more than a short wait for its turn.
        """
        return await self.read(unit)

    @abstractmethod
    async def backup(self, target: Path) -> None:
        """Copy the database, consistent and synced, to ``target``, which must not exist.

        Raises:
            FileExistsError: ``target`` exists.
        """

    @abstractmethod
    def wal_bytes(self) -> int:
        """Size of the write-ahead log, for a gauge; 0 when there is none."""
