"""Certinia's work as facts: by the day, told once, taken back when it does not stand any more."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

import pytest

from isthmus.events import (
    AssignmentChanged,
    AssignmentEnded,
    BusinessEvent,
    ExpenseValidated,
    ExpenseWithdrawn,
    MilestoneAchieved,
    MilestoneReopened,
    ProjectStageChanged,
    ResourceChanged,
    TimeApproved,
    TimeUnapproved,
)
from isthmus.sdk import Opened, Source
from isthmus.sdk.testing import FakeContext, SourceContract, read_all
from isthmus_salesforce.certinia import source
from isthmus_salesforce.certinia.settings import CertiniaSettings
from isthmus_salesforce.simulator import Salesforce

Connect = Callable[..., AbstractAsyncContextManager[Opened]]
Act = Callable[..., dict[str, Any]]


class Clock(Protocol):
    def pass_s(self, seconds: float) -> None: ...


@pytest.fixture
def act(sim: Salesforce) -> Act:
    """Somebody does something in the org: ``act("approve_week", timecard)``."""

    def do(name: str, *arguments: Any, **named: Any) -> dict[str, Any]:
        done: dict[str, Any] = sim.acts()[name](*arguments, **named)
        return done

    return do


@pytest.fixture
def project(act: Act) -> str:
    """A project that isthmus made for a deal of the CRM."""
    return str(act("add_project", "Rollout", Isthmus_Key__c="crm:006A")["project"])


@pytest.fixture
def anna(act: Act) -> str:
    return str(act("add_resource", "Anna Weber", email="anna@acme.example", role="Consultant")["resource"])


@pytest.fixture
def log(act: Act, project: str, anna: str) -> Callable[..., dict[str, Any]]:
    """Logs a week of Anna's, Monday first; ``approved`` at once unless said otherwise."""

    def do(
        hours: list[float], monday: str = "2026-01-05", approved: bool = True, **named: Any
    ) -> dict[str, Any]:
        known = named.pop("assignment", None)
        assignment = known or act("assign", project, anna, "Senior Consultant", "2026-01-01", "2026-03-31")
        card = act("log_week", project, anna, monday, hours, assignment["assignment"], **named)
        return act("approve_week", card["timecard"]) if approved else card

    return do


class Reader:
    """Reads a stream on from where it stopped, and keeps the links, as the daemon does."""

    def __init__(self, source: Source, ctx: FakeContext, clock: Clock) -> None:
        self._source, self._ctx, self._clock = source, ctx, clock
        self._cursors: dict[str, bytes] = {}
        self.refused: list[str] = []

    async def __call__(self, stream: str) -> list[BusinessEvent]:
        self._clock.pass_s(61)
        events: list[BusinessEvent] = []
        while True:
            page = await self._source.pull(stream, self._cursors.get(stream))
            events.extend(page.events)
            self.refused += [refused.reason for refused in page.refused]
            self._ctx.keep(page.links)
            self._cursors[stream] = page.next
            if not page.more:
                return events


@pytest.fixture
def psa(connect: Connect) -> Connect:
    def open_one(**changes: Any) -> AbstractAsyncContextManager[Opened]:
        return connect(pack="certinia-psa", overlap_s=0, **changes)

    return open_one


@pytest.fixture
async def read(psa: Connect, ctx: FakeContext, clock: Clock) -> AsyncIterator[Reader]:
    async with psa() as opened:
        assert opened.source is not None
        yield Reader(opened.source, ctx, clock)


class TestDelivered(SourceContract):
    @pytest.fixture
    async def source(self, act: Act, project: str, anna: str, log: Any, clock: Clock, psa: Connect) -> Any:
        for n in range(5):
            log([8, 8, 8, 8, 4], approved=n % 2 == 0)
            expense = act("add_expense", project, anna, "Hotel", "2026-01-05", "99.50")["expense"]
            milestone = act("add_milestone", project, f"Step {n}", "2026-02-01")["milestone"]
            if n % 2:
                act("approve_expense", expense)
                act("approve_milestone", milestone, "2026-01-30")
            act("move_project", project, ("On Hold", "In Progress")[n % 2])
            clock.pass_s(1)
        clock.pass_s(2)
        async with psa(page_size=2) as opened:
            yield opened.source


def days(events: list[BusinessEvent]) -> list[tuple[str, str, str]]:
    """Kind, day and hours of facts about time."""
    told = []
    for event in events:
        assert isinstance(event, TimeApproved | TimeUnapproved)
        hours = str(event.hours) if isinstance(event, TimeApproved) else ""
        told.append((event.kind.removeprefix("time."), event.entry.rpartition("/")[2], hours))
    return told


