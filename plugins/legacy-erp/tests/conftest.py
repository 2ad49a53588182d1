"""The connector and the simulated ERP at one drop directory, with one clock and no server between them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isthmus.events import BusinessEvent, ChargeDetermined, CustomerChanged, ProjectCreated
from isthmus.sdk import Delivery, Link, Opened, Page
from isthmus.sdk.testing import FakeContext
from isthmus_legacy_erp.connector import LegacyErp
from isthmus_legacy_erp.disk import Disk
from isthmus_legacy_erp.settings import LegacyErpSettings
from isthmus_legacy_erp.simulator import LegacyErp as Simulator

START = datetime(2026, 10, 5, 8, 0, tzinfo=UTC)


class Bench:
    """Everything a test needs, and short names for what it does often."""

    def __init__(self, root: Path, **style: Any) -> None:
        self.at = START
        self.sim = Simulator(now=self.now, drop_dir=root / "drop", **style)
        self.ctx = FakeContext("erp", now=self.now)
        self.disk = Disk()
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
        return sorted(path.name for path in (self.settings.drop_dir / folder).iterdir())

    def path(self, folder: str, name: str) -> Path:
        return self.settings.drop_dir / folder / name

    def posted(self) -> list[str]:
        """The keys of the charges in the ERP's books."""
        return [str(record.external_key) for record in self.sim.ledger.of_kind("charge")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


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
