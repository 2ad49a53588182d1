"""What the connector tells of a simulated account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from isthmus.events import BusinessEvent
from isthmus.sdk import Fatal, Link, Retryable, Secret, Source
from isthmus.sdk.simulator import Fault
from isthmus.sdk.testing import FakeContext, SourceContract, read_all
from isthmus_kantata.paging import Place
from isthmus_kantata.simulator import KantataSimulator

if TYPE_CHECKING:
    from plugins.kantata.tests.conftest import Act, Clock, Psa


def told(events: list[BusinessEvent]) -> list[tuple[str, str]]:
    return [(event.kind, event.key) for event in events]


async def read(source: Source | None, stream: str, cursor: bytes | None = None) -> tuple[Any, bytes]:
    """The facts of a stream, each once as the daemon keeps them, and the cursor after them."""
    assert source is not None
    events, cursors = await read_all(source, stream, cursor)
    return list({event.id: event for event in events}.values()), cursors[-1]


class TestPromises(SourceContract):
    """The promises of every source, over pages of five and many records of one second."""

    @pytest.fixture
    async def source(
        self, psa: Psa, do: Act, clock: Clock, project: str, consultant: str
    ) -> AsyncIterator[Source]:
        month = do("work_month", workspace=project, users=3, month="2026-10", entries=12, seed=1)
        clock.move(hours=1)
        do("correct_time", entry=month["entries"][0], hours=1)
        for n in range(7):
            expense = do(
                "add_expense",
                workspace=project,
                user=consultant,
                date="2026-10-05",
                category="Travel",
                amount_in_cents=1000 + n,
                currency="EUR",
            )
            do("approve_expenses", expenses=[expense["id"]])
            clock.move(seconds=n % 2)
            story = do("add_milestone", workspace=project, title=f"M{n}")
            do("complete_milestone", story=story["id"])
        for n in range(7):
            booked = {"user": consultant} if n % 3 else {"role": "consulting"}
            start, end = f"2026-11-{n + 2:02}", f"2026-11-{n + 5:02}"
            do("add_allocation", workspace=project, start=start, end=end, hours=8, **booked)
        do("move_project", workspace=project, status="active")
        clock.move(seconds=10)
        do("move_project", workspace=project, status="completed")
        async with psa(page_size=5) as opened:
            assert opened.source is not None
            yield opened.source


async def test_nothing_is_told_before_somebody_approves(
    psa: Psa, do: Act, project: str, consultant: str
) -> None:
    entry = do(
        "log_time", workspace=project, user=consultant, date="2026-10-05", hours=7.5, service="consulting"
    )
    async with psa() as opened:
        assert (await read(opened.source, "time_entries"))[0] == []
        do("approve_time", entries=[entry["id"]])
        events, _ = await read(opened.source, "time_entries")
    assert told(events) == [("time.approved", f"psa:{entry['id']}")]


async def test_an_approval_is_met_though_the_entry_itself_did_not_change(
    psa: Psa, do: Act, clock: Clock, project: str, consultant: str
) -> None:
    """Kantata may leave the stamp of the entry alone; the poll follows the submission as well."""
    entry = do(
        "log_time", workspace=project, user=consultant, date="2026-10-05", hours=8, service="consulting"
    )
    clock.move(days=1)
    do("log_time", workspace=project, user=consultant, date="2026-10-06", hours=8, service="consulting")
    async with psa() as opened:
        clock.move(days=1)
        _, cursor = await read(opened.source, "time_entries")
        clock.move(days=1)
        do("approve_time", entries=[entry["id"]])
        events, cursor = await read(opened.source, "time_entries", cursor)
        assert told(events) == [("time.approved", f"psa:{entry['id']}")]
        clock.move(days=1)
        do("reject_time", entries=[entry["id"]], reason="wrong project")
        events, cursor = await read(opened.source, "time_entries", cursor)
        assert [(event.kind, event.reason) for event in events] == [("time.unapproved", "wrong project")]
        clock.move(days=1)
        events, _ = await read(opened.source, "time_entries", cursor)
    assert {event.kind for event in events} <= {"time.unapproved"}


async def test_a_correction_is_one_entry_with_growing_revisions(
    psa: Psa, do: Act, clock: Clock, project: str, consultant: str
) -> None:
    entry = do(
        "log_time", workspace=project, user=consultant, date="2026-10-05", hours=8, service="consulting"
    )
    do("approve_time", entries=[entry["id"]])
    async with psa() as opened:
        (first,), cursor = await read(opened.source, "time_entries")
        do("correct_time", entry=f"psa:{entry['id']}", hours="6.25")
        events, _ = await read(opened.source, "time_entries", cursor)
    last = events[-1]
    assert (last.kind, str(last.hours), last.entry) == ("time.approved", "6.25", first.entry)
    assert last.revision > first.revision, "even within the same second"


async def test_an_entry_handed_in_again_between_two_polls_has_lost_its_approval(
    psa: Psa, do: Act, clock: Clock, context: FakeContext, project: str, consultant: str
) -> None:
    """The cancelled submission is no longer the newest one of the entry: nothing else shows that it was."""
    entry = do(
        "log_time", workspace=project, user=consultant, date="2026-10-05", hours=8, service="consulting"
    )
    sheets = do("approve_time", entries=[entry["id"]])
    async with psa() as opened:
        assert opened.source is not None
        page = await opened.source.pull("time_entries", None)
        context.keep(page.links)
        clock.move(hours=1)
        do("cancel_time", entries=[entry["id"]])
        again = do("submit_time", entries=[entry["id"]])
        assert again != sheets, "handing in again makes a new submission"
        events, cursor = await read(opened.source, "time_entries", page.next)
        assert {event.kind for event in events} == {"time.unapproved"}
        clock.move(hours=1)
        do("approve_time", entries=[entry["id"]])
        events, _ = await read(opened.source, "time_entries", cursor)
    assert [event.kind for event in sorted(events, key=lambda event: event.revision)][-1] == "time.approved"
    assert max(event.revision for event in events) > page.events[0].fact_revision


async def test_an_expense_is_withdrawn_by_a_reject_and_by_a_cancel_and_comes_back_approved(
    psa: Psa, do: Act, clock: Clock, project: str, consultant: str
) -> None:
    expense = do(
        "add_expense",
        workspace=project,
        user=consultant,
        date="2026-10-05",
        category="Travel",
        amount_in_cents=12345,
        currency="EUR",
    )["id"]
    cursor = None
    told: list[tuple[str, int]] = []
    async with psa() as opened:
        for act, arguments in (
            ("approve_expenses", {"expenses": [expense]}),
            ("withdraw_expense", {"expense": expense}),
            ("approve_expenses", {"expenses": [expense]}),
            ("reject_expenses", {"expenses": [expense], "reason": "no receipt"}),
            ("approve_expenses", {"expenses": [expense]}),
        ):
            clock.move(minutes=30)
            do(act, **arguments)
            events, cursor = await read(opened.source, "expenses", cursor)
            newest = max(events, key=lambda event: event.revision)
            told.append((newest.kind, newest.revision))
    assert [kind for kind, _ in told] == [
        "expense.validated",
        "expense.withdrawn",
        "expense.validated",
        "expense.withdrawn",
        "expense.validated",
    ]
    assert [revision for _, revision in told] == sorted({revision for _, revision in told})


async def read_while_drafts_are_deleted(
    psa: Psa, do: Act, clock: Clock, project: str, consultant: str, stream: str
) -> tuple[set[str], set[str]]:
    """Forty records of one stamp, so pages are counted; after each page three that were read are deleted.

    Returns the keys told, and those that should have been.
    """
    own = {"workspace": project, "user": consultant, "date": "2026-10-05"}
    cost = {"category": "Travel", "amount_in_cents": 100, "currency": "EUR"}
    if stream == "time_entries":
        ids = [do("log_time", **own, hours=1, service="x")["id"] for _ in range(40)]
        approve, lines, delete, line = "approve_time", "entries", "delete_time", "entry"
    else:
        ids = [do("add_expense", **own, **cost)["id"] for _ in range(40)]
        approve, lines, delete, line = "approve_expenses", "expenses", "delete_expense", "expense"
    drafts, kept = ids[:10], ids[10:]
    do(approve, **{lines: kept})
    clock.move(hours=1)
    told: set[str] = set()
    cursor = None
    async with psa(page_size=8) as opened:
        assert opened.source is not None
        for _ in range(100):
            page = await opened.source.pull(stream, cursor)
            told |= {event.key for event in page.events}
            cursor = page.next
            for draft in drafts[:3]:
                do(delete, **{line: draft})
            del drafts[:3]
            if not page.more:
                return told, {f"psa:{id}" for id in kept}
    raise AssertionError("the stream has no end")


@pytest.mark.parametrize("stream", ["time_entries", "expenses"])
async def test_deletes_while_we_read_push_nothing_over_a_page_border(
    psa: Psa, do: Act, clock: Clock, project: str, consultant: str, stream: str
) -> None:
    told, kept = await read_while_drafts_are_deleted(psa, do, clock, project, consultant, stream)
    assert told == kept


async def test_without_stepping_back_the_same_reading_loses_some(
    psa: Psa, do: Act, clock: Clock, project: str, consultant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant beside the guarantee."""
    monkeypatch.setattr(Place, "whole", lambda place, ids: True)
    told, kept = await read_while_drafts_are_deleted(psa, do, clock, project, consultant, "time_entries")
    assert told < kept


