"""Finds the simulators that installed plugins bring."""

import importlib

from isthmus.runtime.plugins import installed_distributions, load_plugins
from isthmus.sdk.connector import Connector
from isthmus.sdk.simulator import Simulator

__all__ = ["installed_connectors", "simulator_class", "simulator_of"]


def installed_connectors() -> dict[str, type[Connector]]:
    """Every connector that is installed and loads, allow-list or not: nothing of a customer runs here."""
    return load_plugins(sorted(installed_distributions())).connectors


def simulator_of(connector: type[Connector]) -> type[Simulator] | None:
    """The simulator that a connector names, if it brings one."""
    if connector.simulator is None:
        return None
    module, _, name = connector.simulator.partition(":")
    found: type[Simulator] = getattr(importlib.import_module(module), name)
    return found


def simulator_class(plugin: str) -> type[Simulator]:
    """The simulator of a plugin.

    Raises:
        LookupError: no such plugin is installed, or it brings none; the message names those that do.
    """
    connectors = installed_connectors()
    found = simulator_of(connectors[plugin]) if plugin in connectors else None
    if found is None:
        brings = sorted(name for name, connector in connectors.items() if connector.simulator)
        raise LookupError(f"no simulator for {plugin!r}; there are: {', '.join(brings) or 'none'}")
    return found
