"""`isthmus connector run`: one connector alone, against a fixture; the inner loop of who writes it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import trio

from isthmus.cli.connecting import near, said_by_peer, settings_of
from isthmus.cli.exits import DATA, PROBLEMS, USAGE, Leave, leaves
from isthmus.cli.output import Format, say, show
from isthmus.events.base import BusinessEvent
from isthmus.events.codec import EventRefused, decode, encode
from isthmus.runtime.simulators import installed_connectors, simulator_of
from isthmus.sdk.connector import Connector, Delivery, Opened
from isthmus.sdk.errors import ConnectorError, Rejected
from isthmus.sdk.testing.context import FakeContext
from isthmus.sdk.testing.fixture import Fixture, FixtureWrong, opened

__all__ = ["play_fixture"]

PAGES_MAX = 1000


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of what came of it."""

    what: Literal["event", "refused", "receipt", "error"]
    where: str
    """The stream, or ``deliver``."""
    kind: str = ""
    key: str = ""
    detail: str = ""
    event: dict[str, Any] | None = None
    """The canonical event that was read or delivered."""


def _about(
    event: BusinessEvent, what: Literal["event", "receipt", "error"], where: str, detail: str = ""
) -> Told:
    plain = msgspec.json.decode(encode(event))
    return Told(what=what, where=where, kind=event.kind, key=event.key, detail=detail, event=plain)


def play_fixture(name: str, file: Path, output: Format) -> int:
    """Pull every stream of the fixture and deliver its events; 1 when anything was refused or failed.

    Raises:
        Leave: no such plugin or file (exit 2), or the fixture is not one (65).
    """
    connectors = installed_connectors()
    connector = connectors.get(name)
    if connector is None:
        raise Leave(USAGE, f"no plugin {name!r} is installed; {near(name, connectors)}")
    fixture = _read(file)
    told: list[Told] = []

    async def main() -> None:
        await said_by_peer(lambda: _play(connector, fixture, file, told))

    columns = ["what", "where", "kind", "key", "detail"]
    try:
        trio.run(main)
    except BaseException:
        if told:
            show(told, columns, output)
        raise
    show(told, columns, output)
    return PROBLEMS if any(line.what in ("refused", "error") for line in told) else 0


def _read(file: Path) -> Fixture:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Fixture)
    except OSError as error:
        raise Leave(USAGE, f"{file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise Leave(DATA, f"{file}: {error}; see: isthmus.sdk.testing.fixture") from error


async def _play(connector: type[Connector], fixture: Fixture, file: Path, told: list[Told]) -> None:
    directory = file.parent

    def settings(values: dict[str, Any]) -> msgspec.Struct:
        return settings_of(connector, values, directory)

    try:
        async with opened(connector(), fixture, settings, simulator_of(connector), directory) as (parts, ctx):
            # One by one, so that what was told before a failure is printed too.
            async for line in _pull(parts, ctx, fixture):
                told.append(line)  # noqa: PERF401
            async for line in _deliver(parts, ctx, fixture, file):
                told.append(line)  # noqa: PERF401
    except Exception as error:
        for leaf in leaves(error):
            if isinstance(leaf, FixtureWrong):
                raise Leave(DATA, f"{file}: {leaf}") from error
        raise


async def _pull(parts: Opened, ctx: FakeContext, fixture: Fixture) -> AsyncIterator[Told]:
    if parts.source is None:
        return
    unknown = sorted(set(fixture.pull or ()) - set(parts.source.streams))
    if unknown:
        raise Leave(DATA, f"no stream {unknown[0]!r}; there are: {', '.join(parts.source.streams)}")
    for stream in parts.source.streams if fixture.pull is None else fixture.pull:
        cursor: bytes | None = None
        for _ in range(PAGES_MAX):
            page = await parts.source.pull(stream, cursor)
            ctx.keep(page.links)
            for event in page.events:
                yield _about(event, "event", stream)
            for refused in page.refused:
                yield Told(what="refused", where=stream, key=refused.place, detail=refused.reason)
            cursor = page.next
            if not page.more:
                break
        else:
            say(f"{stream}: stopped after {PAGES_MAX} pages")


async def _deliver(parts: Opened, ctx: FakeContext, fixture: Fixture, file: Path) -> AsyncIterator[Told]:
    for number, raw in enumerate(fixture.deliver):
        try:
            event = decode(bytes(raw))
        except EventRefused as error:
            raise Leave(DATA, f"{file}: deliver[{number}]: {error}") from error
        if parts.sink is None or event.kind not in parts.sink.accepts:
            yield _about(event, "error", "deliver", "this connector does not take this kind")
            continue
        try:
            receipt = await parts.sink.deliver(Delivery(key=event.id, lane="trial", event=event))
        except ConnectorError as error:
            reason = f" ({error.reason})" if isinstance(error, Rejected) else ""
            yield _about(event, "error", "deliver", f"{type(error).__name__}{reason}: {error}")
            continue
        ctx.keep(receipt.links)
        yield _about(event, "receipt", "deliver", f"{receipt.remote_id} {receipt.detail}".strip())
