"""Work items for people: what could not be read, was refused, or broke a rule. Nothing is dropped."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from isthmus.store.face import Row, Tx
from isthmus.store.instants import from_text, maybe_from_text

Origin = Literal["intake", "delivery", "process"]
LetterState = Literal["open", "retrying", "resolved", "skipped"]


class DeadLetter(msgspec.Struct, frozen=True):
    """One work item."""

    id: int
    origin: Origin
    lane_or_source: str
    """The source for ``intake``, the lane for the others."""
    seq: int | None
    """The event of the log; None for ``intake``, which never became one."""
    subject: str
    error_class: str
    reason: str
    peer_words: str
    """What the other side said, word for word."""
    payload_hash: str
    payload_place: str
    """Where in the source the refused record stands (a page and row, a file and line)."""
    payload: bytes | None
    """The refused record as it was received, where it is kept."""
    opened_at: datetime
    state: LetterState
    resolved_at: datetime | None
    resolved_by: str
    note: str
    assigned_to: str


class Note(msgspec.Struct, frozen=True):
    """What somebody found out about a work item."""

    at: datetime
    by: str
    text: str


class Proposal(msgspec.Struct, frozen=True):
    """What one person wants to do about a work item and a second one must agree to."""

    act: Literal["skip", "resolve", "edit"]
    detail: str
    at: datetime
    by: str
    reason: str


class Unsolved(msgspec.Struct, frozen=True):
    """As much of a work item and its event as tells whose it is and what is at stake."""

    id: int
    state: LetterState
    assigned_to: str
    lane_or_source: str
    error_class: str
    subject: str
    type: str | None
    """Of its event; None for ``intake``."""
    amount: object
    total: object
    currency: object


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which work items; None means any."""

    state: LetterState | None = "open"
    origin: Origin | None = None
    lane_or_source: str | None = None
    subject: str | None = None
    error_class: str | None = None
    after: int = 0
    """Begin behind this id."""
    limit: int = 100


def open_one(
    tx: Tx,
    origin: Origin,
    lane_or_source: str,
    error_class: str,
    reason: str,
    now: datetime,
    *,
    seq: int | None = None,
    subject: str = "",
    peer_words: str = "",
    payload_hash: str = "",
    payload_place: str = "",
    payload: bytes | None = None,
) -> int | None:
    """Open a work item.

    The same record refused at intake again adds none. For a delivery or a process that has an unsolved item
    for the event, that item is refreshed and open again.

    Returns:
        Its id; None when the record of a source is known already.
    """
    statement = "dead_letter_intake" if origin == "intake" else "dead_letter_of_event"
    event = {} if origin == "intake" else {"origin": origin, "seq": seq}
    row = tx.one(
        statement,
        lane_or_source=lane_or_source,
        subject=subject,
        error_class=error_class,
        reason=reason,
        peer_words=peer_words,
        payload_hash=payload_hash,
        payload_place=payload_place,
        payload=payload,
        now=now,
        **event,
    )
    return None if row is None else int(row[0])


def get(tx: Tx, letter: int) -> DeadLetter | None:
    row = tx.one("dead_letter_get", id=letter)
    return None if row is None else _letter(row)


def unsolved(tx: Tx, lane: str, seq: int) -> DeadLetter | None:
    """The open work item of a delivery, or of an event a process choked on."""
    row = tx.one("dead_letter_unsolved", lane_or_source=lane, seq=seq)
    return None if row is None else _letter(row)


def listing(tx: Tx, wanted: Filter) -> list[DeadLetter]:
    """A page of work items, the longest open first."""
    name = "dead_letters_page" if wanted.state is None else "dead_letters_page_in_state"
    state = {} if wanted.state is None else {"state": wanted.state}
    rows = tx.all(
        name,
        origin=wanted.origin,
        lane_or_source=wanted.lane_or_source,
        subject=wanted.subject,
        error_class=wanted.error_class,
        after=wanted.after,
        limit=wanted.limit,
        **state,
    )
    return [_letter(row) for row in rows]


def mark(tx: Tx, letter: int, state: LetterState, by: str, now: datetime, note: str = "") -> bool:
    """Say what became of a work item, and who decided; False when there is none of this id."""
    solved_at = now if state in ("resolved", "skipped") else None
    return tx.run("dead_letter_mark", id=letter, state=state, resolved_at=solved_at, by=by, note=note) == 1


def assign(tx: Tx, letter: int, to: str) -> None:
    """Say whose work it is."""
    tx.run("dead_letter_assign", id=letter, to=to)


def add_note(tx: Tx, letter: int, by: str, text: str, now: datetime) -> None:
    """Keep what somebody found out."""
    tx.run("exception_note_add", id=letter, by=by, text=text, now=now)


def notes(tx: Tx, letter: int) -> list[Note]:
    """Oldest first."""
    return [Note(from_text(at), by, text) for at, by, text in tx.all("exception_notes_of", id=letter)]


def propose(tx: Tx, letter: int, proposal: Proposal) -> None:
    """Keep what waits for a second person; a newer proposal takes its place."""
    tx.run(
        "proposal_put",
        id=letter,
        act=proposal.act,
        detail=proposal.detail,
        now=proposal.at,
        by=proposal.by,
        reason=proposal.reason,
    )


def proposal(tx: Tx, letter: int) -> Proposal | None:
    """What waits for a second person."""
    row = tx.one("proposal_get", id=letter)
    return None if row is None else Proposal(row[0], row[1], from_text(row[2]), row[3], row[4])


def drop_proposal(tx: Tx, letter: int) -> None:
    """It was carried out, or is moot."""
    tx.run("proposal_drop", id=letter)


def all_unsolved(tx: Tx, *, page: int = 1000) -> Iterator[Unsolved]:
    """Every work item that is open or tried again."""
    for state in ("open", "retrying"):
        after = 0
        while rows := tx.all("dead_letters_unsolved", state=state, after=after, limit=page):
            yield from (Unsolved(*row) for row in rows)
            after = rows[-1][0]


def counts(tx: Tx) -> dict[tuple[Origin, str, LetterState], int]:
    """How many still need somebody, by origin, lane or source, and state."""
    return {(origin, place, state): number for origin, place, state, number in tx.all("dead_letters_counts")}


def _letter(row: Row) -> DeadLetter:
    values = list(row)
    values[11], values[13] = from_text(row[11]), maybe_from_text(row[13])
    return DeadLetter(**dict(zip(DeadLetter.__struct_fields__, values, strict=True)))
