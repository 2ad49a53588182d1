"""Into Certinia: projects, milestones and what was invoiced; once each, and only done when it is proven."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ContractAmended,
    ContractEnded,
    ContractSigned,
    InvoiceReleased,
    InvoiceVoided,
    Milestones,
    MilestoneTerm,
    ProjectCreated,
    ProjectStageChanged,
)
from isthmus.sdk import (
    ConnectorError,
    Delivery,
    DeliveryClass,
    Fatal,
    Link,
    Opened,
    Receipt,
    Rejected,
    Retryable,
    Sink,
    Throttled,
    Unmet,
    Unsure,
)
from isthmus.sdk.simulator import Fault, Match, Record
from isthmus.sdk.testing import FakeContext, SinkCase, SinkContract
from isthmus_salesforce.certinia import sink
from isthmus_salesforce.certinia.settings import CertiniaSettings
from isthmus_salesforce.simulator import Salesforce

Connect = Callable[..., AbstractAsyncContextManager[Opened]]
AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
PROJECT = "sales:006A"


def delivery(event: BusinessEvent) -> Delivery:
    return Delivery(key=f"key of {event.id}", lane="psa", event=event)


def created(project: str = PROJECT, customer: str = "crm:A", **changes: Any) -> Delivery:
    given: dict[str, Any] = {"name": "Rollout", "stage": "planned", "currency": "EUR", **changes}
    event = ProjectCreated(
        source="setup", occurred_at=AT, entity="de", project=project, customer=customer, **given
    )
    return delivery(event)


def moved(stage: Any = "on_hold", revision: int = 2, project: str = PROJECT) -> Delivery:
    return delivery(
        ProjectStageChanged(
            source="kantata",
            occurred_at=AT,
            entity="de",
            project=project,
            stage=stage,
            previous="active",
            changed_on=AT.date(),
            revision=revision,
        )
    )


def term(key: str, title: str = "Go-live", amount: str = "20000.00", **changes: Any) -> MilestoneTerm:
    return MilestoneTerm(milestone=key, title=title, amount=Decimal(amount), **changes)


def signed(*terms: MilestoneTerm, amended: bool = False) -> Delivery:
    given: dict[str, Any] = {
        "source": "crm",
        "occurred_at": AT,
        "entity": "de",
        "contract": "crm:800A",
        "customer": "crm:A",
        "project": PROJECT,
        "title": "Rollout",
        "currency": "EUR",
        "signed_on": AT.date(),
        "starts_on": date(2026, 1, 1),
        "ends_on": date(2026, 6, 30),
        "time_zone": "Europe/Berlin",
        "lines": [Milestones(line="M", milestones=list(terms))] if terms else [],
    }
    if amended:
        return delivery(
            ContractAmended(**given, revision=2, effective_on=date(2026, 2, 1), reason="more scope")
        )
    return delivery(ContractSigned(**given, revision=1))


def charge(key: str, origin: Any, origin_key: str, **changes: Any) -> Delivery:
    return delivery(
        ChargeDetermined(
            source="billing",
            occurred_at=AT,
            entity="de",
            charge=key,
            contract="crm:800A",
            line="M",
            project=PROJECT,
            origin=origin,
            origin_key=origin_key,
            origin_revision=1,
            quantity=Decimal("8.00"),
            unit_price=Decimal("150.00"),
            amount=Decimal("1200.00"),
            currency="EUR",
            earned_on=AT.date(),
            posting_on=AT.date(),
            dimensions={},
            explanation=[],
            **changes,
        )
    )


def released(charges: Sequence[str], invoice: str = "erp:1", number: str = "INV-1") -> Delivery:
    return delivery(
        InvoiceReleased(
            source="erp",
            occurred_at=AT,
            entity="de",
            invoice=invoice,
            number=number,
            customer="crm:A",
            issued_on=date(2026, 1, 31),
            due_on=date(2026, 3, 2),
            total=Decimal("1200.00"),
            currency="EUR",
            charges=list(charges),
        )
    )


def voided(invoice: str = "erp:1", number: str = "INV-1") -> Delivery:
    return delivery(
        InvoiceVoided(
            source="erp",
            occurred_at=AT,
            entity="de",
            invoice=invoice,
            number=number,
            on=date(2026, 2, 3),
            amount=Decimal("1200.00"),
            currency="EUR",
        )
    )


@pytest.fixture
def account(sim: Salesforce) -> str:
    return str(sim.acts()["add_account"](name="Acme")["account"])


@pytest.fixture
def psa(connect: Connect, ctx: FakeContext, account: str) -> Connect:
    """The connector for Certinia, which knows the customer ``crm:A``."""
    ctx.keep([Link(kind="customer", key="crm:A", remote_id=account)])

    def open_one(**changes: Any) -> AbstractAsyncContextManager[Opened]:
        return connect(pack="certinia-psa", **changes)

    return open_one


class Work:
    """An approved split of three days, an expense and a milestone, as the source tells them."""

    def __init__(self, sim: Salesforce, ctx: FakeContext) -> None:
        acts = sim.acts()
        self.project = acts["add_project"]("Rollout", Isthmus_Key__c=PROJECT)["project"]
        anna = acts["add_resource"]("Anna Weber")["resource"]
        card = acts["log_week"](self.project, anna, "2026-01-05", [8, 8, 8])
        acts["approve_week"](card["timecard"])
        (self.split,) = card["splits"]
        self.expense = acts["add_expense"](self.project, anna, "Taxi", "2026-01-06", "10")["expense"]
        step = acts["add_milestone"](self.project, "Go-live", "2026-02-01", Isthmus_Key__c="crm:a00L1")
        self.milestone = step["milestone"]
        self.days = [f"{self.split}/2026-01-0{day}" for day in (5, 6, 7)]
        links = [Link(kind="time", key=f"crm:{day}", remote_id=day) for day in self.days]
        links.append(Link(kind="expense", key=f"crm:{self.expense}", remote_id=self.expense))
        links.append(Link(kind="milestone", key="crm:a00L1", remote_id=self.milestone))
        ctx.keep(links)

    def charges(self) -> list[Delivery]:
        time = [charge(f"b:t{n}", "time", f"crm:{day}") for n, day in enumerate(self.days)]
        expense = charge("b:e", "expense", f"crm:{self.expense}")
        return [*time, expense, charge("b:m", "milestone", "crm:a00L1"), charge("b:r", "retainer", "crm:R")]


@pytest.fixture
def work(sim: Salesforce, ctx: FakeContext) -> Work:
    return Work(sim, ctx)


def sink_of(opened: Opened) -> Sink:
    assert opened.sink is not None
    return opened.sink


async def deliver(opened: Opened, ctx: FakeContext, *deliveries: Delivery) -> list[Receipt]:
    """Deliver in order and keep the links, as the daemon does."""
    receipts = []
    for one in deliveries:
        receipts.append(await sink_of(opened).deliver(one))
        ctx.keep(receipts[-1].links)
    return receipts


def only(sim: Salesforce, kind: str) -> Record:
    (record,) = sim.ledger.of_kind(kind)
    return record


def invoiced(sim: Salesforce, kind: str) -> tuple[object, ...]:
    fields = only(sim, kind).fields
    return tuple(fields[f"pse__{name}__c"] for name in ("Invoiced", "Invoice_Number", "Invoice_Date"))


class TestEngagements(SinkContract):
    @pytest.fixture
    async def case(self, sim: Salesforce, psa: Connect, ctx: FakeContext) -> Any:
        def records() -> int:
            kinds = ("pse__Proj__c", "pse__Milestone__c")
            return sum(1 for kind in kinds for _ in sim.ledger.of_kind(kind))

        def lose() -> None:
            sim.faults.add([Fault(fault="lose_response", match=Match(method="PATCH"))])

        async with psa() as opened:
            yield SinkCase(
                sink=sink_of(opened),
                deliveries=[created(), moved(), signed(term("crm:a00L1"), term("crm:a00L2"))],
                records=records,
                keep=lambda receipt: ctx.keep(receipt.links),
                lose_next_response=lose,
                expected=3,
            )


# -- projects -------------------------------------------------------------------------------------------


async def test_a_project_is_made_with_what_is_known_of_it(
    sim: Salesforce, psa: Connect, ctx: FakeContext, account: str
) -> None:
    settings = CertiniaSettings(project_defaults={"pse__Project_Type__c": "Client"})
    async with psa(certinia=settings) as opened:
        (receipt,) = await deliver(
            opened, ctx, created(starts_on=date(2026, 2, 1), billing="time_and_materials")
        )
    project = only(sim, "pse__Proj__c")
    assert (receipt.remote_id, project.external_key) == (project.id, PROJECT)
    assert await ctx.crosswalk.remote_id("project", PROJECT) == project.id
    shown = {name: project.fields[name] for name in ("Name", "pse__Account__c", "pse__Stage__c")}
    assert shown == {"Name": "Rollout", "pse__Account__c": account, "pse__Stage__c": "Planned"}
    assert (project.fields["pse__Is_Active__c"], project.fields["pse__Is_Billable__c"]) == (True, True)
    assert (project.fields["pse__Start_Date__c"], project.fields["pse__Project_Type__c"]) == (
        "2026-02-01",
        "Client",
    )


async def test_a_project_that_is_there_stays_as_its_people_have_it(
    sim: Salesforce, psa: Connect, ctx: FakeContext
) -> None:
    async with psa() as opened:
        await deliver(opened, ctx, created())
        sim.acts()["move_project"](PROJECT, "In Progress")
        (receipt,) = await deliver(opened, ctx, created())
    assert receipt.detail == "found"
    assert only(sim, "pse__Proj__c").fields["pse__Stage__c"] == "In Progress"


async def test_a_project_that_certinia_made_of_the_opportunity_is_adopted(
    sim: Salesforce, win: Any, connect: Connect, ctx: FakeContext
) -> None:
    won = win()
    made = sim.acts()["add_project"]("Acme Rollout", pse__Opportunity__c=won["opportunity"])["project"]
    settings = CertiniaSettings(crm="sales", projects_by="opportunity")
    deal = f"sales:{won['opportunity']}"
    async with connect(pack="certinia-psa", certinia=settings) as opened:
        (receipt,) = await deliver(opened, ctx, created(deal, f"sales:{won['account']}"))
    project = only(sim, "pse__Proj__c")
    assert (receipt.remote_id, project.id, project.external_key) == (made, made, deal)
    assert project.fields["Name"] == "Acme Rollout"


async def test_ids_of_the_crm_in_the_same_org_need_no_link(
    sim: Salesforce, win: Any, connect: Connect, ctx: FakeContext
) -> None:
    won = win()
    keys = (f"sales:{won['opportunity']}", f"sales:{won['account']}")
    async with connect(pack="certinia-psa") as opened:
        with pytest.raises(Unmet, match=r"certinia\.crm"):
            await deliver(opened, ctx, created(*keys))
    async with connect(pack="certinia-psa", certinia=CertiniaSettings(crm="sales")) as opened:
        await deliver(opened, ctx, created(*keys))
    fields = only(sim, "pse__Proj__c").fields
    assert (fields["pse__Opportunity__c"], fields["pse__Account__c"]) == (won["opportunity"], won["account"])


async def test_a_name_too_long_for_salesforce_is_cut_and_shows_it(
    sim: Salesforce, psa: Connect, ctx: FakeContext
) -> None:
    async with psa() as opened:
        await deliver(opened, ctx, created(name="N" * 200))
    assert only(sim, "pse__Proj__c").fields["Name"] == "N" * 79 + "…"


@pytest.mark.parametrize(
    ("stage", "name", "active"),
    [
        ("planned", "Planned", True),
        ("active", "In Progress", True),
        ("on_hold", "On Hold", True),
        ("completed", "Done", False),
        ("cancelled", "Canceled", False),
    ],
)
async def test_stages_are_written_and_do_not_come_back_as_news(
    sim: Salesforce,
    psa: Connect,
    ctx: FakeContext,
    clock: Any,
    stage: Any,
    name: str,
    active: bool,
) -> None:
    sim.acts()["add_project"]("Rollout", "Hypercare", Isthmus_Key__c=PROJECT)
    async with psa(certinia=CertiniaSettings(stage_names={"completed": "Done"})) as opened:
        await deliver(opened, ctx, moved(stage))
        clock.pass_s(2)
        assert opened.source is not None
        page = await opened.source.pull("projects", None)
    fields = only(sim, "pse__Proj__c").fields
    assert (fields["pse__Stage__c"], fields["pse__Is_Active__c"]) == (name, active)
    assert (page.events, page.refused) == ([], [])


async def test_a_project_that_was_told_under_its_own_id_is_found_by_it(
    sim: Salesforce, connect: Connect, ctx: FakeContext
) -> None:
    project = sim.acts()["add_project"]("By hand", "In Progress")["project"]
    async with connect(pack="certinia-psa") as opened:
        (receipt,) = await deliver(opened, ctx, moved(project=f"crm:{project}"))
    assert receipt.remote_id == project
    assert only(sim, "pse__Proj__c").fields["pse__Stage__c"] == "On Hold"


async def test_a_stage_waits_for_its_project(psa: Connect, ctx: FakeContext) -> None:
    async with psa() as opened:
        with pytest.raises(Unmet, match=PROJECT):
            await deliver(opened, ctx, moved())


# -- milestones -----------------------------------------------------------------------------------------


async def test_milestones_follow_the_contract_and_keep_what_delivery_did(
    sim: Salesforce, psa: Connect, ctx: FakeContext
) -> None:
    async with psa() as opened:
        await deliver(opened, ctx, created(), signed(term("crm:a00L1", planned_on=date(2026, 3, 1))))
        milestone = only(sim, "pse__Milestone__c")
        assert await ctx.crosswalk.remote_id("milestone", "crm:a00L1") == milestone.id
        assert milestone.fields["pse__Target_Date__c"] == "2026-03-01"
        sim.acts()["approve_milestone"](milestone.id, "2026-02-20")
        await deliver(opened, ctx, signed(term("crm:a00L1", "Go-live 2", "25000.00"), amended=True))
    fields = only(sim, "pse__Milestone__c").fields
    assert (fields["Name"], fields["pse__Milestone_Amount__c"]) == ("Go-live 2", 25000.0)
    assert (fields["pse__Status__c"], fields["pse__Target_Date__c"]) == ("Approved", "2026-03-01")


async def test_a_contract_without_milestones_is_held_by_its_project(
    sim: Salesforce, psa: Connect, ctx: FakeContext
) -> None:
    async with psa() as opened:
        _, receipt = await deliver(opened, ctx, created(), signed())
    assert receipt.remote_id == only(sim, "pse__Proj__c").id


async def test_of_a_collection_that_went_half_through_the_rest_follows(
    sim: Salesforce, psa: Connect, ctx: FakeContext
) -> None:
    """An error in a 200: the good row stays, the fact is not done until all are."""
    locked = [
        {"id": "a13000000000001AAA", "success": True, "errors": [], "created": True},
        {"success": False, "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "x", "fields": []}]},
    ]
    both = signed(term("crm:a00L1"), term("crm:a00L2"))
    async with psa() as opened:
        await deliver(opened, ctx, created())
        sim.faults.add(
            [
                Fault(
                    fault="wrong_body", body=locked, match=Match(path_prefix="/services/data/v64.0/composite")
                )
            ]
        )
        with pytest.raises(Retryable, match="UNABLE_TO_LOCK_ROW"):
            await deliver(opened, ctx, both)
        await deliver(opened, ctx, both)
    assert len(list(sim.ledger.of_kind("pse__Milestone__c"))) == 2


# -- what was invoiced ----------------------------------------------------------------------------------


async def test_an_invoice_marks_the_work_behind_its_charges_and_a_void_opens_it_again(
    sim: Salesforce, psa: Connect, ctx: FakeContext, work: Work
) -> None:
    kinds = ("pse__Timecard__c", "pse__Expense__c", "pse__Milestone__c")
    charges = work.charges()
    async with psa() as opened:
        noted = await deliver(opened, ctx, *charges)
        assert [receipt.remote_id for receipt in noted] == [
            *[work.split] * 3,
            *(work.expense, work.milestone, "none"),
        ]
        assert not any(invoiced(sim, kind)[0] for kind in kinds), "a charge alone writes nothing"
        (receipt,) = await deliver(opened, ctx, released([one.event.key for one in charges]))
        assert receipt.remote_id == f"{work.split},{work.expense},{work.milestone}"
        assert {invoiced(sim, kind) for kind in kinds} == {(True, "INV-1", "2026-01-31")}
        await deliver(opened, ctx, voided())
        assert {invoiced(sim, kind) for kind in kinds} == {(False, None, None)}
    assert len(only(sim, "pse__Timecard__c").writes) == 4, "made, approved, invoiced, open again"


async def test_an_invoice_waits_for_the_charges_it_names(psa: Connect, ctx: FakeContext, work: Work) -> None:
    async with psa() as opened:
        await deliver(opened, ctx, *work.charges()[:2])
        with pytest.raises(Unmet, match="b:t2"):
            await deliver(opened, ctx, released(["b:t0", "b:t1", "b:t2"]))


async def test_a_charge_waits_for_its_own_time_but_not_for_that_of_another_system(
    psa: Connect, ctx: FakeContext, work: Work
) -> None:
    async with psa() as opened:
        with pytest.raises(Unmet, match="not known"):
            await deliver(opened, ctx, charge("b:x", "time", "crm:unknown/2026-01-05"))
        (other,) = await deliver(opened, ctx, charge("b:y", "time", "kantata:17"))
    assert other.remote_id == "none"


async def test_a_reversal_marks_nothing(sim: Salesforce, psa: Connect, ctx: FakeContext, work: Work) -> None:
    async with psa() as opened:
        (noted,) = await deliver(opened, ctx, charge("b:-", "time", f"crm:{work.days[0]}", reverses="b:t0"))
        await deliver(opened, ctx, released(["b:-"]))
    assert noted.remote_id == "none"
    assert invoiced(sim, "pse__Timecard__c") == (False, None, None)


async def test_a_void_leaves_work_that_a_newer_invoice_has(
    sim: Salesforce, psa: Connect, ctx: FakeContext, work: Work
) -> None:
    async with psa() as opened:
        await deliver(opened, ctx, *work.charges())
        await deliver(opened, ctx, released(["b:t0"]), released(["b:t1"], "erp:2", "INV-2"), voided())
        assert invoiced(sim, "pse__Timecard__c") == (True, "INV-2", "2026-01-31")
        (never,) = await deliver(opened, ctx, voided("erp:9", "INV-2"))
    assert never.remote_id == "none", "an invoice that was never written here opens nothing"
    assert invoiced(sim, "pse__Timecard__c")[0] is True


async def test_a_lost_answer_to_a_write_back_is_sent_again(
    sim: Salesforce, psa: Connect, ctx: FakeContext, work: Work
) -> None:
    async with psa() as opened:
        await deliver(opened, ctx, *work.charges())
        sim.faults.add([Fault(fault="lose_response", match=Match(method="PATCH"))])
        with pytest.raises(Unsure):
            await deliver(opened, ctx, released(["b:t0", "b:e"]))
        await deliver(opened, ctx, released(["b:t0", "b:e"]))
    assert invoiced(sim, "pse__Timecard__c") == (True, "INV-1", "2026-01-31")


async def test_a_record_that_is_gone_is_told_with_certinia_s_words(
    sim: Salesforce, psa: Connect, ctx: FakeContext, work: Work
) -> None:
    async with psa() as opened:
        await deliver(opened, ctx, *work.charges())
        sim.org.delete(only(sim, "pse__Expense__c"))
        with pytest.raises(Rejected, match="refused records: 1") as refusal:
            await deliver(opened, ctx, released(["b:t0", "b:e"]))
    assert refusal.value.reason == "mapping"
    assert "ENTITY_IS_DELETED" in (refusal.value.peer_words or "")


LOCKED, REFUSED = Retryable("locked"), Rejected("no", peer_words="no")


@pytest.mark.parametrize(
    ("errors", "raised"),
    [
        pytest.param([REFUSED, LOCKED], Retryable, id="what waiting helps comes before what is refused"),
        pytest.param([LOCKED, Unsure("lost")], Unsure, id="a lost answer before a lock"),
        pytest.param([LOCKED, Throttled("rest")], Throttled, id="a pause before both"),
        pytest.param([Throttled("rest"), Fatal("key")], Fatal, id="what parks before all"),
        pytest.param([REFUSED, REFUSED], Rejected, id="refusals alone are told together"),
    ],
)
def test_one_outcome_decides_about_all_rows(errors: list[Any], raised: type[ConnectorError]) -> None:
    with pytest.raises(ConnectorError) as caught:
        sink._raise_worst(errors)
    assert type(caught.value) is raised


async def test_every_kind_is_class_a(psa: Connect) -> None:
    async with psa() as opened:
        each = (created(), moved(), signed(), signed(amended=True), charge("b", "time", "x"))
        events = [one.event for one in (*each, released([]), voided())]
        assert {event.kind for event in events} == sink_of(opened).accepts
        assert {sink_of(opened).delivery_class(event) for event in events} == {DeliveryClass.A}


async def test_what_it_does_not_take_is_refused(psa: Connect) -> None:
    ended = ContractEnded(
        source="crm", occurred_at=AT, entity="de", contract="crm:800A", ended_on=AT.date(), reason="x"
    )
    async with psa() as opened:
        with pytest.raises(Rejected, match=r"contract\.ended"):
            await sink_of(opened).deliver(delivery(ended))
