"""The books are proven: whatever is changed, removed, added or swapped behind our back is named, by row."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from isthmus.store import anchors, audit, lanes, log, receipts, seals
from isthmus.store.errors import SchemaTooNew, StoreDamaged
from isthmus.store.face import Store, Tx
from isthmus.store.high_water import HIGH_WATER_NAME
from isthmus.store.open import DATABASE_NAME, open_memory_store, open_store
from isthmus.store.proof import Proof, Verdict
from tests.store.given import LATER, NOW, SOON, approved

EVENTS = 40
LANES = ("erp", "psa")


async def prove(store: Store, *known: anchors.Anchor) -> Verdict:
    proof = Proof(known)
    while not proof.done:
        await store.read(proof.step)
    return proof.verdict()


async def named(directory: Path, *known: anchors.Anchor) -> set[tuple[str, int, str]]:
    async with open_store(directory) as store:
        verdict = await prove(store, *known)
        return {(each.book, each.row, each.what) for each in verdict.findings}


def book_keeping(tx: Tx) -> None:
    """Acts, events and receipts; every tenth event is for nobody."""
    audit.append(tx, "ada", "lane.resume", {"lane": "erp"}, NOW)
    log.append(tx, [approved(number) for number in range(1, EVENTS + 1)], NOW)
    for lane in LANES:
        done = [(seq, f"{lane}-{seq}", "") for seq in range(1, EVENTS + 1) if seq % 10]
        receipts.add_many(tx, lane, done, SOON)
        lanes.advance(tx, lane, EVENTS)
    audit.append(tx, "bob", "exception.retry", {"exception": 7}, LATER)


async def seal_all(store: Store, limit: int = seals.PAGE) -> None:
    while await store.write(lambda tx: seals.seal_next(tx, LATER, limit=limit)):
        pass
    assert not await store.read(seals.pending)


@pytest.fixture
async def books(tmp_path: Path) -> Path:
    """Sealed books at rest, in pages of 16 rows."""
    directory = tmp_path / "state"
    async with open_store(directory) as store:
        await store.write(book_keeping)
        await seal_all(store, limit=16)
    return directory


@contextmanager
def tampering(directory: Path) -> Iterator[sqlite3.Connection]:
    """The file as somebody has it who may write it: no trigger and no mark beside it holds him back."""
    (directory / HIGH_WATER_NAME).unlink(missing_ok=True)
    with closing(sqlite3.connect(directory / DATABASE_NAME)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        connection.commit()


async def test_books_that_nobody_touched_are_whole(books: Path) -> None:
    async with open_store(books) as store:
        verdict = await prove(store)
    assert (verdict.findings, verdict.events, verdict.unsealed) == ([], EVENTS, 0)
    assert verdict.receipts == len(LANES) * EVENTS * 9 // 10


@pytest.mark.parametrize("on", ["disk", "memory"])
async def test_what_is_newer_than_the_newest_seal_is_counted(tmp_path: Path, on: str) -> None:
    opened = open_memory_store() if on == "memory" else open_store(tmp_path / "state")
    async with opened as store:
        await store.write(book_keeping)
        assert (await prove(store)).unsealed == EVENTS
        await seal_all(store)
        await store.write(lambda tx: log.append(tx, [approved(99)], NOW))
        verdict = await prove(store)
    assert (verdict.whole, verdict.events, verdict.unsealed) == (True, EVENTS, 1)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        pytest.param(
            ["UPDATE log SET payload = replace(payload, '7.50', '8.50') WHERE seq = 7"],
            {("events", 7, "changed")},
            id="an hour more",
        ),
        pytest.param(
            ["UPDATE log SET stale = 1 WHERE seq = 7"], {("events", 7, "changed")}, id="an event called stale"
        ),
        pytest.param(
            ["UPDATE log SET recorded_at = '2026-10-30T12:00:01Z' WHERE seq = 40"],
            {("events", 40, "changed")},
            id="another time",
        ),
        pytest.param(["DELETE FROM log WHERE seq = 20"], {("events", 20, "removed")}, id="an event removed"),
        pytest.param(
            [
                "CREATE TEMP TABLE a AS SELECT * FROM log WHERE seq IN (5, 6)",
                "DELETE FROM log WHERE seq IN (5, 6)",
                "INSERT INTO log SELECT 11 - seq, id, type, entity, subject, thread, revision, stale, "
                "recorded_at, payload FROM a",
            ],
            {("events", 5, "changed"), ("events", 6, "changed")},
            id="two events swapped",
        ),
        pytest.param(
            ["UPDATE receipts SET remote_id = 'erp-9000' WHERE lane = 'erp' AND seq = 12"],
            {("receipts of erp", 12, "changed")},
            id="another record's id",
        ),
        pytest.param(
            ["DELETE FROM receipts WHERE lane = 'psa' AND seq = 33"],
            {("receipts of psa", 33, "removed")},
            id="a receipt removed",
        ),
        pytest.param(
            ["INSERT INTO receipts VALUES ('erp', 10, 'made-up', '', '2026-10-30T12:00:00Z')"],
            {("receipts of erp", 10, "added")},
            id="a receipt for what was never delivered",
        ),
        pytest.param(
            ["UPDATE log SET id = 'x' WHERE seq = 5"],
            {("events", 5, "changed")},
            id="another id",
        ),
        pytest.param(
            ["UPDATE audit SET actor = 'eve' WHERE act = 'exception.retry'"],
            {("acts", 2, "changed")},
            id="another person",
        ),
        pytest.param(["DELETE FROM audit WHERE seq = 2"], {("acts", 2, "removed")}, id="an act removed"),
        pytest.param(
            [
                "UPDATE audit SET seq = -1 WHERE seq = 1",
                "UPDATE audit SET seq = 1 WHERE seq = 2",
                "UPDATE audit SET seq = 2 WHERE seq = -1",
            ],
            {("acts", 1, "changed"), ("acts", 2, "changed")},
            id="two acts swapped",
        ),
        pytest.param(
            ["DELETE FROM log WHERE seq > 38", "DELETE FROM receipts WHERE seq > 38"],
            {
                ("events", 39, "removed"),
                ("events", 40, "removed"),
                ("receipts of erp", 39, "removed"),
                ("receipts of psa", 39, "removed"),
            },
            id="the end of the log cut off",
        ),
        pytest.param(
            ["UPDATE seals SET digests = zeroblob(length(digests)) WHERE act = 3"],
            {("seals", 3, "changed")},
            id="digests wiped",
        ),
    ],
)
async def test_who_tampers_is_found_by_row(
    books: Path, sql: list[str], found: set[tuple[str, int, str]]
) -> None:
    with tampering(books) as file:
        for statement in sql:
            file.execute(statement)
    assert found <= await named(books)
    if "seals" not in {book for book, _, _ in found}:
        assert await named(books) == found


async def test_a_seal_that_is_gone_is_missed_with_the_rows_it_sealed(books: Path) -> None:
    with tampering(books) as file:
        file.execute("DELETE FROM seals WHERE act = 3")
    assert ("seals", 3, "changed") in await named(books)


FLIPS = 150
COLUMNS = [
    ("log", "seq", ("id", "type", "entity", "subject", "thread", "recorded_at", "payload"), "events"),
    ("receipts", "seq", ("remote_id", "delivered_at"), "receipts of erp"),
    ("audit", "seq", ("at", "actor", "act", "detail", "prev", "hash"), "acts"),
]


async def test_any_bit_of_any_row_that_flips_is_named(books: Path) -> None:
    """One bit at a time, put back before the next; also bits that leave no text behind."""
    dice = Random(11)
    for _ in range(FLIPS):
        table, key, columns, book = dice.choice(COLUMNS)
        column = dice.choice(columns)
        where = " AND lane = 'erp'" if table == "receipts" else ""
        with tampering(books) as file:
            rows = file.execute(
                f"SELECT {key}, CAST({column} AS BLOB) FROM {table} WHERE length({column}) > 0{where}"
            ).fetchall()
            row, value = dice.choice(rows)
            at = dice.randrange(len(value) * 8)
            flipped = bytearray(value)
            flipped[at // 8] ^= 1 << (at % 8)
            kind = "BLOB" if column in ("prev", "hash") else "TEXT"
            update = f"UPDATE {table} SET {column} = CAST(? AS {kind}) WHERE {key} = ?{where}"
            file.execute(update, (bytes(flipped), row))
        found = await named(books)
        assert (book, row, "changed") in found, f"bit {at} of {column} of {table} {row}"
        with tampering(books) as file:
            file.execute(update, (value, row))
    assert await named(books) == set()


def contents(path: Path) -> list[list[Any]]:
    """What a reader sees of the books."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("log", "receipts", "audit")
        ]


