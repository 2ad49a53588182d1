"""Facts to the ERP: batches, what waits, what is refused, and what a repetition does."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.sdk import DeliveryClass, Fatal, Opened, Receipt, Rejected, Sink, Unmet, Unsure
from isthmus.sdk.testing import FakeContext, SinkCase, SinkContract
from isthmus_legacy_erp.batch import Totals
from isthmus_legacy_erp.names import FileName
from isthmus_legacy_erp.outbox import FrozenBatch
from isthmus_legacy_erp.translate import reference, whole


class TestLegacyErpSink(SinkContract):
    """The promises of every sink. A lost response is a folder that cannot be synced after the last rename."""

    @pytest.fixture
    async def case(self, bench: Any) -> AsyncIterator[SinkCase]:
        async with bench.open() as opened:
            await bench.introduce(opened)
            assert opened.sink is not None
            sync_folder = bench.disk.sync_folder

            def records() -> int:
                bench.sim.run_jobs()
                return len(bench.sim.ledger.all())

            def lose_next_response() -> None:
                calls = 0

                def fail_second(folder: Any) -> None:
                    nonlocal calls
                    calls += 1
                    if calls == 2:
                        bench.disk.sync_folder = sync_folder
                        raise OSError(5, "Input/output error")
                    sync_folder(folder)

                bench.disk.sync_folder = fail_second

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
                lose_next_response=lose_next_response,
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
        "charges_ACME_00000001_20261005T080000Z.dat#1",
        "customers_ACME_00000002_20261005T080000Z.dat#1",
        "charges_ACME_00000001_20261005T080000Z.dat#2",
        "projects_ACME_00000002_20261005T080000Z.dat#1",
    ]
    assert {outcome.detail for outcome in outcomes} == {"SENT"}


async def test_a_full_batch_of_200_is_one_file(bench: Any, opened: Opened) -> None:
    assert isinstance(opened.sink, Sink)
    assert opened.sink.batch_max == 200
    await bench.send(opened, *(bench.charge(n) for n in range(200)))
    assert len(bench.files("outbound")) == 2
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
        pytest.param({"service": "相談"}, "value", "not in cp1252", id="a service in another script"),
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
    assert {outcome.remote_id.partition("#")[0] for outcome in early} == {
        "charges_ACME_00000001_20261005T080000Z.dat"
    }, "before the refusal was passed on nothing is sent again"
    page = await bench.pull(opened, "responses")
    assert "PERI PERIOD 2026-10 IS CLOSED" in page.refused[0].reason
    await bench.pull(opened, "responses")
    bench.move(minutes=1)
    outcomes = await bench.send(opened, *charges)
    assert [outcome.remote_id for outcome in outcomes] == [
        "charges_ACME_00000002_20261005T080100Z.dat#1",
        "charges_ACME_00000001_20261005T080000Z.dat#2",
    ]
    bench.sim.run_jobs()
    assert sorted(bench.posted()) == ["billing/charge/1", "billing/charge/2"]
    page = await bench.pull(opened, "responses")
    assert [event.charge for event in page.events] == ["billing/charge/1"]
    await bench.pull(opened, "responses")
    again = await bench.send(opened, *charges)
    assert [outcome.remote_id for outcome in again] == [outcome.remote_id for outcome in outcomes]


async def test_a_batch_the_erp_refused_whole_goes_again_under_its_number_when_it_is_replayed(
    bench: Any, opened: Opened
) -> None:
    bench.sim.break_next("refuse_batch")
    (receipt,) = await bench.send(opened, bench.charge())
    sent = bench.path("outbound", receipt.remote_id.partition("#")[0]).read_bytes()
    bench.sim.run_jobs()
    await bench.send(opened, bench.charge())
    assert bench.files("outbound") == [], "nobody has heard of the refusal yet"
    page = await bench.pull(opened, "responses")
    assert "refused batch" in page.refused[0].reason and "BATCH REFUSED BY OPERATOR" in page.refused[0].reason
    await bench.pull(opened, "responses")
    async with bench.open() as restarted:
        await bench.pull(restarted, "responses")
        assert bench.files("outbound") == [], "a restart is no reason to send it again"
    assert await bench.send(opened, bench.charge()) == [receipt]
    assert bench.path("outbound", receipt.remote_id.partition("#")[0]).read_bytes() == sent
    bench.sim.run_jobs()
    assert bench.posted() == ["billing/charge/1"]
    assert len((await bench.pull(opened, "responses")).events) == 1


async def test_a_restored_backup_sends_under_new_numbers_and_doubles_nothing(
    bench: Any, opened: Opened
) -> None:
    for n in (1, 2):
        await bench.send(opened, bench.charge(n))
        bench.sim.run_jobs()
    for _ in range(2):
        await bench.pull(opened, "responses")
    # The store is back at a time before the charges: numbers, cursors and receipts are forgotten.
    bench.ctx = FakeContext("erp", now=bench.now)
    bench.know()
    bench.cursors.clear()
    async with bench.open() as restored:
        await bench.pull(restored, "responses")
        outcomes = await bench.send(restored, bench.charge(1), bench.charge(2), bench.charge(3))
        assert outcomes[0].remote_id == "charges_ACME_00000003_20261005T080000Z.dat#1"
        bench.sim.run_jobs()
        page = await bench.pull(restored, "responses")
    assert sorted(bench.posted()) == [f"billing/charge/{n}" for n in (1, 2, 3)]
    assert [event.charge for event in page.events] == [f"billing/charge/{n}" for n in (1, 2, 3)]
    assert page.refused == []


async def test_a_far_too_high_number_in_the_drop_directory_is_not_followed(bench: Any) -> None:
    bench.path("ack", "charges_ACME_99999998_20261005T080000Z.dat.ack").write_text("")
    async with bench.open() as opened:
        with pytest.raises(Fatal, match="shows 99999998"):
            await bench.send(opened, bench.customer())


async def test_numbers_go_on_where_an_older_integration_stopped(bench: Any) -> None:
    bench.know()
    async with bench.open(first_seq={"charges": 512}) as opened:
        (receipt,) = await bench.send(opened, bench.charge())
    assert receipt.remote_id == "charges_ACME_00000512_20261005T080000Z.dat#1"


async def test_a_hanging_mount_leaves_the_delivery_in_doubt_and_class_a(
    bench: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*args: object) -> None:
        raise Unsure("no answer within 60 s")

    with monkeypatch.context() as patch:
        patch.setattr(bench.disk, "fsync", too_late)
        (outcome,) = await bench.send(opened, bench.charge())
    assert isinstance(outcome, Unsure)
    assert opened.sink is not None
    assert opened.sink.delivery_class(bench.charge()) is DeliveryClass.A
    await bench.send(opened, bench.charge())
    bench.sim.run_jobs()
    assert bench.posted() == ["billing/charge/1"]


def test_frozen_bytes_that_were_changed_in_the_store_are_not_sent() -> None:
    batch = FrozenBatch(
        file=FileName(interface="charges", company="ACME", seq=1, created="20261005T080000Z"),
        encoding="cp1252",
        text="H1",
        sha256="0" * 64,
        totals=Totals(count=0, quantity=Decimal(0), amount=Decimal(0), hash_total=0),
        lines=[],
    )
    with pytest.raises(Fatal, match="changed in the store"):
        batch.data()
