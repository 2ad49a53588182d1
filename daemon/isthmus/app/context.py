"""What an open connector is lent, backed by the store."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TypeVar

import trio

from isthmus.sdk.context import Context, Crosswalk, Frozen, Sequences
from isthmus.sdk.errors import Unsure
from isthmus.sdk.http import Auth, Http, HttpLimits, Observe, open_http
from isthmus.store import crosswalk, sequences
from isthmus.store.face import Store

T = TypeVar("T")

THREADS_PER_CONNECTOR = 4


class StoreCrosswalk(Crosswalk):
    """The crosswalk of one instance."""

    def __init__(self, store: Store, instance: str) -> None:
        self._store = store
        self._instance = instance

    async def remote_id(self, kind: str, key: str) -> str | None:
        return await self._store.read(lambda tx: crosswalk.remote(tx, kind, key, self._instance))

    async def key_of(self, kind: str, remote_id: str) -> str | None:
        return await self._store.read(lambda tx: crosswalk.key_of(tx, self._instance, kind, remote_id))


class StoreSequences(Sequences):
    """Numbered batches of one instance; a batch and its number are one transaction."""

    def __init__(self, store: Store, instance: str, now: Callable[[], datetime]) -> None:
        self._store = store
        self._instance = instance
        self._now = now

    async def freeze(self, sequence: str, keys: Sequence[str], payload: Callable[[int], bytes]) -> Frozen:
        at = self._now()
        kept = await self._store.write(
            lambda tx: sequences.freeze(tx, self._instance, sequence, keys, payload, at)
        )
        return _frozen(kept)

    async def frozen(self, keys: Sequence[str]) -> dict[str, Frozen]:
        found = await self._store.read(lambda tx: sequences.frozen(tx, self._instance, keys))
        return {key: _frozen(batch) for key, batch in found.items()}

    async def last(self, sequence: str) -> Frozen | None:
        found = await self._store.read(lambda tx: sequences.last(tx, self._instance, sequence))
        return None if found is None else _frozen(found)

    async def batch(self, sequence: str, seq: int) -> Frozen | None:
        found = await self._store.read(lambda tx: sequences.batch(tx, self._instance, sequence, seq))
        return None if found is None else _frozen(found)


def _frozen(batch: sequences.Batch) -> Frozen:
    return Frozen(sequence=batch.sequence, seq=batch.seq, payload=batch.payload)


class DaemonContext(Context):
    """The context of one connector instance."""

    def __init__(
        self,
        instance: str,
        entity: str,
        store: Store,
        now: Callable[[], datetime],
        observe: Observe,
        certified: Callable[[datetime], None],
    ) -> None:
        self.instance = instance
        self.entity = entity
        self.log = logging.getLogger(f"isthmus.connector.{instance}")
        self.crosswalk = StoreCrosswalk(store, instance)
        self.sequences = StoreSequences(store, instance, now)
        self._now = now
        self._observe = observe
        self._certified = certified
        self._threads = trio.CapacityLimiter(THREADS_PER_CONNECTOR)

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
        return open_http(
            base_url,
            auth=auth,
            limits=limits,
            headers=headers,
            observe=self._observe,
            certified=self._certified,
        )

    async def run_blocking(self, work: Callable[..., T], *args: object, deadline_s: float = 30.0) -> T:
        with trio.move_on_after(deadline_s):
            return await trio.to_thread.run_sync(work, *args, abandon_on_cancel=True, limiter=self._threads)
        raise Unsure(f"no answer within {deadline_s:g} s; the call goes on in its thread")
