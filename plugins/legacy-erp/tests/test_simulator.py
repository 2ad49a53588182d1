"""The simulated ERP: its guards, its acts, its memory, and that it knows no HTTP."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from isthmus.sdk import Link, Opened
from isthmus.sdk.http import open_http
from isthmus.sdk.simulator import ActRefused, started
from isthmus_legacy_erp.names import digest, marker
from isthmus_legacy_erp.settings import LegacyErpSettings
from isthmus_legacy_erp.simulator import LegacyErp

NAME = "charges_ACME_00000001_20261005T080000Z.dat"


def put(bench: Any, name: str, data: bytes) -> None:
    bench.path("outbound", name).write_bytes(data)
    said = marker({"file": name, "sha256": digest(data), "bytes": len(data)})
    bench.path("outbound", f"{name}.done").write_bytes(said)


async def taken(bench: Any, opened: Opened) -> bytes:
    """A batch of one charge that was posted; its bytes."""
    await bench.send(opened, bench.charge())
    data: bytes = bench.path("outbound", NAME).read_bytes()
    bench.sim.run_jobs()
    return data


async def test_the_first_guard_is_the_number_with_its_bytes(bench: Any, opened: Opened) -> None:
    data = await taken(bench, opened)
    put(bench, NAME, data)
    bench.sim.run_jobs()
    assert bench.files("outbound") == [] and f"{NAME}.nak" not in bench.files("ack")
    put(bench, NAME, data.replace(b"3000", b"9000"))
    bench.sim.run_jobs()
    assert "WAS USED BY ANOTHER BATCH" in bench.path("ack", f"{NAME}.nak").read_text()
    assert len(bench.posted()) == 1


async def test_the_second_guard_is_the_batch_id(bench: Any, opened: Opened) -> None:
    data = await taken(bench, opened)
    later = NAME.replace("00000001", "00000002")
    # The number in the header is raised, the batch id behind it stays.
    put(bench, later, data.replace(b"ACME      00000001", b"ACME      00000002", 1))
    bench.sim.run_jobs()
    assert "WAS PROCESSED BEFORE" in bench.path("ack", f"{later}.nak").read_text()
    assert len(bench.posted()) == 1


async def test_the_third_guard_is_the_reference_of_each_line(bench: Any, opened: Opened) -> None:
    data = await taken(bench, opened)
    put(bench, NAME.replace("00000001", "00000002"), data.replace(b"00000001", b"00000002", 2))
    bench.sim.run_jobs()
    assert len(bench.posted()) == 1
    response = bench.path("inbound", NAME.replace("charges_ACME_00000001", "charges-response_ACME_00000002"))
    assert b"ALREADY POSTED" in response.read_bytes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"posting_on": date(2026, 9, 30)}, "PERIOD 2026-09 IS CLOSED", id="a closed period"),
        pytest.param(
            {"reverses": "nothing"}, "REVERSED CHARGE nothing NOT POSTED", id="a reversal of nothing"
        ),
        pytest.param({"project": "crm:O7"}, "PROJECT P00007 UNKNOWN", id="an unknown project"),
    ],
)
async def test_the_erp_refuses_single_lines(
    bench: Any, opened: Opened, changes: dict[str, Any], words: str
) -> None:
    bench.ctx.keep([Link(kind="project", key="crm:O7", remote_id="P00007")])
    bench.sim.close_period("2026-09")
    await bench.send(opened, bench.charge(1, **changes), bench.charge(2))
    assert bench.sim.run_jobs() == {"batches": 1, "posted": 1, "refused": 1}
    page = await bench.pull(opened, "responses")
    assert words in page.refused[0].reason


async def test_the_same_reference_with_another_amount_is_refused(bench: Any, opened: Opened) -> None:
    await bench.send(opened, bench.charge())
    bench.sim.run_jobs()
    later = msgspec.structs.replace(bench.charge(1, "999.00"), id="another fact")
    await bench.send(opened, later)
    assert bench.sim.run_jobs()["refused"] == 1
    assert "DUPL ALREADY POSTED AS D0000001 WITH 300.00" in (
        " ".join(entry.reason for entry in (await bench.pull(opened, "responses")).refused)
    )


async def test_a_batch_out_of_turn_waits(bench: Any, opened: Opened) -> None:
    await bench.send(opened, bench.charge(1))
    path = bench.path("outbound", f"{NAME}.done")
    said = path.read_bytes()
    path.unlink()
    bench.move(seconds=1)
    await bench.send(opened, bench.charge(2))
    assert bench.sim.run_jobs()["batches"] == 0
    path.write_bytes(said)
    assert bench.sim.run_jobs()["batches"] == 2


async def test_accounting_acts_are_refused_where_they_make_no_sense(bench: Any, opened: Opened) -> None:
    await bench.send(opened, bench.charge())
    bench.sim.run_jobs()
    bench.sim.release_invoices()
    bench.sim.pay_invoice("INV000001", amount="1.00")
    bench.sim.close_period("2026-01")
    for act, arguments in (
        ("pay_invoice", {"invoice": "INV000009"}),
        ("pay_invoice", {"invoice": "INV000001", "amount": "300.00"}),
        ("void_invoice", {"invoice": "INV000001"}),
        ("close_period", {"period": "2026-01"}),
        ("close_period", {"period": "2026-13"}),
        ("reopen_period", {"period": "2026-02"}),
        ("release_invoices", {"project": "crm:O9"}),
        ("release_invoices", {"on": "yesterday"}),
        ("break_next", {"kind": "everything"}),
    ):
        with pytest.raises(ActRefused):
            bench.sim.acts()[act](**arguments)


async def test_a_project_that_owes_nothing_is_not_invoiced_yet(bench: Any, opened: Opened) -> None:
    await bench.send(opened, bench.charge(1, "-5.00"))
    bench.sim.run_jobs()
    assert bench.sim.release_invoices() == {"invoices": []}
    await bench.send(opened, bench.charge(2, "8.00"))
    bench.sim.run_jobs()
    assert bench.sim.release_invoices() == {"invoices": ["INV000001"]}
    (invoice,) = bench.sim.ledger.of_kind("invoice")
    assert Decimal(invoice.fields["total"]) == Decimal("3.00")


async def test_a_delayed_response_comes_when_its_time_has_come(bench: Any, opened: Opened) -> None:
    bench.sim.break_next("delay")
    await bench.send(opened, bench.charge())
    bench.sim.run_jobs()
    assert (await bench.pull(opened, "responses")).events == []
    bench.move(seconds=2)
    bench.sim.run_jobs()
    assert len((await bench.pull(opened, "responses")).events) == 1


async def test_it_runs_by_itself_keeps_its_state_and_has_no_http(tmp_path: Path, bench: Any) -> None:
    state = tmp_path / "erp.json"
    async with started(LegacyErp(), state_file=state) as running:
        assert isinstance(running, LegacyErp)
        bench.settings = msgspec.convert(
            running.credentials(), LegacyErpSettings, dec_hook=lambda wanted, value: wanted(value)
        )
        assert bench.settings.drop_dir == tmp_path / "erp.json.drop"
        async with bench.open() as opened:
            await bench.send(opened, bench.customer())
            with trio.fail_after(5):
                while not (await bench.pull(opened, "responses")).links:  # noqa: ASYNC110  another system's job
                    await trio.sleep(0.05)
        async with open_http(running.base_url) as http:
            missing = await http.get("/api/v1/anything")
            assert (missing.status, missing.words()) == (
                404,
                "this ERP exchanges files; see /_sim for its drop_dir",
            )
            about = (await http.get("/_sim")).json()
            assert about["credentials"]["drop_dir"] == str(bench.settings.drop_dir)
            assert set(about["acts"]) >= {"release_invoices", "pay_invoice", "close_period", "stop_jobs"}
            done = await http.post("/_sim/do", content=json.dumps({"act": "stop_jobs"}).encode())
            assert done.json() == {"running": False}
    async with started(LegacyErp(), state_file=state) as again:
        assert [record.external_key for record in again.ledger.all()] == ["crm:A1"]
        assert again.memory["running"] is False


async def test_without_a_place_for_it_the_drop_directory_goes_away_with_the_simulator() -> None:
    simulator = LegacyErp()
    root = Path(simulator.credentials()["drop_dir"])
    assert {path.name for path in root.iterdir()} >= {"outbound", "inbound"}  # noqa: ASYNC240
    del simulator
    assert not root.exists()  # noqa: ASYNC240


async def test_a_killed_simulator_does_what_it_had_decided(
    bench: Any, opened: Opened, tmp_path: Path
) -> None:
    bench.sim.state_file = tmp_path / "erp.json"
    await bench.send(opened, bench.charge())
    files = bench.sim._files()
    files.answer("periods", 1, bench.now(), [])
    bench.sim.save()  # and then it was killed
    again = LegacyErp(now=bench.now, drop_dir=bench.sim.drop_dir)
    again.restore(tmp_path / "erp.json")
    assert again.run_jobs()["posted"] == 1
    assert "periods_ACME_00000001_20261005T080000Z.dat.done" in bench.files("inbound")