# -- timecard splits ------------------------------------------------------------------------------------


async def test_each_day_of_a_split_is_an_entry_of_its_own(log: Any, anna: str, read: Reader) -> None:
    (split,) = log([8, 0, 7.25], notes="workshop")["splits"]
    first, second = await read("timecards")
    assert days([first, second]) == [
        ("approved", "2026-01-05", "8.00"),
        ("approved", "2026-01-07", "7.25"),
    ]
    assert isinstance(first, TimeApproved)
    assert (first.entry, first.project, first.resource) == (
        f"crm:{split}/2026-01-05",
        "crm:006A",
        f"crm:{anna}",
    )
    assert (first.service, first.billable, first.note) == ("senior_consultant", True, "workshop")


async def test_a_week_over_a_month_s_end_is_two_splits_and_no_day_is_told_twice(
    log: Any, read: Reader
) -> None:
    card = log([8, 8, 8, 8, 8, 1, 2], monday="2026-01-26")
    events = await read("timecards")
    assert len(card["splits"]) == 2
    assert [day for _, day, _ in days(events)] == [
        *("2026-01-26", "2026-01-27", "2026-01-28", "2026-01-29", "2026-01-30", "2026-01-31"),
        "2026-02-01",
    ]
    assert [event.key.partition("/")[0] for event in events] == [
        *[f"crm:{card['splits'][0]}"] * 6,
        f"crm:{card['splits'][1]}",
    ]


@pytest.mark.parametrize("status", ["Saved", "submit_week", "reject_week"])
async def test_time_that_is_not_approved_says_nothing(log: Any, act: Act, read: Reader, status: str) -> None:
    card = log([8, 8], approved=False)
    if status != "Saved":
        act(status, card["timecard"])
    assert await read("timecards") == []


async def test_an_approval_that_is_revoked_takes_back_what_was_told(log: Any, act: Act, read: Reader) -> None:
    card = log([8, 0, 6])
    told = await read("timecards")
    act("reject_week", card["timecard"])
    taken = await read("timecards")
    assert days(taken) == [("unapproved", "2026-01-05", ""), ("unapproved", "2026-01-07", "")]
    assert {event.key for event in taken} == {event.key for event in told}
    assert all(a.fact_revision > b.fact_revision for a, b in zip(taken, told, strict=True))
    act("approve_week", card["timecard"])
    assert days(await read("timecards")) == [
        ("approved", "2026-01-05", "8.00"),
        ("approved", "2026-01-07", "6.00"),
    ]


