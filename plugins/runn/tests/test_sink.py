"""What Runn holds after it was told: once, absolutely, and under our key."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import trio

from isthmus.events import (
    BurnRevised,
    BusinessEvent,
    CustomerChanged,
    DemandRevised,
    ForecastMonth,
    ForecastRevised,
    ProjectCreated,
    ProjectStageChanged,
    ResourceChanged,
)
from isthmus.sdk import Delivery, Link, Opened, Receipt, Rejected, Sink, Throttled, Unmet, Unsure
from isthmus.sdk.simulator import Fault, Match, Record
from isthmus.sdk.simulator.faults import FaultPlan
from isthmus.sdk.testing import FakeContext, SinkCase, SinkContract
from isthmus_runn.simulator import RunnSimulator
from isthmus_runn.sink import Planner

NOW = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)
ENVELOPE: dict[str, Any] = {"source": "test", "occurred_at": NOW, "entity": "acme-de"}
DAY = date(2026, 10, 5)


def customer(revision: int = 1, **changes: Any) -> CustomerChanged:
    given = {"customer": "crm:a", "name": "Acme", "currency": "EUR", "revision": revision, **changes}
    return CustomerChanged(**ENVELOPE, **given)


def project(revision: int = 1, **changes: Any) -> ProjectCreated:
    given = {
        "project": "crm:p",
        "customer": "crm:a",
        "name": "Rollout",
        "stage": "planned",
        "billing": "fixed_price",
        "budget": Decimal("10000.50"),
        "revision": revision,
        **changes,
    }
    return ProjectCreated(**ENVELOPE, **given)


def resource(revision: int = 1, **changes: Any) -> ResourceChanged:
    given = {
        "resource": "psa:r",
        "name": "Rosa Meier",
        "email": "rosa@example.com",
        "role": "Senior Consultant",
        "capacity_hours_week": Decimal(40),
        "status": "active",
        "revision": revision,
        **changes,
    }
    return ResourceChanged(**ENVELOPE, **given)


def burn(billable: str = "7.50", other: str = "0.50", day: date = DAY, **changes: Any) -> BurnRevised:
    given = {
        "burn": f"crm:p|psa:r|{day}",
        "project": "crm:p",
        "resource": "psa:r",
        "worked_on": day,
        "billable_hours": Decimal(billable),
        "nonbillable_hours": Decimal(other),
        "basis": [],
        **changes,
    }
    return BurnRevised(**{**ENVELOPE, "id": f"burn/{billable}/{other}/{day}"}, **given)


def outlook(revenue: str = "1000.00", backlog: str = "9000.50") -> ForecastRevised:
    month = ForecastMonth(month="2026-10", revenue=Decimal(revenue), hours=Decimal("8.00"))
    return ForecastRevised(
        **ENVELOPE,
        project="crm:p",
        currency="EUR",
        as_of=NOW,
        months=[month],
        backlog=Decimal(backlog),
        basis=[],
    )


def demand(budget: str | None = "12000.00", hours: str = "96.00") -> DemandRevised:
    return DemandRevised(
        **ENVELOPE,
        contract="crm:c",
        project="crm:p",
        revision=2,
        currency="EUR",
        budget=None if budget is None else Decimal(budget),
        hours={"consulting": Decimal(hours)},
    )


def stage(to: Any) -> ProjectStageChanged:
    return ProjectStageChanged(**ENVELOPE, project="crm:p", stage=to, previous="planned", changed_on=DAY)


def delivery(event: BusinessEvent) -> Delivery:
    return Delivery(key=f"key-{event.id}", lane="to-planner", event=event)


class Told:
    """A sink whose receipts are kept, as the daemon keeps them."""

    def __init__(self, sink: Sink, ctx: FakeContext) -> None:
        self.sink = sink
        self._ctx = ctx

    async def __call__(self, *events: BusinessEvent) -> Receipt:
        for event in events:
            receipt = await self.sink.deliver(delivery(event))
            self._ctx.keep(receipt.links)
        return receipt


@pytest.fixture
def tell(planner: Opened, ctx: FakeContext) -> Told:
    assert planner.sink is not None
    return Told(planner.sink, ctx)


def only(runn: RunnSimulator, kind: str) -> Record:
    (record,) = runn.ledger.of_kind(kind)
    return record


class NextWrite(FaultPlan):
    """Loses the answer to the next request that is no read."""

    armed = False

    def arm(self) -> None:
        self.armed = True

    def take(self, method: str, path: str, body: bytes) -> Fault | None:
        if self.armed and method != "GET":
            self.armed = False
            return Fault(fault="lose_response")
        return super().take(method, path, body)


def case_of(runn: RunnSimulator, sink: Sink, ctx: FakeContext) -> SinkCase:
    plan = runn.faults = NextWrite()
    events = [customer(), project(), resource(), burn(), stage("active"), demand(), outlook()]
    kinds = ("client", "project", "person", "actual")
    return SinkCase(
        sink=sink,
        deliveries=[delivery(event) for event in events],
        records=lambda: sum(record.kind in kinds for record in runn.ledger.all()),
        keep=lambda receipt: ctx.keep(receipt.links),
        lose_next_response=plan.arm,
        expected=4,
    )


class TestPlanner(SinkContract):
    @pytest.fixture
    def case(self, runn: RunnSimulator, planner: Opened, ctx: FakeContext) -> SinkCase:
        assert planner.sink is not None
        return case_of(runn, planner.sink, ctx)


class BlindPlanner(Planner):
    """The mutant: it cannot find the project it made."""

    async def _project_of(self, key: str) -> dict[str, Any] | None:
        return None


async def test_a_sink_that_cannot_find_what_it_made_is_caught(
    runn: RunnSimulator, planner: Opened, ctx: FakeContext
) -> None:
    sink = planner.sink
    assert isinstance(sink, Planner)
    sink.__class__ = BlindPlanner
    with pytest.raises(AssertionError):
        await SinkContract().test_a_lost_response_doubles_nothing(case_of(runn, sink, ctx))


async def test_a_won_project_arrives_with_client_budget_and_key(runn: RunnSimulator, tell: Told) -> None:
    receipt = await tell(customer(), project())
    made = only(runn, "project")
    assert receipt.links == [Link(kind="project", key="crm:p", remote_id=made.id)]
    assert made.external_key == "crm:p"
    assert made.fields["clientId"] == int(only(runn, "client").id)
    assert (made.fields["isConfirmed"], made.fields["pricingModel"]) == (True, "fp")
    assert made.fields["budget"] == 10000.5
    assert made.fields["references"] == [{"referenceName": "isthmus", "externalId": "crm:p"}]


async def test_a_later_revision_changes_the_project_and_makes_no_other(
    runn: RunnSimulator, tell: Told
) -> None:
    await tell(customer(), project(), project(2, name="Rollout Europe", budget=Decimal("11000.00")))
    made = only(runn, "project")
    assert (made.fields["name"], made.fields["budget"]) == ("Rollout Europe", 11000)
    assert [write.op for write in made.writes] == ["create", "update"]


async def test_a_first_revision_seen_again_leaves_the_newer_budget(runn: RunnSimulator, tell: Told) -> None:
    await tell(customer(), project(), demand("12000.00"), project())
    assert only(runn, "project").fields["budget"] == 12000


async def test_a_lost_crosswalk_finds_everything_again(
    runn: RunnSimulator, open_runn: Any, ctx: FakeContext
) -> None:
    async with open_runn() as opened:
        await Told(opened.sink, ctx)(customer(), project(), resource(), burn())
    empty = FakeContext("planner")
    async with open_runn(context=empty) as opened:
        await Told(opened.sink, empty)(customer(), project(), resource(), burn("8.00", "0.00"))
    for kind in ("client", "project", "person"):
        assert only(runn, kind).external_key
    assert only(runn, "actual").fields["billableMinutes"] == 480


async def test_a_stage_confirms_or_archives_the_project(runn: RunnSimulator, tell: Told) -> None:
    await tell(customer(), project(), stage("cancelled"))
    assert only(runn, "project").fields["isArchived"] is True
    await tell(stage("active"))
    state = only(runn, "project").fields
    assert (state["isArchived"], state["isConfirmed"]) == (False, True)


async def test_an_outlook_sets_the_budget_and_shows_its_months(runn: RunnSimulator, tell: Told) -> None:
    await tell(customer(), project(), outlook("937.50", "9100.00"))
    fields = only(runn, "project").fields
    assert fields["budget"] == 10037.5
    assert [text["value"] for text in fields["customFields"]["text"]] == [
        "2026-10 937.50 EUR 8.00 h; backlog 9100.00 EUR"
    ]


async def test_a_change_order_sets_the_budget_and_shows_its_hours(runn: RunnSimulator, tell: Told) -> None:
    await tell(customer(), project(), outlook(), demand())
    fields = only(runn, "project").fields
    assert fields["budget"] == 12000
    assert [text["value"] for text in fields["customFields"]["text"]] == [
        "2026-10 1000.00 EUR 8.00 h; backlog 9000.50 EUR",
        "crm:c revision 2: 12000.00 EUR; consulting 96.00 h",
    ]


async def test_a_change_order_without_a_worth_leaves_the_budget(runn: RunnSimulator, tell: Told) -> None:
    await tell(customer(), project(), demand(None))
    fields = only(runn, "project").fields
    assert fields["budget"] == 10000.5
    assert fields["customFields"]["text"][0]["value"] == "crm:c revision 2: no budget; consulting 96.00 h"


class Seen(FaultPlan):
    """Keeps the bytes of every body."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    def take(self, method: str, path: str, body: bytes) -> Fault | None:
        self.bodies.append(body)
        return super().take(method, path, body)


