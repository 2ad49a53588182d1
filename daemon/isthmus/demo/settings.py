"""Writes the configuration of the demo's daemon, as an admin would, with the simulators' credentials."""

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from isthmus.demo.world import INSTANCES, World
from isthmus.runtime.simulators import installed_connectors
from isthmus.sdk.secret import Secret

__all__ = ["ENTITY_DE", "ENTITY_US", "PAIRS", "write_configuration"]

ENTITY_US, ENTITY_DE = "acme-us", "acme-de"

ENTITIES = {
    "crm": ENTITY_US,
    "psa": ENTITY_US,
    "netsuite": ENTITY_US,
    "ledger": ENTITY_DE,
    "planner": ENTITY_US,
}

IMPATIENT: dict[str, dict[str, Any]] = {
    "crm": {"overlap_s": 60, "settle_s": 0},
    "psa": {"overlap_s": 60, "settle_s": 1.1, "worst_commit_s": 1.0, "per_second": 200.0},
    "netsuite": {"overlap_s": 60, "settle_s": 0},
    "planner": {"overlap_s": 60, "worst_commit_s": 1.0},
}
"""A demo lasts a minute, so it waits for less than a firm would."""

ROUTES = {
    "customer.changed": ["netsuite-master", "ledger-master", "planner"],
    "project.created": ["psa", "netsuite-master", "ledger-master", "planner"],
    "contract.signed": ["psa"],
    "contract.amended": ["psa"],
    "schedule.revised": ["netsuite-master"],
    "demand.revised": ["planner"],
    "resource.changed": ["planner"],
    "charge.determined": ["netsuite-charges", "ledger-charges"],
    "invoice.released": ["psa-status", "crm-status"],
    "invoice.voided": ["psa-status", "crm-status"],
    "payment.received": ["psa-status", "crm-status"],
    "burn.revised": ["planner-analytics"],
    "forecast.revised": ["planner-analytics"],
}

DELIVERY = {"department": "Delivery"}
DIMENSIONS: dict[str, dict[str, dict[str, dict[str, str]]]] = {
    ENTITY_US: {
        "services": {name: {"item": name.capitalize(), **DELIVERY} for name in ("consulting", "development")},
        "origins": dict.fromkeys(("milestone", "installment", "retainer", "subscription"), DELIVERY),
    }
}
"""What NetSuite calls what is billed; the legacy ERP asks for no names."""

PAIRS: dict[str, dict[str, Any]] = {
    "time-netsuite": {"kind": "time", "left": "psa", "right": "netsuite", "entity": ENTITY_US},
    "milestones-netsuite": {"kind": "milestone", "left": "psa", "right": "netsuite", "entity": ENTITY_US},
    "invoices-netsuite": {"kind": "invoice", "left": "netsuite", "right": "crm"},
    "hours-planner": {"kind": "hours", "left": "psa", "right": "planner"},
    "contracts-planner": {"kind": "contract", "left": "crm", "right": "planner"},
}
"""What must agree in the end. Files of the legacy ERP cannot be read back, so it is in no pair."""

LANES: dict[str, dict[str, Any]] = {
    "project-setup": {"process": "project-setup"},
    "billing": {"process": "billing"},
    "schedule": {"process": "schedule"},
    "change-order": {"process": "change-order"},
    "burn": {"process": "burn", "mode": "analytical", "lag_window_s": 1.0},
    "forecast": {"process": "forecast", "mode": "analytical", "lag_window_s": 1.0},
    "utilization": {"process": "utilization", "mode": "analytical", "lag_window_s": 1.0},
    "psa": {"connector": "psa"},
    "psa-status": {"connector": "psa"},
    "crm-status": {"connector": "crm"},
    "netsuite-master": {"connector": "netsuite", "entities": [ENTITY_US]},
    "netsuite-charges": {"connector": "netsuite", "entities": [ENTITY_US]},
    "ledger-master": {"connector": "ledger", "entities": [ENTITY_DE]},
    "ledger-charges": {"connector": "ledger", "entities": [ENTITY_DE]},
    "planner": {"connector": "planner"},
    "planner-analytics": {"connector": "planner", "mode": "analytical", "lag_window_s": 0.5},
}


def write_configuration(
    directory: Path,
    world: World,
    *,
    port: int = 0,
    changed: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write ``isthmus.toml`` and the secrets of every connector into ``directory``.

    Args:
        port: Of the ops listener; 0 takes a free one.
        changed: Settings by instance, in place of the demo's.
    """
    secrets = directory / "secrets"
    secrets.mkdir(mode=0o700)
    lines = ["[daemon]", 'state_dir = "state"', 'secrets_dir = "secrets"', f'ops_listen = "127.0.0.1:{port}"']
    lines.append(f"plugins = {_toml([f'isthmus-{plugin}' for plugin in INSTANCES.values()])}")
    connectors = installed_connectors()
    for instance, plugin in INSTANCES.items():
        lines += ["", f"[connectors.{instance}]", f'plugin = "{plugin}"']
        lines += [f'entity = "{ENTITIES[instance]}"', "poll_s = 0.5"]
        given = world.systems[instance].simulator.credentials()
        guarded = _secrets(connectors[plugin].Settings)
        for name, value in {
            **given,
            **IMPATIENT.get(instance, {}),
            **(changed or {}).get(instance, {}),
        }.items():
            if name in guarded:
                credential = f"{instance}.{name}"
                file = secrets / credential
                file.touch(mode=0o600)
                file.write_text(str(value))
                lines.append(f'{name} = {{ credential = "{credential}" }}')
            else:
                lines.append(f"{name} = {_toml(value)}")
    for lane, config in LANES.items():
        lines += ["", f"[lanes.{lane}]"]
        patience = {"retry_first_s": 0.3, "retry_max_s": 3.0} if "connector" in config else {}
        lines += [f"{name} = {_toml(value)}" for name, value in {**config, **patience}.items()]
    for pair, config in PAIRS.items():
        lines += ["", f"[reconcile.{pair}]", "settle_s = 0"]
        lines += [f"{name} = {_toml(value)}" for name, value in config.items()]
    for entity, tables in DIMENSIONS.items():
        for table, rows in tables.items():
            lines += ["", f"[dimensions.{entity}.{table}]"]
            lines += [f"{name} = {_toml(row)}" for name, row in rows.items()]
    lines += ["", "[routes]", *(f'"{kind}" = {_toml(lanes)}' for kind, lanes in ROUTES.items())]
    (directory / "isthmus.toml").write_text("\n".join(lines) + "\n")


def _secrets(settings: type[msgspec.Struct]) -> set[str]:
    """The settings that hold a secret."""
    hints = typing.get_type_hints(settings)
    return {name for name, hint in hints.items() if hint is Secret or Secret in typing.get_args(hint)}


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case list() | tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case dict():
            pairs = ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items())
            return "{ " + pairs + " }" if pairs else "{}"
    return msgspec.json.encode(str(value)).decode()
