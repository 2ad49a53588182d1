"""`isthmus exception`."""

import json
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from isthmus.cli.commands.asking import ask, offline_ask
from isthmus.cli.commands.options import ConfigDir, DryRun, Limit, Offline, Output, Reason
from isthmus.cli.exits import PROBLEMS, USAGE, Leave
from isthmus.cli.output import Format, show, show_one

__all__ = ["exception"]

exception = App(
    name="exception",
    help="What waits for a person: list, show, retry, edit, skip, resolve, approve, assign, note.",
)

Ids = Annotated[list[int] | None, Parameter(help="Exceptions; see: isthmus exception list.")]
Every = Annotated[bool, Parameter(name="--all", negative=(), help="All open ones that fit the filter.")]
Where = Annotated[str | None, Parameter(help="Only of this lane or source.")]
Class = Annotated[str | None, Parameter(help="Only of this class: period, missing ...")]
Subject = Annotated[str | None, Parameter(help="Only of this business key.")]


@exception.command(name="list")
def exception_list(
    *,
    state: Annotated[
        Literal["open", "retrying", "resolved", "skipped", "any"], Parameter(help="Only in this state.")
    ] = "open",
    where: Where = None,
    error_class: Class = None,
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
            lambda desk: desk.work.list(state=wanted, where=where, error_class=error_class, limit=limit),
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
    columns = ["id", "opened_at", "owner", "where", "error_class", "subject", "stake", "reason", "state"]
    show(rows, columns, output)


@exception.command(name="show")
def exception_show(
    id: int, *, offline: Offline = False, config: ConfigDir = None, output: Output = "table"
) -> None:
    """Show one exception: the fact, the peer's words, what is at stake, notes, and what to try first.

    Example: isthmus exception show 17
    """
    if offline:
        page: Any = offline_ask(config, lambda desk: desk.work.show(id))
    else:
        page = ask("GET", f"/v1/exceptions/{id}", config)
    show_one(page, output)


@exception.command(name="retry")
def exception_retry(
    ids: Ids = None,
    /,
    *,
    every: Every = False,
    where: Where = None,
    error_class: Class = None,
    subject: Subject = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Send dead or doubtful deliveries again, under the keys they always had.

    Example: isthmus exception retry 17 18 --reason "period reopened"
    """
    order = _order(ids, every, where, error_class, subject, reason, dry_run)
    return _told(ask("POST", "/v1/exceptions/retry", config, order=order), "sent again", output)


@exception.command(name="skip")
def exception_skip(
    ids: Ids = None,
    /,
    *,
    every: Every = False,
    where: Where = None,
    error_class: Class = None,
    subject: Subject = None,
    not_there: Annotated[
        bool, Parameter(negative=(), help="Somebody looked: what is in doubt did not arrive.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Give up on exceptions: nothing is sent and nothing will be; the fact stays in the log.

    Above the amount of control.second_person_above somebody else must approve it.

    Example: isthmus exception skip 17 --reason "billed by hand, invoice 4711"
    """
    order = _order(ids, every, where, error_class, subject, reason, dry_run)
    done = ask("POST", "/v1/exceptions/skip", config, order={**order, "not_there": not_there})
    return _told(done, "skipped", output)


@exception.command(name="resolve")
def exception_resolve(
    id: int,
    *,
    receipt: Annotated[str, Parameter(help="The id of the record in the other system.")],
    reason: Reason = "",
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Settle a delivery with the record that somebody found, or made by hand, in the other system.

    Example: isthmus exception resolve 17 --receipt timeBill/901 --reason "found by its memo"
    """
    _need(reason)
    order = {"id": id, "receipt": receipt, "why": reason}
    return _told(ask("POST", "/v1/exceptions/resolve", config, order=order), "resolved", output)


@exception.command(name="edit")
def exception_edit(
    id: int,
    *,
    set: Annotated[
        list[str], Parameter(name="--set", negative=(), help="name=value; a value is JSON, or else a text.")
    ],
    reason: Reason = "",
    dry_run: DryRun = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Change fields of what is sent, and send it again; the fact in the log stays as it was told.

    Money and what names the fact cannot be edited: they are corrected where they come from.

    Example: isthmus exception edit 17 --set name="Harbour Ltd" --reason "the ERP takes 30 characters"
    """
    if not dry_run:
        _need(reason)
    changes = dict(_change(text) for text in set)
    order = {"id": id, "changes": changes, "why": reason, "dry_run": dry_run}
    result = ask("POST", "/v1/exceptions/edit", config, order=order)
    if output != "table":
        show_one(result, output)
        return PROBLEMS if dry_run else 0
    rows = [{"field": name, "was": was, "becomes": new} for name, (was, new) in result["diff"].items()]
    show(rows, ["field", "was", "becomes"], output)
    return _told(result["done"], "sent again", output)


def _change(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Leave(USAGE, f"--set {text!r} is no change; write name=value")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@exception.command(name="approve")
def exception_approve(
    id: int, *, reason: Reason = "", config: ConfigDir = None, output: Output = "table"
) -> int:
    """Carry out what another person proposed; nobody approves what they proposed themselves.

    Example: isthmus exception approve 17 --reason "seen the invoice"
    """
    _need(reason)
    done = ask("POST", "/v1/exceptions/approve", config, order={"id": id, "why": reason})
    return _told(done, "carried out", output)


@exception.command(name="assign")
def exception_assign(
    to: Annotated[str, Parameter(help="Whose work it is.")],
    ids: Ids = None,
    /,
    *,
    every: Every = False,
    where: Where = None,
    error_class: Class = None,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Say whose work exceptions are.

    Example: isthmus exception assign dora 17 18
    """
    order = _order(ids, every, where, error_class, None, "assigned", dry_run=False)
    done = ask("POST", "/v1/exceptions/assign", config, order={**order, "to": to})
    return _told(done, f"assigned to {to}", output)


@exception.command(name="note")
def exception_note(id: int, text: str, *, config: ConfigDir = None, output: Output = "table") -> int:
    """Keep what you found out, for whoever looks next.

    Example: isthmus exception note 17 "customer changed its tax id in May"
    """
    done = ask("POST", "/v1/exceptions/note", config, order={"id": id, "text": text})
    return _told(done, "noted", output)


def _order(
    ids: list[int] | None,
    every: bool,
    where: str | None,
    error_class: str | None,
    subject: str | None,
    reason: str,
    dry_run: bool,
) -> dict[str, Any]:
    if bool(ids) == every:
        raise Leave(USAGE, "name exceptions, or --all for all that fit --where, --error-class, --subject")
    if not dry_run:
        _need(reason)
    return {
        "ids": ids or [],
        "every": every,
        "where": where,
        "error_class": error_class,
        "subject": subject,
        "why": reason,
        "dry_run": dry_run,
    }


def _need(reason: str) -> None:
    if not reason:
        raise Leave(USAGE, "say why with --reason; it lands in the audit trail")


def _told(result: Any, done: str, output: Format) -> int:
    if output != "table":
        show_one(result, output)
    else:
        stakes = ", ".join(f"{amount} {currency}" for currency, amount in result["stakes"].items())
        words = f"{result['matched']} exceptions match" + (f", {stakes}" if stakes else "")
        words += f", {result['done']} {done}"
        waits = result["proposed"]
        print(words + (f", {waits} wait for a second person: isthmus exception approve" if waits else ""))
    return PROBLEMS if result["dry_run"] and result["matched"] else 0
