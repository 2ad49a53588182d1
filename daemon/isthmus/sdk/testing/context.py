"""A context that keeps in memory what the daemon keeps in its store; HTTP and threads are real."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import trio

from isthmus.sdk.connector import Link
from isthmus.sdk.context import Context, Crosswalk, Frozen, Sequences
from isthmus.sdk.errors import Unsure
from isthmus.sdk.http import Auth, Http, HttpLimits, open_http

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class _Crosswalk(Crosswalk):
    def __init__(self) -> None:
        self._remote: dict[tuple[str, str], str] = {}
        self._key: dict[tuple[str, str], str] = {}

    def add(self, links: Sequence[Link]) -> None:
        for link in links:
            remote = self._remote.setdefault((link.kind, link.key), link.remote_id)
            key = self._key.setdefault((link.kind, link.remote_id), link.key)
            if (key, remote) != (link.key, link.remote_id):
                raise AssertionError(
                    f"{link.kind} {link.key} is {remote}, and {link.remote_id} is {key}: "
                    "the daemon would open a work item for this link"
                )

    async def remote_id(self, kind: str, key: str) -> str | None:
        return self._remote.get((kind, key))

    async def key_of(self, kind: str, remote_id: str) -> str | None:
        return self._key.get((kind, remote_id))


class _Sequences(Sequences):
    def __init__(self) -> None:
        self._batches: dict[str, list[Frozen]] = {}
        self._by_key: dict[str, Frozen] = {}

    async def freeze(self, sequence: str, keys: Sequence[str], payload: Callable[[int], bytes]) -> Frozen:
        if twice := sorted(set(keys) & self._by_key.keys()):
            raise ValueError(f"frozen already: {', '.join(twice)}")
        batches = self._batches.setdefault(sequence, [])
        seq = len(batches) + 1
        batch = Frozen(sequence=sequence, seq=seq, payload=payload(seq))
        batches.append(batch)
        self._by_key.update(dict.fromkeys(keys, batch))
        return batch

    async def frozen(self, keys: Sequence[str]) -> dict[str, Frozen]:
        return {key: self._by_key[key] for key in keys if key in self._by_key}

    async def last(self, sequence: str) -> Frozen | None:
        batches = self._batches.get(sequence)
        return batches[-1] if batches else None

    async def batch(self, sequence: str, seq: int) -> Frozen | None:
        batches = self._batches.get(sequence, [])
        return batches[seq - 1] if 0 < seq <= len(batches) else None


class FakeContext(Context):
    """Open a connector with this in a test.

    ``keep`` does with links what the daemon does when it records a page or a receipt. It raises
    `AssertionError` where the daemon would open a work item: a key has one record, and a record one key.

    Args:
        transport: Where HTTP goes instead of a socket: ``httpx.ASGITransport(simulator.app())`` for a peer in
            this process, so that a test can turn the time (`trio.testing.MockClock`).
    """

    def __init__(
        self,
        instance: str,
        *,
        entity: str = "main",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        self._transport = transport
        self.instance = instance
        self.entity = entity
        self.log = logging.getLogger(f"isthmus.connector.{instance}")
        self._crosswalk = _Crosswalk()
        self.crosswalk = self._crosswalk
        self.sequences = _Sequences()
        self._now = now

    def keep(self, links: Sequence[Link]) -> None:
        self._crosswalk.add(links)

    def now(self) -> datetime:
        return self._now()

    def http(
        self,
        base_url: str,
        *,
        auth: Auth | None = None,
        limits: HttpLimits | None = None,
        headers: dict[str, str] | None = None,
    ) -> AbstractAsyncContextManager[Http]:
        return open_http(base_url, auth=auth, limits=limits, headers=headers, transport=self._transport)

    async def run_blocking(self, work: Callable[..., T], *args: object, deadline_s: float = 30.0) -> T:
        with trio.move_on_after(deadline_s):
            return await trio.to_thread.run_sync(work, *args, abandon_on_cancel=True)
        raise Unsure(f"no answer within {deadline_s} s")
