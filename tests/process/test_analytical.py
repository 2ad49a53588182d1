"""Burn and forecast: totals that may be said late and twice, with what they were made of."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest

from isthmus.events import (
    BurnRevised,
    BusinessEvent,
    ForecastRevised,
    Milestones,
    MilestoneTerm,
    TimeAndMaterials,
    decode,
    encode,
)
from isthmus.process.face import AnalyticalProcess
from isthmus.process.rules.burn import BurnProcess
from isthmus.process.rules.forecast import ForecastProcess
from isthmus.process.states import MemoryStates

NOW = datetime(2026, 10, 9, 12, tzinfo=UTC)
LATER = datetime(2026, 10, 9, 13, tzinfo=UTC)


class Window:
    """Folds facts and publishes when told: what the actor does between two lag windows."""

    def __init__(self, process: AnalyticalProcess) -> None:
        self.process = process
        self.states = MemoryStates()
        self.dirty: dict[str, list[str]] = {}

    def take(self, *events: BusinessEvent) -> None:
        for event in events:
            if event.kind in self.process.consumes:
                for key in sorted(self.process.apply(event, self.states)):
                    self.dirty.setdefault(key, []).append(event.id)

    def publish(self, as_of: datetime = NOW) -> list[Any]:
        dirty, self.dirty = self.dirty, {}
        said = [
            event
            for key, basis in dirty.items()
            for event in self.process.publish(key, self.states, as_of, basis)
        ]
        assert [decode(encode(event)) for event in said] == said
        return said


def burns(said: list[BurnRevised]) -> dict[str, tuple[str, str]]:
    return {event.burn: (str(event.billable_hours), str(event.nonbillable_hours)) for event in said}


@pytest.mark.parametrize(
    ("sentences", "totals"),
    [
        pytest.param(["time e r1 2.00 10-05"], {"P1|R1|2026-10-05": ("2.00", "0.00")}, id="one entry"),
        pytest.param(
            ["time e r1 2.00 10-05", "time f r1 1.50 10-05", "time g r1 1.00 10-05 nonbillable"],
            {"P1|R1|2026-10-05": ("3.50", "1.00")},
            id="entries of a day are one total",
        ),
        pytest.param(
            ["time e r1 2.00 10-05", "time e r1 2.00 10-05"],
            {"P1|R1|2026-10-05": ("2.00", "0.00")},
            id="an entry told twice counts once",
        ),
        pytest.param(
            ["time e r2 2.00 10-05", "time e r1 7.00 10-05"],
            {"P1|R1|2026-10-05": ("2.00", "0.00")},
            id="a stale entry does not count",
        ),
        pytest.param(
            ["time e r1 2.00 10-05", "time e r2 3.00 10-06"],
            {"P1|R1|2026-10-06": ("3.00", "0.00")},
            id="an entry moved within the window shows on its new day alone",
        ),
        pytest.param(
            ["time e r1 2.00 10-05", "untime e r2"],
            {},
            id="approved and withdrawn within the window is no news",
        ),
    ],
)
def test_burn_per_project_resource_and_day(
    make_ledger: Callable[[], Any], sentences: list[str], totals: dict[str, tuple[str, str]]
) -> None:
    book, window = make_ledger(), Window(BurnProcess())
    window.take(*(book.event(sentence) for sentence in sentences))
    assert burns(window.publish()) == totals


def test_a_day_that_lost_its_hours_is_said_to_be_empty(ledger: Any) -> None:
    window = Window(BurnProcess())
    window.take(ledger.event("time e r1 2.00 10-05"))
    window.publish()
    window.take(ledger.event("untime e r2"))
    assert burns(window.publish()) == {"P1|R1|2026-10-05": ("0.00", "0.00")}


def test_burn_carries_its_lineage_and_an_id_without_a_clock(ledger: Any) -> None:
    facts = [ledger.event("time e r1 2.00 10-05"), ledger.event("time f r1 1.00 10-05")]
    early, late = Window(BurnProcess()), Window(BurnProcess())
    early.take(*facts)
    late.take(*facts)
    (one,), (other,) = early.publish(NOW), late.publish(LATER)
    assert one.basis == [fact.id for fact in facts]
    assert one.id == other.id
    assert one.id.startswith("burn/burn.revised/")
    early.take(ledger.event("time g r1 1.00 10-05"))
    (next_one,) = early.publish(NOW)
    assert next_one.id != one.id


STEPS = Milestones(line="M", milestones=[MilestoneTerm(milestone="m1", title="Go live", amount=D("500.00"))])
TIMED = TimeAndMaterials(line="T", default_rate=D("100.00"), cap_amount=D("1000.00"), expenses=True)


def outlook(ledger: Any, *sentences: str) -> ForecastRevised:
    ledger.sign(STEPS, TIMED)
    for sentence in sentences:
        ledger.tell(sentence)
    window = Window(ForecastProcess())
    window.take(*ledger.told, *ledger.derived)
    (said,) = window.publish()
    assert isinstance(said, ForecastRevised)
    assert set(said.basis) == {
        event.id for event in [*ledger.told, *ledger.derived] if event.kind in window.process.consumes
    }
    return said


@pytest.mark.parametrize(
    ("sentences", "months", "backlog"),
    [
        pytest.param([], {}, "1500.00", id="all is still to be earned"),
        pytest.param(
            ["time e r1 2.00 10-05", "time f r1 3.00 11-05"],
            {"2026-10": ("200.00", "2.00"), "2026-11": ("300.00", "3.00")},
            "1000.00",
            id="hours charged lower the backlog of their line",
        ),
        pytest.param(
            ["time f r1 3.00 11-05", "time e r1 2.00 10-05", "untime f r2"],
            {"2026-10": ("200.00", "2.00"), "2026-11": ("0.00", "0.00")},
            "1300.00",
            id="a reversal gives the backlog back",
        ),
        pytest.param(
            ["milestone m1 r1 10-08"], {"2026-10": ("500.00", "0")}, "1000.00", id="a milestone achieved"
        ),
        pytest.param(
            ["expense x r1 40.00 10-05"],
            {"2026-10": ("40.00", "0")},
            "1500.00",
            id="expenses are revenue, and no part of the agreed amount",
        ),
    ],
)
def test_forecast_of_a_project(
    ledger: Any, sentences: list[str], months: dict[str, tuple[str, str]], backlog: str
) -> None:
    said = outlook(ledger, *sentences)
    assert {each.month: (str(each.revenue), str(each.hours)) for each in said.months} == months
    assert list(months) == sorted(months)
    assert (str(said.backlog), said.currency, said.as_of) == (backlog, "EUR", NOW)


def test_a_forecast_told_before_its_contract_finds_its_currency(ledger: Any) -> None:
    ledger.sign(STEPS, currency="USD")
    ledger.tell("milestone m1 r1 10-08")
    window = Window(ForecastProcess())
    window.take(*ledger.derived, *ledger.told)
    (said,) = window.publish()
    assert (said.currency, str(said.backlog)) == ("USD", "0.00")


def test_an_amendment_raises_the_backlog_once(ledger: Any) -> None:
    ledger.sign(STEPS)
    ledger.amend(2, STEPS, TIMED, effective_on="10-10")
    ledger.amend(2, STEPS, effective_on="10-10")
    window = Window(ForecastProcess())
    window.take(*ledger.told)
    (said,) = window.publish()
    assert str(said.backlog) == "1500.00"
    assert said.basis == [event.id for event in ledger.told if event.kind.startswith("contract")][:2]


def test_hours_of_a_free_unit_come_back_with_their_reversal(ledger: Any) -> None:
    ledger.sign(TimeAndMaterials(line="T", default_rate=D("0.01")), starts_on=date(2026, 10, 1))
    ledger.tell("time e r1 0.10 10-05")
    ledger.tell("untime e r2")
    window = Window(ForecastProcess())
    window.take(*ledger.derived)
    (said,) = window.publish()
    assert [(str(each.revenue), str(each.hours)) for each in said.months] == [("0.00", "0.00")]
