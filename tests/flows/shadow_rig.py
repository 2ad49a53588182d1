"""A lane beside an old integration: both know the same work, and one NetSuite takes what either writes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import trio

from isthmus.app.context import DaemonContext
from isthmus.delivery.actor import LaneActor
from isthmus.delivery.lane import Lane
from isthmus.delivery.peer import Peer
from isthmus.events import ChargeDetermined
from isthmus.ops.desk import Desk
from isthmus.ops.shadowing import Shadows
from isthmus.ops.workbench import Site
from isthmus.runtime.doorbell import Doorbell
from isthmus.sdk import Opened, Secret
from isthmus.sdk.errors import Fatal
from isthmus.sdk.simulator import started
from isthmus.store import crosswalk, deliveries, log, shadows
from isthmus.store.face import Store
from isthmus.store.open import open_memory_store
from isthmus_netsuite.connector import NetSuite
from isthmus_netsuite.settings import NetSuiteSettings
from isthmus_netsuite.simulator import NetSuiteSimulator

__all__ = ["LANE", "Beside", "beside", "charge"]

LANE, INSTANCE = "erp", "netsuite"
NOW = datetime(2026, 10, 20, 17, 0, tzinfo=UTC)


def now() -> datetime:
    return NOW


def charge(key: str, **changes: Any) -> ChargeDetermined:
    """8.00 h at 150.00 on 5 October, unless said otherwise."""
    fields: dict[str, Any] = {
        "quantity": Decimal("8.00"),
        "unit_price": Decimal("150.00"),
        "amount": Decimal("1200.00"),
        "contract": "crm:C1",
        "line": "T",
        "project": "crm:P1",
        "origin": "time",
        "origin_key": f"psa:{key}",
        "origin_revision": 1,
        "currency": "EUR",
        "earned_on": date(2026, 10, 5),
        "posting_on": date(2026, 10, 5),
        "dimensions": {},
        "explanation": ["by the hour"],
        "resource": "psa:7",
    }
    given = {**fields, **changes}
    return ChargeDetermined(source="billing", occurred_at=NOW, entity="us", charge=key, **given)


class Beside:
    """The store, the lane and the ledger of both."""

    def __init__(self, store: Store, opened: Opened, simulator: NetSuiteSimulator, job: str) -> None:
        self.store = store
        self.simulator = simulator
        self.job = job
        self.peer = Peer(INSTANCE)
        self.peer.handover(opened)
        site = Site(instances={LANE: INSTANCE})
        self.desk = Desk(store, now=now, site=site)

    async def tell(self, *facts: ChargeDetermined) -> None:
        await self.store.write(lambda tx: log.append(tx, facts, NOW))

    def lane(self, stage: str) -> Lane:
        kinds = frozenset({"charge.determined"})
        return msgspec.convert(
            {"name": LANE, "instance": INSTANCE, "kinds": kinds, "stage": stage}, Lane, str_keys=True
        )

    def shadows(self, stage: str) -> Shadows:
        return Shadows(self.store, {LANE: self.lane(stage)}, {INSTANCE: self.peer}, now=now)

    @asynccontextmanager
    async def at_work(self, stage: str) -> AsyncIterator[LaneActor]:
        """The lane runs in the block."""
        bell = Doorbell()
        actor = LaneActor(
            self.lane(stage), peer=self.peer, store=self.store, bell=bell, now=now, announce=bell.ring
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor.run)
            yield actor
            nursery.cancel_scope.cancel()

    async def run_until_read(self, stage: str) -> None:
        """Let the lane deal with all that is in the log."""
        async with self.at_work(stage) as actor:
            with trio.fail_after(20):
                owed = await self._owed(actor)
                while owed:
                    await trio.sleep(0.01)
                    owed = await self._owed(actor)
                await actor.wait_empty()

    async def _owed(self, actor: LaneActor) -> int:
        """Facts in the log or in rows of their own that nobody has dealt with."""
        head = await self.store.read(log.head)
        rows = await self.store.read(deliveries.counts)
        return actor.backlog(head) + rows.get((LANE, "waiting"), 0)

    async def starts(self, stage: str) -> str | None:
        """Why the lane does not start; None when it does."""
        try:
            async with self.at_work(stage):
                await trio.sleep(0.05)
        except BaseExceptionGroup as group:
            fatal, rest = group.split(Fatal)
            assert fatal is not None and rest is None
            return str(fatal.exceptions[0])
        return None

    def old_posts(
        self, hours: str = "8:00", *, rate: str = "150.00", on: str = "2026-10-05", **more: Any
    ) -> str:
        """The old integration writes a time bill, under a key of its own."""
        made = self.simulator.acts()["create_record"](
            "timeBill",
            {
                "employee": {"id": "1"},
                "customer": {"id": self.job},
                "item": {"id": "1"},
                "tranDate": on,
                "hours": hours,
                "price": {"id": "-1"},
                "rate": rate,
                "isBillable": True,
                **more,
            },
        )
        return f"timeBill/{made['id']}"

    def bills(self) -> int:
        return len(list(self.simulator.ledger.of_kind("timeBill")))

    async def open_shadows(self) -> int:
        return await self.store.read(lambda tx: shadows.open_count(tx, LANE))


@asynccontextmanager
async def beside() -> AsyncIterator[Beside]:
    """NetSuite with a customer and a job that the crosswalk knows."""
    async with started(NetSuiteSimulator(now=now)) as simulator, open_memory_store(now=now) as store:
        assert isinstance(simulator, NetSuiteSimulator)
        acts = simulator.acts()
        customer = acts["create_record"]("customer", {"companyName": "Northwind", "currency": {"id": "1"}})
        job = acts["create_record"]("job", {"companyName": "Rollout", "parent": {"id": customer["id"]}})["id"]
        await store.write(lambda tx: _link(tx, job))
        given = simulator.credentials() | {"settle_s": 0.0}
        settings = msgspec.convert(given, NetSuiteSettings, dec_hook=lambda _, value: Secret(value))
        context = DaemonContext(
            INSTANCE, "us", store, now, lambda *told, **more: None, lambda *told, **more: None
        )
        async with NetSuite().open(settings, context) as opened:
            yield Beside(store, opened, simulator, job)


def _link(tx: Any, job: str) -> None:
    crosswalk.link(tx, "project", "crm:P1", INSTANCE, job, NOW)
