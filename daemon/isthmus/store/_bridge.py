"""The only place that speaks to SQLite: aiosqlite on an asyncio loop of its own, in a thread, behind trio.

aiosqlite cannot run on trio's loop, and one hop per statement would cost a quarter of the throughput. So a
unit of work crosses once: aiosqlite is asked to ``commit()``, and the connection, a subclass of ours, runs in
its ``commit`` the work that was laid before it, from BEGIN to COMMIT, on aiosqlite's own thread. Nothing but
public names of aiosqlite is used.
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import trio

from isthmus.store import errors
from isthmus.store._transaction import Job, fail_all, run_group
from isthmus.store.face import Row, Tx
from isthmus.store.instants import to_text
from isthmus.store.lock import sync_directory
from isthmus.store.pragmas import OLDEST_SQLITE, READER, WRITER, set_up, verify
from isthmus.store.statements import STATEMENTS

T = TypeVar("T")

MAX_GROUP = 128
"""Units per commit at most: a failing one makes the others run again."""
IDLE_S = 5.0
"""After this long without a write the write-ahead log is emptied."""
READERS = 2
_BUSY_MS = 5000  # a foreign shell on the file is given this long to let go
_PROGRESS_STEPS = 20_000  # about a millisecond of SQLite's work between two looks at the clock
_CACHED_STATEMENTS = 256  # more than there are names, so that nothing is ever prepared twice

_BY_CODE: dict[int, type[errors.StoreError]] = {
    sqlite3.SQLITE_BUSY: errors.StoreBusy,
    sqlite3.SQLITE_LOCKED: errors.StoreBusy,
    sqlite3.SQLITE_READONLY: errors.StoreFailed,
    sqlite3.SQLITE_INTERRUPT: errors.ReadTooLong,
    sqlite3.SQLITE_IOERR: errors.StoreFailed,
    sqlite3.SQLITE_CORRUPT: errors.StoreDamaged,
    sqlite3.SQLITE_NOTADB: errors.StoreDamaged,
    sqlite3.SQLITE_FULL: errors.StoreFull,
    sqlite3.SQLITE_CANTOPEN: errors.StoreFailed,
    sqlite3.SQLITE_PROTOCOL: errors.StoreFailed,
    sqlite3.SQLITE_CONSTRAINT: errors.ConstraintBroken,
}


def _named(error: sqlite3.Error, doing: str) -> Exception:
    """The store's name for what SQLite reports; our own mistakes (a wrong name, say) stay as they are."""
    code = getattr(error, "sqlite_errorcode", None)
    kind = None if code is None else _BY_CODE.get(code & 0xFF)
    if kind is None:
        return error
    return kind(f"{doing}: {error} ({getattr(error, 'sqlite_errorname', code)})")


def _bound(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: to_text(value) if isinstance(value, datetime) else value for name, value in params.items()}


class SqliteTx:
    """One open transaction. See `isthmus.store.face.Tx`."""

    __slots__ = ("_connection", "_reading", "fault")

    def __init__(self, connection: sqlite3.Connection, reading: bool) -> None:
        self._connection = connection
        self._reading = reading
        self.fault: Exception | None = None

    def run(self, name: str, /, **params: Any) -> int:
        return self._do(name, lambda sql: self._connection.execute(sql, _bound(params)).rowcount)

    def many(self, name: str, rows: Iterable[Mapping[str, Any] | Sequence[Any]], /) -> int:
        # Asking first what most rows are: whether something is a Mapping takes as long as writing it.
        ready = [
            row if isinstance(row, tuple) or not isinstance(row, Mapping) else _bound(row) for row in rows
        ]
        return self._do(name, lambda sql: self._connection.executemany(sql, ready).rowcount)

    def one(self, name: str, /, **params: Any) -> Row | None:
        rows = self.all(name, **params)
        return rows[0] if rows else None

    def all(self, name: str, /, **params: Any) -> list[Row]:
        # Always to the end: a statement left half read would keep its snapshot open.
        return self._do(name, lambda sql: self._connection.execute(sql, _bound(params)).fetchall())

    def _do(self, name: str, action: Callable[[str], T]) -> T:
        if self.fault is not None:
            raise self.fault
        try:
            return action(STATEMENTS[name])
        except sqlite3.Error as error:
            told = _named(error, name)
            if self._reading and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY:
                told = errors.ReadOnly(f"{name}: a unit given to read() tried to write")
            if not isinstance(told, errors.ConstraintBroken):
                # SQLite may have rolled back already: a unit that swallows this must not write on.
                self.fault = told
            raise told from error


