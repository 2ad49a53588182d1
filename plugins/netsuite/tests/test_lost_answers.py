"""A thousand lost answers: the peer did it, did it later, or never heard of it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
import trio

from isthmus.events import ChargeDetermined
from isthmus.sdk import Delivery, Link, Receipt, Secret, Sink
from isthmus.sdk.testing import FakeContext, LosingTransport, deliver_patiently, deliver_plainly
from isthmus_netsuite.connector import NetSuite
from isthmus_netsuite.settings import NetSuiteSettings
from isthmus_netsuite.simulator import NetSuiteSimulator

MakeCharge = Callable[..., ChargeDetermined]
Deliver = Callable[[Sink, list[Delivery]], Awaitable[None]]
NOW = datetime(2026, 10, 20, 17, tzinfo=UTC)
LATEST_S = 50.0
"""The latest commit after an answer was lost; the connector is told 60 s."""


def write_key(request: httpx.Request) -> str | None:
    if request.method not in ("POST", "PUT") or "/record/" not in request.url.path:
        return None
    return f"{request.url} {request.content!r}"


async def by_class(sink: Sink, deliveries: list[Delivery]) -> None:
    """As the daemon delivers: class A again at once; class B after it waited and looked."""
    for delivery in deliveries:
        await deliver_patiently(sink, delivery)


async def together(sink: Sink, deliveries: list[Delivery]) -> None:
    """In batches, until each has its receipt."""
    while deliveries:
        outcomes = await sink.deliver_many(deliveries)
        done = {d.key for d, one in zip(deliveries, outcomes, strict=True) if isinstance(one, Receipt)}
        deliveries = [delivery for delivery in deliveries if delivery.key not in done]


async def plainly(sink: Sink, deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        await deliver_plainly(sink, delivery)


async def lose_answers(
    charges: list[ChargeDetermined], deliver: Deliver, at_once: int, **settings: Any
) -> tuple[int, int, int]:
    """Deliver all with their first answers lost; returns how many were lost, missing, and made twice."""
    simulator = NetSuiteSimulator(now=lambda: NOW)
    simulator.acts()["slow_jobs"](3.0)
    simulator.acts()["limit_concurrency"](1000)
    customer = simulator.books.add("customer", {"companyName": "Northwind"}, op="create")
    project = {"companyName": "Rollout", "parent": {"id": customer.id}}
    job = simulator.books.add("job", project, op="create")
    given = simulator.credentials() | {"base_url": "http://netsuite.test", "concurrency": 50, "auth": "tba"}
    given |= {"worst_commit_s": 60.0, **settings}
    async with trio.open_nursery() as late:
        simulator.nursery = late
        peer = httpx.ASGITransport(simulator.app())
        transport = LosingTransport(peer, late, latest_s=LATEST_S, key_of=write_key)
        context = FakeContext("netsuite", entity="us", now=lambda: NOW, transport=transport)
        context.keep([Link(kind="project", key="crm:P1", remote_id=job.id)])
        made = msgspec.convert(given, NetSuiteSettings, dec_hook=lambda _, value: Secret(value))
        async with NetSuite().open(made, context) as opened, trio.open_nursery() as nursery:
            assert opened.sink is not None
            owed = [Delivery(key=event.id, lane="netsuite", event=event) for event in charges]
            for n in range(0, len(owed), at_once):
                nursery.start_soon(deliver, opened.sink, owed[n : n + at_once])
    held: dict[str, int] = {}
    for record in simulator.ledger.of_kind("timeBill"):
        assert record.fields["hours"] == "8:00"
        key = record.fields["custcol_isth_charge"]
        held[key] = held.get(key, 0) + 1
    return transport.lost, len(charges) - len(held), sum(n - 1 for n in held.values())


BY_FIELD: dict[str, Any] = {"record_key": "custom_field"}


@pytest.mark.parametrize(
    ("deliver", "at_once", "settings"),
    [
        pytest.param(by_class, 5, {}, id="by external id"),
        pytest.param(by_class, 5, {"writes": "async"}, id="by external id, queued"),
        pytest.param(by_class, 5, BY_FIELD, id="by custom field"),
        pytest.param(by_class, 5, {"writes": "async", **BY_FIELD}, id="by custom field, queued"),
    ],
)
async def test_of_a_thousand_lost_answers_none_is_made_twice(
    deliver: Deliver, at_once: int, settings: dict[str, Any], charge: MakeCharge, autojump_clock: object
) -> None:
    """Two hundred and fifty in each of four modes."""
    charges = [charge(f"billing:c{n}") for n in range(250)]
    lost, missing, doubled = await lose_answers(charges, deliver, at_once, **settings)
    assert (missing, doubled) == (0, 0)
    assert lost >= 250


async def test_of_lost_answers_to_batches_none_is_made_twice(
    charge: MakeCharge, autojump_clock: object
) -> None:
    charges = [charge(f"billing:c{n}") for n in range(500)]
    lost, missing, doubled = await lose_answers(charges, together, 20, writes="batch")
    assert (missing, doubled) == (0, 0)
    assert lost >= 25


async def test_a_plain_retry_by_custom_field_would_make_many_twice(
    charge: MakeCharge, autojump_clock: object
) -> None:
    """The mutant beside the guarantee: the look-up before a create sees only what is committed already."""
    charges = [charge(f"billing:c{n}") for n in range(100)]
    _, missing, doubled = await lose_answers(charges, plainly, 5, **BY_FIELD)
    assert missing == 0
    assert doubled > 20
