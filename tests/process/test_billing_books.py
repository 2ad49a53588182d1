"""The books agree with themselves while rates, caps, overage, policies and periods all change."""

from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.events import (
    ChargeDetermined,
    ChargeHeld,
    ChargeReleased,
    FixedFee,
    Installment,
    Milestones,
    MilestoneTerm,
    Retainer,
    RevenueDeferred,
    RevenueReleased,
    Subscription,
    TimeAndMaterials,
    encode,
)
from isthmus.process.rules import index
from isthmus.process.rules.rows import ZERO, Contract, Fact, Pending, Totals
from isthmus.process.states import decode_state

money = st.integers(1, 300_000).map(lambda cents: Decimal(cents) / 100)
hours = st.integers(1, 2_000).map(lambda hundredths: Decimal(hundredths) / 100)
maybe = st.none()
days = st.sampled_from(["09-30", "10-05", "10-20", "10-20", "11-05"])

timed = st.builds(
    TimeAndMaterials,
    line=st.sampled_from(["T", "U"]),
    services=st.sampled_from([None, ["consulting"], ["design"]]),
    rates=st.dictionaries(st.sampled_from(["consulting", "design"]), money, max_size=2),
    default_rate=maybe | money,
    included_hours=maybe | hours,
    cap_amount=maybe | money,
    cap_hours=maybe | hours,
    overage=st.sampled_from(["hold", "bill", "write_off"]),
    overage_rate=maybe | money,
    expenses=st.booleans(),
    expense_cap=maybe | money,
)
milestones = st.builds(
    lambda amount: Milestones(line="M", milestones=[MilestoneTerm(milestone="m", title="Go", amount=amount)]),
    money,
)
starts = st.sampled_from([date(2026, 9, 15), date(2026, 10, 1), date(2026, 10, 31)])
ends = st.sampled_from([None, date(2026, 11, 10), date(2026, 12, 31)])
advances = st.builds(
    lambda amount: Milestones(
        line="A", milestones=[MilestoneTerm(milestone="n", title="Up front", amount=amount, advance=True)]
    ),
    money,
)
fees = st.builds(
    lambda first, second: FixedFee(
        line="F",
        amount=first + second,
        installments=[
            Installment(key="1", due_on=date(2026, 10, 10), amount=first),
            Installment(key="2", due_on=date(2026, 11, 10), amount=second),
        ],
    ),
    money,
    money,
)
retainers = st.builds(
    Retainer,
    line=st.just("R"),
    amount=money,
    every=st.sampled_from(["month", "quarter"]),
    starts_on=starts,
    ends_on=ends,
    included_hours=hours,
    overage_rate=money,
    rollover=st.sampled_from(["none", "one_period", "all"]),
)
subscriptions = st.builds(
    Subscription,
    line=st.just("S"),
    amount=money,
    every=st.sampled_from(["month", "quarter", "year"]),
    starts_on=starts,
    ends_on=ends,
    in_advance=st.booleans(),
)


def unlike(line: Any) -> str:
    return str(line.line)


lines = st.builds(
    lambda hourly, others: [*hourly, *others],
    st.lists(timed, min_size=1, max_size=2, unique_by=unlike),
    st.lists(milestones | advances | fees | retainers | subscriptions, max_size=3, unique_by=unlike),
)
policies = st.sampled_from(["hold", "next_open"])
keys = st.sampled_from("abcd")
ticks = st.sampled_from(["10-01", "10-12", "10-31", "11-01", "11-30", "12-31", "2027-02-01"])
services = st.sampled_from(["consulting", "consulting", "design", "design", "nonbillable", "testing"])

