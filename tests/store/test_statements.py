"""Every statement is named, described, used, and finds its rows through an index."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import isthmus
from isthmus import store
from isthmus.store import migrations
from isthmus.store.statements import STATEMENTS, parse

SMALL = "a handful of rows: one per lane or source"
SCANS = {
    "api_tokens_all": "some for each system that calls",
    "positions_all": SMALL,
    "lanes_all": SMALL,
    "cursors_all": SMALL,
    "deliveries_counts": "the table holds only troubles, and the scan is of a covering index",
    "deliveries_blocked_subjects": "the table holds only troubles",
}
"""Statements that may read a whole table, and why."""


@pytest.fixture(scope="module")
def schema() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for step in migrations.load():
        migrations.apply(connection, step)
    yield connection
    connection.close()


def scans(connection: sqlite3.Connection, sql: str) -> list[str]:
    """The steps of a statement's plan that walk through a stored table from end to end."""
    params = dict.fromkeys(re.findall(r":(\w+)", sql)) if ":" in sql else [None] * max(sql.count("?"), 1)
    if isinstance(params, list):
        numbered = {int(number) for number in re.findall(r"\?(\d+)", sql)}
        params = [None] * (max(numbered) if numbered else sql.count("?"))
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    aliases = {alias for table, alias in re.findall(r"(\w+) AS (\w+)", sql) if table in tables}
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", params)]
    return [step for step in steps if step.startswith("SCAN ") and step.split()[1] in tables | aliases]


@pytest.mark.parametrize("name", [name for name in STATEMENTS if not name.startswith("check_")])
def test_no_statement_walks_through_a_table(schema: sqlite3.Connection, name: str) -> None:
    walked = scans(schema, STATEMENTS[name])
    if name in SCANS:
        assert walked, f"{name} no longer needs its permission"
    else:
        assert not walked


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param("SELECT seq FROM log WHERE revision = :r", id="a filter without an index"),
        pytest.param("SELECT l.seq FROM log AS l ORDER BY recorded_at", id="an order without an index"),
        pytest.param("DELETE FROM deliveries WHERE error_class = :c", id="a delete without an index"),
    ],
)
def test_a_planted_table_walk_is_noticed(schema: sqlite3.Connection, planted: str) -> None:
    assert scans(schema, planted)


def test_every_statement_is_used() -> None:
    code = "".join(file.read_text("utf-8") for file in Path(isthmus.__path__[0]).rglob("*.py"))
    assert [name for name in STATEMENTS if f'"{name}"' not in code] == []


def test_only_the_bridge_speaks_to_sqlite() -> None:
    speaks = re.compile(r"^\s*(import|from) (sqlite3|aiosqlite|asyncio)\b", re.MULTILINE)
    files = Path(store.__path__[0]).glob("*.py")
    assert {file.name for file in files if speaks.search(file.read_text("utf-8"))} == {"_bridge.py"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("-- name: a\nSELECT 1;", "needs a comment", id="no comment"),
        pytest.param("-- name: a\n-- why\n", "has no SQL", id="no SQL"),
        pytest.param("-- name: a\n-- why\nSELECT 1;\n-- name: a\n-- why\nSELECT 2;", "twice", id="twice"),
    ],
)
def test_a_careless_statement_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(text, "here.sql")


def test_every_table_is_strict(schema: sqlite3.Connection) -> None:
    loose = [
        row[1]
        for row in schema.execute("PRAGMA table_list")
        if row[2] == "table" and not row[5] and not row[1].startswith("sqlite_")
    ]
    assert loose == []


LOG_ROW = "INSERT INTO log (id, type, entity, subject, thread, revision, recorded_at, payload)"


@pytest.mark.parametrize(
    "forbidden",
    [
        pytest.param("UPDATE log SET payload = '{}'", id="rewrite an event"),
        pytest.param("DELETE FROM log", id="delete an event"),
        pytest.param("UPDATE receipts SET remote_id = 'x'", id="rewrite a receipt"),
        pytest.param("DELETE FROM receipts", id="delete a receipt"),
        pytest.param("UPDATE audit SET actor = 'x'", id="rewrite the audit trail"),
        pytest.param("DELETE FROM audit", id="delete from the audit trail"),
        pytest.param("UPDATE seals SET digests = x'00'", id="rewrite a seal"),
        pytest.param("DELETE FROM seals", id="delete a seal"),
    ],
)
def test_what_is_kept_for_good_cannot_be_changed(schema: sqlite3.Connection, forbidden: str) -> None:
    schema.execute("BEGIN")
    try:
        schema.execute(f"{LOG_ROW} VALUES ('a', 't', 'e', 's', 't', 1, '', '{{}}')")
        schema.execute("INSERT INTO receipts VALUES ('erp', 1, 'INV-1', '', '')")
        schema.execute("INSERT INTO audit VALUES (1, '', 'ada', 'x', '{}', x'00', x'00')")
        schema.execute("INSERT INTO seals VALUES (1, '(log)', 0, 1, x'00', x'00')")
        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|kept"):
            schema.execute(forbidden)
    finally:
        schema.execute("ROLLBACK")
