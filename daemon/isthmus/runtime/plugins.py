"""Finds, checks and loads the installed connector plugins, one by one.

pluggy's own entry point loader stops at the first distribution that does not import, and imports what
nobody asked for. Here each distribution is looked at alone: what is not on the allow-list is never
imported, and what breaks is quarantined with the reason while its neighbours work.

A plugin runs with the daemon's rights. The allow-list decides whose code runs; it is no sandbox.
"""

import inspect
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import metadata

import msgspec
import pluggy

from isthmus.sdk.connector import Connector
from isthmus.sdk.hooks import Hooks

__all__ = ["GROUP", "SERVED_API", "LoadedPlugin", "Plugins", "installed_distributions", "load_plugins"]

GROUP = "isthmus"
SERVED_API: Mapping[int, int] = {1: 0}
"""Each served major version of the SDK's interface with its newest minor."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class LoadedPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a connector came from."""

    distribution: str
    version: str


class Plugins(msgspec.Struct, frozen=True, kw_only=True):
    """What was loaded, and what was not, with the reason, by distribution name."""

    connectors: dict[str, type[Connector]]
    quarantined: dict[str, str]
    origins: dict[str, LoadedPlugin]
    """Distribution and version of each connector."""


class _Refused(Exception):
    """The distribution is not used; the message is the reason."""


class _Found(msgspec.Struct, frozen=True):
    name: str
    version: str
    entry_points: list[metadata.EntryPoint]


def installed_distributions() -> dict[str, str]:
    """Version of every installed distribution with an entry point of ours; none of them is imported."""
    return {name: found.version for name, found in _installed({}).items()}


def load_plugins(allow: Iterable[str]) -> Plugins:
    """Load the connectors of the allowed distributions.

    Args:
        allow: distribution names, each alone or with its version: ``isthmus-netsuite==0.1.0``.

    Raises nothing: a distribution that cannot be used is in ``quarantined``. A name that two of them claim
    is given to neither, because nobody can tell which one was meant.
    """
    wanted = {_normal(entry.partition("==")[0]): entry for entry in allow}
    quarantined: dict[str, str] = {}
    found = _installed(quarantined)
    for name, entry in wanted.items():
        if name not in found and name not in quarantined:
            quarantined[name] = f'"{entry}" is on the allow-list, but not installed'
    brought: dict[str, list[type[Connector]]] = {}
    for name, distribution in found.items():
        try:
            _check_allowed(distribution, wanted)
            brought[name] = _connectors_of(distribution)
        except _Refused as refused:
            quarantined[name] = str(refused)
    counts = Counter(connector.name for connectors in brought.values() for connector in connectors)
    loaded = Plugins(connectors={}, quarantined=quarantined, origins={})
    for name, connectors in brought.items():
        doubled = sorted({connector.name for connector in connectors if counts[connector.name] > 1})
        if doubled:
            quarantined[name] = f"connector {', '.join(doubled)} is claimed more than once"
            continue
        for connector in connectors:
            loaded.connectors[connector.name] = connector
            loaded.origins[connector.name] = LoadedPlugin(distribution=name, version=found[name].version)
    return loaded


def _normal(name: str) -> str:
    """The name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _installed(quarantined: dict[str, str]) -> dict[str, _Found]:
    """Distributions with an entry point of ours, read from their metadata only."""
    found: dict[str, _Found] = {}
    for distribution in metadata.distributions():
        try:
            entry_points = [each for each in distribution.entry_points if each.group == GROUP]
            if not entry_points:
                continue
            name = _normal(distribution.metadata["Name"])
            # The first of a name is the one that would be imported.
            found.setdefault(name, _Found(name, distribution.version, entry_points))
        except Exception as error:  # noqa: BLE001 - another's metadata can be broken in any way
            quarantined[_folder(distribution)] = f"its metadata cannot be read: {_words(error)}"
    return dict(sorted(found.items()))


def _folder(distribution: metadata.Distribution) -> str:
    return str(getattr(distribution, "_path", "a distribution without a name")).rpartition("/")[2]


def _check_allowed(distribution: _Found, wanted: Mapping[str, str]) -> None:
    entry = wanted.get(distribution.name)
    if entry is None:
        raise _Refused("not on the allow-list (daemon.plugins)")
    _, pinned, version = entry.partition("==")
    if pinned and version.strip() != distribution.version:
        raise _Refused(f"version {distribution.version} is installed; the allow-list has {entry}")


def _connectors_of(distribution: _Found) -> list[type[Connector]]:
    """Import a distribution and ask its hooks.

    Raises:
        _Refused: it breaks, or what it brings is no connector that can be served.
    """
    brought: list[type[Connector]] = []
    try:
        for entry_point in distribution.entry_points:
            manager = pluggy.PluginManager("isthmus")
            manager.add_hookspecs(Hooks)
            manager.register(entry_point.load(), name=entry_point.name)
            manager.check_pending()
            for connectors in manager.hook.isthmus_connectors():
                brought.extend(connectors)
        for connector in brought:
            _check_connector(connector, distribution)
    except _Refused:
        raise
    except (Exception, SystemExit) as error:
        raise _Refused(f"does not load: {_words(error)}") from error
    if not brought:
        raise _Refused("brings no connector; does its isthmus_connectors() carry @hookimpl?")
    return brought


def _check_connector(connector: object, distribution: _Found) -> None:
    if not (isinstance(connector, type) and issubclass(connector, Connector)):
        raise _Refused(f"brings {connector!r}, which is no isthmus.sdk.Connector class")
    major, minor = connector.api
    if major not in SERVED_API:
        served = ", ".join(map(str, sorted(SERVED_API)))
        raise _Refused(
            f"{distribution.name} {distribution.version} speaks api {major}; this isthmus serves {served}"
        )
    if minor > SERVED_API[major]:
        raise _Refused(
            f"{distribution.name} {distribution.version} needs api {major}.{minor};"
            f" this isthmus serves {major}.{SERVED_API[major]}: upgrade isthmus"
        )
    if not _NAME.fullmatch(connector.name):
        raise _Refused(f'connector name "{connector.name}" must be lower-case letters, digits and dashes')
    if not issubclass(connector.Settings, msgspec.Struct):
        raise _Refused(f"connector {connector.name}: Settings must be a msgspec.Struct")
    if inspect.isabstract(connector):
        missing = ", ".join(sorted(connector.__abstractmethods__))
        raise _Refused(f"connector {connector.name} does not implement {missing}")


def _words(error: BaseException) -> str:
    """One line about an exception, short enough for a table."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
