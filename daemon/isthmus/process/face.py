"""What a process is to the actor that runs it: what it consumes, what it keeps, what it derives.

The actor takes events in log order. For each run of them it opens ONE write transaction, gives the process
a `States` over its own rows, calls `apply` event by event, and commits the changed rows, the derived events
and its position together. A fact that concerns very many rows is a run of its own, and `apply` is called
before the transaction opens. A process is a value without state of its own: everything it remembers is in
`States`, under keys it chose, so it may be made anew at any time.
"""

from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from isthmus.events.base import BusinessEvent

__all__ = ["AnalyticalProcess", "Process", "States"]

T = TypeVar("T", bound=msgspec.Struct)


class States(Protocol):
    """The rows of one process, as seen inside one transaction.

    A row is a frozen msgspec Struct, stored with `isthmus.process.states.encode_state`. There is no scan
    and no delete: a process finds what it needs by keys it wrote down elsewhere.
    """

    def get(self, key: str, type: type[T]) -> T | None:
        """The row under ``key``, with every `put` of this transaction in it; None where there is none."""

    def put(self, key: str, struct: msgspec.Struct) -> None:
        """Write the row; it is stored when the transaction commits."""


class Process(Protocol):
    """Transactional: every fact, in log order, each with what it derives in the same transaction."""

    @property
    def name(self) -> str:
        """The source of what it derives, and the owner of its rows."""

    @property
    def consumes(self) -> frozenset[str]:
        """The kinds it reads (``time.approved``); any other kind is never passed to `apply`."""

    def apply(self, event: BusinessEvent, states: States) -> list[BusinessEvent]:
        """Take one fact; change the rows it concerns; return what follows, in the order to log it.

        The same events in the same order over the same rows give the same result, to the byte: ids are
        derived from ``event.id``. A duplicate or stale event gives an empty list. It raises only for a
        bug: business trouble is an event (``charge.held``), never an exception.
        """


class AnalyticalProcess(Protocol):
    """May lag: many facts fold into one statement per key, and ``basis`` says which."""

    @property
    def name(self) -> str:
        """The source of what it derives, and the owner of its rows."""

    @property
    def consumes(self) -> frozenset[str]:
        """The kinds it reads."""

    def apply(self, event: BusinessEvent, states: States) -> set[str]:
        """Take one fact and return the keys whose statement it changed; empty when none did.

        The actor remembers, per key, the ids of the events that named it, and calls `publish` when the
        oldest of them is as old as the lane's ``lag_window_s``.
        """

    def publish(self, key: str, states: States, as_of: datetime, basis: list[str]) -> list[BusinessEvent]:
        """State the newest truth about ``key``.

        Args:
            as_of: When it is said, aware; it is in the event, not in its id.
            basis: Ids of the events folded in since ``key`` was published last, in log order.

        Returns:
            One event, or none when what was last published still holds.
        """
