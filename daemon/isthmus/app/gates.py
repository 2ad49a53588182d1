"""The gate of lanes that carry charges: billing's own books are asked right before a charge is sent."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NoReturn

from isthmus.delivery.gate import NOT_SENT, NotSent
from isthmus.delivery.policy import NotYet
from isthmus.events.base import BusinessEvent
from isthmus.events.control import ChargeOvertaken
from isthmus.events.finance import ChargeDetermined
from isthmus.process.actor import StoredRows
from isthmus.process.gate import stopped
from isthmus.process.rules.books import NAME
from isthmus.runtime.doorbell import Doorbell
from isthmus.store import log as event_log
from isthmus.store import receipts, recovery
from isthmus.store.face import Store, Tx

__all__ = ["ChargeGate", "wake_when_opened"]

OPENS = frozenset({"contract.amended", "contract.signed", "period.reopened"})
"""What may open a gate that was closed."""


class ChargeGate:
    """Keeps charges of closed periods, and whatever takes back a charge this lane never sent."""

    def __init__(self, lane: str, instance: str, now: Callable[[], datetime]) -> None:
        self._lane = lane
        self._instance = instance
        self._now = now

    def __call__(self, tx: Tx, event: BusinessEvent, seq: int) -> NotSent | NotYet | None:
        if not isinstance(event, ChargeDetermined):
            return None
        kept = receipts.get(tx, self._lane, seq)
        if kept is not None:
            # Billing took back what was not sent, so a replay must not send it; what was sent stays sent.
            return NotSent(detail=kept.detail) if kept.remote_id == NOT_SENT else None
        if event.reverses is not None and self._never_sent(tx, event.origin_key, event.reverses):
            return NotSent(detail=f"takes back {event.reverses}, which was not sent")
        found = stopped(event, StoredRows(tx, NAME))
        if found is None:
            return None
        if found.fate == "waits":
            return NotYet(f"period {found.period} is closed; the reversal waits until it is reopened")
        overtaken = ChargeOvertaken(
            source=self._instance,
            occurred_at=self._now(),
            entity=event.entity,
            correlation=event.correlation or event.id,
            causation=event.id,
            charge=event.charge,
            origin=event.origin,
            origin_key=event.origin_key,
            posting_on=event.posting_on,
            period=found.period,
            lane=self._lane,
            project=event.project,
        )
        return NotSent(detail=f"period {found.period} was closed before it was sent", facts=[overtaken])

    def _never_sent(self, tx: Tx, origin_key: str, charge: str) -> bool:
        for row in event_log.by_subject(tx, origin_key):
            event = row.event() if row.kind == "charge.determined" else None
            if isinstance(event, ChargeDetermined) and event.charge == charge:
                receipt = receipts.get(tx, self._lane, row.seq)
                return receipt is not None and receipt.remote_id == NOT_SENT
        return False


async def wake_when_opened(
    store: Store, bell: Doorbell, lanes: Sequence[str], wake: Callable[[], None], now: Callable[[], datetime]
) -> NoReturn:
    """Try what waits at a gate again as soon as a period is reopened or a policy changes."""
    position = await store.read(event_log.head)

    def unit(tx: Tx, after: int) -> tuple[int, int]:
        rows, upto = event_log.read_after(tx, after, OPENS, 100)
        return upto, recovery.wake_gated(tx, lanes, now()) if rows else 0

    while True:
        after = position
        head = await store.read(event_log.head)
        if head > after:
            position, woken = await store.write(lambda tx, after=after: unit(tx, after))  # type: ignore[misc]
            if woken:
                wake()
        if position == after:
            await bell.wait()
