"""The five simulated systems of the demo, and the hands of the people who use them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from isthmus.runtime.simulators import simulator_class
from isthmus.sdk.errors import Retryable
from isthmus.sdk.http import Http, Reply, open_http
from isthmus.sdk.simulator import Record, Simulator, serve

__all__ = ["INSTANCES", "System", "World", "opened"]

INSTANCES = {
    "crm": "salesforce",
    "psa": "kantata",
    "netsuite": "netsuite",
    "ledger": "legacy-erp",
    "planner": "runn",
}
"""The connector instances of the demo and their plugins."""


class System:
    """One simulated system, used as a person in its user interface would."""

    def __init__(self, instance: str, simulator: Simulator, http: Http) -> None:
        self.instance = instance
        self.simulator = simulator
        self._http = http

    async def do(self, act: str, **fields: Any) -> Any:
        """Act as a user.

        Raises:
            RuntimeError: the system does not allow it; with its words.
        """
        reply = await self._http.post("/_sim/do", json={"act": act, **fields})
        answer = reply.json()
        if not reply.ok:
            raise RuntimeError(f"{self.instance} refuses {act}: {answer.get('error')}")
        return answer

    async def fault(self, fault: str, **fields: Any) -> None:
        """Plan a fault."""
        await self._http.post("/_sim/faults", json=[{"fault": fault, **fields}])

    async def faults_waiting(self) -> list[str]:
        """The planned faults that have not happened."""
        reply = await self._get("/_sim/faults")
        return [fault["fault"] for fault in reply.json() if fault["fired"] < fault["times"]]

    async def ledger(self) -> list[Record]:
        """Every business record of the system with the writes that reached it."""
        reply = await self._get("/_sim/ledger")
        return msgspec.json.decode(reply.body, type=dict[str, list[Record]])["records"]

    async def _get(self, path: str) -> Reply:
        """Read; once more where a connection was closed just when it was to be used again."""
        try:
            return await self._http.get(path)
        except Retryable:
            return await self._http.get(path)

    async def of_kind(self, *kinds: str) -> list[Record]:
        return [record for record in await self.ledger() if record.kind in kinds]


class World:
    """All systems by instance."""

    def __init__(self, systems: dict[str, System]) -> None:
        self.systems = systems
        self.crm, self.psa = systems["crm"], systems["psa"]
        self.netsuite, self.ledger = systems["netsuite"], systems["ledger"]
        self.planner = systems["planner"]


@asynccontextmanager
async def opened(seed: int = 7) -> AsyncIterator[World]:
    """Serve the five systems on loopback for the length of the block."""
    systems: dict[str, System] = {}
    async with trio.open_nursery() as nursery:
        for instance, plugin in INSTANCES.items():
            simulator = simulator_class(plugin)(seed=seed)
            systems[instance] = await nursery.start(_serve, instance, simulator)
        yield World(systems)
        nursery.cancel_scope.cancel()


async def _serve(
    instance: str, simulator: Simulator, *, task_status: trio.TaskStatus[System] = trio.TASK_STATUS_IGNORED
) -> None:
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[str]) -> None:
            await serve(simulator, task_status=task_status)

        url = await nursery.start(run)
        async with open_http(url) as http:
            task_status.started(System(instance, simulator, http))
            await trio.sleep_forever()
