"""Bookings out of Kantata: hard and soft, by people and by roles, changed, split, deleted."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from isthmus.events import AssignmentChanged, AssignmentEnded
from isthmus.sdk import Link, Opened
from isthmus.sdk.testing import FakeContext, read_all
from isthmus_kantata.simulator import KantataSimulator
from isthmus_kantata.translate import work_days

if TYPE_CHECKING:
    from plugins.kantata.tests.conftest import Act, Clock, Psa


async def read(opened: Opened, stream: str, cursor: bytes | None = None) -> tuple[list[Any], bytes]:
    assert opened.source is not None
    events, cursors = await read_all(opened.source, stream, cursor)
    return events, cursors[-1]


@pytest.fixture
def week(do: Act, project: str, consultant: str) -> dict[str, Any]:
    """Forty hours, Monday to Sunday."""
    made = do(
        "add_allocation",
        workspace=project,
        user=consultant,
        start="2026-11-09",
        end="2026-11-15",
        hours=40,
    )
    assert isinstance(made, dict)
    return made


async def test_a_booking_is_told_with_person_project_service_and_hours_a_day(
    psa: Psa, context: FakeContext, project: str, consultant: str, week: dict[str, Any]
) -> None:
    context.keep([Link(kind="project", key="crm:006", remote_id=project)])
    async with psa() as opened:
        (event,), _ = await read(opened, "allocations")
    assert isinstance(event, AssignmentChanged)
    assert (event.assignment, event.resource, event.project) == (
        f"psa:{week['id']}",
        f"psa:{consultant}",
        "crm:006",
    )
    assert (event.service, event.hours_per_day, event.tentative) == ("consulting", Decimal(8), False)
    assert (event.starts_on, event.ends_on) == (date(2026, 11, 9), date(2026, 11, 15))


@pytest.mark.parametrize(
    ("more", "tentative"),
    [
        pytest.param({"hard": True}, False, id="a hard one is firm"),
        pytest.param({"hard": False}, True, id="a soft one is tentative"),
        pytest.param({"hard": True, "user": None}, True, id="a role nobody fills yet is tentative"),
    ],
)
async def test_tentative(
    psa: Psa, do: Act, project: str, consultant: str, more: dict[str, Any], tentative: bool
) -> None:
    given = {"user": consultant, "role": "consulting", **more}
    do("add_allocation", workspace=project, start="2026-11-09", end="2026-11-13", hours=40, **given)
    async with psa() as opened:
        (event,), _ = await read(opened, "allocations")
    assert event.tentative is tentative
    assert event.service == "consulting"
    assert event.resource.startswith("psa:resource-") is (given["user"] is None)


async def test_a_change_has_a_higher_revision(psa: Psa, do: Act, clock: Clock, week: dict[str, Any]) -> None:
    async with psa() as opened:
        (before,), cursor = await read(opened, "allocations")
        clock.move(minutes=5)
        do("change_allocation", allocation=week["id"], hours=20, hard=False)
        events, _ = await read(opened, "allocations", cursor)
    after = max(events, key=lambda event: event.revision)
    assert after.assignment == before.assignment
    assert (after.hours_per_day, after.tentative) == (Decimal(4), True)
    assert after.revision > before.revision


async def test_a_split_booking_is_two_that_add_up_to_it(
    psa: Psa, do: Act, clock: Clock, week: dict[str, Any]
) -> None:
    clock.move(seconds=10)
    do("split_allocation", allocation=week["id"], on="2026-11-11")
    async with psa() as opened:
        events, _ = await read(opened, "allocations")
    total = sum(event.hours_per_day * work_days(event.starts_on, event.ends_on) for event in events)
    assert len({event.assignment for event in events}) == 2
    assert abs(total - 40) < Decimal("0.0001")


async def test_a_deleted_booking_is_told_as_ended_once(
    psa: Psa, do: Act, clock: Clock, project: str, consultant: str, week: dict[str, Any]
) -> None:
    kept = do(
        "add_allocation", workspace=project, user=consultant, start="2026-11-16", end="2026-11-20", hours=8
    )
    async with psa(page_size=2) as opened:
        (first, _), _ = await read(opened, "allocations")
        events, cursor = await read(opened, "allocation_removals")
        assert events == [], "what was never seen to be open cannot have ended"
        do("delete_allocation", allocation=week["id"])
        clock.move(hours=1)
        (ended,), cursor = await read(opened, "allocation_removals", cursor)
        assert isinstance(ended, AssignmentEnded)
        assert (ended.assignment, ended.ended_on) == (first.assignment, first.starts_on)
        assert ended.revision > first.revision
        clock.move(hours=1)
        assert (await read(opened, "allocation_removals", cursor))[0] == []
    assert kept["id"] != week["id"]


async def test_a_booking_that_comes_back_is_told_again(
    psa: Psa, do: Act, clock: Clock, simulator: KantataSimulator, week: dict[str, Any]
) -> None:
    """A list can hide a record for a while: what was wrongly told as ended must not stay so."""
    record = simulator.books.get("WorkspaceAllocation", week["id"])
    assert record is not None
    table = simulator.books._tables["WorkspaceAllocation"]
    async with psa() as opened:
        _, cursor = await read(opened, "allocation_removals")
        clock.move(hours=1)
        del table[record.id]
        (ended,), cursor = await read(opened, "allocation_removals", cursor)
        clock.move(hours=1)
        table[record.id] = record
        (back,), cursor = await read(opened, "allocation_removals", cursor)
        assert isinstance(back, AssignmentChanged)
        assert back.revision > ended.revision
        clock.move(hours=1)
        assert (await read(opened, "allocation_removals", cursor))[0] == []


async def test_what_passed_is_forgotten_not_ended(psa: Psa, clock: Clock, week: dict[str, Any]) -> None:
    async with psa() as opened:
        _, cursor = await read(opened, "allocation_removals")
        clock.move(days=90)
        events, cursor = await read(opened, "allocation_removals", cursor)
    assert events == []
    assert week["id"].encode() not in cursor


async def test_what_was_moved_out_of_the_range_is_looked_up_and_not_ended(
    psa: Psa, do: Act, clock: Clock, week: dict[str, Any]
) -> None:
    async with psa() as opened:
        _, cursor = await read(opened, "allocation_removals")
        clock.move(hours=1)
        do("change_allocation", allocation=week["id"], start="2026-06-01", end="2026-06-05")
        events, _ = await read(opened, "allocation_removals", cursor)
    assert events == []


async def test_many_that_were_moved_are_all_looked_up(
    psa: Psa, do: Act, clock: Clock, project: str, consultant: str
) -> None:
    """More than one look-up may name; one of them is really gone."""
    days = {"start": "2026-11-09", "end": "2026-11-13"}
    made = [
        do("add_allocation", workspace=project, user=consultant, hours=8, **days)["id"] for _ in range(405)
    ]
    async with psa() as opened:
        _, cursor = await read(opened, "allocation_removals")
        clock.move(hours=1)
        do("delete_allocation", allocation=made[7])
        for id in made[:7] + made[8:]:
            do("change_allocation", allocation=id, start="2026-06-01", end="2026-06-05")
        events, _ = await read(opened, "allocation_removals", cursor)
    assert [event.assignment for event in events] == [f"psa:{made[7]}"]


async def test_removals_are_looked_for_now_and_then(psa: Psa, clock: Clock, week: dict[str, Any]) -> None:
    async with psa(removals_every_s=600) as opened:
        _, cursor = await read(opened, "allocation_removals")
        clock.move(seconds=599)
        assert (await read(opened, "allocation_removals", cursor))[1] == cursor
        clock.move(seconds=2)
        assert (await read(opened, "allocation_removals", cursor))[1] != cursor


@pytest.mark.parametrize(
    ("starts", "ends", "days"),
    [
        pytest.param("2026-11-09", "2026-11-09", 1, id="a Monday"),
        pytest.param("2026-11-09", "2026-11-15", 5, id="a week"),
        pytest.param("2026-11-13", "2026-11-16", 2, id="Friday to Monday"),
        pytest.param("2026-11-14", "2026-11-15", 2, id="a weekend has no others"),
        pytest.param("2026-11-01", "2026-11-30", 21, id="a month"),
    ],
)
def test_days_hours_are_spread_over(starts: str, ends: str, days: int) -> None:
    assert work_days(date.fromisoformat(starts), date.fromisoformat(ends)) == days


def test_days_agree_with_counting_them() -> None:
    start = date(2026, 10, 1)
    for first in range(7):
        for length in range(40):
            begin = start + timedelta(days=first)
            end = begin + timedelta(days=length)
            counted = sum((begin + timedelta(days=n)).weekday() < 5 for n in range(length + 1))
            assert work_days(begin, end) == (counted or length + 1)


async def test_one_unreadable_booking_is_refused_and_its_neighbours_are_told(
    psa: Psa, do: Act, simulator: KantataSimulator, project: str, consultant: str, week: dict[str, Any]
) -> None:
    record = simulator.books.get("WorkspaceAllocation", week["id"])
    assert record is not None
    record.fields["minutes"] = None
    good = do(
        "add_allocation", workspace=project, user=consultant, start="2026-11-16", end="2026-11-20", hours=8
    )
    async with psa() as opened:
        assert opened.source is not None
        page = await opened.source.pull("allocations", None)
    assert [event.key for event in page.events] == [f"psa:{good['id']}"]
    (refused,) = page.refused
    assert refused.place == f"/api/v1/workspace_allocations/{week['id']}"
    assert "minutes" in refused.reason
