"""The promises that cost time: ties and late rows, memory, cancels, and a thousand lost answers."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from plugins.kantata.tests.conftest import Act, Clock, Psa

from isthmus.events import (
    BusinessEvent,
    ContractSigned,
    Milestones,
    MilestoneTerm,
    ProjectCreated,
    ProjectStageChanged,
    ScheduledInstallment,
    ScheduleRevised,
)
from isthmus.sdk import Delivery, Link, Opened, Receipt, Secret, Sink
from isthmus.sdk.testing import (
    CancelCase,
    CancelContract,
    FakeContext,
    LateCase,
    LateContract,
    LosingTransport,
    deliver_patiently,
    deliver_plainly,
    peak_of_reading,
)
from isthmus_kantata.connector import Kantata
from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.simulator import KantataSimulator

if TYPE_CHECKING:
    from isthmus.sdk import Page, Source

COMMON: dict[str, Any] = {
    "source": "crm",
    "entity": "main",
    "occurred_at": datetime(2026, 10, 1, 12, tzinfo=UTC),
}

# -- ties, and rows that show up late ---------------------------------------------------------------------


@pytest.fixture
def loose(do: Act) -> str:
    """A project whose time and expenses need no approval: a record is told by its own stamp alone."""
    return str(do("add_workspace", title="Gemini", require_approvals=False)["id"])


def maker(do: Act, stream: str, project: str, consultant: str) -> Callable[[int, float], list[str]]:
    """Makes records of a stream that show up now and bear an earlier stamp."""
    own = {"workspace": project, "user": consultant}
    acts: dict[str, tuple[str, dict[str, Any]]] = {
        "time_entries": ("log_time", {**own, "date": "2026-10-05", "hours": 1, "service": "consulting"}),
        "expenses": (
            "add_expense",
            {**own, "date": "2026-10-05", "category": "Travel", "amount_in_cents": 100, "currency": "EUR"},
        ),
        "allocations": (
            "add_allocation",
            {**own, "start": "2026-11-09", "end": "2026-11-13", "hours": 40},
        ),
    }
    act, arguments = acts[stream]
    do("add_allocation", **acts["allocations"][1])  # the resource is there before the first stamp is set back

    def make(count: int, late_s: float) -> list[str]:
        keys = []
        for _ in range(count):
            do("slow_down", behind_s=late_s, writes=1)
            keys.append(f"psa:{do(act, **arguments)['id']}")
        return keys

    return make


class TestLate(LateContract):
    """Each stream that walks by stamps or counts records, in pages of five."""

    @pytest.fixture(params=["time_entries", "expenses", "allocations"])
    async def late_case(
        self, request: pytest.FixtureRequest, psa: Psa, do: Act, clock: Clock, loose: str, consultant: str
    ) -> AsyncIterator[LateCase]:
        async with psa(page_size=5, overlap_s=600, settle_s=2) as opened:
            assert opened.source is not None
            yield LateCase(
                source=opened.source,
                stream=request.param,
                add=maker(do, request.param, loose, consultant),
                advance=lambda seconds: clock.move(seconds=seconds),
                ties=6,
            )


async def read_with(
    source: Source, stream: str, cursor: bytes | None, each: Callable[[Page], None]
) -> tuple[list[str], bytes]:
    """The ids told by one pass, and the cursor behind it."""
    ids: list[str] = []
    while True:
        page = await source.pull(stream, cursor)
        ids += [event.id for event in page.events]
        cursor = page.next
        each(page)
        if not page.more:
            return ids, cursor


@pytest.mark.parametrize("stream", ["time_entries", "expenses"])
async def test_five_hundred_rows_of_one_stamp_and_five_behind_the_cursor_after_each_page(
    psa: Psa, do: Act, clock: Clock, loose: str, consultant: str, stream: str
) -> None:
    make = maker(do, stream, loose, consultant)
    made = make(500, 0)
    clock.move(seconds=10)
    rounds: list[Page] = []

    def behind(page: Page) -> None:
        if len(rounds) < 20:
            rounds.append(page)
            made.extend(make(5, 15))

    async with psa(page_size=50, overlap_s=600, settle_s=2) as opened:
        assert opened.source is not None
        first, cursor = await read_with(opened.source, stream, None, behind)
        clock.move(seconds=10)
        rest, _ = await read_with(opened.source, stream, cursor, lambda page: None)
    told = {*first, *rest}
    assert len(rounds) > 8
    assert {id.split("/")[2] for id in told} == set(made)
    assert len(told) == len(made), "each under one id, so the second telling dies at intake"


async def test_without_the_overlap_the_same_rows_would_be_lost(
    psa: Psa, do: Act, clock: Clock, loose: str, consultant: str
) -> None:
    """The mutant beside the guarantee."""
    make = maker(do, "time_entries", loose, consultant)
    made = make(20, 0)
    clock.move(seconds=10)
    async with psa(page_size=5, overlap_s=0, settle_s=0) as opened:
        assert opened.source is not None
        first, cursor = await read_with(opened.source, "time_entries", None, lambda page: None)
        made += make(5, 15)
        rest, _ = await read_with(opened.source, "time_entries", cursor, lambda page: None)
    assert {id.split("/")[2] for id in {*first, *rest}} != set(made)


# -- memory -----------------------------------------------------------------------------------------------

BEGAN = datetime(2026, 1, 5, 8, tzinfo=UTC)
APART = timedelta(seconds=20)
LATER = BEGAN + timedelta(days=300)
NO_APPROVALS = ("require_time_approvals", "require_expense_approvals")


class Generated(httpx.AsyncBaseTransport):
    """A peer that keeps nothing: record number n is made when it is asked for, and changed n x 20 s ago."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        gc.collect()  # what only waits to be collected is not held
        collection = request.url.path.rsplit("/", 1)[1]
        params = request.url.params
        if "only" in params:
            numbers: Iterable[int] = [int(id) for id in params["only"].split(",")]
            count = len(list(numbers))
        else:
            first = 0
            if "updated_after" in params:
                first = (datetime.fromisoformat(params["updated_after"]) - BEGAN) // APART + 1
            first, count = max(0, first), self._count - max(0, first)
            start = first + int(params["offset"])
            numbers = range(start, min(start + int(params["limit"]), self._count))
        rows = {str(n): self._row(collection, n) for n in numbers}
        body = {
            "count": count,
            "results": [{"key": collection, "id": id} for id in rows],
            collection: rows,
            "workspaces": {
                "41": {"id": "41", "require_time_approvals": False, "require_expense_approvals": False}
            },
            "roles": {"3": {"id": "3", "name": "consulting"}},
        }
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(body).encode()))

    def _row(self, collection: str, number: int) -> dict[str, Any]:
        stamp = (BEGAN + number * APART).isoformat()
        return {
            "id": str(number),
            "created_at": stamp,
            "updated_at": stamp,
            "workspace_id": "41",
            "user_id": "9",
            "role_id": "3",
            "role_name": "consulting",
            "date_performed": "2026-10-05",
            "time_in_minutes": 60,
            "date": "2026-10-05",
            "category": "Travel",
            "amount_in_cents": 100,
            "currency": "EUR",
            "start_date": "2026-11-09",
            "end_date": "2026-11-13",
            "minutes": 2400,
            "hard": True,
            "workspace_resource_id": str(number % 40),
            "notes": "on site " * 20,
        }