async def test_money_reaches_runn_as_a_number_digit_by_digit(runn: RunnSimulator, tell: Told) -> None:
    seen = runn.faults = Seen()
    await tell(customer(), project(budget=Decimal("1234567.10")))
    assert b'"budget":1234567.10' in seen.bodies[-1]


async def test_hours_are_a_total_that_replaces_the_one_before(runn: RunnSimulator, tell: Told) -> None:
    await tell(customer(), project(), resource(), burn("7.50"), burn("6.00"), burn("0", "0"))
    row = only(runn, "actual")
    assert [write.body["billableMinutes"] for write in row.writes] == [450, 360, 0]
    assert (row.fields["billableMinutes"], row.fields["nonbillableMinutes"]) == (0, 0)


async def test_hours_keep_the_role_they_began_with(runn: RunnSimulator, tell: Told) -> None:
    """Another role would make a second row, and the day would count twice."""
    await tell(customer(), project(), resource(), burn("7.50"))
    runn.assign("Rosa Meier", "Rollout", "2026-10-01", "2026-10-30", 480, role="Project Manager")
    await tell(burn("8.00"))
    assert only(runn, "actual").fields["billableMinutes"] == 480


@pytest.mark.parametrize(
    ("booked_as", "role"),
    [
        pytest.param("Project Manager", "Project Manager", id="the role of the booking comes first"),
        pytest.param(None, "Senior Consultant", id="else the role of the contract"),
    ],
)
async def test_role_of_the_first_hours(
    runn: RunnSimulator, tell: Told, booked_as: str | None, role: str
) -> None:
    await tell(customer(), project(), resource())
    if booked_as is not None:
        runn.assign("Rosa Meier", "Rollout", "2026-10-01", "2026-10-30", 480, role=booked_as)
    await tell(burn())
    kept = runn.ledger.get("role", str(only(runn, "actual").fields["roleId"]))
    assert kept is not None and kept.fields["name"] == role


