"""The period gate at the moment of sending: billing decides, a period closes, then the lane would send."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial

import pytest
import trio

from isthmus.app.gates import ChargeGate, wake_when_opened
from isthmus.delivery.gate import NOT_SENT
from isthmus.events import ChargeDetermined, TimeAndMaterials
from isthmus.process.actor import ProcessSurroundings, run_process
from isthmus.process.rules.billing import Billing
from isthmus.sdk.connector import Opened
from isthmus.sdk.errors import Rejected
from isthmus.store import deliveries, log
from isthmus.store.face import Store, Tx
from tests.delivery.fakes import FakeSink, Lost
from tests.delivery.given import INSTANCE, LANE, PATIENT, Road, a_lane, now
from tests.process.conftest import Ledger

CHARGES = frozenset({"charge.determined"})
OVER = TimeAndMaterials(line="T", default_rate=Decimal("100.00"))


class Firm:
    """Billing and one lane of charges over one store; facts are told in a ledger's sentences."""

    def __init__(self, road: Road, policy: str) -> None:
        self.road = road
        self.book = Ledger()
        self.book.tell("project P1")
        self.book.sign(OVER, period_policy=policy)
        self.sink = FakeSink()
        self.sink.accepts = CHARGES
        self.told = 0

    async def tell(self, *sentences: str) -> None:
        """Facts reach the log, and billing takes them."""
        for sentence in sentences:
            self.book.tell(sentence)
        await self.pass_on()

    async def pass_on(self) -> None:
        facts, self.told = self.book.told[self.told :], len(self.book.told)
        await self.road.tell(facts)
        await trio.sleep(5)

    async def the_erp_is_back(self) -> None:
        self.road.peer.handover(Opened(sink=self.sink))
        await trio.sleep(120)

    async def charges(self) -> list[ChargeDetermined]:
        """All that billing determined, in order."""
        rows = await self.road.store.read(lambda tx: log.search(tx, kind="charge.determined", limit=1000))
        found = [row.event() for row in rows]
        return [event for event in found if isinstance(event, ChargeDetermined)]

    async def sent(self) -> list[Decimal]:
        """The amounts the ERP was told, in order."""
        amounts = {charge.id: charge.amount for charge in await self.charges()}
        return [amounts[each] for each in self.sink.sent()]

    async def net(self) -> Decimal:
        return sum((charge.amount for charge in await self.charges()), Decimal(0))


@asynccontextmanager
async def a_firm(store: Store, policy: str, *, gated: bool = True) -> AsyncIterator[Firm]:
    """The firm at work; its ERP is not reachable yet."""
    road = Road(store)
    road.gate = ChargeGate(LANE, INSTANCE, now) if gated else None
    firm = Firm(road, policy)
    around = ProcessSurroundings(
        lane="billing", store=store, bell=road.bells.of("billing"), now=now, announce=road.bells.ring_all
    )
    wake = partial(road.bells.of(LANE).ring)
    async with road.at_work(None, a_lane(kinds=CHARGES)), trio.open_nursery() as nursery:
        nursery.start_soon(run_process, Billing(), around)
        nursery.start_soon(partial(wake_when_opened, store, road.bells.of("gates"), [LANE], wake, now))
        await firm.pass_on()
        yield firm
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("policy", "sent", "net"),
    [
        pytest.param("hold", [], "0", id="hold: nothing is sent, the work waits"),
        pytest.param("next_open", ["200.00"], "200.00", id="next_open: it is sent with a day in November"),
    ],
)
async def test_a_charge_that_a_close_overtook_is_not_sent(
    store: Store, policy: str, sent: list[str], net: str
) -> None:
    async with a_firm(store, policy) as firm:
        await firm.tell("time a r1 2.00 10-05", "close 10")
        await firm.the_erp_is_back()
        assert await firm.sent() == [Decimal(amount) for amount in sent]
        assert await firm.net() == Decimal(net)
        last = (await firm.charges())[-1]
        assert f"{last.posting_on:%m}" == "11"


async def test_what_waited_is_sent_when_the_period_is_reopened(store: Store) -> None:
    async with a_firm(store, "hold") as firm:
        await firm.tell("time a r1 2.00 10-05", "close 10")
        await firm.the_erp_is_back()
        await firm.tell("open 10")
        await trio.sleep(30)
        assert await firm.sent() == [Decimal("200.00")]
        assert [charge.amount for charge in await firm.charges()] == [200, -200, 200]


async def test_the_receipt_says_why_it_was_not_sent_and_the_reversal_is_passed_over(store: Store) -> None:
    async with a_firm(store, "hold") as firm:
        await firm.tell("time a r1 2.00 10-05", "close 10")
        await firm.the_erp_is_back()
        charge, reversal = await firm.charges()
        stand = await firm.road.stands()
        assert stand.receipts == {charge.id: NOT_SENT, reversal.id: NOT_SENT}
        assert stand.details[charge.id] == "period 2026-10 was closed before it was sent"
        assert stand.details[reversal.id] == f"takes back {charge.charge}, which was not sent"
        assert stand.unfinished == 0 and stand.rows == {}