steps = st.one_of(
    st.tuples(st.just("time"), keys, hours, days, services),
    st.tuples(st.just("time"), keys, hours, days, services),
    st.tuples(st.just("untime"), keys),
    st.tuples(st.just("expense"), st.sampled_from("xy"), money, days, st.sampled_from(["", "+7.5", "USD"])),
    st.tuples(st.just("unexpense"), st.sampled_from("xy")),
    st.tuples(st.just("milestone"), st.sampled_from("mn"), days),
    st.tuples(st.just("reopen"), st.sampled_from("mn")),
    st.tuples(st.just("tick"), ticks),
    st.tuples(st.just("tick"), ticks),
    st.tuples(st.just("stage"), st.sampled_from(["active", "on_hold", "cancelled"])),
    st.tuples(st.just("end"), st.sampled_from(["10-20", "11-10", "12-24"])),
    st.tuples(st.just("map"), st.booleans()),
    st.tuples(st.just("overtake"), st.integers(0, 30)),
    st.tuples(st.just("amend"), lines, days, policies),
    st.tuples(st.just("close"), st.sampled_from(["09", "10", "11"])),
    st.tuples(st.just("open"), st.sampled_from(["09", "10", "11"])),
)


ORIGINS = ["expense", "milestone", "installment", "retainer", "subscription", "time"]


def play(book: Any, history: list[tuple[Any, ...]]) -> None:
    revisions: Counter[str] = Counter()
    for verb, *words in history:
        if verb in ("close", "open"):
            book.tell(f"{verb} {words[0]}")
            continue
        if verb == "tick":
            book.tell(f"tick {words[0]}")
            continue
        if verb == "end":
            book.end(words[0])
            continue
        if verb == "map":
            revisions["mapping"] += 1
            services = {"consulting": {"item": "1"}, **({"design": {"item": "2"}} if words[0] else {})}
            origins = {origin: {"item": "3"} for origin in ORIGINS[: 6 if words[0] else 2]}
            book.map(revisions["mapping"], services, origins)
            continue
        if verb == "overtake":
            said = [event for event in book.derived if isinstance(event, ChargeDetermined)]
            if said:
                book.overtake(said[words[0] % len(said)])
            continue
        if verb == "stage":
            revisions["stage"] += 1
            book.tell(f"stage {words[0]} r{revisions['stage']}")
            continue
        if verb == "amend":
            revisions["contract"] += 1
            terms, day, policy = words
            number = revisions["contract"]
            if number == 1:
                book.sign(*terms, period_policy=policy)
            else:
                book.amend(number, *terms, effective_on=day, period_policy=policy)
            continue
        revisions[words[0]] += 1
        rest = " ".join(str(word) for word in words[1:])
        book.tell(f"{verb} {words[0]} r{revisions[words[0]]} {rest}")


def facts(book: Any) -> list[Fact]:
    return [
        decode_state(row, Fact) for key, row in book.states.rows.items() if key.partition(":")[0] in ORIGINS
    ]


def check_totals(book: Any) -> None:
    """Running totals are the sums of what stands."""
    kept = book.states.get("contract:C1", Contract)
    sums: dict[str, Totals] = {}
    for fact in facts(book):
        for charge in fact.charges:
            if charge.pot is not None:
                old = sums.get(charge.pot, Totals())
                worked = charge.quantity if fact.origin == "time" else ZERO
                sums[charge.pot] = Totals(
                    included=old.included, hours=old.hours + worked, amount=old.amount + charge.amount
                )
        for consumed in fact.included:
            old = sums.get(consumed.lot, Totals())
            sums[consumed.lot] = Totals(
                included=old.included + consumed.hours, hours=old.hours, amount=old.amount
            )
    for pot, totals in kept.totals.items() if kept else ():
        wanted = sums.get(pot, Totals())
        assert (totals.included, totals.hours, totals.amount) == (
            wanted.included,
            wanted.hours,
            wanted.amount,
        ), pot


