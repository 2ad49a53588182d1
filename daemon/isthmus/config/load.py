"""Loads a configuration and checks all that can be checked without the plugins."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from isthmus.config.convert import Converter, Wrong, build
from isthmus.config.dimensions import check_dimensions
from isthmus.config.model import (
    Config,
    ConnectorConfig,
    ControlConfig,
    DaemonConfig,
    LaneConfig,
    ReconcileConfig,
    ServicesConfig,
)
from isthmus.config.notify import MailConfig
from isthmus.config.places import KeyPath
from isthmus.config.problems import Findings, Places, did_you_mean
from isthmus.config.read import read_files
from isthmus.config.routes import check_lanes, check_pairs, check_routes
from isthmus.process.registry import PROCESSES

__all__ = ["gather", "load"]

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TABLES = (
    "daemon",
    "connectors",
    "lanes",
    "routes",
    "dimensions",
    "control",
    "services",
    "mail",
    "notify",
    "reconcile",
)
_SOURCES = ("calendar", "configuration")
"""What tells facts beside connectors and processes."""


def load(directory: Path, *, processes: Collection[str] = tuple(PROCESSES)) -> Config:
    """Read ``isthmus.toml`` and ``conf.d/*.toml`` of ``directory``.

    Args:
        processes: the names a lane's ``process`` may have.

    Raises:
        ConfigError: with every problem of every file.
    """
    findings, config = gather(directory, processes=processes)
    findings.raise_errors()
    return msgspec.structs.replace(config, warnings=tuple(findings.sorted()))


def gather(directory: Path, *, processes: Collection[str] = tuple(PROCESSES)) -> tuple[Findings, Config]:
    """What was found, and as much of the configuration as could be understood."""
    directory = directory.absolute()
    places = Places(directory)
    findings = Findings(places)
    # Where a file could not be read, what refers to it is not called wrong.
    raw, whole = read_files(directory, places, findings)
    for name in raw:
        if name not in _TABLES:
            hint = did_you_mean(name, _TABLES) or f"tables are {', '.join(_TABLES)}"
            findings.add("config.unknown-key", (name,), f"there is no table [{name}]", hint)
    tables = {name: _table(raw.get(name, {}), (name,), findings) for name in _TABLES}
    converter = Converter(findings, directory)

    daemon: DaemonConfig | Wrong = DaemonConfig(state_dir=directory)
    if isinstance(raw.get("daemon", {} if whole else None), dict):
        daemon = converter.struct(DaemonConfig, tables["daemon"], ("daemon",))
    control = converter.struct(ControlConfig, tables["control"], ("control",))
    services = None
    if "services" in raw:
        services = converter.struct(ServicesConfig, tables["services"], ("services",))
    mail = converter.struct(MailConfig, tables["mail"], ("mail",))
    connectors = {
        name: connector
        for name, table in _named(tables["connectors"], "connectors", findings, [*processes, *_SOURCES])
        if not isinstance(connector := _connector(converter, findings, name, table), Wrong)
    }
    lanes = {
        name: lane
        for name, table in _named(tables["lanes"], "lanes", findings)
        if not isinstance(lane := converter.struct(LaneConfig, table, ("lanes", name)), Wrong)
    }
    pairs = {
        name: pair
        for name, table in _named(tables["reconcile"], "reconcile", findings)
        if not isinstance(pair := converter.struct(ReconcileConfig, table, ("reconcile", name)), Wrong)
    }
    check_pairs(pairs, list(tables["connectors"]), findings, whole=whole)
    # The tables, not the Structs: a lane with one wrong setting still has its other errors told.
    lane_tables = {name: table for name, table in tables["lanes"].items() if isinstance(table, dict)}
    check_lanes(lane_tables, list(tables["connectors"]), processes, findings, whole=whole)
    routes = check_routes(tables["routes"], lane_tables, findings, whole=whole)
    return findings, Config(
        directory=directory,
        daemon=_understood(tables["daemon"], directory) if isinstance(daemon, Wrong) else daemon,
        connectors=connectors,
        lanes=lanes,
        routes=routes,
        dimensions=check_dimensions(tables["dimensions"], findings),
        control=ControlConfig() if isinstance(control, Wrong) else control,
        services=None if isinstance(services, Wrong) else services,
        mail=MailConfig() if isinstance(mail, Wrong) else mail,
        notify=_told(tables["notify"], ControlConfig() if isinstance(control, Wrong) else control, findings),
        reconcile=pairs,
        places=places,
    )


def _understood(table: Mapping[str, Any], directory: Path) -> DaemonConfig:
    """What further checks need of a ``[daemon]`` with mistakes, so that no connector is blamed for them."""
    plugins, secrets_dir = table.get("plugins"), table.get("secrets_dir")
    named = plugins if isinstance(plugins, list) else []
    return DaemonConfig(
        state_dir=directory,
        plugins=tuple(name for name in named if isinstance(name, str)),
        secrets_dir=directory / secrets_dir if isinstance(secrets_dir, str) else None,
    )


def _table(value: Any, path: KeyPath, findings: Findings) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    findings.add("config.not-a-table", path, f'"{path[-1]}" must be a table', f"write [{path[-1]}]")
    return {}


def _told(tables: Mapping[str, Any], control: ControlConfig, findings: Findings) -> dict[str, dict[str, Any]]:
    """Who is told. Anybody can be assigned an exception, so a strange name is only looked at for a slip."""
    owners = sorted(set(control.owners.values()))
    for name in tables:
        if name not in owners and (hint := did_you_mean(name, owners)):
            message = f'"{name}" is no owner of [control]; exceptions must be assigned to be told to it'
            findings.add("config.unknown-owner", ("notify", name), message, hint, severity="warning")
    return {name: _table(table, ("notify", name), findings) for name, table in tables.items()}


def _named(
    tables: Mapping[str, Any], kind: str, findings: Findings, taken: Collection[str] = ()
) -> list[tuple[str, dict[str, Any]]]:
    """The tables below ``[connectors]`` or ``[lanes]``; names become parts of keys and labels."""
    for name in tables:
        if not NAME.fullmatch(name):
            hint = "use lower-case letters, digits and dashes"
            findings.add("config.bad-name", (kind, name), f'{kind} has the name "{name}"', hint)
        elif name in taken:
            hint = "facts would not show which of the two told them; choose another name"
            findings.add("config.bad-name", (kind, name), f'"{name}" is the name of a process', hint)
    return [(name, _table(value, (kind, name), findings)) for name, value in tables.items()]


def _connector(
    converter: Converter, findings: Findings, name: str, table: Mapping[str, Any]
) -> ConnectorConfig | Wrong:
    ours = {field.name for field in msgspec.structs.fields(ConnectorConfig)} - {"settings"}
    path: KeyPath = ("connectors", name)
    values = converter.fields(ConnectorConfig, {key: table[key] for key in table if key in ours}, path)
    if isinstance(values, Wrong):
        return values
    settings = {key: value for key, value in table.items() if key not in ours}
    return build(findings, ConnectorConfig, {**values, "settings": settings}, path)
