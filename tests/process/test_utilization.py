"""How each week of a resource was spent: capacity, approved, billable, assigned, in any order of arrival.

2026-10-05 is a Monday, the first day of week 41.
"""

from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.events import BusinessEvent, UtilizationRevised
from isthmus.process.rules import assigned, utilization
from isthmus.process.rules.utilization import UtilizationProcess, week_of
from tests.process.conftest import Ledger
from tests.process.planning import Window, in_windows, planning


def facts(*sentences: str) -> list[BusinessEvent]:
    book = Ledger()
    planned = ("plan", "unplan", "resource")
    return [
        planning(sentence) if sentence.split()[0] in planned else book.event(sentence)
        for sentence in sentences
    ]


def said(window: Window) -> dict[str, str]:
    """``capacity: approved (billable), assigned``, and what is tentative."""
    found = {}
    for event in window.publish():
        assert isinstance(event, UtilizationRevised)
        words = (
            f"{event.capacity_hours}: {event.approved_hours} ({event.billable_hours}), {event.assigned_hours}"
        )
        tentative = f" + {event.tentative_hours}" if event.tentative_hours else ""
        found[event.subject] = words + tentative
    return found


KNOWN = "resource R1 40.00"


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        pytest.param([KNOWN], {}, id="a resource that does nothing is not spoken of"),
        pytest.param(
            [KNOWN, "time e r1 2.00 10-05", "time f r1 1.50 10-11 consulting nonbillable"],
            {"R1|2026-W41": "40.00: 3.50 (2.00), 0.00"},
            id="approved hours of a week, Monday to Sunday, the billable ones apart",
        ),
        pytest.param(
            [KNOWN, "time e r1 2.00 10-05", "time e r2 3.00 10-12"],
            {"R1|2026-W42": "40.00: 3.00 (3.00), 0.00"},
            id="a correction within the window shows in its new week alone",
        ),
        pytest.param(
            [KNOWN, "time e r2 3.00 10-12", "time e r1 2.00 10-05", "time e r2 3.00 10-12"],
            {"R1|2026-W42": "40.00: 3.00 (3.00), 0.00"},
            id="a stale and a repeated approval change nothing",
        ),
        pytest.param([KNOWN, "time e r1 2.00 10-05", "untime e r2"], {}, id="withdrawn at once is no news"),
        pytest.param(
            [KNOWN, "plan A R1 consulting 10-08 10-13 7.50"],
            {"R1|2026-W41": "40.00: 0.00 (0.00), 15.00", "R1|2026-W42": "40.00: 0.00 (0.00), 15.00"},
            id="assigned working days by week",
        ),
        pytest.param(
            [KNOWN, "plan A R1 consulting 10-05 10-09 4.00", "plan B R1 design 10-05 10-06 4.00 tentative"],
            {"R1|2026-W41": "40.00: 0.00 (0.00), 20.00 + 8.00"},
            id="what is tentative stands apart",
        ),
        pytest.param(
            [KNOWN, "plan A R1 consulting 10-05 10-16 8.00", "plan A R2 consulting 10-12 10-16 8.00 r2"],
            {"R2|2026-W42": "0.00: 0.00 (0.00), 40.00"},
            id="an assignment that went to somebody else, who is not known yet",
        ),
        pytest.param(
            [KNOWN, "plan A R1 consulting 10-05 10-16 8.00", "unplan A 10-07"],
            {"R1|2026-W41": "40.00: 0.00 (0.00), 16.00"},
            id="an assignment that ended is not planned from that day on",
        ),
        pytest.param(
            ["time e r1 2.00 10-05", KNOWN],
            {"R1|2026-W41": "40.00: 2.00 (2.00), 0.00"},
            id="a resource may arrive later than its time",
        ),
        pytest.param(
            [
                KNOWN,
                "resource R1 20.00 r2 since 10-14",
                *("time e r1 1.00 10-05", "time f r1 1.00 10-12", "time g r1 1.00 2027-01-01"),
            ],
            {
                "R1|2026-W41": "40.00: 1.00 (1.00), 0.00",
                "R1|2026-W42": "20.00: 1.00 (1.00), 0.00",
                "R1|2026-W53": "20.00: 1.00 (1.00), 0.00",
            },
            id="capacity holds from the week it was told in; earlier weeks keep theirs",
        ),
        pytest.param(
            [KNOWN, "resource R1 40.00 r2 inactive since 10-12", "time e r1 1.00 10-12"],
            {"R1|2026-W42": "0.00: 1.00 (1.00), 0.00"},
            id="who is inactive has no capacity",
        ),
    ],
)
def test_how_a_week_is_spent(sentences: list[str], expected: dict[str, str]) -> None:
    window = Window(UtilizationProcess())
    window.take(*facts(*sentences))
    assert said(window) == expected


