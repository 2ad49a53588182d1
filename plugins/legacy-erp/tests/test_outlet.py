"""What the ERP tells by rows: late identities, invoices with their charges."""

import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from isthmus.sdk.testing import LateCase, LateContract
from isthmus_legacy_erp.look import Cursor
from isthmus_legacy_erp.settings import LegacyErpSettings
from isthmus_legacy_erp.staging.outlet import GAPS_MAX, still_missing

START = datetime(2026, 10, 5, 8, 0, tzinfo=UTC)
TRAILING = timedelta(seconds=600)


@pytest.fixture
def bench(make_bench: Callable[..., Any]) -> Any:
    return make_bench(interface="sql")


def execute(bench: Any, statement: str, *values: object) -> None:
    """What somebody does to the tables behind our back."""
    with closing(sqlite3.connect(bench.sim.drop_dir / "staging.db", isolation_level=None)) as connection:
        connection.execute(statement, values)


def with_staging(bench: Any, **changes: Any) -> LegacyErpSettings:
    staging = msgspec.structs.replace(bench.settings.staging, **changes)
    settings: LegacyErpSettings = msgspec.structs.replace(bench.settings, staging=staging)
    return settings


class TestLateRows(LateContract):
    """Identities are the stamps here: a late row has one that was given out before."""

    @pytest.fixture
    async def late_case(self, bench: Any) -> AsyncIterator[LateCase]:
        bench.settings = with_staging(bench, rows_per_page=3)
        identity = 0
        kept: list[int] = []

        def add(count: int, late_s: float) -> Collection[str]:
            """Rows of one stamp. Each leaves one identity to a transaction that commits later."""
            nonlocal identity
            made: set[str] = set()
            for _ in range(count):
                if late_s and kept:
                    wanted = kept.pop()
                else:
                    kept.append(identity + 1)
                    wanted = identity = identity + 2
                made.add(f"erp:P{wanted}")
                execute(
                    bench,
                    "INSERT INTO isth_out (id, company, kind, ref, invoice_no, issued_on, amount,"
                    " open_amount, currency, created_at) VALUES (?, 'ACME', 'payment', ?, 'I1', '2026-10-05',"
                    " '5.00', '0', 'EUR', '2026-10-05T08:00:00+00:00')",
                    wanted,
                    f"P{wanted}",
                )
            return made

        async with bench.open() as opened:
            assert opened.source is not None
            yield LateCase(
                source=opened.source,
                stream="receivables",
                add=add,
                advance=lambda seconds: bench.move(seconds=seconds),
            )


async def test_an_identity_that_commits_late_is_found_and_one_rolled_back_is_given_up(bench: Any) -> None:
    async with bench.open() as opened:
        await bench.introduce(opened)
        await bench.send(opened, bench.charge(1), bench.charge(2, project="crm:O1"))
        bench.sim.run_jobs()
        bench.sim.release_invoices()
        bench.sim.break_next("late_commit")
        bench.sim.pay_invoice("INV000001", amount="100.00")
        bench.sim.pay_invoice("INV000001", amount="200.00")
        page = await bench.pull(opened, "receivables")
        assert [event.kind for event in page.events] == ["invoice.released", "payment.received"]
        bench.move(seconds=2)
        bench.sim.run_jobs()
        page = await bench.pull(opened, "receivables")
        assert [str(event.amount) for event in page.events] == ["100.00"]
        assert msgspec.json.decode(bench.cursors["receivables"]).get("gaps", []) == []
        execute(bench, "UPDATE isth_out SET id = 20 WHERE ref = 'PAY000002'")
        bench.cursors["receivables"] = msgspec.json.encode(Cursor(top=4))
        await bench.pull(opened, "receivables")
        assert len(msgspec.json.decode(bench.cursors["receivables"])["gaps"]) == 1
        bench.move(minutes=11)
        await bench.pull(opened, "receivables")
        assert msgspec.json.decode(bench.cursors["receivables"]).get("gaps", []) == []


