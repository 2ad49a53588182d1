"""How far we have read each source. The bytes are the connector's own; nobody here looks inside."""

from datetime import datetime

import msgspec

from isthmus.store.face import Tx
from isthmus.store.instants import from_text


class Cursor(msgspec.Struct, frozen=True):
    """Where the next page of a source begins."""

    source: str
    entity: str
    position: bytes
    updated_at: datetime


def get(tx: Tx, source: str, entity: str) -> bytes | None:
    """None before the first page."""
    row = tx.one("cursor_get", source=source, entity=entity)
    return None if row is None else bytes(row[0])


def move(tx: Tx, source: str, entity: str, position: bytes, now: datetime) -> None:
    """Remember where the next page begins, in the transaction that keeps this one."""
    tx.run("cursor_move", source=source, entity=entity, position=position, now=now)


def forget(tx: Tx, source: str, entity: str) -> bool:
    """Read the source from its beginning again; what is known already is not counted twice."""
    return tx.run("cursor_forget", source=source, entity=entity) == 1


def listing(tx: Tx) -> list[Cursor]:
    return [
        Cursor(source, entity, bytes(position), from_text(updated_at))
        for source, entity, position, updated_at in tx.all("cursors_all")
    ]
