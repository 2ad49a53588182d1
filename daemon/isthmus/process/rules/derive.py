"""Derived events: their ids, their cause, the chain they belong to."""

import hashlib
from collections import Counter
from datetime import datetime
from typing import Any, TypeVar

from isthmus.events.base import BusinessEvent, derived_id, kind_of

E = TypeVar("E", bound=BusinessEvent)


class Derivation:
    """Collects what follows from one cause, in order, each with an id made of that cause."""

    def __init__(self, process: str, cause: BusinessEvent) -> None:
        self.cause = cause
        self.events: list[BusinessEvent] = []
        self._process = process
        self._counts: Counter[str] = Counter()

    def mark(self) -> tuple[int, Counter[str]]:
        """Where it stands, for `take_back_to`."""
        return len(self.events), Counter(self._counts)

    def take_back_to(self, mark: tuple[int, Counter[str]]) -> None:
        """Forget what was derived since: a trial that was given up."""
        del self.events[mark[0] :]
        self._counts = mark[1]

    def add(self, make: type[E], *, entity: str, **fields: Any) -> E:
        """Derive one event; the ``n``-th of its kind from this cause, counting from 1."""
        kind = kind_of(make)
        self._counts[kind] += 1
        event = make(
            id=derived_id(self._process, kind, self.cause.id, self._counts[kind]),
            source=self._process,
            occurred_at=self.cause.occurred_at,
            entity=entity,
            correlation=self.cause.correlation or self.cause.id,
            causation=self.cause.id,
            **fields,
        )
        self.events.append(event)
        return event


def statement(
    make: type[E], *, process: str, key: str, said_at: datetime, basis: list[str], entity: str, **fields: Any
) -> E:
    """What an analytical process says of ``key``: it follows from the newest fact of its basis."""
    return make(
        id=lineage_id(process, kind_of(make), key, basis),
        source=process,
        occurred_at=said_at,
        entity=entity,
        correlation=basis[0] if basis else None,
        causation=basis[-1] if basis else None,
        **{**fields, "basis": basis},
    )


def lineage_id(process: str, kind: str, key: str, basis: list[str]) -> str:
    """The id of an analytical statement about ``key`` that folds in the events ``basis``.

    The same facts folded in the same order give the same id, whenever it is said.
    """
    digest = hashlib.sha256("\n".join([key, *basis]).encode()).hexdigest()[:32]
    return f"{process}/{kind}/{digest}"
