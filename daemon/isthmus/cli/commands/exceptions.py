"""`isthmus exception`."""

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from isthmus.cli.commands.asking import ask, offline_ask
from isthmus.cli.commands.options import ConfigDir, DryRun, Limit, Offline, Output, Reason
from isthmus.cli.exits import PROBLEMS, USAGE, Leave
from isthmus.cli.output import show, show_one

__all__ = ["exception"]

exception = App(name="exception", help="What waits for a person: list, retry.")


@exception.command(name="list")
def exception_list(
    *,
    state: Annotated[
        Literal["open", "retrying", "resolved", "skipped", "any"], Parameter(help="Only in this state.")
    ] = "open",
    where: Annotated[str | None, Parameter(help="Only of this lane or source.")] = None,
    error_class: Annotated[str | None, Parameter(help="Only of this class: period, missing ...")] = None,
    limit: Limit = 100,
    offline: Offline = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> None:
    """List what waits for a person, the longest open first.

    Example: isthmus exception list --error-class period
    """
    if offline:
        wanted = None if state == "any" else state
        rows: Any = offline_ask(
            config,
            lambda desk: desk.exceptions(state=wanted, where=where, error_class=error_class, limit=limit),
        )
    else:
        rows = ask(
            "GET",
            "/v1/exceptions",
            config,
            state=state,
            where=where,
            error_class=error_class,
            limit=limit,
        )
    show(rows, ["id", "opened_at", "where", "error_class", "subject", "reason", "state"], output)


@exception.command(name="retry")
def exception_retry(
    ids: Annotated[list[int] | None, Parameter(help="Exceptions; see: isthmus exception list.")] = None,
    /,
    *,
    every: Annotated[bool, Parameter(name="--all", negative=(), help="All open ones of deliveries.")] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Send dead or doubtful deliveries again, under the keys they always had.

    Example: isthmus exception retry 17 18 --reason "period reopened"
    """
    if not ids and not every:
        raise Leave(USAGE, "name exceptions, or --all")
    if not reason and not dry_run:
        raise Leave(USAGE, "say why with --reason; it lands in the audit trail")
    order = {"ids": ids or [], "every": every, "why": reason, "dry_run": dry_run}
    result = ask("POST", "/v1/exceptions/retry", config, order=order)
    if output == "table":
        print(f"{result['matched']} exceptions match, {result['done']} sent again")
    else:
        show_one(result, output)
    return PROBLEMS if dry_run and result["matched"] else 0
