"""Checks the tables that map services and origins to a ledger's dimensions."""

from collections.abc import Mapping
from typing import Any, get_args

from isthmus.config.model import DimensionsConfig
from isthmus.config.places import KeyPath, dotted
from isthmus.config.problems import Findings, did_you_mean
from isthmus.events.finance import Origin

__all__ = ["check_dimensions"]

ORIGINS = tuple(name for name in get_args(Origin) if name not in ("time", "retainer_overage", "fixed_fee"))
"""What is billed without a service; hours are mapped by theirs."""


def check_dimensions(raw: Mapping[str, Any], findings: Findings) -> dict[str, DimensionsConfig]:
    """The mapping of each legal entity; what is wrong is noted and left out."""
    return {
        entity: _entity(table, ("dimensions", entity), findings)
        for entity, table in raw.items()
        if _is_table(table, ("dimensions", entity), findings)
    }


def _entity(table: Mapping[str, Any], path: KeyPath, findings: Findings) -> DimensionsConfig:
    kept: dict[str, dict[str, dict[str, str]]] = {"services": {}, "origins": {}}
    for kind, rows in table.items():
        at = (*path, kind)
        if kind not in kept:
            hint = did_you_mean(kind, list(kept)) or "tables are services and origins"
            findings.add("config.unknown-key", at, f'{dotted(path)} has no table "{kind}"', hint)
            continue
        for name, row in rows.items() if _is_table(rows, at, findings) else ():
            if kind == "origins" and name not in ORIGINS:
                hint = did_you_mean(name, ORIGINS) or f"origins are {', '.join(ORIGINS)}"
                findings.add("config.bad-value", (*at, name), f'there is no origin "{name}"', hint)
            elif _is_table(row, (*at, name), findings):
                kept[kind][name] = _row(row, (*at, name), findings)
    return DimensionsConfig(services=kept["services"], origins=kept["origins"])


def _row(row: Mapping[str, Any], path: KeyPath, findings: Findings) -> dict[str, str]:
    if not row:
        hint = 'name at least one, such as item = "Consulting"'
        findings.add("config.bad-value", path, f"{dotted(path)} sets no dimension", hint)
    for dimension, value in row.items():
        if not isinstance(value, str) or not value:
            hint = f'write {dimension} = "name in the ledger"'
            findings.add("config.bad-value", (*path, dimension), f"{dimension} must be a text", hint)
    return {dimension: str(value) for dimension, value in row.items()}


def _is_table(value: Any, path: KeyPath, findings: Findings) -> bool:
    if isinstance(value, dict):
        return True
    hint = f"write [{dotted(path)}]"
    findings.add("config.not-a-table", path, f'"{path[-1]}" must be a table', hint)
    return False
