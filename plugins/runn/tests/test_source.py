"""Assignments out of Runn: pages, ties, segments, confirmations, removals."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from isthmus.events import AssignmentChanged, AssignmentEnded
from isthmus.sdk import Fatal, Link, Opened, Page, Retryable, Source
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext, SourceContract, read_all
from isthmus_runn.simulator import RunnSimulator


def book(runn: RunnSimulator, *, bookings: int = 1, confirmed: bool = True) -> list[int]:
    """A person, a project of a client, and so many bookings in a row of weeks."""
    runn.add_client("Acme")
    runn.add_project("Rollout", "Acme", confirmed)
    runn.add_person("Rosa Meier", "Consultant", "rosa@example.com")
    ids = []
    for week in range(bookings):
        start = f"2026-{10 + week // 4}-{1 + week % 4 * 7:02}"
        ids.append(runn.assign("Rosa Meier", "Rollout", start, start, 480)[0]["id"])
    return ids


class TestPlan(SourceContract):
    @pytest.fixture
    async def source(self, runn: RunnSimulator, planner: Opened) -> Source:
        ids = book(runn, bookings=7)
        for assignment in ids[:5]:
            runn.end_assignment(assignment)
        for day in range(4, 9):
            runn.assign("Rosa Meier", "Rollout", f"2027-01-{day:02}", f"2027-01-{day:02}", 60)
        assert planner.source is not None
        return planner.source


async def pull(planner: Opened, cursor: bytes | None = None) -> Page:
    assert planner.source is not None
    return await planner.source.pull("assignments", cursor)


async def changes(planner: Opened, cursor: bytes | None = None) -> tuple[list[AssignmentChanged], bytes]:
    """Everything the stream has from the cursor on, and where it then stands."""
    assert planner.source is not None
    events, cursors = await read_all(planner.source, "assignments", cursor)
    return [event for event in events if isinstance(event, AssignmentChanged)], cursors[-1]


async def test_many_changes_in_one_millisecond_are_all_read(
    runn: RunnSimulator, planner: Opened, clock: Any
) -> None:
    clock.step = timedelta(0)
    ids = book(runn, bookings=9)
    events, _ = await changes(planner)
    assert sorted(event.assignment for event in events) == sorted(f"planner:{n}" for n in ids)


def commit_late(runn: RunnSimulator, clock: Any, behind_s: int) -> str:
    """A booking that Runn stamps ``behind_s`` seconds before the one that was read already."""
    newest = max(record.fields["updatedAt"] for record in runn.ledger.of_kind("assignment"))
    clock.time, clock.step = datetime.fromisoformat(newest) - timedelta(seconds=behind_s), timedelta(0)
    return f"planner:{runn.assign('Rosa Meier', 'Rollout', '2026-12-01', '2026-12-02', 240)[0]['id']}"


async def test_a_change_committed_late_is_still_read(
    runn: RunnSimulator, planner: Opened, clock: Any
) -> None:
    book(runn)
    _, cursor = await changes(planner)
    late = commit_late(runn, clock, behind_s=4)
    events, _ = await changes(planner, cursor)
    assert late in {event.assignment for event in events}


async def test_it_is_the_overlap_that_catches_a_late_change(
    runn: RunnSimulator, open_runn: Any, clock: Any
) -> None:
    """The mutant: with an overlap shorter than the delay the same change is lost."""
    book(runn)
    async with open_runn(overlap_s=1) as planner:
        _, cursor = await changes(planner)
        late = commit_late(runn, clock, behind_s=4)
        events, _ = await changes(planner, cursor)
        assert late not in {event.assignment for event in events}


async def test_an_idle_stream_keeps_its_cursor(runn: RunnSimulator, planner: Opened) -> None:
    book(runn)
    _, cursor = await changes(planner)
    _, again = await changes(planner, cursor)
    assert again == cursor


async def test_leave_splits_a_booking_into_segments_that_together_are_the_booking(
    runn: RunnSimulator, planner: Opened
) -> None:
    book(runn, bookings=0)
    runn.take_leave("Rosa Meier", "2026-10-12", "2026-10-16")
    segments = runn.assign("Rosa Meier", "Rollout", "2026-10-05", "2026-10-30", 480)
    events, _ = await changes(planner)
    assert [(str(e.starts_on), str(e.ends_on)) for e in events] == [
        ("2026-10-05", "2026-10-11"),
        ("2026-10-17", "2026-10-30"),
    ]
    assert {event.assignment for event in events} == {f"planner:{s['id']}" for s in segments}


async def test_leave_taken_later_shortens_one_segment_and_adds_another(
    runn: RunnSimulator, planner: Opened
) -> None:
    book(runn, bookings=0)
    (whole,) = runn.assign("Rosa Meier", "Rollout", "2026-10-05", "2026-10-30", 480)
    (before,), cursor = await changes(planner)
    runn.take_leave("Rosa Meier", "2026-10-12", "2026-10-16")
    after, _ = await changes(planner, cursor)
    newest = {event.assignment: event for event in after}
    assert len(newest) == 2
    kept = newest[f"planner:{whole['id']}"]
    assert str(kept.ends_on) == "2026-10-11"
    assert kept.revision > before.revision


async def test_confirming_a_project_changes_its_assignments(runn: RunnSimulator, planner: Opened) -> None:
    book(runn, bookings=3, confirmed=False)
    before, cursor = await changes(planner)
    assert all(event.tentative for event in before)
    runn.confirm_project("Rollout")
    after, cursor = await changes(planner, cursor)
    newest = {event.assignment: event for event in sorted(after, key=lambda e: e.revision)}
    assert len(newest) == 3
    assert not any(event.tentative for event in newest.values())
    assert min(e.revision for e in newest.values()) > max(e.revision for e in before)
    runn.confirm_project("Rollout", confirmed=False)
    back, _ = await changes(planner, cursor)
    assert all(
        e.tentative for e in {e.assignment: e for e in sorted(back, key=lambda e: e.revision)}.values()
    )


async def test_a_new_budget_does_not_repeat_the_assignments(
    runn: RunnSimulator, planner: Opened, ctx: FakeContext
) -> None:
    """Our own writes to a project must not come back as news: that would go round for ever."""
    book(runn)
    first, cursor = await changes(planner)
    project = next(runn.ledger.of_kind("project"))
    runn.ledger.update(project, {"budget": 5, "updatedAt": "2026-10-05T12:00:00.000Z"}, at=runn.now())
    again, _ = await changes(planner, cursor)
    assert {event.id for event in again} <= {event.id for event in first}


async def test_keys_come_from_references_then_the_crosswalk_then_runn(
    runn: RunnSimulator, planner: Opened, ctx: FakeContext
) -> None:
    book(runn)
    (unknown,), _ = await changes(planner)
    project, person = next(runn.ledger.of_kind("project")), next(runn.ledger.of_kind("person"))
    ctx.keep([Link(kind="project", key="crm:linked", remote_id=project.id)])
    (linked,), _ = await changes(planner)
    stamped = {"references": [{"referenceName": "isthmus", "externalId": "crm:p"}]}
    runn.ledger.update(project, {**stamped, "updatedAt": "2026-10-05T12:00:00.000Z"}, at=runn.now())
    person.fields["references"] = [{"referenceName": "isthmus", "externalId": "psa:9"}]
    (referenced,), _ = await changes(planner)
    assert (unknown.project, unknown.resource) == (f"planner:{project.id}", f"planner:{person.id}")
    assert linked.project == "crm:linked"
    assert (referenced.project, referenced.resource) == ("crm:p", "psa:9")


async def test_a_placeholder_is_tentative_demand_for_a_role(runn: RunnSimulator, planner: Opened) -> None:
    book(runn, bookings=0)
    somebody = runn.add_placeholder("Consultant")
    runn.assign(somebody["id"], "Rollout", "2026-10-05", "2026-10-30", 480)
    (event,), _ = await changes(planner)
    assert event.tentative
    assert event.service == "Consultant"
    assert event.resource == f"planner:{somebody['id']}"


async def test_segments_of_a_booking_add_up_to_its_working_days(runn: RunnSimulator, planner: Opened) -> None:
    """Four weeks of eight hours less a week of leave: 15 days, whatever the records are called."""
    book(runn, bookings=0)
    runn.take_leave("Rosa Meier", "2026-10-12", "2026-10-16")
    runn.assign("Rosa Meier", "Rollout", "2026-10-05", "2026-10-30", 480)
    events, _ = await changes(planner)
    days = [
        event.starts_on + timedelta(days=n)
        for event in events
        for n in range((event.ends_on - event.starts_on).days + 1)
    ]
    worked = [day for day in days if day.weekday() < 5]
    assert len(days) == len(set(days)), "no day is in two segments"
    assert sum(event.hours_per_day for event in events[:1]) * len(worked) == 120


async def test_one_segment_deleted_ends_alone(runn: RunnSimulator, planner: Opened) -> None:
    book(runn, bookings=0)
    runn.take_leave("Rosa Meier", "2026-10-12", "2026-10-16")
    first, second = runn.assign("Rosa Meier", "Rollout", "2026-10-05", "2026-10-30", 480)
    runn.end_assignment(second["id"])
    assert planner.source is not None
    (ended,) = (await planner.source.pull("removals", None)).events
    assert ended.key == f"planner:{second['id']}"
    events, _ = await changes(planner)
    assert {event.assignment for event in events} == {f"planner:{first['id']}"}


async def test_bookings_of_archived_projects_and_people_are_told(
    runn: RunnSimulator, planner: Opened
) -> None:
    ids = book(runn, bookings=2)
    runn.archive_project("Rollout")
    runn.archive_person("Rosa Meier")
    events, _ = await changes(planner)
    assert {event.assignment for event in events} == {f"planner:{n}" for n in ids}
    assert not any(event.tentative for event in events), "archived is not unconfirmed"


async def test_templates_are_no_plan(runn: RunnSimulator, planner: Opened) -> None:
    book(runn)
    next(runn.ledger.of_kind("assignment")).fields["isTemplate"] = True
    assert (await changes(planner))[0] == []


async def test_a_row_that_cannot_be_read_is_refused_and_the_page_goes_on(
    runn: RunnSimulator, planner: Opened
) -> None:
    bad, good = book(runn, bookings=2)
    record = runn.ledger.get("assignment", str(bad))
    assert record is not None
    record.fields["startDate"] = None
    page = await pull(planner)
    assert [event.key for event in page.events] == [f"planner:{good}"]
    assert [(r.place, r.reason.split(";")[0]) for r in page.refused] == [
        (f"/assignments/{bad}", "startDate is missing")
    ]


async def test_a_page_cursor_that_runn_forgot_starts_the_sweep_again(
    runn: RunnSimulator, planner: Opened
) -> None:
    ids = book(runn, bookings=5)
    cursor = json.loads((await pull(planner)).next)
    events, _ = await changes(planner, json.dumps({**cursor, "page": "bm90IGpzb24="}).encode())
    assert {event.assignment for event in events} == {f"planner:{n}" for n in ids}


async def test_a_deleted_assignment_is_told_with_a_higher_revision(
    runn: RunnSimulator, planner: Opened
) -> None:
    (assignment,) = book(runn)
    (before,), _ = await changes(planner)
    runn.end_assignment(assignment)
    assert planner.source is not None
    page = await planner.source.pull("removals", None)
    (ended,) = page.events
    assert isinstance(ended, AssignmentEnded)
    assert ended.assignment == before.assignment
    assert ended.ended_on == before.starts_on
    assert ended.revision > before.revision


async def test_a_shortened_assignment_is_a_change(runn: RunnSimulator, planner: Opened) -> None:
    book(runn, bookings=0)
    (booked,) = runn.assign("Rosa Meier", "Rollout", "2026-10-05", "2026-10-30", 480)
    _, cursor = await changes(planner)
    runn.end_assignment(booked["id"], on="2026-10-09")
    events, _ = await changes(planner, cursor)
    assert str(max(events, key=lambda e: e.revision).ends_on) == "2026-10-09"


async def test_a_test_account_is_told_which_setting_to_change(runn: RunnSimulator, planner: Opened) -> None:
    runn.use_test_account()
    assert planner.source is not None
    with pytest.raises(Fatal, match=r'read = \["assignments"\]'):
        await planner.source.pull("removals", None)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(fault="lose_response", match=Match(path_prefix="/assignments")), id="no answer"),
        pytest.param(Fault(fault="truncate", match=Match(path_prefix="/assignments")), id="half an answer"),
        pytest.param(
            Fault(fault="status", status=502, match=Match(path_prefix="/projects")), id="a bad gateway"
        ),
        pytest.param(Fault(fault="wrong_body", match=Match(path_prefix="/assignments")), id="an empty 200"),
    ],
)
async def test_a_broken_read_is_repeated_from_the_same_cursor(
    runn: RunnSimulator, planner: Opened, fault: Fault
) -> None:
    ids = book(runn, bookings=3)
    runn.faults.add([fault])
    with pytest.raises(Retryable):
        await pull(planner)
    events, _ = await changes(planner)
    assert len(events) == len(ids)
