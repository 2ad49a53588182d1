"""A peer in memory that behaves as badly as real ones do, and the sink that speaks to it."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from isthmus.events import BusinessEvent
from isthmus.sdk.connector import Delivery, DeliveryClass, Link, Receipt, Sink
from isthmus.sdk.errors import ConnectorError, Unsure


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A business record in the peer."""

    remote_id: str
    key: str
    event_id: str
    subject: str


class Lost(msgspec.Struct, frozen=True):
    """The peer takes the request and commits it ``commit_after_s`` later; the answer never comes.

    ``hang`` keeps the connection open, so that only the lane's own timeout ends the call.
    """

    commit_after_s: float = 0.0
    hang: bool = False


class Gives(msgspec.Struct, frozen=True):
    """The sink returns this instead of what it should."""

    value: Any


Fault = ConnectorError | Exception | Lost | Gives


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery as it reached the peer."""

    at: float
    event_id: str
    subject: str
    attempt: int
    key: str


class Remote:
    """The peer's own ledger.

    Args:
        unique: Whether it enforces our key: a second commit under a key gives the first record.
    """

    def __init__(self, *, unique: bool) -> None:
        self._unique = unique
        self._records: list[Record] = []
        self._coming: list[tuple[float, Delivery]] = []

    def commit(self, delivery: Delivery, after_s: float = 0.0) -> str:
        """Commit now or later; the id of the record, empty when it is later."""
        if after_s:
            self._coming.append((trio.current_time() + after_s, delivery))
            return ""
        self._catch_up(trio.current_time())
        return self._keep(delivery)

    def find(self, key: str) -> Record | None:
        self._catch_up(trio.current_time())
        return next((record for record in self._records if record.key == key), None)

    def records(self) -> list[Record]:
        """Everything it holds once all that was sent is committed."""
        self._catch_up(float("inf"))
        return self._records

    def doubled(self) -> int:
        """How many records are one too many."""
        return len(self.records()) - len({record.event_id for record in self._records})

    def _catch_up(self, now: float) -> None:
        due = sorted((at, delivery.key, delivery) for at, delivery in self._coming if at <= now)
        self._coming = [(at, delivery) for at, delivery in self._coming if at > now]
        for _, _, delivery in due:
            self._keep(delivery)

    def _keep(self, delivery: Delivery) -> str:
        if self._unique:
            for record in self._records:
                if record.key == delivery.key:
                    return record.remote_id
        record = Record(
            remote_id=f"R-{len(self._records) + 1}",
            key=delivery.key,
            event_id=delivery.event.id,
            subject=delivery.event.subject,
        )
        self._records.append(record)
        return record.remote_id


class FakeSink(Sink):
    """Speaks to a `Remote`; what goes wrong is laid down beforehand, by subject, one fault per try."""

    accepts = frozenset({"customer.changed"})

    def __init__(
        self,
        delivery_class: DeliveryClass = DeliveryClass.A,
        *,
        latency_s: float = 0.1,
        concurrency: int = 4,
        batch_max: int = 1,
        worst_commit_s: float = 5.0,
        links: Callable[[BusinessEvent], Sequence[Link]] = lambda event: (),
        facts: Callable[[BusinessEvent], Sequence[BusinessEvent]] = lambda event: (),
    ) -> None:
        self.remote = Remote(unique=delivery_class is DeliveryClass.A)
        self.concurrency = concurrency
        self.batch_max = batch_max
        self.worst_commit_s = worst_commit_s
        self.calls: list[Call] = []
        self.batches: list[list[str]] = []
        self.finds: list[float] = []
        self.find_faults: deque[Exception] = deque()
        self.overlaps: list[str] = []
        """Subjects that were in flight twice at the same time."""
        self.busiest = 0
        """The most calls at the same time."""
        self._class = delivery_class
        self._latency_s = latency_s
        self._links = links
        self._facts = facts
        self._faults: dict[str, deque[Fault]] = {}
        self._busy: set[str] = set()
        self._open_calls = 0

    def goes_wrong(self, subject: str, *faults: Fault) -> None:
        """The next tries of ``subject`` end so, one after the other; after them all goes well."""
        self._faults.setdefault(subject, deque()).extend(faults)

    def heals(self) -> None:
        """From now on all goes well."""
        self._faults.clear()

    def sent(self, subject: str | None = None) -> list[str]:
        """The ids of the events that were tried, in the order they came."""
        return [call.event_id for call in self.calls if subject in (None, call.subject)]

    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        return self._class

    async def deliver(self, delivery: Delivery) -> Receipt:
        async with self._one_call([delivery]):
            return await self._answer(delivery)

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Receipt | ConnectorError]:
        self.batches.append([delivery.event.id for delivery in deliveries])

        outcomes: list[Receipt | ConnectorError] = []
        async with self._one_call(deliveries):
            for delivery in deliveries:
                try:
                    outcomes.append(await self._answer(delivery))
                except ConnectorError as error:
                    outcomes.append(error)
        return outcomes

    async def find(self, delivery: Delivery) -> Receipt | None:
        assert self._class is DeliveryClass.B, "only class B can be searched"
        await trio.sleep(self._latency_s)
        self.finds.append(trio.current_time())
        if self.find_faults:
            raise self.find_faults.popleft()
        record = self.remote.find(delivery.key)
        return None if record is None else Receipt(remote_id=record.remote_id, detail="found")

    @asynccontextmanager
    async def _one_call(self, deliveries: Sequence[Delivery]) -> AsyncIterator[None]:
        subjects = {delivery.event.subject for delivery in deliveries}
        self.overlaps += sorted(subjects & self._busy)
        if len(subjects) < len(deliveries):
            self.overlaps.append("twice in one batch")
        self._busy |= subjects
        self._open_calls += 1
        self.busiest = max(self.busiest, self._open_calls)
        try:
            await trio.sleep(self._latency_s)
            yield
        finally:
            self._open_calls -= 1
            self._busy -= subjects

    async def _answer(self, delivery: Delivery) -> Receipt:
        event = delivery.event
        self.calls.append(
            Call(
                at=trio.current_time(),
                event_id=event.id,
                subject=event.subject,
                attempt=delivery.attempt,
                key=delivery.key,
            )
        )
        faults = self._faults.get(event.subject)
        fault = faults.popleft() if faults else None
        match fault:
            case Exception():
                raise fault
            case Gives(value=value):
                gives: Receipt = value
                return gives
            case Lost():
                self.remote.commit(delivery, fault.commit_after_s)
                if fault.hang:
                    await trio.sleep_forever()
                raise Unsure("the connection died")
        return Receipt(
            remote_id=self.remote.commit(delivery), links=self._links(event), facts=self._facts(event)
        )