async def test_people_entered_by_hand_are_matched_by_email(runn: RunnSimulator, tell: Told) -> None:
    by_hand = runn.add_person("R. Meier", "Consultant", "Rosa@example.com")
    receipt = await tell(resource())
    assert receipt.remote_id == str(by_hand["id"])
    assert only(runn, "person").external_key == "psa:r"


async def test_clients_entered_by_hand_are_matched_by_name(runn: RunnSimulator, tell: Told) -> None:
    by_hand = runn.add_client("ACME ")
    runn.add_client("Acme Holding")
    assert (await tell(customer())).remote_id == str(by_hand["id"])
    assert len(list(runn.ledger.of_kind("client"))) == 2


async def test_archived_records_are_found_by_key_and_not_made_again(
    runn: RunnSimulator, tell: Told, open_runn: Any
) -> None:
    """Archiving hides them from planners, not from us: a restored crosswalk must not double them."""
    await tell(customer(), project(), resource())
    runn.archive_project("Rollout")
    runn.archive_person("Rosa Meier")
    fresh = FakeContext("planner", entity="acme-de")
    async with open_runn(fresh) as opened:
        told = Told(opened.sink, fresh)
        await told(customer(), project(), resource())
    assert [len(list(runn.ledger.of_kind(kind))) for kind in ("client", "project", "person")] == [1, 1, 1]