class WorkConnection(sqlite3.Connection):
    """A connection whose ``commit`` runs the work laid before it."""

    work: Callable[[], None] | None = None
    _tx: SqliteTx | None = None

    def commit(self) -> None:
        if self.work is not None:
            self.work()

    def begin(self, kind: str) -> SqliteTx:
        try:
            self.execute(f"BEGIN {kind}")
        except sqlite3.Error as error:
            raise _named(error, "begin") from error
        self._tx = SqliteTx(self, reading=kind == "DEFERRED")
        return self._tx

    def commit_all(self) -> None:
        if self._tx is not None and self._tx.fault is not None:
            raise self._tx.fault
        try:
            self.execute("COMMIT")
        except sqlite3.Error as error:
            raise _named(error, "commit") from error

    def roll_back(self) -> None:
        """End the transaction without a trace; SQLite may have done so itself after an error."""
        if self.in_transaction:
            try:
                self.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise errors.StoreFailed(f"rollback: {error}") from error

    def copy_to(self, target: Path) -> None:
        """Write a consistent, synced copy; it has its name only when it is whole.

        Raises:
            FileExistsError: ``target`` exists.
            StoreFull, StoreFailed: it could not be written; nothing is left behind.
        """
        if target.exists():
            raise FileExistsError(target)
        partial = target.with_name(target.name + ".partial")
        partial.unlink(missing_ok=True)
        try:
            copy = sqlite3.connect(partial, isolation_level=None)
            try:
                self.backup(copy)
            finally:
                copy.close()
            descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            partial.rename(target)
            sync_directory(target.parent)
        except sqlite3.Error as error:
            raise _named(error, f"copy to {target}") from error
        finally:
            partial.unlink(missing_ok=True)


def memory_connection() -> WorkConnection:
    """A database of this process's memory, used from the calling thread."""
    connection = sqlite3.connect(
        ":memory:", isolation_level=None, cached_statements=_CACHED_STATEMENTS, factory=WorkConnection
    )
    assert isinstance(connection, WorkConnection)
    return connection


def look_into(path: Path, unit: Callable[[Tx], T]) -> T:
    """Read a file nobody works on, such as a backup, from the calling thread; nothing beside it is made.

    Raises:
        FileNotFoundError: there is no such file.
        StoreDamaged: it is no database, or a broken one.
    """
    path.stat()
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable=1",
            uri=True,
            isolation_level=None,
            factory=WorkConnection,
        )
        try:
            if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'instance'").fetchone() is None:
                raise errors.StoreDamaged(f"{path} is no store of isthmus")
            return unit(connection.begin("DEFERRED"))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise _named(error, f"read {path}") from error


class _Hand:
    """One connection with the thread aiosqlite gives it; does one thing at a time."""

    def __init__(self, path: Path, mode: str) -> None:
        self._uri = f"{path.as_uri()}?mode={mode}"
        self._inner: WorkConnection | None = None
        self._outer: aiosqlite.Connection | None = None
        self.reading: Job[Any] | None = None
        self.deadline = 0.0

    async def open(self) -> None:
        self._outer = await aiosqlite.connect(
            self._uri,
            uri=True,
            isolation_level=None,
            timeout=_BUSY_MS / 1000,
            cached_statements=_CACHED_STATEMENTS,
            factory=self._make,
        )

    def _make(self, *args: Any, **kwargs: Any) -> WorkConnection:
        self._inner = WorkConnection(*args, **kwargs)
        return self._inner

    async def do(self, work: Callable[[WorkConnection], T]) -> T:
        """Run ``work`` on the connection's thread."""
        assert self._inner is not None and self._outer is not None
        inner, results = self._inner, []
        inner.work = lambda: results.append(work(inner))
        try:
            await self._outer.commit()
        except sqlite3.Error as error:
            raise _named(error, "store") from error
        finally:
            inner.work = None
        return results[0]

    def watch(self, connection: WorkConnection) -> None:
        """End reads that take too long or whose caller has gone."""
        connection.set_progress_handler(self._must_end, _PROGRESS_STEPS)

    def _must_end(self) -> int:
        job = self.reading
        return int(job is not None and (job.abandoned or time.monotonic() > self.deadline))

    async def close(self) -> None:
        if self._outer is not None:
            outer, self._outer, self._inner = self._outer, None, None
            await outer.close()


