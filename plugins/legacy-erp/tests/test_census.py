"""What the tables say the ERP holds, for reconciliation."""

from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
import pytest

from isthmus.sdk import CensusRow, Opened

OCTOBER = (date(2026, 10, 1), date(2026, 10, 31))


@pytest.fixture
def bench(make_bench: Callable[..., Any]) -> Any:
    bench = make_bench(interface="sql")
    staging = msgspec.structs.replace(bench.settings.staging, rows_per_page=2)
    bench.settings = msgspec.structs.replace(bench.settings, staging=staging)
    return bench


async def counted(opened: Opened, kind: str) -> list[CensusRow]:
    assert opened.census is not None
    return [row async for row in opened.census.rows(kind, *OCTOBER)]


async def test_posted_charges_of_a_window_are_counted_with_the_erps_amounts(bench: Any) -> None:
    async with bench.open() as opened:
        await bench.introduce(opened)
        bench.sim.break_next("reject_line")
        long = f"billing/charge/{'x' * 130}"
        await bench.send(
            opened,
            bench.charge(1),
            bench.charge(2, "12.34"),
            bench.charge(3, posting_on=date(2026, 11, 1)),
            bench.charge(4),
            bench.charge(5, charge=long),
        )
        bench.sim.run_jobs()
        await bench.pull(opened, "responses")
        bench.rows("UPDATE isth_line SET posted_amount = '301.00' WHERE ext_ref = 'billing/charge/4'")
        rows = await counted(opened, "charge")
    assert [(row.key, row.remote_id, str(row.amount)) for row in rows] == [
        ("billing/charge/2", "D0000001", "12.34"),
        ("billing/charge/4", "D0000003", "301.00"),
        (long, "D0000004", "300.00"),
    ]
    assert {row.status for row in rows} == {"posted"}


async def test_invoices_are_counted_without_those_taken_back(bench: Any) -> None:
    async with bench.open() as opened:
        await bench.introduce(opened)
        for n in range(4):
            await bench.send(opened, bench.charge(n))
            bench.sim.run_jobs()
            bench.sim.release_invoices(on="2026-11-01" if n == 3 else "2026-10-31")
        bench.sim.void_invoice("INV000002")
        rows = await counted(opened, "invoice")
    assert [(row.key, row.status, str(row.amount)) for row in rows] == [
        ("erp:INV000001", "", "300.00"),
        ("erp:INV000003", "", "300.00"),
    ]


async def test_a_charge_sent_twice_is_counted_once(bench: Any) -> None:
    """After a restored backup a line can be posted again, under the number it has."""
    async with bench.open() as opened:
        await bench.introduce(opened)
        await bench.send(opened, bench.charge(1))
        bench.sim.run_jobs()
        columns = "batch_id, iface, company, line_no, ext_ref, revision, posting_on, amount, currency, status"
        bench.rows(
            f"INSERT INTO isth_line ({columns}, erp_doc_no, try_no)"
            f" SELECT {columns.replace('line_no', 'line_no + 1')}, erp_doc_no, 2 FROM isth_line"
            " WHERE iface = 'charges'"
        )
        assert len(await counted(opened, "charge")) == 1