async def test_a_build_that_forgets_what_it_told_leaves_revoked_time_standing(
    log: Any, act: Act, read: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the test above."""

    async def never(self: object, kind: str, key: str) -> bool:
        return False

    monkeypatch.setattr(source.Delivered, "_was_told", never)
    card = log([8])
    await read("timecards")
    act("reject_week", card["timecard"])
    assert await read("timecards") == []


async def test_corrected_hours_are_a_new_revision_and_a_day_without_hours_is_taken_back(
    log: Any, act: Act, read: Reader
) -> None:
    card = log([8, 8, 8])
    await read("timecards")
    act("correct_week", card["timecard"], [8, 7.5, 0, 2])
    assert days(await read("timecards")) == [
        ("approved", "2026-01-05", "8.00"),
        ("approved", "2026-01-06", "7.50"),
        ("unapproved", "2026-01-07", ""),
        ("approved", "2026-01-08", "2.00"),
    ]


async def test_a_timecard_that_is_deleted_takes_its_days_with_it(log: Any, act: Act, read: Reader) -> None:
    card = log([8, 8])
    await read("timecards")
    act("delete_week", card["timecard"])
    taken = await read("timecards")
    assert [day for _, day, _ in days(taken)] == ["2026-01-05", "2026-01-06"]
    assert {getattr(event, "reason", None) for event in taken} == {"deleted in Certinia"}


async def test_what_others_write_on_a_split_changes_no_content(
    log: Any, act: Act, read: Reader, sim: Salesforce
) -> None:
    """Roll-ups and our own write-back touch it: the content stays, so billing moves nothing."""
    (split,) = log([8])["splits"]
    (before,) = await read("timecards")
    item = sim.org.object("pse__Timecard__c")
    sim.org.update(item, sim.org.require(item, split), {"pse__Invoiced__c": True})
    (after,) = await read("timecards")
    assert isinstance(before, TimeApproved) and isinstance(after, TimeApproved)
    assert after.revision > before.revision
    assert (after.hours, after.service, after.billable) == (before.hours, before.service, before.billable)


async def test_time_without_a_role_is_refused_unless_there_is_a_default(
    act: Act, project: str, anna: str, psa: Connect, ctx: FakeContext, clock: Clock
) -> None:
    card = act("log_week", project, anna, "2026-01-05", [8])
    act("approve_week", card["timecard"])
    for settings, told in (({}, 0), ({"default_service": "consulting"}, 1)):
        async with psa(certinia=certinia(**settings)) as opened:
            assert opened.source is not None
            read = Reader(opened.source, ctx, clock)
            assert len(await read("timecards")) == told
            assert [("default_service" in reason) for reason in read.refused] == [True] * (1 - told)


async def test_names_are_mapped_and_the_day_of_approval_may_be_the_org_s(
    log: Any, psa: Connect, ctx: FakeContext, clock: Clock
) -> None:
    log([8])
    settings = certinia(
        services={"Senior Consultant": "consulting_senior"},
        approved_on_field="pse__Timecard_Header__r.pse__End_Date__c",
    )
    async with psa(certinia=settings) as opened:
        assert opened.source is not None
        (event,) = await Reader(opened.source, ctx, clock)("timecards")
    assert isinstance(event, TimeApproved)
    assert (event.service, event.approved_on) == ("consulting_senior", date(2026, 1, 11))


async def test_500_splits_of_one_second_are_all_told_though_five_appear_behind_each_page(
    sim: Salesforce, log: Any, clock: Clock, connect: Connect
) -> None:
    split = sim.ledger.get("pse__Timecard__c", log([8])["splits"][0])
    assert split is not None
    item = sim.org.object("pse__Timecard__c")
    ids = [split.id, *(sim.org.put(item, dict(split.fields)).id for _ in range(499))]
    clock.pass_s(1)
    seen: list[str] = []
    async with connect(pack="certinia-psa", page_size=50, overlap_s=60) as opened:
        assert opened.source is not None
        cursor, more, pages = None, True, 0
        while more:
            page = await opened.source.pull("timecards", cursor)
            seen += [event.id for event in page.events]
            cursor, more, pages = page.next, page.more, pages + 1
            for _ in range(5):
                late = sim.org.put(item, dict(split.fields))
                late.fields["SystemModstamp"] = "2026-01-05T08:59:59.000+0000"
                ids.append(late.id)
        assert (pages, len(seen), len(set(seen))) == (11, 500, 500), "no page repeats a row"
        clock.pass_s(1)
        again, _ = await read_all(opened.source, "timecards", cursor)
    assert {id.split("/")[2] for id in {*seen, *(event.id for event in again)}} == {f"crm:{id}" for id in ids}
    assert len(ids) == 555


# -- the other streams ----------------------------------------------------------------------------------


async def test_expenses_are_told_when_approved_and_taken_back(
    act: Act, project: str, anna: str, read: Reader
) -> None:
    expense = act(
        "add_expense",
        *(project, anna, "Airfare", "2026-01-06", "412.30"),
        currency="USD",
        pse__Billable_Fee_Percentage__c=5,
    )["expense"]
    assert await read("expenses") == []
    act("approve_expense", expense)
    (told,) = await read("expenses")
    assert isinstance(told, ExpenseValidated)
    assert (told.expense, told.amount, told.currency) == (f"crm:{expense}", Decimal("412.30"), "USD")
    assert (told.category, told.markup_pct, told.project) == ("Airfare", Decimal(5), "crm:006A")
    act("withdraw_expense", expense)
    (taken,) = await read("expenses")
    assert isinstance(taken, ExpenseWithdrawn)
    assert taken.revision > told.revision


async def test_an_expense_may_be_told_in_the_billing_currency(
    act: Act, project: str, anna: str, psa: Connect, ctx: FakeContext, clock: Clock
) -> None:
    billing = {"pse__Billing_Currency__c": "EUR", "pse__Billing_Amount_Pre_Fee_Subtotal__c": "380.00"}
    expense = act("add_expense", project, anna, "Taxi", "2026-01-06", "412.30", currency="USD", **billing)
    act("approve_expense", expense["expense"])
    settings = certinia(expense_amount="billing", categories={"Taxi": "travel"})
    async with psa(certinia=settings) as opened:
        assert opened.source is not None
        (told,) = await Reader(opened.source, ctx, clock)("expenses")
    assert isinstance(told, ExpenseValidated)
    assert (told.amount, told.currency, told.category) == (Decimal("380.00"), "EUR", "travel")


async def test_milestones_are_achieved_and_opened_again_under_the_contract_s_key(
    act: Act, project: str, read: Reader, ctx: FakeContext
) -> None:
    milestone = act("add_milestone", project, "Go-live", "2026-02-01", Isthmus_Key__c="crm:a00L1")[
        "milestone"
    ]
    assert await read("milestones") == []
    assert await ctx.crosswalk.remote_id("milestone", "crm:a00L1") == milestone
    act("approve_milestone", milestone, "2026-01-30")
    (told,) = await read("milestones")
    assert isinstance(told, MilestoneAchieved)
    assert (told.milestone, told.project, told.achieved_on) == ("crm:a00L1", "crm:006A", date(2026, 1, 30))
    act("reopen_milestone", milestone)
    (taken,) = await read("milestones")
    assert isinstance(taken, MilestoneReopened)
    assert taken.revision > told.revision


async def test_assignments_have_the_hours_of_their_schedule(
    act: Act, project: str, anna: str, read: Reader
) -> None:
    planned = act("assign", project, anna, "Consultant", "2026-01-05", "2026-02-27", 6.5, "Tentative")
    (told,) = await read("assignments")
    assert isinstance(told, AssignmentChanged)
    assert (told.hours_per_day, told.tentative, told.service) == (Decimal("6.50"), True, "consultant")
    assert (told.starts_on, told.ends_on) == (date(2026, 1, 5), date(2026, 2, 27))
    act("reschedule", planned["assignment"], "2026-01-05", "2026-01-30", 8)
    (moved,) = await read("assignments")
    assert isinstance(moved, AssignmentChanged)
    assert (moved.ends_on, moved.hours_per_day) == (date(2026, 1, 30), Decimal("8.00"))
    assert moved.revision > told.revision
    act("close_assignment", planned["assignment"])
    (ended,) = await read("assignments")
    assert isinstance(ended, AssignmentEnded)
    assert ended.ended_on == date(2026, 1, 5), "closed before its last day"


async def test_an_assignment_that_was_never_told_does_not_end(
    act: Act, project: str, anna: str, read: Reader
) -> None:
    planned = act("assign", project, anna, "Consultant", "2026-01-05", "2026-02-27")
    act("close_assignment", planned["assignment"])
    assert await read("assignments") == []


async def test_stages_are_told_from_the_field_history(
    act: Act, project: str, read: Reader, clock: Clock
) -> None:
    for stage in ("On Hold", "In Progress", "Active", "Completed"):
        act("move_project", project, stage)
        clock.pass_s(1)
    events = await read("projects")
    assert all(isinstance(event, ProjectStageChanged) for event in events)
    moves = [(getattr(event, "previous", ""), getattr(event, "stage", "")) for event in events]
    assert moves == [("active", "on_hold"), ("on_hold", "active"), ("active", "completed")]
    assert {event.key for event in events} == {"crm:006A"}


async def test_a_stage_that_stands_for_nothing_is_refused_by_name(
    act: Act, project: str, read: Reader
) -> None:
    act("move_project", project, "Hypercare")
    assert await read("projects") == []
    (reason,) = read.refused
    assert "Hypercare" in reason and "certinia.stages" in reason


async def test_people_are_contacts_that_are_resources(act: Act, anna: str, read: Reader) -> None:
    act("add_account", "Acme")
    (told,) = await read("resources")
    assert isinstance(told, ResourceChanged)
    assert (told.resource, told.name, told.role, told.status) == (
        f"crm:{anna}",
        "Anna Weber",
        "Consultant",
        "active",
    )
    act("edit_resource", anna, pse__Is_Resource_Active__c=False)
    (left,) = await read("resources")
    assert isinstance(left, ResourceChanged)
    assert left.status == "inactive"


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        pytest.param({}, "crm:{project}", id="its id"),
        pytest.param({"crm": "sales", "projects_by": "opportunity"}, "sales:{deal}", id="its opportunity"),
    ],
)
async def test_a_project_without_our_key_is_named_by(
    settings: dict[str, Any],
    key: str,
    act: Act,
    win: Act,
    anna: str,
    psa: Connect,
    ctx: FakeContext,
    clock: Clock,
) -> None:
    deal = win()["opportunity"]
    project = act("add_project", "Rollout", pse__Opportunity__c=deal)["project"]
    expense = act("add_expense", project, anna, "Taxi", "2026-01-06", "10")["expense"]
    act("approve_expense", expense)
    async with psa(certinia=certinia(**settings)) as opened:
        assert opened.source is not None
        (told,) = await Reader(opened.source, ctx, clock)("expenses")
    assert isinstance(told, ExpenseValidated)
    assert told.project == key.format(project=project, deal=deal)


def certinia(**settings: Any) -> CertiniaSettings:
    return CertiniaSettings(**settings)
