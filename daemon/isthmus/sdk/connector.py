"""The small interfaces a connector is made of.

A connector translates; the daemon owns cursors, retries, time and patience. What a connector does not
offer is not called: a planner that only takes facts has no `Source`.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

import msgspec

from isthmus.events import BusinessEvent
from isthmus.sdk.errors import ConnectorError

if TYPE_CHECKING:
    from isthmus.sdk.context import Context


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A crosswalk entry: the record ``remote_id`` in this system is our ``key`` of ``kind``.

    ``kind`` is a noun of the events: customer, project, contract, resource, time, charge, invoice ...
    """

    kind: str
    key: str
    remote_id: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A payload of the vendor that could not be translated; it becomes a dead letter."""

    reason: str
    place: str
    """Where it is found again: a path with an id, a file with a line."""
    raw: bytes
    """The payload itself; only its hash is kept."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a stream.

    ``next`` is the cursor to pull with after this page has been recorded; ``more`` says that another page
    waits right now, so that the daemon need not sleep.
    """

    events: Sequence[BusinessEvent]
    next: bytes
    more: bool = False
    refused: Sequence[Refused] = ()
    links: Sequence[Link] = ()


class Source(ABC):
    """Tells what happened in a system, oldest first, stream by stream."""

    streams: tuple[str, ...] = ()
    """Names of what is read, each with a cursor of its own: ``("time_entries", "expenses")``."""

    @abstractmethod
    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        """The page after ``cursor``; None reads from the beginning.

        Called again with the same cursor it must give the same facts (and may give more): the daemon
        repeats a pull after a crash, and drops what it has seen. A payload that cannot be translated goes
        into ``Page.refused``, never into an exception.

        Raises:
            Retryable: the peer did not answer, or broke off.
            Throttled: the peer asks for less.
            Fatal: reading can never succeed with these settings.
        """


class DeliveryClass(Enum):
    """What protects a peer from a second copy when the first answer was lost."""

    A = "A"
    """The peer enforces our key: upsert by external id, or an idempotency key. Sending again is safe."""
    B = "B"
    """The peer can be searched by our key: wait, look up, adopt or send again."""
    C = "C"
    """Neither: in doubt, a person decides; never sent again by the daemon."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One fact owed to one lane.

    ``key`` is the idempotency key: a hash of fact, lane and target, so the same after a restart, a replay
    or a restored backup. ``attempt`` counts from 1.
    """

    key: str
    lane: str
    event: BusinessEvent
    attempt: int = 1


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Proof that the peer has it: its own name for the record, and what follows from that.

    ``facts`` are what the delivery itself made true, such as `isthmus.events.ChargePosted`; they are
    recorded together with the receipt.
    """

    remote_id: str
    detail: str = ""
    links: Sequence[Link] = ()
    facts: Sequence[BusinessEvent] = ()


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the peer that may stand for a fact, whoever wrote it.

    Figures are compared where both sides have them: a sink that does not know one leaves it None.
    """

    remote_id: str
    """As in a receipt."""
    stands_for: Mapping[str, Receipt] = {}
    """By the id of a fact: the receipt that says it is this record. Empty: it stands for none of them."""
    sure: bool = False
    """It bears our key, so it can be nothing else."""
    amount: Decimal | None = None
    currency: str | None = None
    quantity: Decimal | None = None
    dated: date | None = None
    detail: str = ""
    """What a person finds it by: a document number, a memo."""


class Sink(ABC):
    """Takes facts into a system."""

    accepts: frozenset[str] = frozenset()
    """Kinds it can take: ``{"charge.determined"}``; a route with another kind is a configuration error."""
    batch_max: int = 1
    """More than 1: `deliver_many` gets up to this many deliveries of different subjects, in order."""
    concurrency: int = 4
    """Calls of one lane at the same time."""
    worst_commit_s: float = 60.0
    """Class B: how long after a lost answer the peer may still commit."""

    @abstractmethod
    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        """What protects the peer from a second copy of this fact."""

    @abstractmethod
    async def deliver(self, delivery: Delivery) -> Receipt:
        """Write it, or find that it is written already.

        Raises:
            Unsure: sent, but the answer was lost.
            Unmet: what it refers to is not in the peer yet.
            Retryable, Throttled, Rejected, Fatal: see `isthmus.sdk.errors`.
        """

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Receipt | ConnectorError]:
        """One outcome per delivery, in the same order; what is raised concerns all of them."""
        outcomes: list[Receipt | ConnectorError] = []
        for delivery in deliveries:
            try:
                outcomes.append(await self.deliver(delivery))
            except ConnectorError as error:
                outcomes.append(error)
        return outcomes

    async def find(self, delivery: Delivery) -> Receipt | None:
        """Class B: the record this delivery made, looked up by our key; None when there is none."""
        raise NotImplementedError(f"{type(self).__name__} declares class B but cannot find")

    async def match(self, events: Sequence[BusinessEvent]) -> Sequence[Candidate] | None:
        """Records that may stand for these facts though another integration wrote them; nothing is written.

        By our key where the record bears it, else by what both sides know: customer or project, person, day.
        Not by amount or hours, since a wrong one is what is looked for. Records of the same sort and days
        that fit none of the facts are told too, standing for nothing.

        Returns:
            None where this sink cannot: facts are then looked up one by one with `find`.

        Raises:
            Retryable, Throttled, Fatal: see `isthmus.sdk.errors`.
        """
        return None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a probe looked at: ``remedy`` is what the admin does when it is not ``ok``."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


class Probe(ABC):
    """Looks, without changing anything, whether the peer can be worked with."""

    @abstractmethod
    async def checks(self) -> list[Check]:
        """Login, permissions, clock, quota, custom fields: what applies."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is there in the peer; ``setting`` names the setting it may be written into."""

    entity: str
    """What it is, in the peer's word: subsidiary, custom field, item, role."""
    id: str
    name: str
    setting: str = ""


