"""What every connector promises, by files and by tables: a cancel leaves nothing, memory is a page's."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isthmus.sdk import Opened
from isthmus.sdk.testing import CancelCase, CancelContract, peak_of_reading
from isthmus_legacy_erp import batch, layout, names
from isthmus_legacy_erp.codec import Codec
from isthmus_legacy_erp.names import FileName


@pytest.fixture
def bench(both: Any) -> Any:
    return both


class TestCancelled(CancelContract):
    """A batch, its answer and the ERP's own facts, cancelled wherever they wait."""

    @pytest.fixture
    async def cancel_case(self, bench: Any) -> CancelCase:
        bench.know()
        bench.sim.close_period("2026-09")

        async def work(opened: Opened) -> None:
            await bench.send(opened, bench.charge())
            bench.sim.run_jobs()
            assert opened.source is not None and opened.probe is not None
            for stream in opened.source.streams:
                await opened.source.pull(stream, None)
            await opened.probe.checks()

        return CancelCase(open=bench.open, work=work)


def drop_payments(bench: Any, payments: int, per_file: int = 200) -> None:
    """Files of the ERP with so many payments."""
    codec = Codec(layout.load("receivables", None), bench.settings.text, "EUR")
    folder = Path(bench.sim.drop_dir) / "inbound"
    folder.mkdir(parents=True, exist_ok=True)
    for seq, first in enumerate(range(0, payments, per_file), start=1):
        file = FileName(interface="receivables", company="ACME", seq=seq, created="20261005T080000Z")
        header: dict[str, Any] = {
            "interface": "receivables",
            "company": "ACME",
            "seq": seq,
            "currency": "EUR",
        }
        details: list[Any] = [("payment", payment(n)) for n in range(first, first + per_file)]
        data, _ = batch.build(
            codec, {**header, "batch_id": f"E{seq}", "created": bench.now(), "currency": "EUR"}, details
        )
        (folder / str(file)).write_bytes(data)
        (folder / f"{file}.done").write_bytes(names.marker({"sha256": names.digest(data)}))


def payment(n: int) -> dict[str, Any]:
    amounts = {"amount": Decimal("12.50"), "open_amount": Decimal(0), "currency": "EUR"}
    return {"ref": f"P{n}", "invoice": f"I{n}", "received_on": date(2026, 10, 5), **amounts}


def insert_payments(bench: Any, payments: int) -> None:
    """Rows of the ERP with so many payments."""
    rows = [(f"P{n}", f"I{n}") for n in range(payments)]
    bench.fill(
        "INSERT INTO isth_out (company, kind, ref, invoice_no, issued_on, amount, open_amount, currency)"
        " VALUES ('ACME', 'payment', ?, ?, '2026-10-05', '12.50', '0', 'EUR')",
        rows,
    )


async def peak(bench: Any, payments: int, **changes: Any) -> int:
    """The most bytes held at once while so many payments are read."""
    make = insert_payments if bench.interface == "sql" else drop_payments
    make(bench, payments)
    async with bench.open(**changes) as opened:
        read, most = await peak_of_reading(opened.source, "receivables")
    assert read == payments
    return most


async def test_ten_thousand_records_take_the_memory_of_a_page(bench: Any, tmp_path: Path) -> None:
    """Beside it the mutant, which reads everything in one page."""

    def fresh(name: str) -> Any:
        return type(bench)(tmp_path / name, interface=bench.interface)

    page: dict[str, Any] = {"files_per_page": 2}
    whole: dict[str, Any] = {"files_per_page": 1_000}
    await peak(fresh("once, for what a process keeps"), 200, **page)
    small = await peak(fresh("small"), 1_000, **page)
    assert await peak(fresh("large"), 10_000, **page) < 1.5 * small
    if bench.interface == "sql":
        whole = {"staging": msgspec.structs.replace(fresh("mutant").settings.staging, rows_per_page=100_000)}
    assert await peak(fresh("mutant"), 4_000, **whole) > 2 * small
