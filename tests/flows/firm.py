"""A small firm: a CRM that signs contracts, a PSA that approves time, an ERP that keeps the books."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Protocol

import msgspec
import trio

from isthmus.app.daemon import Daemon
from isthmus.config import Config, ConnectorConfig, DaemonConfig, LaneConfig
from isthmus.config.problems import Places
from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargePosted,
    ContractSigned,
    TimeAndMaterials,
    TimeApproved,
)
from isthmus.ops.metrics import Metrics
from isthmus.sdk.connector import (
    Connector,
    Delivery,
    DeliveryClass,
    Link,
    Opened,
    Page,
    Receipt,
    Sink,
    Source,
)
from isthmus.sdk.context import Context
from isthmus.sdk.errors import ConnectorError, Fatal
from isthmus.store import cursors, dead_letters, deliveries, intents, lanes, log, receipts
from isthmus.store.face import Store, Tx
from isthmus.store.open import open_store

AT = datetime(2026, 10, 30, 12, tzinfo=UTC)
RATE = Decimal("150.00")
PATIENCE_S = 20.0


def contract() -> ContractSigned:
    line = TimeAndMaterials(line="T", default_rate=RATE)
    return ContractSigned(
        source="crm",
        occurred_at=AT,
        entity="acme-us",
        contract="crm:c1",
        revision=1,
        customer="crm:a1",
        project="crm:p1",
        title="Rollout",
        currency="USD",
        signed_on=date(2026, 9, 20),
        starts_on=date(2026, 10, 1),
        time_zone="America/New_York",
        lines=[line],
    )


def entry(name: str, revision: int = 1, hours: str = "2.00") -> TimeApproved:
    return TimeApproved(
        source="psa",
        occurred_at=AT,
        entity="acme-us",
        entry=name,
        revision=revision,
        project="crm:p1",
        resource="psa:r1",
        service="consulting",
        worked_on=date(2026, 10, 12),
        hours=Decimal(hours),
        billable=True,
        approved_on=date(2026, 10, 13),
    )


class Teller(Source):
    """Tells a list of facts, fifty a page; the cursor is how many were told."""

    streams = ("facts",)

    def __init__(self) -> None:
        self.facts: list[BusinessEvent] = []
        self.pulls = 0

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        await trio.lowlevel.checkpoint()
        begin = int(cursor or b"0")
        end = min(len(self.facts), begin + 50)
        self.pulls += 1
        return Page(events=self.facts[begin:end], next=b"%d" % end, more=end < len(self.facts))


class Books(Sink):
    """Keeps one record per idempotency key, and posts charges."""

    accepts = frozenset({"project.created", "charge.determined"})
    concurrency = 16

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.records: dict[str, BusinessEvent] = {}
        self.calls: list[Delivery] = []
        self.refusals: dict[str, ConnectorError] = {}
        """What a subject is answered."""
        self.gate: trio.Event | None = None
        """While there is one, a call waits for it."""
        self.began = trio.Event()

    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        return DeliveryClass.A

    async def deliver(self, delivery: Delivery) -> Receipt:
        event = delivery.event
        self.calls.append(delivery)
        self.began.set()
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        if event.subject in self.refusals:
            raise self.refusals[event.subject]
        self.records.setdefault(delivery.key, event)
        remote_id = f"{self.instance}-{list(self.records).index(delivery.key) + 1}"
        if not isinstance(event, ChargeDetermined):
            return Receipt(
                remote_id=remote_id, links=[Link(kind="project", key=event.key, remote_id=remote_id)]
            )
        posted = ChargePosted(
            source=self.instance,
            occurred_at=AT,
            entity=event.entity,
            charge=event.charge,
            system=self.instance,
            remote_id=remote_id,
            posted_on=event.posting_on,
            amount=event.amount,
            currency=event.currency,
            project=event.project,
        )
        return Receipt(remote_id=remote_id, facts=[posted])

    def charges(self) -> list[ChargeDetermined]:
        return [event for event in self.records.values() if isinstance(event, ChargeDetermined)]


class System:
    """One system: what it tells, what it was given, and whether its door opens."""

    def __init__(self, instance: str) -> None:
        self.source = Teller()
        self.books = Books(instance)
        self.locked = ""
        """Why it cannot be opened."""
        self.opened = 0

    def connector(self) -> type[Connector]:
        system = self

        class Fake(Connector):
            name: ClassVar[str] = system.books.instance
            title: ClassVar[str] = "a system of this test"
            Settings: ClassVar[type[msgspec.Struct]] = Nothing

            @asynccontextmanager
            async def open(self, settings: msgspec.Struct, ctx: Context) -> AsyncIterator[Opened]:
                await trio.lowlevel.checkpoint()
                if system.locked:
                    raise Fatal(system.locked)
                system.opened += 1
                yield Opened(source=system.source, sink=system.books)

        return Fake


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a connector that has none."""


