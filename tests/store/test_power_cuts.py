"""A thousand power cuts: nothing acknowledged is lost, nothing is half there, no file is ruined."""

import random
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import msgspec
import pytest

from isthmus.store import cursors, deliveries, log, migrations, receipts
from isthmus.store.face import Tx
from isthmus.store.open import DATABASE_NAME
from isthmus.store.pragmas import WRITER
from tests.store.disk_model import Acknowledged, ApswTx, Disk, RecordingVFS, Step
from tests.store.given import NOW, approved

COMMITS = 80
PER_COMMIT = 4
CUTS = 1000

Unit = Callable[[Tx], object]


def page(number: int) -> Unit:
    """What one page of a source writes, together with the deliveries of the page before."""

    def unit(tx: Tx) -> None:
        first = PER_COMMIT * number
        log.append(tx, [approved(first + each) for each in range(PER_COMMIT)], NOW)
        move(number)(tx)
        receipts.add_many(
            tx, "erp", ((first + each + 1, f"INV-{first + each}", "") for each in range(3)), NOW
        )
        deliveries.schedule(tx, "erp", first + 4, f"psa:{first + 3}", NOW)
        if number:
            deliveries.settle(tx, "erp", first)

    return unit


def move(number: int) -> Unit:
    return lambda tx: cursors.move(tx, "psa", "time", str(number + 1).encode(), NOW)


def record(folder: Path, pragmas: Sequence[str], pages: Sequence[Sequence[Unit]]) -> tuple[list[Step], int]:
    """Run the pages, each as one or more transactions; the tape, and where the schema was complete."""
    folder.mkdir()
    tape: list[Step] = []
    vfs = RecordingVFS(f"recording-{folder}", tape)
    connection = apsw.Connection(str(folder / DATABASE_NAME), vfs=f"recording-{folder}")
    # The index of the write-ahead log goes to the heap: the recorder does not share memory. It is no part of
    # what a power cut leaves.
    for pragma in ("PRAGMA locking_mode = EXCLUSIVE", *pragmas, "PRAGMA wal_autocheckpoint = 60"):
        list(connection.execute(pragma))
    for step in migrations.load():
        list(connection.execute(step.transaction()))
    list(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    ready = len(tape)
    tx = ApswTx(connection)
    for number, units in enumerate(pages, start=1):
        for unit in units:
            list(connection.execute("BEGIN IMMEDIATE"))
            unit(tx)
            list(connection.execute("COMMIT"))
        tape.append(Acknowledged(number))
    recorded = list(tape)
    connection.close()
    vfs.unregister()
    return recorded, ready


class Verdict(msgspec.Struct):
    """What the cuts did."""

    cuts: int = 0
    lost: int = 0
    half: int = 0
    ruined: int = 0


def cut(folder: Path, tape: Sequence[Step], ready: int, cuts: int, seed: int) -> Verdict:
    """Cut the power at random places, start again each time, and look."""
    chance = random.Random(seed)
    disk, verdict = Disk(tape, ready), Verdict(cuts=cuts)
    for position in sorted(chance.randrange(ready, len(tape) + 1) for _ in range(cuts)):
        disk.wind_to(position)
        for left in folder.glob(f"{DATABASE_NAME}*"):
            left.unlink()
        for name, content in disk.after_cut(chance).items():
            (folder / name).write_bytes(content)
        look(folder / DATABASE_NAME, disk.acknowledged, verdict)
    return verdict


def look(path: Path, acknowledged: int, verdict: Verdict) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        sound = connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        ((events, proofs, cursor, open_rows),) = connection.execute(
            "SELECT (SELECT count(*) FROM log), (SELECT count(*) FROM receipts),"
            " (SELECT CAST(CAST(position AS TEXT) AS INTEGER) FROM cursors),"
            " (SELECT min(seq) FROM deliveries)"
        ).fetchall()
    except sqlite3.DatabaseError:
        verdict.ruined += 1
        return
    finally:
        connection.close()
    pages = cursor or 0
    verdict.ruined += not sound
    verdict.lost += events < PER_COMMIT * acknowledged
    whole = (events, proofs, open_rows) == (PER_COMMIT * pages, 3 * pages, PER_COMMIT * pages or None)
    verdict.half += not whole


def with_synchronous(level: str) -> list[str]:
    changed = [pragma.replace("synchronous = FULL", f"synchronous = {level}") for pragma in WRITER]
    assert any(level in pragma for pragma in changed)
    return changed


TOGETHER = [[page(number)] for number in range(COMMITS)]


def test_a_thousand_power_cuts_lose_nothing_and_ruin_nothing(tmp_path: Path) -> None:
    tape, ready = record(tmp_path / "live", WRITER, TOGETHER)
    verdict = cut(tmp_path, tape, ready, CUTS, seed=1)
    assert verdict == Verdict(cuts=CUTS, lost=0, half=0, ruined=0)


def test_the_recording_contains_checkpoints_too(tmp_path: Path) -> None:
    """Otherwise the cuts would never fall into the moment when the log moves into the file."""
    tape, ready = record(tmp_path / "live", WRITER, TOGETHER)
    moved = [step for step in tape[ready:] if getattr(step, "file", "") == DATABASE_NAME]
    assert len(moved) > COMMITS


@pytest.mark.parametrize("level", ["NORMAL", "OFF"])
def test_with_less_than_full_synchronous_acknowledged_commits_are_lost(tmp_path: Path, level: str) -> None:
    """The mutant: what `verify` refuses at start is what this test would find."""
    tape, ready = record(tmp_path / "live", with_synchronous(level), TOGETHER)
    assert cut(tmp_path, tape, ready, 200, seed=2).lost > 20


def test_a_cursor_moved_in_a_transaction_of_its_own_is_found_out(tmp_path: Path) -> None:
    """The mutant: the cursor first, what was read after it. A cut in between skips a page for good."""
    apart = [[move(number), page(number)] for number in range(COMMITS)]
    tape, ready = record(tmp_path / "live", WRITER, apart)
    assert cut(tmp_path, tape, ready, 200, seed=3).half > 20
