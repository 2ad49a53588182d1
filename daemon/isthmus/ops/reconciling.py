"""Comparisons of pairs as people see them: runs, differences side by side, and what would heal one."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from isthmus.ops.closing import EXAMPLES, CloseLine
from isthmus.reconcile.compare import Difference, Figures
from isthmus.store.face import Tx
from isthmus.store.reconciliations import Explanation, Found, Run, explanations, found_by, runs

__all__ = ["DifferenceLine", "Mended", "Reconciliation", "RunPage", "drift_of", "line_of", "page_of"]


class DifferenceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: what each side says, what we say, what is at stake and what is suspected."""

    id: int
    pair: str
    state: str
    """drift, timing or explained."""
    kind: str
    """missing, extra, amount, status, stale or double."""
    side: str
    """Where it shows: left or right."""
    key: str
    origin: str
    amount: Decimal | None
    currency: str | None
    quantity: Decimal | None
    left: Figures | None
    ours: Figures | None
    right: Figures | None
    cause: str
    words: str
    first_seen_at: datetime
    reason: str = ""
    """Why it is no mistake, if somebody said so."""
    by: str = ""


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison with all it found, the open ones first."""

    run: int
    pair: str
    since: date
    until: date
    started_at: datetime
    ended_at: datetime
    by: str
    compared: int
    matched: int
    timing: int
    explained: int
    drift: int
    held: int
    amounts: dict[str, Decimal]
    error: str
    differences: list[DifferenceLine]


class Mended(msgspec.Struct, frozen=True, kw_only=True):
    """What heals a difference, and whether it was done."""

    id: int
    act: str
    """tell, send_again, read_again or by_hand."""
    words: str
    lane: str
    event: dict[str, Any] | None
    """The fact that is recorded, for `tell`."""
    done: bool


class Reconciliation(Protocol):
    """What the admin socket can ask about pairs."""

    async def newest(self) -> Sequence[Run]: ...

    async def show(self, which: str) -> RunPage: ...

    async def compare(
        self, name: str, since: date | None = None, until: date | None = None, *, by: str
    ) -> RunPage: ...

    async def explain(self, number: int, *, by: str, why: str) -> DifferenceLine: ...

    async def repair(self, number: int, *, by: str, why: str, dry_run: bool) -> Mended: ...


def line_of(found: Found, explained: Explanation | None) -> DifferenceLine:
    """A difference with what was said about it."""
    body = msgspec.json.decode(found.body, type=Difference)
    known = explained is not None and found.state != "timing"
    return DifferenceLine(
        id=found.id,
        pair=found.pair,
        state="explained" if known else found.state,
        kind=found.kind,
        side=found.side,
        key=found.key,
        origin=body.origin,
        amount=body.amount,
        currency=body.currency,
        quantity=body.quantity,
        left=body.left,
        ours=body.ours,
        right=body.right,
        cause=body.cause,
        words=body.words,
        first_seen_at=found.first_seen_at,
        reason=explained.reason if explained is not None else "",
        by=explained.by if explained is not None else "",
    )


def page_of(done: Run, found: Sequence[Found], explained: Mapping[str, Explanation]) -> RunPage:
    """A comparison, with what was explained since it was made."""
    lines = [line_of(each, explained.get(each.fingerprint)) for each in found]
    order = ("drift", "timing", "explained")
    lines.sort(key=lambda line: (order.index(line.state), line.id))
    amounts: dict[str, Decimal] = {}
    for line in lines:
        if line.state == "drift" and line.amount is not None and line.currency is not None:
            amounts[line.currency] = amounts.get(line.currency, Decimal(0)) + line.amount
    return RunPage(
        run=done.run,
        pair=done.pair,
        since=done.since,
        until=done.until,
        started_at=done.started_at,
        ended_at=done.ended_at,
        by=done.by,
        compared=done.compared,
        matched=done.matched,
        timing=sum(line.state == "timing" for line in lines),
        explained=sum(line.state == "explained" for line in lines),
        drift=sum(line.state == "drift" for line in lines),
        held=done.held,
        amounts=amounts,
        error=done.error,
        differences=lines,
    )


def drift_of(tx: Tx, pair: str, first: date, last: date) -> CloseLine | None:
    """What the newest comparison of these days found and nobody has explained; None for nothing."""
    looked = (run for run in runs(tx, pair, whole=True) if run.since <= last and run.until >= first)
    newest = next(looked, None)
    if newest is None:
        return None
    page = page_of(newest, found_by(tx, newest.run), explanations(tx, pair))
    open_ones = [line for line in page.differences if line.state == "drift"]
    if not open_ones:
        return None
    hours = sum((line.quantity for line in open_ones if line.quantity is not None), Decimal(0))
    return CloseLine(
        what="drift",
        cause=pair,
        count=len(open_ones),
        hours=hours,
        amounts=page.amounts,
        examples=[line.key for line in open_ones[:EXAMPLES]],
    )