async def test_a_bit_that_flips_anywhere_in_the_file_is_refused_or_named_or_changes_nothing(
    books: Path, tmp_path: Path
) -> None:
    whole = (books / DATABASE_NAME).read_bytes()
    right = contents(books / DATABASE_NAME)
    dice, seen = Random(3), {"refused": 0, "named": 0, "nothing": 0}
    for number in range(120):
        at = dice.randrange(len(whole) * 8)
        bad = bytearray(whole)
        bad[at // 8] ^= 1 << (at % 8)
        copy = tmp_path / str(number)
        copy.mkdir(mode=0o700)
        (copy / DATABASE_NAME).write_bytes(bad)
        try:
            found = await named(copy)
        except (StoreDamaged, SchemaTooNew):
            seen["refused"] += 1
            continue
        if found:
            seen["named"] += 1
        else:
            assert contents(copy / DATABASE_NAME)[:2] == right[:2], f"bit {at} went unnoticed"
            seen["nothing"] += 1
    assert min(seen.values()) > 0, seen


def rewrite_chain(file: sqlite3.Connection) -> None:
    """Make the chain fit together again, as whoever knows how it is made could."""
    prev = audit.BEGINNING
    rows = file.execute("SELECT seq, at, actor, act, detail FROM audit ORDER BY seq").fetchall()
    for seq, at, actor, act, detail in rows:
        said = [seq, at, actor, act, detail]
        digest = hashlib.sha256(prev + json.dumps(said).encode()).digest()
        file.execute("UPDATE audit SET prev = ?, hash = ? WHERE seq = ?", (prev, digest, seq))
        prev = digest


async def test_a_chain_that_was_rewritten_fits_together_but_not_its_anchors(books: Path) -> None:
    async with open_store(books) as store:
        act, digest = await store.read(audit.last)
    anchor = anchors.Anchor(at=LATER, act=act, hash=digest.hex())
    assert await named(books, anchor) == set()
    with tampering(books) as file:
        file.execute("UPDATE audit SET actor = 'eve' WHERE seq = 2")
        rewrite_chain(file)
    assert await named(books) == set(), "without the anchor nobody could tell"
    assert await named(books, anchor) == {("acts", act, "changed")}
    with tampering(books) as file:
        file.execute("DELETE FROM audit WHERE seq = ?", (act,))
        file.execute("DELETE FROM seals WHERE act = ?", (act,))
    assert ("acts", act, "removed") in await named(books, anchor)


async def test_a_receipt_that_comes_late_is_sealed_late(books: Path) -> None:
    async with open_store(books) as store:
        await store.write(lambda tx: receipts.add(tx, "erp", 10, "erp-10", LATER))
        await store.write(lambda tx: receipts.add(tx, "erp", 11, "again", LATER))
        assert (await prove(store)).findings == [], "one that waits for its seal is no stranger"
        await seal_all(store)
        verdict = await prove(store)
        assert (verdict.findings, verdict.receipts) == ([], len(LANES) * EVENTS * 9 // 10 + 1)
    with tampering(books) as file:
        file.execute("UPDATE receipts SET remote_id = 'x' WHERE lane = 'erp' AND seq = 10")
    assert await named(books) == {("receipts of erp", 10, "changed")}


async def test_a_proof_may_be_made_while_the_books_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.store.proof.ACTS", 1)
    async with open_memory_store() as store:
        await store.write(book_keeping)
        await seal_all(store, limit=16)
        proof, steps = Proof(), 0
        while not proof.done:
            await store.read(proof.step)
            steps += 1
            await store.write(lambda tx, n=steps: log.append(tx, [approved(100 + n)], NOW))  # type: ignore[misc]
            if steps == 2:
                await store.write(lambda tx: receipts.add(tx, "psa", 20, "late", LATER))
            if steps % 3 == 0:
                await store.write(lambda tx: seals.seal_next(tx, LATER))
            assert steps < 200
        assert proof.verdict().findings == []


async def test_sealing_again_finds_nothing_to_do(books: Path) -> None:
    async with open_store(books) as store:
        acts = await store.read(audit.last)
        assert await store.write(lambda tx: seals.seal_next(tx, LATER)) == 0
        assert await store.read(audit.last) == acts


def _without_payload(digest: Callable[..., bytes]) -> Callable[..., bytes]:
    return lambda book, row: digest(book, row[:-1])


def _blind_to_rows(digest: Callable[..., bytes]) -> Callable[..., bytes]:
    return lambda book, row: digest(book, [])


@pytest.mark.parametrize("plant", [_without_payload, _blind_to_rows])
async def test_a_digest_that_leaves_something_out_is_found_mutant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[..., Callable[..., bytes]]
) -> None:
    monkeypatch.setattr(seals, "digest", plant(seals.digest))
    directory = tmp_path / "state"
    async with open_store(directory) as store:
        await store.write(book_keeping)
        await seal_all(store)
    with tampering(directory) as file:
        file.execute("UPDATE log SET payload = replace(payload, '7.50', '8.50') WHERE seq = 7")
    assert await named(directory) == set(), "the same tampering goes unnoticed"


def test_anchors_are_read_back_and_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "isthmus.anchors"
    assert anchors.read(file) == []
    first, second = (anchors.Anchor(at=NOW, act=act, hash=f"{act:064x}") for act in (7, 9))
    anchors.append(file, first)
    with file.open("ab") as torn:
        torn.write(b'{"at":"2026-10')
    assert anchors.read(file) == [first]
    anchors.append(file, second)
    assert anchors.read(file) == [first, second]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_line_that_is_no_anchor_is_named(tmp_path: Path) -> None:
    file = tmp_path / "isthmus.anchors"
    file.write_text('{"act": 1}\n')
    with pytest.raises(ValueError, match=r"isthmus\.anchors:1: not an anchor"):
        anchors.read(file)
