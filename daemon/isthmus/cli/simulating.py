"""`isthmus simulate`."""

from pathlib import Path

import trio

from isthmus.cli.exits import BUSY, USAGE, Leave
from isthmus.cli.output import say
from isthmus.runtime.simulators import simulator_class
from isthmus.sdk.simulator import serve


async def serve_simulator(plugin: str, port: int, seed: int, state: Path | None) -> None:
    """Serve until interrupted.

    Raises:
        Leave: there is no such simulator (exit 2), or the port is taken (75).
    """
    try:
        simulator = simulator_class(plugin)(seed=seed)
    except LookupError as error:
        raise Leave(USAGE, str(error)) from error
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[str]) -> None:
            await serve(simulator, port, state_file=state, task_status=task_status)

        try:
            url = await nursery.start(run)
        except OSError as error:
            raise Leave(BUSY, f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}") from error
        say(f"{plugin} on {url}; credentials and acts: {url}/_sim")
