"""The command tree. Each command imports what it needs when it runs, so that ``--help`` is quick."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from isthmus.cli.exits import CONFIG, PROBLEMS, USAGE, Leave
from isthmus.cli.output import Format, say, show, show_one, unbilled_words

ConfigDir = Annotated[
    Path | None,
    Parameter(
        name=["--config", "-c"],
        help="Configuration directory; else $ISTHMUS_CONFIG, else /etc/isthmus.",
    ),
]
Output = Annotated[Format, Parameter(name=["--output", "-o"], help="table, json or jsonl.")]
Offline = Annotated[
    bool, Parameter(negative=(), help="Read the store of a daemon that does not run, under its lock.")
]
Limit = Annotated[int, Parameter(help="At most so many rows.")]
DryRun = Annotated[bool, Parameter(negative=(), help="Show what would be done; exit 1 if anything would.")]
Reason = Annotated[str, Parameter(help="Why; it lands in the audit trail.")]

app = App(
    name="isthmus",
    help_format="plaintext",  # the default loads a Markdown reader, which takes half of the time of --help
    help="Keeps a firm's CRM, PSA, ERP and planner in step: nothing lost, nothing doubled.",
    version=lambda: __import__("importlib.metadata").metadata.version("isthmus"),
)
event = App(name="event", help="What happened: list, show, trace, replay.")
exception = App(name="exception", help="What waits for a person: list, retry.")
config = App(name="config", help="Check the configuration.")
billing = App(name="billing", help="What the billing rules do.")
audit = App(name="audit", help="Who did what, and whether the trail is whole.")
for group in (event, exception, config, billing, audit):
    app.command(group)


@app.command
def run(*, config: ConfigDir = None) -> None:
    """Run the daemon in the foreground; what systemd executes.

    Example: isthmus run --config /etc/isthmus
    """
    from isthmus.cli.places import config_directory, refuse_second

    directory = config_directory(config)
    refuse_second(directory)
    import trio

    from isthmus.app.run import prepare
    from isthmus.app.run import run as serve

    bound = prepare(directory)
    for warning in bound.config.warnings:
        say(str(warning))

    async def main() -> None:
        await serve(bound, told=say)

    trio.run(main)


@app.command
def simulate(
    plugin: str,
    *,
    port: Annotated[int, Parameter(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    seed: Annotated[int, Parameter(help="Seed of everything the simulator makes up.")] = 0,
    state: Annotated[Path | None, Parameter(help="Keep the simulator's state in this file.")] = None,
) -> None:
    """Serve a vendor's API on loopback, with a state of its own, for trials and tests.

    GET /_sim tells credentials and acts, GET /_sim/ledger every write, POST /_sim/faults plans faults,
    POST /_sim/do acts as a user.

    Example: isthmus simulate salesforce --port 8801 --seed 7
    """
    import trio

    from isthmus.cli.simulating import serve_simulator

    trio.run(serve_simulator, plugin, port, seed, state)


@app.command
def demo(
    *,
    json: Annotated[bool, Parameter(negative=(), help="Print one JSON object instead of tables.")] = False,
    port: Annotated[int, Parameter(help="Port of the demo daemon's ops listener; 0 takes a free one.")] = 0,
    keep: Annotated[
        Path | None, Parameter(help="Leave the store and configuration in this directory.")
    ] = None,
) -> int:
    """Play the whole road between five simulated systems, with faults and a kill -9 midway.

    Example: isthmus demo
    """
    import trio

    from isthmus.demo.play import play

    try:
        return 0 if trio.run(play, json, port, keep) else PROBLEMS
    except RuntimeError as error:  # the daemon did not start; the message has the end of its log
        raise Leave(PROBLEMS, str(error)) from error


@app.command
def status(*, config: ConfigDir = None, output: Output = "table") -> None:
    """One screen: connectors, lanes, processes, exceptions.

    Example: isthmus status
    """
    answer = _ask("GET", "/v1/status", config)
    if output != "table":
        show_one(answer, output)
        return
    state = "ready" if answer["ready"] else "not ready"
    print(
        f"isthmus {answer['version']}, {state}, since {answer['started_at'][:19].replace('T', ' ')}; "
        f"{answer['events']} events, {answer['exceptions']} exceptions\n"
    )
    show(answer["connectors"], ["instance", "plugin", "entity", "state", "reason"], output)
    print()
    columns = ["lane", "connector", "state", "stage", "owed", "retrying", "blocked", "in_doubt", "dead"]
    show(answer["lanes"], columns, output)
    print()
    show(answer["processes"], ["lane", "process", "state", "behind"], output)
    print(f"\nunbilled approved time: {unbilled_words(answer['unbilled'])}")
    for distribution, reason in answer["quarantined"].items():
        print(f"quarantined: {distribution}: {reason}")
    for warning in answer["warnings"]:
        print(f"warning: {warning}")


@event.command(name="list")
def event_list(
    *,
    kind: Annotated[str | None, Parameter(help="Only this kind: time.approved.")] = None,
    key: Annotated[str | None, Parameter(help="Only of this key or its thread.")] = None,
    after: Annotated[int, Parameter(help="Only after this sequence number.")] = 0,
    limit: Limit = 50,
    offline: Offline = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> None:
    """List events, oldest first.

    Example: isthmus event list --kind charge.determined --limit 20
    """
    if offline:
        rows: Any = _offline(config, lambda desk: desk.events(kind=kind, key=key, after=after, limit=limit))
    else:
        rows = _ask("GET", "/v1/events", config, kind=kind, key=key, after=after, limit=limit)
    show(rows, ["seq", "recorded_at", "type", "subject", "entity", "id"], output)


@event.command(name="show")
def event_show(
    id: str, *, offline: Offline = False, config: ConfigDir = None, output: Output = "table"
) -> None:
    """Show one event by id or sequence number: what it says, and where it has arrived.

    Example: isthmus event show 1204
    """
    page = (
        _offline(config, lambda desk: desk.event(id)) if offline else _ask("GET", f"/v1/events/{id}", config)
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
        _offline(config, lambda desk: desk.trace(key)) if offline else _ask("GET", f"/v1/trace/{key}", config)
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
    order = {
        "lane": lane,
        "kind": kind,
        "key": key,
        "after": after,
        "until": until,
        "why": reason,
        "dry_run": dry_run,
    }
    result = _ask("POST", "/v1/events/replay", config, order=order)
    if output == "table":
        done = "would be scheduled" if dry_run else "scheduled"
        number = result["matched"] - len(result["refused"]) if dry_run else result["scheduled"]
        print(f"{result['matched']} events match, {number} {done}, {len(result['refused'])} refused")
        for line in result["refused"][:20]:
            say(f"refused: {line}")
    else:
        show_one(result, output)
    return PROBLEMS if dry_run and result["matched"] > len(result["refused"]) else 0


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
        rows: Any = _offline(
            config,
            lambda desk: desk.exceptions(state=wanted, where=where, error_class=error_class, limit=limit),
        )
    else:
        rows = _ask(
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
    result = _ask("POST", "/v1/exceptions/retry", config, order=order)
    if output == "table":
        print(f"{result['matched']} exceptions match, {result['done']} sent again")
    else:
        show_one(result, output)
    return PROBLEMS if dry_run and result["matched"] else 0


@app.command
def resume(
    actor: Annotated[str, Parameter(help="A parked connector, stream (crm.accounts) or lane.")],
    *,
    reason: Reason = "",
    config: ConfigDir = None,
) -> None:
    """Let a parked connector, stream or lane go on, after its cause was mended.

    Example: isthmus resume crm.accounts --reason "new key installed"
    """
    _ask("POST", "/v1/resume", config, order={"actor": actor, "why": reason})
    say(f"{actor} goes on")


@config.command(name="check")
def config_check(*, config: ConfigDir = None, output: Output = "table") -> int:
    """Check the configuration: every problem at once, with file, line and remedy; exit 78 if any.

    Example: isthmus config check --config /etc/isthmus
    """
    from isthmus.cli.checking import check_config

    return CONFIG if check_config(config, output) else 0


@billing.command(name="preview")
def billing_preview(
    facts: Annotated[Path, Parameter(help="A file of canonical events, one JSON object per line.")],
    *,
    output: Annotated[Literal["jsonl", "table"], Parameter(name=["--output", "-o"])] = "table",
) -> int:
    """Try a contract before it goes live: what the billing rules derive from a file of facts.

    Example: isthmus billing preview facts.jsonl --output table
    """
    from isthmus.cli.previewing import preview_file

    return preview_file(facts, output)


@audit.command(name="verify")
def audit_verify(*, config: ConfigDir = None) -> int:
    """Walk the audit trail of a daemon that does not run; names the first row that does not fit.

    Example: isthmus audit verify --config /etc/isthmus
    """
    broken = _offline(config, lambda desk: desk.verify())
    print("the audit trail is whole" if broken is None else f"the audit trail breaks at row {broken}")
    return 0 if broken is None else PROBLEMS


def _ask(
    method: str, path: str, config: Path | None, *, order: dict[str, Any] | None = None, **params: Any
) -> Any:
    """One question to the running daemon."""
    import trio

    from isthmus.cli.client import connected

    async def main() -> Any:
        async with connected(config) as client:
            if method == "GET":
                return await client.get(path, **params)
            return await client.post(path, order, **params)

    return trio.run(main)


def _offline(config: Path | None, question: Any) -> Any:
    """One question to the store itself."""
    import trio

    from isthmus.cli.client import ask_store

    return trio.run(ask_store, config, question)
