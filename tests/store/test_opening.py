"""One daemon per state directory, today's schema, and a file that is sound and not an old copy."""

import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from isthmus.store import check, instance, log, migrations, open
from isthmus.store.errors import (
    LeaseLost,
    SchemaTooNew,
    StoreDamaged,
    StoreFailed,
    StoreLocked,
    StoreRewound,
)
from isthmus.store.open import DATABASE_NAME, open_store
from isthmus.store.pragmas import WRITER, set_up, verify
from tests.store.given import NOW, approved

HOLD = """
import sys, trio
from pathlib import Path
from isthmus.store.open import open_store
async def main():
    async with open_store(Path(sys.argv[1]), holder="the first daemon"):
        print("open", flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


class Holder:
    """Another process that has the store open."""

    def __init__(self, state_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(state_dir)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "open\n"

    def __enter__(self) -> "Holder":
        return self

    def __exit__(self, *details: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.parametrize("way", ["the same path", "a symlink", "a stopped holder"])
async def test_a_second_daemon_is_refused_within_a_second(tmp_path: Path, way: str) -> None:
    state_dir = tmp_path / "state"
    with Holder(state_dir) as first:
        asked = state_dir
        if way == "a symlink":
            asked = tmp_path / "link"
            asked.symlink_to(state_dir)
        if way == "a stopped holder":
            first.process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(StoreLocked, match=rf"the first daemon, pid {first.process.pid}\b"):
            async with open_store(asked):
                pass
        assert time.monotonic() - started < 1
    async with open_store(state_dir) as store:  # the kernel let go when it died
        assert store.generation == 2


async def test_within_one_process_the_second_is_refused_too(tmp_path: Path) -> None:
    async with open_store(tmp_path):
        with pytest.raises(StoreLocked, match=f"pid {os.getpid()}"):
            async with open_store(tmp_path):
                pass


async def test_whoever_lost_the_lease_can_no_longer_write(tmp_path: Path) -> None:
    """The lock was got round (another file system, a copied directory): the generation still tells."""
    async with open_store(tmp_path) as store:
        await store.write(lambda tx: log.append(tx, [approved(1)], NOW))
        await store.write(lambda tx: tx.one("lease_take", holder="usurper", now=NOW))
        with pytest.raises(LeaseLost):
            await store.write(lambda tx: log.append(tx, [approved(2)], NOW))
        with trio.fail_after(1):
            await store.failed.wait()
        with pytest.raises(LeaseLost):
            await store.write(log.count)
        assert isinstance(store.failure, LeaseLost)
    async with open_store(tmp_path) as store:
        assert await store.read(log.count) == 1


# Schema


NOW_KNOWN = len(migrations.load())
TABLE = "CREATE TABLE extra (x TEXT) STRICT;"
EXTRA = migrations.Migration(number=NOW_KNOWN + 1, name="extra", script=TABLE)
HALF = migrations.Migration(number=NOW_KNOWN + 1, name="half", script=TABLE + "SELECT nonsense;")


async def test_a_migration_backs_the_file_up_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(tmp_path) as store:
        await store.write(lambda tx: log.append(tx, [approved(1)], NOW))
    assert not (tmp_path / "backups").exists()
    known = migrations.load()
    monkeypatch.setattr(migrations, "load", lambda: (*known, EXTRA))
    async with open_store(tmp_path, now=lambda: NOW) as store:
        assert await store.read(log.count) == 1
    (backup,) = (tmp_path / "backups").iterdir()
    assert backup.name == f"isthmus-schema{NOW_KNOWN}-20261030T120000000000.db"
    kept = sqlite3.connect(backup)
    assert kept.execute("SELECT count(*) FROM log").fetchall() == [(1,)]
    assert kept.execute("PRAGMA user_version").fetchall() == [(NOW_KNOWN,)]
    kept.close()


async def test_a_migration_that_fails_leaves_the_old_schema_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(tmp_path):
        pass
    known = migrations.load()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "load", lambda: (*known, HALF))
        with pytest.raises(sqlite3.OperationalError, match="nonsense"):
            async with open_store(tmp_path):
                pass
    raw = sqlite3.connect(tmp_path / DATABASE_NAME)
    assert raw.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'extra'").fetchall() == [(0,)]
    raw.close()
    async with open_store(tmp_path) as store:
        assert store.generation == 2


async def test_a_newer_schema_is_refused_and_not_touched(tmp_path: Path) -> None:
    async with open_store(tmp_path):
        pass
    newer = len(migrations.load()) + 1
    raw = sqlite3.connect(tmp_path / DATABASE_NAME)
    raw.execute(f"PRAGMA user_version = {newer}")
    raw.close()
    before = (tmp_path / DATABASE_NAME).read_bytes()
    with pytest.raises(SchemaTooNew) as refused:
        async with open_store(tmp_path):
            pass
    assert (refused.value.found, refused.value.known) == (newer, newer - 1)
    assert (tmp_path / DATABASE_NAME).read_bytes() == before


# Settings, damage, old copies


def test_a_setting_that_did_not_take_is_noticed() -> None:
    memory = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(StoreFailed, match="journal_mode"):
        verify(memory)
    memory.close()


def test_synchronous_normal_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    set_up(connection, WRITER)
    verify(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    with pytest.raises(StoreFailed, match="synchronous"):
        verify(connection)
    connection.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreDamaged):
        async with open_store(tmp_path):
            pass
    assert (tmp_path / DATABASE_NAME).read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("whole_up_to", [0, 1 << 30], ids=["a big file", "a small file"])
async def test_damage_is_found_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_up_to: int
) -> None:
    monkeypatch.setattr(open, "WHOLE_CHECK_BYTES", whole_up_to)
    async with open_store(tmp_path) as store:
        await store.write(lambda tx: log.append(tx, [approved(number) for number in range(50)], NOW))
    raw = sqlite3.connect(tmp_path / DATABASE_NAME)
    raw.execute("UPDATE instance SET closed_cleanly = 0")
    raw.commit()
    (page,) = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'positions'").fetchall()[0]
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    path = tmp_path / DATABASE_NAME
    async with open_store(tmp_path):  # unclean, but sound
        pass
    raw = sqlite3.connect(path)
    raw.execute("UPDATE instance SET closed_cleanly = 0")
    raw.commit()
    raw.close()
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 : (page - 1) * 4096 + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(StoreDamaged):
        async with open_store(tmp_path):
            pass


async def test_a_backup_put_back_is_noticed_and_can_be_accepted(tmp_path: Path) -> None:
    live, copy = tmp_path / "live", tmp_path / "copy.db"
    async with open_store(live) as store:
        await store.write(lambda tx: log.append(tx, [approved(1)], NOW))
        await store.backup(copy)
        await store.write(lambda tx: log.append(tx, [approved(2)], NOW))
    shutil.copy(copy, live / DATABASE_NAME)
    with pytest.raises(StoreRewound, match=r"event 1.* has seen start 1, event 2"):
        async with open_store(live):
            pass
    async with open_store(live, accept_rewind=True) as store:
        assert await store.read(log.count) == 1
    async with open_store(live) as store:  # what was accepted is the new truth
        assert store.generation == 3


async def test_the_lock_file_is_the_only_one_held(tmp_path: Path) -> None:
    """Closing any other descriptor of the database would drop SQLite's own locks."""
    async with open_store(tmp_path):
        descriptor = os.open(tmp_path / "isthmus.lock", os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)


