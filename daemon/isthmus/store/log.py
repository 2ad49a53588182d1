"""What happened, in the order we learnt it. Append-only; a fact read twice counts once."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from isthmus.events.base import BusinessEvent, kind_of
from isthmus.events.codec import ALL_TYPES, EventRefused, decode, encode
from isthmus.store.face import Row, Tx
from isthmus.store.instants import from_text, to_text

SCAN_WINDOW = 5000
"""Rows one `read_after` looks at, at most, where a lane wants few of them."""


class Fact(msgspec.Struct, frozen=True):
    """As much of an event as a lane or a process takes with it; every event is read so once per lane."""

    seq: int
    id: str
    entity: str
    subject: str
    recorded_at: datetime
    payload: bytes

    def event(self) -> BusinessEvent:
        """The event in its newest shape."""
        return decode(self.payload)


class LogRow(msgspec.Struct, frozen=True):
    """One event of the log. ``payload`` is its JSON."""

    seq: int
    id: str
    type: str
    """The tag with its version: ``time.approved/1``."""
    entity: str
    subject: str
    thread: str
    revision: int
    stale: bool
    """A newer revision was known already: recorded, never applied."""
    recorded_at: datetime
    payload: bytes

    @property
    def kind(self) -> str:
        """The tag without its version."""
        return self.type.partition("/")[0]

    def event(self) -> BusinessEvent:
        """The event in its newest shape."""
        return decode(self.payload)


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch of events."""

    new: list[int]
    """The seqs of the new ones, in the order they were given."""
    duplicates: int
    """How many were known already."""
    stale: int
    """How many of the new ones came after a newer revision of the same thing."""
    conflicts: list[str]
    """Ids that were known with another content. The first content stays; somebody must look."""


def append(tx: Tx, events: Sequence[BusinessEvent], now: datetime) -> Appended:
    """Add what is new of ``events``.

    An event is known when the log has its id. It is stale when its type demands a revision and the log has
    a higher one of the same subject and noun (the type up to its first dot).
    """
    if not events:
        return Appended(new=[], duplicates=0, stale=0, conflicts=[])
    before = head(tx)
    at = to_text(now)
    rows = []
    for event in events:
        tag, noun = _facts(type(event))
        payload = encode(event).decode()
        rows.append(
            (event.id, tag, event.entity, event.subject, event.thread, event.fact_revision, at, payload, noun)
        )
    added = tx.many("log_add", rows)
    stale = tx.one("log_stale_after", seq=before)
    return Appended(
        # Nothing else writes meanwhile and rows are never deleted, so the new ones follow each other.
        new=list(range(before + 1, before + added + 1)),
        duplicates=len(events) - added,
        stale=int(stale[0]) if stale else 0,
        conflicts=_conflicts(tx, rows, before) if added < len(events) else [],
    )


@cache
def _facts(event_type: type[BusinessEvent]) -> tuple[str, str | None]:
    """The tag of a type, and its noun with the dot where an older revision must not be applied."""
    revised = any(field.name == "revision" and field.required for field in msgspec.structs.fields(event_type))
    noun = kind_of(event_type).partition(".")[0] + "."
    return str(event_type.__struct_config__.tag), noun if revised else None


def _conflicts(tx: Tx, rows: Iterable[Sequence[Any]], before: int) -> list[str]:
    """The ids among ``rows`` that were known at seq ``before``, or came twice, with another content."""
    ids = msgspec.json.encode([row[0] for row in rows]).decode()
    # Most of a page is new; reading back what was just written would cost as much as writing it.
    kept: dict[str, str] = dict(tx.all("log_payloads_by_id", ids=ids, before=before))
    odd = []
    for row in rows:
        event_id, payload = row[0], row[7]
        first = kept.setdefault(event_id, payload)
        if first != payload and _differ(first, payload):
            odd.append(event_id)
    return list(dict.fromkeys(odd))


def _differ(kept: str, came: str) -> bool:
    """Whether two payloads say different things, apart from when; old shapes are compared as new ones."""
    try:
        return _said(kept) != _said(came)
    except EventRefused:
        return True


def _said(payload: str) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.json.decode(encode(decode(payload)))
    said.pop("occurred_at", None)
    return said


def head(tx: Tx) -> int:
    """The newest seq; 0 for an empty log."""
    row = tx.one("log_head")
    return int(row[0]) if row else 0


