"""Whether a month can be closed: all that was worked in it and is not in the books stands in a line."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargePosted,
    FixedFee,
    Installment,
    ScheduledInstallment,
    ScheduleRevised,
    TimeAndMaterials,
)
from isthmus.ops.closing import Closing, month_of
from isthmus.ops.desk import Desk
from isthmus.ops.errors import Refused
from isthmus.store import audit, deliveries, lanes, log
from isthmus.store.face import Store, Tx
from isthmus.store.open import open_memory_store
from tests.ops.test_explain import AT, Log

TERMS = TimeAndMaterials(line="T", rates={"consulting": D("100.00")}, cap_amount=D("1000.00"), expenses=True)
Line = tuple[str, str, int, str, dict[str, str]]


def played(*sentences: str, **changes: Any) -> Log:
    book = Log()
    book.tell("project P1")
    book.sign(TERMS, **changes)
    for sentence in sentences:
        book.tell(sentence)
    return book


def posted(charge: ChargeDetermined) -> ChargePosted:
    return ChargePosted(
        source="erp",
        occurred_at=AT,
        entity="de",
        charge=charge.charge,
        system="erp",
        remote_id="7",
        posted_on=charge.posting_on,
        amount=charge.amount,
        currency=charge.currency,
    )


def post_all(book: Log) -> Log:
    for event in list(book.derived):
        if isinstance(event, ChargeDetermined):
            book.add(posted(event))
    return book


def lines(
    events: Sequence[BusinessEvent], period: str = "2026-10", *, billing: int = 10_000, **given: Any
) -> list[Line]:
    closing = Closing(period, given.pop("entity", None))
    for seq, event in enumerate(events, 1):
        closing.apply(seq, event)
    report = closing.report(upto=len(events), billing=billing, settled=given.pop("settled", {}), at=AT)
    assert report.ready == (report.lines == [])
    return [
        (
            each.what,
            each.cause,
            each.count,
            str(each.hours),
            {name: str(sum) for name, sum in each.amounts.items()},
        )
        for each in report.lines
    ]


FLIGHT = ("unposted", "in_flight")


@pytest.mark.parametrize(
    ("book", "found"),
    [
        pytest.param(post_all(played("time a r1 2.00 10-05")), [], id="all is posted: go"),
        pytest.param(
            played("time a r1 2.00 10-05", "time b r1 3.00 10-06"),
            [(*FLIGHT, 2, "0", {"EUR": "500.00"})],
            id="charges on their way",
        ),
        pytest.param(
            post_all(played("time a r1 12.00 10-05")),
            [("held", "cap_reached", 1, "2.00", {"": "200.00"})],
            id="hours the cap holds",
        ),
        pytest.param(
            post_all(played("time a r1 2.00 10-05 design", "expense x r1 5.00 10-05 USD")),
            [("held", "currency_mismatch", 1, "0", {}), ("held", "no_rate", 1, "2.00", {})],
            id="what the rules hold, each by its reason",
        ),
        pytest.param(
            post_all(played("time a r1 2.00 11-05 design")),
            [],
            id="what was worked in another month does not count",
        ),
        pytest.param(
            post_all(played("time a r1 2.00 10-05 design", "untime a r2")),
            [],
            id="what was withdrawn does not count",
        ),
        pytest.param(
            post_all(played("time a r1 2.00 10-05 design", "time a r2 2.00 11-05 design")),
            [],
            id="what a correction moved to another month does not count",
        ),
        pytest.param(
            played("time a r1 2.00 10-05", "untime a r2"),
            [(*FLIGHT, 2, "0", {"EUR": "0.00"})],
            id="a charge and its reversal must both arrive",
        ),
    ],
)
def test_what_stands_in_the_way(book: Log, found: list[Line]) -> None:
    assert lines(book.log) == found


@pytest.mark.parametrize("state", ["retrying", "blocked", "in_doubt", "dead"])
def test_a_charge_that_is_stuck_says_how(state: str) -> None:
    book = played("time a r1 2.00 10-05")
    seq = next(n for n, event in enumerate(book.log, 1) if isinstance(event, ChargeDetermined))
    assert lines(book.log, settled={seq: state}) == [("unposted", state, 1, "0", {"EUR": "200.00"})]


def test_a_charge_that_a_person_skipped_is_settled() -> None:
    book = played("time a r1 2.00 10-05")
    seq = next(n for n, event in enumerate(book.log, 1) if isinstance(event, ChargeDetermined))
    assert lines(book.log, settled={seq: "done"}) == []


def test_work_that_billing_has_not_read_is_undecided() -> None:
    book = played()
    book.add(book.event("time a r1 2.50 10-05"))
    assert lines(book.log, billing=2) == [("undecided", "billing is behind", 1, "2.50", {})]


def test_a_charge_counts_in_the_month_it_is_posted_to() -> None:
    book = played("close 10", "time a r1 2.00 10-05", period_policy="next_open")
    assert lines(book.log, "2026-10") == []
    assert lines(book.log, "2026-11") == [(*FLIGHT, 1, "0", {"EUR": "200.00"})]


def test_a_scheduled_amount_that_is_held_counts_in_the_month_it_is_due() -> None:
    book = Log()
    book.tell("project P1")
    book.sign(
        FixedFee(
            line="F", amount=D(9), installments=[Installment(key="1", due_on=date(2026, 10, 5), amount=D(9))]
        )
    )
    book.tell("stage on_hold r1")
    book.tell("tick 10-06")
    entry = ScheduledInstallment(key="C1/F/1", due_on=date(2026, 10, 5), amount=D(9), state="paused")
    book.add(
        ScheduleRevised(
            source="schedule",
            occurred_at=AT,
            entity="de",
            id="s",
            contract="C1",
            revision=1,
            installments=[entry],
        )
    )
    assert lines(book.log) == [("held", "project_on_hold", 1, "0", {"": "9"})]
    assert lines(book.log, "2026-11") == []


def test_only_the_entity_that_was_asked_about_counts() -> None:
    book = played("time a r1 2.00 10-05")
    assert lines(book.log, entity="us") == []
    assert lines(book.log, entity="de") == [(*FLIGHT, 1, "0", {"EUR": "200.00"})]


@pytest.mark.parametrize(
    ("sentences", "closed"), [((), False), (("close 10",), True), (("close 10", "open 10"), False)]
)
def test_it_says_whether_the_ledger_has_closed_it(sentences: tuple[str, ...], closed: bool) -> None:
    closing = Closing("2026-10", "de")
    for seq, event in enumerate(played(*sentences).log, 1):
        closing.apply(seq, event)
    assert closing.report(upto=9, billing=9, settled={}, at=AT).closed == closed


@pytest.mark.parametrize(
    ("period", "last"), [("2026-10", 31), ("2026-12", 31), ("2026-02", 28), ("2028-02", 29)]
)
def test_a_month_ends_on_its_last_day(period: str, last: int) -> None:
    first, end = month_of(period)
    assert (first.day, end.day, f"{end:%Y-%m}") == (1, last, period)


# Over the store


async def kept(store: Store, book: Log) -> None:
    def unit(tx: Tx) -> None:
        log.append(tx, book.log, AT)
        lanes.advance(tx, "billing", log.head(tx))

    await store.write(unit)


async def test_the_deliveries_of_the_store_say_how_charges_stand() -> None:
    book = played("time a r1 2.00 10-05", "time b r1 3.00 10-05")
    seqs = [n for n, event in enumerate(book.log, 1) if isinstance(event, ChargeDetermined)]
    async with open_memory_store() as store:
        await kept(store, book)
        await store.write(lambda tx: deliveries.bury(tx, "erp", seqs[0], "a", "period", "closed", AT))
        report = await Desk(store, now=lambda: AT).close_report("2026-10")
    assert [(each.what, each.cause, each.count) for each in report.lines] == [
        ("unposted", "dead", 1),
        ("unposted", "in_flight", 1),
    ]


async def test_a_signature_keeps_what_was_seen_and_is_not_given_blindly() -> None:
    async with open_memory_store() as store:
        await kept(store, played("time a r1 2.00 10-05"))
        desk = Desk(store, now=lambda: AT)
        with pytest.raises(Refused, match="2026-10 is not ready: 1 things stand in the way"):
            await desk.sign_close("2026-10", by="ada", why="month end")
        assert await store.read(audit.page) == []
        await desk.sign_close("2026-10", by="ada", why="month end", anyway=True)
        (act,) = await store.read(audit.page)
    said = json.loads(act.detail)
    assert (act.actor, act.act, said["anyway"]) == ("ada", "close.sign", True)
    assert said["seen"]["lines"][0]["amounts"] == {"EUR": "200.00"}


async def test_what_is_no_month_is_told() -> None:
    async with open_memory_store() as store:
        with pytest.raises(Refused, match="'October' is no period; write it as 2026-10"):
            await Desk(store, now=lambda: AT).close_report("October")
