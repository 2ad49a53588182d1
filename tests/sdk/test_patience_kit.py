"""The kit delivers and reads as the daemon does: again, after a look, or not at all."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
import trio

from isthmus.events import BusinessEvent, CustomerChanged
from isthmus.sdk import (
    ConnectorError,
    Delivery,
    DeliveryClass,
    Page,
    Receipt,
    Rejected,
    Retryable,
    Sink,
    Source,
    Throttled,
    Unsure,
)
from isthmus.sdk.testing import deliver_patiently, read_patiently


def customer(n: int) -> CustomerChanged:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    return CustomerChanged(
        source="crm", occurred_at=at, entity="de", customer=f"crm:{n}", name=f"Customer {n}", currency="EUR"
    )


class Ledger(Sink):
    """Keeps what arrives; each try meets the next of ``troubles``, and what is lost is kept all the same."""

    worst_commit_s = 30.0

    def __init__(self, kind: DeliveryClass, troubles: Sequence[ConnectorError]) -> None:
        self._kind = kind
        self._troubles = list(troubles)
        self.calls: list[str] = []
        self.kept: list[str] = []

    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        return self._kind

    async def deliver(self, delivery: Delivery) -> Receipt:
        self.calls.append(f"deliver at {trio.current_time():.0f}")
        trouble = self._troubles.pop(0) if self._troubles else None
        if trouble is None or isinstance(trouble, Unsure):
            self.kept.append(delivery.key)
        if trouble is not None:
            raise trouble
        return Receipt(remote_id="1")

    async def find(self, delivery: Delivery) -> Receipt | None:
        self.calls.append(f"find at {trio.current_time():.0f}")
        return Receipt(remote_id="1") if self.kept else None


@pytest.mark.parametrize(
    ("kind", "troubles", "calls"),
    [
        pytest.param(DeliveryClass.A, [Unsure("lost")], ["deliver at 0", "deliver at 0"], id="A: again"),
        pytest.param(DeliveryClass.B, [Unsure("lost")], ["deliver at 0", "find at 30"], id="B: after a look"),
        pytest.param(
            DeliveryClass.B, [Retryable("502")], ["deliver at 0", "deliver at 0"], id="nothing in doubt"
        ),
        pytest.param(
            DeliveryClass.A,
            [Throttled("429", retry_after_s=9)],
            ["deliver at 0", "deliver at 9"],
            id="a pause the peer names",
        ),
    ],
)
async def test_a_delivery_that_failed(
    autojump_clock: object, kind: DeliveryClass, troubles: list[ConnectorError], calls: list[str]
) -> None:
    sink = Ledger(kind, troubles)
    receipt = await deliver_patiently(sink, Delivery(key="k", lane="crm", event=customer(1)))
    assert receipt.remote_id == "1"
    assert sink.calls == calls


@pytest.mark.parametrize(
    ("kind", "trouble"),
    [
        pytest.param(DeliveryClass.C, Unsure("lost"), id="C: never sent again"),
        pytest.param(DeliveryClass.A, Rejected("closed", reason="period"), id="refused"),
    ],
)
async def test_what_a_person_decides_is_raised(kind: DeliveryClass, trouble: ConnectorError) -> None:
    sink = Ledger(kind, [trouble])
    with pytest.raises(type(trouble)):
        await deliver_patiently(sink, Delivery(key="k", lane="crm", event=customer(1)))
    assert len(sink.calls) == 1


class Flaky(Source):
    """Three pages; every second pull fails."""

    streams = ("customers",)

    def __init__(self) -> None:
        self.pulls: list[bytes | None] = []

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        self.pulls.append(cursor)
        if len(self.pulls) % 2:
            raise Retryable("502")
        number = int(cursor or b"0")
        return Page(events=[customer(number)], next=str(number + 1).encode(), more=number < 2)


async def test_a_pull_that_failed_is_made_again_from_the_same_cursor(autojump_clock: object) -> None:
    source = Flaky()
    ids, failures = await read_patiently(source, "customers")
    assert (len(ids), failures) == (3, 3)
    assert source.pulls == [None, None, b"1", b"1", b"2", b"2"]