class Firm:
    """Three systems and the directory the daemon keeps its state in; it may be started again and again."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.crm, self.psa, self.erp = System("crm"), System("psa"), System("erp")

    def config(self, drain_s: float = 10.0) -> Config:
        def lane(connector: str) -> LaneConfig:
            return LaneConfig(connector=connector, retry_first_s=0.05, retry_max_s=0.2)

        return Config(
            directory=self.state_dir,
            daemon=DaemonConfig(state_dir=self.state_dir, drain_s=drain_s),
            connectors={
                name: ConnectorConfig(plugin=name, entity="acme-us", poll_s=0.05)
                for name in ("crm", "psa", "erp")
            },
            lanes={
                "project-setup": LaneConfig(process="project-setup"),
                "billing": LaneConfig(process="billing"),
                "psa.projects": lane("psa"),
                "erp.projects": lane("erp"),
                "erp.charges": lane("erp"),
            },
            routes={
                "project.created": ("psa.projects", "erp.projects"),
                "charge.determined": ("erp.charges",),
            },
            places=Places(self.state_dir),
        )

    @asynccontextmanager
    async def at_work(self, drain_s: float = 10.0) -> AsyncIterator["Running"]:
        """The daemon runs inside the block; leaving it stops the daemon as a signal does."""
        systems = {"crm": self.crm, "psa": self.psa, "erp": self.erp}
        with trio.fail_after(2 * PATIENCE_S):
            async with open_store(self.state_dir) as store:
                daemon = Daemon(
                    self.config(drain_s),
                    store,
                    {name: system.connector() for name, system in systems.items()},
                    dict.fromkeys(systems, Nothing()),
                    Metrics(),
                )
                running = Running(self, daemon, store)
                async with trio.open_nursery() as nursery:
                    await nursery.start(daemon.work, running.stop)
                    yield running
                    running.stop.set()


class Running:
    """A daemon at work for a firm."""

    def __init__(self, firm: Firm, daemon: Daemon, store: Store) -> None:
        self.firm = firm
        self.daemon = daemon
        self.store = store
        self.stop = trio.Event()

    async def wait_quiet(self) -> None:
        """Return when every fact is known, every process has seen everything, every lane has delivered."""
        await wait_until(self._quiet)

    async def wait_polled(self, times: int = 3) -> None:
        """Return when every source was pulled ``times`` more."""
        sources = [system.source for system in (self.firm.crm, self.firm.psa, self.firm.erp)]
        wanted = [source.pulls + times for source in sources]

        async def polled() -> bool:
            await trio.lowlevel.checkpoint()
            return all(source.pulls >= pulls for source, pulls in zip(sources, wanted, strict=True))

        await wait_until(polled)

    async def _quiet(self) -> bool:
        told = [event.id for system in (self.firm.crm, self.firm.psa) for event in system.source.facts]

        def unit(tx: Tx) -> bool:
            head, positions = log.head(tx), lanes.positions(tx)
            waiting = [state for _, state in _rows(tx) if state not in ("dead", "blocked")]
            return (
                all(log.by_id(tx, each) is not None for each in told)
                and all(positions.get(lane) == head for lane in self.daemon.processes)
                and all(actor.backlog(head) == 0 for actor in self.daemon.lane_actors.values())
                and not waiting
            )

        return await self.store.read(unit)


def _rows(tx: Tx) -> list[tuple[str, str]]:
    return [(lane, state) for (lane, state), number in deliveries.counts(tx).items() if number]


async def wait_until(holds: Callable[[], Awaitable[bool]]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not await holds():  # noqa: ASYNC110 - what is waited for lies in the store
            await trio.sleep(0.01)


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What the store of a stopped daemon holds, but for the days that began meanwhile."""

    kinds: dict[str, int]
    ids: Sequence[str]
    receipts: dict[str, int]
    """How many, by lane."""
    letters: list[dead_letters.DeadLetter]
    unfinished: int


class Office(Protocol):
    """What a ledger is read of: where the state lies, and which lanes there are."""

    state_dir: Path

    def config(self) -> Config: ...


async def ledger(store: Store, firm: Office) -> Ledger:
    names = [name for name, lane in firm.config().lanes.items() if lane.connector]

    def unit(tx: Tx) -> Ledger:
        rows = [row for row in log.search(tx, limit=100_000) if row.kind != "calendar.ticked"]
        kinds: dict[str, int] = {}
        for row in rows:
            kinds[row.kind] = kinds.get(row.kind, 0) + 1
        return Ledger(
            kinds=kinds,
            ids=[row.id for row in rows],
            receipts={
                name: sum(receipts.get(tx, name, row.seq) is not None for row in rows) for name in names
            },
            letters=dead_letters.listing(tx, dead_letters.Filter(state=None)),
            unfinished=sum(len(intents.unfinished(tx, name)) for name in names),
        )

    return await store.read(unit)


async def stopped_ledger(firm: Office) -> Ledger:
    """As `ledger`, of a daemon that does not run."""
    async with open_store(firm.state_dir, holder="test") as store:
        return await ledger(store, firm)


async def read_from_the_beginning(firm: Firm) -> None:
    """Forget every cursor while the daemon stands still."""

    def unit(tx: Tx) -> None:
        for each in cursors.listing(tx):
            cursors.forget(tx, each.source, each.entity)

    async with open_store(firm.state_dir, holder="test") as store:
        await store.write(unit)
