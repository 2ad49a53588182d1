"""Invoices into the org: once each, in any order, and only done when it is proven."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote_plus

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from isthmus.events import BusinessEvent, InvoiceReleased, InvoiceVoided, PaymentReceived
from isthmus.sdk import (
    ConnectorError,
    Delivery,
    DeliveryClass,
    Fatal,
    Link,
    Opened,
    Receipt,
    Rejected,
    Sink,
    Unmet,
    Unsure,
)
from isthmus.sdk.simulator import Fault, Match, Record
from isthmus.sdk.testing import FakeContext, SinkCase, SinkContract
from isthmus_salesforce.client import Client, one_of, portions
from isthmus_salesforce.simulator import Salesforce

Win = Callable[..., dict[str, Any]]
Connect = Callable[..., AbstractAsyncContextManager[Opened]]
AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
INVOICES = "/services/data/v64.0/sobjects/Invoice__c"


def delivery(event: BusinessEvent) -> Delivery:
    return Delivery(key=f"key of {event.id}", lane="crm", event=event)


def released(invoice: str = "erp:1", customer: str = "crm:A", **changes: Any) -> Delivery:
    given: dict[str, Any] = {
        "number": f"INV-{invoice}",
        "issued_on": AT.date(),
        "due_on": date(2026, 2, 4),
        "total": Decimal("100.10"),
        "currency": "EUR",
        "charges": [],
        **changes,
    }
    return delivery(
        InvoiceReleased(
            source="erp", occurred_at=AT, entity="de", invoice=invoice, customer=customer, **given
        )
    )


def paid(invoice: str = "erp:1", open_amount: str = "0.00", **changes: Any) -> Delivery:
    given: dict[str, Any] = {"currency": "EUR", **changes}
    return delivery(
        PaymentReceived(
            source="erp",
            occurred_at=AT,
            entity="de",
            payment=f"{invoice}:p",
            invoice=invoice,
            received_on=AT.date(),
            amount=Decimal("40.00"),
            open_amount=Decimal(open_amount),
            **given,
        )
    )


def voided(invoice: str = "erp:1") -> Delivery:
    return delivery(
        InvoiceVoided(
            source="erp",
            occurred_at=AT,
            entity="de",
            invoice=invoice,
            number=f"INV-{invoice}",
            on=AT.date(),
            amount=Decimal("100.10"),
            currency="EUR",
        )
    )


def sink_of(opened: Opened) -> Sink:
    assert opened.sink is not None
    return opened.sink


def held(sim: Salesforce, key: str = "erp:1") -> Record:
    (record,) = sim.ledger.by_external_key("Invoice__c", key)
    return record


def shown(record: Record) -> tuple[Any, ...]:
    return tuple(record.fields[name] for name in ("Number__c", "Total__c", "Open_Amount__c", "Status__c"))


@pytest.fixture
def customer(win: Win, ctx: FakeContext) -> str:
    """The key of a customer with a deal, both known to the crosswalk."""
    won = win()
    ctx.keep(
        [
            Link(kind="customer", key=f"crm:{won['account']}", remote_id=won["account"]),
            Link(kind="project", key=f"crm:{won['opportunity']}", remote_id=won["opportunity"]),
        ]
    )
    return f"crm:{won['account']}"


class TestInvoices(SinkContract):
    @pytest.fixture
    async def case(self, sim: Salesforce, ctx: FakeContext, connect: Connect, customer: str) -> Any:
        async with connect() as opened:
            yield SinkCase(
                sink=sink_of(opened),
                deliveries=[
                    released("erp:1", customer),
                    paid("erp:1", "60.10"),
                    paid("erp:2"),
                    released("erp:2", customer),
                    released("erp:3", customer),
                    voided("erp:3"),
                ],
                records=lambda: len(list(sim.ledger.of_kind("Invoice__c"))),
                keep=lambda receipt: ctx.keep(receipt.links),
                lose_next_response=lambda: sim.faults.add(
                    [Fault(fault="lose_response", match=Match(method="PATCH"))]
                ),
            )


async def test_a_build_that_creates_instead_of_upserting_doubles(
    sim: Salesforce, connect: Connect, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the contract above: a plain create under a key of its own, sent again after a loss."""

    async def create(self: Client, item: str, field: str, key: str, body: dict[str, Any]) -> Any:
        return await right(self, item, field, f"{key}#{len(list(sim.ledger.of_kind(item)))}", body)

    right = Client.upsert
    monkeypatch.setattr(Client, "upsert", create)
    async with connect() as opened:
        sim.faults.add([Fault(fault="lose_response", match=Match(method="PATCH"))])
        with pytest.raises(Unsure):
            await sink_of(opened).deliver(released("erp:1", customer))
        await sink_of(opened).deliver(released("erp:1", customer))
    assert len(list(sim.ledger.of_kind("Invoice__c"))) == 2


