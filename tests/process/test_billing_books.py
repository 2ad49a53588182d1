"""The books agree with themselves while rates, caps, overage, policies and periods all change."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.events import (
    ChargeDetermined,
    ChargeHeld,
    ChargeReleased,
    Milestones,
    MilestoneTerm,
    TimeAndMaterials,
    encode,
)
from isthmus.process.rules import index
from isthmus.process.rules.rows import ZERO, Contract, Fact, Pending, Totals
from isthmus.process.states import decode_state

money = st.integers(1, 300_000).map(lambda cents: Decimal(cents) / 100)
hours = st.integers(1, 2_000).map(lambda hundredths: Decimal(hundredths) / 100)
maybe = st.none()
days = st.sampled_from(["09-30", "10-05", "10-20", "11-05"])

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
lines = st.lists(timed | milestones, max_size=3, unique_by=lambda line: line.line)
policies = st.sampled_from(["hold", "next_open"])
keys = st.sampled_from("abcd")
services = st.sampled_from(["consulting", "design", "nonbillable", "testing"])

steps = st.one_of(
    st.tuples(st.just("time"), keys, hours, days, services),
    st.tuples(st.just("time"), keys, hours, days, services),
    st.tuples(st.just("untime"), keys),
    st.tuples(st.just("expense"), st.sampled_from("xy"), money, days, st.sampled_from(["", "+7.5", "USD"])),
    st.tuples(st.just("unexpense"), st.sampled_from("xy")),
    st.tuples(st.just("milestone"), st.just("m"), days),
    st.tuples(st.just("reopen"), st.just("m")),
    st.tuples(st.just("amend"), lines, days, policies),
    st.tuples(st.just("close"), st.sampled_from(["09", "10", "11"])),
    st.tuples(st.just("open"), st.sampled_from(["09", "10", "11"])),
)


def play(book: Any, history: list[tuple[Any, ...]]) -> None:
    revisions: Counter[str] = Counter()
    for verb, *words in history:
        if verb in ("close", "open"):
            book.tell(f"{verb} {words[0]}")
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
        decode_state(row, Fact)
        for key, row in book.states.rows.items()
        if key.partition(":")[0] in ("time", "expense", "milestone")
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
    for event in book.derived:
        if isinstance(event, ChargeDetermined) and event.reverses is None:
            standing[event.charge] = event
        elif isinstance(event, ChargeDetermined):
            assert event.amount == -standing.pop(str(event.reverses)).amount
    rows = {charge.charge: charge.amount for fact in facts(book) for charge in fact.charges}
    assert {key: event.amount for key, event in standing.items()} == rows


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, max_size=25), first=lines)
def test_the_books_agree_with_the_events(
    make_ledger: Callable[[], Any], history: list[tuple[Any, ...]], first: list[Any]
) -> None:
    book = make_ledger()
    book.tell("project P1")
    play(book, [("amend", first, "10-01", "hold"), *history])
    check_totals(book)
    check_nothing_is_dropped(book)
    check_money(book)
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