def test_a_week_that_lost_its_hours_is_said_to_be_empty_and_what_stands_is_not_said_again() -> None:
    window = Window(UtilizationProcess())
    window.take(*facts(KNOWN, "time e r1 2.00 10-05", "plan A R1 consulting 10-12 10-12 8.00"))
    assert set(said(window)) == {"R1|2026-W41", "R1|2026-W42"}
    window.take(*facts("untime e r2", "plan A R1 design 10-12 10-12 8.00 r2"))
    assert said(window) == {"R1|2026-W41": "40.00: 0.00 (0.00), 0.00"}
    window.take(*facts("resource R1 40.00 r2"))
    assert window.publish() == []


def test_a_new_capacity_says_the_weeks_from_then_on() -> None:
    window = Window(UtilizationProcess())
    window.take(*facts(KNOWN, "plan A R1 consulting 10-05 10-16 8.00"))
    said(window)
    window.take(*facts("resource R1 32.00 r2 since 10-12"))
    assert said(window) == {"R1|2026-W42": "32.00: 0.00 (0.00), 40.00"}


def test_a_statement_names_what_it_folded_and_the_legal_entity_of_the_resource() -> None:
    told = facts("time e r1 2.00 10-05", "time f r1 1.00 10-12")
    resource = msgspec.structs.replace(planning(KNOWN), entity="us")
    window = Window(UtilizationProcess())
    window.take(*told, resource)
    one, two = sorted(window.publish(), key=lambda event: event.week)
    assert (one.basis, two.basis) == ([told[0].id, resource.id], [told[1].id, resource.id])
    assert (one.entity, one.key, one.id.startswith("utilization/utilization.revised/")) == ("us", "R1", True)


def test_an_assignment_without_an_end_counts_for_five_years() -> None:
    window = Window(UtilizationProcess())
    window.take(*facts("plan A R1 consulting 2026-10-05 9999-12-31 8.00"))
    weeks = sorted(event.week for event in window.publish())
    assert (weeks[0], weeks[-1], len(weeks)) == ("2026-W41", "2031-W40", 261)


@pytest.mark.parametrize(
    ("day", "week"),
    [
        pytest.param(date(2026, 12, 31), "2026-W53", id="a year of 53 weeks"),
        pytest.param(date(2027, 1, 3), "2026-W53", id="the first days may belong to the last week"),
        pytest.param(date(2024, 12, 30), "2025-W01", id="the last days to the first"),
    ],
)
def test_weeks_are_those_of_iso_8601(day: date, week: str) -> None:
    assert week_of(day) == week


SENTENCES = [
    *("resource R1 40.00", "resource R1 32.00 r2 since 10-12", "resource R2 20.00 since 10-20"),
    *("resource R1 0.00 r3 inactive since 11-02", "time e r1 2.00 10-05", "time e r2 3.00 10-12 design"),
    *(
        "time f r1 4.25 10-06 x nonbillable",
        "untime f r2",
        "time g r5 8.00 11-03",
        "time h r1 1.00 2027-01-01",
    ),
    *("plan A R1 design 10-05 11-06 8.00", "plan A R2 design 10-05 10-20 7.33 r2", "unplan A 10-14 r3"),
    *("plan B R1 design 10-07 10-26 4.00 tentative", "plan B R1 design 10-07 10-26 4.00 r2"),
    *("plan C R2 design 10-17 10-18 8.00", "unplan C 10-18 r2", "plan C R2 design 10-19 10-19 1.00 r3"),
]


def end_the_same(seed: int) -> bool:
    dice = Random(seed)
    told = facts(*dice.sample(SENTENCES, dice.randint(1, len(SENTENCES))))
    sizes = [dice.randint(1, 5) for _ in range(dice.randint(0, 6))]
    other = dice.sample(told, len(told))
    one, two = in_windows(UtilizationProcess(), told), in_windows(UtilizationProcess(), other, *sizes)
    # What was said and is empty again is said; what was empty all along is not.
    return _without_empty(one) == _without_empty(two)


def _without_empty(weeks: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        subject: week
        for subject, week in weeks.items()
        if any(Decimal(week.get(f"{name}_hours", "0")) for name in ("approved", "assigned", "tentative"))
    }


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_any_order_and_any_windows_end_in_the_same_weeks(seed: int) -> None:
    assert end_the_same(seed)


RESOURCE = utilization._resource


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        pytest.param(
            "heard",
            lambda row, event: assigned.heard(msgspec.structs.replace(row, revision=0), event),
            id="a stale assignment is taken",
        ),
        pytest.param(
            "_resource",
            lambda event, states: RESOURCE(event, states) and set(),
            id="a resource that arrives late says nothing of its weeks",
        ),
    ],
)
def test_mutants_depend_on_the_order(name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utilization, name, mutant)
    assert any(not end_the_same(seed) for seed in range(300))
