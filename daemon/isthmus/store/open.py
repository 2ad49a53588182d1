"""Open the store: hold the directory, migrate, look for damage, take the lease; and put all of it back."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import trio

from isthmus.store import migrations, pragmas
from isthmus.store._bridge import Engine, WorkConnection, memory_connection
from isthmus.store._transaction import transact
from isthmus.store.errors import LeaseLost, StoreBusy, StoreClosed, StoreDamaged, StoreFailed, StoreFull
from isthmus.store.face import Store, Tx
from isthmus.store.high_water import HighWater, Mark
from isthmus.store.lock import hold, sync_directory

T = TypeVar("T")

DATABASE_NAME = "isthmus.db"
BACKUPS_NAME = "backups"
WHOLE_CHECK_BYTES = 64 * 1024 * 1024
"""Up to this size the whole file is looked at after a crash, in well under a second."""

_DECIDING_TABLES = ("positions", "lanes", "deliveries", "intents", "cursors", "process_state", "instance")


def _utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def open_store(
    state_dir: Path,
    *,
    holder: str = "daemon",
    now: Callable[[], datetime] = _utc_now,
    accept_rewind: bool = False,
) -> AsyncIterator[Store]:
    """The store of a state directory, which is made when it is missing.

    Args:
        holder: Who we are, for the next one who is refused.
        accept_rewind: A person said that the file, older than what was seen, is to be used.

    Raises:
        StoreLocked: another process holds the directory.
        SchemaTooNew: a newer isthmus wrote the file.
        StoreRewound: a backup was put back, and nobody said that is right.
        StoreDamaged: SQLite found damage.
        StoreFailed: the disk does not do what durability needs.
    """
    state_dir = _directory(state_dir)
    with hold(state_dir, holder):
        path = state_dir / DATABASE_NAME
        high_water = HighWater(state_dir)
        engine = Engine(path)
        generation = await engine.open(
            lambda connection: _prepare(connection, path, holder, now(), high_water, accept_rewind)
        )

        def check(tx: Tx) -> None:
            found = tx.one("lease_generation")
            if found != (generation,):
                raise LeaseLost(f"this is start {generation}, the store belongs to start {found}")

        def after(connection: WorkConnection) -> None:
            # A mark that could not be written is older than it might be, which is safe.
            if high_water.due():
                with suppress(OSError):
                    high_water.note(_mark(connection))

        def leave(connection: WorkConnection) -> None:
            # On a full disk we leave as after a crash: the next start looks for damage.
            with suppress(StoreFull, StoreBusy, OSError):
                transact(connection, [lambda tx: tx.run("instance_closed", generation=generation)], check)
                high_water.note(_mark(connection), at_once=True)

        try:
            sync_directory(state_dir)
            engine.serve(check, after)
            yield FileStore(engine, path, generation)
        finally:
            await engine.close(leave)


def _directory(state_dir: Path) -> Path:
    real = state_dir.resolve()
    if not real.exists():
        real.mkdir(mode=0o700, parents=True)
        sync_directory(real.parent)
    return real


def _prepare(
    connection: WorkConnection,
    path: Path,
    holder: str,
    now: datetime,
    high_water: HighWater,
    accept_rewind: bool,
) -> int:
    """Bring the file to today's schema, look for damage, take the lease; the generation."""
    steps = migrations.load()
    pending = migrations.pending(connection, steps)
    if len(pending) < len(steps):
        look_for_damage(connection, path)
        if pending:
            keep = path.parent / BACKUPS_NAME
            keep.mkdir(mode=0o700, exist_ok=True)
            schema = migrations.version(connection)
            connection.copy_to(keep / f"isthmus-schema{schema}-{now:%Y%m%dT%H%M%S%f}.db")
    for step in pending:
        migrations.apply(connection, step)
    if not accept_rewind:
        high_water.check(_mark(connection))

    def take(tx: Tx) -> int:
        row = tx.one("lease_take", holder=holder, now=now)
        if row is None:
            raise StoreDamaged("the row that says who may write is missing")
        return int(row[0])

    (generation,) = transact(connection, [take], lambda tx: None)
    high_water.note(_mark(connection), at_once=True)
    return int(generation)


