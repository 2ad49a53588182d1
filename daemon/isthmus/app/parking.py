"""Where parked actors stand: written down for people, resumed by them."""

from collections.abc import Callable
from datetime import datetime

import trio

from isthmus.runtime.patience import wait_out
from isthmus.runtime.supervisor import Parking
from isthmus.store import audit, lanes
from isthmus.store.errors import StoreFull
from isthmus.store.face import Store, Tx


class StoreParking(Parking):
    """Parked actors by name, in the store and in memory.

    A start of the daemon tries every actor again: restarting it is what a person does after mending a
    credential. An actor that still cannot run parks again at once.

    A connector and a lane may have the same name: they then park under it together, and one word of a person
    lets both go on.
    """

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self.reasons: dict[str, str] = {}
        self._resumed: dict[str, trio.Event] = {}

    async def park(self, actor: str, reason: str) -> None:
        if actor not in self._resumed:
            self._resumed[actor] = trio.Event()
            self.reasons[actor] = reason
        elif reason not in self.reasons[actor]:
            self.reasons[actor] += f"; {reason}"
        at = self._now()

        def unit(tx: Tx) -> None:
            if not _paused(tx, actor):
                lanes.park(tx, actor, reason, "supervisor", at)
            audit.append(tx, "supervisor", "park", {"actor": actor, "reason": reason}, at)

        # A full disk must not turn one parked actor into a dead daemon.
        await wait_out(StoreFull, lambda: self._store.write(unit))

    async def wait_resumed(self, actor: str) -> None:
        resumed = self._resumed.get(actor)
        if resumed is not None:
            await resumed.wait()

    async def resume(self, actor: str, by: str, why: str) -> bool:
        """Let a parked actor go on; False when it is not parked."""
        if actor not in self.reasons:
            return False
        at = self._now()

        def unit(tx: Tx) -> None:
            if not _paused(tx, actor):
                lanes.resume(tx, actor, by, at)
            audit.append(tx, by, "resume", {"actor": actor, "reason": why}, at)

        await self._store.write(unit)
        self.reasons.pop(actor, None)
        resumed = self._resumed.pop(actor, None)
        if resumed is not None:
            resumed.set()
        return True

    async def forget_all(self) -> None:
        """At start: nothing is parked yet in this run."""
        at = self._now()

        def unit(tx: Tx) -> None:
            for state in lanes.listing(tx):
                if state.state == "parked":
                    lanes.resume(tx, state.lane, "start", at)

        await self._store.write(unit)


def _paused(tx: Tx, actor: str) -> bool:
    """What a person stopped stays stopped, whatever else becomes of it."""
    known = lanes.get(tx, actor)
    return known is not None and known.state == "paused"
