"""Puts into the log what the rules need to know of the configuration, whenever it changed.

A replay must give what was given then, so the rules never read a file: they read these facts.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from isthmus.config import Config
from isthmus.delivery.lane import Lane
from isthmus.events.base import BusinessEvent
from isthmus.events.control import DimensionsRevised, RoutesRevised
from isthmus.routing.table import Routes, Subscription
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = ["CONFIRMED", "SOURCE", "record_configuration"]

E = TypeVar("E", bound=BusinessEvent)

SOURCE = "configuration"
CONFIRMED = frozenset(
    {"contract.amended", "project.created", "schedule.revised", "demand.revised", "forecast.revised"}
)
"""Kinds whose arrival a change order waits for."""


def record_configuration(tx: Tx, config: Config, lanes: Mapping[str, Lane], now: datetime) -> int:
    """Record mappings and routes of each legal entity that differ from what was recorded last.

    Returns:
        How many facts that were.
    """
    facts: list[BusinessEvent] = []
    entities = {each.entity for each in config.connectors.values()} | set(config.dimensions)
    entities |= {entity for lane in lanes.values() for entity in lane.entities or ()}
    for entity in sorted(entities):
        given = config.dimensions.get(entity)
        services = {name: dict(row) for name, row in given.services.items()} if given else {}
        origins = {name: dict(row) for name, row in given.origins.items()} if given else {}
        mapped = _newest(tx, entity, DimensionsRevised)
        before = (mapped.services, mapped.origins) if mapped is not None else ({}, {})
        if (services, origins) != before:
            revision = 1 if mapped is None else mapped.revision + 1
            facts.append(
                DimensionsRevised(
                    source=SOURCE,
                    occurred_at=now,
                    entity=entity,
                    revision=revision,
                    services=services,
                    origins=origins,
                )
            )
        carried = _carried(lanes, entity)
        routed = _newest(tx, entity, RoutesRevised)
        if carried != (routed.lanes if routed is not None else {}):
            revision = 1 if routed is None else routed.revision + 1
            facts.append(
                RoutesRevised(source=SOURCE, occurred_at=now, entity=entity, revision=revision, lanes=carried)
            )
    return len(event_log.append(tx, facts, now).new)


def _carried(lanes: Mapping[str, Lane], entity: str) -> dict[str, list[str]]:
    """The live lanes that take each confirmed kind for an entity."""
    live = Routes(
        [
            Subscription(lane=name, kinds=lane.kinds, entities=lane.entities)
            for name, lane in sorted(lanes.items())
            if lane.stage == "live"
        ]
    )
    found = {kind: live.lanes_for(kind, entity) for kind in sorted(CONFIRMED)}
    return {kind: names for kind, names in found.items() if names}


def _newest(tx: Tx, entity: str, kind: type[E]) -> E | None:
    """The newest word of a kind about an entity; a configuration changes seldom, so there are few."""
    newest: E | None = None
    after = 0
    while rows := event_log.by_subject(tx, entity, after=after):
        for row in rows:
            if row.type.startswith(("dimensions.", "routes.")) and isinstance(event := row.event(), kind):
                newest = event
        after = rows[-1].seq
    return newest
