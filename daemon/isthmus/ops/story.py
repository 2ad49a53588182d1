"""The story of one business key, deal to cash: what was learnt, what followed, where it arrived."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from isthmus.store import crosswalk, deliveries, receipts
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = ["Step", "tell"]

STEPS_MAX = 20_000
WHOLE = ("project", "contract", "deal", "customer")
"""A key of these nouns is answered with the story of its project; any other with its own alone."""


class Landing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a step arrived (``delivered``), or how it stands."""

    lane: str
    state: str
    remote_id: str = ""
    at: datetime | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One fact of the story."""

    seq: int
    recorded_at: datetime
    type: str
    subject: str
    source: str
    event: dict[str, Any]
    landings: list[Landing]
    stale: bool = False


def tell(tx: Tx, asked: str) -> list[Step]:
    """The steps of the story of ``asked``: one of our keys, or any system's record id.

    Returns:
        Steps in the log's order; empty when nobody knows the key.
    """
    rows: dict[int, event_log.LogRow] = {}
    for key in dict.fromkeys([asked, *crosswalk.keys_of_record(tx, asked)]):
        found = event_log.by_subject(tx, key, limit=STEPS_MAX)
        _collect(rows, found or event_log.by_thread(tx, key, limit=STEPS_MAX))
    if any(row.kind.partition(".")[0] in WHOLE for row in rows.values()):
        fields = [_fields(row) for row in rows.values()]
        for thread in {str(each[noun]) for each in fields for noun in WHOLE[:3] if each.get(noun)}:
            _collect(rows, event_log.by_thread(tx, thread, limit=STEPS_MAX))
    else:
        _collect(rows, _invoices_of(tx, rows.values()))
    _follow(tx, rows)
    return [_step(tx, rows[seq]) for seq in sorted(rows)]


def _invoices_of(tx: Tx, rows: Iterable[event_log.LogRow]) -> list[event_log.LogRow]:
    """The invoices that bill the charges among ``rows``."""
    charges = {_fields(row)["charge"]: row.thread for row in rows if row.kind == "charge.determined"}
    return [
        row
        for project in set(charges.values())
        for row in event_log.search(tx, kind="invoice.released", key=project, limit=STEPS_MAX)
        if charges.keys() & set(_fields(row)["charges"])
    ]


def _follow(tx: Tx, rows: dict[int, event_log.LogRow]) -> None:
    """Add what follows from the rows: postings of charges, payments of invoices."""
    keys = {
        str(fields[name])
        for row in rows.values()
        for fields in (_fields(row),)
        for name in ("charge", "invoice")
        if fields.get(name)
    }
    for key in keys:
        _collect(rows, event_log.by_subject(tx, key, limit=STEPS_MAX))


def _collect(rows: dict[int, event_log.LogRow], found: Iterable[event_log.LogRow]) -> None:
    rows.update((row.seq, row) for row in found)


def _fields(row: event_log.LogRow) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(row.payload)
    return fields


def _step(tx: Tx, row: event_log.LogRow) -> Step:
    fields = _fields(row)
    landings = [
        Landing(lane=got.lane, state="delivered", remote_id=got.remote_id, at=got.delivered_at)
        for got in receipts.of_event(tx, row.seq)
    ]
    landings += [
        Landing(lane=held.lane, state=held.state, at=held.due_at) for held in deliveries.of_event(tx, row.seq)
    ]
    return Step(
        seq=row.seq,
        recorded_at=row.recorded_at,
        type=row.type,
        subject=row.subject,
        source=str(fields["source"]),
        event=fields,
        landings=landings,
        stale=row.stale,
    )