async def test_a_replay_does_not_send_what_was_taken_back_unsent(store: Store) -> None:
    async with a_firm(store, "hold") as firm:
        await firm.tell("time a r1 2.00 10-05", "close 10")
        await firm.the_erp_is_back()
        await firm.tell("open 10")
        await trio.sleep(30)

        def owe_all_again(tx: Tx) -> None:
            for row in log.search(tx, kind="charge.determined"):
                deliveries.schedule(tx, LANE, row.seq, row.subject, now())

        await store.write(owe_all_again)
        firm.road.bells.ring_all()
        await trio.sleep(60)
        assert set(await firm.sent()) == {Decimal("200.00")}
        assert len(firm.sink.remote.records()) == 1


async def test_a_reversal_waits_with_what_replaces_it_until_the_period_is_open(store: Store) -> None:
    async with a_firm(store, "hold") as firm:
        await firm.tell("time a r1 2.00 10-05")
        await firm.the_erp_is_back()
        firm.road.peer.handover(None)
        await firm.tell("time a r2 3.00 10-05", "close 10")
        await firm.the_erp_is_back()
        assert await firm.sent() == [Decimal("200.00")]
        (row, *_) = (await firm.road.stands()).rows.values()
        assert "period 2026-10 is closed" in row.error_text and row.attempts == 0
        await trio.sleep(3 * PATIENT.max_age_s)
        assert (await firm.road.stands()).letters == [], "to wait for our own books is no failure"
        await firm.tell("open 10")
        await trio.sleep(30)
        assert await firm.sent() == [Decimal("200.00"), Decimal("-200.00"), Decimal("300.00")]


async def test_under_next_open_a_reversal_that_was_overtaken_is_said_again(store: Store) -> None:
    async with a_firm(store, "next_open") as firm:
        await firm.tell("time a r1 2.00 10-05")
        await firm.the_erp_is_back()
        firm.road.peer.handover(None)
        await firm.tell("untime a r2", "close 10")
        await firm.the_erp_is_back()
        assert await firm.sent() == [Decimal("200.00"), Decimal("-200.00")]
        assert await firm.net() == 0
        assert f"{(await firm.charges())[-1].posting_on:%m}" == "11"


async def test_a_refusal_for_the_period_is_mended_by_a_retry_once_our_books_call_it_closed(
    store: Store,
) -> None:
    """The ERP closed first and refused; its word about the close was read afterwards."""
    async with a_firm(store, "next_open") as firm:
        firm.sink.goes_wrong("a", Rejected("closed", reason="period"))
        await firm.tell("time a r1 2.00 10-05")
        await firm.the_erp_is_back()
        assert len((await firm.road.stands()).letters) == 1
        await firm.tell("close 10")
        await firm.road.retry_all()
        await trio.sleep(60)
        assert [charge.amount for charge in await firm.charges()] == [200, -200, 200]
        assert [record.event_id for record in firm.sink.remote.records()] == [(await firm.charges())[-1].id]
        assert [letter.state for letter in (await firm.road.stands()).letters] == ["resolved"]


async def test_a_refusal_that_our_books_explain_is_no_work_item(store: Store) -> None:
    """The close is read while the call is under way; the ERP refuses what our books no longer want."""
    async with a_firm(store, "next_open") as firm:
        firm.sink = FakeSink(latency_s=10.0)
        firm.sink.goes_wrong("a", Rejected("closed", reason="period"))
        await firm.tell("time a r1 2.00 10-05")
        firm.road.peer.handover(Opened(sink=firm.sink))
        await trio.sleep(0.5)
        await firm.tell("close 10")
        await trio.sleep(60)
        assert [charge.amount for charge in await firm.charges()] == [200, -200, 200]
        assert (await firm.road.stands()).letters == []


async def test_what_may_have_reached_the_erp_is_not_called_unsent(store: Store) -> None:
    """An answer was lost before the close: the charge is sent again under its key."""
    async with a_firm(store, "hold") as firm:
        firm.sink.goes_wrong("a", Lost(commit_after_s=0.0, hang=True))
        await firm.tell("time a r1 2.00 10-05")
        firm.road.peer.handover(Opened(sink=firm.sink))
        await trio.sleep(5)
        await firm.tell("close 10")
        await trio.sleep(300)
        assert len(firm.sink.remote.records()) == 1
        assert NOT_SENT not in (await firm.road.stands()).receipts.values()


async def test_batches_send_what_is_open_and_settle_what_is_not(store: Store) -> None:
    async with a_firm(store, "hold") as firm:
        firm.sink.batch_max = 10
        await firm.tell("time a r1 2.00 10-05", "time b r1 1.00 11-05", "time c r1 3.00 10-05", "close 10")
        await firm.the_erp_is_back()
        assert await firm.sent() == [Decimal("100.00")]
        assert (await firm.road.stands()).unfinished == 0


async def test_without_the_gate_the_same_check_finds_a_charge_in_a_closed_period(store: Store) -> None:
    async with a_firm(store, "hold", gated=False) as firm:
        await firm.tell("time a r1 2.00 10-05", "close 10")
        await firm.the_erp_is_back()
        assert await firm.sent() == [Decimal("200.00")]