@pytest.mark.parametrize("stream", ["time_entries", "expenses"])
async def test_ten_times_the_records_take_no_more_memory(stream: str) -> None:
    peaks: dict[int, int] = {}
    gc.freeze()
    for count in (1_000, 10_000):
        context = FakeContext("psa", now=lambda: LATER, transport=Generated(count))
        context.keep([Link(kind="project", key="crm:006", remote_id="41")])
        settings = KantataSettings(token=Secret("t"), base_url="http://psa.test/api/v1")
        async with Kantata().open(settings, context) as opened:
            assert opened.source is not None
            await opened.source.pull(stream, None)  # what is imported or cached once is not counted
            read, peaks[count] = await peak_of_reading(opened.source, stream)
        assert count <= read < 1.01 * count, "pages overlap by a record"
    gc.unfreeze()
    assert peaks[10_000] < 1.5 * peaks[1_000]


# -- cancels ----------------------------------------------------------------------------------------------

MOVED = ProjectStageChanged(
    **COMMON, project="crm:006", stage="on_hold", previous="active", changed_on=date(2026, 11, 2)
)


def _pull(stream: str) -> Callable[[Opened], Awaitable[object]]:
    async def work(opened: Opened) -> object:
        assert opened.source is not None
        return await opened.source.pull(stream, None)

    return work


async def _move(opened: Opened) -> object:
    assert opened.sink is not None
    return await opened.sink.deliver(Delivery(key="k", lane="psa", event=MOVED))


class TestCancels(CancelContract):
    @pytest.fixture(
        params=[
            pytest.param(_pull("allocations"), id="reading bookings"),
            pytest.param(_pull("projects"), id="reading projects"),
            pytest.param(_move, id="a write"),
        ]
    )
    def cancel_case(
        self,
        request: pytest.FixtureRequest,
        psa: Psa,
        do: Act,
        context: FakeContext,
        project: str,
        consultant: str,
    ) -> CancelCase:
        do(
            "add_allocation",
            workspace=project,
            user=consultant,
            start="2026-11-09",
            end="2026-11-13",
            hours=40,
        )
        context.keep([Link(kind="project", key="crm:006", remote_id=project)])
        return CancelCase(open=lambda: psa(hints=True), work=request.param)


