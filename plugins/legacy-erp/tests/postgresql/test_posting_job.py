"""Staging tables in a real PostgreSQL, worked by a posting job in its own language."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import msgspec
import psycopg
import pytest

from isthmus.sdk import Fatal, Opened, Receipt, Retryable, Throttled


async def introduce(bench: Any, erp: Any, opened: Opened) -> None:
    """Let the ERP know customer crm:A1 and project crm:O1, and us their numbers."""
    for event in (bench.customer(), bench.project()):
        await bench.send(opened, event)
        erp.run()
        await bench.pull(opened, "responses")
    await bench.pull(opened, "responses")


@pytest.fixture
async def opened(bench: Any, erp: Any) -> AsyncIterator[Opened]:
    async with bench.open() as opened:
        await introduce(bench, erp, opened)
        yield opened


async def test_the_job_claims_posts_and_answers_and_the_answer_becomes_facts(
    bench: Any, erp: Any, opened: Opened
) -> None:
    charges = [bench.charge(1, "937.50"), bench.charge(2, "-37.50")]
    receipts = await bench.send(opened, *charges)
    assert [receipt.remote_id for receipt in receipts] == [
        "charges-ACME-00000001#1",
        "charges-ACME-00000001#2",
    ]
    assert erp.ask("SELECT status, rec_count, tot_amount FROM isth_batch WHERE iface = 'charges'") == [
        ("READY", 2, 900)
    ]
    erp.do("CALL erp_claim('charges')")
    assert (await bench.pull(opened, "responses")).events == [], "claimed is not posted"
    erp.do("CALL erp_post('charges')")
    page = await bench.pull(opened, "responses")
    assert [(each.charge, each.remote_id, str(each.amount)) for each in page.events] == [
        ("billing/charge/1", "D000001", "937.50"),
        ("billing/charge/2", "D000002", "-37.50"),
    ]
    assert {event.posted_on for event in page.events} == {date(2026, 10, 5)}
    assert [event.causation for event in page.events] == [charge.id for charge in charges]
    await bench.pull(opened, "responses")
    assert erp.ask("SELECT count(*) FROM isth_batch WHERE answer_read_at IS NULL") == [(0,)]
    assert opened.census is not None
    counted = [row async for row in opened.census.rows("charge", date(2026, 10, 1), date(2026, 10, 31))]
    assert [(row.key, str(row.amount)) for row in counted] == [
        ("billing/charge/1", "937.50"),
        ("billing/charge/2", "-37.50"),
    ]


async def test_the_job_refuses_single_lines_and_posts_the_others(
    bench: Any, erp: Any, opened: Opened
) -> None:
    erp.do(
        "INSERT INTO isth_period VALUES "
        "('ACME', '2026-09', 'ar', '2026-09-01', '2026-09-30', 'CLOSED', 1, now())"
    )
    (closed,) = (await bench.pull(opened, "periods")).events
    assert (closed.kind, closed.period, closed.ledger) == ("period.closed", "2026-09", "ar")
    await bench.send(opened, bench.charge(1, posting_on=date(2026, 9, 30)), bench.charge(2))
    erp.run()
    page = await bench.pull(opened, "responses")
    assert [event.charge for event in page.events] == ["billing/charge/2"]
    assert page.refused[0].reason == (
        "charge billing/charge/1 was not posted (period): PERI PERIOD 2026-09 IS CLOSED"
    )
    assert page.refused[0].place == "isth_line charges-ACME-00000001:1"
    await bench.pull(opened, "responses")
    erp.do("UPDATE isth_period SET status = 'OPEN', change_no = 2")
    assert [event.kind for event in (await bench.pull(opened, "periods")).events] == ["period.reopened"]
    again = await bench.send(opened, bench.charge(1, posting_on=date(2026, 9, 30)))
    assert again[0].remote_id == "charges-ACME-00000002#1"
    assert erp.ask("SELECT try_no FROM isth_line WHERE ext_ref = 'billing/charge/1' ORDER BY 1") == [
        (1,),
        (2,),
    ]
    erp.run()
    assert erp.journal() == ["billing/charge/2", "billing/charge/1"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(
            "DELETE FROM isth_line WHERE iface = 'charges' AND line_no = 2",
            "TOTL REC_COUNT SAYS 2 THERE ARE 1",
            id="a line is missing",
        ),
        pytest.param(
            "UPDATE isth_batch SET tot_amount = 601 WHERE iface = 'charges'",
            "TOTL TOT_AMOUNT IS 600.0000",
            id="a total is wrong",
        ),
        pytest.param(
            "UPDATE isth_line SET ext_ref = 'billing/charge/7' WHERE iface = 'charges' AND line_no = 2",
            "TOTL HASH_TOTAL IS",
            id="a reference was changed",
        ),
    ],
)
async def test_the_job_refuses_a_batch_that_is_not_what_was_loaded(
    bench: Any, erp: Any, opened: Opened, damage: str, words: str
) -> None:
    await bench.send(opened, bench.charge(1), bench.charge(2))
    erp.as_dba(damage)
    erp.run()
    assert erp.journal() == []
    page = await bench.pull(opened, "responses")
    assert page.events == []
    (refused,) = page.refused
    assert "refused batch charges-ACME-00000001 whole" in refused.reason
    assert words in refused.reason


async def test_an_identity_that_commits_late_is_found(bench: Any, erp: Any, opened: Opened) -> None:
    """Two sessions: the first takes identity 1 and stays open, the second commits 2."""
    row = "INSERT INTO isth_out (company, kind, ref, invoice_no, issued_on, amount, open_amount, currency)"
    with erp.session() as slow, erp.session() as fast:
        slow.execute(f"{row} VALUES ('ACME', 'payment', 'P1', 'I1', '2026-10-05', 10, 0, 'EUR')")
        fast.execute(f"{row} VALUES ('ACME', 'payment', 'P2', 'I1', '2026-10-05', 20, 0, 'EUR')")
        fast.commit()
        page = await bench.pull(opened, "receivables")
        assert [event.payment for event in page.events] == ["erp:P2"]
        slow.commit()
        page = await bench.pull(opened, "receivables")
        assert [event.payment for event in page.events] == ["erp:P1"]
        assert (await bench.pull(opened, "receivables")).events == []


async def test_a_cursor_that_is_only_the_highest_identity_would_miss_it(
    bench: Any, erp: Any, opened: Opened
) -> None:
    """The mutant: gaps are forgotten."""

    def forget(cursor: bytes) -> bytes:
        return msgspec.json.encode({**msgspec.json.decode(cursor), "gaps": []})

    row = "INSERT INTO isth_out (company, kind, ref, invoice_no, issued_on, amount, open_amount, currency)"
    with erp.session() as slow, erp.session() as fast:
        slow.execute(f"{row} VALUES ('ACME', 'payment', 'P1', 'I1', '2026-10-05', 10, 0, 'EUR')")
        fast.execute(f"{row} VALUES ('ACME', 'payment', 'P2', 'I1', '2026-10-05', 20, 0, 'EUR')")
        fast.commit()
        bench.cursors["receivables"] = forget((await bench.pull(opened, "receivables")).next)
        slow.commit()
        assert (await bench.pull(opened, "receivables")).events == []


async def lost_commits(bench: Any, erp: Any, opened: Opened, cutter: Any, times: int) -> list[str]:
    """``times`` broken commits, every second one after it happened; what is in the books at the end."""
    for n in range(times):
        if n % 2:
            cutter.lost = 1
        else:
            cutter.cut = 1
        charge = bench.charge(n)
        for _ in range(3):
            (outcome,) = await bench.send(opened, charge)
            if isinstance(outcome, Receipt):
                break
    assert cutter.broken == times
    erp.run()
    journal: list[str] = erp.journal()
    return journal


async def test_broken_commits_double_nothing_and_lose_nothing(
    bench: Any, erp: Any, opened: Opened, cutter: Any, through: Any
) -> None:
    bench.settings = through
    async with bench.open() as opened_through:
        journal = await lost_commits(bench, erp, opened_through, cutter, 40)
    assert sorted(journal) == sorted(f"billing/charge/{n}" for n in range(40))
    assert erp.ask("SELECT count(*), count(DISTINCT ext_ref) FROM isth_line WHERE iface = 'charges'") == [
        (40, 40)
    ]


async def test_a_lock_of_the_erp_is_waited_for_only_so_long(bench: Any, erp: Any, opened: Opened) -> None:
    with erp.session("owner") as session:
        session.execute("LOCK TABLE isth_line IN EXCLUSIVE MODE")
        (outcome,) = await bench.send(opened, bench.charge())
        assert isinstance(outcome, Retryable) and "the ERP holds a lock" in str(outcome)
    (outcome,) = await bench.send(opened, bench.charge())
    assert isinstance(outcome, Receipt)


@pytest.mark.parametrize(
    ("change", "undo", "error", "words"),
    [
        pytest.param(
            "ALTER ROLE isthmus_reader PASSWORD 'x'",
            "ALTER ROLE isthmus_reader PASSWORD 'only for this test'",
            Fatal,
            "correct the user or password",
            id="a password",
        ),
        pytest.param(
            "REVOKE SELECT ON isth_out FROM isthmus_reader",
            "GRANT SELECT ON isth_out TO isthmus_reader",
            Fatal,
            "grant what the DDL file says",
            id="a missing right",
        ),
        pytest.param(
            "ALTER TABLE isth_out RENAME TO gone",
            "ALTER TABLE gone RENAME TO isth_out",
            Fatal,
            "not those of the DDL file",
            id="a missing table",
        ),
        pytest.param(
            "ALTER TABLE isth_line RENAME line_text TO gone",
            "ALTER TABLE isth_line RENAME gone TO line_text",
            Fatal,
            "not those of the DDL file",
            id="a missing column",
        ),
        pytest.param(
            "ALTER ROLE isthmus_reader CONNECTION LIMIT 0",
            "ALTER ROLE isthmus_reader CONNECTION LIMIT -1",
            Throttled,
            "no connection to spare",
            id="too many connections",
        ),
    ],
)
async def test_what_the_database_refuses_has_its_fate(
    bench: Any, erp: Any, change: str, undo: str, error: type[Exception], words: str
) -> None:
    erp.as_dba(change)
    try:
        async with bench.open() as opened:
            with pytest.raises(error, match=words) as raised:
                await bench.pull(opened, "responses")
    finally:
        erp.as_dba(undo)
    assert "only for this test" not in str(raised.value)


async def test_the_writer_may_not_touch_what_is_the_erps(erp: Any) -> None:
    with erp.session("isthmus_writer") as writer:
        for statement in (
            "UPDATE isth_line SET status = 'POSTED'",
            "DELETE FROM isth_batch",
            "UPDATE isth_batch SET seq = 9",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                writer.execute(statement.encode())
            writer.rollback()
    with erp.session("isthmus_reader") as reader, pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("UPDATE isth_batch SET answer_read_at = now()")


async def test_the_probe_finds_the_tables_durable_commits_and_a_job_that_stands(
    bench: Any, opened: Opened
) -> None:
    assert opened.probe is not None
    await bench.send(opened, bench.charge())
    assert {check.name: check.ok for check in await opened.probe.checks()} == {
        "tables": True,
        "durable": True,
        "picked_up": True,
    }
    bench.move(hours=2)
    checks = {check.name: check for check in await opened.probe.checks()}
    assert not checks["picked_up"].ok
    assert checks["durable"].detail == "fsync = on, synchronous_commit = on, full_page_writes = on"
