"""What an owner is to be told over one channel, and when. Pure: no clock, no I/O.

A `Book` is what one channel of one owner knows. `decide` gives it the next message where one is due; a
message stays in hand until the peer took it (`delivered`), and only then its items count as told. While one
is in hand no other is made: what comes meanwhile is in the next one, so a peer that was down for days gets
two messages and not two hundred.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta, tzinfo
from decimal import Decimal
from hashlib import sha256
from typing import Literal

import msgspec

__all__ = [
    "Book",
    "Group",
    "Item",
    "Notice",
    "Rules",
    "decide",
    "delivered",
    "failed",
    "gone",
    "is_quiet",
    "message_id",
]

Kind = Literal["news", "reminder", "resolved", "test"]
Key = int | str
"""An exception's number; or the words that name a fault, such as ``parked netsuite-us``."""

REMIND_AFTER = timedelta(days=1)
SUBJECTS = 3
"""How many business keys of a group are named."""
GROUPS = 20
"""How many groups a message has, the largest first."""
RETRY_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The waits after each failure, as Standard Webhooks advises; about three days together."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is open: an exception, a parked actor, a quarantined plugin."""

    key: Key
    error_class: str
    where: str
    subject: str = ""
    amount: Decimal | None = None
    currency: str = ""
    waits: bool = True
    """Whether it waits for its owner; False for what is being tried again."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Items of one class in one place."""

    error_class: str
    where: str
    count: int
    stakes: dict[str, Decimal] = {}
    """The amounts at stake, by currency."""
    subjects: tuple[str, ...] = ()
    """A few of the business keys."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message. News tells what is new, a reminder what is still open."""

    id: str
    """The same however often it is sent."""
    kind: Kind
    owner: str
    made_at: datetime
    count: int = 0
    """How many items the groups tell of."""
    open: int = 0
    """How many wait in all."""
    stakes: dict[str, Decimal] = {}
    """Of all that waits."""
    groups: tuple[Group, ...] = ()
    left_out: int = 0
    """Groups that are not named."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How an owner wants to be told."""

    every: timedelta
    """How long news is gathered, and the least time between two messages."""
    quiet: tuple[time, time] | None = None
    """From when until when nothing is sent, on the clock of ``zone``."""
    zone: tzinfo


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """What one channel of one owner knows."""

    told: frozenset[Key] = frozenset()
    """What the owner knows of and still waits."""
    since: datetime | None = None
    """When the oldest untold item was noticed."""
    last_at: datetime | None = None
    """When the last message was taken."""
    alarmed: bool = False
    """Something was told, and not yet that all of it is resolved."""
    notice: Notice | None = None
    """The message in hand."""
    tells: frozenset[Key] = frozenset()
    """What the message in hand tells."""
    failures: int = 0
    """Of the message in hand."""
    due_at: datetime | None = None
    """When it is tried next."""
    gone: str = ""
    """The address that wants no more messages; empty: none has said so."""


def decide(book: Book, items: Sequence[Item], rules: Rules, now: datetime, *, owner: str, seed: str) -> Book:
    """The book after a look at all that is open for its owner, with the next message where one is due.

    Args:
        seed: Makes message ids of this channel differ from those of any other.
    """
    waiting = {item.key: item for item in items if item.waits}
    told = book.told & waiting.keys()
    tells = book.tells & waiting.keys()
    news = waiting.keys() - told - tells
    since = None if not news else book.since or now
    book = msgspec.structs.replace(book, told=told, tells=tells, since=since)
    if book.notice is not None or is_quiet(rules, now):
        return book
    rested = book.last_at is None or now >= book.last_at + rules.every
    kind: Kind
    if since is not None and now >= since + rules.every and rested:
        kind, named = "news", news
    elif told and book.last_at is not None and now >= book.last_at + REMIND_AFTER:
        kind, named = "reminder", set(waiting)
    elif book.alarmed and not items and rested:
        kind, named = "resolved", set()
    else:
        return book
    groups = _groups(waiting[key] for key in named)
    notice = Notice(
        id=message_id(seed, now),
        kind=kind,
        owner=owner,
        made_at=now,
        count=len(named),
        open=len(waiting),
        stakes=_stakes(waiting.values()),
        groups=tuple(groups[:GROUPS]),
        left_out=max(0, len(groups) - GROUPS),
    )
    return msgspec.structs.replace(
        book,
        notice=notice,
        tells=frozenset(named),
        failures=0,
        due_at=now,
        since=None,
    )


def delivered(book: Book, now: datetime) -> Book:
    """The peer took the message in hand: what it tells is told."""
    assert book.notice is not None
    return msgspec.structs.replace(
        book,
        told=book.told | book.tells,
        last_at=now,
        alarmed=book.notice.kind != "resolved",
        **_NOTHING_IN_HAND,
    )


def failed(
    book: Book, now: datetime, *, retry_after_s: float | None = None, jitter: Callable[[], float]
) -> Book:
    """The peer did not take it: the same message again later, or, after the last try, none in hand.

    What a given-up message told stays untold, so the next message has it again.

    Args:
        retry_after_s: The peer's own word; never shortens the wait.
        jitter: Draws from [0, 1).
    """
    if book.failures >= len(RETRY_S):
        return msgspec.structs.replace(book, **_NOTHING_IN_HAND)
    wait_s = max(RETRY_S[book.failures] * (1 + 0.2 * jitter()), retry_after_s or 0.0)
    return msgspec.structs.replace(book, failures=book.failures + 1, due_at=now + timedelta(seconds=wait_s))


def gone(book: Book, address: str) -> Book:
    """The peer wants no more messages at this address."""
    return msgspec.structs.replace(book, gone=address, **_NOTHING_IN_HAND)


_NOTHING_IN_HAND: Mapping[str, object] = {
    "notice": None,
    "tells": frozenset(),
    "failures": 0,
    "due_at": None,
}


def is_quiet(rules: Rules, now: datetime) -> bool:
    """Whether nothing is sent now; the hours may go over midnight."""
    if rules.quiet is None:
        return False
    begins, ends = rules.quiet
    clock = now.astimezone(rules.zone).time()
    return begins <= clock < ends if begins <= ends else clock >= begins or clock < ends


def message_id(seed: str, made_at: datetime) -> str:
    """One word, the same for the same message, with nothing of the owner's name in it.

    Of the time and no running number: one that a restored backup counts again would pass for an old message.
    """
    return "msg_" + sha256(f"{seed}\0{made_at.isoformat()}".encode()).hexdigest()[:32]


def _groups(items: Iterable[Item]) -> list[Group]:
    """By class and place, the largest first."""
    found: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        found.setdefault((item.where, item.error_class), []).append(item)
    groups = [
        Group(
            error_class=error_class,
            where=where,
            count=len(members),
            stakes=_stakes(members),
            subjects=_subjects(members),
        )
        for (where, error_class), members in found.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.where, group.error_class))


def _subjects(members: Collection[Item]) -> tuple[str, ...]:
    named = Counter(member.subject for member in members if member.subject)
    return tuple(sorted(named, key=lambda subject: (-named[subject], subject))[:SUBJECTS])


def _stakes(items: Iterable[Item]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for item in items:
        if item.amount is not None:
            sums[item.currency] = sums.get(item.currency, Decimal(0)) + item.amount
    return dict(sorted(sums.items()))
