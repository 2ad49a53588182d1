"""`isthmus lane` and `isthmus shadow`."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import App, Parameter

from isthmus.cli.commands.asking import ask
from isthmus.cli.commands.options import ConfigDir, DryRun, Output, Reason
from isthmus.cli.exits import PROBLEMS, USAGE, Leave
from isthmus.cli.output import Format, say, show, show_one

__all__ = ["lane", "shadow"]

lane = App(name="lane", help="Lanes: list, show, pause, resume, go live after a shadow.")
shadow = App(name="shadow", help="What lanes in shadow decided, beside what is in the other system.")

PATIENCE_S = 900.0
CLEAN = ("agree", "cancelled")
"""Verdicts nobody need look at."""
COLUMNS = [
    "lane",
    "connector",
    "stage",
    "state",
    "mode",
    "owed",
    "retrying",
    "blocked",
    "in_doubt",
    "dead",
    "shadowed",
]


@lane.command(name="list")
def lane_list(*, config: ConfigDir = None, output: Output = "table") -> None:
    """List the delivery lanes that are not off.

    Example: isthmus lane list
    """
    show(ask("GET", "/v1/status", config)["lanes"], COLUMNS, output)


@lane.command(name="show")
def lane_show(name: str, *, config: ConfigDir = None, output: Output = "table") -> None:
    """Show one lane, and why it stands still if it does.

    Example: isthmus lane show erp
    """
    found = [each for each in ask("GET", "/v1/status", config)["lanes"] if each["lane"] == name]
    if not found:
        raise Leave(USAGE, f"no delivery lane {name!r} that is not off; 'isthmus lane list' shows the lanes")
    show_one(found[0], output)


@lane.command(name="pause")
def lane_pause(name: str, *, reason: Reason = "", config: ConfigDir = None) -> None:
    """Begin no more deliveries of one lane, over restarts too; what it owes stays owed, calls in hand end.

    Example: isthmus lane pause erp --reason "the ledger is being moved"
    """
    _order("pause", name, reason, config)
    say(f"{name} is paused; 'isthmus lane resume {name}' lets it go on")


@lane.command(name="resume")
def lane_resume(name: str, *, reason: Reason = "", config: ConfigDir = None) -> None:
    """Let a lane that was paused go on from where it stood.

    Example: isthmus lane resume erp --reason "the ledger was moved"
    """
    _order("resume", name, reason, config)
    say(f"{name} goes on")


def _order(act: str, name: str, reason: str, config: Path | None) -> None:
    if not reason:
        raise Leave(USAGE, "say why with --reason; it lands in the audit trail")
    ask("POST", f"/v1/lanes/{act}", config, order={"lane": name, "why": reason})


@lane.command(name="go-live")
def lane_go_live(
    name: str,
    *,
    send_missing: Annotated[
        bool,
        Parameter(negative=(), help="Send what is missing over there; else each becomes an exception."),
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Settle what a lane decided in shadow, and let it send.

    What agrees is adopted under the record's id and never sent. What differs, or could be one of several
    records, becomes an exception. The stage is set in the configuration first; see systemd/README.md.

    Example: isthmus lane go-live erp --reason "the old integration was stopped on Friday"
    """
    if not reason and not dry_run:
        raise Leave(USAGE, "say why with --reason; it lands in the audit trail")
    order = {"lane": name, "send_missing": send_missing, "why": reason, "dry_run": dry_run}
    done = ask("POST", "/v1/lanes/go-live", config, order=order, patience_s=PATIENCE_S)
    if output != "table":
        show_one(done, output)
    else:
        _table(done["report"])
        verb = "would be" if dry_run else "were"
        print(
            f"{done['adopted']} {verb} adopted, {done['owed']} sent, {done['exceptions']} left to a person"
            + ("" if dry_run or not done["exceptions"] else f"; see: isthmus exception list --where {name}")
        )
    changes = done["adopted"] + done["owed"] + done["exceptions"]
    return PROBLEMS if dry_run and changes else 0


@shadow.command(name="report")
def shadow_report(
    name: Annotated[str | None, Parameter(name="lane", help="One lane; else every lane in shadow.")] = None,
    *,
    every: Annotated[
        bool, Parameter(name="--all", negative=(), help="In the table also what agrees; JSON has all.")
    ] = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Compare what a lane in shadow decided with the other system's records; exit 1 if anything differs.

    Example: isthmus shadow report erp
    """
    names = [name] if name is not None else _in_shadow(config)
    reports = [
        ask("GET", f"/v1/shadow/{quote(each, safe='')}", config, patience_s=PATIENCE_S) for each in names
    ]
    if output == "json":
        show(reports, [], "json")
    elif output == "jsonl":
        show([{"lane": each["lane"], **line} for each in reports for line in each["lines"]], [], "jsonl")
    else:
        for each in reports:
            _table(each, every=every)
    wrong = any(
        number for each in reports for verdict, number in each["counts"].items() if verdict not in CLEAN
    )
    return PROBLEMS if wrong else 0


def _in_shadow(config: Path | None) -> list[str]:
    lanes = ask("GET", "/v1/status", config)["lanes"]
    found = [each["lane"] for each in lanes if each["stage"] == "shadow" or each["shadowed"]]
    if not found:
        say("no lane is in shadow")
    return found


def _table(report: dict[str, Any], *, every: bool = False) -> None:
    rows = [_row(line) for line in report["lines"] if every or line["verdict"] not in CLEAN]
    output: Format = "table"
    if rows:
        title = f"lane {report['lane']}, {report['stage']}"
        show(rows, ["verdict", "about", "amount", "records", "what"], output, title=title)
        print()
    sums = [
        {"verdict": verdict, "count": number, "amounts": report["amounts"][verdict]}
        for verdict, number in report["counts"].items()
        if number
    ]
    if sums:
        show(sums, ["verdict", "count", "amounts"], output)
    else:
        print(f"lane {report['lane']} has decided nothing in shadow that is not settled")


def _row(line: dict[str, Any]) -> dict[str, Any]:
    """A line as people read it."""
    fields = [f"{each['field']} {each['theirs']}, ours {each['ours']}" for each in line["differences"]]
    amount = "" if line["amount"] is None else f"{line['amount']} {line['currency'] or ''}".strip()
    return {**line, "amount": amount, "what": "; ".join(fields) or line["detail"]}
