"""Finds and serves the simulators that installed plugins bring."""

import importlib
from importlib import metadata
from pathlib import Path

import trio

from isthmus.cli.exits import USAGE, Leave
from isthmus.cli.output import say
from isthmus.runtime.plugins import GROUP, load_plugins
from isthmus.sdk.connector import Connector
from isthmus.sdk.simulator import Simulator, serve

__all__ = ["installed_connectors", "serve_simulator", "simulator_class"]


def installed_connectors() -> dict[str, type[Connector]]:
    """Every connector that is installed and loads, allow-list or not: nothing of a customer runs here."""
    names = sorted(
        {point.dist.name for point in metadata.entry_points(group=GROUP) if point.dist is not None}
    )
    return load_plugins(names).connectors


def simulator_class(plugin: str) -> type[Simulator]:
    """The simulator of a plugin.

    Raises:
        Leave: no such plugin is installed, or it brings none; exit 2.
    """
    connectors = installed_connectors()
    brings = sorted(name for name, connector in connectors.items() if connector.simulator)
    connector = connectors.get(plugin)
    if connector is None or connector.simulator is None:
        raise Leave(USAGE, f"no simulator for {plugin!r}; there are: {', '.join(brings) or 'none'}")
    module, _, name = connector.simulator.partition(":")
    found: type[Simulator] = getattr(importlib.import_module(module), name)
    return found


async def serve_simulator(plugin: str, port: int, seed: int, state: Path | None) -> None:
    """Serve until interrupted."""
    simulator = simulator_class(plugin)(seed=seed)
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[str]) -> None:
            await serve(simulator, port, state_file=state, task_status=task_status)

        url = await nursery.start(run)
        say(f"{plugin} on {url}; credentials and acts: {url}/_sim")
