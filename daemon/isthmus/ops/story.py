"""The story of one business key, deal to cash: what was learnt, what followed, where it arrived."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from isthmus.store import crosswalk, deliveries, receipts, shadows
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = ["Step", "tell"]

STEPS_MAX = 20_000
WHOLE = ("project", "contract", "deal", "customer")
"""A key of these nouns is answered with the story of its project; any other with its own alone."""


_Rows = dict[int, event_log.LogRow]
"""By seq."""


class Landing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a step arrived (``delivered``), or how it stands; ``shadow``: decided there, not sent."""

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

    A project, its deal or its contract is answered with all that happened on it. Anything else with its
    own way: back to the work and the contract it comes from, on to its charges, postings, invoices and
    payments.

    Returns:
        Steps in the log's order; empty when nobody knows the key.
    """
    rows: _Rows = {}
    for key in _keys(tx, asked):
        found = event_log.by_subject(tx, key, limit=STEPS_MAX)
        _collect(rows, found or event_log.by_thread(tx, key, limit=STEPS_MAX))
    if any(_noun(row) in WHOLE for row in rows.values()):
        fields = [_fields(row) for row in rows.values()]
        for thread in {str(each[noun]) for each in fields for noun in WHOLE[:3] if each.get(noun)}:
            _collect(rows, event_log.by_thread(tx, thread, limit=STEPS_MAX))
        _follow(tx, rows)
    else:
        _trace_back(tx, rows)
        _collect(rows, _invoices_of(tx, rows.values()))
        _follow(tx, rows)
        _add_heads(tx, rows)
    return [_step(tx, rows[seq]) for seq in sorted(rows)]


def _keys(tx: Tx, asked: str) -> list[str]:
    """The key itself, and ours for records of that id; receipts call some ``job/4`` or ``invoice/1``."""
    known = crosswalk.keys_of_record(tx, asked)
    tail = asked.rpartition("/")[2]
    if not known and tail != asked and not event_log.by_subject(tx, asked, limit=1):
        known = crosswalk.keys_of_record(tx, tail)
    return list(dict.fromkeys([asked, *known]))


def _trace_back(tx: Tx, rows: _Rows) -> None:
    """From invoices and postings back to the charges, and to the work they were made of."""
    billed = [charge for row in rows.values() if row.kind == "invoice.released" for charge in _charges(row)]
    for charge in dict.fromkeys(billed):
        _collect(rows, event_log.by_subject(tx, charge, limit=STEPS_MAX))
    for row in [row for row in rows.values() if row.kind == "charge.posted"]:
        cause = _fields(row).get("causation")
        determined = event_log.by_id(tx, str(cause)) if cause else None
        if determined is not None:
            _collect(rows, event_log.by_subject(tx, determined.subject, limit=STEPS_MAX))


def _invoices_of(tx: Tx, rows: Iterable[event_log.LogRow]) -> list[event_log.LogRow]:
    """The invoices that bill the charges among ``rows``; one over several projects is the customer's."""
    charges = [(row.thread, _fields(row)) for row in rows if row.kind == "charge.determined"]
    names = {fields["charge"] for _, fields in charges}
    threads = {thread for thread, _ in charges}
    threads |= {str(fields["customer"]) for _, fields in charges if fields.get("customer")}
    return [
        row
        for thread in sorted(threads)
        for row in event_log.search(tx, kind="invoice.released", key=thread, limit=STEPS_MAX)
        if not names.isdisjoint(_charges(row))
    ]


def _follow(tx: Tx, rows: _Rows) -> None:
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


def _add_heads(tx: Tx, rows: _Rows) -> None:
    """Where it all comes from: the deal, its contract and its project."""
    fields = [_fields(row) for row in rows.values()]
    heads = {str(each[noun]) for each in fields for noun in ("project", "contract") if each.get(noun)}
    for key in heads:
        found = event_log.by_subject(tx, key, limit=STEPS_MAX)
        _collect(rows, (row for row in found if _noun(row) in WHOLE))
        contracts = {str(_fields(row)["contract"]) for row in found if _fields(row).get("contract")}
        for contract in contracts - heads:
            _collect(rows, event_log.by_subject(tx, contract, limit=STEPS_MAX))


def _charges(row: event_log.LogRow) -> list[str]:
    return [str(charge) for charge in _fields(row)["charges"]]


def _noun(row: event_log.LogRow) -> str:
    return row.kind.partition(".")[0]


def _collect(rows: _Rows, found: Iterable[event_log.LogRow]) -> None:
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
    landings += [
        Landing(lane=each.lane, state="shadow", at=each.decided_at)
        for each in shadows.of_event(tx, row.seq)
        if each.outcome == "open"
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