async def test_an_invoice_waits_for_its_charges_and_is_refused_when_they_never_come(bench: Any) -> None:
    invoice = (
        "INSERT INTO isth_out (id, company, kind, ref, customer_no, issued_on, due_on, amount, currency,"
        " line_count) VALUES (?, 'ACME', 'invoice', ?, 'C1', '2026-10-05', '2026-11-05', '10.00', 'EUR', 1)"
    )
    charge = (
        "INSERT INTO isth_out (id, company, kind, ref, invoice_no, charge_ref, amount, currency)"
        " VALUES (?, 'ACME', 'charge', ?, ?, ?, '10.00', 'EUR')"
    )
    async with bench.open() as opened:
        execute(bench, invoice, 1, "I1")
        execute(bench, invoice, 2, "I2")
        assert (await bench.pull(opened, "receivables")).events == []
        execute(bench, charge, 3, "D1", "I1", "billing/charge/1")
        (told,) = (await bench.pull(opened, "receivables")).events
        assert (told.number, told.charges) == ("I1", ["billing/charge/1"])
        bench.move(minutes=11)
        page = await bench.pull(opened, "receivables")
        assert [entry.reason for entry in page.refused] == [
            "isth_out 2: invoice I2 says 1 charges, 0 are there; ask the ERP"
        ]
        assert (await bench.pull(opened, "receivables")).refused == []


def table_of(visible: set[int], cursor: Cursor, page: int) -> list[int]:
    """What one pull reads."""

    def wanted(identity: int) -> bool:
        return identity > cursor.top or any(gap.first <= identity <= gap.last for gap in cursor.gaps)

    return sorted(filter(wanted, visible))[:page]


def read_through(order: Sequence[int], rolled: Collection[int], page: int, forget: bool) -> list[int]:
    """Pull to the end after each commit, and a while later once more; the identities in the order read."""
    visible, cursor, read = set[int](), Cursor(), list[int]()
    at = START
    for identity in [*order, 0]:
        if identity and identity not in rolled:
            visible.add(identity)
        at += timedelta(seconds=1 if identity else 3600)
        more = True
        while more:
            found = table_of(visible, cursor, page)
            more = len(found) == page
            read += found
            top = max([cursor.top, *found])
            gaps = still_missing(cursor, top, found, found[-1] if more else None, at, TRAILING)
            cursor = Cursor(top=top, gaps=[] if forget else gaps)
    assert cursor.gaps == [], "what was rolled back is given up"
    return read


@given(order=st.permutations(range(1, 25)), page=st.integers(1, 7), rolled=st.sets(st.integers(1, 24)))
def test_every_identity_is_read_exactly_once_whatever_the_order_of_commits(
    order: list[int], page: int, rolled: set[int]
) -> None:
    assert sorted(read_through(order, rolled, page, forget=False)) == sorted(set(order) - rolled)


def test_a_cursor_without_gaps_would_be_found_out() -> None:
    assert read_through([2, 1, 3], (), 5, forget=True) == [2, 3]


@given(seed=st.integers(0, 10_000))
def test_however_many_gaps_there_are_the_cursor_stays_small_and_covers_them(seed: int) -> None:
    ids = set(random.Random(seed).sample(range(1, 2001), 500))
    gaps = still_missing(Cursor(), max(ids), ids, None, START, TRAILING)
    assert len(gaps) <= GAPS_MAX
    covered = {n for gap in gaps for n in range(gap.first, gap.last + 1)}
    assert set(range(1, max(ids))) - ids <= covered


