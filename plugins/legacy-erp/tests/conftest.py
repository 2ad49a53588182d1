"""The connector and the simulated ERP at one drop directory or the same staging tables, with one clock."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import OperationalError

from isthmus.events import BusinessEvent, ChargeDetermined, CustomerChanged, ProjectCreated
from isthmus.sdk import Delivery, Link, Opened, Page
from isthmus.sdk.testing import FakeContext
from isthmus_legacy_erp.connector import LegacyErp
from isthmus_legacy_erp.disk import Disk
from isthmus_legacy_erp.settings import LegacyErpSettings
from isthmus_legacy_erp.simulator import LegacyErp as Simulator
from isthmus_legacy_erp.staging.database import Steps

START = datetime(2026, 10, 5, 8, 0, tzinfo=UTC)


class LossySteps(Steps):
    """Commits whose answer is lost: ``lost`` of them after they happened, ``cut`` before."""

    def __init__(self) -> None:
        self.lost = 0
        self.cut = 0
        self.down = 0

    def connect(self, engine: Engine) -> Connection:
        if self.down:
            self.down -= 1
            raise broken("connection refused")
        return super().connect(engine)

    def commit(self, transaction: RootTransaction) -> None:
        if self.cut:
            self.cut -= 1
            transaction.rollback()
            raise broken("server closed the connection unexpectedly")
        super().commit(transaction)
        if self.lost:
            self.lost -= 1
            raise broken("server closed the connection unexpectedly")


def broken(words: str) -> OperationalError:
    return OperationalError("COMMIT", None, Exception(words))


class Bench:
    """Everything a test needs, and short names for what it does often."""

    def __init__(self, root: Path, **style: Any) -> None:
        self.interface = style.get("interface", "files")
        self.at = START
        self.sim = Simulator(now=self.now, drop_dir=root / "drop", **style)
        self.ctx = FakeContext("erp", now=self.now)
        self.disk = Disk()
        self.steps = LossySteps()
        self.cursors: dict[str, bytes | None] = {}
        self.settings: LegacyErpSettings = msgspec.convert(
            self.sim.credentials(), LegacyErpSettings, dec_hook=lambda wanted, value: wanted(value)
        )

    def now(self) -> datetime:
        return self.at

    def move(self, **delta: float) -> None:
        self.at += timedelta(**delta)

    def open(self, **changes: Any) -> AbstractAsyncContextManager[Opened]:
        """A new process: the connector opened on the same drop directory and the same store."""
        connector = LegacyErp()
        connector.disk = self.disk
        connector.steps = self.steps
        return connector.open(msgspec.structs.replace(self.settings, **changes), self.ctx)

    async def pull(self, opened: Opened, stream: str) -> Page:
        """Pull and record, as the daemon does."""
        assert opened.source is not None
        page = await opened.source.pull(stream, self.cursors.get(stream))
        self.cursors[stream] = page.next
        self.ctx.keep(page.links)
        return page

    async def send(self, opened: Opened, *events: BusinessEvent) -> list[Any]:
        assert opened.sink is not None
        return await opened.sink.deliver_many([self.delivery(event) for event in events])

    async def introduce(self, opened: Opened) -> None:
        """Let the ERP know customer crm:A1 and project crm:O1, and us their numbers."""
        for event in (self.customer(), self.project()):
            await self.send(opened, event)
            self.sim.run_jobs()
            await self.pull(opened, "responses")
        await self.pull(opened, "responses")

    def know(self) -> None:
        """As `introduce`, but only on our side."""
        self.ctx.keep([Link(kind="project", key="crm:O1", remote_id="P00001")])

    def delivery(self, event: BusinessEvent) -> Delivery:
        return Delivery(key=f"key of {event.id}", lane="to-erp", event=event)

    def customer(self, **changes: Any) -> CustomerChanged:
        fields = {"customer": "crm:A1", "name": "Müller & Söhne", "currency": "EUR", **changes}
        return CustomerChanged(source="crm", entity="main", occurred_at=START, **fields)

    def project(self, **changes: Any) -> ProjectCreated:
        fields = {"project": "crm:O1", "customer": "crm:A1", "name": "Rollout", "stage": "active", **changes}
        return ProjectCreated(source="crm", entity="main", occurred_at=START, **fields)

    def charge(self, n: int = 1, amount: str = "300.00", **changes: Any) -> ChargeDetermined:
        fields: dict[str, Any] = {
            "charge": f"billing/charge/{n}",
            "contract": "crm:C1",
            "line": "T",
            "project": "crm:O1",
            "origin": "time",
            "origin_key": f"psa:{n}",
            "origin_revision": 1,
            "quantity": Decimal("2.00"),
            "unit_price": Decimal("150.00"),
            "amount": Decimal(amount),
            "currency": "EUR",
            "earned_on": date(2026, 10, 5),
            "posting_on": date(2026, 10, 5),
            "dimensions": {"department": "10"},
            "explanation": ["2.00 h x 150.00"],
            "service": "consulting",
            **changes,
        }
        return ChargeDetermined(source="billing", entity="main", occurred_at=START, **fields)

    def files(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.sim.drop_dir / folder).iterdir())

    def path(self, folder: str, name: str) -> Path:
        return self.sim.drop_dir / folder / name

    def batch(self, interface: str, number: int, at: datetime | None = None) -> str:
        """A batch as receipts call it."""
        if self.interface == "sql":
            return f"{interface}-ACME-{number:08d}"
        return f"{interface}_ACME_{number:08d}_{at or START:%Y%m%dT%H%M%SZ}.dat"

    def waiting(self) -> list[str]:
        """The batches the ERP has not taken yet."""
        if self.interface == "files":
            return [name for name in self.files("outbound") if name.endswith(".dat")]
        return [
            row["batch_id"] for row in self.rows("SELECT batch_id FROM isth_batch WHERE status = 'READY'")
        ]

    def rows(self, query: str, *values: object) -> list[Any]:
        """What a query of the staging tables finds."""
        with closing(sqlite3.connect(self.sim.drop_dir / "staging.db", isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()

    def fill(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Rows somebody else writes into the staging tables."""
        with closing(sqlite3.connect(self.sim.drop_dir / "staging.db")) as connection:
            connection.executemany(statement, rows)
            connection.commit()

    def lose_next_response(self) -> None:
        """The next batch arrives, and the daemon does not hear of it."""
        if self.interface == "sql":
            self.steps.lost = 1
            return
        sync_folder, calls = self.disk.sync_folder, 0

        def fail_second(folder: Path) -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                self.disk.sync_folder = sync_folder  # type: ignore[method-assign]
                raise OSError(5, "Input/output error")
            sync_folder(folder)

        self.disk.sync_folder = fail_second  # type: ignore[method-assign]

    def posted(self) -> list[str]:
        """The keys of the charges in the ERP's books."""
        return [str(record.external_key) for record in self.sim.ledger.of_kind("charge")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(params=["files", "sql"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """A bench for each way batches travel; a module that promises the same for both makes it its bench."""
    return Bench(tmp_path, interface=request.param)


@pytest.fixture
def make_bench(tmp_path: Path) -> Callable[..., Bench]:
    """A bench whose files are written in another style."""

    def make(**style: str) -> Bench:
        return Bench(tmp_path, **style)

    return make


@pytest.fixture
async def opened(bench: Bench) -> AsyncIterator[Opened]:
    """The connector, and an ERP that knows the customer and the project."""
    async with bench.open() as opened:
        await bench.introduce(opened)
        yield opened


@pytest.fixture
def kinds() -> Callable[[Sequence[BusinessEvent]], list[str]]:
    return lambda events: [event.kind for event in events]
