"""Try a contract before it goes live: billing over a list of facts, in memory."""

from collections.abc import Iterable, Iterator

from isthmus.events.base import BusinessEvent
from isthmus.events.control import ChangeOrderStepped
from isthmus.process.rules.billing import Billing
from isthmus.process.states import MemoryStates


def preview(events: Iterable[BusinessEvent]) -> Iterator[BusinessEvent]:
    """The events billing derives from ``events``, taken in the order given.

    The same code as the daemon runs, so what it prints is what will be billed. Kinds that billing does not
    read are passed over. Events are read one by one; a file of any length is previewed in the memory of
    its state. What billing tells a change order is left out: it moves no money.
    """
    billing, states = Billing(), MemoryStates()
    for event in events:
        if event.kind in billing.consumes:
            derived = billing.apply(event, states)
            yield from (each for each in derived if not isinstance(each, ChangeOrderStepped))
