"""The promises that cost time: ties and late rows, memory, cancels, and a thousand lost answers."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from isthmus.events import (
    BusinessEvent,
    CustomerChanged,
    ProjectCreated,
    ProjectStageChanged,
    ResourceChanged,
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
from isthmus_runn.connector import Runn
from isthmus_runn.settings import RunnSettings
from isthmus_runn.simulator import RunnSimulator

if TYPE_CHECKING:
    from plugins.runn.tests.conftest import Clock, OpenRunn

    from isthmus.sdk import Page, Source

NOW = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)
COMMON: dict[str, Any] = {"source": "crm", "entity": "acme-de", "occurred_at": NOW}

# -- ties, and rows that show up late ---------------------------------------------------------------------


@pytest.fixture
def make(runn: RunnSimulator, clock: Clock) -> Callable[[int, float], list[str]]:
    """Makes bookings that show up now and bear an earlier stamp; the time stands still meanwhile."""
    runn.add_client("Acme")
    runn.add_project("Rollout", "Acme", confirmed=True)
    runn.add_person("Rosa Meier", "Consultant", "rosa@example.com")
    clock.step = timedelta(0)

    def made(count: int, late_s: float) -> list[str]:
        keys = []
        for _ in range(count):
            runn.slow_down(late_s)
            (booked,) = runn.assign("Rosa Meier", "Rollout", "2026-10-12", "2026-10-16", 480)
            keys.append(f"planner:{booked['id']}")
        return keys

    return made


class TestLate(LateContract):
    @pytest.fixture
    async def late_case(
        self, open_runn: OpenRunn, clock: Clock, make: Callable[[int, float], list[str]]
    ) -> AsyncIterator[LateCase]:
        def advance(seconds: float) -> None:
            clock.time += timedelta(seconds=seconds)

        async with open_runn(page_size=5, overlap_s=120) as opened:
            assert opened.source is not None
            yield LateCase(source=opened.source, stream="assignments", add=make, advance=advance, ties=6)


async def read_with(
    source: Source, cursor: bytes | None, each: Callable[[Page], None]
) -> tuple[list[str], bytes]:
    """The ids told by one sweep, and the cursor behind it."""
    ids: list[str] = []
    while True:
        page = await source.pull("assignments", cursor)
        ids += [event.id for event in page.events]
        cursor = page.next
        each(page)
        if not page.more:
            return ids, cursor


async def test_five_hundred_rows_of_one_stamp_and_five_behind_the_cursor_after_each_page(
    open_runn: OpenRunn, clock: Clock, make: Callable[[int, float], list[str]]
) -> None:
    made = make(500, 0)
    clock.time += timedelta(seconds=10)
    rounds: list[Page] = []

    def behind(page: Page) -> None:
        if len(rounds) < 20:
            rounds.append(page)
            made.extend(make(5, 15))

    async with open_runn(page_size=50, overlap_s=120) as opened:
        assert opened.source is not None
        first, cursor = await read_with(opened.source, None, behind)
        rest, _ = await read_with(opened.source, cursor, lambda page: None)
    told = {*first, *rest}
    assert len(rounds) >= 10
    assert {id.split("/")[2] for id in told} == set(made)
    assert len(told) == len(made), "each under one id, so the second telling dies at intake"


# -- memory -----------------------------------------------------------------------------------------------


class Generated(httpx.AsyncBaseTransport):
    """A peer that keeps nothing: booking number n is made when it is asked for."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        gc.collect()  # what only waits to be collected is not held
        params = request.url.params
        match request.url.path.strip("/").split("/"):
            case ["assignments"]:
                start, limit = int(params.get("cursor", 0)), int(params["limit"])
                stop = min(start + limit, self._count)
                following = str(stop) if stop < self._count else None
                body: Any = {"values": [_booking(n) for n in range(start, stop)], "nextCursor": following}
            case ["projects"]:
                stamp = NOW.isoformat()
                site = {"id": 7, "isConfirmed": True, "references": [], "updatedAt": stamp}
                body = {"values": [site], "nextCursor": None}
            case ["roles"]:
                body = {"values": [{"id": 3, "name": "Consultant"}], "nextCursor": None}
            case _:
                body = {"id": 9, "references": []}
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(body).encode()))


def _booking(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "personId": 9,
        "projectId": 7,
        "roleId": 3,
        "startDate": "2026-10-12",
        "endDate": "2026-10-16",
        "minutesPerDay": 480,
        "note": "on site " * 20,
        "isPlaceholder": False,
        "isTemplate": False,
        "updatedAt": (NOW + timedelta(seconds=number)).isoformat(),
    }


async def test_ten_times_the_bookings_take_no_more_memory() -> None:
    peaks: dict[int, int] = {}
    gc.freeze()
    for count in (1_000, 10_000):
        context = FakeContext("planner", now=lambda: NOW, transport=Generated(count))
        settings = RunnSettings(token=Secret("t"), base_url="http://runn.test")
        async with Runn().open(settings, context) as opened:
            assert opened.source is not None
            await opened.source.pull("assignments", None)  # what is imported or cached once is not counted
            read, peaks[count] = await peak_of_reading(opened.source, "assignments")
        assert read == count
    gc.unfreeze()
    assert peaks[10_000] < 1.5 * peaks[1_000]


