"""Finds the simulators that installed plugins bring."""

import importlib
from importlib import metadata

from isthmus.runtime.plugins import GROUP, load_plugins
from isthmus.sdk.connector import Connector
from isthmus.sdk.simulator import Simulator

__all__ = ["installed_connectors", "simulator_class"]


def installed_connectors() -> dict[str, type[Connector]]:
    """Every connector that is installed and loads, allow-list or not: nothing of a customer runs here."""
    names = sorted(
        {point.dist.name for point in metadata.entry_points(group=GROUP) if point.dist is not None}
    )
    return load_plugins(names).connectors


def simulator_class(plugin: str) -> type[Simulator]:
    """The simulator of a plugin.

    Raises:
        LookupError: no such plugin is installed, or it brings none; the message names those that do.
    """
    connectors = installed_connectors()
    brings = sorted(name for name, connector in connectors.items() if connector.simulator)
    connector = connectors.get(plugin)
    if connector is None or connector.simulator is None:
        raise LookupError(f"no simulator for {plugin!r}; there are: {', '.join(brings) or 'none'}")
    module, _, name = connector.simulator.partition(":")
    found: type[Simulator] = getattr(importlib.import_module(module), name)
    return found
