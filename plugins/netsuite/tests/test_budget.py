"""How many calls at the same time a shared account leaves us."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio
import trio.testing

from isthmus.events import ChargeDetermined
from isthmus.sdk import Delivery, Opened, Sink, Throttled
from isthmus_netsuite.budget import Budget, lowered, raised
from isthmus_netsuite.simulator import NetSuiteSimulator

MakeCharge = Callable[..., ChargeDetermined]


@pytest.mark.parametrize(
    ("limit", "after"),
    [
        pytest.param(16.0, 8.0, id="half of many"),
        pytest.param(3.0, 1.5, id="a part of a call is kept for later"),
        pytest.param(1.0, 1.0, id="never less than one"),
    ],
)
def test_a_refusal_halves_the_limit(limit: float, after: float) -> None:
    assert lowered(limit) == after


@pytest.mark.parametrize("limit", [1.0, 4.0, 10.0])
def test_as_many_answers_as_the_limit_allow_one_call_more(limit: float) -> None:
    grown = limit
    for _ in range(int(limit)):
        grown = raised(grown, 50)
    assert limit + 0.8 < grown <= limit + 1


def test_it_never_grows_past_its_ceiling() -> None:
    assert raised(4.0, 4) == 4.0


async def used(budget: Budget, error: Exception | None = None) -> None:
    """One call, which ends in ``error``."""
    async with budget.slot():
        if error is not None:
            raise error


async def test_calls_refused_together_lower_the_limit_once() -> None:
    told: list[float] = []
    budget = Budget(8, told.append)

    async def refused() -> None:
        async with budget.slot():
            await trio.testing.wait_all_tasks_blocked()
            raise Throttled("too many")

    async def call() -> None:
        with pytest.raises(Throttled):
            await refused()

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(call)
    assert (budget.limit, told) == (4.0, [4.0])


async def test_an_error_that_is_no_refusal_changes_nothing() -> None:
    budget = Budget(4)
    budget.limit = 2.0
    with pytest.raises(ValueError, match="broken"):
        await used(budget, ValueError("broken"))
    assert budget.limit == 2.0


async def test_a_lowered_limit_holds_calls_back() -> None:
    budget = Budget(2)
    with pytest.raises(Throttled):
        await used(budget, Throttled("too many"))
    most = now = 0

    async def call() -> None:
        nonlocal most, now
        async with budget.slot():
            now += 1
            most = max(most, now)
            await trio.testing.wait_all_tasks_blocked()
            now -= 1

    assert budget.limit == 1.0
    async with budget.slot(), trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        assert now == 0
        nursery.cancel_scope.cancel()
    for _ in range(3):
        await used(budget)
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(call)
    assert (budget.limit, most) == (2.0, 2)


@pytest.mark.parametrize(
    "status",
    [pytest.param(429, id="429"), pytest.param(400, id="400 SSS_REQUEST_LIMIT_EXCEEDED")],
)
async def test_the_connector_finds_what_the_account_leaves_it(
    shell: None,
    status: int,
    simulator: NetSuiteSimulator,
    open_with: Callable[..., AbstractAsyncContextManager[Opened]],
    charge: MakeCharge,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Others take all but two of the account's slots, then leave: nothing is lost, and speed comes back."""
    caplog.set_level("DEBUG", logger="isthmus.connector")
    async with open_with(concurrency=8) as opened:
        sink = opened.sink
        assert sink is not None
        budget: Budget = sink._client.budget  # type: ignore[attr-defined]
        await deliver_all(sink, [charge("billing:warm")])
        simulator.acts()["limit_concurrency"](2, 0.01, status)
        refused = await deliver_all(sink, [charge(f"billing:a{n}") for n in range(16)])
        assert refused > 0 and "netsuite.concurrency_lowered" in caplog.messages
        simulator.acts()["limit_concurrency"](15, 0.0)
        assert await deliver_all(sink, [charge(f"billing:b{n}") for n in range(20)]) == 0
        assert budget.limit == 8
    assert len(list(simulator.ledger.of_kind("timeBill"))) == 37


async def deliver_all(sink: Sink, charges: list[ChargeDetermined]) -> int:
    """Deliver at once, each until it is there, resting when told to; how often that was."""
    refusals = 0

    async def one(event: ChargeDetermined) -> None:
        nonlocal refusals
        while True:
            try:
                await sink.deliver(Delivery(key=event.id, lane="netsuite", event=event))
            except Throttled:
                refusals += 1
                await trio.sleep(0.02)
            else:
                return

    async with trio.open_nursery() as nursery:
        for event in charges:
            nursery.start_soon(one, event)
    return refusals
