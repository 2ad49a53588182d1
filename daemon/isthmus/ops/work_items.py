"""What waits for a person, as people see it: whose it is, how much is at stake, what ends it."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from isthmus.store import dead_letters, deliveries, edits
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = [
    "DOMAINS",
    "SUGGESTIONS",
    "ExceptionLine",
    "ExceptionPage",
    "Stake",
    "domain_of",
    "line",
    "owner_of",
    "page",
    "stake_of",
]

_FORECASTING = ("assignment", "burn", "demand", "forecast", "utilization")
_DELIVERY = ("expense", "milestone", "project", "resource", "time")
DOMAINS: Mapping[str, str] = {
    **dict.fromkeys(_FORECASTING, "forecasting"),
    **dict.fromkeys(_DELIVERY, "delivery"),
}
"""By the noun of an event; any other is of finance."""

SUGGESTIONS: Mapping[str, str] = {
    "value": "correct the record in its own system; it is read again by itself",
    "missing": "create what it refers to, then retry",
    "mapping": "add the row to the configuration, restart, then retry",
    "period": "reopen the period or let finance decide, then retry",
    "cap": "amend the contract, then retry",
    "permission": "give the integration's user the right, then retry",
    "duplicate": "find out which of the two records is right; then resolve with its id, or skip",
    "in_doubt": "look in the other system: resolve with the record's id if it is there, else retry",
}
"""By class: what to try first."""


class Stake(msgspec.Struct, frozen=True, kw_only=True):
    """How much money waits."""

    amount: Decimal
    currency: str


class ExceptionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One work item."""

    id: int
    origin: str
    where: str
    error_class: str
    subject: str
    reason: str
    peer_words: str
    event_id: str | None
    opened_at: datetime
    state: str
    domain: str
    owner: str
    """Who it is assigned to, else who owns its domain."""
    stake: Stake | None


class ExceptionPage(msgspec.Struct, frozen=True, kw_only=True):
    """One work item whole."""

    exception: ExceptionLine
    suggestion: str
    event: dict[str, Any] | None
    edit: edits.Edit | None
    """What is sent in place of the event."""
    tries: int
    """Failed tries of its delivery."""
    notes: list[dead_letters.Note]
    proposal: dead_letters.Proposal | None
    resolved_at: datetime | None
    resolved_by: str
    note: str
    """What was said when its state changed last."""


def line(tx: Tx, letter: dead_letters.DeadLetter, owners: Mapping[str, str]) -> ExceptionLine:
    """A work item as a row.

    Args:
        owners: By domain.
    """
    event = _event(tx, letter)
    domain = domain_of(None if event is None else event["type"])
    return ExceptionLine(
        id=letter.id,
        origin=letter.origin,
        where=letter.lane_or_source,
        error_class=letter.error_class,
        subject=letter.subject,
        reason=letter.reason,
        peer_words=letter.peer_words,
        event_id=None if letter.origin == "intake" else letter.payload_place,
        opened_at=letter.opened_at,
        state=letter.state,
        domain=domain,
        owner=owner_of(letter.assigned_to, domain, owners),
        stake=stake_of(event),
    )


def page(tx: Tx, letter: dead_letters.DeadLetter, owners: Mapping[str, str]) -> ExceptionPage:
    """A work item with all that is known of it."""
    row, edit = None, None
    if letter.origin == "delivery" and letter.seq is not None:
        row = deliveries.get(tx, letter.lane_or_source, letter.seq)
        edit = edits.of(tx, letter.lane_or_source, [letter.seq]).get(letter.seq)
    return ExceptionPage(
        exception=line(tx, letter, owners),
        suggestion=SUGGESTIONS.get(letter.error_class, "read the peer's words; mend the cause, then retry"),
        event=_event(tx, letter),
        edit=edit,
        tries=0 if row is None else row.attempts,
        notes=dead_letters.notes(tx, letter.id),
        proposal=dead_letters.proposal(tx, letter.id),
        resolved_at=letter.resolved_at,
        resolved_by=letter.resolved_by,
        note=letter.note,
    )


def domain_of(event_type: str | None) -> str:
    """Whose field an event is; ``intake`` for what never became one."""
    return "intake" if event_type is None else DOMAINS.get(event_type.partition(".")[0], "finance")


def owner_of(assigned_to: str, domain: str, owners: Mapping[str, str]) -> str:
    """Who a work item is assigned to, else who owns its domain."""
    return assigned_to or owners.get(domain, domain)


def stake_of(event: Mapping[str, Any] | None) -> Stake | None:
    """The amount a fact names; None where it names none."""
    if event is None or not event.get("currency"):
        return None
    for name in ("amount", "total"):
        if isinstance(event.get(name), str):
            return Stake(amount=Decimal(event[name]), currency=event["currency"])
    return None


def _event(tx: Tx, letter: dead_letters.DeadLetter) -> dict[str, Any] | None:
    if letter.seq is None:
        return None
    rows = event_log.by_seqs(tx, [letter.seq])
    found: dict[str, Any] | None = msgspec.json.decode(rows[0].payload) if rows else None
    return found
