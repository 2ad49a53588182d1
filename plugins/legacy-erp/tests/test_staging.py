"""Staging tables: what cannot happen to files. Commits in doubt, locks, another daemon, totals."""

import contextlib
import re
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import DBAPIError

from isthmus.sdk import (
    ConnectorError,
    Fatal,
    Receipt,
    Rejected,
    Retryable,
    Secret,
    Throttled,
    Unsure,
)
from isthmus.sdk.testing import FakeContext
from isthmus_legacy_erp.settings import LegacyErpSettings, Staging
from isthmus_legacy_erp.sink import BatchSink
from isthmus_legacy_erp.staging import faults
from isthmus_legacy_erp.staging.database import CONNECTIONS, Database, Steps
from isthmus_legacy_erp.staging.tables import Tables


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


@pytest.mark.parametrize(
    ("plan", "tries"),
    [
        pytest.param({"lost": 1}, 1, id="committed, the answer lost: found by its batch id"),
        pytest.param({"cut": 1}, 1, id="not committed: looked up in vain, loaded again"),
        pytest.param({"cut": 2}, 2, id="not committed twice: the delivery is in doubt and comes again"),
        pytest.param({"cut": 1, "lost": 1}, 2, id="cut, then lost: the same"),
        pytest.param({"lost": 1, "down": 2}, 2, id="lost, and the database does not come back at once"),
    ],
)
async def test_a_commit_in_doubt_is_looked_up_by_its_batch_id(
    bench: Any, plan: dict[str, int], tries: int
) -> None:
    async with bench.open() as opened:
        await bench.introduce(opened)
        down = plan.get("down", 0)
        commit = bench.steps.commit

        def then_down(transaction: Any) -> None:
            try:
                commit(transaction)
            finally:
                bench.steps.down, bench.steps.commit = down, commit

        bench.steps.lost, bench.steps.cut = plan.get("lost", 0), plan.get("cut", 0)
        bench.steps.commit = then_down if down else commit
        for _ in range(tries - 1):
            (outcome,) = await bench.send(opened, bench.charge())
            assert isinstance(outcome, Unsure)
        bench.steps.down = 0
        (receipt,) = await bench.send(opened, bench.charge())
        assert receipt.remote_id == "charges-ACME-00000001#1"
        bench.sim.run_jobs()
    assert bench.posted() == ["billing/charge/1"]


async def lost_commits(bench: Any, times: int) -> list[str]:
    """Send charges, one by one, whose commits happen and break the connection; the lines there are."""
    async with bench.open() as opened:
        await bench.introduce(opened)
        for n in range(times):
            bench.steps.lost = 1
            for _ in range(3):
                (outcome,) = await bench.send(opened, bench.charge(n))
                if isinstance(outcome, Receipt):
                    break
        bench.steps.lost = 0
        bench.sim.run_jobs()
    return [row["ext_ref"] for row in bench.rows("SELECT ext_ref FROM isth_line WHERE iface = 'charges'")]


EVERY = sorted(f"billing/charge/{n}" for n in range(200))


async def test_two_hundred_lost_commits_double_nothing(bench: Any) -> None:
    assert sorted(await lost_commits(bench, 200)) == EVERY
    assert sorted(bench.posted()) == EVERY


