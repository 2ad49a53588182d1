"""How the daemon stands, on one screen."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from isthmus.app.snapshots import owed, planner_lag_rows, unbilled_rows
from isthmus.ops.metrics import Lag, Unbilled
from isthmus.store import shadows

if TYPE_CHECKING:
    from isthmus.app.daemon import Daemon

__all__ = ["ConnectorLine", "LaneLine", "ProcessLine", "Status", "status"]


INNER_ACTORS = ("snapshots", "unbilled", "planner-lag", "reconcile")
"""Actors that are neither a connector nor a lane, and so have no line of their own."""


class ConnectorLine(msgspec.Struct, frozen=True, kw_only=True):
    """One connector instance; ``streams`` says when each cursor last moved."""

    instance: str
    plugin: str
    entity: str
    state: str
    reason: str
    streams: dict[str, datetime]


class LaneLine(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery lane: ``owed`` waits or is in flight, ``dead`` waits for a person."""

    lane: str
    connector: str
    state: str
    reason: str
    """Why it stands still, and who stopped it if somebody did."""
    mode: str
    stage: str
    owed: int
    retrying: int
    blocked: int
    in_doubt: int
    dead: int
    shadowed: int
    """Decided in shadow, and not settled by going live."""
    oldest_due: datetime | None


class ProcessLine(msgspec.Struct, frozen=True, kw_only=True):
    """One process lane; ``behind`` counts facts of the log it has not looked at."""

    lane: str
    process: str
    state: str
    behind: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One screen."""

    version: str
    started_at: datetime
    ready: bool
    events: int
    exceptions: int
    connectors: list[ConnectorLine]
    lanes: list[LaneLine]
    processes: list[ProcessLine]
    unbilled: list[Unbilled] | None
    """Approved time that is not billed, by age and cause; None while it is still being counted."""
    planner_lag: list[Lag] | None
    """What delivery and finance accepted and the planner does not have; None while it is still counted."""
    quarantined: dict[str, str]
    warnings: list[str]
    """Of the configuration, and what it asks of connectors that they do not offer."""


async def status(daemon: Daemon, version: str, quarantined: dict[str, str]) -> Status:
    """How the daemon stands now."""
    books = await daemon.desk.books()
    reasons = daemon.parking.reasons

    def state_of(actor: str) -> str:
        return "parked" if actor in reasons else "running"

    connectors = []
    for instance, given in daemon.config.connectors.items():
        prefix = f"{instance}."
        parked = [name for name in reasons if name == instance or name.startswith(prefix)]
        connectors.append(
            ConnectorLine(
                instance=instance,
                plugin=given.plugin,
                entity=given.entity,
                state="parked" if parked else daemon.peer_state(instance),
                reason="; ".join(f"{name}: {reasons[name]}" for name in parked),
                streams={
                    name.removeprefix(prefix): at
                    for name, at in books.cursors.items()
                    if name.startswith(prefix)
                },
            )
        )
    shadowed = await daemon.store.read(
        lambda tx: {name: shadows.open_count(tx, name) for name in daemon.lanes}
    )
    lanes = []
    for name, lane in daemon.lanes.items():
        rows = books.deliveries.get(name, {})
        paused = None if name in reasons else daemon.lane_actors[name].paused
        lanes.append(
            LaneLine(
                lane=name,
                connector=lane.instance,
                state="paused" if paused else state_of(name),
                reason=reasons.get(name) or paused or "",
                mode=lane.mode,
                stage=lane.stage,
                owed=owed(daemon, name, books),
                retrying=rows.get("waiting", 0),
                blocked=rows.get("blocked", 0),
                in_doubt=rows.get("in_doubt", 0),
                dead=rows.get("dead", 0),
                shadowed=shadowed[name],
                oldest_due=books.oldest_due.get(name),
            )
        )
    processes = [
        ProcessLine(
            lane=name,
            process=str(given.process),
            state=state_of(name),
            behind=books.head - books.positions.get(name, 0),
        )
        for name, given in daemon.processes.items()
    ]
    unbilled = await unbilled_rows(daemon)
    lag = planner_lag_rows(daemon)
    return Status(
        version=version,
        started_at=daemon.started_at,
        ready=daemon.ready,
        events=books.head,
        exceptions=sum(books.dead_letters.values()),
        connectors=connectors,
        lanes=lanes,
        processes=processes,
        unbilled=None if unbilled is None else list(unbilled),
        planner_lag=None if lag is None else list(lag),
        quarantined=quarantined,
        warnings=[
            *map(str, daemon.config.warnings),
            *(text for found in daemon.misfits.values() for text in found),
            *(f"{name} stands still: {reasons[name]}" for name in INNER_ACTORS if name in reasons),
        ],
    )
