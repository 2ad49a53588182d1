"""Batches to the byte: the same facts, number and time give the same file, today and in ten years."""

import hashlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from isthmus_legacy_erp.simulator.copybook import Style, copybook, unpack

GOLDEN = Path(__file__).with_name("golden")
NAME = "charges_ACME_00000001_20261005T080000Z.dat"


@pytest.mark.parametrize(
    ("golden", "style"),
    [
        pytest.param(
            "charges.cp1252-crlf-overpunch-implied.dat",
            {"encoding": "cp1252", "line_end": "crlf", "sign": "overpunch", "decimals": "implied"},
            id="a PC of the nineties",
        ),
        pytest.param(
            "charges.cp850-lf-trailing-point.dat",
            {"encoding": "cp850", "line_end": "lf", "sign": "trailing", "decimals": "point"},
            id="a DOS package",
        ),
        pytest.param(
            "charges.cp037-none-overpunch-implied.dat",
            {"encoding": "cp037", "line_end": "none", "sign": "overpunch", "decimals": "implied"},
            id="a mainframe, EBCDIC in fixed blocks",
        ),
        pytest.param(
            "charges.utf-8-lf-leading-point.dat",
            {"encoding": "utf-8", "line_end": "lf", "sign": "leading", "decimals": "point"},
            id="a modern script",
        ),
    ],
)
async def test_a_batch_of_charges_to_the_byte(
    make_bench: Callable[..., Any], golden: str, style: dict[str, str]
) -> None:
    bench = make_bench(**style)
    bench.know()
    first = bench.charge(1, "937.50", explanation=["6.25 h à 150.00"], quantity=Decimal("6.25"))
    reversal = bench.charge(2, "-937.50", reverses=first.charge, quantity=Decimal("-6.25"), service=None)
    async with bench.open() as opened:
        receipts = await bench.send(opened, first, reversal)
    assert [receipt.remote_id for receipt in receipts] == [f"{NAME}#1", f"{NAME}#2"]
    data = bench.path("outbound", NAME).read_bytes()
    assert data == (GOLDEN / golden).read_bytes()

    # What another program, which knows only the copybook, makes of these bytes.
    end = {"crlf": "\r\n", "lf": "\n", "none": ""}[style["line_end"]]
    erp = Style(style["encoding"], style["sign"], end, style["decimals"] == "point")
    records = unpack(copybook("charges"), data, erp)
    assert [kind for kind, _ in records] == ["H", "D", "D", "T"]
    assert [record.get("AMOUNT") for _, record in records[1:3]] == [Decimal("937.50"), Decimal("-937.50")]
    assert records[1][1]["LINE-TEXT"] == "6.25 h à 150.00"
    assert records[2][1]["REVERSES-REF"] == first.charge
    trailer: dict[str, Any] = dict(records[-1][1])
    assert (trailer["REC-COUNT"], trailer["TOT-QUANTITY"], trailer["TOT-AMOUNT"]) == (2, 0, 0)


async def test_the_marker_says_digest_size_and_totals(bench: Any) -> None:
    bench.know()
    async with bench.open() as opened:
        await bench.send(opened, bench.charge(1), bench.charge(2, "0.05"))
    data = bench.path("outbound", NAME).read_bytes()
    assert bench.path("outbound", f"{NAME}.done").read_text().splitlines() == [
        f"file={NAME}",
        "sha256=" + hashlib.sha256(data).hexdigest(),
        f"bytes={4 * 722}",
        "count=2",
        "quantity=4.00",
        "amount=300.05",
        "hash_total=23924",
    ]