async def test_a_sink_that_loads_again_under_a_new_number_would_be_found_out(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: what was frozen is forgotten, and what was staged is not looked up."""

    tries = iter(range(1_000_000))

    async def forgotten(self: BatchSink, deliveries: Any) -> list[Any]:
        return [(f"{delivery.key} {next(tries)}", None) for delivery in deliveries]

    monkeypatch.setattr(BatchSink, "_standing", forgotten)
    monkeypatch.setattr("isthmus_legacy_erp.staging.carrier.SqlCarrier.staged", lambda *args: {})
    monkeypatch.setattr("isthmus_legacy_erp.staging.carrier.SqlCarrier._there", lambda *args: False)
    # The key over the references would still stop it.
    execute(bench, "CREATE TABLE copy AS SELECT * FROM isth_line")
    execute(bench, "DROP TABLE isth_line")
    execute(bench, "ALTER TABLE copy RENAME TO isth_line")
    assert len(await lost_commits(bench, 10)) > 10


async def test_a_load_that_outlasts_its_deadline_goes_on_and_is_found(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread is left to itself; what it commits later is the one batch there is."""
    bench.know()
    go_on, commit = threading.Event(), bench.steps.commit

    def slowly(transaction: Any) -> None:
        go_on.wait(10)
        commit(transaction)

    async with bench.open() as opened:
        await bench.pull(opened, "responses")
        monkeypatch.setattr("isthmus_legacy_erp.sink.WRITE_S", 0.2)
        bench.steps.commit = slowly
        (outcome,) = await bench.send(opened, bench.charge())
        assert isinstance(outcome, Unsure)
        monkeypatch.undo()
        bench.steps.commit = commit
        go_on.set()
        (receipt,) = await bench.send(opened, bench.charge())
        assert receipt.remote_id == "charges-ACME-00000001#1"
    assert len(bench.rows("SELECT 1 FROM isth_line")) == 1


async def test_a_batch_id_with_other_content_is_nobodys_success(bench: Any) -> None:
    bench.know()
    async with bench.open() as opened:
        await bench.send(opened, bench.charge())
        execute(bench, "UPDATE isth_batch SET sha256 = 'x'")
        (outcome,) = await bench.send(opened, bench.charge())
    assert isinstance(outcome, Fatal)
    assert "has another batch charges-ACME-00000001" in str(outcome)


async def test_a_second_daemon_on_the_same_tables_is_told_so(bench: Any) -> None:
    """Its store is a copy made before: the same numbers, the same references, at the same time."""
    bench.know()
    async with bench.open() as first:
        assert first.sink is not None
        await first.sink.recover()
        other = FakeContext("erp", now=bench.now)
        mine, bench.ctx = bench.ctx, other
        bench.know()
        async with bench.open() as second:
            assert second.sink is not None
            await second.sink.recover()
            await bench.send(first, bench.charge(1), bench.charge(2))
            (outcome,) = await bench.send(second, bench.charge(3))
        bench.ctx = mine
    assert isinstance(outcome, Fatal) and "two daemons" in str(outcome)


async def test_a_restored_backup_finds_its_lines_and_tells_what_became_of_them(bench: Any) -> None:
    async with bench.open() as opened:
        await bench.introduce(opened)
        bench.sim.break_next("reject_line")
        sent = [bench.charge(1), bench.charge(2)]
        await bench.send(opened, *sent)
        bench.sim.run_jobs()
        await bench.send(opened, bench.charge(3))
        first_facts = (await bench.pull(opened, "responses")).events
    # The store is back at a time before the charges: numbers, cursors and receipts are forgotten.
    bench.ctx = FakeContext("erp", now=bench.now)
    bench.know()
    bench.cursors.clear()
    async with bench.open() as restored:
        refused, posted, waiting, doubled = await bench.send(
            restored, *sent, bench.charge(3), bench.charge(2, "999.00")
        )
        assert posted.remote_id == "charges-ACME-00000001#2" and posted.detail == "FOUND"
        assert [fact.id for fact in posted.facts] == [fact.id for fact in first_facts]
        assert [(link.key, link.remote_id) for link in posted.links] == [("billing/charge/2", "D0000001")]
        assert isinstance(waiting, Retryable) and "has not answered yet" in str(waiting)
        assert isinstance(doubled, Rejected) and doubled.reason == "duplicate"
        assert refused.remote_id == "charges-ACME-00000003#1", "what the ERP refused is tried again"
        bench.sim.run_jobs()
        (found,) = await bench.send(restored, bench.charge(3))
        assert found.remote_id == "charges-ACME-00000002#1"
    assert sorted(bench.posted()) == [f"billing/charge/{n}" for n in (1, 2, 3)]


async def test_a_batch_in_error_stays_and_a_replay_puts_its_lines_into_a_new_one(bench: Any) -> None:
    async with bench.open() as opened:
        await bench.introduce(opened)
        bench.sim.break_next("refuse_batch")
        await bench.send(opened, bench.charge(1), bench.charge(2))
        bench.sim.run_jobs()
        early = await bench.send(opened, bench.charge(1))
        assert early[0].remote_id == "charges-ACME-00000001#1", "nobody has heard of the refusal yet"
        page = await bench.pull(opened, "responses")
        assert "refused batch charges-ACME-00000001 whole" in page.refused[0].reason
        await bench.pull(opened, "responses")
        outcomes = await bench.send(opened, bench.charge(1), bench.charge(2))
        assert [outcome.remote_id for outcome in outcomes] == [
            "charges-ACME-00000002#1",
            "charges-ACME-00000002#2",
        ]
        bench.sim.run_jobs()
        assert len((await bench.pull(opened, "responses")).events) == 2
    tries = bench.rows(
        "SELECT try_no, status FROM isth_line WHERE iface = 'charges' ORDER BY batch_id, line_no"
    )
    assert [tuple(row) for row in tries] == [(1, "NEW"), (1, "NEW"), (2, "POSTED"), (2, "POSTED")]


async def test_posted_lines_that_do_not_make_the_totals_are_held_until_they_do(bench: Any) -> None:
    async with bench.open() as opened:
        await bench.introduce(opened)
        bench.sim.break_next("wrong_total")
        await bench.send(opened, bench.charge(1), bench.charge(2))
        bench.sim.run_jobs()
        page = await bench.pull(opened, "responses")
        assert page.events == []
        assert page.refused[0].reason.startswith(
            "the control totals of charges-ACME-00000001 are 2 lines, 4 units, 600, its lines make 2 lines, "
            "4 units, 601"
        )
        with pytest.raises(Retryable, match="somebody changed them"):
            await bench.pull(opened, "responses")
        bench.sim.run_jobs()
        page = await bench.pull(opened, "responses")
        assert [event.charge for event in page.events] == ["billing/charge/1", "billing/charge/2"]
        assert page.refused == []


async def test_a_batch_that_stands_still_holds_back_the_later_answers_and_is_named(bench: Any) -> None:
    async with bench.open() as opened:
        await bench.introduce(opened)
        for n in range(3):
            await bench.send(opened, bench.charge(n))
        bench.sim.break_next("stop_after_claim")
        bench.sim.run_jobs()
        assert (
            bench.rows("SELECT status FROM isth_batch WHERE seq = 1 AND iface = 'charges'")[0][0] == "CLAIMED"
        )
        assert (await bench.pull(opened, "responses")).events == []
        execute(bench, "UPDATE isth_batch SET status = 'POSTED' WHERE iface = 'charges' AND seq = 2")
        with pytest.raises(Retryable, match=r"charges 00000001 has no answer .*is CLAIMED"):
            await bench.pull(opened, "responses")
        execute(bench, "UPDATE isth_batch SET status = 'READY' WHERE iface = 'charges' AND seq = 2")
        bench.sim.run_jobs()
        assert len((await bench.pull(opened, "responses")).events) == 3


async def test_a_lock_of_the_erp_is_waited_for_only_so_long(bench: Any) -> None:
    bench.know()
    bench.settings = with_staging(bench, lock_timeout_s=0.05)
    async with bench.open() as opened:
        bench.sim.hold_lock()
        (outcome,) = await bench.send(opened, bench.charge())
        assert isinstance(outcome, Retryable) and not isinstance(outcome, Unsure)
        assert "database is locked; the ERP holds a lock" in str(outcome)
        bench.sim.release_lock()
        assert isinstance((await bench.send(opened, bench.charge()))[0], Receipt)


def errors() -> Iterator[Any]:
    """The whole table, and what is told apart without a state of its own."""
    for code, known in faults.BY_SQLSTATE.items():
        yield pytest.param(code, "refused", known.fate, known.remedy, id=code)
    for text, known in faults.BY_WORDS.items():
        yield pytest.param(None, text, known.fate, known.remedy, id=text)
    for state, words, fate, remedy in (
        ("08006", "connection failure", Retryable, "does not answer"),
        ("XX000", "internal error", Retryable, "what the database says"),
        (None, "password authentication failed", Fatal, "password"),
        (None, 'database "x" does not exist', Fatal, "database in url"),
        (None, "sorry, too many clients already", Throttled, "to spare"),
        (None, "connection refused", Retryable, "does not answer"),
    ):
        yield pytest.param(state, words, fate, remedy, id=words)


@pytest.mark.parametrize(("state", "words", "fate", "remedy"), list(errors()))
async def test_every_error_of_the_database_meets_its_fate(
    bench: Any, state: str | None, words: str, fate: type[Exception], remedy: str
) -> None:
    class Refusal(Exception):
        sqlstate = state

    def fail(engine: Any) -> Any:
        raise DBAPIError("SELECT secrets", {"name": "Payload"}, Refusal(words))

    bench.steps.connect = fail
    async with bench.open() as opened:
        with pytest.raises(ConnectorError) as raised:
            await bench.pull(opened, "responses")
    assert type(raised.value) is fate
    assert words in str(raised.value) and remedy in str(raised.value)
    assert "Payload" not in str(raised.value) and "secrets" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("no url", "is no URL", id="no URL"),
        pytest.param("postgresql://me:secret@db/erp", "has a password in it", id="a password in it"),
        pytest.param("mysql://me@db/erp", "mysql is not offered", id="another database"),
        pytest.param("sqlite:///erp.db", "by its whole path", id="a relative file"),
        pytest.param("sqlite://", "by its whole path", id="no file"),
    ],
)
async def test_a_url_that_cannot_be_used_parks_the_connector(bench: Any, url: str, words: str) -> None:
    bench.settings = with_staging(bench, url=url)
    with pytest.raises(Fatal, match=words) as raised:
        async with bench.open():
            pass
    assert "secret" not in str(raised.value)


