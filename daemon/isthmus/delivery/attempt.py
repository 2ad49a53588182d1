"""One try: from items to the connector's outcomes, whatever its code does."""

import logging
from collections.abc import Iterator, Sequence

import trio

from isthmus.delivery.lane import Item, Lane
from isthmus.delivery.policy import delivery_key
from isthmus.events.base import BusinessEvent
from isthmus.events.codec import EventRefused, decode
from isthmus.sdk.connector import Delivery, DeliveryClass, Receipt, Sink
from isthmus.sdk.errors import ConnectorError, Fatal, Rejected, Throttled, Unsure

log = logging.getLogger(__name__)

__all__ = ["Crash", "Outcome", "attempt", "class_of", "delivery_for", "look_up"]

Outcome = Receipt | ConnectorError


class Crash(Unsure):
    """The connector's code broke: our bug or the vendor's, so nobody knows what the peer did."""


def class_of(sink: Sink, item: Item) -> DeliveryClass:
    """What protects the peer from a second copy; C, the most careful, where the connector cannot say."""
    try:
        return sink.delivery_class(decode(item.payload))
    except Exception:  # noqa: BLE001 - the connector's code can break in any way
        return DeliveryClass.C


def delivery_for(lane: Lane, event_id: str, event: BusinessEvent, attempt: int = 1) -> Delivery:
    """A fact as the connector gets it, under the key it has in this lane."""
    key = delivery_key(event_id, lane.name, lane.instance)
    return Delivery(key=key, lane=lane.name, event=event, attempt=attempt)


async def attempt(lane: Lane, sink: Sink, items: Sequence[Item]) -> list[Outcome]:
    """Try once; one outcome per item. What a connector may raise becomes a value, a bug too."""
    outcomes: list[Outcome | None] = [None] * len(items)
    sends: dict[int, Delivery] = {}
    for place, item in enumerate(items):
        try:
            sends[place] = delivery_for(lane, item.event_id, decode(item.payload), item.attempts + 1)
        except EventRefused as refused:
            outcomes[place] = Rejected(f"the log's own payload cannot be read: {refused}", reason="value")
    if sends:
        got = await _call(lane, sink, items[min(sends)], list(sends.values()))
        for place, outcome in zip(sends, got, strict=True):
            outcomes[place] = outcome
    assert None not in outcomes, "each item was refused or sent"
    return outcomes  # type: ignore[return-value]


async def look_up(lane: Lane, sink: Sink, item: Item) -> Outcome | None:
    """Whether a peer of class B has it; nothing is sent. None: it is not there."""
    delivery = delivery_for(lane, item.event_id, decode(item.payload), item.attempts + 1)
    try:
        with trio.fail_after(lane.timeout_s):
            found = await _look_up(sink, delivery)
    except trio.TooSlowError:
        return Unsure(f"no answer within {lane.timeout_s:g} s")
    except Exception as error:  # noqa: BLE001 - the connector's code can break in any way
        return _raised(lane, item, error)
    return None if found is None else _proven(found)


async def _call(lane: Lane, sink: Sink, first: Item, sends: Sequence[Delivery]) -> list[Outcome]:
    n = len(sends)
    try:
        with trio.fail_after(lane.timeout_s):
            got = list(await _send(sink, first, sends))
    except trio.TooSlowError:
        return [Unsure(f"no answer within {lane.timeout_s:g} s")] * n
    except Exception as error:  # noqa: BLE001 - the connector's code can break in any way
        return [_raised(lane, first, error)] * n
    if len(got) != n:
        return [Crash(f"{len(got)} outcomes for {n} deliveries")] * n
    return [_proven(outcome) for outcome in got]


async def _send(sink: Sink, first: Item, sends: Sequence[Delivery]) -> Sequence[Outcome]:
    """Call the connector; of class B, what may have been sent before is looked up first."""
    if first.row and len(sends) == 1 and sink.delivery_class(sends[0].event) is DeliveryClass.B:
        found = await _look_up(sink, sends[0])
        if found is not None:
            return [found]
    if sink.batch_max == 1:
        return [await sink.deliver(sends[0])]
    return await sink.deliver_many(sends)


async def _look_up(sink: Sink, delivery: Delivery) -> Receipt | None:
    """Ask for the record; as long as there is no answer, nothing is known and nothing may be sent."""
    try:
        return await sink.find(delivery)
    except (Throttled, Fatal):
        raise
    except ConnectorError as error:
        raise Unsure(f"could not be looked up: {error}", peer_words=error.peer_words) from error


def _raised(lane: Lane, item: Item, error: Exception) -> ConnectorError:
    """What an exception says; a bug is also told to the log, with its traceback."""
    told = _told(error)
    if isinstance(told, Crash):
        where = {"lane": lane.name, "connector": lane.instance, "event_id": item.event_id}
        log.error("connector.crashed", extra=where, exc_info=error)
    return told


def _told(error: Exception) -> ConnectorError:
    """What an exception says; a nursery inside the connector wraps what it means into groups."""
    leaves = list(_leaves(error))
    said = [leaf for leaf in leaves if isinstance(leaf, ConnectorError)]
    if len(said) < len(leaves):
        return Crash(repr(error))
    return next((leaf for leaf in said if isinstance(leaf, Unsure)), said[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _proven(outcome: object) -> Outcome:
    """A receipt that names no record is no proof."""
    if isinstance(outcome, Receipt):
        return outcome if outcome.remote_id else Unsure("the answer names no record")
    if isinstance(outcome, ConnectorError):
        return outcome
    return Crash(f"{type(outcome).__name__} is no outcome")
