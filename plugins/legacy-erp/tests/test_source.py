"""Facts from the ERP: answers, receivables, periods. The same by files and by tables."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from isthmus.sdk import Opened, Source
from isthmus.sdk.testing import SourceContract
from isthmus_legacy_erp.simulator.posting import Books, LineRefused


@pytest.fixture
def bench(both: Any) -> Any:
    return both


class TestLegacyErpSource(SourceContract):
    """The promises of every source, one file per page."""

    @pytest.fixture
    async def source(self, bench: Any) -> AsyncIterator[Source]:
        async with bench.open(files_per_page=1) as opened:
            await bench.introduce(opened)
            for n in range(3):
                await bench.send(opened, bench.charge(n), bench.charge(n + 10))
                bench.sim.run_jobs()
            for _ in range(8):
                await bench.pull(opened, "responses")
            for n in range(3):
                bench.sim.release_invoices()
                await bench.send(opened, bench.charge(n + 20))
                bench.sim.run_jobs()
                bench.sim.close_period(f"2026-0{n + 1}")
            bench.sim.pay_invoice("INV000001")
            assert opened.source is not None
            yield opened.source


async def post(bench: Any, opened: Opened, *charges: Any) -> Any:
    await bench.send(opened, *charges)
    bench.sim.run_jobs()
    return await bench.pull(opened, "responses")


async def test_a_posted_line_becomes_a_fact_and_a_link(bench: Any, opened: Opened) -> None:
    charge = bench.charge(1, "937.50")
    page = await post(bench, opened, charge)
    (posted,) = page.events
    assert (posted.charge, posted.system, posted.remote_id) == (charge.charge, "erp", "D0000001")
    assert (str(posted.amount), posted.currency, posted.project) == ("937.50", "EUR", "crm:O1")
    assert (posted.causation, posted.correlation) == (charge.id, charge.id)
    assert [(link.kind, link.key, link.remote_id) for link in page.links] == [
        ("charge", charge.charge, "D0000001")
    ]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param("PERI", "period", id="a closed period"),
        pytest.param("PROJ", "mapping", id="an unknown project"),
        pytest.param("CUST", "mapping", id="an unknown customer"),
        pytest.param("REVS", "missing", id="a reversal of something not posted"),
        pytest.param("CURR", "value", id="another currency"),
        pytest.param("VALU", "value", id="a value"),
        pytest.param("DUPL", "duplicate", id="a reference posted with another amount"),
        pytest.param("AUTH", "permission", id="missing rights"),
        pytest.param("ZZZZ", "other", id="a code nobody listed"),
    ],
)
async def test_a_refused_line_is_reported_with_the_erps_words_and_the_others_post(
    bench: Any, opened: Opened, code: str, reason: str
) -> None:
    bench.sim.break_next("reject_line", code=code)
    page = await post(bench, opened, bench.charge(1), bench.charge(2))
    assert [event.charge for event in page.events] == ["billing/charge/2"]
    (refused,) = page.refused
    assert (
        refused.reason
        == f"charge billing/charge/1 was not posted ({reason}): {code} LINE REFUSED BY OPERATOR"
    )
    place = (
        "isth_line charges-ACME-00000001:1"
        if bench.interface == "sql"
        else "charges-response_ACME_00000001.dat:2"
    )
    assert refused.place == place


async def test_an_invoice_names_our_keys(bench: Any, opened: Opened) -> None:
    await post(bench, opened, bench.charge(1, "937.50"), bench.charge(2, "-37.50"))
    assert bench.sim.release_invoices(project="crm:O1", on="2026-10-31") == {"invoices": ["INV000001"]}
    (invoice,) = (await bench.pull(opened, "receivables")).events
    assert (invoice.invoice, invoice.customer, invoice.project) == ("erp:INV000001", "crm:A1", "crm:O1")
    assert (str(invoice.total), str(invoice.issued_on), str(invoice.due_on)) == (
        "900.00",
        "2026-10-31",
        "2026-11-30",
    )
    assert invoice.charges == ["billing/charge/1", "billing/charge/2"]


async def test_an_invoice_read_before_its_response_names_our_charges_all_the_same(
    bench: Any, opened: Opened
) -> None:
    await bench.send(opened, bench.charge())
    bench.sim.run_jobs()
    bench.sim.release_invoices()
    (invoice,) = (await bench.pull(opened, "receivables")).events
    assert invoice.charges == ["billing/charge/1"]


async def test_what_the_erp_keeps_without_us_has_keys_of_the_erp(bench: Any, opened: Opened) -> None:
    at = bench.now()
    number = Books(bench.sim.ledger, bench.sim.memory, "EUR").next_no("project", "P{:05d}")
    bench.sim.ledger.create("project", number, {"customer": "C00099"}, at=at)
    fields = {"project": number, "amount": "10.00", "invoice": None}
    bench.sim.ledger.create("charge", "D0000099", fields, at=at)
    bench.sim.release_invoices()
    (invoice,) = (await bench.pull(opened, "receivables")).events
    assert (invoice.customer, invoice.project) == ("erp:C00099", f"erp:{number}")
    assert invoice.charges == ["erp:D0000099"]


async def test_payments_and_voids_come_back(bench: Any, opened: Opened) -> None:
    await post(bench, opened, bench.charge())
    bench.sim.release_invoices()
    bench.sim.void_invoice("INV000001", reason="WRONG ADDRESS")
    bench.sim.release_invoices()
    bench.sim.pay_invoice("INV000002", amount="100.00", on="2026-11-15")
    bench.sim.pay_invoice("INV000002")
    _, void, _, first, second = (await bench.pull(opened, "receivables")).events
    assert (void.kind, void.number, str(void.amount), void.reason) == (
        "invoice.voided",
        "INV000001",
        "300.00",
        "WRONG ADDRESS",
    )
    assert [str(each.open_amount) for each in (first, second)] == ["200.00", "0.00"]
    assert (first.payment, first.invoice, str(first.received_on)) == (
        "erp:PAY000001",
        "erp:INV000002",
        "2026-11-15",
    )
    assert {each.project for each in (void, first, second)} == {"crm:O1"}


async def test_a_period_that_is_closed_again_has_a_higher_revision(bench: Any, opened: Opened) -> None:
    events: list[Any] = []
    for change in (bench.sim.close_period, bench.sim.reopen_period, bench.sim.close_period):
        change("2026-02")
        events += (await bench.pull(opened, "periods")).events
    assert [(event.kind, event.revision) for event in events] == [
        ("period.closed", 1),
        ("period.reopened", 2),
        ("period.closed", 3),
    ]
    assert (str(events[0].starts_on), str(events[0].ends_on), events[0].ledger) == (
        "2026-02-01",
        "2026-02-28",
        "all",
    )


def test_the_erp_refuses_with_a_code_and_words() -> None:
    assert str(LineRefused("PERI", "PERIOD 2026-10 IS CLOSED")) == "PERI PERIOD 2026-10 IS CLOSED"
