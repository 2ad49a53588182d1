"""Reading an org: nothing is missed, nothing is doubled, nothing is read too early."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from isthmus.events import (
    BusinessEvent,
    ContractAmended,
    ContractEnded,
    ContractSigned,
    CustomerChanged,
    TimeAndMaterials,
)
from isthmus.sdk import Fatal, Opened, Page, Retryable, Source, Throttled
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext, SourceContract, read_all
from isthmus_salesforce import sweep
from isthmus_salesforce.rows import Row
from isthmus_salesforce.settings import SalesforceSettings
from isthmus_salesforce.simulator import Salesforce
from isthmus_salesforce.source import Sales

from .test_sink import paid

Win = Callable[..., dict[str, Any]]
Connect = Callable[..., AbstractAsyncContextManager[Opened]]
MakeSettings = Callable[..., SalesforceSettings]


class Clock(Protocol):
    def __call__(self) -> datetime: ...
    def pass_s(self, seconds: float) -> None: ...


def source_of(opened: Opened) -> Source:
    assert opened.source is not None
    return opened.source


def add_accounts(sim: Salesforce, count: int, name: str = "Customer") -> list[str]:
    """Accounts of one second; returns their ids."""
    return [sim.acts()["add_account"](name=f"{name} {n}")["account"] for n in range(count)]


def customers(events: list[BusinessEvent]) -> set[str]:
    return {event.customer for event in events if isinstance(event, CustomerChanged)}


class Amended:
    """A contract that is amended between the read of its row and the read of its lines."""

    def __init__(self, sim: Salesforce, contract: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 1
        lines = Sales._lines

        async def slow(source: Sales, contracts: Sequence[str]) -> dict[str, list[Row]]:
            if contract in contracts and self.left:
                self.left -= 1
                dearer = [{"Line__c": "T", "Model__c": "time_and_materials", "Default_Rate__c": 250}]
                sim.acts()["amend_contract"](contract, dearer, "2026-03-01", "more work")
            return await lines(source, contracts)

        monkeypatch.setattr(Sales, "_lines", slow)


async def rates_by_revision(source: Source, clock: Clock) -> dict[int, set[object]]:
    """What each revision of the contract was said to cost, over two sweeps."""
    rates: dict[int, set[object]] = {}
    cursor = None
    for _ in range(2):
        events, cursors = await read_all(source, "contracts", cursor)
        cursor = cursors[-1]
        clock.pass_s(5)
        for event in events:
            if isinstance(event, (ContractSigned, ContractAmended)):
                rates.setdefault(event.revision, set()).update(
                    line.default_rate for line in event.lines if isinstance(line, TimeAndMaterials)
                )
    return rates


@pytest.mark.parametrize("apart_s", [0.0, 3.0], ids=["in one second", "seconds later"])
async def test_a_contract_is_never_told_with_the_lines_of_another_revision(
    sim: Salesforce,
    win: Win,
    clock: Clock,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    apart_s: float,
) -> None:
    contract = win()["contract"]
    clock.pass_s(1 + apart_s)
    Amended(sim, contract, monkeypatch)
    async with connect(overlap_s=60) as opened:
        rates = await rates_by_revision(source_of(opened), clock)
    assert rates == {2: {250}}, "the first revision is gone, and was not told with the second one's lines"


async def test_a_build_that_does_not_look_twice_tells_the_wrong_lines(
    sim: Salesforce, win: Win, clock: Clock, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the test above."""

    async def trusting(source: Sales, contracts: Sequence[Row]) -> set[str]:
        return set()

    monkeypatch.setattr(Sales, "_changed", trusting)
    contract = win()["contract"]
    clock.pass_s(1)
    Amended(sim, contract, monkeypatch)
    async with connect(overlap_s=60) as opened:
        rates = await rates_by_revision(source_of(opened), clock)
    assert rates[1] == {250}


class TestSales(SourceContract):
    @pytest.fixture
    async def source(self, sim: Salesforce, win: Win, clock: Clock, connect: Connect) -> Any:
        for n in range(7):
            won = win(account=f"Customer {n % 3}", name=f"Deal {n}")
            clock.pass_s(n % 2)
            if n % 3 == 0:
                lines = [{"Line__c": "T", "Model__c": "time_and_materials", "Default_Rate__c": 100 + n}]
                sim.acts()["amend_contract"](won["contract"], lines, "2026-03-01", "more work")
        clock.pass_s(2)
        async with connect(page_size=2, overlap_s=3) as opened:
            yield opened.source


