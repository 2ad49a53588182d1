"""Comparisons of pairs of systems: each run with what it found, and what people explained."""

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from isthmus.store.face import Row, Tx
from isthmus.store.instants import from_text

__all__ = [
    "Explanation",
    "Found",
    "Run",
    "add_run",
    "explain",
    "explanations",
    "found_by",
    "get",
    "run",
    "runs",
]

FoundState = Literal["drift", "timing", "explained"]
PAGE = 1000


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of a pair."""

    pair: str
    since: date
    until: date
    started_at: datetime
    ended_at: datetime
    by: str
    compared: int = 0
    matched: int = 0
    """Records that agree to the cent."""
    timing: int = 0
    explained: int = 0
    drift: int = 0
    held: int = 0
    """Left records that wait for a person or the calendar."""
    amounts: dict[str, Decimal] = {}
    """What is open by currency: the sum of what drift is about."""
    error: str = ""
    """Why nothing was compared."""
    run: int = 0
    """Its number; 0 before it is kept."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One difference; ``body`` is its JSON."""

    pair: str
    key: str
    kind: str
    side: str
    state: FoundState
    fingerprint: str
    """What it looks like; it changes with the figures."""
    first_seen_at: datetime
    body: str
    id: int = 0
    run: int = 0


class Explanation(msgspec.Struct, frozen=True):
    """Why a difference is no mistake."""

    reason: str
    by: str
    at: datetime


def add_run(tx: Tx, done: Run, found: Iterable[Found]) -> int:
    """Keep a comparison and all it found; its number."""
    row = tx.one(
        "reconcile_run_add",
        pair=done.pair,
        since=done.since.isoformat(),
        until=done.until.isoformat(),
        started_at=done.started_at,
        ended_at=done.ended_at,
        by=done.by,
        compared=done.compared,
        matched=done.matched,
        timing=done.timing,
        explained=done.explained,
        drift=done.drift,
        held=done.held,
        amounts=json.dumps({currency: f"{amount:f}" for currency, amount in done.amounts.items()}),
        error=done.error,
    )
    assert row is not None
    number = int(row[0])
    for each in found:
        tx.run(
            "difference_add",
            run=number,
            pair=each.pair,
            key=each.key,
            kind=each.kind,
            side=each.side,
            state=each.state,
            fingerprint=each.fingerprint,
            first_seen_at=each.first_seen_at,
            body=each.body,
        )
    return number


def run(tx: Tx, number: int) -> Run | None:
    """One comparison."""
    row = tx.one("reconcile_run_get", run=number)
    return None if row is None else _run(row)


def runs(tx: Tx, pair: str, *, whole: bool = False, limit: int = 20) -> list[Run]:
    """The comparisons of a pair, the newest first.

    Args:
        whole: Only those that came to an end.
    """
    return [_run(row) for row in tx.all("reconcile_runs_of_pair", pair=pair, whole=int(whole), limit=limit)]


def found_by(tx: Tx, number: int) -> list[Found]:
    """Everything a comparison found."""
    found: list[Found] = []
    while True:
        after = found[-1].id if found else 0
        rows = tx.all("differences_of_run", run=number, after=after, limit=PAGE)
        found += [_found(row) for row in rows]
        if len(rows) < PAGE:
            return found


def get(tx: Tx, number: int) -> Found | None:
    """One difference."""
    row = tx.one("difference_get", id=number)
    return None if row is None else _found(row)


def explain(tx: Tx, pair: str, fingerprint: str, why: Explanation) -> None:
    """Keep why a difference is no mistake, for as long as it looks the same."""
    tx.run("explanation_put", pair=pair, fingerprint=fingerprint, reason=why.reason, by=why.by, at=why.at)


def explanations(tx: Tx, pair: str) -> Mapping[str, Explanation]:
    """By fingerprint."""
    return {
        fingerprint: Explanation(reason, by, from_text(at))
        for fingerprint, reason, by, at in tx.all("explanations_of_pair", pair=pair)
    }


def _run(row: Row) -> Run:
    values = dict(zip(RUN, row, strict=True))
    for name in ("since", "until"):
        values[name] = date.fromisoformat(values[name])
    for name in ("started_at", "ended_at"):
        values[name] = from_text(values[name])
    values["amounts"] = {
        currency: Decimal(amount) for currency, amount in json.loads(values["amounts"]).items()
    }
    return Run(**values)


RUN = (
    *("run", "pair", "since", "until", "started_at", "ended_at", "by", "compared", "matched", "timing"),
    *("explained", "drift", "held", "amounts", "error"),
)


def _found(row: Row) -> Found:
    id, number, pair, key, kind, side, state, fingerprint, first_seen_at, body = row
    return Found(
        id=id,
        run=number,
        pair=pair,
        key=key,
        kind=kind,
        side=side,
        state=state,
        fingerprint=fingerprint,
        first_seen_at=from_text(first_seen_at),
        body=body,
    )