async def test_an_invoice_and_its_story(
    sim: Salesforce, connect: Connect, customer: str, ctx: FakeContext
) -> None:
    async with connect() as opened:
        sink = sink_of(opened)
        receipt = await sink.deliver(released("erp:1", customer))
        record = held(sim)
        assert receipt.remote_id == record.id
        assert receipt.links == [Link(kind="invoice", key="erp:1", remote_id=record.id)]
        assert shown(record) == ("INV-erp:1", 100.1, 100.1, "Released")
        assert record.fields["Account__c"] == customer.removeprefix("crm:")
        await sink.deliver(paid("erp:1", "60.10"))
        assert shown(record) == ("INV-erp:1", 100.1, 60.1, "Partly Paid")
        await sink.deliver(paid("erp:1"))
        assert shown(record) == ("INV-erp:1", 100.1, 0.0, "Paid")
        await sink.deliver(voided("erp:1"))
        assert shown(record) == ("INV-erp:1", 100.1, 0.0, "Voided")
    assert [write.op for write in record.writes] == ["upsert"] * 4


async def test_a_payment_may_come_before_its_invoice(
    sim: Salesforce, connect: Connect, customer: str
) -> None:
    async with connect() as opened:
        await sink_of(opened).deliver(paid("erp:1", "60.10"))
        await sink_of(opened).deliver(released("erp:1", customer))
    assert shown(held(sim)) == ("INV-erp:1", 100.1, 60.1, "Partly Paid")


async def test_amounts_are_sent_with_all_their_digits(
    sim: Salesforce, connect: Connect, customer: str
) -> None:
    async with connect() as opened:
        await sink_of(opened).deliver(released("erp:1", customer, total=Decimal("9007199254740.93")))
        sim.faults.add([Fault(fault="status", match=Match(contains='"Total__c":100.10'), status=500)])
        with pytest.raises(ConnectorError):
            await sink_of(opened).deliver(released("erp:2", customer))
    assert held(sim).fields["Total__c"] == 9007199254740.93


@pytest.mark.parametrize(
    ("key", "word"),
    [
        pytest.param("erp:a/b", "a slash", id="a slash stays in the key"),
        pytest.param("erp:a'b\\", "a quote", id="a quote and a backslash stay in the key"),
        pytest.param("erp:ä %2F?#", "others", id="blanks, percent and question marks stay in the key"),
    ],
)
async def test_odd_keys_name_one_record(
    sim: Salesforce, connect: Connect, customer: str, key: str, word: str
) -> None:
    async with connect() as opened:
        first = await sink_of(opened).deliver(released(key, customer))
        again = await sink_of(opened).deliver(paid(key))
    assert first.remote_id == again.remote_id == held(sim, key).id, word


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        pytest.param({"customer": "other:1"}, "customer other:1", id="the customer"),
        pytest.param({"project": "other:2"}, "project other:2", id="the project"),
    ],
)
async def test_what_an_invoice_refers_to_must_be_known(
    sim: Salesforce, connect: Connect, customer: str, changes: dict[str, Any], missing: str
) -> None:
    async with connect() as opened:
        with pytest.raises(Unmet, match=missing):
            await sink_of(opened).deliver(released(**{"customer": customer, **changes}))
    assert list(sim.ledger.of_kind("Invoice__c")) == []


async def test_an_org_with_one_currency_takes_no_other(sim: Salesforce, connect: Connect) -> None:
    async with connect(currency="USD") as opened:
        with pytest.raises(Rejected) as refusal:
            await sink_of(opened).deliver(paid())
        assert refusal.value.reason == "mapping"
        await sink_of(opened).deliver(paid(currency="USD"))
    assert "CurrencyIsoCode" not in held(sim).writes[0].body


