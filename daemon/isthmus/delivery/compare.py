"""What a lane decided in shadow beside what stands in the peer, fact by fact and record by record. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Literal, get_args

import msgspec

from isthmus.sdk.connector import Candidate, Receipt

__all__ = ["VERDICTS", "Decided", "Difference", "Line", "Verdict", "compare", "differences"]

Verdict = Literal["agree", "cancelled", "differ", "missing", "ambiguous", "unknown", "extra"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""``cancelled``: a charge and its reversal, neither of which is there. ``unknown``: the connector cannot look
it up. ``extra``: a record that no fact stands behind."""
QUANTITY_STEP = Decimal("0.01")
"""Ledgers keep hours to the minute: quantities closer than this are the same."""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """One fact a lane would have sent; ``about`` is the one record it would be, over all its revisions."""

    seq: int
    event_id: str
    about: str
    amount: Decimal | None = None
    currency: str | None = None
    quantity: Decimal | None = None
    dated: date | None = None
    reverses: str | None = None
    """What this takes back, as its ``about``."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One field that is not the same."""

    field: str
    ours: str
    theirs: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one fact, or one record no fact stands behind."""

    verdict: Verdict
    about: str
    event_id: str | None = None
    seq: int | None = None
    amount: Decimal | None = None
    currency: str | None = None
    records: list[str] = []
    """The peer's records: the one, or all it could be."""
    differences: list[Difference] = []
    detail: str = ""
    receipt: Receipt | None = None
    """Of what agrees: what adopting the record proves."""


def compare(decided: Sequence[Decided], candidates: Iterable[Candidate]) -> list[Line]:
    """One line per fact, in its order, then one per record that no fact stands behind.

    A record stands for one thing only. First what bears our key, then what is equal in every field; of what
    is left, one fact beside one record differ, and whatever could be paired in two ways is ambiguous.
    """
    records = {each.remote_id: each for each in candidates}
    facts: dict[str, list[Decided]] = {}
    for fact in decided:
        facts.setdefault(fact.about, []).append(fact)
    newest = {about: each[-1] for about, each in facts.items()}
    abouts = {fact.event_id: fact.about for fact in decided}
    fits: dict[str, list[Candidate]] = {about: [] for about in facts}
    for record in records.values():
        for about in dict.fromkeys(abouts[event] for event in record.stands_for if event in abouts):
            fits[about].append(record)
    taken: dict[str, list[Candidate]] = {}
    used: set[str] = set()

    def take(about: str, these: Sequence[Candidate]) -> None:
        taken[about] = list(these)
        used.update(each.remote_id for each in these)

    for about, found in fits.items():
        if sure := [record for record in found if record.sure]:
            take(about, sure)
    _pair_equals(newest, fits, taken, used, take)
    for about in [about for about in facts if about not in taken]:
        taken[about] = [each for each in fits[about] if each.remote_id not in used]
    used.update(each.remote_id for these in taken.values() for each in these)
    holders: dict[str, list[str]] = {}
    for about, these in taken.items():
        for each in these:
            holders.setdefault(each.remote_id, []).append(about)
    lines = _cancelled(decided, [_line(fact, taken[fact.about], holders) for fact in decided])
    return lines + [
        Line(
            verdict="extra",
            about=record.remote_id,
            amount=record.amount,
            currency=record.currency,
            records=[record.remote_id],
            detail=record.detail,
        )
        for record in records.values()
        if record.remote_id not in used
    ]


def differences(fact: Decided, record: Candidate) -> list[Difference]:
    """The fields that both sides have and that are not the same."""
    found = []
    for field in ("amount", "currency", "quantity", "dated"):
        mine, theirs = getattr(fact, field), getattr(record, field)
        same = mine == theirs
        if field == "quantity" and mine is not None and theirs is not None:
            same = abs(mine - theirs) < QUANTITY_STEP
        if mine is not None and theirs is not None and not same:
            found.append(Difference(field=field, ours=str(mine), theirs=str(theirs)))
    return found


def _pair_equals(
    newest: Mapping[str, Decided],
    fits: Mapping[str, Sequence[Candidate]],
    taken: Mapping[str, Sequence[Candidate]],
    used: Collection[str],
    take: Callable[[str, Sequence[Candidate]], None],
) -> None:
    """Give each fact the record that is equal in every field; facts that are alike may share out theirs.

    As many records as facts: which is whose makes no difference. More records than facts: one of them is
    there twice, and nobody knows which. Fewer: the facts that come first have theirs.
    """
    alike: dict[frozenset[str], list[str]] = {}
    for about, found in fits.items():
        equal = frozenset(
            each.remote_id
            for each in found
            if about not in taken and each.remote_id not in used and not differences(newest[about], each)
        )
        if equal:
            alike.setdefault(equal, []).append(about)
    for ids in sorted(alike, key=len):
        abouts = alike[ids]
        free = [each for each in fits[abouts[0]] if each.remote_id in ids and each.remote_id not in used]
        if len(free) > len(abouts):
            for about in abouts:
                take(about, free)
        else:
            for about, record in zip(abouts, free, strict=False):
                take(about, [record])


def _cancelled(decided: Sequence[Decided], lines: Sequence[Line]) -> list[Line]:
    """A charge that was taken back before anybody wrote it down asks for nothing."""
    missing = {line.about for line in lines if line.verdict == "missing"}
    moot: set[str] = set()
    for fact in decided:
        if fact.reverses in missing and fact.about in missing:
            moot |= {fact.about, fact.reverses}
    return [
        msgspec.structs.replace(line, verdict="cancelled", detail="taken back before it was there")
        if line.about in moot
        else line
        for line in lines
    ]


def _line(fact: Decided, records: Sequence[Candidate], holders: Mapping[str, Sequence[str]]) -> Line:
    common: dict[str, Any] = {
        "about": fact.about,
        "event_id": fact.event_id,
        "seq": fact.seq,
        "amount": fact.amount,
        "currency": fact.currency,
        "records": [record.remote_id for record in records],
    }
    if not records:
        return Line(verdict="missing", **common)
    held = (about for record in records for about in holders[record.remote_id])
    rivals = sorted({about for about in held if about != fact.about})
    if len(records) > 1 or rivals:
        detail = (
            f"one of {len(records)} records could be it" if len(records) > 1 else "it could be this record"
        )
        if rivals:
            detail += f", and so could {', '.join(rivals[:3])}"
        return Line(verdict="ambiguous", detail=detail, **common)
    (record,) = records
    found = differences(fact, record)
    receipt = record.stands_for.get(fact.event_id)
    if found or receipt is None:
        return Line(verdict="differ", differences=found, detail=record.detail, **common)
    return Line(verdict="agree", detail=record.detail, receipt=receipt, **common)
