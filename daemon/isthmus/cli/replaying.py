"""`isthmus audit replay`: what today's rules would say of the whole log, beside what was recorded."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from isthmus.app.wiring import process_lanes
from isthmus.cli.client import ask_store, connected
from isthmus.cli.exits import PROBLEMS, UNREACHABLE, USAGE, Leave
from isthmus.cli.output import Format, say, show
from isthmus.cli.places import config_directory
from isthmus.config import load
from isthmus.ops.desk import Desk, LogPage
from isthmus.process.registry import PROCESSES
from isthmus.process.replay import Difference, Entry, Replay, Verdict

__all__ = ["replay_log"]

PAGE = 1000
SHOWN_MAX = 200
"""Differences a table shows; JSON has them all."""

ReadPage = Callable[[int], Awaitable[LogPage]]


def replay_log(
    config: Path | None, *, process: str | None, until: int | None, offline: bool, output: Format
) -> int:
    """Replay, print what came of it; 1 when anything differs.

    Raises:
        Leave: no such process is configured, or nobody answers.
    """
    lanes = {
        lane: (PROCESSES[str(given.process)](), None if given.entities is None else frozenset(given.entities))
        for lane, given in process_lanes(load(config_directory(config))).items()
        if process in (None, given.process)
    }
    if not lanes:
        known = ", ".join(sorted(PROCESSES))
        raise Leave(USAGE, f"no lane runs the process {process!r}; processes are {known}")
    replay = Replay(lanes, until=until)

    async def offline_work() -> dict[str, int]:
        return await ask_store(config, lambda desk: _play(replay, _pages_of(desk)))

    async def online_work() -> dict[str, int]:
        async with connected(config) as client:

            async def read(after: int) -> LogPage:
                page = await client.get("/v1/log", after=after, limit=PAGE)
                return msgspec.convert(page, LogPage)

            return await _play(replay, read)

    positions = trio.run(offline_work) if offline else _online_first(online_work, offline_work)
    return _tell(replay.verdicts(positions), output)


def _online_first(
    online: Callable[[], Awaitable[dict[str, int]]], offline: Callable[[], Awaitable[dict[str, int]]]
) -> dict[str, int]:
    """Ask the daemon; the store itself where none runs."""
    try:
        return trio.run(online)
    except Leave as leave:
        if leave.code != UNREACHABLE:
            raise
    return trio.run(offline)


def _pages_of(desk: Desk) -> ReadPage:
    async def read(after: int) -> LogPage:
        return await desk.log_page(after=after, limit=PAGE)

    return read


async def _play(replay: Replay, read: ReadPage) -> dict[str, int]:
    """Both passes over the log as it stands now; how far each lane had read then."""
    first = await read(0)
    last = first.head
    with Progress(
        TextColumn("{task.description:24}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("reading statements", total=2 * last)
        for step, take in enumerate((replay.expect, replay.take)):
            bar.update(task, description=("reading statements", "deriving again")[step])
            async for entries in _walk(read, last):
                take(entries)
                bar.update(task, completed=step * last + entries[-1].seq)
                await trio.lowlevel.checkpoint()
    return first.positions


async def _walk(read: ReadPage, last: int) -> AsyncIterator[list[Entry]]:
    after = 0
    while after < last:
        page = await read(after)
        entries = [Entry(**msgspec.structs.asdict(row)) for row in page.rows if row.seq <= last]
        if not entries:
            return
        yield entries
        after = page.rows[-1].seq


def _tell(verdicts: list[Verdict], output: Format) -> int:
    differences = [each for verdict in verdicts for each in verdict.differences]
    if output != "table":
        show(verdicts, [], output)
    else:
        rows = [_summary(verdict) for verdict in verdicts]
        columns = ["process", "facts", "equal", "differs", "missing", "extra", "unread"]
        show(rows, columns, output, title="shadow replay: derived again, beside what was recorded")
        if differences:
            print()
            told = [_line(each) for each in differences[:SHOWN_MAX]]
            show(told, ["process", "what", "kind", "key", "recorded_and_now"], output)
            if len(differences) > SHOWN_MAX:
                say(f"{len(differences) - SHOWN_MAX} more; --output json has them all")
    return PROBLEMS if differences else 0


def _summary(verdict: Verdict) -> dict[str, Any]:
    counts = dict.fromkeys(("differs", "missing", "extra"), 0)
    for each in verdict.differences:
        counts[each.what] += 1
    return {
        "process": verdict.process,
        "facts": verdict.read,
        "equal": verdict.equal,
        **counts,
        "unread": len(verdict.unread),
    }


def _line(each: Difference) -> dict[str, Any]:
    changed = [f"{field} {before} → {now}" for field, (before, now) in each.changed.items()]
    return {
        "process": each.process,
        "what": each.what,
        "kind": each.kind,
        "key": each.key,
        "recorded_and_now": "; ".join(changed) or each.id,
    }