async def test_rows_of_one_second_are_all_read(sim: Salesforce, clock: Clock, connect: Connect) -> None:
    ids = add_accounts(sim, 10)
    clock.pass_s(1)
    async with connect(page_size=3) as opened:
        events, cursors = await read_all(source_of(opened), "accounts")
    assert customers(events) == {f"crm:{id}" for id in ids}
    assert len(cursors) == 4


async def test_a_build_that_forgets_ties_loses_rows(
    sim: Salesforce, clock: Clock, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the test above: it continues behind the last stamp, not behind the last row."""
    right = sweep.soql

    def wrong(*arguments: Any) -> str:
        return re.sub(r"\(\(.* OR (SystemModstamp > \S+)\)", r"\1", right(*arguments))

    monkeypatch.setattr(sweep, "soql", wrong)
    add_accounts(sim, 10)
    clock.pass_s(1)
    async with connect(page_size=3) as opened:
        events, _ = await read_all(source_of(opened), "accounts")
    assert len(customers(events)) < 10


@pytest.mark.parametrize(
    ("overlap_s", "seen"),
    [
        pytest.param(60, True, id="the overlap meets a row that became visible late"),
        pytest.param(0, False, id="without an overlap it would be lost"),
    ],
)
async def test_late_rows(
    sim: Salesforce, clock: Clock, connect: Connect, overlap_s: float, seen: bool
) -> None:
    add_accounts(sim, 1)
    clock.pass_s(30)
    async with connect(overlap_s=overlap_s) as opened:
        source = source_of(opened)
        _, cursors = await read_all(source, "accounts")
        (late,) = add_accounts(sim, 1, "Late")
        committed = sim.ledger.get("Account", late)
        assert committed is not None
        committed.fields["SystemModstamp"] = "2026-01-05T09:00:10.000+0000"
        clock.pass_s(30)
        events, _ = await read_all(source, "accounts", cursors[-1])
    assert (f"crm:{late}" in customers(events)) is seen


async def test_500_rows_of_one_second_and_five_more_behind_each_page_are_all_met(
    sim: Salesforce, clock: Clock, connect: Connect
) -> None:
    ids = add_accounts(sim, 500)
    clock.pass_s(1)
    first: list[str] = []
    async with connect(page_size=50) as opened:
        source, cursor, more = source_of(opened), None, True
        while more:
            page = await source.pull("accounts", cursor)
            first += [event.id for event in page.events]
            cursor, more = page.next, page.more
            for id in add_accounts(sim, 5, "Behind"):
                record = sim.ledger.get("Account", id)
                assert record is not None
                record.fields["SystemModstamp"] = "2026-01-05T08:59:59.000+0000"
                ids.append(id)
        events, _ = await read_all(source, "accounts", cursor)
    assert len(first) == len(set(first)) == 500, "no page repeats a row"
    assert len(ids) == 555
    assert {id.split("/")[2] for id in {*first, *(event.id for event in events)}} == {
        f"crm:{id}" for id in ids
    }


async def test_a_transaction_that_commits_late_is_met_by_the_overlap(
    sim: Salesforce, clock: Clock, connect: Connect
) -> None:
    add_accounts(sim, 1)
    sim.acts()["begin_transaction"]()
    (late,) = add_accounts(sim, 1, "Late")
    clock.pass_s(30)
    async with connect(overlap_s=60) as opened:
        before, cursors = await read_all(source_of(opened), "accounts")
        sim.acts()["commit_transaction"]()
        after, _ = await read_all(source_of(opened), "accounts", cursors[-1])
    assert f"crm:{late}" not in customers(before)
    assert f"crm:{late}" in customers(after)


async def test_a_second_is_read_only_when_it_is_over(sim: Salesforce, clock: Clock, connect: Connect) -> None:
    (id,) = add_accounts(sim, 1)
    async with connect() as opened:
        source = source_of(opened)
        assert (await source.pull("accounts", None)).events == []
        sim.acts()["edit_account"](id, Name="Renamed")
        clock.pass_s(1)
        (event,) = (await source.pull("accounts", None)).events
    assert isinstance(event, CustomerChanged)
    assert event.name == "Renamed"


async def test_nothing_younger_than_settle_s_is_read(sim: Salesforce, clock: Clock, connect: Connect) -> None:
    add_accounts(sim, 1)
    async with connect(settle_s=5) as opened:
        clock.pass_s(5)
        assert (await source_of(opened).pull("accounts", None)).events == []
        clock.pass_s(1)
        assert len((await source_of(opened).pull("accounts", None)).events) == 1


async def test_an_edit_is_a_new_revision_and_an_untouched_row_is_not(
    sim: Salesforce, clock: Clock, connect: Connect
) -> None:
    kept, edited = add_accounts(sim, 2)
    clock.pass_s(10)
    async with connect() as opened:
        source = source_of(opened)
        first, cursors = await read_all(source, "accounts")
        sim.acts()["edit_account"](edited, Name="Renamed")
        clock.pass_s(10)
        again, _ = await read_all(source, "accounts", cursors[-1])
    before, after = {event.key: event for event in first}, {event.key: event for event in again}
    assert before[f"crm:{kept}"].id == after[f"crm:{kept}"].id
    assert before[f"crm:{edited}"].fact_revision < after[f"crm:{edited}"].fact_revision


async def test_a_server_that_gives_fewer_rows_than_asked_for_is_read_to_the_end(
    sim: Salesforce, clock: Clock, connect: Connect
) -> None:
    ids = add_accounts(sim, 10)
    sim.acts()["limit_batches"](rows=3)
    clock.pass_s(1)
    async with connect(page_size=200) as opened:
        events, cursors = await read_all(source_of(opened), "accounts")
    assert customers(events) == {f"crm:{id}" for id in ids}
    assert len(cursors) > 1


async def test_all_lines_of_a_contract_come_however_small_the_batches(
    sim: Salesforce, win: Win, clock: Clock, connect: Connect
) -> None:
    rows = [
        {"Line__c": "M", "Model__c": "milestone", "Title__c": f"Step {n}", "Amount__c": n + 1}
        for n in range(8)
    ]
    win(lines=rows)
    sim.acts()["limit_batches"](rows=3)
    clock.pass_s(1)
    async with connect() as opened:
        (event,) = (await source_of(opened).pull("contracts", None)).events
    assert isinstance(event, ContractSigned)
    (line,) = event.lines
    assert [term.title for term in getattr(line, "milestones", [])] == [f"Step {n}" for n in range(8)]


async def test_a_dropped_locator_is_asked_for_once_more(
    sim: Salesforce, win: Win, clock: Clock, connect: Connect
) -> None:
    rows = [{"Line__c": "M", "Model__c": "milestone", "Title__c": f"S{n}", "Amount__c": 1} for n in range(4)]
    win(lines=rows)
    sim.acts()["limit_batches"](rows=3)
    clock.pass_s(1)
    dropped = [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]
    fault = Fault(
        fault="status", status=400, body=dropped, match=Match(path_prefix="/services/data/v64.0/query/01g")
    )
    async with connect() as opened:
        sim.faults.add([fault])
        assert len((await source_of(opened).pull("contracts", None)).events) == 1
        assert fault.fired == 1
        sim.faults.add([Fault(**{**fault_fields(fault), "times": 2, "fired": 0})])
        with pytest.raises(Retryable):
            await source_of(opened).pull("contracts", None)


def fault_fields(fault: Fault) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in fault.__struct_fields__}


async def test_an_amendment_keeps_the_key_of_a_milestone_that_stays(
    sim: Salesforce, win: Win, clock: Clock, connect: Connect, ctx: FakeContext
) -> None:
    stays = {"Line__c": "M", "Model__c": "milestone", "Title__c": "Go-live", "Amount__c": "20000"}
    goes = {"Line__c": "M", "Model__c": "milestone", "Title__c": "Report", "Amount__c": "1"}
    won = win(lines=[stays, goes])
    clock.pass_s(5)
    async with connect() as opened:
        page = await source_of(opened).pull("contracts", None)
        lines = [{**stays, "Amount__c": "25000"}]
        sim.acts()["amend_contract"](won["contract"], lines, "2026-03-01", "more scope")
        clock.pass_s(5)
        later = await source_of(opened).pull("contracts", page.next)
    (event,) = later.events
    assert isinstance(event, ContractAmended)
    assert (event.revision, event.reason) == (2, "more scope")
    (line,) = event.lines
    (term,) = getattr(line, "milestones", [])
    assert (term.milestone, str(term.amount)) == (f"crm:{won['lines'][0]['id']}", "25000.00")
    ctx.keep(later.links)
    assert await ctx.crosswalk.remote_id("project", f"crm:{won['opportunity']}") == won["opportunity"]
    assert await ctx.crosswalk.remote_id("milestone", term.milestone) == won["lines"][0]["id"]


async def test_a_terminated_contract_ends(sim: Salesforce, win: Win, clock: Clock, connect: Connect) -> None:
    won = win()
    sim.acts()["end_contract"](won["contract"], "2026-06-30")
    clock.pass_s(1)
    async with connect() as opened:
        (event,) = (await source_of(opened).pull("contracts", None)).events
    assert isinstance(event, ContractEnded)
    assert event.ended_on.isoformat() == "2026-06-30"


async def test_a_bad_record_is_refused_and_the_page_goes_on(
    sim: Salesforce, win: Win, clock: Clock, connect: Connect
) -> None:
    bad = win(name="Bad", time_zone="Atlantis")
    good = win(name="Good")
    clock.pass_s(1)
    async with connect() as opened:
        page = await source_of(opened).pull("contracts", None)
    assert [event.key for event in page.events] == [f"crm:{good['contract']}"]
    (refused,) = page.refused
    assert "Time_Zone__c" in refused.reason
    assert refused.place == f"/services/data/v64.0/sobjects/Contract/{bad['contract']}"


async def test_a_reopened_deal_with_an_active_contract_is_for_a_person(
    sim: Salesforce, win: Win, clock: Clock, connect: Connect
) -> None:
    won, other = win(), win(name="Draft only")
    sim.acts()["reopen_deal"](won["opportunity"])
    sim.acts()["reopen_deal"](other["opportunity"])
    sim.acts()["end_contract"](other["contract"], "2026-06-30")
    clock.pass_s(1)
    async with connect() as opened:
        page = await source_of(opened).pull("opportunities", None)
    assert page.events == []
    (refused,) = page.refused
    assert "IsWon" in refused.reason and won["opportunity"] in refused.place


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_deal_that_was_told_as_won_and_is_not_any_more_is_for_a_person(
    sim: Salesforce, clock: Clock, connect: Connect, ctx: FakeContext, deleted: bool
) -> None:
    """There is no contract yet that would hold it; the projects and plans made for it are real."""
    item = sim.org.object("Opportunity")
    account = sim.acts()["add_account"]("Acme")["account"]
    body = {"Name": "Deal", "AccountId": account, "CloseDate": "2026-01-05", "Amount": 10}
    deal = sim.org.create(item, {**body, "StageName": "Closed Won"})
    never = sim.org.create(item, {**body, "StageName": "Closed Lost"})
    clock.pass_s(1)
    async with connect(overlap_s=0) as opened:
        page = await source_of(opened).pull("opportunities", None)
        ctx.keep(page.links)
        assert [event.key for event in page.events] == [f"crm:{deal.id}"]
        if deleted:
            sim.org.delete(deal)
            sim.org.delete(never)
        else:
            sim.acts()["reopen_deal"](deal.id)
        clock.pass_s(1)
        later = await source_of(opened).pull("opportunities", page.next)
    assert later.events == []
    (refused,) = later.refused
    assert deal.id in refused.place
    assert ("IsDeleted" if deleted else "IsWon") in refused.reason
    assert "after it was told as won" in refused.reason


async def test_a_deal_whose_contract_was_ended_too_needs_nobody(
    sim: Salesforce, win: Win, clock: Clock, connect: Connect, ctx: FakeContext
) -> None:
    won = win()
    clock.pass_s(1)
    async with connect(overlap_s=0) as opened:
        page = await source_of(opened).pull("opportunities", None)
        ctx.keep(page.links)
        sim.acts()["end_contract"](won["contract"], "2026-06-30")
        sim.acts()["reopen_deal"](won["opportunity"])
        clock.pass_s(1)
        later = await source_of(opened).pull("opportunities", page.next)
    assert (later.events, later.refused) == ([], [])


async def test_a_deleted_account_is_seen(sim: Salesforce, clock: Clock, connect: Connect) -> None:
    (id,) = add_accounts(sim, 1)
    sim.acts()["delete_account"](id)
    clock.pass_s(1)
    async with connect() as opened:
        (event,) = (await source_of(opened).pull("accounts", None)).events
    assert isinstance(event, CustomerChanged)
    assert event.status == "inactive"


async def test_a_condition_of_the_settings_narrows_a_stream(
    sim: Salesforce, clock: Clock, connect: Connect
) -> None:
    add_accounts(sim, 2)
    sim.acts()["add_account"](name="Wanted", Type="Customer", Legal_Entity__c="fr")
    clock.pass_s(1)
    async with connect(where={"accounts": "Type = 'Customer' OR Type = 'Partner'"}) as opened:
        (event,) = (await source_of(opened).pull("accounts", None)).events
    assert isinstance(event, CustomerChanged)
    assert (event.name, event.entity) == ("Wanted", "fr")


async def test_fields_may_have_other_names_and_one_currency(
    sim: Salesforce, clock: Clock, connect: Connect
) -> None:
    sim.acts()["add_account"](name="Acme", Industry="fr-01")
    clock.pass_s(1)
    async with connect(names={"Legal_Entity__c": "Industry"}, currency="CHF") as opened:
        (event,) = (await source_of(opened).pull("accounts", None)).events
    assert isinstance(event, CustomerChanged)
    assert (event.entity, event.currency) == ("fr-01", "CHF")


async def test_a_field_the_org_does_not_have_stops_reading(
    sim: Salesforce, clock: Clock, connect: Connect
) -> None:
    async with connect(names={"Tax_Id__c": "Vat__c"}) as opened:
        with pytest.raises(Fatal, match=r"Account has no field Vat__c.*names"):
            await source_of(opened).pull("accounts", None)


async def test_changes_before_read_from_are_left_alone(
    sim: Salesforce, clock: Clock, connect: Connect
) -> None:
    add_accounts(sim, 1)
    clock.pass_s(86_400)
    (id,) = add_accounts(sim, 1)
    clock.pass_s(1)
    async with connect(read_from=datetime(2026, 1, 6, tzinfo=UTC).date()) as opened:
        events, _ = await read_all(source_of(opened), "accounts")
    assert customers(events) == {f"crm:{id}"}


async def test_reading_rests_before_the_calls_are_used_up_and_resumes(
    sim: Salesforce, clock: Clock, connect: Connect
) -> None:
    add_accounts(sim, 1)
    clock.pass_s(1)
    async with connect() as opened:
        page = await source_of(opened).pull("accounts", None)
        sim.acts()["use_up_calls"](used=12_100)
        await source_of(opened).pull("accounts", page.next)
        with pytest.raises(Throttled) as rest:
            await source_of(opened).pull("accounts", page.next)
        assert rest.value.retry_after_s == 7
        sim.acts()["use_up_calls"](used=100)
        assert isinstance(await source_of(opened).pull("accounts", page.next), Page)


@pytest.mark.parametrize(
    ("used", "begins", "goes_on"),
    [
        pytest.param(11_900, True, True, id="below 80 %: everything"),
        pytest.param(12_100, False, True, id="from 80 %: what has begun goes on"),
        pytest.param(13_600, False, False, id="from 90 %: the rest is for writing"),
    ],
)
async def test_the_budget_of_the_day(
    sim: Salesforce, clock: Clock, connect: Connect, used: int, begins: bool, goes_on: bool
) -> None:
    add_accounts(sim, 4)
    clock.pass_s(1)
    async with connect(page_size=2) as opened:
        source, sink = source_of(opened), opened.sink
        assert sink is not None
        under_way = await source.pull("accounts", None)
        assert under_way.more
        sim.acts()["use_up_calls"](used=used)
        await sink.deliver(paid())
        for cursor, may in ((None, begins), (under_way.next, goes_on)):
            with nullcontext() if may else pytest.raises(Throttled, match="reading rests"):
                await source.pull("accounts", cursor)
        await sink.deliver(paid())


async def test_a_cursor_of_something_else_is_not_guessed_at(connect: Connect) -> None:
    async with connect() as opened:
        with pytest.raises(Fatal, match="cursor"):
            await source_of(opened).pull("accounts", b"17")


NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("served_at", "reached"),
    [
        pytest.param(NOON + timedelta(seconds=30), NOON, id="a finished sweep counts to its end"),
        pytest.param(
            NOON - timedelta(hours=1), NOON - timedelta(hours=1), id="but not past the server's clock"
        ),
        pytest.param(NOON - timedelta(hours=9), NOON - timedelta(hours=2), id="and never back"),
        pytest.param(None, NOON, id="a server without a clock is believed"),
    ],
)
def test_how_far_a_sweep_counts(served_at: datetime | None, reached: datetime) -> None:
    under_way = sweep.Sweep(reached=NOON - timedelta(hours=2), until=NOON)
    after = sweep.after_page(under_way, None, more=False, served_at=served_at)
    assert after == sweep.Sweep(reached=reached)


async def test_links_of_the_server_to_another_host_are_refused(
    sim: Salesforce, win: Win, clock: Clock, connect: Connect
) -> None:
    win()
    clock.pass_s(1)
    away = {"totalSize": 9, "done": False, "nextRecordsUrl": "http://127.0.0.2:9/steal", "records": []}
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(connect())
        await source_of(opened).pull("accounts", None)
        sim.faults.add(
            [
                Fault(
                    fault="wrong_body",
                    body=away,
                    match=Match(path_prefix="/services/data/v64.0/query"),
                    skip=1,
                )
            ]
        )
        with pytest.raises(Fatal, match="leaves"):
            await source_of(opened).pull("contracts", None)


async def test_a_server_that_gives_one_page_for_ever_is_told_and_doubles_nothing(
    sim: Salesforce, clock: Clock, connect: Connect
) -> None:
    ids = add_accounts(sim, 8)
    clock.pass_s(1)
    query = Match(path_prefix="/services/data/v64.0/queryAll")
    async with connect(page_size=2) as opened:
        source, cursor, events = source_of(opened), None, list[BusinessEvent]()
        for _ in range(3):
            page = await source.pull("accounts", cursor)
            events, cursor = [*events, *page.events], page.next
        third = [sim.ledger.get("Account", id) for id in ids[4:6]]
        body = {"totalSize": 8, "done": True, "records": [record.fields for record in third if record]}
        sim.faults.add([Fault(fault="wrong_body", body=body, match=query, times=5)])
        for _ in range(5):
            with pytest.raises(Retryable, match="not where the query asked"):
                await source.pull("accounts", cursor)
        rest, _ = await read_all(source, "accounts", cursor)
    assert [event.key for event in (*events, *rest)] == [f"crm:{id}" for id in ids]


async def test_a_locator_that_leads_to_itself_is_told(
    sim: Salesforce, win: Win, clock: Clock, connect: Connect
) -> None:
    win()
    clock.pass_s(1)
    link = "/services/data/v64.0/query/01gLOOP-2000"
    loop = {"totalSize": 9, "done": False, "nextRecordsUrl": link, "records": []}
    async with connect() as opened:
        await source_of(opened).pull("contracts", None)
        lines = Fault(
            fault="wrong_body", body=loop, match=Match(path_prefix="/services/data/v64.0/query"), skip=1
        )
        onward = Fault(fault="wrong_body", body=loop, match=Match(path_prefix=link), times=50)
        sim.faults.add([onward, lines])
        with pytest.raises(Retryable, match="again and again"):
            await source_of(opened).pull("contracts", None)
    assert onward.fired < 5


@pytest.mark.parametrize(
    ("rows", "fine"),
    [
        pytest.param([(1, "A"), (1, "B"), (2, "A")], True, id="in order"),
        pytest.param([(1, "b"), (1, "A")], True, id="ids of one stamp in the server's own order"),
        pytest.param([(2, "A"), (1, "A")], False, id="a stamp that goes back"),
        pytest.param([(0, "X"), (1, "A")], False, id="the row it should lie behind"),
        pytest.param([(-1, "A")], False, id="a row before that"),
        pytest.param([(9, "A")], False, id="a row after the window"),
    ],
)
def test_a_page_must_lie_where_it_was_asked_for(rows: list[tuple[int, str]], fine: bool) -> None:
    here = sweep.Sweep(until=NOON + timedelta(seconds=9), at=NOON, id="X")
    places = [(NOON + timedelta(seconds=n), id) for n, id in rows]
    with nullcontext() if fine else pytest.raises(Retryable):
        sweep.check_order(places, here)
