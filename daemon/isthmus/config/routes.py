"""Checks what lanes and routes say about each other."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from isthmus.config.model import ReconcileConfig
from isthmus.config.places import KeyPath
from isthmus.config.problems import Findings, did_you_mean
from isthmus.events import KINDS

__all__ = ["check_lanes", "check_pairs", "check_routes"]


Tables = Mapping[str, Mapping[str, Any]]


def check_lanes(
    lanes: Tables,
    connectors: Sequence[str],
    processes: Collection[str],
    findings: Findings,
    *,
    whole: bool,
) -> None:
    """Each lane has one target, and that exists.

    ``whole`` is False when a file could not be read; then nothing is called missing for that.
    """
    runs: dict[str, str] = {}
    for name, lane in lanes.items():
        path: KeyPath = ("lanes", name)
        connector, process = lane.get("connector"), lane.get("process")
        if (connector is None) == (process is None):
            both = "neither" if connector is None else "both"
            message = f"lanes.{name} has {both} of connector and process"
            findings.add("config.lane-target", path, message, "write exactly one of the two")
        if lane.get("mode", "transactional") == "transactional" and "lag_window_s" in lane:
            findings.add(
                "config.lag-window",
                (*path, "lag_window_s"),
                f"lanes.{name} is transactional: every fact goes at once",
                'remove it, or write mode = "analytical"',
            )
        if isinstance(connector, str) and whole:
            _known(connector, connectors, (*path, "connector"), findings)
        if not isinstance(process, str):
            continue
        if process not in processes:
            known = sorted(processes)
            hint = did_you_mean(process, known) or f"processes are {', '.join(known)}"
            message = f'there is no process "{process}"'
            findings.add("config.unknown-process", (*path, "process"), message, hint)
        elif process in runs:
            message = f'process "{process}" runs in lane "{runs[process]}" already'
            hint = "a process keeps one set of rows; remove one of the lanes"
            findings.add("config.process-twice", (*path, "process"), message, hint)
        else:
            runs[process] = name


def check_pairs(
    pairs: Mapping[str, ReconcileConfig], connectors: Sequence[str], findings: Findings, *, whole: bool
) -> None:
    """Both sides of each pair exist; ``whole`` as in `check_lanes`."""
    for name, pair in pairs.items():
        for side in ("left", "right"):
            if whole:
                _known(getattr(pair, side), connectors, ("reconcile", name, side), findings)


def _known(connector: str, connectors: Sequence[str], path: KeyPath, findings: Findings) -> None:
    if connector not in connectors:
        hint = did_you_mean(connector, connectors) or f"write [connectors.{connector}]"
        findings.add("config.unknown-connector", path, f'there is no connector "{connector}"', hint)


def check_routes(
    raw: Mapping[str, Any], lanes: Tables, findings: Findings, *, whole: bool
) -> dict[str, tuple[str, ...]]:
    """The lanes of each event kind; what is wrong is noted and left out."""
    routes = {kind: _route(kind, value, lanes, findings, whole=whole) for kind, value in raw.items()}
    carried = {lane for names in routes.values() for lane in names}
    for name, lane in lanes.items():
        if whole and "connector" in lane and name not in carried and lane.get("stage") != "off":
            message = f'lane "{name}" receives no event kind'
            hint = 'name it in [routes], or set stage = "off"'
            findings.add("config.lane-without-route", ("lanes", name), message, hint, severity="warning")
    return routes


def _route(kind: str, value: Any, lanes: Tables, findings: Findings, *, whole: bool) -> tuple[str, ...]:
    path: KeyPath = ("routes", kind)
    if kind not in KINDS:
        hint = did_you_mean(kind, sorted(KINDS))
        if isinstance(value, dict) and value:
            hint = f'a kind is written in quotes: "{kind}.{next(iter(value))}" = [...]'
        findings.add("config.unknown-event", path, f'there is no event kind "{kind}"', hint)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        if kind in KINDS:
            message = f'the route of "{kind}" must be a list of lanes'
            findings.add("config.bad-value", path, message, f'write "{kind}" = ["a-lane"]')
        return ()
    carried: list[str] = []
    for n, name in enumerate(value):
        at = (*path, n)
        if whole and name not in lanes:
            hint = did_you_mean(name, list(lanes)) or f"write [lanes.{name}]"
            findings.add("config.unknown-lane", at, f'there is no lane "{name}"', hint)
        elif name in carried:
            findings.add("config.lane-twice", at, f'lane "{name}" is named twice', "remove one")
        elif "process" in lanes.get(name, {}):
            hint = "remove it: a process takes the facts it consumes"
            findings.add("config.route-to-process", at, f'lane "{name}" runs a process', hint)
        else:
            carried.append(name)
    return tuple(carried)