async def test_facts_carry_our_keys_where_the_crosswalk_knows_them(
    psa: Psa, do: Act, context: FakeContext, project: str, consultant: str
) -> None:
    entry = do(
        "log_time", workspace=project, user=consultant, date="2026-10-05", hours=8, service="consulting"
    )
    do("approve_time", entries=[entry["id"]])
    async with psa() as opened:
        (unlinked,), _ = await read(opened.source, "time_entries")
        context.keep([Link(kind="project", key="crm:006", remote_id=project)])
        (linked,), _ = await read(opened.source, "time_entries")
    assert (unlinked.project, linked.project) == (f"psa:{project}", "crm:006")
    assert unlinked.id == linked.id


async def test_a_lost_crosswalk_is_made_good_by_the_keys_written_on_projects(
    psa: Psa, do: Act, simulator: KantataSimulator, project: str, consultant: str
) -> None:
    entry = do(
        "log_time", workspace=project, user=consultant, date="2026-10-05", hours=8, service="consulting"
    )
    do("approve_time", entries=[entry["id"]])
    own = {"service_name": "isthmus", "service_model": "Project", "service_model_ref": "crm:006"}
    simulator.books.refer("Workspace", project, own)
    async with psa() as opened:
        (event,), _ = await read(opened.source, "time_entries")
    assert event.project == "crm:006"


