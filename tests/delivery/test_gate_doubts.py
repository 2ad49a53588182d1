"""What the gate must not do: call unsent what may be there, or let out what is known not to be there."""

from decimal import Decimal

import pytest
import trio
import trio.testing

from isthmus.app.gates import ChargeGate
from isthmus.delivery.gate import NOT_SENT
from isthmus.delivery.lane import Item
from isthmus.sdk.connector import DeliveryClass, Opened
from isthmus.sdk.errors import Rejected, Retryable
from isthmus.store import deliveries, log
from isthmus.store.face import Store, Tx
from tests.delivery.fakes import FakeSink, Lost
from tests.delivery.given import INSTANCE, LANE, Road, a_lane, now
from tests.delivery.test_period_gate import CHARGES, a_firm


@pytest.mark.parametrize("policy", ["hold", "next_open"])
async def test_a_replay_of_a_posted_charge_whose_period_was_closed_since_takes_nothing_back(
    store: Store, policy: str
) -> None:
    async with a_firm(store, policy) as firm:
        await firm.tell("time a r1 2.00 10-05")
        await firm.the_erp_is_back()
        await firm.tell("close 10")

        def owe_again(tx: Tx) -> None:
            for row in log.search(tx, kind="charge.determined"):
                deliveries.schedule(tx, LANE, row.seq, row.subject, now())

        await store.write(owe_again)
        firm.road.bells.ring_all()
        await trio.sleep(120)
        assert [charge.amount for charge in await firm.charges()] == [200]
        assert await store.read(lambda tx: log.search(tx, kind="charge.overtaken")) == []


@pytest.mark.parametrize("planted", [pytest.param(False, id="as built"), pytest.param(True, id="mutant")])
async def test_a_charge_in_hand_when_the_daemon_died_is_not_called_unsent(
    store: Store, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    """The ERP has it, the answer never came, and the period closes before the restart."""
    if planted:  # every item looks as if no try of it could have arrived
        monkeypatch.setattr(Item, "doubtful", property(lambda item: False, lambda item, value: None))
    async with a_firm(store, "hold") as firm:
        firm.sink.goes_wrong("a", Lost(hang=True))
        firm.road.peer.handover(Opened(sink=firm.sink))
        await firm.tell("time a r1 2.00 10-05")
        for actor in firm.road.actors.values():
            actor.abandon()
        await trio.testing.wait_all_tasks_blocked()
        firm.road.peer.handover(None)
        await firm.tell("close 10")
        restarted = Road(store)
        restarted.gate = ChargeGate(LANE, INSTANCE, now)
        async with restarted.at_work(firm.sink, a_lane(kinds=CHARGES)):
            await trio.sleep(300)
            stand = await restarted.stands()
        assert len(firm.sink.remote.records()) == 1
        assert (NOT_SENT in stand.receipts.values()) == planted


async def test_what_the_erp_was_down_for_is_overtaken_when_it_comes_back(store: Store) -> None:
    """A try that is known not to have arrived leaves the charge as free as one that was never tried."""
    async with a_firm(store, "hold") as firm:
        firm.sink.goes_wrong("a", *[Retryable("503")] * 100)
        firm.road.peer.handover(Opened(sink=firm.sink))
        await firm.tell("time a r1 2.00 10-05")
        firm.road.peer.handover(None)
        await firm.tell("close 10")
        firm.sink.heals()
        await firm.the_erp_is_back()
        assert firm.sink.remote.records() == []
        assert set((await firm.road.stands()).receipts.values()) == {NOT_SENT}


async def test_a_doubt_outlives_a_later_failure_that_says_nothing_of_it(store: Store) -> None:
    async with a_firm(store, "hold") as firm:
        firm.sink.goes_wrong("a", Lost(), *[Retryable("503")] * 100)
        firm.road.peer.handover(Opened(sink=firm.sink))
        await firm.tell("time a r1 2.00 10-05")
        firm.road.peer.handover(None)
        await firm.tell("close 10")
        firm.sink.heals()
        await firm.the_erp_is_back()
        assert set((await firm.road.stands()).receipts.values()) == {"R-1"}
        assert [charge.amount for charge in await firm.charges()] == [200]


async def test_a_refusal_after_a_lost_answer_proves_nothing(store: Store) -> None:
    """The ERP has it, and refuses to touch what lies in a closed period: a person decides, and may retry."""
    async with a_firm(store, "next_open") as firm:
        firm.sink.goes_wrong("a", Lost(), *[Rejected("closed", reason="period")] * 2)
        firm.road.peer.handover(Opened(sink=firm.sink))
        await firm.tell("time a r1 2.00 10-05")
        await firm.tell("close 10")
        assert [letter.error_class for letter in (await firm.road.stands()).letters] == ["period"]
        for _ in range(2):
            await firm.road.retry_all()
            await trio.sleep(60)
        assert set((await firm.road.stands()).receipts.values()) == {"R-1"}
        assert [charge.amount for charge in await firm.charges()] == [200]


@pytest.mark.parametrize(
    ("arrived", "receipt"),
    [pytest.param(True, "R-1", id="found: it stands"), pytest.param(False, NOT_SENT, id="not found: unsent")],
)
async def test_of_class_b_what_is_in_doubt_is_looked_up_and_not_sent(
    store: Store, arrived: bool, receipt: str
) -> None:
    async with a_firm(store, "hold") as firm:
        firm.sink = FakeSink(DeliveryClass.B)
        firm.sink.goes_wrong("a", Lost(commit_after_s=0.0 if arrived else 10**9))
        firm.road.peer.handover(Opened(sink=firm.sink))
        await firm.tell("time a r1 2.00 10-05")
        firm.road.peer.handover(None)
        await firm.tell("close 10")
        await firm.the_erp_is_back()
        first = (await firm.charges())[0]
        assert (await firm.road.stands()).receipts[first.id] == receipt
        assert len(firm.sink.sent()) == 1 and len(firm.sink.finds) == 1


async def test_a_wait_for_our_own_books_does_not_use_up_the_patience_with_the_erp(store: Store) -> None:
    async with a_firm(store, "hold") as firm:
        await firm.tell("time a r1 2.00 10-05")
        await firm.the_erp_is_back()
        firm.road.peer.handover(None)
        await firm.tell("time a r2 3.00 10-05", "close 10")
        await firm.the_erp_is_back()
        await trio.sleep(3 * 3600)
        firm.sink.goes_wrong("a", Retryable("503"))
        await firm.tell("open 10")
        await trio.sleep(120)
        assert (await firm.road.stands()).letters == []
        assert await firm.sent() == [Decimal(each) for each in ("200.00", "-200.00", "-200.00", "300.00")]
