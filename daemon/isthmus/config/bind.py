"""Turns each connector's settings into its plugin's Struct, secrets included."""

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from isthmus.config.convert import Converter, Wrong
from isthmus.config.credentials import Secrets
from isthmus.config.load import gather
from isthmus.config.model import Config, ConnectorConfig
from isthmus.config.notify import NotifyConfig
from isthmus.config.places import KeyPath
from isthmus.config.problems import Findings, Problem, did_you_mean
from isthmus.process.registry import PROCESSES
from isthmus.sdk.connector import Connector
from isthmus.sdk.signing import keys_of

__all__ = ["bind", "bind_notify", "check"]


def bind(
    config: Config, connectors: Mapping[str, type[Connector]], secrets: Secrets
) -> dict[str, msgspec.Struct]:
    """The settings of every connector instance, in the plugin's own Struct.

    Args:
        connectors: the loaded connectors by name, as `isthmus.runtime.plugins.load_plugins` gives them.

    Raises:
        ConfigError: with every problem of every connector.
    """
    findings = Findings(config.places)
    bound = _bind(config, connectors, secrets, findings)
    findings.raise_errors()
    return bound


def bind_notify(config: Config, secrets: Secrets) -> dict[str, NotifyConfig]:
    """How each owner is told, with the secrets of webhooks.

    Raises:
        ConfigError: with every problem of every owner.
    """
    findings = Findings(config.places)
    bound = _bind_notify(config, secrets, findings)
    findings.raise_errors()
    return bound


def check(
    directory: Path,
    connectors: Mapping[str, type[Connector]],
    *,
    processes: Collection[str] = tuple(PROCESSES),
    secrets: Secrets | None = None,
) -> list[Problem]:
    """Every problem and warning of a configuration, its connectors' settings included; starts nothing."""
    findings, config = gather(directory, processes=processes)
    secrets = secrets or Secrets(config.daemon.secrets_dir)
    _bind(config, connectors, secrets, findings)
    _bind_notify(config, secrets, findings)
    return findings.sorted()


def _bind(
    config: Config, connectors: Mapping[str, type[Connector]], secrets: Secrets, findings: Findings
) -> dict[str, msgspec.Struct]:
    converter = Converter(findings, config.directory, secrets.resolve)
    reserved = {field.name for field in msgspec.structs.fields(ConnectorConfig)} - {"settings"}
    bound: dict[str, msgspec.Struct] = {}
    for instance, given in config.connectors.items():
        path: KeyPath = ("connectors", instance)
        connector = connectors.get(given.plugin)
        if connector is None:
            hint = did_you_mean(given.plugin, sorted(connectors)) or (
                "install it, and name its distribution in daemon.plugins"
            )
            findings.add(
                "config.unknown-plugin", (*path, "plugin"), f'no plugin brings "{given.plugin}"', hint
            )
            continue
        clash = reserved & {field.encode_name for field in msgspec.structs.fields(connector.Settings)}
        if clash:
            message = f'plugin "{given.plugin}" has a setting {", ".join(sorted(clash))}'
            hint = "isthmus uses the name itself; ask the vendor for another one"
            findings.add("config.reserved-setting", path, message, hint)
            continue
        settings = converter.struct(connector.Settings, given.settings, path, sorted(reserved))
        if not isinstance(settings, Wrong):
            bound[instance] = settings
    return bound


def _bind_notify(config: Config, secrets: Secrets, findings: Findings) -> dict[str, NotifyConfig]:
    converter = Converter(findings, config.directory, secrets.resolve)
    bound: dict[str, NotifyConfig] = {}
    for owner, given in config.notify.items():
        path: KeyPath = ("notify", owner)
        told = converter.struct(NotifyConfig, given, path)
        if isinstance(told, Wrong):
            continue
        try:
            if told.secret is not None:
                keys_of(told.secret)
        except ValueError as error:
            hint = "a secret is whsec_ and the base64 of 24 to 64 random bytes; several stand apart by spaces"
            findings.add("config.bad-credential", (*path, "secret"), str(error), hint, secret=True)
            continue
        bound[owner] = told
    return bound