async def test_a_copy_of_a_project_does_not_take_its_key_over(
    psa: Psa, do: Act, simulator: KantataSimulator, context: FakeContext, project: str, consultant: str
) -> None:
    """Who copies a project in Kantata may copy its reference; the crosswalk says which one is meant."""
    copy = do("add_workspace", title="Apollo (copy)")["id"]
    own = {"service_name": "isthmus", "service_model": "Project", "service_model_ref": "crm:006"}
    for workspace in (project, copy):
        simulator.books.refer("Workspace", workspace, own)
    context.keep([Link(kind="project", key="crm:006", remote_id=project)])
    work = {"user": consultant, "date": "2026-10-05", "hours": 8, "service": "consulting"}
    ids = [do("log_time", workspace=workspace, **work)["id"] for workspace in (project, copy)]
    do("approve_time", entries=ids)
    async with psa() as opened:
        events, _ = await read(opened.source, "time_entries")
    assert {event.project for event in events} == {"crm:006", f"psa:{copy}"}


async def test_an_archived_project_still_tells_its_time(
    psa: Psa, do: Act, clock: Clock, project: str, consultant: str
) -> None:
    entry = do(
        "log_time", workspace=project, user=consultant, date="2026-10-05", hours=8, service="consulting"
    )
    do("approve_time", entries=[entry["id"]])
    do("archive_project", workspace=project)
    async with psa() as opened:
        events, _ = await read(opened.source, "time_entries")
    assert told(events) == [("time.approved", f"psa:{entry['id']}")]