# -- cancels ----------------------------------------------------------------------------------------------

STAGE = ProjectStageChanged(
    **COMMON, project="crm:p", stage="on_hold", previous="active", changed_on=date(2026, 10, 5)
)


async def _pull(opened: Opened) -> object:
    assert opened.source is not None
    return await opened.source.pull("assignments", None)


async def _check(opened: Opened) -> object:
    assert opened.probe is not None
    return await opened.probe.checks()


async def _move(opened: Opened) -> object:
    assert opened.sink is not None
    return await opened.sink.deliver(Delivery(key="k", lane="planner", event=STAGE))


class TestCancels(CancelContract):
    @pytest.fixture(
        params=[
            pytest.param(_pull, id="reading"),
            pytest.param(_check, id="the probe"),
            pytest.param(_move, id="a write"),
        ]
    )
    def cancel_case(
        self,
        request: pytest.FixtureRequest,
        runn: RunnSimulator,
        open_runn: OpenRunn,
        ctx: FakeContext,
        make: Callable[[int, float], list[str]],
    ) -> CancelCase:
        make(1, 0)
        (project,) = runn.ledger.of_kind("project")
        ctx.keep([Link(kind="project", key="crm:p", remote_id=project.id)])
        return CancelCase(open=open_runn, work=request.param)


# -- lost answers -----------------------------------------------------------------------------------------

LATEST_S = 55.0
"""The latest commit after an answer was lost; the connector declares 60 s."""


def create_key(request: httpx.Request) -> str | None:
    if request.method != "POST":
        return None
    return str(json.loads(request.content)["references"][0]["externalId"])


def customers(count: int) -> list[BusinessEvent]:
    return [
        CustomerChanged(**COMMON, customer=f"crm:c{n}", name=f"Client {n}", currency="EUR")
        for n in range(count)
    ]


def projects(count: int) -> list[BusinessEvent]:
    return [
        ProjectCreated(**COMMON, project=f"crm:p{n}", customer="crm:own", name=f"Project {n}", stage="active")
        for n in range(count)
    ]


def people(count: int) -> list[BusinessEvent]:
    return [
        ResourceChanged(
            **COMMON,
            resource=f"psa:r{n}",
            name=f"Rosa {n}",
            email=None,
            role="Consultant",
            capacity_hours_week=Decimal(40),
            status="active",
        )
        for n in range(count)
    ]


KINDS = ("client", "project", "person")


async def lose_answers(
    events: list[BusinessEvent], deliver: Callable[[Sink, Delivery], Awaitable[Receipt | None]]
) -> tuple[int, int, int]:
    """Deliver all with their first answers lost; returns how many were lost, missing, and made twice."""
    simulator = RunnSimulator(now=lambda: NOW)
    simulator.set_rate_limit(1_000_000)
    wrong: list[str] = []
    async with trio.open_nursery() as late:
        peer = httpx.ASGITransport(simulator.app())
        transport = LosingTransport(peer, late, latest_s=LATEST_S, key_of=create_key)
        context = FakeContext("planner", now=lambda: NOW, transport=transport)
        own = simulator.add_client("Own")
        context.keep([Link(kind="customer", key="crm:own", remote_id=str(own["id"]))])
        token = Secret(simulator.credentials()["token"])
        settings = RunnSettings(token=token, base_url="http://runn.test")
        async with Runn().open(settings, context) as opened, trio.open_nursery() as nursery:
            assert opened.sink is not None
            sink = opened.sink

            async def one(event: BusinessEvent) -> None:
                receipt = await deliver(sink, Delivery(key=event.id, lane="planner", event=event))
                if receipt is not None and not any(simulator.ledger.get(k, receipt.remote_id) for k in KINDS):
                    wrong.append(receipt.remote_id)

            for event in events:
                nursery.start_soon(one, event)
    made: dict[str, int] = {}
    for record in simulator.ledger.all():
        if record.kind in KINDS and record.external_key is not None:
            made[record.external_key] = made.get(record.external_key, 0) + 1
    assert wrong == [], "every receipt names a record"
    return transport.lost, len(events) - len(made), sum(n - 1 for n in made.values())


async def test_of_a_thousand_lost_answers_none_is_made_twice(autojump_clock: object) -> None:
    lost, missing, doubled = await lose_answers(
        [*customers(150), *projects(425), *people(425)], deliver_patiently
    )
    assert (missing, doubled) == (0, 0)
    assert lost >= 1_000


async def test_a_plain_retry_would_make_many_twice(autojump_clock: object) -> None:
    """The mutant beside the guarantee: the look-up before a create sees only what is committed already."""
    _, missing, doubled = await lose_answers(projects(200), deliver_plainly)
    assert missing == 0
    assert doubled > 50
