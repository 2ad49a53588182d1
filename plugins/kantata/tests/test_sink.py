"""What Kantata holds after deliveries, also after lost answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from isthmus.events import (
    BusinessEvent,
    ContractAmended,
    ContractSigned,
    CustomerChanged,
    InvoiceReleased,
    InvoiceVoided,
    Milestones,
    MilestoneTerm,
    PaymentReceived,
    ProjectCreated,
    ProjectStageChanged,
)
from isthmus.sdk import Delivery, DeliveryClass, Link, Receipt, Rejected, Secret, Sink, Unmet, Unsure
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext, SinkCase, SinkContract
from isthmus_kantata.connector import Kantata
from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.simulator import KantataSimulator
from isthmus_kantata.sink import Provisioning

if TYPE_CHECKING:
    from plugins.kantata.tests.conftest import Clock, Psa

COMMON: dict[str, Any] = {
    "source": "crm",
    "entity": "main",
    "occurred_at": datetime(2026, 10, 1, 12, tzinfo=UTC),
}
PROJECT = ProjectCreated(
    **COMMON,
    project="crm:006",
    customer="crm:001",
    name="Apollo",
    stage="active",
    currency="EUR",
    budget=Decimal("20000.00"),
)


def terms(*titles: str) -> list[Any]:
    listed = [
        MilestoneTerm(milestone=f"crm:m{n}", title=title, amount=Decimal("100.00"))
        for n, title in enumerate(titles, start=1)
    ]
    return [Milestones(line="M", milestones=listed)]


CONTRACT: dict[str, Any] = {
    **COMMON,
    "contract": "crm:800",
    "customer": "crm:001",
    "project": "crm:006",
    "title": "Statement of work",
    "currency": "EUR",
    "signed_on": date(2026, 10, 1),
    "starts_on": date(2026, 10, 1),
    "time_zone": "Europe/Berlin",
}
SIGNED = ContractSigned(**CONTRACT, revision=1, lines=terms("Design", "Go live"))
AMENDED = ContractAmended(
    **CONTRACT,
    revision=2,
    lines=terms("Design", "Go live, both sites", "Training"),
    effective_on=date(2026, 11, 1),
    reason="change order 1",
)
INVOICE: dict[str, Any] = {**COMMON, "source": "erp", "invoice": "erp:9", "currency": "EUR"}
RELEASED = InvoiceReleased(
    **INVOICE,
    number="R-9",
    customer="crm:001",
    issued_on=date(2026, 11, 1),
    due_on=date(2026, 12, 1),
    total=Decimal("100.00"),
    charges=["c1"],
    project="crm:006",
)
PAID = PaymentReceived(
    **INVOICE,
    payment="erp:p1",
    received_on=date(2026, 11, 20),
    amount=Decimal("40.00"),
    open_amount=Decimal("60.00"),
)
VOIDED = InvoiceVoided(**INVOICE, number="R-9", on=date(2026, 11, 21), amount=Decimal("100.00"))
MOVED = ProjectStageChanged(
    **COMMON, project="crm:006", stage="on_hold", previous="active", changed_on=date(2026, 11, 2)
)


def delivery(event: BusinessEvent) -> Delivery:
    return Delivery(key=event.id, lane="psa", event=event)


@pytest.fixture
async def sink(psa: Psa) -> AsyncIterator[Sink]:
    async with psa() as opened:
        assert opened.sink is not None
        yield opened.sink


@pytest.fixture
def send(sink: Sink, context: FakeContext) -> Callable[..., Any]:
    async def sent(*events: BusinessEvent) -> Receipt:
        for event in events:
            receipt = await sink.deliver(delivery(event))
            context.keep(receipt.links)
        return receipt

    return sent


def count(simulator: KantataSimulator) -> int:
    kinds = ("Workspace", "Story", "ExternalReference")
    return sum(1 for record in simulator.ledger.all() if record.kind in kinds)


class TestPromises(SinkContract):
    """The promises of every sink, in the order a project lives."""

    @pytest.fixture
    def case(
        self,
        sink: Sink,
        simulator: KantataSimulator,
        context: FakeContext,
    ) -> SinkCase:
        def lose() -> None:
            simulator.faults.faults.clear()
            simulator.faults.add([Fault(fault="lose_response", match=Match(contains="{"))])

        return SinkCase(
            sink=sink,
            deliveries=[
                delivery(event) for event in (PROJECT, SIGNED, AMENDED, MOVED, RELEASED, PAID, VOIDED)
            ],
            records=lambda: count(simulator),
            keep=lambda receipt: context.keep(receipt.links),
            lose_next_response=lose,
        )


async def test_a_project_is_made_once_with_our_key_on_it(
    send: Callable[..., Any], simulator: KantataSimulator
) -> None:
    first, again = await send(PROJECT), await send(PROJECT)
    (record,) = simulator.ledger.by_external_key("Workspace", "crm:006")
    assert first.remote_id == again.remote_id == record.id
    assert (record.fields["title"], record.fields["price_in_cents"]) == ("Apollo", 2_000_000)
    assert record.fields["status"]["message"] == "Active"


async def test_a_lost_crosswalk_finds_the_project_by_the_key_on_it(
    sink: Sink, simulator: KantataSimulator
) -> None:
    made = await sink.deliver(delivery(PROJECT))
    await sink.deliver(delivery(MOVED))  # the link was never kept
    record = simulator.ledger.get("Workspace", made.remote_id)
    assert record is not None
    assert record.fields["status"]["message"] == "On Hold"


async def test_a_lost_answer_is_settled_by_looking_our_key_up(
    sink: Sink, simulator: KantataSimulator, lose_next: Callable[..., None]
) -> None:
    lose_next()
    with pytest.raises(Unsure):
        await sink.deliver(delivery(PROJECT))
    found = await sink.find(delivery(PROJECT))
    (record,) = simulator.ledger.by_external_key("Workspace", "crm:006")
    assert found is not None
    assert found.remote_id == record.id


async def test_a_request_that_never_arrived_is_not_found(sink: Sink, simulator: KantataSimulator) -> None:
    simulator.faults.add([Fault(fault="status", status=502, match=Match(method="POST"))])
    with pytest.raises(Unsure):
        await sink.deliver(delivery(PROJECT))
    assert await sink.find(delivery(PROJECT)) is None


async def test_a_late_commit_is_found_once_it_is_there(sink: Sink, simulator: KantataSimulator) -> None:
    simulator.faults.add([Fault(fault="late_commit", delay_s=0.2, match=Match(method="POST"))])
    with pytest.raises(Unsure):
        await sink.deliver(delivery(PROJECT))
    assert await sink.find(delivery(PROJECT)) is None
    await trio.sleep(0.4)
    assert await sink.find(delivery(PROJECT)) is not None


async def test_looking_too_early_would_make_a_second_project(sink: Sink, simulator: KantataSimulator) -> None:
    """The mutant beside the guarantee: without the wait of class B the late commit doubles."""
    simulator.faults.add([Fault(fault="late_commit", delay_s=0.2, match=Match(method="POST"))])
    with pytest.raises(Unsure):
        await sink.deliver(delivery(PROJECT))
    await sink.deliver(delivery(PROJECT))
    await trio.sleep(0.4)
    assert len(simulator.ledger.by_external_key("Workspace", "crm:006")) == 2
    with pytest.raises(Rejected) as caught:
        await sink.find(delivery(PROJECT))
    assert caught.value.reason == "duplicate"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(None, id="an empty 200"),
        pytest.param({"errors": []}, id="JSON that is no listing"),
        pytest.param({"count": 0, "meta": {}, "results": [], "workspaces": {}}, id="a listing of nothing"),
        pytest.param(
            {
                "count": 1,
                "meta": {"page_count": 1},
                "results": [{"key": "workspaces", "id": "7"}],
                "workspaces": {"7": {"id": "7", "title": "Gemini"}},
            },
            id="another project",
        ),
    ],
)
async def test_a_success_that_does_not_show_the_record_is_none(
    sink: Sink, simulator: KantataSimulator, body: Any
) -> None:
    simulator.faults.add([Fault(fault="wrong_body", body=body, match=Match(method="POST"))])
    with pytest.raises(Unsure):
        await sink.deliver(delivery(PROJECT))


async def test_a_stage_is_set_and_not_told_back(
    psa: Psa, send: Callable[..., Any], simulator: KantataSimulator
) -> None:
    await send(PROJECT, MOVED, MOVED)
    (record,) = simulator.ledger.by_external_key("Workspace", "crm:006")
    assert record.fields["status"]["message"] == "On Hold"
    async with psa() as opened:
        assert opened.source is not None
        assert (await opened.source.pull("projects", None)).events == []


async def test_each_term_becomes_a_milestone_and_an_amendment_adds_and_renames(
    send: Callable[..., Any], simulator: KantataSimulator
) -> None:
    await send(PROJECT, SIGNED)
    before = {story.external_key: story.id for story in simulator.ledger.of_kind("Story")}
    receipt = await send(AMENDED)
    titles = {story.external_key: story.fields["title"] for story in simulator.ledger.of_kind("Story")}
    assert titles == {"crm:m1": "Design", "crm:m2": "Go live, both sites", "crm:m3": "Training"}
    assert before.items() <= {link.key: link.remote_id for link in receipt.links}.items()


async def test_a_milestone_has_the_day_its_contract_plans_and_without_one_keeps_its_own(
    send: Callable[..., Any], simulator: KantataSimulator
) -> None:
    def contract(revision: int, planned_on: date | None) -> ContractSigned:
        term = MilestoneTerm(milestone="crm:m1", title="Design", amount=Decimal(1), planned_on=planned_on)
        return ContractSigned(**CONTRACT, revision=revision, lines=[Milestones(line="M", milestones=[term])])

    await send(PROJECT, contract(1, date(2026, 11, 20)))
    (story,) = simulator.ledger.of_kind("Story")
    assert story.fields["due_date"] == "2026-11-20"
    await send(contract(2, date(2026, 12, 1)))
    assert story.fields["due_date"] == "2026-12-01"
    simulator.books.change(story, {"due_date": "2026-12-24"})
    await send(contract(3, None))
    assert story.fields["due_date"] == "2026-12-24"


async def test_more_milestones_than_one_look_up_may_name(
    send: Callable[..., Any], simulator: KantataSimulator
) -> None:
    """Kantata takes 200 references a call; the simulator refuses more."""
    many = ContractSigned(**CONTRACT, revision=1, lines=terms(*(f"Step {n}" for n in range(201))))
    await send(PROJECT, many)
    first = await send(many)
    assert len(list(simulator.ledger.of_kind("Story"))) == 201
    assert len(first.links) == 201


class Measuring(httpx.AsyncBaseTransport):
    """A simulator in this process; remembers the longest URL it was asked by."""

    def __init__(self, simulator: KantataSimulator) -> None:
        self._inner = httpx.ASGITransport(simulator.app())
        self.longest = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.longest = max(self.longest, len(str(request.url)))
        return await self._inner.handle_async_request(request)


async def test_long_keys_are_looked_up_in_urls_a_server_takes(clock: Clock) -> None:
    """What stands before an API often refuses a URL of 8 KB; 60 keys of 200 characters would be 12."""
    simulator = KantataSimulator(now=clock)
    transport = Measuring(simulator)
    context = FakeContext("psa", now=clock, transport=transport)
    workspace = simulator.acts()["add_workspace"](title="Apollo")["id"]
    context.keep([Link(kind="project", key="crm:006", remote_id=workspace)])
    steps = [
        MilestoneTerm(milestone=f"crm:{n:0196}", title=f"Step {n}", amount=Decimal(1)) for n in range(60)
    ]
    many = ContractSigned(**CONTRACT, revision=1, lines=[Milestones(line="M", milestones=steps)])
    token = Secret(simulator.credentials()["token"])
    settings = KantataSettings(token=token, base_url="http://psa.test/api/v1")
    async with Kantata().open(settings, context) as opened:
        assert opened.sink is not None
        for _ in range(2):
            await opened.sink.deliver(delivery(many))
    assert len(list(simulator.ledger.of_kind("Story"))) == 60
    assert 1_000 < transport.longest < 8_000


async def test_a_key_with_a_comma_is_found_all_the_same(
    send: Callable[..., Any], simulator: KantataSimulator
) -> None:
    """It cannot be named in a list of references, so all milestones are read instead."""
    term = MilestoneTerm(milestone="crm:m,1", title="Design", amount=Decimal(1))
    contract = ContractSigned(**CONTRACT, revision=1, lines=[Milestones(line="M", milestones=[term])])
    await send(PROJECT, contract, contract)
    assert len(list(simulator.ledger.of_kind("Story"))) == 1


async def test_a_contract_half_written_is_finished_not_repeated(
    sink: Sink, send: Callable[..., Any], simulator: KantataSimulator, lose_next: Callable[..., None]
) -> None:
    await send(PROJECT)
    lose_next(skip=1)
    with pytest.raises(Unsure):
        await sink.deliver(delivery(AMENDED))
    assert await sink.find(delivery(AMENDED)) is None, "one of three is missing"
    await send(AMENDED)
    assert len(list(simulator.ledger.of_kind("Story"))) == 3
    assert await sink.find(delivery(AMENDED)) is not None


async def test_a_contract_without_milestones_is_held_by_its_project(send: Callable[..., Any]) -> None:
    project = await send(PROJECT)
    receipt = await send(ContractSigned(**CONTRACT, revision=1, lines=[]))
    assert receipt.remote_id == project.remote_id
    assert receipt.links == []


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(SIGNED, id="a contract"),
        pytest.param(MOVED, id="a stage"),
        pytest.param(RELEASED, id="an invoice"),
        pytest.param(PAID, id="a payment whose invoice is not shown"),
        pytest.param(VOIDED, id="a void whose invoice is not shown"),
    ],
)
async def test_what_refers_to_a_missing_project_waits(sink: Sink, event: BusinessEvent) -> None:
    with pytest.raises(Unmet):
        await sink.deliver(delivery(event))


async def test_an_invoice_shows_on_its_project_from_release_to_payment(
    send: Callable[..., Any], simulator: KantataSimulator
) -> None:
    await send(PROJECT, RELEASED, PAID)
    (reference,) = simulator.ledger.by_external_key("ExternalReference", "erp:9")
    assert reference.fields["external_status"] == "partly_paid"
    assert reference.fields["external_message"] == "Invoice R-9, total 100.00 EUR, open 60.00 EUR"
    assert [write.op for write in reference.writes] == ["upsert", "upsert"]
    await send(VOIDED)
    assert reference.fields["external_status"] == "voided"


async def test_invoices_take_neither_each_others_place_nor_the_projects(
    sink: Sink, send: Callable[..., Any], simulator: KantataSimulator
) -> None:
    """Kantata keeps one reference per service name and record: names that met would overwrite."""
    other = {**INVOICE, "invoice": "erp:10"}
    second = InvoiceReleased(
        **other,
        number="R-10",
        customer="crm:001",
        issued_on=date(2026, 11, 1),
        due_on=date(2026, 12, 1),
        total=Decimal("5.00"),
        charges=[],
        project="crm:006",
    )
    project = await send(PROJECT, RELEASED, second, PROJECT)
    kept = {record.external_key for record in simulator.ledger.of_kind("ExternalReference")}
    assert kept == {"crm:006", "erp:9", "erp:10"}
    assert len(list(simulator.ledger.of_kind("Workspace"))) == 1
    assert project.detail == "found"


async def test_a_fact_it_does_not_take_is_a_wrong_route(sink: Sink) -> None:
    event = CustomerChanged(**COMMON, customer="crm:001", name="Acme", currency="EUR")
    with pytest.raises(Rejected) as caught:
        await sink.deliver(delivery(event))
    assert caught.value.reason == "mapping"


@pytest.mark.parametrize(
    ("event", "protection"),
    [
        pytest.param(PROJECT, DeliveryClass.B, id="a project is looked up"),
        pytest.param(SIGNED, DeliveryClass.B, id="milestones are looked up"),
        pytest.param(AMENDED, DeliveryClass.B, id="amended ones too"),
        pytest.param(MOVED, DeliveryClass.A, id="a status is set"),
        pytest.param(RELEASED, DeliveryClass.A, id="an invoice is an upsert"),
        pytest.param(PAID, DeliveryClass.A, id="a payment too"),
    ],
)
def test_what_protects_each_kind(event: BusinessEvent, protection: DeliveryClass) -> None:
    assert Provisioning.delivery_class(object.__new__(Provisioning), event) is protection
