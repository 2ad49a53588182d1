"""Lanes that a person stopped: they stay so over a restart, until a person lets them go on."""

from collections.abc import Callable, Mapping
from datetime import datetime

from isthmus.delivery.actor import LaneActor
from isthmus.ops.errors import NotFound, Refused
from isthmus.store import audit, lanes
from isthmus.store.face import Store, Tx

__all__ = ["Pausing"]


class Pausing:
    """Pauses delivery lanes; a process has no peer, and is not paused."""

    def __init__(self, store: Store, actors: Mapping[str, LaneActor], now: Callable[[], datetime]) -> None:
        self._store = store
        self._actors = actors
        self._now = now

    async def recall(self) -> None:
        """At start: what was paused is paused still."""
        for state in await self._store.read(lanes.listing):
            if state.state == "paused" and state.lane in self._actors:
                self._actors[state.lane].pause(f"{state.by}: {state.reason}")

    async def pause(self, name: str, *, by: str, why: str) -> None:
        """Begin no more calls.

        Raises:
            NotFound: there is no such lane.
            Refused: it is paused already; the message says by whom.
        """
        actor = self._actor(name)
        if actor.paused is not None:
            raise Refused(f"lane {name} is paused already, by {actor.paused}")
        actor.pause(f"{by}: {why}")
        at = self._now()

        def unit(tx: Tx) -> None:
            lanes.pause(tx, name, why, by, at)
            audit.append(tx, by, "lane.pause", {"lane": name, "reason": why}, at)

        try:
            await self._store.write(unit)
        except BaseException:
            actor.unpause()
            raise

    async def resume(self, name: str, *, by: str, why: str) -> None:
        """Go on from where it stood.

        Raises:
            NotFound: there is no such lane.
            Refused: it is not paused.
        """
        actor = self._actor(name)
        if actor.paused is None:
            raise Refused(
                f"lane {name} is not paused; one that is parked goes on with 'isthmus resume {name}'"
            )
        at = self._now()

        def unit(tx: Tx) -> None:
            lanes.resume(tx, name, by, at)
            audit.append(tx, by, "lane.resume", {"lane": name, "reason": why}, at)

        await self._store.write(unit)
        actor.unpause()

    def _actor(self, name: str) -> LaneActor:
        if name not in self._actors:
            raise NotFound(f"no delivery lane {name!r} that is not off; 'isthmus lane list' shows the lanes")
        return self._actors[name]