async def test_late_hours_of_an_archived_project_are_still_written(runn: RunnSimulator, tell: Told) -> None:
    await tell(customer(), project(), resource())
    runn.archive_project("Rollout")
    await tell(burn())
    assert only(runn, "actual").fields["billableMinutes"] == 450


async def test_two_clients_of_one_name_are_not_guessed_between(runn: RunnSimulator, tell: Told) -> None:
    runn.add_client("Acme")
    runn.add_client("Acme")
    await tell(customer())
    assert len(list(runn.ledger.of_kind("client"))) == 3


async def test_a_person_who_left_is_archived(runn: RunnSimulator, tell: Told) -> None:
    await tell(resource(), resource(2, status="inactive"))
    assert only(runn, "person").fields["isArchived"] is True


@pytest.mark.parametrize(
    ("before", "event", "missing"),
    [
        pytest.param([], project(), "customer crm:a", id="a project without its client"),
        pytest.param([], stage("active"), "project crm:p", id="a stage without its project"),
        pytest.param([], demand(), "project crm:p", id="a demand without its project"),
        pytest.param([], outlook(), "project crm:p", id="an outlook without its project"),
        pytest.param([customer(), project()], burn(), "resource psa:r", id="hours without their person"),
        pytest.param([resource()], burn(), "project crm:p", id="hours without their project"),
    ],
)
async def test_what_builds_on_something_missing_waits(
    tell: Told, before: list[BusinessEvent], event: BusinessEvent, missing: str
) -> None:
    if before:
        await tell(*before)
    with pytest.raises(Unmet, match=missing):
        await tell(event)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="an empty 200"),
        pytest.param("<html>gateway</html>", id="a proxy's page"),
        pytest.param({"id": 9999}, id="another record"),
        pytest.param({"id": 1001, "budget": 1}, id="another amount"),
    ],
)
async def test_an_answer_that_proves_nothing_is_no_success(
    runn: RunnSimulator, tell: Told, answer: object
) -> None:
    await tell(customer(), project(), resource(), burn())
    for event in (demand(), outlook("1.00"), burn("1.00")):
        runn.faults.add(
            [
                Fault(fault="wrong_body", body=answer, match=Match(method="PATCH")),
                Fault(fault="wrong_body", body=answer, match=Match(method="POST")),
            ]
        )
        with pytest.raises(Unsure):
            await tell(event)
        runn.faults.faults.clear()


async def test_two_records_with_our_key_wait_for_a_person(runn: RunnSimulator, tell: Told) -> None:
    await tell(customer())
    for name in ("Rollout", "Rollout copy"):
        made = runn.add_project(name, "Acme")
        record = runn.ledger.get("project", str(made["id"]))
        assert record is not None
        record.fields["references"] = [{"referenceName": "isthmus", "externalId": "crm:p"}]
    with pytest.raises(Rejected, match="all carry the key crm:p") as refusal:
        await tell(project())
    assert refusal.value.reason == "duplicate"


async def test_a_project_of_another_client_is_not_taken_over(runn: RunnSimulator, tell: Told) -> None:
    await tell(customer())
    runn.add_client("Other")
    made = runn.add_project("Rollout", "Other")
    record = runn.ledger.get("project", str(made["id"]))
    assert record is not None
    record.fields["references"] = [{"referenceName": "isthmus", "externalId": "crm:p"}]
    with pytest.raises(Rejected) as refusal:
        await tell(project())
    assert refusal.value.reason == "duplicate"


async def test_a_person_linked_to_another_key_is_not_taken_over(
    runn: RunnSimulator, tell: Told, ctx: FakeContext
) -> None:
    by_hand = runn.add_person("R. Meier", "Consultant", "rosa@example.com")
    ctx.keep([Link(kind="resource", key="psa:other", remote_id=str(by_hand["id"]))])
    with pytest.raises(Rejected, match="psa:other") as refusal:
        await tell(resource())
    assert refusal.value.reason == "duplicate"


