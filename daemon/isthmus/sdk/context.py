"""What the daemon lends to an open connector: HTTP, the crosswalk, threads, sequences, the time."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TypeVar

import msgspec

from isthmus.sdk.http import Auth, Http, HttpLimits

T = TypeVar("T")


class Crosswalk(ABC):
    """Our keys and this instance's record ids. Links are written with pages and receipts, never here."""

    @abstractmethod
    async def remote_id(self, kind: str, key: str) -> str | None:
        """This system's id of our ``key``."""

    @abstractmethod
    async def key_of(self, kind: str, remote_id: str) -> str | None:
        """Our key of this system's record."""


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """A numbered batch whose bytes never change again."""

    sequence: str
    seq: int
    payload: bytes


class Sequences(ABC):
    """Gap-free numbers for peers that take numbered batches.

    A number is allotted in the transaction that stores the batch's bytes, so a crash leaves neither a gap
    nor two batches with one number.
    """

    @abstractmethod
    async def freeze(self, sequence: str, keys: Sequence[str], payload: Callable[[int], bytes]) -> Frozen:
        """Allot the next number of ``sequence`` and keep ``payload(number)`` under it.

        ``payload`` must be pure. ``keys`` name the deliveries inside.

        Raises:
            ValueError: a key is frozen in another batch already.
        """

    @abstractmethod
    async def frozen(self, keys: Sequence[str]) -> dict[str, Frozen]:
        """The batches these keys were frozen in; keys never frozen are left out."""

    @abstractmethod
    async def last(self, sequence: str) -> Frozen | None:
        """The newest batch of a sequence."""

    @abstractmethod
    async def batch(self, sequence: str, seq: int) -> Frozen | None:
        """One batch by its number."""


class Context(ABC):
    """Lent to a connector while it is open."""

    instance: str
    """The name in the configuration: ``netsuite-us``. Prefix of the keys this system masters."""
    entity: str
    """The legal entity facts belong to where the vendor's record does not say."""
    log: logging.Logger
    crosswalk: Crosswalk
    sequences: Sequences

    @abstractmethod
    def now(self) -> datetime:
        """The time, aware, UTC. Use it instead of the clock, so that tests can turn it."""

    @abstractmethod
    def http(
        self,
        base_url: str,
        *,
        auth: Auth | None = None,
        limits: HttpLimits | None = None,
        headers: dict[str, str] | None = None,
    ) -> AbstractAsyncContextManager[Http]:
        """The only way out: see `isthmus.sdk.http`."""

    @abstractmethod
    async def run_blocking(self, work: Callable[..., T], *args: object, deadline_s: float = 30.0) -> T:
        """Run a blocking call on a thread.

        After ``deadline_s`` the thread is left to itself and `Unsure` is raised.
        """

    def key(self, remote_id: object) -> str:
        """The canonical key of a record this instance masters: ``<instance>:<id>``."""
        return f"{self.instance}:{remote_id}"
