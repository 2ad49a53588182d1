"""Serves a simulator on loopback."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import trio
from hypercorn.config import Config
from hypercorn.events import Event, Updated
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from isthmus.sdk.simulator.middleware import connection
from isthmus.sdk.simulator.simulator import Simulator


class _Connection(TCPServer):
    """A connection that tells its requests which transport they came by, so that a fault can break it.

    It ends when its client goes; hypercorn would keep it for its idle time, and a test that counts what
    stays open would see it.
    """

    _gone = False

    async def run(self) -> None:
        connection.set(self.stream)
        await super().run()

    async def protocol_send(self, event: Event) -> None:
        if not (self._gone and isinstance(event, Updated)):
            await super().protocol_send(event)

    async def _read_data(self) -> None:
        await super()._read_data()
        self._gone = True
        await self.idle_task.stop()


async def serve(
    simulator: Simulator,
    port: int = 0,
    *,
    state_file: Path | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve on 127.0.0.1 until cancelled; reports the base URL through ``task_status``.

    Args:
        port: 0 takes a free one.
        state_file: kept up to date after each write, and read at start.
    """
    config = Config()
    config.errorlog = logging.getLogger("isthmus.simulator")
    config.accesslog = None
    config.graceful_timeout = 0.5
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    simulator.base_url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    if state_file is not None:
        simulator.restore(state_file)
    app = wrap_app(cast(Any, simulator.app()), config.wsgi_max_body_size, "asgi")
    context = WorkerContext(None)

    async def handle(stream: trio.SocketStream) -> None:
        await _Connection(app, config, context, ConnectionState({}), cast(Any, stream)).run()

    async with trio.open_nursery() as nursery:
        simulator.nursery = nursery
        try:
            await nursery.start(trio.serve_listeners, handle, listeners)
            nursery.start_soon(simulator.background)
            task_status.started(simulator.base_url)
            await trio.sleep_forever()
        finally:
            simulator.nursery = None


@asynccontextmanager
async def started(
    simulator: Simulator, port: int = 0, *, state_file: Path | None = None
) -> AsyncIterator[Simulator]:
    """A simulator that serves for the length of the block, for tests."""
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[str]) -> None:
            await serve(simulator, port, state_file=state_file, task_status=task_status)

        await nursery.start(run)
        yield simulator
        nursery.cancel_scope.cancel()