async def test_the_store_says_who_holds_it_and_how_it_was_left(tmp_path: Path) -> None:
    async with open_store(tmp_path, holder="db check", now=lambda: NOW) as store:
        found = await store.read(instance.current)
    assert found == instance.Instance(1, "db check", NOW, closed_cleanly=False)
    raw = sqlite3.connect(tmp_path / DATABASE_NAME)
    assert raw.execute("SELECT closed_cleanly FROM instance").fetchall() == [(1,)]
    raw.close()


WRITE = """
import sys, trio
from pathlib import Path
from isthmus.store import log
from isthmus.store.open import open_store
sys.path.insert(0, sys.argv[2])
from given import NOW, approved
async def main():
    async with open_store(Path(sys.argv[1])) as store:
        async def lane(name):
            number = store.generation * 1_000_000 + name
            while True:
                event = approved(number)
                await store.write(lambda tx: log.append(tx, [event], NOW))
                print(event.id, flush=True)
                number += 10
        async with trio.open_nursery() as nursery:
            for name in range(4):
                nursery.start_soon(lane, name)
trio.run(main)
"""


def killed_writer(state_dir: Path, after: int) -> set[str]:
    """Four lanes write until the process is killed, ``after`` that many acknowledged events; their ids."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(state_dir), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    told = {writer.stdout.readline().strip() for _ in range(after)}
    assert writer.poll() is None, "it ended before it was killed"
    writer.kill()
    told |= {line.strip() for line in writer.stdout if line.endswith("\n")}
    writer.wait()
    writer.stdout.close()
    return told


@pytest.mark.crash
async def test_what_was_acknowledged_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for kill in range(5):
        acknowledged |= await trio.to_thread.run_sync(killed_writer, tmp_path, 20 + 7 * kill)
    assert len(acknowledged) > 100
    async with open_store(tmp_path) as store:
        assert store.generation == 6
        kept = await store.read(lambda tx: log.search(tx, limit=100_000))
        assert acknowledged <= {row.id for row in kept}
        assert await store.read(lambda tx: check.problems(tx, full=True)) == []
