"""What the planner does not have yet, case by case: facts, what our processes say, what arrives.

Burn and forecast run as in the daemon, billing's charges are told by hand; "deliver" writes receipts.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from isthmus.delivery.settle import FOLDED
from isthmus.events import BusinessEvent, TimeAndMaterials
from isthmus.ops import planner_lag
from isthmus.ops.metrics import Metrics, Snapshot
from isthmus.ops.planner_lag import Carrier, PlannerLag, follow, look
from isthmus.process.actor import ProcessSurroundings, run_analytical
from isthmus.process.rules.burn import BurnProcess
from isthmus.process.rules.forecast import ForecastProcess
from isthmus.runtime.doorbell import Doorbell
from isthmus.store import deliveries, lanes, receipts
from isthmus.store import log as event_log
from isthmus.store.face import Store, Tx
from isthmus.store.open import open_memory_store
from tests.delivery.given import now
from tests.ops.test_metrics import shown
from tests.process import agreed
from tests.process.conftest import Ledger
from tests.process.planning import planning

HOURLY = TimeAndMaterials(line="T", default_rate=Decimal("100.00"), cap_amount=Decimal("5000.00"))
PLANNERS = ("planner", "second")


@dataclass
class Firm:
    """A log, two processes when they are let run, and lanes to planners."""

    store: Store
    carries: tuple[str, ...] = ("planner",)
    entities: frozenset[str] | None = None
    book: Ledger = field(default_factory=Ledger)

    def ledger(self) -> PlannerLag:
        """A new one, as after a start."""

        def carrier(process: str) -> Carrier:
            lanes_of = [(lane, self.entities) for lane in self.carries]
            return Carrier(process=process, says=[(f"say-{process}", None)], carries=lanes_of)

        return PlannerLag(carrier("burn"), carrier("forecast"))

    async def tell(self, *events: BusinessEvent) -> None:
        await self.store.write(lambda tx: event_log.append(tx, events, now()))

    async def act(self, sentence: str) -> None:
        match sentence.split():
            case ["sign", *uncapped]:
                await self.tell(agreed.signed(replace(HOURLY, cap_amount=None) if uncapped else HOURLY))
            case ["charge", key, amount]:
                hours = Decimal(amount) / 100
                charge = agreed.charged("time", key, amount, "2026-10-05", "T", quantity=hours)
                await self.tell(charge)
            case ["plan", *_]:
                await self.tell(planning(sentence))
            case ["say"]:
                await self.say()
            case ["deliver", *which]:
                await self.deliver(*(which or self.carries))
            case ["bury"]:
                await self.store.write(self._bury)
            case ["fold"]:
                await self.store.write(self._fold)
            case _:
                await self.tell(self.book.event(sentence))

    async def say(self) -> None:
        """Let both processes read and say everything."""
        with trio.move_on_after(5):
            async with trio.open_nursery() as nursery:
                for process in (BurnProcess(), ForecastProcess()):
                    around = ProcessSurroundings(
                        lane=f"say-{process.name}", store=self.store, bell=Doorbell(), now=now
                    )
                    nursery.start_soon(partial(run_analytical, process, around, lag_window_s=1.0))

    async def deliver(self, *names: str) -> None:
        """Everything said arrives: receipts, rows gone, positions at the end."""

        def unit(tx: Tx) -> None:
            for lane in names:
                seqs = _statements(tx)
                for seq in seqs:
                    deliveries.settle(tx, lane, seq)
                receipts.add_many(tx, lane, [(seq, f"remote-{seq}", "") for seq in seqs], now())
                lanes.advance(tx, lane, event_log.head(tx))

        await self.store.write(unit)

    def _bury(self, tx: Tx) -> None:
        """The newest statement is refused."""
        seq = _statements(tx)[-1]
        deliveries.bury(tx, "planner", seq, "s", "Rejected", "no such project", now(), attempts=1)
        lanes.advance(tx, "planner", event_log.head(tx))

    def _fold(self, tx: Tx) -> None:
        """The newest statement went in place of the older ones, and waits for a retry."""
        *older, newest = _statements(tx)
        deliveries.postpone(tx, "planner", newest, "s", now(), 1, "Retryable", "503", now())
        receipts.add_many(tx, "planner", [(seq, FOLDED, "") for seq in older], now())
        lanes.advance(tx, "planner", event_log.head(tx))


def _statements(tx: Tx) -> list[int]:
    said = ("burn.revised", "forecast.revised")
    return [row.seq for row in event_log.search(tx, limit=10_000) if row.kind in said]


@asynccontextmanager
async def a_firm(**changes: Any) -> AsyncIterator[Firm]:
    async with open_memory_store(now=now) as store:
        yield Firm(store, **changes)


async def counted(ledger: PlannerLag, store: Store) -> dict[str, str]:
    """Look until nothing is new, then once more, as the next look would."""
    while True:
        found = await store.read(lambda tx: look(tx, ledger))
        moved = found.upto > ledger.upto
        ledger.apply(found)
        if not moved:
            break
    ledger.apply(await store.read(lambda tx: look(tx, ledger)))
    return words(ledger)


def words(ledger: PlannerLag) -> dict[str, str]:
    return {
        row.state: " ".join(
            [f"{row.hours} h", *(f"{amount} {currency}" for currency, amount in row.amounts.items())]
        )
        for row in ledger.rows()
    }


CASES = [
    pytest.param(["time e r1 2.00 10-05"], {"unsaid": "2.00 h"}, id="approved hours wait for burn"),
    pytest.param(["time e r1 2.00 10-05", "say"], {"undelivered": "2.00 h"}, id="then for the planner"),
    pytest.param(["time e r1 2.00 10-05", "say", "deliver"], {}, id="then it has them"),
    pytest.param(
        ["time e r1 2.00 10-05", "say", "deliver", "time e r2 5.00 10-05"],
        {"unsaid": "3.00 h"},
        id="a correction is off by its difference",
    ),
    pytest.param(
        ["time e r1 2.00 10-05", "say", "deliver", "time e r2 2.00 10-06"],
        {"unsaid": "4.00 h"},
        id="hours that moved are off on both days",
    ),
    pytest.param(
        ["time e r1 2.00 10-05", "say", "deliver", "untime e r2", "say"],
        {"undelivered": "2.00 h"},
        id="so are hours that were withdrawn",
    ),
    pytest.param(
        ["time e r1 2.00 10-05", "untime e r2"], {}, id="approved and withdrawn: nothing is missing"
    ),
    pytest.param(
        ["time e r1 2.00 10-05", "untime e r2", "say", "time f r1 1.00 10-05"],
        {"unsaid": "1.00 h"},
        id="what burn had nothing to say of is not waited for",
    ),
    pytest.param(
        ["time e r1 2.00 10-05", "say", "time f r1 1.50 10-05"],
        {"undelivered": "2.00 h", "unsaid": "1.50 h"},
        id="each fact where it stands",
    ),
    pytest.param(
        ["time e r2 2.00 10-05", "say", "deliver", "time e r1 7.00 10-05", "say"],
        {},
        id="a stale approval is nothing the planner lacks",
    ),
    pytest.param(
        ["time e r1 2.00 10-05", "say", "bury"], {"dead_letter": "2.00 h"}, id="refused: a person has to act"
    ),
    pytest.param(
        ["time e r1 2.00 10-05", "say", "bury", "time f r1 1.00 10-05", "say", "deliver"],
        {},
        id="until a newer total of the day arrives",
    ),
    pytest.param(
        ["time e r1 2.00 10-05", "say", "time f r1 1.00 10-05", "say", "fold"],
        {"undelivered": "3.00 h"},
        id="a statement that was folded is there when the newer one is",
    ),
    # Money.
    pytest.param(
        ["sign", "say"], {"undelivered": "0 h 5000.00 EUR"}, id="a first forecast: all the planner lacks"
    ),
    pytest.param(["sign", "say", "deliver"], {}, id="and has then"),
    pytest.param(
        ["sign", "say", "deliver", "charge e 300.00"],
        {"unsaid": "0 h 300.00 EUR"},
        id="charges wait for the forecast",
    ),
    pytest.param(
        ["sign", "say", "deliver", "charge e 300.00", "charge e -100.00"],
        {"unsaid": "0 h 200.00 EUR"},
        id="net of what was reversed",
    ),
    pytest.param(
        ["sign", "say", "deliver", "charge e 300.00", "say"],
        {"undelivered": "0 h 300.00 EUR"},
        id="said: the outlook is off by as much",
    ),
    pytest.param(
        ["sign", "say", "deliver", "plan A R1 any 2026-10-05 2026-10-06 8.00", "say"],
        {"undelivered": "0 h 1600.00 EUR"},
        id="what was assigned shows once it is said",
    ),
    pytest.param(
        ["sign", "say", "deliver", "charge e 300.00", "say", "charge f 50.00", "say"],
        {"undelivered": "0 h 350.00 EUR"},
        id="two statements on their way are off by what the newest says",
    ),
    pytest.param(
        ["sign", "say", "deliver", "charge e 300.00", "say", "deliver", "charge f 50.00", "say", "deliver"],
        {},
        id="nothing is missing when all arrived",
    ),
    pytest.param(
        [
            *("sign uncapped", "plan A R1 any 2026-10-05 2026-10-05 8.00", "say", "deliver"),
            *("time e r1 8.00 10-05", "charge e 800.00", "say"),
        ],
        {"undelivered": "8.00 h"},
        id="a charge the planner had foreseen to the cent is no variance",
    ),
    pytest.param(
        ["sign", "time e r1 2.00 10-05", "charge e 200.00", "say"],
        {"undelivered": "2.00 h 4800.00 EUR"},
        id="hours and money side by side",
    ),
]


@pytest.mark.parametrize("page", [pytest.param(500, id="pages"), pytest.param(1, id="fact by fact")])
@pytest.mark.parametrize(("acts", "expected"), CASES)
async def test_what_the_planner_lacks(
    acts: list[str],
    expected: dict[str, str],
    page: int,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    monkeypatch.setattr(planner_lag, "PAGE", page)
    async with a_firm() as firm:
        following = firm.ledger()
        for act in acts:
            await firm.act(act)
            await counted(following, firm.store)
        assert words(following) == expected, "followed all along"
        assert await counted(firm.ledger(), firm.store) == expected, "counted anew after a restart"
        await firm.act("say")
        await firm.act("deliver")
        for ledger in (following, firm.ledger()):
            assert await counted(ledger, firm.store) == {}, "the planner has everything"
            assert not ledger.open


async def test_two_planners_must_both_have_it(autojump_clock: trio.testing.MockClock) -> None:
    async with a_firm(carries=PLANNERS) as firm:
        for act in ("time e r1 2.00 10-05", "say", "deliver planner"):
            await firm.act(act)
        ledger = firm.ledger()
        assert await counted(ledger, firm.store) == {"undelivered": "2.00 h"}
        await firm.act("deliver second")
        assert await counted(ledger, firm.store) == {}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"carries": ()}, id="no lane carries it to a planner"),
        pytest.param({"entities": frozenset({"us"})}, id="the planner takes another legal entity"),
    ],
)
async def test_what_nobody_carries_is_not_missed(
    changes: dict[str, Any], autojump_clock: trio.testing.MockClock
) -> None:
    async with a_firm(**changes) as firm:
        for act in ("sign", "time e r1 2.00 10-05", "charge e 200.00", "say"):
            await firm.act(act)
            assert await counted(firm.ledger(), firm.store) == {}


async def test_what_a_person_skipped_is_no_lag(autojump_clock: trio.testing.MockClock) -> None:
    async with a_firm() as firm:
        for act in ("time e r1 2.00 10-05", "say", "bury"):
            await firm.act(act)
        ledger = firm.ledger()
        assert await counted(ledger, firm.store) == {"dead_letter": "2.00 h"}
        await firm.store.write(lambda tx: deliveries.settle(tx, "planner", _statements(tx)[-1]))
        assert await counted(ledger, firm.store) == {}


async def test_it_follows_the_log_and_sees_a_receipt_that_rings_no_bell(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_firm() as firm, trio.open_nursery() as nursery:
        ledger, bell = firm.ledger(), Doorbell()
        assert not ledger.whole
        await firm.act("time e r1 2.00 10-05")
        nursery.start_soon(follow, ledger, firm.store, bell)
        await trio.sleep(1)
        assert (ledger.whole, words(ledger)) == (True, {"unsaid": "2.00 h"})
        await firm.act("say")
        bell.ring()
        await trio.sleep(5)
        assert words(ledger) == {"undelivered": "2.00 h"}
        await firm.act("deliver")
        await trio.sleep(10)
        assert (words(ledger), ledger.open) == ({}, False)
        nursery.cancel_scope.cancel()


async def test_the_gauges_show_it_by_state_and_return_to_zero(autojump_clock: trio.testing.MockClock) -> None:
    metrics = Metrics()
    hours = "isthmus_forecast_variance_hours,cause=sync_lag,state=undelivered"
    amount = "isthmus_forecast_variance_amount,cause=sync_lag,currency=EUR,state=undelivered"
    since = "isthmus_forecast_variance_oldest_timestamp_seconds,cause=sync_lag,state=undelivered"
    assert shown(metrics)[hours] == 0
    async with a_firm() as firm:
        for act in ("sign", "time e r1 2.00 10-05", "say"):
            await firm.act(act)
        ledger = firm.ledger()
        await counted(ledger, firm.store)
        metrics.snapshot(Snapshot(taken_at=now(), planner_lag=ledger.rows()))
        values = shown(metrics)
        assert (values[hours], values[amount]) == (2, 5000)
        assert 0 < values[since] <= now().timestamp()
        await firm.act("deliver")
        await counted(ledger, firm.store)
        metrics.snapshot(Snapshot(taken_at=now(), planner_lag=ledger.rows()))
        values = shown(metrics)
        assert (values[hours], values[amount], values[since]) == (0, 0, 0)
        metrics.snapshot(Snapshot(taken_at=now(), planner_lag=None))
        assert shown(metrics)[hours] != shown(metrics)[hours], "NaN while it is counted"


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        pytest.param("_passed_over", lambda *_: None, id="what burn has nothing to say of stays"),
        pytest.param("_was_folded", lambda *_: False, id="a folded statement counts as arrived"),
        pytest.param("_before", lambda *_: None, id="a correction counts whole"),
        pytest.param("_arrived", lambda *_: None, id="receipts are not looked at"),
    ],
)
async def test_mutants_are_found_by_the_cases(
    name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(planner_lag, name, mutant)
    for case in CASES:
        acts, expected = case.values
        async with a_firm() as firm:
            following = firm.ledger()
            for act in acts:  # type: ignore[union-attr]
                await firm.act(act)
                await counted(following, firm.store)
            if words(following) != expected:
                return
            await firm.act("say")
            await firm.act("deliver")
            await counted(following, firm.store)
            if following.open:
                return
    pytest.fail("no case tells the mutant from the rule")
