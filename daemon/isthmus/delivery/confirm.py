"""What became of a delivery, as a fact: a change order goes on when the systems have what it told them."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from isthmus.delivery.lane import Item
from isthmus.events.control import DeliverySettled, Outcome
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = ["Word", "confirmations"]

DETAIL_MAX = 300


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of one item."""

    item: Item
    outcome: Outcome
    detail: str


class _Head(msgspec.Struct):
    """As much of a payload as a confirmation repeats."""

    type: str
    entity: str
    project: str | None = None
    correlation: str | None = None


def confirmations(
    tx: Tx, lane: str, instance: str, kinds: frozenset[str], words: Iterable[Word], now: datetime
) -> list[DeliverySettled]:
    """The words about items of these kinds; what was said last of a delivery is not said again."""
    said: list[DeliverySettled] = []
    for word in words:
        head = msgspec.json.decode(word.item.payload, type=_Head)
        if head.type.partition("/")[0] not in kinds:
            continue
        delivery = f"{lane}|{word.item.event_id}"
        last = _last(tx, instance, delivery)
        if last is not None and last.outcome == word.outcome:
            continue
        said.append(
            DeliverySettled(
                source=instance,
                occurred_at=now,
                entity=head.entity,
                correlation=head.correlation or word.item.event_id,
                causation=word.item.event_id,
                delivery=delivery,
                event=word.item.event_id,
                lane=lane,
                outcome=word.outcome,
                detail=word.detail[:DETAIL_MAX],
                project=head.project,
                revision=1 if last is None else last.revision + 1,
            )
        )
    return said


def _last(tx: Tx, instance: str, delivery: str) -> DeliverySettled | None:
    """The newest word about a delivery; there are few, so they are counted up."""
    last: DeliverySettled | None = None
    while True:
        revision = 1 if last is None else last.revision + 1
        row = event_log.by_id(tx, f"{instance}/delivery.settled/{delivery}/{revision}")
        if row is None:
            return last
        event = row.event()
        assert isinstance(event, DeliverySettled)
        last = event
