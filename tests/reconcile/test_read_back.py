"""A pair between two fake systems and a real log: where things stand decides what a difference is called."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from isthmus.app.reconciler import Reconciler
from isthmus.config import ReconcileConfig
from isthmus.delivery.gate import NOT_SENT
from isthmus.delivery.lane import Lane
from isthmus.delivery.peer import Peer
from isthmus.events import ChargePosted
from isthmus.ops.desk import Desk
from isthmus.ops.errors import NotFound, Refused
from isthmus.ops.metrics import Metrics
from isthmus.ops.reconciling import RunPage
from isthmus.ops.workbench import Site
from isthmus.sdk.connector import Census, CensusRow, Opened
from isthmus.sdk.errors import Retryable
from isthmus.store import audit, crosswalk, deliveries, lanes, receipts, reconciliations
from isthmus.store import log as event_log
from isthmus.store.face import Store, Tx
from isthmus.store.open import open_memory_store
from tests.delivery.given import IN_VIRTUAL_TIME, now
from tests.reconcile.test_known import HEAD, approved, charge

NOW = datetime(2026, 11, 2, 5, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=20)
ENTRY = CensusRow(key="psa:1", remote_id="1", status="approved", quantity=Decimal("2.50"))
BILL = CensusRow(
    key="billing:ch1",
    remote_id="timeBill/7",
    status="posted",
    amount=Decimal("375.00"),
    currency="EUR",
    quantity=Decimal("2.50"),
    on=date(2026, 10, 5),
)


class Shelf(Census):
    """What a system holds; a test changes it."""

    kinds = frozenset({"time", "charge"})

    def __init__(self, *rows: CensusRow) -> None:
        self.held = list(rows)
        self.breaks: Exception | None = None

    async def rows(self, kind: str, since: date, until: date) -> AsyncIterator[CensusRow]:
        if self.breaks is not None:
            raise self.breaks
        for row in self.held:
            yield row


class Firm:
    """One approved entry, one charge for it, and both sides as they hold them."""

    def __init__(self, store: Store, *, now: Callable[[], datetime] = lambda: NOW, **settings: Any) -> None:
        self.store = store
        self.psa, self.erp = Shelf(ENTRY), Shelf(BILL)
        peers = {"psa": Peer("psa"), "erp": Peer("erp")}
        peers["psa"].handover(Opened(census=self.psa))
        peers["erp"].handover(Opened(census=self.erp))
        self.metrics = Metrics()
        given = ReconcileConfig(kind="time", left="psa", right="erp", **settings)
        lane = Lane(name="charges", instance="erp", kinds=frozenset({"charge.determined"}))
        self.rung = 0

        def ring() -> None:
            self.rung += 1

        self.pairs = Reconciler(
            store,
            {"pair": given},
            {"charges": lane},
            peers,
            Desk(store, now=now),
            self.metrics,
            now=now,
            ring=ring,
            poll=lambda connector: 0,
        )

    async def told(self, stands: Callable[[Tx], object]) -> None:
        """The facts are in the log, and the charge stands in its lane as ``stands`` says."""

        def unit(tx: Tx) -> None:
            event_log.append(tx, [approved(), charge()], LONG_AGO)
            stands(tx)

        await self.store.write(unit)

    async def run(self) -> RunPage:
        return await self.pairs.compare("pair", date(2026, 10, 1), date(2026, 10, 31), by="dora")


@pytest.fixture
async def firm() -> AsyncIterator[Firm]:
    async with open_memory_store() as store:
        yield Firm(store)


def delivered(tx: Tx) -> None:
    receipts.add(tx, "charges", 2, "timeBill/7", LONG_AGO)
    crosswalk.link(tx, "charge", "billing:ch1", "erp", "timeBill/7", LONG_AGO)


def dead(tx: Tx) -> None:
    deliveries.bury(tx, "charges", 2, "psa:1", "missing", "P-404", LONG_AGO)


def doubtful(tx: Tx) -> None:
    deliveries.postpone(tx, "charges", 2, "psa:1", NOW, 1, "Unsure", "no answer", LONG_AGO, "in_doubt")


def retrying(tx: Tx) -> None:
    deliveries.postpone(tx, "charges", 2, "psa:1", NOW, 1, "Retryable", "502", LONG_AGO)


def skipped(tx: Tx) -> None:
    receipts.add(tx, "charges", 2, NOT_SENT, LONG_AGO, "skipped by dora")


@pytest.mark.parametrize(
    ("stands", "there", "gone"),
    [
        pytest.param(delivered, [], [("missing", "gone", "drift")], id="delivered"),
        pytest.param(
            dead,
            [("status", "dead_letter", "drift")],
            [("missing", "dead_letter", "drift")],
            id="dead",
        ),
        pytest.param(
            doubtful, [("status", "in_doubt", "drift")], [("missing", "in_doubt", "drift")], id="in doubt"
        ),
        pytest.param(retrying, [], [("missing", "in_flight", "timing")], id="tried again"),
        pytest.param(lambda tx: None, [], [("missing", "in_flight", "timing")], id="not sent yet"),
        pytest.param(skipped, [("extra", "not_sent", "drift")], [], id="skipped"),
    ],
)
async def test_where_a_charge_stands_decides(
    firm: Firm, stands: Callable[[Tx], object], there: list[tuple[str, ...]], gone: list[tuple[str, ...]]
) -> None:
    await firm.told(stands)
    assert causes(await firm.run()) == there
    firm.erp.held = []
    assert causes(await firm.run()) == gone


def causes(page: RunPage) -> list[tuple[str, ...]]:
    return [(line.kind, line.cause, line.state) for line in page.differences]


async def test_a_charge_of_another_month_is_none_of_this_comparison(firm: Firm) -> None:
    """Its facts lie long before the window; only the crosswalk still knows it."""
    await firm.told(delivered)
    await firm.store.write(lambda tx: crosswalk.link(tx, "charge", "billing:old", "erp", "timeBill/3", NOW))
    firm.erp.held += [replace(BILL, key="billing:old", remote_id="timeBill/3")]
    firm.erp.held += [replace(BILL, key="billing:strange", remote_id="timeBill/4")]
    (found,) = (await firm.run()).differences
    assert (found.kind, found.key) == ("extra", "billing:strange")


async def test_a_side_that_cannot_be_read_back_is_a_comparison_that_failed_and_says_why(firm: Firm) -> None:
    await firm.told(delivered)
    firm.erp.held = []
    first = await firm.run()
    for error, words in ((Retryable("502"), "erp: 502"), (KeyError("amount"), "erp broke while")):
        firm.erp.breaks = error
        page = await firm.run()
        assert words in page.error and page.differences == []
    assert (await firm.pairs.show("pair")).run == page.run
    firm.erp.breaks = None
    again = await firm.run()
    assert again.differences[0].first_seen_at == first.differences[0].first_seen_at


async def test_what_is_gone_is_sent_again_under_its_key_once_and_its_old_link_is_cut(firm: Firm) -> None:
    await firm.told(delivered)
    firm.erp.held = []
    (line,) = (await firm.run()).differences
    shown = await firm.pairs.repair(line.id, by="dora", why="deleted", dry_run=True)
    assert (shown.act, shown.lane, shown.done, firm.rung) == ("send_again", "charges", False, 0)
    done = await firm.pairs.repair(line.id, by="dora", why="deleted", dry_run=False)
    assert done.done and firm.rung == 1

    def after(tx: Tx) -> tuple[object, ...]:
        link = crosswalk.remote(tx, "charge", "billing:ch1", "erp")
        act = audit.page(tx)[-1]
        return deliveries.get(tx, "charges", 2) is not None, link, act.actor, act.act

    assert await firm.store.read(after) == (True, None, "dora", "reconcile.repair")
    assert causes(await firm.run()) == [("missing", "in_flight", "timing")]


async def test_what_is_healed_already_is_not_healed_again(firm: Firm) -> None:
    await firm.told(delivered)
    firm.erp.held = []
    (line,) = (await firm.run()).differences
    firm.erp.held = [BILL]
    await firm.run()
    with pytest.raises(Refused, match="does not show difference"):
        await firm.pairs.repair(line.id, by="dora", why="deleted", dry_run=False)


async def test_only_people_correct_a_ledger(firm: Firm) -> None:
    await firm.told(delivered)
    firm.erp.held = [replace(BILL, amount=Decimal("400.00"))]
    (line,) = (await firm.run()).differences
    assert (line.kind, line.amount) == ("amount", Decimal("25.00"))
    with pytest.raises(Refused, match="timeBill/7"):
        await firm.pairs.repair(line.id, by="dora", why="wrong", dry_run=False)


async def test_a_month_with_drift_is_not_ready_to_be_closed_until_it_is_explained(firm: Firm) -> None:
    await firm.told(delivered)
    posted = ChargePosted(
        **HEAD,
        source="erp",
        charge="billing:ch1",
        system="erp",
        remote_id="timeBill/7",
        posted_on=date(2026, 10, 5),
        amount=Decimal("375.00"),
        currency="EUR",
    )
    await firm.store.write(lambda tx: event_log.append(tx, [posted], NOW))
    await firm.store.write(lambda tx: lanes.advance(tx, "billing", 3))
    desk = Desk(firm.store, now=lambda: NOW, site=Site(pairs={"pair": None}))
    assert (await desk.close_report("2026-10")).ready
    firm.erp.held = []
    (found,) = (await firm.run()).differences
    report = await desk.close_report("2026-10")
    assert not report.ready
    (line,) = report.lines
    assert (line.what, line.cause, line.count, line.amounts) == (
        "drift",
        "pair",
        1,
        {"EUR": Decimal("375.00")},
    )
    assert (await desk.close_report("2026-09")).lines == [], "nobody compared September"
    await firm.pairs.explain(found.id, by="dora", why="billed by hand")
    assert (await desk.close_report("2026-10")).ready


async def test_there_is_no_pair_of_another_name(firm: Firm) -> None:
    with pytest.raises(NotFound, match="pairs are: pair"):
        await firm.pairs.compare("pears", by="dora")


@IN_VIRTUAL_TIME
async def test_a_pair_is_compared_when_its_schedule_says_so() -> None:
    async with open_memory_store(now=now) as store:
        firm = Firm(store, now=now, schedule="*/30 * * * *")
        await firm.told(delivered)
        with trio.move_on_after(2 * 3600 + 60):
            await firm.pairs.run()
        kept = await store.read(lambda tx: reconciliations.runs(tx, "pair"))
    assert [run.by for run in kept] == ["reconcile"] * 4
    assert {(run.error, run.drift) for run in kept} == {("", 0)}
