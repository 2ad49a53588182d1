"""Facts to the ERP: what waits, what is refused, what a repetition does. The same by files and by tables."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.sdk import Opened, Receipt, Rejected, Sink, Unmet
from isthmus.sdk.testing import SinkCase, SinkContract
from isthmus_legacy_erp.translate import reference, whole


@pytest.fixture
def bench(both: Any) -> Any:
    return both


class TestLegacyErpSink(SinkContract):
    """The promises of every sink. A lost response is a folder that cannot be synced after the last rename, or
    a commit that happened and broke the connection."""

    @pytest.fixture
    async def case(self, bench: Any) -> AsyncIterator[SinkCase]:
        async with bench.open() as opened:
            await bench.introduce(opened)
            assert opened.sink is not None

            def records() -> int:
                bench.sim.run_jobs()
                return len(bench.sim.ledger.all())

            events = [
                bench.charge(1),
                bench.charge(2, "-12.00"),
                bench.customer(customer="crm:A2"),
                bench.project(project="crm:O2"),
            ]
            yield SinkCase(
                sink=opened.sink,
                deliveries=[bench.delivery(event) for event in events],
                records=records,
                keep=lambda receipt: bench.ctx.keep(receipt.links),
                lose_next_response=bench.lose_next_response,
                expected=6,
            )


async def test_each_kind_gets_a_batch_of_its_own_in_one_call(bench: Any, opened: Opened) -> None:
    outcomes = await bench.send(
        opened,
        bench.charge(1),
        bench.customer(customer="crm:A2"),
        bench.charge(2),
        bench.project(project="crm:O2"),
    )
    names = [outcome.remote_id for outcome in outcomes]
    assert names == [
        bench.batch("charges", 1) + "#1",
        bench.batch("customers", 2) + "#1",
        bench.batch("charges", 1) + "#2",
        bench.batch("projects", 2) + "#1",
    ]
    assert {outcome.detail for outcome in outcomes} == {"SENT"}


async def test_200_facts_are_one_batch(bench: Any, opened: Opened) -> None:
    assert isinstance(opened.sink, Sink)
    assert opened.sink.batch_max == 200
    await bench.send(opened, *(bench.charge(n) for n in range(200)))
    assert bench.waiting() == [bench.batch("charges", 1)]
    assert bench.sim.run_jobs() == {"batches": 1, "posted": 200, "refused": 0}


async def test_a_project_waits_for_its_customer_and_a_charge_for_its_project(bench: Any) -> None:
    async with bench.open() as opened:
        customer, project, charge = await bench.send(
            opened, bench.customer(), bench.project(), bench.charge()
        )
        assert isinstance(customer, Receipt)
        assert isinstance(project, Unmet) and "customer crm:A1" in str(project)
        assert isinstance(charge, Unmet) and "project crm:O1" in str(charge)


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        pytest.param({"currency": "USD"}, "value", "kept in EUR", id="another currency"),
        pytest.param({"unit_price": Decimal("0.1234567")}, "value", "unit_price", id="too many decimals"),
        pytest.param({"line": "x" * 61}, "value", "contract_line: is 61 bytes", id="a long line name"),
        pytest.param({"service": "s" * 41}, "value", "is 41 bytes", id="a service with a long name"),
        pytest.param({"dimensions": {"a": "1;b"}}, "mapping", "has = or ;", id="an ambiguous dimension"),
        pytest.param({"dimensions": {"a": "x" * 160}}, "value", "dimensions", id="too many dimensions"),
        pytest.param({"charge": "a\nb"}, "value", "control characters", id="a line end in a key"),
    ],
)  # fmt: skip
async def test_what_the_layout_cannot_hold_is_refused_and_the_rest_goes_out(
    bench: Any, opened: Opened, changes: dict[str, Any], reason: str, words: str
) -> None:
    bad, good = await bench.send(opened, bench.charge(1, **changes), bench.charge(2))
    assert isinstance(bad, Rejected)
    assert bad.reason == reason and words in str(bad)
    assert good.remote_id.endswith("#1")


async def test_a_long_key_is_shortened_without_two_becoming_one(bench: Any, opened: Opened) -> None:
    first, second = (f"billing/charge/{'x' * 120}{end}" for end in "ab")
    await bench.send(opened, bench.charge(1, charge=first), bench.charge(2, charge=second))
    assert bench.sim.run_jobs()["posted"] == 2
    page = await bench.pull(opened, "responses")
    assert [event.charge for event in page.events] == [first, second], "our side knows the whole key"
    bench.sim.release_invoices()
    invoices = await bench.pull(opened, "receivables")
    assert invoices.events[0].charges == [first, second]


def test_a_reference_is_the_key_or_says_that_it_is_not() -> None:
    assert reference("k" * 40, 40) == "k" * 40 and whole("k" * 40, 40)
    short = reference("k" * 41, 40)
    assert len(short) == 40 and not whole(short, 40) and short != reference("k" * 42, 40)


async def test_a_correction_names_the_charge_it_reverses(bench: Any, opened: Opened) -> None:
    first = bench.charge(1)
    reversal = bench.charge(2, "-300.00", reverses=first.charge, quantity=Decimal("-2.00"))
    await bench.send(opened, first, reversal)
    bench.sim.run_jobs()
    fields = [record.fields for record in bench.sim.ledger.of_kind("charge")]
    assert [each["amount"] for each in fields] == ["300.00", "-300.00"]
    assert fields[1]["reverses"] == first.charge


async def test_master_data_is_updated_by_reference_and_never_by_something_older(
    bench: Any, opened: Opened
) -> None:
    for revision, name in ((3, "New name"), (2, "Older name")):
        await bench.send(opened, bench.customer(revision=revision, name=name))
        bench.sim.run_jobs()
    (customer,) = bench.sim.ledger.of_kind("customer")
    assert (customer.fields["name"], len(customer.writes)) == ("New name", 2)
    assert (await bench.pull(opened, "responses")).refused == []


async def test_a_replay_gives_the_line_the_erp_refused_a_new_batch_and_no_other(
    bench: Any, opened: Opened
) -> None:
    bench.sim.close_period("2026-10")
    charges = [bench.charge(1), bench.charge(2, posting_on=date(2026, 11, 1))]
    await bench.send(opened, *charges)
    bench.sim.run_jobs()
    bench.sim.reopen_period("2026-10")
    early = await bench.send(opened, *charges)
    assert {outcome.remote_id.partition("#")[0] for outcome in early} == {bench.batch("charges", 1)}, (
        "before the refusal was passed on nothing is sent again"
    )
    page = await bench.pull(opened, "responses")
    assert "PERI PERIOD 2026-10 IS CLOSED" in page.refused[0].reason
    await bench.pull(opened, "responses")
    bench.move(minutes=1)
    outcomes = await bench.send(opened, *charges)
    assert [outcome.remote_id for outcome in outcomes] == [
        bench.batch("charges", 2, bench.now()) + "#1",
        bench.batch("charges", 1) + "#2",
    ]
    bench.sim.run_jobs()
    assert sorted(bench.posted()) == ["billing/charge/1", "billing/charge/2"]
    page = await bench.pull(opened, "responses")
    assert [event.charge for event in page.events] == ["billing/charge/1"]
    await bench.pull(opened, "responses")
    again = await bench.send(opened, *charges)
    assert [outcome.remote_id for outcome in again] == [outcome.remote_id for outcome in outcomes]


async def test_numbers_go_on_where_an_older_integration_stopped(bench: Any) -> None:
    bench.know()
    async with bench.open(first_seq={"charges": 512}) as opened:
        (receipt,) = await bench.send(opened, bench.charge())
    assert receipt.remote_id == bench.batch("charges", 512) + "#1"