async def test_a_person_whose_role_is_unknown_needs_a_default(open_runn: Any, ctx: FakeContext) -> None:
    async with open_runn(default_role=None) as opened:
        with pytest.raises(Rejected, match="default_role") as refusal:
            await Told(opened.sink, ctx)(resource(role="Astronaut"))
        assert refusal.value.reason == "mapping"
    async with open_runn(default_role="Consultant") as opened:
        assert (await Told(opened.sink, ctx)(resource(role="Astronaut"))).remote_id


@pytest.fixture
async def staffed(tell: Told) -> Planner:
    """A sink that knows the client, the project and the person."""
    await tell(customer(), project(), resource())
    assert isinstance(tell.sink, Planner)
    return tell.sink


def week() -> list[BurnRevised]:
    return [burn("7.00", "0.00", date(2026, 10, day)) for day in range(5, 10)]


async def test_a_batch_of_hours_is_one_call(runn: RunnSimulator, staffed: Planner) -> None:
    await staffed.deliver(delivery(burn("1.00", "0.00", date(2026, 10, 2))))
    before = runn.memory["rate"]["used"]
    outcomes = await staffed.deliver_many([delivery(event) for event in week()])
    assert [type(outcome) for outcome in outcomes] == [Receipt] * 5
    assert runn.memory["rate"]["used"] == before + 1
    assert len(list(runn.ledger.of_kind("actual"))) == 6


async def test_one_bad_row_of_a_batch_does_not_hold_the_others(runn: RunnSimulator, staffed: Planner) -> None:
    runn.lock_timesheets("Rollout", "2026-10-06")
    outcomes = await staffed.deliver_many([delivery(event) for event in week()])
    assert [type(outcome) for outcome in outcomes] == [Rejected, Rejected, Receipt, Receipt, Receipt]
    assert isinstance(outcomes[0], Rejected) and outcomes[0].reason == "period"


async def test_a_mixed_batch_answers_in_order(staffed: Planner) -> None:
    events: list[BusinessEvent] = [
        burn("0.00", "0.00"),
        stage("active"),
        burn(day=date(2026, 10, 6)),
        outlook(),
    ]
    unknown = burn(day=date(2026, 10, 7), resource="psa:nobody")
    outcomes = await staffed.deliver_many([delivery(event) for event in [*events, unknown]])
    assert [type(outcome) for outcome in outcomes] == [Receipt, Receipt, Receipt, Receipt, Unmet]


async def test_a_throttled_batch_stops_asking(runn: RunnSimulator, staffed: Planner) -> None:
    runn.use_up_rate_limit(1)
    events: list[BusinessEvent] = [stage("active"), outlook(), demand(), burn()]
    outcomes = await staffed.deliver_many([delivery(event) for event in events])
    assert [type(outcome) for outcome in outcomes] == [Throttled] * 4
    assert only(runn, "project").fields["budget"] == 10000.5


async def test_a_lost_answer_to_a_batch_leaves_all_of_it_unsure_and_doubles_nothing(
    runn: RunnSimulator, staffed: Planner
) -> None:
    runn.faults.add([Fault(fault="lose_response", match=Match(path_prefix="/actuals/bulk"))])
    deliveries = [delivery(event) for event in week()]
    assert [type(outcome) for outcome in await staffed.deliver_many(deliveries)] == [Unsure] * 5
    assert [type(outcome) for outcome in await staffed.deliver_many(deliveries)] == [Receipt] * 5
    assert len(list(runn.ledger.of_kind("actual"))) == 5


async def test_a_create_that_commits_late_is_found_and_not_repeated(
    runn: RunnSimulator, tell: Told, ctx: FakeContext
) -> None:
    await tell(customer())
    late = Fault(fault="late_commit", delay_s=0.1, match=Match(method="POST", path_prefix="/projects"))
    runn.faults.add([late])
    with pytest.raises(Unsure):
        await tell(project())
    assert await tell.sink.find(delivery(project())) is None
    await trio.sleep(0.3)
    found = await tell.sink.find(delivery(project()))
    assert found is not None and found.remote_id == only(runn, "project").id
