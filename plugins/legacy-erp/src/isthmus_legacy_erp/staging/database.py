"""Short transactions on the ERP's database, each on a connection of its own, each bounded in time.

A connection is opened for one unit and closed after it: there is nothing to go stale, and nothing left open
when a deadline passed and the thread was left to itself. Every wait has an end that the database or the
driver keeps: for the connection, for locks, for a statement.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, Executable, RootTransaction, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from isthmus.sdk import Fatal, Retryable, Secret, Unsure
from isthmus_legacy_erp.settings import Staging
from isthmus_legacy_erp.staging import faults
from isthmus_legacy_erp.staging.tables import Tables

T = TypeVar("T")

CONNECT_S = 10
CONNECTIONS = 4
"""At the same time, of one instance; a hung database shall not collect threads."""


class InDoubt(Unsure):
    """A commit was sent and not answered. Look up what it was to write."""


class Steps:
    """The moments at which a connection can break; exchanged by tests."""

    def connect(self, engine: Engine) -> Connection:
        return engine.connect()

    def commit(self, transaction: RootTransaction) -> None:
        transaction.commit()


class Database:
    """The database of one instance. Its methods block."""

    def __init__(self, settings: Staging, steps: Steps) -> None:
        self.tables = Tables(settings.schema)
        self.steps = steps
        self._writer = _engine(settings.url, settings.password, settings)
        self._reader = self._writer
        if settings.reader_url is not None:
            self._reader = _engine(settings.reader_url, settings.reader_password, settings)
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._wait_s = settings.lock_timeout_s
        self._live: set[Any] = set()
        self._closed = False

    def read(self, doing: str, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on one snapshot, reading only.

        Raises:
            Retryable, Throttled, Fatal: see `isthmus_legacy_erp.staging.faults`.
        """
        with self._connection(
            self._reader, doing, isolation_level=_SNAPSHOT[self._reader.dialect.name]
        ) as connection:
            try:
                with connection.begin():
                    return work(connection)
            except DBAPIError as error:
                raise faults.fate(error, doing) from error

    def rows(self, doing: str, query: Executable) -> list[Any]:
        """All rows of one query; see `read`."""
        return self.read(doing, lambda connection: list(connection.execute(query)))

    def write(self, doing: str, work: Callable[[Connection], T]) -> T:
        """Run ``work`` and commit it.

        Raises:
            InDoubt: the commit was not answered; anything else means that nothing was written.
            Retryable, Throttled, Fatal: see `isthmus_legacy_erp.staging.faults`.
        """
        with self._connection(self._writer, doing, isthmus_writes=True) as connection:
            try:
                transaction = connection.begin()
                result = work(connection)
            except DBAPIError as error:
                raise faults.fate(error, doing) from error
            try:
                self.steps.commit(transaction)
            except DBAPIError as error:
                if _answered(error):
                    raise faults.fate(error, doing) from error
                said = faults.words(error)
                raise InDoubt(f"{doing}: the commit was not answered: {said}", peer_words=said) from error
            return result

    def close(self) -> None:
        """End what still runs on threads that were left to themselves."""
        self._closed = True
        for raw in tuple(self._live):
            with contextlib.suppress(Exception):
                (raw.cancel if hasattr(raw, "cancel") else raw.interrupt)()

    @property
    def open_connections(self) -> int:
        return len(self._live)

    @contextlib.contextmanager
    def _connection(self, engine: Engine, doing: str, **options: Any) -> Iterator[Connection]:
        if self._closed:
            raise Retryable(f"{doing}: the connector was closed")
        if not self._free.acquire(timeout=self._wait_s):
            raise Retryable(f"{doing}: {CONNECTIONS} earlier calls still hang; look at the database")
        try:
            try:
                connection = self.steps.connect(engine)
            except DBAPIError as error:
                raise faults.fate(error, doing) from error
            raw = connection.connection.driver_connection
            self._live.add(raw)
            try:
                with connection:
                    yield connection.execution_options(**options)
            finally:
                self._live.discard(raw)
        finally:
            self._free.release()


_SNAPSHOT = {"postgresql": "REPEATABLE READ", "sqlite": "SERIALIZABLE"}


def _answered(error: DBAPIError) -> bool:
    """Whether the database said no, so that the commit is known not to have happened."""
    state = faults.sqlstate(error)
    if state is None:
        return "database is locked" in faults.words(error)
    return state[:2] not in ("08", "57")


def _engine(text: str, password: Secret | None, settings: Staging) -> Engine:
    """An engine whose connections wait only so long.

    Raises:
        Fatal: the URL is none, has a password in it, or names a database that is not offered.
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise Fatal("staging.url is no URL; write postgresql://user@host/database") from error
    if url.password is not None:
        raise Fatal("staging.url has a password in it; put it into staging.password as a credential")
    if password is not None:
        url = url.set(password=password.reveal())
    match url.get_backend_name():
        case "postgresql":
            return _postgresql(url, settings)
        case "sqlite":
            return _sqlite(url, settings)
    raise Fatal(f"staging.url: {url.get_backend_name()} is not offered; use postgresql or sqlite")


def _postgresql(url: URL, settings: Staging) -> Engine:
    limits = {
        "lock_timeout": settings.lock_timeout_s,
        "statement_timeout": settings.statement_timeout_s,
        "idle_in_transaction_session_timeout": settings.statement_timeout_s,
    }
    arguments = {
        "connect_timeout": CONNECT_S,
        "options": " ".join(f"-c {name}={round(value_s * 1000)}" for name, value_s in limits.items()),
        "application_name": "isthmus",
        "keepalives_idle": 10,
        "tcp_user_timeout": round(settings.statement_timeout_s * 1000),
    }
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            hide_parameters=True,
            connect_args=arguments,
        )
    except ModuleNotFoundError as error:
        raise Fatal("psycopg is not installed; pip install 'isthmus-legacy-erp[postgresql]'") from error


def _sqlite(url: URL, settings: Staging) -> Engine:
    """SQLite: the file must be there already, and a writer takes its lock before it writes.

    The driver's own transactions are switched off, so that a reader has one snapshot.
    """
    if not url.database or not url.database.startswith("/"):
        raise Fatal("staging.url: name the file by its whole path, sqlite:////srv/erp/staging.db")
    uri = URL.create("sqlite+pysqlite", database=f"file:{url.database}", query={"mode": "rw", "uri": "true"})
    engine = create_engine(
        uri,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"timeout": settings.lock_timeout_s, "check_same_thread": False},
    )

    def connected(raw: Any, record: object) -> None:
        raw.isolation_level = None
        for pragma in ("foreign_keys = ON", "synchronous = FULL"):
            raw.execute(f"PRAGMA {pragma}")

    def begins(connection: Connection) -> None:
        writes = connection.get_execution_options().get("isthmus_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begins)
    return engine
