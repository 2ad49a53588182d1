"""Serves an ASGI application on a TCP address or a unix socket, with every resource bounded.

Hypercorn speaks HTTP; accepting, counting and closing connections is done here, because a client that
drips its headers, or never reads its answer, must not cost the daemon a place.
"""

import logging
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import trio
from hypercorn.config import Config
from hypercorn.events import Event, Updated
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app
from starlette.types import ASGIApp

__all__ = ["MAX_CONNECTIONS", "CannotListen", "SocketTaken", "serve"]

MAX_CONNECTIONS = 64
HEADERS_WITHIN_S = 10.0
SEND_WITHIN_S = 10.0
MAX_HEADER_BYTES = 16 * 1024


class SocketTaken(Exception):
    """Another process answers on the unix socket, or something else stands in its place."""


class CannotListen(Exception):
    """An address cannot be had: it is taken, not allowed, or none of this machine's."""

    def __init__(self, where: str, error: OSError) -> None:
        super().__init__(f"cannot listen on {where}: {error.strerror or error}")
        self.errno = error.errno


async def serve(
    app: ASGIApp,
    where: tuple[str, int] | Path,
    *,
    headers_within_s: float = HEADERS_WITHIN_S,
    send_within_s: float = SEND_WITHIN_S,
    max_connections: int = MAX_CONNECTIONS,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports the base URL, or the socket's path, through ``task_status``.

    When ``max_connections`` are open, a new one takes the place of the one that has been idle longest, or
    is closed when all are busy.

    Args:
        where: host and port (0 takes a free one), or the path of a unix socket, made with mode 0660.
        headers_within_s: from a connection's start, or its last answer, to the end of the next headers.
        send_within_s: how long a client may leave a piece of its answer unread.

    Raises:
        CannotListen: the address cannot be had.
        SocketTaken: another process has the unix socket.
    """
    try:
        listeners, told = await _listen(where)
    except OSError as error:
        place = str(where) if isinstance(where, Path) else f"{where[0]}:{where[1]}"
        raise CannotListen(place, error) from error
    config = Config()
    config.errorlog = logging.getLogger("isthmus.http")
    config.accesslog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = MAX_HEADER_BYTES
    config.keep_alive_timeout = headers_within_s
    door = _Door(app, config, send_within_s, max_connections)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, door.admit, listeners)
            task_status.started(told)
    finally:
        if isinstance(where, Path):
            where.unlink(missing_ok=True)  # noqa: ASYNC240 - one system call, while closing


async def _listen(where: tuple[str, int] | Path) -> tuple[list[trio.SocketListener], str]:
    if isinstance(where, Path):
        return [_unix_listener(where)], str(where)
    listeners = await trio.open_tcp_listeners(where[1], host=where[0])
    host = f"[{where[0]}]" if ":" in where[0] else where[0]
    return listeners, f"http://{host}:{listeners[0].socket.getsockname()[1]}"


class _Door:
    """Lets connections in, and makes room."""

    def __init__(self, app: ASGIApp, config: Config, send_within_s: float, limit: int) -> None:
        self._app = wrap_app(cast(Any, app), config.wsgi_max_body_size, "asgi")
        self._config = config
        self._context = WorkerContext(None)
        self._send_within_s = send_within_s
        self._limit = limit
        self._open: dict[_Connection, None] = {}  # oldest first

    async def admit(self, stream: trio.SocketStream) -> None:
        patient = _PatientStream(stream, self._send_within_s)
        connection = _Connection(
            self._app, self._config, self._context, ConnectionState({}), cast(Any, patient)
        )
        if len(self._open) >= self._limit and not self._make_room():
            await trio.aclose_forcefully(stream)
            return
        self._open[connection] = None
        try:
            await connection.run()
        finally:
            self._open.pop(connection, None)
            stream.socket.close()  # also when cancelled, where hypercorn would leave it open

    def _make_room(self) -> bool:
        for connection in self._open:
            if connection.idle:
                del self._open[connection]
                connection.stream.socket.close()
                return True
        return False


class _Connection(TCPServer):
    """A connection that knows whether it is between requests."""

    idle = True

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, Updated):
            self.idle = event.idle
        await super().protocol_send(event)


class _PatientStream:
    """Gives up on a client that does not read. Hypercorn shields its sends, so nothing else would."""

    def __init__(self, stream: trio.SocketStream, send_within_s: float) -> None:
        self._stream = stream
        self._send_within_s = send_within_s
        self.socket = stream.socket
        self.receive_some = stream.receive_some
        self.send_eof: Callable[[], Awaitable[None]] = stream.send_eof
        self.aclose = stream.aclose

    async def send_all(self, data: bytes) -> None:
        with trio.move_on_after(self._send_within_s) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            raise trio.BrokenResourceError("the client does not read its answer")


def _unix_listener(path: Path) -> trio.SocketListener:
    """A socket with mode 0660. What a killed daemon left behind is replaced."""
    if path.exists() or path.is_symlink():
        if not stat.S_ISSOCK(path.lstat().st_mode) or _answers(path):
            raise SocketTaken(f"{path} is in use, or is no socket")
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(0o660)
        sock.listen(MAX_CONNECTIONS)
    except OSError:
        sock.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(str(path))
        except OSError:
            return False
        return True