def _mark(connection: WorkConnection) -> Mark:
    generation, head = connection.execute(
        "SELECT (SELECT generation FROM instance WHERE one = 1), (SELECT coalesce(max(seq), 0) FROM log)"
    ).fetchone()
    return Mark(generation=generation, head=head)


def look_for_damage(connection: WorkConnection, path: Path) -> None:
    """After a run that did not close cleanly, look whether the file is sound.

    A small file is looked at as a whole. In a big one only the tables that decide what happens next are,
    which stay small whatever the history: the log and the receipts are only ever appended to, and reading
    gigabytes before the first delivery would turn each crash into an outage. `db check` reads everything.

    Raises:
        StoreDamaged: with SQLite's words.
    """
    row = connection.execute("SELECT closed_cleanly FROM instance WHERE one = 1").fetchone()
    if row == (1,):
        return
    whole = path.stat().st_size <= WHOLE_CHECK_BYTES
    for pragma in ["quick_check(20)"] if whole else [f"quick_check({table})" for table in _DECIDING_TABLES]:
        told = [str(line[0]) for line in connection.execute(f"PRAGMA {pragma}").fetchall()]
        if told != ["ok"]:
            raise StoreDamaged(f"{path} is damaged: {'; '.join(told)[:500]}")


class FileStore(Store):
    """The store on disk."""

    def __init__(self, engine: Engine, path: Path, generation: int) -> None:
        self._engine = engine
        self.path = path
        self.generation = generation
        self.failed = engine.failed

    @property
    def failure(self) -> StoreFailed | None:
        return self._engine.failure

    async def write(self, unit: Callable[[Tx], T]) -> T:
        return await self._engine.write(unit)

    async def read(self, unit: Callable[[Tx], T], *, limit_s: float = 10.0) -> T:
        return await self._engine.read(unit, limit_s)

    async def read_in_turn(self, unit: Callable[[Tx], T]) -> T:
        return await self._engine.write(unit)  # without a change a commit writes nothing

    async def backup(self, target: Path) -> None:
        await self._engine.backup(target)

    def wal_bytes(self) -> int:
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0


@asynccontextmanager
async def open_memory_store(
    *, holder: str = "daemon", now: Callable[[], datetime] = _utc_now
) -> AsyncIterator[Store]:
    """The same statements on a database in memory, run on trio's own thread: for virtual time and tests."""
    connection = memory_connection()
    try:
        pragmas.set_up(connection, pragmas.MEMORY)
        for step in migrations.load():
            migrations.apply(connection, step)
        (row,) = transact(
            connection, [lambda tx: tx.one("lease_take", holder=holder, now=now())], lambda tx: None
        )
        store = MemoryStore(connection, int(row[0]))
        try:
            yield store
        finally:
            store.close()
    finally:
        connection.close()


class MemoryStore(Store):
    """The store in memory. A unit runs at once; otherwise it behaves as the one on disk."""

    def __init__(self, connection: WorkConnection, generation: int) -> None:
        self._connection = connection
        self._closed = False
        self.path = Path(":memory:")
        self.generation = generation
        self.failed = trio.Event()

    @property
    def failure(self) -> StoreFailed | None:
        return None

    async def write(self, unit: Callable[[Tx], T]) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._refuse_if_closed()
        (value,) = transact(self._connection, [unit], self._check)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return value  # type: ignore[no-any-return]

    async def read(self, unit: Callable[[Tx], T], *, limit_s: float = 10.0) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._refuse_if_closed()
        self._connection.execute("PRAGMA query_only = ON")
        tx = self._connection.begin("DEFERRED")
        try:
            value = unit(tx)
        finally:
            self._connection.roll_back()
            self._connection.execute("PRAGMA query_only = OFF")
        await trio.lowlevel.cancel_shielded_checkpoint()
        return value

    async def backup(self, target: Path) -> None:
        await trio.lowlevel.checkpoint()
        self._connection.copy_to(target)

    def wal_bytes(self) -> int:
        return 0

    def close(self) -> None:
        self._closed = True

    def _check(self, tx: Tx) -> None:
        if tx.one("lease_generation") != (self.generation,):
            raise LeaseLost(f"this is start {self.generation}, the store belongs to another")

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")
