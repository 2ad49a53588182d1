"""What the daemon does with what a connector raises, without the daemon: for tests that lose answers."""

import trio

from isthmus.sdk.connector import Delivery, DeliveryClass, Receipt, Sink, Source
from isthmus.sdk.errors import Rejected, Retryable, Throttled, Unsure

__all__ = ["deliver_patiently", "deliver_plainly", "read_patiently"]

MOMENT_S = 0.01


async def read_patiently(source: Source, stream: str) -> tuple[set[str], int]:
    """Read a stream to its end; what fails is pulled again from the same cursor.

    Returns:
        The ids of what was told, and how often a pull failed.

    Raises:
        Fatal: reading can never succeed.
    """
    ids: set[str] = set()
    cursor: bytes | None = None
    failures = 0
    while True:
        try:
            page = await source.pull(stream, cursor)
        except (Retryable, Throttled) as error:
            failures += 1
            await trio.sleep(getattr(error, "retry_after_s", None) or MOMENT_S)
            continue
        ids |= {event.id for event in page.events}
        cursor = page.next
        if not page.more:
            return ids, failures


async def deliver_patiently(sink: Sink, delivery: Delivery, *, wait_s: float | None = None) -> Receipt:
    """Deliver until there is a receipt: class A again, class B after a look.

    Args:
        wait_s: how long to wait before the look; None takes the sink's ``worst_commit_s``.

    Raises:
        Unsure: of class C, where nothing is sent again.
        Rejected, Fatal: a person decides.
    """
    kind = sink.delivery_class(delivery.event)
    doubt = False
    while True:
        try:
            if doubt and (found := await sink.find(delivery)) is not None:
                return found
            return await sink.deliver(delivery)
        except Unsure:
            if kind is DeliveryClass.C:
                raise
            doubt = kind is DeliveryClass.B
            pause = (sink.worst_commit_s if wait_s is None else wait_s) if doubt else MOMENT_S
        except Throttled as error:
            pause = error.retry_after_s or MOMENT_S
        except Retryable:
            pause = MOMENT_S
        await trio.sleep(pause)


async def deliver_plainly(sink: Sink, delivery: Delivery) -> Receipt | None:
    """The mistake that `deliver_patiently` does not make: a lost answer is taken for a failure.

    For the mutant beside a test of lost answers: it must make records twice, or the test proves nothing.

    Returns:
        None if the connector refused, as one does that finds two records of its own.
    """
    while True:
        try:
            return await sink.deliver(delivery)
        except Unsure:
            await trio.sleep(1)
        except Rejected:
            return None
