"""`isthmus reconcile`."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from cyclopts import App, Parameter

from isthmus.cli.commands.asking import ask
from isthmus.cli.commands.options import ConfigDir, DryRun, Output, Reason, SheetOutput
from isthmus.cli.exits import PROBLEMS, USAGE, Leave
from isthmus.cli.output import Sheet, say, show, show_one

__all__ = ["reconcile"]

reconcile = App(
    name="reconcile",
    help="Whether two systems agree: compare, list, show, explain, repair.",
)
RUNS = (
    *("run", "pair", "since", "until", "ended_at", "compared", "matched", "timing", "explained"),
    *("drift", "open", "held", "error"),
)
DIFFERENCES = (
    *("id", "state", "kind", "side", "key", "left", "ours", "right", "amount", "currency", "hours"),
    *("suspected", "reason"),
)
PATIENCE_S = 3600.0
"""A comparison reads all that two systems hold."""


@reconcile.command(name="run")
def reconcile_run(
    pair: str,
    *,
    since: Annotated[date | None, Parameter(name="--from", help="The first day of the business.")] = None,
    until: Annotated[date | None, Parameter(name="--to", help="The last day.")] = None,
    config: ConfigDir = None,
    output: SheetOutput = "table",
) -> int:
    """Compare a pair now; exit 1 when the sides differ and nobody has explained it.

    Example: isthmus reconcile run psa-netsuite --from 2026-10-01 --to 2026-10-31
    """
    days = {"since": None if since is None else str(since), "until": None if until is None else str(until)}
    page = ask("POST", "/v1/reconcile/run", config, order={"pair": pair, **days}, patience_s=PATIENCE_S)
    return _told(page, output)


@reconcile.command(name="list")
def reconcile_list(*, config: ConfigDir = None, output: SheetOutput = "table") -> int:
    """List every pair with its newest comparison; exit 1 when one of them drifts or was not compared.

    Example: isthmus reconcile list
    """
    runs = ask("GET", "/v1/reconcile", config)
    show([{**run, "open": _money(run["amounts"])} for run in runs], RUNS, output)
    return PROBLEMS if any(run["drift"] or run["error"] for run in runs) else 0


@reconcile.command(name="show")
def reconcile_show(which: str, *, config: ConfigDir = None, output: SheetOutput = "table") -> int:
    """Show a comparison by its number, or the newest one of a pair, both sides beside each other.

    Example: isthmus reconcile show psa-netsuite --output csv
    """
    return _told(ask("GET", f"/v1/reconcile/{which}", config), output)


@reconcile.command(name="explain")
def reconcile_explain(
    id: int, *, reason: Reason = "", config: ConfigDir = None, output: Output = "table"
) -> None:
    """Say why a difference is no mistake; it stays explained until one of its figures changes.

    Example: isthmus reconcile explain 12 --reason "credited by hand, see memo 88"
    """
    line = ask("POST", "/v1/reconcile/explain", config, order={"id": id, "why": _need(reason)})
    if output == "table":
        print(f"{line['kind']} {line['key']} is explained: {line['reason']}")
    else:
        show_one(line, output)


@reconcile.command(name="repair")
def reconcile_repair(
    id: int,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Heal a difference by a fact or a delivery; --dry-run shows it first, with its payload.

    What stands in a ledger is never overwritten: where only a person can mend it, the answer says how.

    Example: isthmus reconcile repair 12 --dry-run
    """
    order = {"id": id, "why": reason if dry_run else _need(reason), "dry_run": dry_run}
    mended = ask("POST", "/v1/reconcile/repair", config, order=order)
    if output != "table":
        show_one(mended, output)
    else:
        print(f"{mended['act'].replace('_', ' ')}: {mended['words']}")
        if mended["event"] is not None:
            show_one(mended["event"], "json")
    return PROBLEMS if dry_run else 0


def _told(page: Any, output: Sheet) -> int:
    """Print a comparison; the exit code it deserves."""
    if output in ("json", "jsonl"):
        show_one(page, output)
    else:
        show([_flat(line) for line in page["differences"]], DIFFERENCES, output)
        say(
            f"run {page['run']} of {page['pair']}, {page['since']} to {page['until']}: "
            f"{page['compared']} compared, {page['matched']} match to the cent, {page['timing']} timing, "
            f"{page['explained']} explained, {page['drift']} drift, open {_money(page['amounts']) or '0'}, "
            f"{page['held']} held"
        )
    if page["error"]:
        say(f"nothing was compared: {page['error']}")
    return PROBLEMS if page["drift"] or page["error"] else 0


def _flat(line: dict[str, Any]) -> dict[str, Any]:
    """A difference in one row."""
    sides = {name: _figures(line[name]) for name in ("left", "ours", "right")}
    return {**line, **sides, "hours": line["quantity"], "suspected": f"{line['cause']}: {line['words']}"}


def _figures(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return ""
    parts: Iterable[str | None] = (
        None if figures["quantity"] is None else f"{Decimal(figures['quantity']):f} h",
        None if figures["amount"] is None else f"{figures['amount']} {figures['currency'] or ''}".strip(),
        figures["status"],
        figures["remote_id"],
    )
    return ", ".join(part for part in parts if part)


def _money(amounts: dict[str, str]) -> str:
    return ", ".join(f"{amount} {currency}" for currency, amount in amounts.items())


def _need(reason: str) -> str:
    if not reason:
        raise Leave(USAGE, "say why with --reason; it lands in the audit trail")
    return reason
