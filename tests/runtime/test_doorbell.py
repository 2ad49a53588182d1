"""Nobody sleeps past a ring."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from isthmus.runtime.doorbell import Doorbell, Doorbells


async def test_a_ring_while_nobody_waits_is_kept(autojump_clock: MockClock) -> None:
    bell = Doorbell()
    bell.ring()
    bell.ring()
    with trio.fail_after(1):
        await bell.wait()
    with pytest.raises(trio.TooSlowError):
        with trio.fail_after(1):
            await bell.wait()


async def test_a_wait_ends_with_a_ring_or_with_its_time(autojump_clock: MockClock) -> None:
    bell = Doorbell()
    began = trio.current_time()
    await bell.wait(7)
    assert trio.current_time() == began + 7
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bell.wait, 100)
        await wait_all_tasks_blocked()
        bell.ring()
    assert trio.current_time() < began + 8


async def test_a_ring_during_a_cancelled_wait_is_kept(autojump_clock: MockClock) -> None:
    bell = Doorbell()
    with trio.CancelScope() as scope:
        scope.cancel()
        bell.ring()
        await bell.wait()
    with trio.fail_after(1):
        await bell.wait()


class Forgets(Doorbell):
    """Planted: the bell is reset before the wait, so a ring between a look and the wait is lost."""

    async def wait(self, timeout_s: float = 1e9) -> None:
        self._rung = trio.Event()
        await super().wait(timeout_s)


@pytest.mark.parametrize(
    ("bell", "all_done"),
    [pytest.param(Doorbell(), True, id="as built"), pytest.param(Forgets(), False, id="mutant")],
)
async def test_work_announced_at_any_moment_is_done(
    autojump_clock: MockClock, bell: Doorbell, all_done: bool
) -> None:
    """A worker looks, does what it saw (which takes time), and waits; work comes at every moment of that."""
    work: list[int] = []
    done: list[int] = []

    async def worker() -> None:
        while True:
            seen = list(work)
            await trio.sleep(0.01)
            for each in seen:
                work.remove(each)
                done.append(each)
                await trio.sleep(0.003)
            await bell.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker)
        for n in range(200):
            work.append(n)
            bell.ring()
            await trio.sleep(0.0013 * (n % 17))
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert (len(done) == 200) == all_done


async def test_each_lane_has_its_own_bell(autojump_clock: MockClock) -> None:
    bells = Doorbells()
    first, second = bells.of("a"), bells.of("b")
    assert bells.of("a") is first and first is not second
    bells.ring_all()
    with trio.fail_after(1):
        await first.wait()
        await second.wait()
