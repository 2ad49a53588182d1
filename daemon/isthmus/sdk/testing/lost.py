"""Answers that never arrive: the peer did what was asked, did it later, or never heard of it."""

import random
from collections.abc import Callable
from zlib import crc32

import httpx
import trio

__all__ = ["LosingTransport"]

NEVER_ARRIVED = 0.1
"""The share of lost first answers whose request was lost too."""


class LosingTransport(httpx.AsyncBaseTransport):
    """Loses the answer to the first sending of every key, and of one key in five to the second one too.

    One first sending in ten never reaches the peer. The others are done all the same: half of them at
    once, the rest up to ``latest_s`` seconds later.

    Args:
        peer: what answers in truth, for a simulator ``httpx.ASGITransport(simulator.app())``.
        nursery: runs what is done late; it outlives the connector that is tested.
        latest_s: seconds; keep it below the ``worst_commit_s`` that the sink promises.
        key_of: what makes two requests one act, of a request whose body is read; None lets it through.
            Give keys to writes alone.
    """

    def __init__(
        self,
        peer: httpx.AsyncBaseTransport,
        nursery: trio.Nursery,
        *,
        latest_s: float,
        key_of: Callable[[httpx.Request], str | None],
    ) -> None:
        self._peer = peer
        self._nursery = nursery
        self._latest_s = latest_s
        self._key_of = key_of
        self._dice = random.Random(7)  # noqa: S311  the same losses in every run
        self._tries: dict[str, int] = {}
        self.lost = 0
        """How many answers were lost so far: assert on it, or a test may have lost none."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        key = self._key_of(request)
        if key is None:
            return await self._peer.handle_async_request(request)
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        if tries > 2 or (tries == 2 and crc32(key.encode()) % 5):
            return await self._peer.handle_async_request(request)
        self.lost += 1
        late_s = self._dice.choice([0.0, self._dice.uniform(0, self._latest_s)])
        if tries == 2 or self._dice.random() > NEVER_ARRIVED:
            self._nursery.start_soon(self._commit, late_s, request)
        raise httpx.ReadError("lost")

    async def _commit(self, late_s: float, request: httpx.Request) -> None:
        again = httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
        await trio.sleep(late_s)
        await self._peer.handle_async_request(again)