class Discover(ABC):
    """Tells an admin what is there, so that ids need not be looked for in the peer's screens."""

    @abstractmethod
    async def found(self) -> list[Found]:
        """Entities, custom fields and ids that settings may name; nothing is changed.

        Raises:
            Retryable, Throttled, Fatal: see `isthmus.sdk.errors`.
        """


class CensusRow(msgspec.Struct, frozen=True, kw_only=True):
    """One record as it stands in the peer, for reconciliation.

    Give what the peer holds itself, not what isthmus once wrote beside it: a total that was changed by hand
    must show.
    """

    key: str
    """Our key, as the record bears it; empty where it bears none. Two rows may bear the same."""
    remote_id: str
    status: str
    """In small letters; ``unreadable`` where nobody can say, ``voided`` where it no longer counts,
    ``pending`` or ``rejected`` where it does not count yet; empty where the peer does not say."""
    amount: Decimal | None = None
    currency: str | None = None
    quantity: Decimal | None = None
    """Hours, where the record counts hours."""
    on: date | None = None
    """The day of the business it is listed by."""
    entity: str | None = None
    """Our key of the legal entity, where the peer tells them apart."""
    changed_at: datetime | None = None
    """When it was changed last, aware; what changed a moment ago is not called a difference yet."""


class Census(ABC):
    """Reads back what the system holds, by another way than the poll where the vendor has one.

    Kinds are ``time``, ``expense``, ``milestone`` (as approved), ``charge`` (as posted), ``invoice``,
    ``credit``, ``payment``, ``deal``, ``burn`` (hours per project, person and day), ``project`` (its budget).
    """

    kinds: frozenset[str] = frozenset()

    @abstractmethod
    def rows(self, kind: str, since: date, until: date) -> AsyncIterator[CensusRow]:
        """Every record of ``kind`` dated in the window, both ends included.

        Records that bear no key of ours are told too where they stand on a project or customer of ours.

        Raises:
            Retryable, Throttled, Fatal: see `isthmus.sdk.errors`.
        """


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What an open connector offers; absent parts are not called."""

    source: Source | None = None
    sink: Sink | None = None
    probe: Probe | None = None
    census: Census | None = None
    discover: Discover | None = None


class Connector(ABC):
    """A plugin's face: its name, its settings, and how to open it.

    ``open`` is an async context manager: what it opens is closed when the daemon stops, reloads or parks
    the connector. It should log in lazily, so that a peer that is down does not stop the daemon's start.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    api: ClassVar[tuple[int, int]] = (1, 0)
    Settings: ClassVar[type[msgspec.Struct]]
    simulator: ClassVar[str | None] = None
    """``module:Class`` of the vendor's fake, loaded only by ``isthmus simulate`` and the demo."""

    @abstractmethod
    def open(self, settings: msgspec.Struct, ctx: "Context") -> AbstractAsyncContextManager[Opened]:
        """Open one instance.

        Raises:
            Fatal: the settings can never work.
        """
