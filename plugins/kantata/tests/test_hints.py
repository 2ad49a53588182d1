"""The event feed shortens the poll and is never the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from isthmus.sdk import Opened
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext, read_all
from isthmus_kantata.simulator import KantataSimulator

if TYPE_CHECKING:
    from plugins.kantata.tests.conftest import Act, Clock, Psa

STREAMS = ("users", "time_entries", "expenses", "milestones", "projects", "allocations")


class Calls:
    """Counts calls of a listing, by a fault that changes nothing."""

    def __init__(self, simulator: KantataSimulator, path: str) -> None:
        self._fault = Fault(
            fault="delay", delay_s=0, times=10_000, match=Match(path_prefix=f"/api/v1/{path}")
        )
        simulator.faults.add([self._fault])

    def __call__(self) -> int:
        count, self._fault.fired = self._fault.fired, 0
        return count


async def read(opened: Opened, stream: str, cursor: bytes | None = None) -> tuple[list[Any], bytes]:
    assert opened.source is not None
    events, cursors = await read_all(opened.source, stream, cursor)
    return events, cursors[-1]


@pytest.fixture
def entry(do: Act, project: str, consultant: str) -> str:
    made = do(
        "log_time", workspace=project, user=consultant, date="2026-10-05", hours=8, service="consulting"
    )
    do("approve_time", entries=[made["id"]])
    return str(made["id"])


async def test_without_news_nothing_is_read(
    psa: Psa, clock: Clock, simulator: KantataSimulator, entry: str
) -> None:
    listings = Calls(simulator, "time_entries")
    async with psa(hints=True) as opened:
        events, cursor = await read(opened, "time_entries")
        assert len(events) == 1
        assert listings() > 0
        for _ in range(5):
            clock.move(seconds=30)
            events, cursor = await read(opened, "time_entries", cursor)
            assert events == []
    assert listings() == 0


@pytest.mark.parametrize("stream", STREAMS)
async def test_a_stream_without_news_keeps_its_cursor(
    psa: Psa, clock: Clock, entry: str, stream: str
) -> None:
    async with psa(hints=True) as opened:
        _, cursor = await read(opened, stream)
        clock.move(seconds=30)
        assert await read(opened, stream, cursor) == ([], cursor)


async def test_news_are_read_at_once(psa: Psa, do: Act, clock: Clock, entry: str) -> None:
    async with psa(hints=True) as opened:
        _, cursor = await read(opened, "time_entries")
        clock.move(seconds=30)
        do("cancel_time", entries=[entry])
        events, _ = await read(opened, "time_entries", cursor)
    assert {event.kind for event in events} == {"time.unapproved"}


async def test_what_the_feed_does_not_tell_is_read_by_the_next_whole_pass(
    psa: Psa, do: Act, clock: Clock, simulator: KantataSimulator, entry: str
) -> None:
    """The feed forgets, comes late, and has holes."""
    async with psa(hints=True, full_pass_s=600) as opened:
        _, cursor = await read(opened, "time_entries")
        told = list(simulator.memory["feed"])
        clock.move(seconds=30)
        do("cancel_time", entries=[entry])
        simulator.memory["feed"] = told
        events, cursor = await read(opened, "time_entries", cursor)
        assert events == []
        clock.move(seconds=600)
        events, _ = await read(opened, "time_entries", cursor)
    assert {event.kind for event in events} == {"time.unapproved"}


async def test_what_was_too_young_is_read_without_another_event(
    psa: Psa, do: Act, clock: Clock, entry: str
) -> None:
    async with psa(hints=True, settle_s=10) as opened:
        clock.move(seconds=60)
        _, cursor = await read(opened, "time_entries")
        clock.move(seconds=60)
        do("cancel_time", entries=[entry])
        clock.move(seconds=2)
        events, cursor = await read(opened, "time_entries", cursor)
        assert events == []
        clock.move(seconds=20)
        events, _ = await read(opened, "time_entries", cursor)
    assert {event.kind for event in events} == {"time.unapproved"}


async def test_an_account_without_the_feed_is_read_whole(
    psa: Psa, do: Act, clock: Clock, simulator: KantataSimulator, entry: str
) -> None:
    do("switch_feed", on=False)
    listings = Calls(simulator, "time_entries")
    async with psa(hints=True) as opened:
        _, cursor = await read(opened, "time_entries")
        listings()
        clock.move(seconds=30)
        await read(opened, "time_entries", cursor)
        assert listings() > 0
        assert opened.probe is not None
        (feed,) = [check for check in await opened.probe.checks() if check.name == "event feed"]
    assert not feed.ok


async def test_a_feed_that_does_not_answer_is_no_reason_to_wait(
    psa: Psa, clock: Clock, simulator: KantataSimulator, entry: str
) -> None:
    async with psa(hints=True) as opened:
        _, cursor = await read(opened, "time_entries")
        listings = Calls(simulator, "time_entries")
        feed = Match(path_prefix="/api/v1/subscribed_events")
        simulator.faults.add([Fault(fault="status", status=502, match=feed)])
        clock.move(seconds=30)
        await read(opened, "time_entries", cursor)
    assert listings() > 0


async def approve_and_keep(opened: Opened, context: FakeContext, stream: str) -> int:
    """Read a stream as the daemon does, links and all; returns the revision told."""
    assert opened.source is not None
    page = await opened.source.pull(stream, None)
    context.keep(page.links)
    (event,) = page.events
    return event.fact_revision


async def test_a_deleted_entry_is_withdrawn_though_no_list_shows_it(
    psa: Psa, do: Act, clock: Clock, context: FakeContext, entry: str
) -> None:
    """Cancelled and deleted between two polls: nothing but the feed tells of it."""
    async with psa(hints=True) as opened:
        before = await approve_and_keep(opened, context, "time_entries")
        clock.move(minutes=1)
        do("cancel_time", entries=[entry])
        do("delete_time", entry=entry)
        assert (await read(opened, "time_entries"))[0] == []
        (gone,), cursor = await read(opened, "deletions")
        assert (gone.kind, gone.key, gone.reason) == (
            "time.unapproved",
            f"psa:{entry}",
            "deleted in Kantata",
        )
        assert gone.revision > before
        (again,), _ = await read(opened, "deletions", cursor)
    assert again.id == gone.id, "a look reaches back, and what it tells twice dies at intake"


async def test_a_deleted_expense_is_withdrawn(
    psa: Psa, do: Act, clock: Clock, context: FakeContext, project: str, consultant: str
) -> None:
    cost = {"date": "2026-10-05", "category": "Travel", "amount_in_cents": 100, "currency": "EUR"}
    expense = do("add_expense", workspace=project, user=consultant, **cost)["id"]
    do("approve_expenses", expenses=[expense])
    async with psa(hints=True) as opened:
        await approve_and_keep(opened, context, "expenses")
        clock.move(minutes=1)
        do("withdraw_expense", expense=expense)
        do("delete_expense", expense=expense)
        (gone,), _ = await read(opened, "deletions")
    assert (gone.kind, gone.key) == ("expense.withdrawn", f"psa:{expense}")


async def test_a_deletion_the_feed_only_claims_is_none(
    psa: Psa, simulator: KantataSimulator, context: FakeContext, entry: str
) -> None:
    """The feed is no truth: the entry is looked up, in archived projects too."""
    async with psa(hints=True) as opened:
        await approve_and_keep(opened, context, "time_entries")
        (event,) = [e for e in simulator.memory["feed"] if e["event_type"] == "time_entry:created"][:1]
        simulator.memory["feed"].append({**event, "id": "1", "event_type": "time_entry:deleted"})
        simulator.acts()["archive_project"](workspace=event["context_workspace_id"])
        assert (await read(opened, "deletions"))[0] == []


async def test_a_deletion_of_what_was_never_told_is_no_news(
    psa: Psa, do: Act, project: str, consultant: str
) -> None:
    draft = do("log_time", workspace=project, user=consultant, date="2026-10-05", hours=1, service="x")["id"]
    do("delete_time", entry=draft)
    async with psa(hints=True) as opened:
        assert (await read(opened, "deletions"))[0] == []


async def test_without_the_feed_no_deletion_is_looked_for(psa: Psa, simulator: KantataSimulator) -> None:
    calls = Calls(simulator, "")
    async with psa() as opened:
        assert (await read(opened, "deletions"))[0] == []
    assert calls() == 0


async def test_a_feed_that_tells_everything_twice_tells_nothing_new(
    psa: Psa, clock: Clock, simulator: KantataSimulator, entry: str
) -> None:
    types = [event["event_type"] for event in simulator.memory["feed"]]
    subjects = [
        (event["event_type"], event["subject_id"], event["created_at"]) for event in simulator.memory["feed"]
    ]
    assert len(subjects) > len(set(subjects)), "the simulated feed repeats itself"
    assert "timesheet_submission:updated" in types
    async with psa(hints=True) as opened:
        first, cursor = await read(opened, "time_entries")
        clock.move(seconds=30)
        again, _ = await read(opened, "time_entries", cursor)
    assert {event.id for event in again} <= {event.id for event in first}
