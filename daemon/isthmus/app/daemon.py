"""The daemon: opens the store, starts every actor under its supervisor, and stops them in order.

Order of stopping: sources first (nothing new is read), then lanes (calls in hand are finished, within
``drain_s``), then connectors, then the listeners and the store.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec
import trio

from isthmus.app.calendar import NAME as CALENDAR
from isthmus.app.calendar import Calendar
from isthmus.app.connectors import ConnectorActor
from isthmus.app.context import DaemonContext
from isthmus.app.gates import ChargeGate, wake_when_opened
from isthmus.app.misfits import misfits
from isthmus.app.parking import StoreParking
from isthmus.app.pausing import Pausing
from isthmus.app.reconciler import NAME as RECONCILER
from isthmus.app.reconciler import Reconciler
from isthmus.app.recorder import CONFIRMED, record_configuration
from isthmus.app.sealer import Sealer
from isthmus.app.snapshots import take_snapshots
from isthmus.app.teller import Teller
from isthmus.app.wiring import carrier, delivery_lanes, owners, process_lanes, siblings, site
from isthmus.config import Config, NotifyConfig
from isthmus.delivery.actor import LaneActor
from isthmus.delivery.peer import Peer
from isthmus.ops.books import Books
from isthmus.ops.desk import Desk
from isthmus.ops.measured import MeasuredStore
from isthmus.ops.metrics import Metrics
from isthmus.ops.planner_lag import PlannerLag
from isthmus.ops.planner_lag import follow as follow_planners
from isthmus.ops.shadowing import Shadows
from isthmus.ops.unbilled import UnbilledLedger, follow
from isthmus.ops.watches import IntakeMetrics, LaneMetrics
from isthmus.process.actor import ProcessSurroundings, run_analytical, run_process
from isthmus.process.registry import ANALYTICAL, TRANSACTIONAL
from isthmus.runtime.doorbell import Doorbells
from isthmus.runtime.patience import wait_out
from isthmus.runtime.pulse import watch_loop
from isthmus.runtime.supervisor import supervise
from isthmus.sdk.connector import Connector, Opened
from isthmus.store.anchors import ANCHORS_NAME
from isthmus.store.errors import StoreFailed, StoreFull
from isthmus.store.face import Store, Tx

log = logging.getLogger(__name__)

__all__ = ["Daemon"]

UNBILLED_BELL, LAG_BELL, CALENDAR_BELL, GATES_BELL = "(unbilled)", "(lag)", "(calendar)", "(gates)"
"""No lane can have these names."""
CHARGES = "charge.determined"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Daemon:
    """The running whole: what the listeners ask and what people act on."""

    def __init__(
        self,
        config: Config,
        store: Store,
        connectors: Mapping[str, type[Connector]],
        settings: Mapping[str, msgspec.Struct],
        metrics: Metrics,
        *,
        notify: Mapping[str, NotifyConfig] | None = None,
        quarantined: Sequence[str] = (),
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """
        Args:
            notify: How owners are told what waits for them.
            quarantined: Distributions that are allowed and were not loaded.
        """
        self.config = config
        self.store = MeasuredStore(store, metrics.wrote)
        self.metrics = metrics
        self.now = now
        self.started_at = now()
        self.bells = Doorbells()
        self.parking = StoreParking(self.store, now)
        self.lanes = delivery_lanes(config)
        self.processes = process_lanes(config)
        self.peers = {instance: Peer(instance) for instance in config.connectors}
        anchors = config.daemon.state_dir / ANCHORS_NAME
        self.sealer = Sealer(self.store, now, anchors)
        self.teller = Teller(
            self.store,
            owners(notify or {}, config.mail),
            by_domain=config.control.owners,
            now=now,
            parked=lambda: list(self.parking.reasons),
            quarantined=quarantined,
            count=metrics.notified,
        )
        self.desk = Desk(
            self.store,
            now=now,
            ring=lambda lane: self.bells.of(lane).ring(),
            anchors=anchors,
            site=site(config),
        )
        self.shadows = Shadows(self.store, self.lanes, self.peers, now=now)
        self.draining = False
        self.ready = False
        self.full_lanes: set[str] = set()
        """Lanes past their quota: while there is one, sources are not read further."""
        self.books: Books | None = None
        """How the store stood when it was looked at last."""
        self.unbilled = UnbilledLedger()
        self.planner_lag = self._new_planner_lag()
        self.misfits: dict[str, list[str]] = {}
        """By connector: what the configuration asks of it that it does not offer."""
        self.calendar = Calendar(self.store, self.bells.of(CALENDAR_BELL), now, self.bells.ring_all)
        self.reconciler = Reconciler(
            self.store,
            config.reconcile,
            self.lanes,
            self.peers,
            self.desk,
            metrics,
            now=now,
            ring=self.bells.ring_all,
            poll=self.poll_now,
            billing=[name for name, given in self.processes.items() if given.process == "billing"],
        )
        self._connectors = connectors
        self._settings = settings
        self.connector_actors = {instance: self._connector(instance) for instance in config.connectors}
        self.lane_actors = {name: self._lane(name) for name in self.lanes}
        self.pausing = Pausing(self.store, self.lane_actors, now)

    def _connector(self, instance: str) -> ConnectorActor:
        given = self.config.connectors[instance]
        context = DaemonContext(
            instance,
            given.entity,
            self.store,
            self.now,
            partial(self.metrics.called, instance),
            partial(self.metrics.certified, instance),
        )
        return ConnectorActor(
            instance,
            self._connectors[given.plugin](),
            self._settings[instance],
            context=context,
            peer=self.peers[instance],
            store=self.store,
            parking=self.parking,
            poll_s=given.poll_s,
            read=given.read,
            now=self.now,
            announce=self.bells.ring_all,
            may_read=lambda: not self.full_lanes and not self.draining,
            watch=IntakeMetrics(self.metrics, instance, self.now, every_s=given.poll_s),
            on_restart=self.metrics.restarted,
            lanes=siblings(self.lanes).get(instance, ()),
            misfits=partial(self._look_at, instance),
        )

    def _look_at(self, instance: str, opened: Opened) -> list[str]:
        """Compare an open connector with what is asked of it; kept for `status`."""
        found = misfits(self.config, instance, opened, siblings(self.lanes).get(instance, ()))
        self.misfits[instance] = found
        return found

    def _lane(self, name: str) -> LaneActor:
        lane = self.lanes[name]
        family = siblings(self.lanes)[lane.instance]
        return LaneActor(
            lane,
            peer=self.peers[lane.instance],
            store=self.store,
            bell=self.bells.of(name),
            now=self.now,
            announce=self.bells.ring_all,
            sibling_lanes=family,
            wake=self._wake,
            watch=LaneMetrics(self.metrics, self.now),
            gate=ChargeGate(name, lane.instance, self.now) if CHARGES in lane.kinds else None,
            confirms=lane.kinds & CONFIRMED,
        )

    def peer_state(self, instance: str) -> str:
        """What a connector does now, in the words of the metrics."""
        return "parked" if instance in self.parking.reasons else self.peers[instance].state(self.now())

    def poll_now(self, connector: str | None = None) -> int:
        """Look at the streams of one connector, or of all, without waiting; how many streams."""
        actors = [actor for name, actor in self.connector_actors.items() if connector in (None, name)]
        for actor in actors:
            actor.poll_now()
        return sum(len(actor.bells) for actor in actors)

    def _wake(self, lanes: Sequence[str]) -> None:
        for lane in lanes:
            self.bells.of(lane).ring()

    async def work(
        self, stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run every actor until ``stop`` is set, then drain.

        Raises:
            StoreFailed: the disk or the file cannot be trusted; the process must end at once.
        """
        await self.parking.forget_all()
        await self.pausing.recall()
        at = self.now()
        await wait_out(
            StoreFull,
            lambda: self.store.write(lambda tx: record_configuration(tx, self.config, self.lanes, at)),
        )
        async with trio.open_nursery() as guards:
            guards.start_soon(self._watch_store)
            guards.start_soon(watch_loop, self.metrics.loop_late)
            guards.start_soon(self._supervise, "snapshots", partial(take_snapshots, self))
            guards.start_soon(self._supervise, "unbilled", self._count_unbilled)
            guards.start_soon(self._supervise, "planner-lag", self._count_planner_lag)
            guards.start_soon(self._supervise, CALENDAR, self.calendar.run)
            guards.start_soon(self._supervise, "gates", self._open_gates)
            guards.start_soon(self._supervise, "sealer", self.sealer.run)
            guards.start_soon(self._supervise, "teller", self.teller.run)
            guards.start_soon(self._supervise, RECONCILER, self.reconciler.run)
            async with trio.open_nursery() as connectors:
                for instance, actor in self.connector_actors.items():
                    connectors.start_soon(self._supervise, instance, actor.run)
                async with trio.open_nursery() as lanes:
                    for name, lane in self.lane_actors.items():
                        lanes.start_soon(self._supervise, name, lane.run)
                    for name in self.processes:
                        lanes.start_soon(self._supervise, name, partial(self._run_process, name))
                    self.ready = True
                    task_status.started()
                    await stop.wait()
                    await self._drain(lanes)
                connectors.cancel_scope.cancel()
            guards.cancel_scope.cancel()

    def _record_configuration(self, tx: Tx) -> None:
        record_configuration(tx, self.config, self.lanes, self.now())

    async def _drain(self, lanes: trio.Nursery) -> None:
        """Stop reading; let calls in hand end; after ``drain_s`` leave them to the next start."""
        self.draining = True
        self.ready = False
        log.info("daemon.draining")
        for actor in self.connector_actors.values():
            actor.stop_reading()
        lanes.cancel_scope.cancel()
        lanes.start_soon(self._abandon_later)

    async def _abandon_later(self) -> None:
        with trio.CancelScope(shield=True):
            with trio.move_on_after(self.config.daemon.drain_s):
                for actor in self.lane_actors.values():
                    await actor.wait_empty()
        for actor in self.lane_actors.values():
            actor.abandon()

    async def _supervise(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        await supervise(
            name,
            run,
            parking=self.parking,
            fatal=(StoreFailed,),
            on_restart=self.metrics.restarted,
        )

    async def _run_process(self, lane: str) -> None:
        given = self.processes[lane]
        name = str(given.process)
        entities = None if given.entities is None else frozenset(given.entities)
        common = ProcessSurroundings(
            lane=lane,
            entities=entities,
            store=self.store,
            bell=self.bells.of(lane),
            now=self.now,
            announce=self.bells.ring_all,
            beat=lambda: self.metrics.heartbeat("process", self.now()),
        )
        if name in ANALYTICAL:
            await run_analytical(ANALYTICAL[name](), common, lag_window_s=given.lag_window_s)
        await run_process(TRANSACTIONAL[name](), common)

    async def _count_unbilled(self) -> None:
        """Count from the beginning of the log: nothing of it is kept over a restart."""
        self.unbilled = UnbilledLedger()
        await follow(self.unbilled, self.store, self.bells.of(UNBILLED_BELL))

    def _new_planner_lag(self) -> PlannerLag:
        burn = carrier("burn", "burn.revised", self.config)
        return PlannerLag(burn, carrier("forecast", "forecast.revised", self.config))

    async def _count_planner_lag(self) -> None:
        """Likewise."""
        self.planner_lag = self._new_planner_lag()
        await follow_planners(self.planner_lag, self.store, self.bells.of(LAG_BELL))

    async def _open_gates(self) -> None:
        gated = [name for name, lane in self.lanes.items() if CHARGES in lane.kinds]
        await wake_when_opened(
            self.store, self.bells.of(GATES_BELL), gated, partial(self._wake, gated), self.now
        )

    async def _watch_store(self) -> None:
        """Nothing is acknowledged any more: leave the calls in hand, the next start looks them up."""
        await self.store.failed.wait()
        for actor in self.lane_actors.values():
            actor.abandon()
        raise self.store.failure or StoreFailed("the store failed")
