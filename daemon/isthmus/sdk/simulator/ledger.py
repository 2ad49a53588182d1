"""Every business record of a fake, with all the writes that reached it, in order.

The ledger is the witness of a test: what was lost or doubled is counted here, not in the daemon's tables.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec


class Write(msgspec.Struct, kw_only=True):
    """One write: ``op`` is the vendor's word (create, update, upsert ...), ``body`` what was sent."""

    at: str
    op: str
    body: dict[str, Any]


class Record(msgspec.Struct, kw_only=True):
    """A record as it stands; ``external_key`` is the key isthmus gave it, or None."""

    kind: str
    id: str
    external_key: str | None
    fields: dict[str, Any]
    writes: list[Write]


class Ledger:
    """Records by kind and id, in the order of their creation."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], Record] = {}

    def create(
        self,
        kind: str,
        id: str,
        fields: dict[str, Any],
        *,
        at: datetime,
        op: str = "create",
        external_key: str | None = None,
        body: dict[str, Any] | None = None,
    ) -> Record:
        """Add a record; ``body`` is what was sent where that differs from the fields kept."""
        record = Record(kind=kind, id=id, external_key=external_key, fields=dict(fields), writes=[])
        record.writes.append(Write(at=at.isoformat(), op=op, body=dict(fields if body is None else body)))
        self._records[kind, id] = record
        return record

    def update(
        self,
        record: Record,
        changes: dict[str, Any],
        *,
        at: datetime,
        op: str = "update",
        body: dict[str, Any] | None = None,
    ) -> None:
        """Change fields of a record and remember the write."""
        record.fields.update(changes)
        record.writes.append(Write(at=at.isoformat(), op=op, body=dict(changes if body is None else body)))

    def remove(self, record: Record, *, at: datetime) -> None:
        """Take a record out of the books: it no longer counts, as after a hard delete."""
        del self._records[record.kind, record.id]

    def get(self, kind: str, id: str) -> Record | None:
        return self._records.get((kind, id))

    def of_kind(self, kind: str) -> Iterator[Record]:
        return (record for record in self._records.values() if record.kind == kind)

    def by_external_key(self, kind: str, external_key: str) -> list[Record]:
        """All records of a kind with that key; more than one is the peer's own doubling."""
        return [record for record in self.of_kind(kind) if record.external_key == external_key]

    def all(self) -> list[Record]:
        return list(self._records.values())

    def load(self, records: list[Record]) -> None:
        self._records = {(record.kind, record.id): record for record in records}
