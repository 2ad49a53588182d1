"""`isthmus demo`: plays the scenario and shows what came of it."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from isthmus.demo.books import (
    Comparison,
    Ledgers,
    compare,
    legacy_cents,
    netsuite_cents,
    project_key,
    read_ledgers,
)
from isthmus.demo.contracts import CONTRACTS
from isthmus.demo.process import DaemonProcess
from isthmus.demo.scenario import STEPS, Scenario
from isthmus.demo.settings import PAIRS, write_configuration
from isthmus.demo.world import opened
from isthmus.ops.timeline import timeline

__all__ = ["play"]

FIRST_DAY = "2026-09-01"
"""Nothing in the scenario is older."""


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One step as it went."""

    step: str
    ok: bool
    duration_s: float


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """One pair as the daemon reconciled it."""

    pair: str
    compared: int
    matched: int
    drift: int
    timing: int
    error: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The object that ``--json`` prints."""

    steps: list[Played]
    lost: int
    doubled: int
    events: int
    charges_total: dict[str, str]
    """Net of what stands in the ERPs, by currency."""
    duration_s: float
    faults: list[str]
    restarts: int
    ledgers: list[Comparison]
    pairs: list[Reconciled]
    """What the daemon's own reconciliation found in the end."""


async def play(json: bool, port: int, keep: Path | None) -> bool:
    """Play the scenario; True only when every ledger agrees.

    Args:
        json: Print one JSON object on stdout and nothing else.
        port: Of the daemon's ops listener; 0 takes a free one.
        keep: Where configuration, store and log are left; a temporary directory when None.
    """
    began = trio.current_time()
    console = Console(stderr=True)
    async with _directory(keep) as directory, opened() as world:
        write_configuration(directory, world, port=port)
        daemon = DaemonProcess(directory)
        scenario = Scenario(world, daemon)
        played: list[Played] = []
        story: list[dict[str, Any]] = []
        events = 0
        pairs: list[Reconciled] = []
        try:
            await daemon.start()
            with _progress(console) as bar:
                task = bar.add_task("starting", total=len(STEPS))
                for step in STEPS:
                    bar.update(task, description=step.name)
                    at = trio.current_time()
                    error: Exception | None = None
                    try:
                        await step.act(scenario)
                    except (RuntimeError, AssertionError) as failed:
                        error = failed
                    took = round(trio.current_time() - at, 2)
                    played.append(Played(step=step.name, ok=error is None, duration_s=took))
                    bar.advance(task)
                    if error is not None:
                        console.print(f"[red]{step.name}: {error}[/red]", markup=True, highlight=False)
                        break
            if daemon.running:
                status = await daemon.ask("/v1/status")
                events = status["events"]
                story = await daemon.ask(f"/v1/trace/{scenario.project(CONTRACTS[0])}")
                pairs = [await _reconciled(daemon, pair) for pair in PAIRS]
        finally:
            await daemon.stop()
        ledgers = await read_ledgers(world)
        rows = compare(ledgers, amended=scenario.amended)
        outcome = Outcome(
            steps=played,
            lost=sum(row.lost for row in rows),
            doubled=sum(row.doubled for row in rows),
            events=events,
            charges_total=_charged(ledgers),
            duration_s=round(trio.current_time() - began, 2),
            faults=scenario.faults,
            restarts=daemon.starts - 1,
            ledgers=rows,
            pairs=pairs,
        )
    if json:
        print(msgspec.json.format(msgspec.json.encode(outcome), indent=2).decode())  # noqa: T201
    else:
        _show(outcome, story)
    whole = len(played) == len(STEPS) and all(step.ok for step in played)
    agree = all(pair.drift == 0 and not pair.error for pair in pairs)
    return whole and agree and outcome.lost == 0 and outcome.doubled == 0


async def _reconciled(daemon: DaemonProcess, pair: str) -> Reconciled:
    """Let the daemon compare a pair, from before the first deal on."""
    page = await daemon.tell("/v1/reconcile/run", {"pair": pair, "since": FIRST_DAY})
    return msgspec.convert(page, Reconciled)


@asynccontextmanager
async def _directory(keep: Path | None) -> AsyncIterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="isthmus-demo-") as name:
            yield Path(name)
    else:
        keep.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  once, before anything runs
        yield keep


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:34}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _charged(ledgers: Ledgers) -> dict[str, str]:
    totals: dict[str, int] = {}
    for contract in CONTRACTS:
        key = project_key(ledgers, contract)
        found = netsuite_cents(ledgers, key) if contract.entity == "acme-us" else legacy_cents(ledgers, key)
        totals[contract.currency] = totals.get(contract.currency, 0) + found
    return {currency: f"{Decimal(total) / 100:.2f}" for currency, total in totals.items()}


def _show(outcome: Outcome, story: list[dict[str, Any]]) -> None:
    """The timeline of one deal and the closing table."""
    console = Console(width=None if Console().is_terminal else 160)
    table = Table(title=f"{CONTRACTS[0].deal}: deal to cash", title_justify="left", box=None, pad_edge=False)
    for name in ("time", "source", "what", "says", "arrived"):
        table.add_column(name, overflow="fold", no_wrap=name in ("time", "what"))
    for row in timeline(story):
        table.add_row(*[row[name] for name in ("time", "source", "what", "says", "arrived")])
    console.print(table)
    console.print()
    closing = Table(title="Every system's own ledger", title_justify="left", box=None, pad_edge=False)
    for name in ("what", "between", "expected", "found", ""):
        closing.add_column(name, justify="right" if name in ("expected", "found") else "left")
    for comparison in outcome.ledgers:
        mark = "[green]agrees[/green]" if comparison.agrees else "[red]DIFFERS[/red]"
        closing.add_row(comparison.what, comparison.between, comparison.expected, comparison.found, mark)
    for pair in outcome.pairs:
        agrees = pair.drift == 0 and not pair.error
        mark = "[green]agrees[/green]" if agrees else f"[red]{pair.error or f'{pair.drift} DIFFER'}[/red]"
        kind, left, right = (PAIRS[pair.pair][name] for name in ("kind", "left", "right"))
        closing.add_row(
            f"reconciled: {kind}", f"{left} → {right}", str(pair.compared), str(pair.matched), mark
        )
    console.print(closing)
    console.print(
        f"\n{outcome.events} events, {len(outcome.faults)} kinds of faults ({', '.join(outcome.faults)}), "
        f"{outcome.restarts} restart, {outcome.duration_s:g} s: "
        f"[bold]{outcome.lost} lost, {outcome.doubled} doubled[/bold]",
        highlight=False,
    )