async def test_a_missing_driver_is_named_with_its_extra(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    bench.settings = with_staging(bench, url="postgresql://me@127.0.0.1/erp")
    with pytest.raises(Fatal, match=r"pip install 'isthmus-legacy-erp\[postgresql\]'"):
        async with bench.open():
            pass


async def test_a_missing_file_is_waited_for_and_not_made(bench: Any, tmp_path: Path) -> None:
    bench.settings = with_staging(bench, url=f"sqlite:///{tmp_path / 'not mounted.db'}")
    async with bench.open() as opened:
        with pytest.raises(Retryable, match="the file is not there"):
            await bench.pull(opened, "responses")
    assert not (tmp_path / "not mounted.db").exists()


async def test_hanging_calls_are_counted_and_closing_ends_them(bench: Any) -> None:
    database = Database(with_staging(bench, lock_timeout_s=0.05).staging or Staging(url=""), Steps())
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(database._connection(database._reader, "holding"))
        assert database.open_connections == CONNECTIONS
        with pytest.raises(Retryable, match="earlier calls still hang"):
            database.read("one more", lambda connection: None)
        database.close()
    assert database.open_connections == 0
    with pytest.raises(Retryable, match="was closed"):
        database.read("after closing", lambda connection: None)


async def test_the_probe_says_what_is_wrong_with_the_tables(bench: Any) -> None:
    async with bench.open() as opened:
        assert opened.probe is not None
        assert all(check.ok for check in await opened.probe.checks())
        execute(bench, "ALTER TABLE isth_out RENAME TO gone")
        (tables,) = await opened.probe.checks()
        assert not tables.ok and "no such table" in tables.detail


def test_the_ddl_files_have_the_columns_the_connector_names(tmp_path: Path) -> None:
    ddl = resources.files("isthmus_legacy_erp.staging") / "ddl"
    text = (ddl / "sqlite.sql").read_text("utf-8")
    with closing(sqlite3.connect(tmp_path / "erp.db")) as connection:
        connection.executescript(text)
    found = inspect(create_engine(f"sqlite:///{tmp_path / 'erp.db'}"))
    wanted = {table.name: [column.name for column in table.columns] for table in Tables(None).all()}
    assert {name: [column["name"] for column in found.get_columns(name)] for name in wanted} == wanted
    other = (ddl / "postgresql.sql").read_text("utf-8")
    names = re.findall(r"^  ([a-z_]+) ", other, re.M)
    assert names == re.findall(r"^  ([a-z_]+) ", text, re.M)


def test_settings_say_which_interface_needs_what() -> None:
    with pytest.raises(ValueError, match='interface "sql" needs staging'):
        LegacyErpSettings(interface="sql", company="ACME", currency="EUR")
    with pytest.raises(ValueError, match='interface "files" needs drop_dir, encoding'):
        LegacyErpSettings(company="ACME", currency="EUR")
    staging = Staging(url="sqlite:////erp.db", password=Secret("x"))
    settings = LegacyErpSettings(interface="sql", company="ACME", currency="EUR", staging=staging)
    with pytest.raises(ValueError, match="layouts are of files"):
        msgspec.structs.replace(settings, layouts={"charges": Path("charges.toml")})
