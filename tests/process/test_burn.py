"""Burn: totals that may be said late and twice, with what they were made of."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from isthmus.events import BurnRevised
from isthmus.process.rules.burn import BurnProcess
from tests.process.planning import NOW, Window

LATER = datetime(2026, 10, 9, 13, tzinfo=UTC)


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
