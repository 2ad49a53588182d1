"""Batch files: what happens to them that cannot happen to rows."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from isthmus.sdk import DeliveryClass, Fatal, Opened, Receipt, Rejected, Unsure
from isthmus.sdk.testing import FakeContext
from isthmus_legacy_erp.batch import Totals
from isthmus_legacy_erp.names import FileName
from isthmus_legacy_erp.outbox import FrozenBatch


@pytest.mark.parametrize("encoding", ["cp1252", "cp850", "cp037"])
async def test_a_character_the_encoding_lacks_is_refused_and_the_rest_goes_out(
    make_bench: Callable[..., Any], encoding: str
) -> None:
    bench = make_bench(encoding=encoding)
    bench.know()
    async with bench.open() as opened:
        bad, good = await bench.send(opened, bench.charge(1, service="相談"), bench.charge(2))
    assert isinstance(bad, Rejected) and f"not in {encoding}" in str(bad)
    assert isinstance(good, Receipt)


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
