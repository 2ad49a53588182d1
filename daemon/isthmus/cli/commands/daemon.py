"""`isthmus run`, `simulate`, `demo`, `status`, `resume`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isthmus.cli.commands.asking import ask
from isthmus.cli.commands.options import ConfigDir, Output, Reason
from isthmus.cli.exits import PROBLEMS, Leave
from isthmus.cli.output import planner_lag_words, say, show, show_one, unbilled_words

__all__ = ["demo", "resume", "run", "simulate", "status"]


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


def status(*, config: ConfigDir = None, output: Output = "table") -> None:
    """One screen: connectors, lanes, processes, exceptions.

    Example: isthmus status
    """
    answer = ask("GET", "/v1/status", config)
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
    print(f"not in the planner yet: {planner_lag_words(answer['planner_lag'])}")
    for distribution, reason in answer["quarantined"].items():
        print(f"quarantined: {distribution}: {reason}")
    for warning in answer["warnings"]:
        print(f"warning: {warning}")


def resume(
    actor: Annotated[str, Parameter(help="A parked connector, stream (crm.accounts) or lane.")],
    *,
    reason: Reason = "",
    config: ConfigDir = None,
) -> None:
    """Let a parked connector, stream or lane go on, after its cause was mended.

    Example: isthmus resume crm.accounts --reason "new key installed"
    """
    ask("POST", "/v1/resume", config, order={"actor": actor, "why": reason})
    say(f"{actor} goes on")
