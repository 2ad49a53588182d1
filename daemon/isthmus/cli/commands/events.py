"""`isthmus event`."""

from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import App, Parameter

from isthmus.cli.commands.asking import ask, offline_ask
from isthmus.cli.commands.options import ConfigDir, DryRun, Limit, Offline, Output, Reason
from isthmus.cli.exits import PROBLEMS, USAGE, Leave
from isthmus.cli.output import say, show, show_one
from isthmus.cli.times import instant

__all__ = ["event"]

Since = Annotated[
    str | None, Parameter(help="Only what was recorded since: 2026-11-01T08:00:00Z, 2026-11-01, 3h, 2d.")
]

event = App(name="event", help="What happened: list, show, trace, replay.")


@event.command(name="list")
def event_list(
    *,
    kind: Annotated[str | None, Parameter(help="Only this kind: time.approved.")] = None,
    key: Annotated[str | None, Parameter(help="Only of this key or its thread.")] = None,
    after: Annotated[int, Parameter(help="Only after this sequence number.")] = 0,
    since: Since = None,
    limit: Limit = 50,
    offline: Offline = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> None:
    """List events, oldest first.

    Example: isthmus event list --kind charge.determined --limit 20
    """
    at = instant("--since", since, datetime.now(UTC))
    if offline:
        rows: Any = offline_ask(
            config, lambda desk: desk.events(kind=kind, key=key, after=after, since=at, limit=limit)
        )
    else:
        start = None if at is None else at.isoformat()
        rows = ask("GET", "/v1/events", config, kind=kind, key=key, after=after, since=start, limit=limit)
    show(rows, ["seq", "recorded_at", "type", "subject", "entity", "id"], output)


@event.command(name="show")
def event_show(
    id: str, *, offline: Offline = False, config: ConfigDir = None, output: Output = "table"
) -> None:
    """Show one event by id or sequence number: what it says, and where it has arrived.

    Example: isthmus event show 1204
    """
    page = (
        offline_ask(config, lambda desk: desk.event(id))
        if offline
        else ask("GET", f"/v1/events/{id}", config)
    )
    show_one(page, output)


@event.command(name="trace")
def event_trace(
    key: str,
    *,
    all: Annotated[
        bool, Parameter(negative=(), help="Every single fact; else alike ones are folded.")
    ] = False,
    offline: Offline = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> None:
    """Tell the story of a business key, found by any system's id, in time order.

    Example: isthmus event trace crm:0065g00000AbCdE
    """
    from isthmus.ops.timeline import COLUMNS, timeline

    steps = (
        offline_ask(config, lambda desk: desk.trace(key))
        if offline
        else ask("GET", f"/v1/trace/{key}", config)
    )
    if output == "table":
        rows = timeline(steps, fold=not all)
        show(rows, COLUMNS, output, title=f"trace of {key}, times in UTC")
    else:
        show(steps, [], output)


@event.command(name="replay")
def event_replay(
    *,
    lane: Annotated[str, Parameter(help="The lane the events are owed to again.")],
    kind: Annotated[str | None, Parameter(help="Only this kind.")] = None,
    key: Annotated[str | None, Parameter(help="Only of this key or its thread.")] = None,
    after: Annotated[int, Parameter(help="Only after this sequence number.")] = 0,
    until: Annotated[int | None, Parameter(help="Only up to this sequence number.")] = None,
    since: Since = None,
    before: Annotated[str | None, Parameter(help="Only what was recorded before: as for --since.")] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Owe events to a lane again, under the same idempotency keys; older over newer is refused.

    Example: isthmus event replay --lane planner --kind project.created --reason "planner was reset" --dry-run
    """
    if not reason and not dry_run:
        raise Leave(USAGE, "say why with --reason; it lands in the audit trail")
    now = datetime.now(UTC)
    first, end = instant("--since", since, now), instant("--before", before, now)
    order = {
        "lane": lane,
        "kind": kind,
        "key": key,
        "after": after,
        "until": until,
        "since": None if first is None else first.isoformat(),
        "before": None if end is None else end.isoformat(),
        "why": reason,
        "dry_run": dry_run,
    }
    result = ask("POST", "/v1/events/replay", config, order=order)
    if output == "table":
        done = "would be scheduled" if dry_run else "scheduled"
        number = result["matched"] - len(result["refused"]) if dry_run else result["scheduled"]
        print(f"{result['matched']} events match, {number} {done}, {len(result['refused'])} refused")
        for line in result["refused"][:20]:
            say(f"refused: {line}")
    else:
        show_one(result, output)
    return PROBLEMS if dry_run and result["matched"] > len(result["refused"]) else 0
