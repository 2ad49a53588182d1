"""Asks the running daemon over its admin socket."""

import getpass
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from isthmus.sdk.errors import ConnectorError
from isthmus.sdk.http import Http, HttpLimits, open_http, over_socket

__all__ = ["AdminBroken", "AdminBusy", "AdminRefused", "AdminUnreachable", "Client", "connected"]


class AdminUnreachable(Exception):
    """Nobody answers on the socket; the daemon does not run, or hangs."""


class AdminRefused(Exception):
    """The daemon understood the question and says no; the message is its words."""


class AdminBusy(Exception):
    """The daemon cannot answer now, the disk being full or the question too big; the message says which."""


class AdminBroken(Exception):
    """The daemon broke on the question; its log says where."""


class Client:
    """Questions to the daemon and its answers, as plain JSON values."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, path: str, **params: Any) -> Any:
        """Ask; parameters that are None are left out.

        Raises:
            AdminUnreachable, AdminRefused, AdminBusy, AdminBroken: there is no answer, or it is no.
        """
        return await self._ask("GET", path, params=_given(params))

    async def post(self, path: str, order: Mapping[str, Any] | None = None, **params: Any) -> Any:
        """Tell it to do something; errors as in `get`."""
        return await self._ask("POST", path, params=_given(params), json=dict(order or {}))

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            reply = await self._http.request(method, path, **options)
        except ConnectorError as error:
            raise AdminUnreachable(f"the daemon cannot be reached: {error}") from error
        try:
            answer = reply.json()
        except ConnectorError:
            answer = None
        if reply.ok and answer is not None:
            return answer
        words = str(answer["error"]) if isinstance(answer, dict) and "error" in answer else reply.words()
        if reply.status == 503:
            raise AdminBusy(words)
        if reply.status >= 500 or answer is None:
            raise AdminBroken(f"the daemon broke on this question, its log says where: {words}")
        raise AdminRefused(words)


@asynccontextmanager
async def connected(socket: Path, *, patience_s: float = 30.0) -> AsyncIterator[Client]:
    """A client of the daemon behind an admin socket.

    Args:
        patience_s: The longest one answer may take.
    """
    headers = {"x-isthmus-user": getpass.getuser()}
    limits = HttpLimits(deadline_s=patience_s)
    transport = over_socket(socket)
    async with open_http("http://localhost", headers=headers, limits=limits, transport=transport) as http:
        yield Client(http)


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