def check_nothing_is_dropped(book: Any) -> None:
    """Whatever is not withdrawn is determined to the last hundredth, or held in a queue that knows it."""
    holds: dict[tuple[str, str], ChargeHeld] = {}
    for event in book.derived:
        if isinstance(event, ChargeHeld):
            holds[event.origin, event.origin_key] = event
        elif isinstance(event, ChargeReleased):
            assert holds.pop((event.origin, event.origin_key), None), "a release ends a hold"
    pending = book.states.get("pending:C1", Pending) or Pending(terms=None)
    waits = holds.pop(("contract", "C1"), None)
    assert (waits is None) == (pending.terms is None)
    for fact in facts(book):
        said = holds.pop((fact.origin, fact.key), None)
        assert (fact.hold is None) == (said is None)
        if fact.hold is not None and said is not None:
            assert said.reason == fact.hold.reason
            for queue in fact.hold.queues:
                assert dict(index.walk(book.states, queue))[fact.seq] == f"{fact.origin}:{fact.key}"
        elif fact.work is None:
            assert not fact.stands
        else:
            assert fact.settled
            if fact.origin == "time":
                assert fact.determined == fact.work.quantity
    assert not holds


def check_money(book: Any) -> None:
    """What the events say stands is what the rows say stands, to the charge."""
    standing: dict[str, ChargeDetermined] = {}
    taken: dict[str, tuple[ChargeDetermined, ChargeDetermined]] = {}
    for event in book.derived:
        if isinstance(event, ChargeDetermined) and event.reverses is None:
            standing[event.charge] = event
        elif isinstance(event, ChargeDetermined) and event.reverses in taken:
            # A reversal that was not sent is cancelled: what it took back stands again.
            charge, reversal = taken.pop(str(event.reverses))
            assert event.amount == -reversal.amount
            standing[charge.charge] = charge
        elif isinstance(event, ChargeDetermined):
            charge = standing.pop(str(event.reverses))
            assert event.amount == -charge.amount
            taken[event.charge] = charge, event
    rows = {charge.charge: charge.amount for fact in facts(book) for charge in fact.charges}
    assert {key: event.amount for key, event in standing.items()} == rows


def check_deferrals(book: Any) -> None:
    """What is deferred is what charges in advance bill; what was said of each sums to its balance."""
    balances: dict[str, Decimal] = {}
    for event in book.derived:
        if isinstance(event, RevenueDeferred):
            balances[event.origin_key] = balances.get(event.origin_key, ZERO) + event.amount
        elif isinstance(event, RevenueReleased):
            balances[event.origin_key] = balances.get(event.origin_key, ZERO) - event.amount
        else:
            continue
        assert event.balance == balances[event.origin_key] >= 0
    owed = {fact.key: fact.deferred.amount - fact.deferred.released for fact in facts(book) if fact.deferred}
    assert {key: balance for key, balance in balances.items() if balance} == {
        key: balance for key, balance in owed.items() if balance
    }
    for fact in facts(book):
        assert fact.deferred is None or fact.deferred.charge in {charge.charge for charge in fact.charges}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, min_size=8, max_size=25), first=lines)
def test_the_books_agree_with_the_events(
    make_ledger: Callable[[], Any], history: list[tuple[Any, ...]], first: list[Any]
) -> None:
    book = make_ledger()
    book.tell("project P1")
    play(book, [("amend", first, "10-01", "hold"), *history])
    check_totals(book)
    check_nothing_is_dropped(book)
    check_money(book)
    check_deferrals(book)
    again = make_ledger()
    for event in book.told:
        again.take(event)
    assert [encode(event) for event in again.derived] == [encode(event) for event in book.derived]


def test_a_total_that_drifts_is_noticed(ledger: Any) -> None:
    ledger.sign(TimeAndMaterials(line="T", default_rate=Decimal(100)))
    ledger.tell("time a r1 1.00 10-05")
    row = ledger.states.get("contract:C1", Contract)
    ledger.states.put(
        "contract:C1", Contract(totals={"T": Totals(hours=Decimal(2))}, revisions=row.revisions)
    )
    with pytest.raises(AssertionError, match="T"):
        check_totals(ledger)