async def test_one_unreadable_record_is_refused_and_its_neighbours_are_told(
    psa: Psa, do: Act, simulator: KantataSimulator, project: str, consultant: str
) -> None:
    ids = [
        do("log_time", workspace=project, user=consultant, date="2026-10-05", hours=h, service="consulting")[
            "id"
        ]
        for h in (1, 2, 3)
    ]
    do("approve_time", entries=ids)
    record = simulator.books.get("TimeEntry", ids[1])
    assert record is not None
    record.fields["role_id"] = None
    async with psa() as opened:
        assert opened.source is not None
        page = await opened.source.pull("time_entries", None)
    assert [event.key for event in page.events] == [f"psa:{ids[0]}", f"psa:{ids[2]}"]
    (refused,) = page.refused
    assert refused.place == f"/api/v1/time_entries/{ids[1]}"
    assert "role" in refused.reason
    assert "default_service" in refused.reason


async def test_a_change_younger_than_the_settling_time_waits_for_the_next_poll(
    psa: Psa, do: Act, clock: Clock, project: str, consultant: str
) -> None:
    entry = do(
        "log_time", workspace=project, user=consultant, date="2026-10-05", hours=8, service="consulting"
    )
    do("approve_time", entries=[entry["id"]])
    async with psa(settle_s=2.0) as opened:
        events, cursor = await read(opened.source, "time_entries")
        assert events == []
        clock.move(seconds=2)
        events, _ = await read(opened.source, "time_entries", cursor)
    assert told(events) == [("time.approved", f"psa:{entry['id']}")]


async def test_an_expense_is_validated_and_withdrawn(
    psa: Psa, do: Act, clock: Clock, project: str, consultant: str
) -> None:
    expense = do(
        "add_expense",
        workspace=project,
        user=consultant,
        date="2026-10-05",
        category="Travel",
        amount_in_cents=12345,
        currency="EUR",
    )
    async with psa() as opened:
        assert (await read(opened.source, "expenses"))[0] == []
        do("approve_expenses", expenses=[expense["id"]])
        (validated,), cursor = await read(opened.source, "expenses")
        assert (validated.kind, str(validated.amount)) == ("expense.validated", "123.45")
        clock.move(days=1)
        do("withdraw_expense", expense=expense["id"])
        (withdrawn,), _ = await read(opened.source, "expenses", cursor)
    assert (withdrawn.kind, withdrawn.revision > validated.revision) == ("expense.withdrawn", True)


async def test_a_milestone_keeps_the_key_that_isthmus_wrote_on_it_without_the_crosswalk(
    psa: Psa, do: Act, simulator: KantataSimulator, project: str
) -> None:
    story = do("add_milestone", workspace=project, title="Go live")
    simulator.books.refer(
        "Story",
        story["id"],
        {"service_name": "isthmus", "service_model": "Milestone", "service_model_ref": "crm:m1"},
    )
    do("complete_milestone", story="crm:m1")
    async with psa() as opened:
        events, _ = await read(opened.source, "milestones")
    assert told(events) == [("milestone.achieved", "crm:m1")]


async def test_a_milestone_that_turned_between_two_polls_tells_each_turn(
    psa: Psa, do: Act, project: str
) -> None:
    story = do("add_milestone", workspace=project, title="Go live")
    async with psa() as opened:
        _, cursor = await read(opened.source, "milestones")
        for act in ("complete_milestone", "reopen_milestone", "complete_milestone"):
            do(act, story=story["id"])
        events, _ = await read(opened.source, "milestones", cursor)
    assert [(event.kind, event.revision) for event in events] == [
        ("milestone.achieved", 1),
        ("milestone.reopened", 2),
        ("milestone.achieved", 3),
    ]