def count(tx: Tx) -> int:
    """How many events there are: rows are never deleted, so it is the newest seq."""
    return head(tx)


def read_after(tx: Tx, seq: int, kinds: frozenset[str], limit: int) -> tuple[list[Fact], int]:
    """The next events of some kinds, stale ones left out, and how far was looked.

    A lane may move its position to the second value when it has dealt with the rows. Where rows of its kinds
    are rare, the list may be short or empty although there is more behind: while the second value is below
    `head`, ask again from there.
    """
    upto = min(head(tx), seq + max(SCAN_WINDOW, limit))
    if upto <= seq:
        return [], seq
    rows = tx.all("log_read_window", after=seq, upto=upto, types=_types(kinds), limit=limit)
    found = [
        Fact(seq, event_id, entity, subject, from_text(recorded_at), payload)
        for seq, event_id, entity, subject, recorded_at, payload in rows
    ]
    return found, found[-1].seq if len(found) == limit else upto


def by_id(tx: Tx, event_id: str) -> LogRow | None:
    row = tx.one("log_by_id", id=event_id)
    return None if row is None else _row(row)


def by_seqs(tx: Tx, seqs: Iterable[int]) -> list[LogRow]:
    """In the order of the log."""
    return [_row(row) for row in tx.all("log_by_seqs", seqs=json.dumps(sorted(seqs)))]


def by_subject(tx: Tx, subject: str, *, after: int = 0, limit: int = 1000) -> list[LogRow]:
    """The history of one business key."""
    return [_row(row) for row in tx.all("log_by_subject", subject=subject, after=after, limit=limit)]


def by_thread(tx: Tx, thread: str, *, after: int = 0, limit: int = 1000) -> list[LogRow]:
    """The story of one project, contract, deal or customer."""
    return [_row(row) for row in tx.all("log_by_thread", thread=thread, after=after, limit=limit)]


def newest_revision(tx: Tx, subject: str, noun: str) -> int:
    """The highest revision told of a business key; 0 for none.

    Args:
        noun: Only of types that begin so: ``contract.`` for signed, amended and ended ones.
    """
    row = tx.one("log_newest_revision", subject=subject, noun=noun)
    return int(row[0] or 0) if row else 0


def search(
    tx: Tx, kind: str | None = None, key: str | None = None, after: int | None = None, limit: int = 100
) -> list[LogRow]:
    """A page of the log, oldest first, from behind ``after``.

    Args:
        kind: Only this kind, in all its versions.
        key: Only what is about this key or belongs to its thread.
    """
    types = None if kind is None else _types(frozenset({kind}))
    start = 0 if after is None else after
    if key is None:
        return [_row(row) for row in tx.all("log_page", after=start, types=types, limit=limit)]
    return [_row(row) for row in tx.all("log_page_of_key", key=key, after=start, types=types, limit=limit)]


def seq_before(tx: Tx, at: datetime) -> int:
    """The newest seq that was recorded before ``at``; 0 where none was. Seqs follow the clock."""
    low, high = 0, head(tx)
    while low < high:
        middle = (low + high + 1) // 2
        row = tx.one("log_recorded_at", seq=middle)
        if row is not None and from_text(row[0]) < at:
            low = middle
        else:
            high = middle - 1
    return low


def mentioning(
    tx: Tx, words: str, *, kinds: frozenset[str] | None = None, after: int = 0, upto: int, limit: int = 1000
) -> list[LogRow]:
    """A page of the events of ``after < seq <= upto`` that have ``words`` in their JSON, oldest first.

    It reads every row between: ask for some tens of thousands at a time.
    """
    types = None if kinds is None else _types(kinds)
    rows = tx.all("log_mentioning", after=after, upto=upto, words=words, types=types, limit=limit)
    return [_row(row) for row in rows]


@cache
def _types(kinds: frozenset[str]) -> str:
    """The tags of some kinds, every version we can read, as a JSON list."""
    return json.dumps(sorted(str(each.__struct_config__.tag) for each in ALL_TYPES if kind_of(each) in kinds))


def _row(row: Row) -> LogRow:
    seq, event_id, tag, entity, subject, thread, revision, stale, recorded_at, payload = row
    return LogRow(
        seq, event_id, tag, entity, subject, thread, revision, bool(stale), from_text(recorded_at), payload
    )
