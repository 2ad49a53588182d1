"""A PostgreSQL of the tests' own, and the connector at it.

The server runs in a temporary directory on a free loopback port, never as root, from the first test that
needs it to the end of the session. Where it is not installed, those tests are skipped.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
import psycopg
import pytest

from isthmus.sdk import Secret
from isthmus_legacy_erp.settings import LegacyErpSettings, Staging

DDL = resources.files("isthmus_legacy_erp.staging") / "ddl" / "postgresql.sql"
JOB = Path(__file__).with_name("posting_job.sql")
PASSWORD = "only for this test"


def binaries() -> Path | None:
    """Where initdb and pg_ctl are; None where PostgreSQL is not installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = installed[-1] if installed else shutil.which("initdb")
    return Path(found).parent if found else None


class Server:
    """A running server, and the database of the tests in it."""

    database = "erp"

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, user: str, port: int | None = None, database: str = database) -> str:
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def connect(self, user: str = "owner", database: str = database) -> psycopg.Connection:
        return psycopg.connect(self.url(user, None, database), password=PASSWORD, autocommit=True)

    def prepare(self) -> None:
        """The logins and the tables, as the DDL file tells a DBA, and the ERP's posting job."""
        ddl = DDL.read_text("utf-8")
        grants = "\n".join(
            line.removeprefix("-- ") for line in ddl.splitlines() if line.startswith("-- GRANT")
        )
        with self.connect(database="postgres") as connection:
            for role in ("isthmus_writer", "isthmus_reader", "erp"):
                connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
            connection.execute(f"CREATE DATABASE {self.database}")
        with self.connect() as connection:
            connection.execute(ddl)
            connection.execute(grants)
            connection.execute(JOB.read_text())


@contextmanager
def running(bin_dir: Path) -> Iterator[Server]:
    """A server for the length of the block."""
    # Not under a TMPDIR that only root may enter.
    root = Path(mkdtemp(prefix="isthmus-pg-", dir="/tmp"))
    data = root / "data"
    as_root = os.getuid() == 0
    prefix: list[str] = []
    if as_root:
        names = {user.pw_name for user in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(root, user.pw_uid, user.pw_gid)
        prefix = ["runuser", "-u", user.pw_name, "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(*command: str) -> None:
        subprocess.run([*prefix, *command], check=True, capture_output=True, cwd="/", timeout=120)

    def control(*command: str) -> None:
        run(str(bin_dir / "pg_ctl"), "-D", str(data), "-w", *command)

    secret = root / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    run(
        str(bin_dir / "initdb"), "-D", str(data), "-U", "owner", "-E", "UTF8", "--locale=C", "--no-sync",
        "--auth=scram-sha-256", f"--pwfile={secret}",
    )  # fmt: skip
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {root} -c max_connections=30"
    log = str(root / "log")
    control("-l", log, "-o", options, "start")
    try:
        server = Server(port)
        server.prepare()
        yield server
    finally:
        control("-m", "immediate", "stop")
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    where = binaries()
    if where is None:
        pytest.skip("PostgreSQL is not installed: make test-deps")
    with running(where) as server:
        yield server


class Cutter:
    """Sits between the connector and the server, and breaks connections at a commit.

    ``cut`` commits never reach the server; ``lost`` ones do, and their answer reaches nobody.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut = 0
        self.lost = 0
        self.broken = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            threading.Thread(target=self._talk, args=(client, server), daemon=True).start()
            threading.Thread(target=self._listen, args=(server, client), daemon=True).start()

    def _talk(self, client: socket.socket, server: socket.socket) -> None:
        """Client to server."""
        loaded = False
        while data := _some(client):
            loaded = loaded or b"INSERT INTO" in data
            if loaded and b"COMMIT" in data and (self.cut or self.lost):
                self._break(client, server, data)
                break
            server.sendall(data)
        _end(client)
        _end(server)

    def _break(self, client: socket.socket, server: socket.socket, commit: bytes) -> None:
        self.broken += 1
        _end(client)  # first, so that nothing of the answer gets through
        if self.cut:
            self.cut -= 1
            return
        self.lost -= 1
        server.sendall(commit)
        server.shutdown(socket.SHUT_WR)

    def _listen(self, server: socket.socket, client: socket.socket) -> None:
        """Server to client."""
        while data := _some(server):
            with contextlib.suppress(OSError):
                client.sendall(data)
        _end(client)
        server.close()
        client.close()


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _some(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except OSError:
        return b""


class Erp:
    """The ERP's own session, on empty tables."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.as_dba(
            "TRUNCATE isth_batch, isth_line, isth_out, isth_period,"
            " erp_number, erp_customer, erp_project, erp_journal, erp_done RESTART IDENTITY"
        )
        self._connection = server.connect("erp")

    def run(self) -> None:
        """Its posting job, once."""
        self._connection.execute("CALL erp_run()")

    def do(self, statement: str, *values: object) -> None:
        self._connection.execute(statement.encode(), values)

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode(), values).fetchall()

    def session(self, user: str = "erp") -> psycopg.Connection:
        """Another session, with transactions of its own."""
        connection = self.server.connect(user)
        connection.autocommit = False
        return connection

    def as_dba(self, statement: str) -> None:
        with self.server.connect() as connection:
            connection.execute(statement.encode())

    def journal(self) -> list[str]:
        """References of the charges in its books."""
        return [ref for (ref,) in self.ask("SELECT ref FROM erp_journal ORDER BY doc_no")]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def erp(server: Server) -> Iterator[Erp]:
    erp = Erp(server)
    yield erp
    erp.close()


@pytest.fixture
def cutter(server: Server) -> Iterator[Cutter]:
    cutter = Cutter(server.port)
    yield cutter
    cutter.close()


@pytest.fixture
def bench(make_bench: Callable[..., Any], erp: Erp) -> Any:
    """The bench of the other tests, with its settings pointing here."""
    bench = make_bench(interface="sql")
    bench.settings = LegacyErpSettings(
        interface="sql",
        company="ACME",
        currency="EUR",
        staging=Staging(
            url=erp.server.url("isthmus_writer"),
            password=Secret(PASSWORD),
            reader_url=erp.server.url("isthmus_reader"),
            reader_password=Secret(PASSWORD),
            lock_timeout_s=0.5,
        ),
    )
    return bench


@pytest.fixture
def through(bench: Any, cutter: Cutter, erp: Erp) -> LegacyErpSettings:
    """Settings whose writes go through the cutter."""
    staging = msgspec.structs.replace(
        bench.settings.staging, url=erp.server.url("isthmus_writer", cutter.port)
    )
    settings: LegacyErpSettings = msgspec.structs.replace(bench.settings, staging=staging)
    return settings