async def test_a_key_that_names_another_invoice_is_refused(
    sim: Salesforce, connect: Connect, customer: str
) -> None:
    async with connect() as opened:
        await sink_of(opened).deliver(released("erp:1", customer))
        with pytest.raises(Rejected) as refusal:
            await sink_of(opened).deliver(released("erp:1", customer, number="INV-77"))
    assert refusal.value.reason == "duplicate"
    assert held(sim).fields["Number__c"] == "INV-erp:1"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(None, id="an empty 200"),
        pytest.param("<html>gateway</html>", id="a page of a proxy"),
        pytest.param({"success": True, "errors": []}, id="no id"),
        pytest.param({"id": "a01000000000000AAA", "success": False, "errors": []}, id="no success"),
        pytest.param(
            {"id": "a01000000000000AAA", "success": True, "errors": [], "created": False},
            id="another record's id",
        ),
        pytest.param([], id="an answer of another form"),
    ],
)
async def test_what_proves_nothing_is_not_done(
    sim: Salesforce, connect: Connect, customer: str, body: object
) -> None:
    async with connect() as opened:
        sink = sink_of(opened)
        await sink.deliver(released("erp:1", customer))
        sim.faults.add([Fault(fault="wrong_body", body=body, match=Match(method="PATCH"))])
        with pytest.raises(Unsure):
            await sink.deliver(paid("erp:1"))
        receipt = await sink.deliver(paid("erp:1"))
    assert receipt.remote_id == held(sim).id


async def test_a_late_commit_is_met_by_the_same_key(sim: Salesforce, connect: Connect, customer: str) -> None:
    async with connect() as opened:
        sim.faults.add([Fault(fault="late_commit", delay_s=0.05, match=Match(method="PATCH"))])
        with pytest.raises(Unsure):
            await sink_of(opened).deliver(released("erp:1", customer))
        await sink_of(opened).deliver(released("erp:1", customer))
        await trio.sleep(0.1)
    assert len(held(sim).writes) == 2


async def test_an_old_api_version_that_names_no_record_is_asked_for_it(
    sim: Salesforce, connect: Connect, customer: str
) -> None:
    async with connect(api_version="v45.0") as opened:
        made = await sink_of(opened).deliver(released("erp:1", customer))
        changed = await sink_of(opened).deliver(paid("erp:1"))
    assert made.remote_id == changed.remote_id == held(sim).id


async def test_a_batch_has_a_fate_per_row(sim: Salesforce, connect: Connect, customer: str) -> None:
    async with connect() as opened:
        sink = sink_of(opened)
        outcomes = await sink.deliver_many(
            [
                released("erp:1", customer),
                released("erp:2", "other:1"),
                released("erp:3", customer, number="N" * 300),
                paid("erp:4", "60.10"),
            ]
        )
    first, unmet, too_long, fourth = outcomes
    assert isinstance(first, Receipt) and first.remote_id == held(sim, "erp:1").id
    assert isinstance(unmet, Unmet)
    assert isinstance(too_long, Rejected) and too_long.reason == "value"
    assert isinstance(fourth, Receipt) and fourth.remote_id == held(sim, "erp:4").id
    assert len(list(sim.ledger.of_kind("Invoice__c"))) == 2


async def test_a_batch_whose_answer_is_lost_is_sent_again_under_the_same_keys(
    sim: Salesforce, connect: Connect, customer: str
) -> None:
    batch = [released(f"erp:{n}", customer) for n in range(50)]
    async with connect() as opened:
        sim.faults.add([Fault(fault="lose_response", match=Match(method="PATCH"))])
        with pytest.raises(Unsure):
            await sink_of(opened).deliver_many(batch)
        outcomes = await sink_of(opened).deliver_many(batch)
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)
    assert len(list(sim.ledger.of_kind("Invoice__c"))) == 50


async def test_a_batch_with_an_answer_that_is_too_short_is_not_done(
    sim: Salesforce, connect: Connect
) -> None:
    async with connect() as opened:
        sim.faults.add([Fault(fault="wrong_body", body=[], match=Match(method="PATCH"))])
        with pytest.raises(Unsure):
            await sink_of(opened).deliver_many([paid("erp:1"), paid("erp:2")])


async def test_every_kind_is_class_a(connect: Connect) -> None:
    async with connect() as opened:
        sink = sink_of(opened)
        kinds = {each.event.kind for each in (released(), paid(), voided())}
        assert kinds == sink.accepts
        for each in (released(), paid(), voided()):
            assert sink.delivery_class(each.event) is DeliveryClass.A


async def test_writes_under_one_account_wait_for_each_other(
    sim: Salesforce, connect: Connect, customer: str, win: Win, ctx: FakeContext
) -> None:
    """Salesforce locks the account; two calls at once would end in UNABLE_TO_LOCK_ROW."""
    other = win(account="Other")["account"]
    ctx.keep([Link(kind="customer", key="crm:other", remote_id=other)])
    inside, most = Counter[str](), Counter[str]()
    right = Client.upsert

    async def watched(self: Client, item: str, field: str, key: str, body: Any) -> Any:
        parent = body["Account__c"]
        inside[parent] += 1
        inside["all"] += 1
        most[parent] = max(most[parent], inside[parent])
        most["all"] = max(most["all"], inside["all"])
        await trio.sleep(0.01)
        try:
            return await right(self, item, field, key, body)
        finally:
            inside[parent] -= 1
            inside["all"] -= 1

    async with connect() as opened, trio.open_nursery() as nursery:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Client, "upsert", watched)
            async with trio.open_nursery() as sending:
                for n, key in enumerate((customer, customer, customer, "crm:other")):
                    sending.start_soon(sink_of(opened).deliver, released(f"erp:{n}", key))
        nursery.cancel_scope.cancel()
    assert most == {customer.removeprefix("crm:"): 1, other: 1, "all": 2}


