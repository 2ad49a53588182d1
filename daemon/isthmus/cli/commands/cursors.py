"""`isthmus cursor`."""

from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import App, Parameter

from isthmus.cli.commands.asking import ask, offline_ask
from isthmus.cli.commands.options import ConfigDir, DryRun, Offline, Output, Reason
from isthmus.cli.exits import PROBLEMS, USAGE, Leave
from isthmus.cli.output import show, show_one

__all__ = ["cursor"]

cursor = App(name="cursor", help="How far each source is read: show, rewind.")


@cursor.command(name="show")
def cursor_show(*, offline: Offline = False, config: ConfigDir = None, output: Output = "table") -> None:
    """Show how far each stream is read, and how far back it can be sent.

    Example: isthmus cursor show
    """
    rows: Any = (
        offline_ask(config, lambda desk: desk.cursors()) if offline else ask("GET", "/v1/cursors", config)
    )
    show(rows, ["connector", "stream", "moved_at", "back_to", "position"], output)


@cursor.command(name="rewind")
def cursor_rewind(
    connector: str,
    stream: str,
    *,
    to: Annotated[
        str | None, Parameter(help="Read again what came since: 2026-11-01T08:00:00Z, 2026-11-01, 3h, 2d.")
    ] = None,
    to_beginning: Annotated[bool, Parameter(negative=(), help="Read everything again.")] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Read a stream again from an earlier place; facts that are known already are dropped by their ids.

    Example: isthmus cursor rewind psa time --to 2d --reason "an import was approved with old stamps"
    """
    from isthmus.cli.times import instant

    if (to is None) == (not to_beginning):
        raise Leave(USAGE, "say either --to TIME or --to-beginning")
    if not reason and not dry_run:
        raise Leave(USAGE, "say why with --reason; it lands in the audit trail")
    at = instant("--to", to, datetime.now(UTC))
    order = {
        "connector": connector,
        "stream": stream,
        "to": None if at is None else at.isoformat(),
        "why": reason,
        "dry_run": dry_run,
    }
    done = ask("POST", "/v1/cursors/rewind", config, order=order)
    if output != "table":
        show_one(done, output)
    else:
        verb = "would stand" if dry_run else "stands"
        place = "at the beginning" if done["stands_at"] is None else f"where it stood at {done['stands_at']}"
        print(f"{connector} {stream} {verb} {place}; it stood at {done['stood_at']}")
    return PROBLEMS if dry_run else 0