ROW = {
    "id": 1,
    "company": "ACME",
    "kind": "payment",
    "ref": "P1",
    "invoice_no": "I1",
    "issued_on": "2026-10-05",
    "amount": "5.00",
    "open_amount": "0",
    "currency": "EUR",
    "created_at": "2026-10-05T08:00:00+00:00",
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"amount": "5,00"}, "amount is no number", id="an amount with a comma"),
        pytest.param({"amount": "NaN"}, "amount is no number", id="an amount that is none"),
        pytest.param({"amount": "1e9"}, "amount is no number", id="an exponent"),
        pytest.param({"open_amount": "x"}, "open_amount is no number", id="letters"),
        pytest.param({"open_amount": None}, "nothing usable in open_amount", id="nothing"),
        pytest.param({"issued_on": "5.10.2026"}, "nothing usable in issued_on", id="a day in another form"),
        pytest.param({"issued_on": "2026-02-30"}, "nothing usable in issued_on", id="a day that is none"),
        pytest.param({"created_at": "yesterday"}, "nothing usable in created_at", id="a time that is none"),
        pytest.param({"ref": ""}, "nothing usable in ref", id="no number"),
        pytest.param({"currency": "eur"}, "is no ISO 4217 code", id="a currency in small letters"),
        pytest.param({"kind": "refund"}, "kind 'refund' is none of", id="a kind nobody knows"),
        pytest.param({"kind": "invoice"}, "nothing usable in customer_no, due_on", id="no customer"),
    ],
)  # fmt: skip
async def test_a_row_that_makes_no_fact_is_refused_and_the_others_are_told(
    bench: Any, changes: dict[str, Any], words: str
) -> None:
    add(bench, {**ROW, **changes})
    add(bench, {**ROW, "id": 2, "ref": "P2"})
    async with bench.open() as opened:
        page = await bench.pull(opened, "receivables")
        assert [event.payment for event in page.events] == ["erp:P2"]
        (refused,) = page.refused
        assert words in refused.reason and refused.place.startswith("isth_out 1")
        page = await bench.pull(opened, "receivables")
        assert (page.events, page.refused) == ([], []), "and only once"


def add(bench: Any, row: dict[str, Any]) -> None:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    with closing(sqlite3.connect(bench.sim.drop_dir / "staging.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"INSERT INTO isth_out ({columns}) VALUES ({marks})", list(row.values()))


async def test_a_period_that_makes_no_fact_is_refused_once(bench: Any) -> None:
    bench.sim.close_period("2026-10")
    execute(bench, "UPDATE isth_period SET ends_on = 'soon'")
    async with bench.open() as opened:
        page = await bench.pull(opened, "periods")
        assert page.events == [] and "isth_period 2026-10/all" in page.refused[0].reason
        assert (await bench.pull(opened, "periods")).refused == []


async def test_rows_of_another_company_are_nobodys_gap(bench: Any) -> None:
    add(bench, {**ROW, "company": "OTHER"})
    add(bench, {**ROW, "id": 2})
    async with bench.open() as opened:
        page = await bench.pull(opened, "receivables")
        assert [event.payment for event in page.events] == ["erp:P1"]
        assert msgspec.json.decode(page.next) == {"top": 2}


async def test_no_statement_walks_through_what_was_read_long_ago(bench: Any) -> None:
    """SQLite says how it would find the rows of each statement of a pull."""
    plans: list[tuple[str, str]] = []

    def explain(*args: Any) -> None:
        cursor, statement, parameters = args[1], args[2], args[3]
        if statement.startswith("SELECT"):
            found = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend((statement, row[3]) for row in found)

    connect = bench.steps.connect

    def explaining(engine: Any) -> Any:
        connection = connect(engine)
        event.listen(connection, "before_cursor_execute", explain)
        return connection

    async with bench.open() as opened:
        await bench.introduce(opened)
        await bench.send(opened, bench.charge())
        bench.sim.run_jobs()
        bench.steps.connect = explaining
        for stream in ("responses", "receivables"):
            await bench.pull(opened, stream)
        await bench.send(opened, bench.charge(2))
    walks = [plan for statement, plan in plans if plan.startswith("SCAN") and "WHERE" in statement]
    assert any("isth_batch_unread" in plan for _, plan in plans)
    assert walks == []
