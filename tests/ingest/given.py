"""Sources that answer as they were told, and what the store kept of it."""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import trio

from isthmus.events import BusinessEvent, TimeApproved
from isthmus.ingest.actor import Watch, read_stream
from isthmus.ingest.record import Recorded
from isthmus.runtime.doorbell import Doorbell
from isthmus.sdk.connector import Page, Refused, Source
from isthmus.store import cursors, dead_letters, log
from isthmus.store.face import Store, Tx

START = datetime(2026, 10, 30, 12, tzinfo=UTC)
INSTANCE, STREAM = "psa", "time"
POLL_S = 60.0


def now() -> datetime:
    """Trio's clock as an aware instant."""
    return START + timedelta(seconds=trio.current_time())


def time(entry: str, revision: int = 1, hours: str = "7.50", **changes: Any) -> TimeApproved:
    """A time entry; its id is ``psa/time.approved/<entry>/<revision>``."""
    fields: dict[str, Any] = {
        "source": INSTANCE,
        "occurred_at": START,
        "entity": "de01",
        "entry": entry,
        "revision": revision,
        "project": "psa:p1",
        "resource": "psa:r1",
        "service": "consulting",
        "worked_on": date(2026, 10, 29),
        "hours": Decimal(hours),
        "billable": True,
        "approved_on": date(2026, 10, 30),
    }
    return TimeApproved(**{**fields, **changes})


def page(*events: BusinessEvent, to: str, more: bool = False, **rest: Any) -> Page:
    return Page(events=events, next=to.encode(), more=more, **rest)


def refused(raw: bytes, place: str = "time_entries/7", reason: str = "hours: not a number") -> Refused:
    return Refused(reason=reason, place=place, raw=raw)


class Shelf(Source):
    """Pages in a row; the cursor is how many were read. Asked again, it answers the same."""

    streams = (STREAM,)

    def __init__(self, pages: Sequence[Sequence[BusinessEvent]]) -> None:
        self._pages = pages

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        await trio.lowlevel.checkpoint()
        number = 0 if cursor is None else int(cursor)
        if number >= len(self._pages):
            return Page(events=(), next=str(number).encode())
        return page(*self._pages[number], to=str(number + 1), more=number + 1 < len(self._pages))


class Told(Source):
    """Gives these answers, one per pull, then pages without news; an exception is raised."""

    streams = (STREAM,)

    def __init__(self, *answers: Page | Exception, takes_s: float = 0.0) -> None:
        self.asked_at: list[float] = []
        self.asked_with: list[bytes | None] = []
        self._answers = deque(answers)
        self._takes_s = takes_s

    @property
    def pauses(self) -> list[float]:
        """Seconds between one pull and the next."""
        return [round(later - earlier, 6) for earlier, later in pairwise(self.asked_at)]

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        assert stream == STREAM
        self.asked_at.append(trio.current_time())
        self.asked_with.append(cursor)
        await trio.sleep(self._takes_s)
        if not self._answers:
            return Page(events=(), next=cursor or b"0")
        answer = self._answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Noted(Watch):
    """What an intake told whoever looks on."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self.failures: list[str] = []

    def pulled(self, stream: str, page: Page, recorded: Recorded) -> None:
        self.recorded.append(recorded)

    def failed(self, stream: str, error: Exception) -> None:
        self.failures.append(str(error))


class Reading:
    """An intake at work."""

    def __init__(self) -> None:
        self.bell = Doorbell()
        self.watch = Noted()
        self.announced = 0
        self.rests: list[float] = []
        self.may_read = True

    def announce(self) -> None:
        self.announced += 1


@asynccontextmanager
async def reading(
    source: Source, store: Store, *, poll_s: float = POLL_S, **how: Any
) -> AsyncIterator[Reading]:
    """The stream is read inside the block; leaving it cancels, as a stop does."""
    at_work = Reading()

    async def run() -> None:
        await read_stream(
            source,
            STREAM,
            instance=INSTANCE,
            store=store,
            bell=at_work.bell,
            poll_s=poll_s,
            now=now,
            announce=at_work.announce,
            may_read=lambda: at_work.may_read,
            rest=at_work.rests.append,
            watch=at_work.watch,
            **how,
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield at_work
        nursery.cancel_scope.cancel()


async def cursor(store: Store) -> bytes | None:
    return await store.read(lambda tx: cursors.get(tx, INSTANCE, STREAM))


async def ids(store: Store) -> list[str]:
    """What the log holds, in its order."""
    return [row.id for row in await store.read(lambda tx: log.search(tx, limit=10_000))]


async def letters(store: Store) -> list[dead_letters.DeadLetter]:
    return await store.read(lambda tx: dead_letters.listing(tx, dead_letters.Filter(state=None)))


async def applied(store: Store) -> list[str]:
    """What a lane of this kind would be given."""

    def unit(tx: Tx) -> list[str]:
        return [row.id for row in log.read_after(tx, 0, frozenset({"time.approved"}), 1000)[0]]

    return await store.read(unit)
