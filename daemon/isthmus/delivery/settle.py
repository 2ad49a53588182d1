"""The transaction that ends a call: receipts, links and facts of what went well, rows of what did not."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import msgspec

from isthmus.delivery.confirm import Word, confirmations
from isthmus.delivery.gate import NOT_SENT
from isthmus.delivery.lane import Item
from isthmus.delivery.policy import DeadLetter, HoldBack, InDoubt, RetryAt
from isthmus.sdk.connector import Receipt
from isthmus.store import crosswalk, dead_letters, deliveries, intents, lanes, receipts, recovery
from isthmus.store import log as event_log
from isthmus.store.errors import CrosswalkConflict
from isthmus.store.face import Tx

__all__ = [
    "DOUBTS",
    "FOLDED",
    "SHADOW",
    "Failure",
    "Folded",
    "Settlement",
    "Success",
    "open_work_item",
    "settle",
]

FOLDED = "folded"
"""What stands in a receipt in place of the peer's id when a newer fact of the subject went instead."""
DOUBTS = frozenset({"Unsure", "Crash", "Interrupted"})
"""What a row is marked with while its delivery may have arrived without our knowing."""
SHADOW = "Shadow"
"""What a row is marked with when its lane went live, and what stands for it in the peer was not clear."""


class Success(msgspec.Struct, kw_only=True):
    """An item the peer has, and its proof."""

    item: Item
    receipt: Receipt


class Folded(msgspec.Struct, kw_only=True):
    """An item that was not sent, because a newer one of its subject went instead."""

    item: Item
    by: Item


class Failure(msgspec.Struct, kw_only=True):
    """An item that did not go well: its fate, why, and what waits behind it."""

    item: Item
    fate: RetryAt | InDoubt | DeadLetter | HoldBack
    error_class: str
    text: str
    peer_words: str
    behind: Sequence[Item] = ()
    crash: bool = False
    doubtful: bool = False
    """This try, or an earlier one that nothing cleared up since, may have arrived."""

    @property
    def mark(self) -> str:
        """What the row is marked with: a doubt outlives what later tries say of themselves."""
        return "Unsure" if self.doubtful and self.error_class not in DOUBTS else self.error_class


class Settlement(msgspec.Struct, kw_only=True):
    """Everything one call left behind; ``position`` is where the lane stands after it."""

    lane: str
    instance: str
    call: int | None
    successes: Sequence[Success]
    failures: Sequence[Failure]
    folded: Sequence[Folded]
    position: int
    hold_on_dead: bool
    sibling_lanes: Sequence[str]
    confirms: frozenset[str] = frozenset()
    """Kinds whose settling is a fact of its own."""


def settle(tx: Tx, ended: Settlement, now: datetime) -> int:
    """Write what a call left behind; how many facts became new events in the log."""
    lane = ended.lane
    receipts.add_many(
        tx,
        lane,
        [(done.item.seq, done.receipt.remote_id, done.receipt.detail) for done in ended.successes]
        + [(each.item.seq, FOLDED, f"{each.by.event_id} goes instead") for each in ended.folded],
        now,
    )
    linked = False
    facts = 0
    for done in ended.successes:
        if done.item.row:
            deliveries.settle(tx, lane, done.item.seq, hold_on_dead=ended.hold_on_dead)
            letter = dead_letters.unsolved(tx, lane, done.item.seq)
            if letter is not None:
                dead_letters.mark(tx, letter.id, "resolved", ended.instance, now, _note(done))
        for link in done.receipt.links:
            try:
                crosswalk.link(tx, link.kind, link.key, ended.instance, link.remote_id, now)
                linked = True
            except CrosswalkConflict as conflict:
                open_work_item(
                    tx,
                    lane,
                    done.item,
                    reason_class="duplicate",
                    reason=f"delivered, but {conflict}",
                    peer_words="",
                    now=now,
                )
        if done.receipt.facts:
            facts += len(event_log.append(tx, done.receipt.facts, now).new)
    for failed in ended.failures:
        _fail(tx, ended, failed, now)
    if ended.confirms:
        words = confirmations(tx, lane, ended.instance, ended.confirms, _words(ended), now)
        facts += len(event_log.append(tx, words, now).new)
    if linked:
        recovery.wake_unmet(tx, ended.sibling_lanes, now)
    if ended.call is not None:
        intents.close_call(tx, ended.call)
    lanes.advance(tx, lane, ended.position)
    return facts


def _note(done: Success) -> str:
    """How a dead letter ended."""
    receipt = done.receipt
    return f"not sent: {receipt.detail}" if receipt.remote_id == NOT_SENT else "delivered"


def _words(ended: Settlement) -> list[Word]:
    """What is over for now: delivered, refused, or in doubt for good; what is tried again is not told."""
    words = [
        Word(item=each.item, outcome="delivered", detail=each.receipt.remote_id) for each in ended.successes
    ]
    arrived = {each.item.seq for each in ended.successes}
    words += [
        Word(item=each.item, outcome="delivered", detail=f"folded into {each.by.event_id}")
        for each in ended.folded
        if each.by.seq in arrived
    ]
    for failed in ended.failures:
        match failed.fate:
            case DeadLetter(text=text):
                words.append(Word(item=failed.item, outcome="refused", detail=text))
            case InDoubt(look_up_at=None):
                words.append(Word(item=failed.item, outcome="in_doubt", detail=failed.text))
    return words


def _fail(tx: Tx, ended: Settlement, failed: Failure, now: datetime) -> None:
    item, lane, fate, text = failed.item, ended.lane, failed.fate, failed.text
    if failed.crash:
        deliveries.crashed(tx, lane, item.seq, item.subject, now)
    attempts = item.attempts + (fate.counts if isinstance(fate, RetryAt) else 1)
    match fate:
        case RetryAt(due_at=due_at):
            deliveries.postpone(tx, lane, item.seq, item.subject, due_at, attempts, failed.mark, text, now)
        case InDoubt(look_up_at=look_up_at):
            due_at = look_up_at or recovery.NEVER
            deliveries.postpone(
                tx, lane, item.seq, item.subject, due_at, attempts, failed.mark, text, now, "in_doubt"
            )
        case DeadLetter(reason=reason):
            text = fate.text
            mark = failed.mark if failed.doubtful else reason
            hold = ended.hold_on_dead
            deliveries.bury(
                tx, lane, item.seq, item.subject, mark, text, now, attempts=attempts, hold_on_dead=hold
            )
        case HoldBack(due_at=due_at):
            deliveries.hold_back(tx, lane, item.seq, item.subject, due_at, failed.error_class, text)
    # Only now: whether these are due or blocked depends on the row they stand behind.
    for other in failed.behind:
        deliveries.queue_behind(tx, lane, other.seq, other.subject, now, hold_on_dead=ended.hold_on_dead)
    if not isinstance(fate, DeadLetter) and not (isinstance(fate, InDoubt) and fate.look_up_at is None):
        return
    open_work_item(
        tx,
        lane,
        item,
        reason_class=fate.reason if isinstance(fate, DeadLetter) else "in_doubt",
        reason=text,
        peer_words=failed.peer_words,
        now=now,
    )


def open_work_item(
    tx: Tx, lane: str, item: Item, *, reason_class: str, reason: str, peer_words: str, now: datetime
) -> None:
    """Tell a person of a delivery that waiting cannot help."""
    dead_letters.open_one(
        tx,
        "delivery",
        lane,
        reason_class,
        reason,
        now,
        seq=item.seq,
        subject=item.subject,
        peer_words=peer_words,
        payload_hash=sha256(item.payload).hexdigest(),
        payload_place=item.event_id,
    )
