"""Peers that say exactly the bytes a test wants, and keep what reached them."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
Answer = Callable[[Stream, bytes], Awaitable[None]]


class Peer:
    """A server on one address. ``heard`` has one entry per request, head and body as they came."""

    def __init__(self, host: str, port: int, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.url = f"http{'s' if tls else ''}://{host}:{port}"
        self.port = port
        self.heard: list[bytes] = []
        self.connections = 0
        self._answer = answer
        self._tls = tls

    async def serve(self, plain: trio.SocketStream) -> None:
        self.connections += 1
        stream: Stream = plain
        if self._tls is not None:
            stream = trio.SSLStream(plain, self._tls, server_side=True, https_compatible=True)
        async with stream:
            try:
                while (request := await _request(stream)) is not None:
                    self.heard.append(request)
                    await self._answer(stream, request)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return


async def _request(stream: Stream) -> bytes | None:
    """One request, head and body; None when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += await stream.receive_some(65536)
    return head + b"\r\n\r\n" + body


def says(*parts: bytes, pause_s: float = 0.0, then_close: bool = False) -> Answer:
    """An answer of these bytes to every request, with a pause after each part."""

    async def answer(stream: Stream, request: bytes) -> None:
        for part in parts:
            await stream.send_all(part)
            if pause_s:
                await trio.sleep(pause_s)
        if then_close:
            await stream.aclose()

    return answer


def turns(*answers: Answer) -> Answer:
    """One answer after the other; the last one stays."""
    left = list(answers)

    async def answer(stream: Stream, request: bytes) -> None:
        current = left.pop(0) if len(left) > 1 else left[0]
        await current(stream, request)

    return answer


def reply(status: int = 200, body: bytes = b"{}", **headers: str) -> bytes:
    """One whole answer; underscores in header names become dashes."""
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def peer(
    answer: Answer, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Peer]:
    """A peer for the length of the block."""
    listeners = await trio.open_tcp_listeners(0, host=host)
    running = Peer(host, listeners[0].socket.getsockname()[1], answer, tls)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, running.serve, listeners)
        yield running
        nursery.cancel_scope.cancel()
