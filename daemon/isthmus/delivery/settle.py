"""The transaction that ends a call: receipts, links and facts of what went well, rows of what did not."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import msgspec

from isthmus.delivery.lane import Item
from isthmus.delivery.policy import CRASHES_MAX, DeadLetter, InDoubt, RetryAt
from isthmus.sdk.connector import Receipt
from isthmus.store import crosswalk, dead_letters, deliveries, intents, lanes, receipts
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = ["Failure", "Settlement", "Success", "settle"]


class Success(msgspec.Struct, kw_only=True):
    """An item the peer has, and its proof."""

    item: Item
    receipt: Receipt


class Failure(msgspec.Struct, kw_only=True):
    """An item that did not go well: its fate, why, and what waits behind it."""

    item: Item
    fate: RetryAt | InDoubt | DeadLetter
    error_class: str
    text: str
    peer_words: str
    behind: Sequence[Item] = ()
    crash: bool = False


class Settlement(msgspec.Struct, kw_only=True):
    """Everything one call left behind; ``position`` is where the lane stands after it."""

    lane: str
    instance: str
    call: int | None
    successes: Sequence[Success]
    failures: Sequence[Failure]
    folded: Sequence[Item]
    position: int
    hold_on_dead: bool
    sibling_lanes: Sequence[str]


def settle(tx: Tx, ended: Settlement, now: datetime) -> int:
    """Write what a call left behind; how many facts became new events in the log."""
    lane = ended.lane
    receipts.add_many(
        tx,
        lane,
        [(done.item.seq, done.receipt.remote_id, done.receipt.detail) for done in ended.successes]
        + [(item.seq, "folded", "a newer fact of the same subject was delivered") for item in ended.folded],
        now,
    )
    linked = False
    facts = 0
    for done in ended.successes:
        for link in done.receipt.links:
            crosswalk.link(tx, link.kind, link.key, ended.instance, link.remote_id, now)
            linked = True
        if done.receipt.facts:
            facts += len(event_log.append(tx, done.receipt.facts, now).new)
        if done.item.row:
            deliveries.settle(tx, lane, done.item.seq, now)
            dead_letters.resolve_delivery(tx, lane, done.item.seq, by=ended.instance, now=now)
    for failed in ended.failures:
        _fail(tx, ended, failed, now)
    if linked:
        deliveries.wake_unmet(tx, ended.sibling_lanes, now)
    if ended.call is not None:
        intents.close_call(tx, ended.call)
    lanes.advance(tx, lane, ended.position)
    return facts


def _fail(tx: Tx, ended: Settlement, failed: Failure, now: datetime) -> None:
    item, lane = failed.item, ended.lane
    crashes = item.crashes + failed.crash
    fate = failed.fate
    if failed.crash and crashes >= CRASHES_MAX:
        fate = DeadLetter("other", f"the connector broke {crashes} times on it: {failed.text}")
    attempts = item.attempts + (fate.counts if isinstance(fate, RetryAt) else 1)
    due_at = fate.due_at if isinstance(fate, RetryAt) else None
    state = "waiting"
    if isinstance(fate, InDoubt):
        state, due_at = "in_doubt", fate.look_up_at
    deliveries.postpone(
        tx,
        lane,
        item.seq,
        item.subject,
        due_at=due_at,
        attempts=attempts,
        crashes=crashes,
        error_class=failed.error_class,
        error_text=failed.text,
        now=now,
        state=state,
    )
    for other in failed.behind:
        deliveries.queue_behind(tx, lane, other.seq, other.subject, now=now, hold_on_dead=ended.hold_on_dead)
    if isinstance(fate, DeadLetter):
        deliveries.bury(tx, lane, item.seq, hold_on_dead=ended.hold_on_dead, now=now)
    elif not (isinstance(fate, InDoubt) and fate.look_up_at is None):
        return
    reason_class = fate.reason if isinstance(fate, DeadLetter) else "in_doubt"
    dead_letters.open_one(
        tx,
        origin="delivery",
        source=lane,
        seq=item.seq,
        subject=item.subject,
        reason_class=reason_class,
        reason=fate.text if isinstance(fate, DeadLetter) else failed.text,
        peer_words=failed.peer_words,
        payload_hash=sha256(item.payload).hexdigest(),
        payload_place=item.event_id,
        now=now,
    )
