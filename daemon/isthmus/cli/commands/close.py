"""`isthmus close`."""

from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from cyclopts import App, Parameter

from isthmus.cli.commands.asking import ask, ask_or_look
from isthmus.cli.commands.options import ConfigDir, Offline, Output, Reason
from isthmus.cli.exits import PROBLEMS, USAGE, Leave
from isthmus.cli.output import Format, show, show_one

__all__ = ["close"]

close = App(name="close", help="Whether a period can be closed: check, sign.")

PATIENCE_S = 900.0
Entity = Annotated[str | None, Parameter(help="Only this legal entity.")]


@close.command(name="check")
def close_check(
    period: Annotated[str, Parameter(help="A month: 2026-10.")],
    *,
    entity: Entity = None,
    offline: Offline = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Say whether a period can be closed: approved work that is not in the books, by cause; exit 1 if any.

    Example: isthmus close check 2026-10 --entity acme-us
    """
    path = f"/v1/close/{quote(period, safe='')}" + ("" if entity is None else f"?entity={quote(entity)}")
    report = ask_or_look(
        path,
        lambda desk: desk.close_report(period, entity),
        config,
        offline=offline,
        patience_s=PATIENCE_S,
    )
    return _told(msgspec.to_builtins(report), output)


@close.command(name="sign")
def close_sign(
    period: Annotated[str, Parameter(help="A month: 2026-10.")],
    *,
    entity: Entity = None,
    anyway: Annotated[
        bool, Parameter(negative=(), help="Sign though it is not ready; what stood in the way is kept.")
    ] = False,
    reason: Reason = "",
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Record in the audit trail who found a period ready, and what was seen.

    Example: isthmus close sign 2026-10 --entity acme-us --reason "month end"
    """
    if not reason:
        raise Leave(USAGE, "say why with --reason; it lands in the audit trail")
    order = {"period": period, "entity": entity, "why": reason, "anyway": anyway}
    report = ask("POST", "/v1/close/sign", config, order=order, patience_s=PATIENCE_S)
    _told(report, output)
    return 0


def _told(report: dict[str, Any], output: Format) -> int:
    if output != "table":
        show_one(report, output)
    else:
        if report["lines"]:
            show(report["lines"], ["what", "cause", "count", "hours", "amounts", "examples"], output)
            print()
        whose = "" if report["entity"] is None else f" of {report['entity']}"
        state = "go" if report["ready"] else "no-go"
        books = "closed" if report["closed"] else "open"
        print(f"{report['period']}{whose}: {state}; its period is {books} in the receivables")
    return 0 if report["ready"] else PROBLEMS
