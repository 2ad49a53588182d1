"""What every request passes before a handler sees it: its Host, the size and the time of its body.

A page in somebody's browser can make it send requests to 127.0.0.1 under a name of its own (DNS
rebinding); such a request carries the wrong Host, on every path, /metrics included.
"""

from collections.abc import Callable, Collection

import trio
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK_HOSTS", "BodyLimit", "HostGuard"]

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})

Refusal = Callable[[int, str], Response]
"""Makes the answer to a request that is turned away: from its status and a sentence."""


def plain(status: int, text: str) -> Response:
    """A refusal people read."""
    return PlainTextResponse(text + "\n", status)


class HostGuard:
    """Answers 421 unless the request has exactly one Host header, with a name that is ours (any port).

    Ours are the names of the list, and the very address the connection came in by: a page that was loaded
    from there is our own, while one that rebinds a name still carries that name.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str] = LOOPBACK_HOSTS,
        setting: str = "daemon.ops_hosts",
        refuse: Refusal = plain,
    ) -> None:
        """
        Args:
            setting: Where an admin adds a name, for the one who is turned away.
        """
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._setting = setting
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no lifespan and no websocket is served
        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1 or _name(named[0]) not in {*self._hosts, *_address(scope)}:
            answer = self._refuse(421, f"this Host is not served here; see {self._setting}")
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


class BodyLimit:
    """Gives a handler at most ``max_bytes`` of body, all of it within ``deadline_s`` seconds.

    A longer body is answered with 413, a slower one with 408, and the connection is closed.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int = 1024 * 1024,
        deadline_s: float = 15.0,
        refuse: Refusal = plain,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._deadline_s = deadline_s
        self._refusal = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            with trio.fail_after(self._deadline_s):
                body = await self._read(receive)
        except trio.TooSlowError:
            await self._refuse(408, "the body took too long", scope, receive, send)
            return
        if body is None:
            await self._refuse(413, f"a body may have {self._max_bytes} bytes at most", scope, receive, send)
            return
        given = False

        async def receive_read() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_read, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body; None when it is too long."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)  # the client left; the handler's answer goes nowhere
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                return None
            if not message.get("more_body"):
                return bytes(body)

    async def _refuse(self, status: int, text: str, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._refusal(status, text)
        answer.headers["connection"] = "close"
        await answer(scope, receive, send)


def _address(scope: Scope) -> list[str]:
    """The address of our end of the connection, as a Host header would have it; none on a unix socket."""
    server = scope.get("server")
    if not server or server[1] is None:
        return []
    return [f"[{server[0]}]" if ":" in server[0] else str(server[0])]


def _name(host: bytes) -> str:
    """The Host header without its port, in lower case."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]