async def test_a_stage_is_told_when_a_person_changed_it(psa: Psa, do: Act, project: str) -> None:
    async with psa() as opened:
        events, cursor = await read(opened.source, "projects")
        assert events == [], "a project that was only created tells nothing"
        do("move_project", workspace=project, status="In Progress")
        do("move_project", workspace=project, status="on_hold")
        events, _ = await read(opened.source, "projects", cursor)
    assert [(event.previous, event.stage) for event in events] == [
        ("planned", "active"),
        ("active", "on_hold"),
    ]


async def test_a_person_is_told_once_and_again_when_something_about_him_changed(
    psa: Psa, simulator: KantataSimulator, do: Act, consultant: str
) -> None:
    async with psa() as opened:
        (first,), cursor = await read(opened.source, "users")
        assert (first.key, first.role, first.revision) == (f"psa:{consultant}", "consulting", 1)
        events, cursor = await read(opened.source, "users", cursor)
        assert events == []
        record = simulator.books.get("User", consultant)
        assert record is not None
        simulator.books.change(record, {"disabled": True})
        (changed,), _ = await read(opened.source, "users", cursor)
    assert (changed.status, changed.revision) == ("inactive", 2)


async def test_users_without_a_role_are_no_resources_unless_asked_for(psa: Psa, consultant: str) -> None:
    async with psa(people="all") as opened:
        events, _ = await read(opened.source, "users")
    assert {event.name for event in events} == {"Consultant One", "Integration"}


async def test_census_reads_back_what_is_approved(psa: Psa, do: Act, project: str, consultant: str) -> None:
    month = do("work_month", workspace=project, users=[consultant], month="2026-10", entries=5, seed=3)
    do("log_time", workspace=project, user=consultant, date="2026-10-06", hours=1, service="consulting")
    do("log_time", workspace=project, user=consultant, date="2026-11-02", hours=1, service="consulting")
    async with psa(page_size=2) as opened:
        assert opened.census is not None
        rows = [row async for row in opened.census.rows("time", date(2026, 10, 1), date(2026, 10, 31))]
    assert {row.remote_id for row in rows} == set(month["entries"])
    assert str(sum(row.quantity or 0 for row in rows)) == f"{float(month['hours']):.2f}"


async def test_a_wrong_token_is_fatal_and_is_tried_once(psa: Psa, simulator: KantataSimulator) -> None:
    simulator.faults.add([Fault(fault="delay", delay_s=0, times=99)])
    async with psa(token=Secret("revoked")) as opened:
        assert opened.source is not None
        with pytest.raises(Fatal, match="401"):
            await opened.source.pull("time_entries", None)
        assert opened.probe is not None
        (check,) = await opened.probe.checks()
    assert not check.ok
    assert "token" in check.remedy
    assert simulator.faults.faults[0].fired == 2, "one call of the source, one of the probe"


async def test_opening_does_not_need_the_peer(psa: Psa) -> None:
    async with psa(base_url="http://127.0.0.1:9/api/v1") as opened:
        assert opened.source is not None
        with pytest.raises(Retryable):
            await opened.source.pull("users", None)


async def test_a_probe_of_a_good_account_finds_nothing(psa: Psa) -> None:
    async with psa() as opened:
        assert opened.probe is not None
        checks = {check.name: check.ok for check in await opened.probe.checks()}
    del checks["clock"]  # the simulator lives in another month than its server's Date header
    assert checks == dict.fromkeys(
        ("login", "time approvals", "expense approvals", "references", "people", "allocations"), True
    )


async def test_census_reads_back_milestones_that_stand_completed(psa: Psa, do: Act, project: str) -> None:
    done, turned, planned = (do("add_milestone", workspace=project, title=title) for title in "ABC")
    for story in (done, turned):
        do("complete_milestone", story=story["id"])
    do("reopen_milestone", story=turned["id"])
    async with psa() as opened:
        assert opened.census is not None
        rows = [row async for row in opened.census.rows("milestone", date(2026, 10, 1), date(2026, 10, 31))]
    assert [(row.key, row.status) for row in rows] == [(f"psa:{done['id']}", "achieved")]
    assert planned["id"] not in {row.remote_id for row in rows}
