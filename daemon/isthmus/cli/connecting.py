"""Opens connectors for the command line: one at a time, beside a daemon or without one."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import msgspec

from isthmus.app.run import Bound, prepare
from isthmus.cli.exits import BUSY, CONFIG, PROBLEMS, Leave, leaves
from isthmus.cli.places import config_directory
from isthmus.config.convert import Converter, Wrong
from isthmus.config.places import KeyPath
from isthmus.config.problems import Findings, Places
from isthmus.sdk.connector import Connector, Opened
from isthmus.sdk.errors import ConnectorError, Retryable, Throttled
from isthmus.sdk.secret import Secret
from isthmus.sdk.simulator import Simulator, started
from isthmus.sdk.testing.context import FakeContext

T = TypeVar("T")

__all__ = ["configured", "near", "open_configured", "open_simulated", "said_by_peer", "settings_of"]


def configured(config: Path | None, instance: str) -> Bound:
    """The configuration of an instance, its settings understood and its plugin loaded.

    Raises:
        ConfigError: the configuration has problems.
        Leave: there is no such instance (exit 1).
    """
    bound = prepare(config_directory(config))
    if instance not in bound.config.connectors:
        hint = near(instance, bound.config.connectors)
        raise Leave(PROBLEMS, f"no connector {instance!r} is configured; {hint}")
    return bound


def near(name: str, known: Iterable[str]) -> str:
    """The name that was probably meant, else all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names) or 'none'}"


@asynccontextmanager
async def open_configured(bound: Bound, instance: str) -> AsyncIterator[Opened]:
    """A configured connector with its real settings; the crosswalk is empty, nothing is recorded."""
    given = bound.config.connectors[instance]
    context = FakeContext(instance, entity=given.entity)
    connector = bound.plugins.connectors[given.plugin]()
    async with connector.open(bound.settings[instance], context) as opened:
        yield opened


@asynccontextmanager
async def open_simulated(connector: type[Connector], simulator: type[Simulator]) -> AsyncIterator[Opened]:
    """A connector open against its own simulator, so that it can be asked what it offers."""
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(started(simulator()))
        settings = settings_of(connector, peer.credentials(), Path.cwd())
        yield await stack.enter_async_context(connector().open(settings, FakeContext("info")))


def settings_of(connector: type[Connector], values: dict[str, object], directory: Path) -> msgspec.Struct:
    """A plugin's Settings of plain values, secrets as plain text.

    Raises:
        Leave: with every problem (exit 78).
    """
    findings = Findings(Places(directory))
    path: KeyPath = ("settings",)
    converter = Converter(findings, directory, lambda value: Secret(str(value)))
    settings = converter.struct(connector.Settings, values, path)
    if isinstance(settings, Wrong):
        raise Leave(
            CONFIG, "\n".join(f"{each.message}; {each.hint}".rstrip("; ") for each in findings.sorted())
        )
    return settings


async def said_by_peer(question: Callable[[], Awaitable[T]]) -> T:
    """Ask, and turn what a connector raises into how a command ends.

    Raises:
        Leave: the peer is down or asks for less (exit 75), or will never answer like this (1).
    """
    try:
        return await question()
    except Exception as error:
        for leaf in leaves(error):
            match leaf:
                case Retryable() | Throttled():
                    raise Leave(BUSY, f"the peer does not answer: {leaf}") from error
                case ConnectorError():
                    raise Leave(PROBLEMS, str(leaf)) from error
        raise