# -- lost answers -----------------------------------------------------------------------------------------

LATEST_S = 175.0
"""The latest commit after an answer was lost; Kantata gives up after 180 s."""


def create_key(request: httpx.Request) -> str | None:
    if request.method != "POST":
        return None
    (fields,) = json.loads(request.content).values()
    return json.dumps(fields["external_reference"]["service_model_ref"])


def projects(count: int) -> list[BusinessEvent]:
    return [
        ProjectCreated(**COMMON, project=f"crm:p{n}", customer="crm:c", name=f"Project {n}", stage="active")
        for n in range(count)
    ]


def contracts(count: int) -> list[BusinessEvent]:
    return [
        ContractSigned(
            **COMMON,
            contract=f"crm:k{n}",
            customer="crm:c",
            project=f"crm:site{n % 20}",
            title="Statement of work",
            currency="EUR",
            signed_on=date(2026, 10, 1),
            starts_on=date(2026, 10, 1),
            time_zone="Europe/Berlin",
            revision=1,
            lines=[
                Milestones(
                    line="M",
                    milestones=[
                        MilestoneTerm(milestone=f"crm:m{n}", title=f"Go live {n}", amount=Decimal(1))
                    ],
                )
            ],
        )
        for n in range(count)
    ]


def schedules(count: int) -> list[BusinessEvent]:
    return [
        ScheduleRevised(
            **COMMON,
            contract=f"crm:k{n}",
            project=f"crm:site{n % 20}",
            currency="EUR",
            revision=1,
            installments=[
                ScheduledInstallment(
                    key=f"crm:i{n}", due_on=date(2026, 10, 31), amount=Decimal(1), state="planned", line="F"
                )
            ],
        )
        for n in range(count)
    ]


async def lose_answers(
    events: list[BusinessEvent],
    kinds: Sequence[str],
    deliver: Callable[[Sink, Delivery], Awaitable[Receipt | None]],
) -> tuple[int, int, int]:
    """Deliver all with their first answers lost; returns how many were lost, missing, and made twice."""
    simulator = KantataSimulator(now=Clock())
    wrong: list[str] = []
    async with trio.open_nursery() as late:
        peer = httpx.ASGITransport(simulator.app())
        transport = LosingTransport(peer, late, latest_s=LATEST_S, key_of=create_key)
        context = FakeContext("psa", now=Clock(), transport=transport)
        for n in range(20):
            workspace = simulator.acts()["add_workspace"](title=f"Site {n}")["id"]
            context.keep([Link(kind="project", key=f"crm:site{n}", remote_id=workspace)])
        settings = KantataSettings(
            token=Secret(simulator.credentials()["token"]),
            base_url="http://psa.test/api/v1",
            billing_milestones=True,
            concurrency=16,
        )
        async with Kantata().open(settings, context) as opened, trio.open_nursery() as nursery:
            assert opened.sink is not None
            sink = opened.sink

            async def one(event: BusinessEvent) -> None:
                receipt = await deliver(sink, Delivery(key=event.id, lane="psa", event=event))
                if receipt is not None and not any(simulator.ledger.get(k, receipt.remote_id) for k in kinds):
                    wrong.append(receipt.remote_id)

            for event in events:
                nursery.start_soon(one, event)
    made: dict[str, int] = {}
    for record in simulator.ledger.all():
        if record.kind in kinds and record.external_key is not None:
            made[record.external_key] = made.get(record.external_key, 0) + 1
    assert wrong == [], "every receipt names a record"
    return transport.lost, len(events) - len(made), sum(n - 1 for n in made.values())


KINDS = ("Workspace", "Story", "BillingMilestone")


async def test_of_a_thousand_lost_answers_none_is_made_twice(autojump_clock: object) -> None:
    events = [*projects(400), *contracts(300), *schedules(300)]
    lost, missing, doubled = await lose_answers(events, KINDS, deliver_patiently)
    assert (missing, doubled) == (0, 0)
    assert lost >= 1_000


async def test_a_plain_retry_would_make_many_twice(autojump_clock: object) -> None:
    """The mutant beside the guarantee: the look-up before a create sees only what is committed already."""
    _, missing, doubled = await lose_answers(projects(200), KINDS, deliver_plainly)
    assert missing == 0
    assert doubled > 50
