"""The table of routes: kinds to lanes, narrowed by legal entity. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

__all__ = ["Routes", "Subscription"]


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """What one lane takes. ``entities`` None takes every legal entity."""

    lane: str
    kinds: frozenset[str]
    entities: frozenset[str] | None = None

    def takes(self, kind: str, entity: str) -> bool:
        return kind in self.kinds and (self.entities is None or entity in self.entities)


class Routes:
    """Every lane's subscription."""

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self.by_lane: Mapping[str, Subscription] = {item.lane: item for item in subscriptions}
        self._by_kind: dict[str, list[Subscription]] = {}
        for item in subscriptions:
            for kind in item.kinds:
                self._by_kind.setdefault(kind, []).append(item)

    def lanes_for(self, kind: str, entity: str) -> list[str]:
        """The lanes that take a fact of ``kind`` of ``entity``, in the order of the configuration."""
        return [item.lane for item in self._by_kind.get(kind, ()) if item.takes(kind, entity)]
