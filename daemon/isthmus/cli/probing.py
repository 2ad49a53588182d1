"""`isthmus connector check` and `discover`: what a configured peer says of itself. Nothing is changed."""

from collections import Counter
from pathlib import Path

import trio

from isthmus.cli.connecting import configured, open_configured, said_by_peer
from isthmus.cli.exits import PROBLEMS
from isthmus.cli.output import Format, say, show
from isthmus.sdk.connector import Check, Found, Opened, Source

__all__ = ["check_connector", "discover_connector"]


def check_connector(config: Path | None, instance: str, output: Format) -> int:
    """Run the probe of an instance; 1 when it found anything.

    Raises:
        Leave: no such instance, or the peer cannot be asked (exit 1), or it is down (75).
    """
    bound = configured(config, instance)

    async def ask() -> list[Check]:
        async with open_configured(bound, instance) as opened:
            if opened.probe is None:
                return [Check(name="open", ok=True, detail="opened; this connector brings no checks")]
            return await opened.probe.checks()

    async def main() -> list[Check]:
        return await said_by_peer(ask)

    checks = trio.run(main)
    show(checks, ["name", "ok", "detail", "remedy"], output)
    return 0 if all(check.ok for check in checks) else PROBLEMS


def discover_connector(config: Path | None, instance: str, output: Format) -> None:
    """Print what is there in the peer of an instance.

    Raises:
        Leave: as for `check_connector`.
    """
    bound = configured(config, instance)

    async def ask() -> list[Found]:
        async with open_configured(bound, instance) as opened:
            mine = await found_by_reading(opened)
            return mine + (await opened.discover.found() if opened.discover is not None else [])

    async def main() -> list[Found]:
        return await said_by_peer(ask)

    found = trio.run(main)
    if output == "table" and not any(each.entity != "stream" for each in found):
        say("this connector names no entities of its own; these are its streams")
    show(found, ["entity", "id", "name", "setting"], output)


async def found_by_reading(opened: Opened) -> list[Found]:
    """What any source can tell: each stream, and what its first page holds."""
    if opened.source is None:
        return []
    return [await _stream(opened.source, stream) for stream in opened.source.streams]


async def _stream(source: Source, stream: str) -> Found:
    page = await source.pull(stream, None)
    counts = Counter(event.kind for event in page.events)
    words = [f"{count} {kind}" for kind, count in sorted(counts.items())]
    if page.refused:
        first = page.refused[0]
        words.append(f"{len(page.refused)} refused, such as {first.place}: {first.reason}")
    told = ", ".join(words) or "nothing yet"
    more = ", and more" if page.more else ""
    return Found(entity="stream", id=stream, name=told + more, setting="read")