class _Signal(Enum):
    STOP = 1
    TIDY = 2


_Queue = asyncio.Queue[Job[Any] | _Signal]


class Engine:
    """The asyncio loop, the writer, the readers, and the way to them from trio."""

    def __init__(self, path: Path) -> None:
        self.failed = trio.Event()
        self.failure: errors.StoreFailed | None = None
        self._path = path
        self._token = trio.lowlevel.current_trio_token()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="isthmus-store", daemon=True)
        self._writer = _Hand(path, "rwc")
        self._readers: list[_Hand] = []
        self._writes: _Queue = asyncio.Queue()
        self._reads: _Queue = asyncio.Queue()
        self._served: list[asyncio.Task[None]] = []
        self._check: Callable[[Tx], None] = lambda tx: None
        self._after: Callable[[WorkConnection], None] = lambda connection: None
        self._closed = False

    # From trio

    async def open(self, prepare: Callable[[WorkConnection], T]) -> T:
        """Open the writer, run ``prepare`` on it (migrate, check, take the lease), then open the readers.

        Raises:
            StoreError: what is wrong with the file; everything is closed again.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise errors.StoreError(f"SQLite {sqlite3.sqlite_version} is too old, 3.37 is needed")
        self._thread.start()
        try:
            return await trio.to_thread.run_sync(self._call, lambda: self._open(prepare))
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._end_loop)
            raise

    def serve(self, check: Callable[[Tx], None], after: Callable[[WorkConnection], None]) -> None:
        """Begin to take units; ``check`` runs first in each write transaction, ``after`` behind a group."""
        self._check, self._after = check, after
        self._loop.call_soon_threadsafe(self._start_serving)

    async def close(self, leave: Callable[[WorkConnection], None]) -> None:
        """Finish what was begun, run ``leave`` on the writer unless the store failed, and close all."""
        self._closed = True
        with trio.CancelScope(shield=True):
            try:
                await trio.to_thread.run_sync(self._call, lambda: self._close(leave))
            finally:
                await trio.to_thread.run_sync(self._end_loop)

    async def write(self, unit: Callable[[Tx], T]) -> T:
        self._refuse_if_over()
        job = Job(unit)
        await self._cross(self._writes, job)
        return job.result()

    async def read(self, unit: Callable[[Tx], T], limit_s: float) -> T:
        self._refuse_if_over()
        job = Job(unit, limit_s)
        cancelled = await self._cross(self._reads, job)
        if cancelled is not None:
            cancelled()
        return job.result()

    async def backup(self, target: Path) -> None:
        """On a connection of its own, so that neither writes nor reads wait for it."""
        self._refuse_if_over()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._call, lambda: self._backup(target))

    def _refuse_if_over(self) -> None:
        if self.failure is not None:
            raise type(self.failure)(str(self.failure))
        if self._closed:
            raise errors.StoreClosed("the store is closed")

    async def _cross(self, queue: _Queue, job: Job[Any]) -> Callable[[], Any] | None:
        """Hand a job over and wait for its end; what raises `trio.Cancelled`, if that came meanwhile."""
        await trio.lowlevel.checkpoint_if_cancelled()
        job.task = trio.lowlevel.current_task()
        cancelled: Callable[[], Any] | None = None

        def abort(raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
            nonlocal cancelled
            if job.claim():
                return trio.lowlevel.Abort.SUCCEEDED
            job.abandoned, cancelled = True, raise_cancel
            return trio.lowlevel.Abort.FAILED

        self._loop.call_soon_threadsafe(queue.put_nowait, job)
        await trio.lowlevel.wait_task_rescheduled(abort)
        return cancelled

    def _tell(self, jobs: Sequence[Job[Any]]) -> None:
        def wake() -> None:
            for job in jobs:
                assert job.task is not None
                trio.lowlevel.reschedule(job.task)

        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(wake)

    def _fail(self, failure: errors.StoreFailed) -> None:
        if self.failure is None:
            self.failure = failure
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self.failed.set)

    # From a helper thread, into the asyncio loop

    def _call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # On the asyncio loop

    async def _open(self, prepare: Callable[[WorkConnection], T]) -> T:
        def first(connection: WorkConnection) -> T:
            set_up(connection, WRITER)
            verify(connection)
            return prepare(connection)

        try:
            await self._writer.open()
            prepared = await self._writer.do(first)
            for _ in range(READERS):
                hand = _Hand(self._path, "ro")
                self._readers.append(hand)
                await hand.open()
                await hand.do(lambda connection, hand=hand: self._set_up_reader(hand, connection))  # type: ignore[misc]
        except BaseException as error:
            for hand in [*self._readers, self._writer]:
                await hand.close()
            if isinstance(error, sqlite3.Error):
                raise _named(error, f"open {self._path}") from error
            raise
        return prepared

    @staticmethod
    def _set_up_reader(hand: _Hand, connection: WorkConnection) -> None:
        set_up(connection, READER)
        # The first read takes the file lock that keeps a failed writer from tidying up while it closes.
        connection.execute(STATEMENTS["lease_generation"]).fetchall()
        hand.watch(connection)

    def _start_serving(self) -> None:
        self._served.append(self._loop.create_task(self._serve_writes()))
        self._served += [self._loop.create_task(self._serve_reads(hand)) for hand in self._readers]

    async def _serve_writes(self) -> None:
        tidying: asyncio.TimerHandle | None = None
        while (item := await self._writes.get()) is not _Signal.STOP:
            if tidying is not None:
                tidying.cancel()
            if isinstance(item, _Signal):
                await self._tidy()
                continue
            waiting = [item]
            while len(waiting) < MAX_GROUP and not self._writes.empty():
                following = self._writes.get_nowait()
                if isinstance(following, _Signal):
                    if following is _Signal.STOP:
                        self._writes.put_nowait(following)
                    break
                waiting.append(following)
            if jobs := [each for each in waiting if each.claim()]:
                await self._write(jobs)
                self._tell(jobs)
            tidying = self._loop.call_later(IDLE_S, self._writes.put_nowait, _Signal.TIDY)
        if tidying is not None:
            tidying.cancel()

    async def _write(self, jobs: Sequence[Job[Any]]) -> None:
        if self.failure is not None:
            fail_all(jobs, self.failure)
            return
        check, after = self._check, self._after

        def work(connection: WorkConnection) -> None:
            run_group(connection, jobs, check)
            after(connection)

        try:
            await self._writer.do(work)
        except errors.StoreFailed as failure:
            self._fail(failure)
        except Exception as error:  # noqa: BLE001 - a writer that does not know what happened must not go on
            unknown = errors.StoreFailed(f"writer: {error!r}")
            fail_all(jobs, unknown)
            self._fail(unknown)

    async def _tidy(self) -> None:
        """Empty the write-ahead log while nobody writes; a reader in the way puts it off."""
        if self.failure is not None:
            return
        try:
            await self._writer.do(_empty_log)
        except errors.StoreBusy:
            return
        except errors.StoreFailed as failure:
            self._fail(failure)

    async def _serve_reads(self, hand: _Hand) -> None:
        while isinstance(job := await self._reads.get(), Job):
            if not job.claim():
                continue
            hand.reading, hand.deadline = job, time.monotonic() + job.limit_s
            try:
                await hand.do(lambda connection, job=job: _read(connection, job))  # type: ignore[misc]
            except BaseException as error:  # noqa: BLE001 - the caller is told, whatever it was
                job.fail(error)
                if isinstance(error, errors.StoreFailed):
                    self._fail(error)
            finally:
                hand.reading = None
            self._tell([job])

    async def _backup(self, target: Path) -> None:
        hand = _Hand(self._path, "ro")
        try:
            await hand.open()
            await hand.do(lambda connection: connection.copy_to(target))
        finally:
            await hand.close()

    async def _close(self, leave: Callable[[WorkConnection], None]) -> None:
        self._writes.put_nowait(_Signal.STOP)
        for _ in self._readers:
            self._reads.put_nowait(_Signal.STOP)
        await asyncio.gather(*self._served)
        if self.failure is not None:
            # The last to leave would move the log into the file, which after a failed fsync may ruin it.
            # The readers cannot write: with the writer gone first, the file stays as it is.
            for hand in [self._writer, *self._readers]:
                with suppress(sqlite3.Error):
                    await hand.close()
            return
        try:
            for hand in self._readers:
                await hand.close()
            await self._writer.do(leave)
        finally:
            await self._writer.close()


def _empty_log(connection: WorkConnection) -> None:
    connection.execute("PRAGMA busy_timeout = 0").fetchall()  # no write may wait here for a reader
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}").fetchall()


def _read(connection: WorkConnection, job: Job[Any]) -> None:
    tx = connection.begin("DEFERRED")
    try:
        job.succeed(job.unit(tx))
    finally:
        connection.roll_back()