async def test_a_field_the_user_may_not_edit_stops_writing_before_the_first_record(
    sim: Salesforce, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Client.describe

    async def hidden(self: Client, item: str) -> dict[str, Any]:
        described = await right(self, item)
        for field in described["fields"]:
            if field["name"] in ("Status__c", "Total__c"):
                field["updateable"] = field["createable"] = False
        return described

    monkeypatch.setattr(Client, "describe", hidden)
    async with connect() as opened:
        with pytest.raises(Fatal, match=r"Total__c that the user may not edit, Status__c that the user"):
            await sink_of(opened).deliver(paid())
    assert list(sim.ledger.of_kind("Invoice__c")) == []


CONFUSABLE = [
    pytest.param("erp:a", "erp:A", id="case"),
    pytest.param("erp:1", "erp:01", id="a leading zero"),
    pytest.param("erp:1", "erp:1 ", id="a blank at the end"),
    pytest.param("erp:1", " erp:1", id="a blank at the beginning"),
    pytest.param("erp:1 2", "erp:1  2", id="two blanks"),
    pytest.param("erp:\u00fc", "erp:u\u0308", id="a letter in two parts"),
    pytest.param("erp:1", "erp:1\x00", id="a NUL"),
    pytest.param("erp:1", "erp:1\u200b", id="a blank without width"),
    pytest.param("erp:1", "erp:\uff11", id="a wide digit"),
    pytest.param("erp:'", "erp:\u2019", id="quotes"),
    pytest.param("erp:%41", "erp:A", id="an escape"),
]


@pytest.mark.parametrize(("first", "second"), CONFUSABLE)
@pytest.mark.parametrize("many", [False, True], ids=["one by one", "in a collection"])
async def test_keys_that_look_alike_are_two_records_or_a_refusal_never_one(
    sim: Salesforce, connect: Connect, first: str, second: str, many: bool
) -> None:
    facts = [paid(first, "60.10"), paid(second, "70.20")]
    async with connect() as opened:
        sink = sink_of(opened)
        outcomes: list[Receipt | ConnectorError] = []
        for batch in [facts] if many else [[fact] for fact in facts]:
            outcomes += await sink.deliver_many(batch)
    done = [outcome.remote_id for outcome in outcomes if isinstance(outcome, Receipt)]
    assert len(done) == len(set(done)) == len(list(sim.ledger.of_kind("Invoice__c")))
    assert all(isinstance(o, Receipt) or (isinstance(o, Rejected) and o.reason == "value") for o in outcomes)
    assert held(sim, first).fields["Open_Amount__c"] == 60.1, "the second changed nothing of the first"


async def test_a_key_without_regard_to_case_is_no_key(
    sim: Salesforce, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Client.describe

    async def lax(self: Client, item: str) -> dict[str, Any]:
        described = await right(self, item)
        for field in described["fields"]:
            field["caseSensitive"] = False
        return described

    monkeypatch.setattr(Client, "describe", lax)
    async with connect() as opened:
        with pytest.raises(Fatal, match="Isthmus_Key__c that is not caseSensitive"):
            await sink_of(opened).deliver(paid())


async def test_long_keys_are_looked_up_in_parts_that_fit_into_a_url(
    sim: Salesforce, connect: Connect
) -> None:
    """A key may have 200 characters, and a character nine bytes in a URL."""
    keys = [f"erp:{n:02}" + "\u8acb" * 190 for n in range(50)]
    async with connect() as opened:
        for _ in range(2):
            outcomes = await sink_of(opened).deliver_many([paid(key) for key in keys])
            assert all(isinstance(outcome, Receipt) for outcome in outcomes)
    assert len(list(sim.ledger.of_kind("Invoice__c"))) == 50


@given(st.lists(st.text(min_size=1, max_size=200), max_size=60))
def test_portions_are_all_of_it_in_order_and_short(values: list[str]) -> None:
    parts = portions(values)
    assert [value for part in parts for value in part] == values
    assert all(len(quote_plus(one_of("Isthmus_Key__c", part))) < 12_500 for part in parts)
