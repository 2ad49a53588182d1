"""Asks the running daemon over its admin socket."""

import getpass
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from isthmus.sdk.errors import ConnectorError
from isthmus.sdk.http import Http, open_http, over_socket

__all__ = ["AdminRefused", "AdminUnreachable", "Client", "connected"]


class AdminUnreachable(Exception):
    """Nobody answers on the socket; the daemon does not run, or hangs."""


class AdminRefused(Exception):
    """The daemon understood the question and says no; the message is its words."""


class Client:
    """Questions to the daemon and its answers, as plain JSON values."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, path: str, **params: Any) -> Any:
        """Ask; parameters that are None are left out.

        Raises:
            AdminUnreachable, AdminRefused: there is no answer, or it is no.
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
        answer = reply.json()
        if not reply.ok:
            raise AdminRefused(answer.get("error", reply.words()))
        return answer


@asynccontextmanager
async def connected(socket: Path) -> AsyncIterator[Client]:
    """A client of the daemon behind an admin socket."""
    headers = {"x-isthmus-user": getpass.getuser()}
    async with open_http("http://localhost", headers=headers, transport=over_socket(socket)) as http:
        yield Client(http)


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
