"""Revenue billed before it is earned: deferred with its charge, released straight-line at month ends."""

from datetime import date
from decimal import Decimal

from msgspec.structs import replace

from isthmus.events.finance import RevenueDeferred, RevenueReleased
from isthmus.events.values import round_money
from isthmus.process.face import States
from isthmus.process.rules.contracts import contract_row, newest_terms
from isthmus.process.rules.derive import Derivation
from isthmus.process.rules.periods import ClosedPeriod, closed_on, first_open_day
from isthmus.process.rules.rows import ZERO, Deferred, Fact
from isthmus.process.rules.schedules import month_end, months_of

__all__ = ["defer", "earned_by", "release_until", "take_back", "unearn"]


def defer(out: Derivation, fact: Fact, deferred: Deferred, on: date) -> Fact:
    """Say that a charge was billed in advance."""
    _tell(out, RevenueDeferred, fact, deferred, on=on, amount=deferred.amount, balance=deferred.amount)
    return replace(fact, deferred=deferred)


def release_until(
    out: Derivation, fact: Fact, today: date, states: States
) -> tuple[Fact, list[ClosedPeriod]]:
    """Release what month ends up to ``today`` have earned, or all of an achieved milestone.

    A month end whose period is closed under policy ``hold`` is passed over: what it earned goes with the
    next one, or when the period is reopened. Under ``next_open`` it is released on the first open day.

    Returns:
        The fact, and the periods that were passed over.
    """
    deferred, passed = fact.deferred, list[ClosedPeriod]()
    if deferred is None or deferred.released == deferred.amount:
        return fact, passed
    days = [fact.achieved_on] if fact.achieved_on is not None else []
    if deferred.earned_from is not None:
        days = [end for day in months_of(deferred.earned_from, today) if (end := month_end(day)) <= today]
    for day in days:
        amount = earned_by(deferred, day) - deferred.released
        if amount <= 0:
            continue
        posting_on = _posting(deferred, day, states)
        if isinstance(posting_on, ClosedPeriod):
            passed.append(posting_on)
            continue
        deferred = replace(deferred, released=deferred.released + amount)
        balance = deferred.amount - deferred.released
        _tell(out, RevenueReleased, fact, deferred, on=posting_on, amount=amount, balance=balance)
    return replace(fact, deferred=deferred), passed


def take_back(out: Derivation, fact: Fact, on: date) -> Fact:
    """The charge is reversed: what was released and what was deferred go back; the balance is 0."""
    fact = unearn(out, fact, on)
    deferred = fact.deferred
    if deferred is None:
        return fact
    _tell(out, RevenueDeferred, fact, deferred, on=on, amount=-deferred.amount, balance=ZERO)
    return replace(fact, deferred=None)


def unearn(out: Derivation, fact: Fact, on: date) -> Fact:
    """What was released is deferred again: the milestone was reopened, or the charge goes back."""
    deferred = fact.deferred
    if deferred is None or not deferred.released:
        return fact
    _tell(out, RevenueReleased, fact, deferred, on=on, amount=-deferred.released, balance=deferred.amount)
    return replace(fact, deferred=replace(deferred, released=ZERO))


def earned_by(deferred: Deferred, day: date) -> Decimal:
    """How much of it is earned when ``day`` ends: by days of its span, rounded on the whole."""
    first, last = deferred.earned_from, deferred.earned_to
    if first is None or last is None or day >= last:
        return deferred.amount
    days, whole = max(0, (day - first).days + 1), (last - first).days + 1
    return round_money(deferred.amount * days / whole, deferred.currency)


def _posting(deferred: Deferred, day: date, states: States) -> date | ClosedPeriod:
    closed = closed_on(deferred.entity, day, states)
    if closed is None:
        return day
    contract = contract_row(deferred.contract, states)
    assert contract is not None, "what is deferred has its contract"
    if newest_terms(deferred.contract, contract, states).period_policy == "hold":
        return closed
    return first_open_day(deferred.entity, day, states)


def _tell(
    out: Derivation,
    make: type[RevenueDeferred] | type[RevenueReleased],
    fact: Fact,
    deferred: Deferred,
    *,
    on: date,
    amount: Decimal,
    balance: Decimal,
) -> None:
    out.add(
        make,
        entity=deferred.entity,
        contract=deferred.contract,
        line=deferred.line,
        origin_key=fact.key,
        on=on,
        amount=amount,
        currency=deferred.currency,
        balance=balance,
        project=fact.project,
    )
