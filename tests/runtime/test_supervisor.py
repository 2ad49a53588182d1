"""A failure ends in its actor: how often it may come back, when it parks, and whom it never touches."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from isthmus.runtime.supervisor import Intensity, Parking, supervise
from isthmus.sdk.errors import ConnectorError, Fatal, Rejected, Retryable, Throttled


class DiskGone(Exception):
    """Stands for the store's failures, which end the process."""


class Stands(Parking):
    """Parking in memory."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self._resumed = trio.Event()

    async def park(self, actor: str, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.reasons.append(reason)
        self._resumed = trio.Event()

    async def wait_resumed(self, actor: str) -> None:
        await self._resumed.wait()

    def resume(self) -> None:
        self._resumed.set()


class Actor:
    """Raises what it is told, one after the other, then runs for ever."""

    def __init__(self, *errors: BaseException, lasts_s: float = 0.0) -> None:
        self._errors = list(errors)
        self._lasts_s = lasts_s
        self.starts: list[float] = []

    async def run(self) -> None:
        self.starts.append(trio.current_time())
        await trio.sleep(self._lasts_s)
        if not self._errors:
            await trio.sleep_forever()
        raise self._errors.pop(0)


async def watched(seconds: float, run: Callable[[], Awaitable[object]], parking: Parking) -> None:
    """Supervise for so long, then stop."""
    with trio.move_on_after(seconds):
        await supervise("actor", run, parking=parking, fatal=(DiskGone,))


async def test_an_actor_that_fails_is_started_again_ever_later(autojump_clock: MockClock) -> None:
    actor, parking = Actor(*[ValueError("bug")] * 5), Stands()
    await watched(3600, actor.run, parking)
    waits = [later - start for start, later in zip(actor.starts, actor.starts[1:], strict=False)]
    assert len(actor.starts) == 6 and parking.reasons == []
    assert all(0.1 * 2**n <= wait <= 0.2 * 2**n + 0.001 for n, wait in enumerate(waits))


async def test_more_than_five_failures_in_a_minute_park_it(autojump_clock: MockClock) -> None:
    actor, parking = Actor(*[ValueError("bug")] * 100), Stands()
    await watched(3600, actor.run, parking)
    assert len(actor.starts) == 6
    assert parking.reasons == ["failed 6 times in 60 s: ValueError('bug')"]


async def test_failures_spread_over_hours_do_not_add_up(autojump_clock: MockClock) -> None:
    actor, parking = Actor(*[ValueError("bug")] * 100, lasts_s=20.0), Stands()
    await watched(3600, actor.run, parking)
    assert len(actor.starts) == 101 and parking.reasons == []


async def test_a_resumed_actor_has_its_whole_patience_again(autojump_clock: MockClock) -> None:
    actor, parking = Actor(*[ValueError("bug")] * 10), Stands()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched, 3600, actor.run, parking)
        await trio.sleep(60)
        assert len(actor.starts) == 6
        parking.resume()
        await trio.sleep(60)
        assert len(actor.starts) == 11 and len(parking.reasons) == 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Fatal("key revoked"), id="raised plainly"),
        pytest.param(ExceptionGroup("nursery", [Fatal("key revoked")]), id="inside a nursery"),
        pytest.param(
            ExceptionGroup("outer", [ValueError("x"), ExceptionGroup("inner", [Fatal("key revoked")])]),
            id="deep inside, beside a bug",
        ),
    ],
)
async def test_a_fatal_error_parks_at_once(autojump_clock: MockClock, error: Exception) -> None:
    actor, parking = Actor(error), Stands()
    await watched(3600, actor.run, parking)
    assert parking.reasons == ["key revoked"] and len(actor.starts) == 1


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(DiskGone("EIO"), id="raised plainly"),
        pytest.param(ExceptionGroup("nursery", [ExceptionGroup("x", [DiskGone("EIO")])]), id="in a nursery"),
        pytest.param(ExceptionGroup("nursery", [Fatal("x"), DiskGone("EIO")]), id="beside a fatal one"),
    ],
)
async def test_a_failure_of_the_store_passes_through(autojump_clock: MockClock, error: Exception) -> None:
    parking = Stands()
    with pytest.raises((DiskGone, ExceptionGroup)) as raised:
        await watched(60, Actor(error).run, parking)
    assert raised.value is error and parking.reasons == []


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Retryable("refused"), id="it is down"),
        pytest.param(Throttled("429"), id="it asks for less"),
        pytest.param(ExceptionGroup("g", [Retryable("a"), Throttled("b")]), id="both, in a nursery"),
    ],
)
async def test_a_peer_in_trouble_never_parks_its_actor(autojump_clock: MockClock, error: Exception) -> None:
    """Nobody here can mend it; it is asked ever less often, and at most six times in the first minute."""
    actor, parking = Actor(*[error] * 10_000), Stands()
    await watched(6 * 3600, actor.run, parking)
    assert parking.reasons == []
    assert sum(start < actor.starts[0] + 60 for start in actor.starts) <= 7
    assert 72 < len(actor.starts) < 170, "at most every 150 to 300 s in the end"


async def test_a_peer_that_came_back_for_a_while_is_asked_soon_again(autojump_clock: MockClock) -> None:
    actor, parking = Actor(*[Retryable("x")] * 5, lasts_s=100.0), Stands()
    await watched(3600, actor.run, parking)
    waits = [later - start - 100 for start, later in zip(actor.starts, actor.starts[1:], strict=False)]
    assert len(waits) == 5 and max(waits) <= 2.001


async def test_another_word_of_the_connector_counts_as_a_failure(autojump_clock: MockClock) -> None:
    actor, parking = Actor(*[Rejected("what?")] * 10), Stands()
    await watched(3600, actor.run, parking)
    assert len(parking.reasons) == 1


async def test_neighbours_of_a_crash_loop_are_untouched(autojump_clock: MockClock) -> None:
    broken, parking = Actor(*[ValueError("bug")] * 1000), Stands()
    neighbours = [Actor() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for actor in (broken, *neighbours):
            nursery.start_soon(watched, 3600, actor.run, parking)
    assert len(broken.starts) == 6
    assert [len(actor.starts) for actor in neighbours] == [1, 1, 1]


async def test_each_restart_is_told(autojump_clock: MockClock) -> None:
    told: list[str] = []
    with trio.move_on_after(60):
        await supervise(
            "actor",
            Actor(ValueError(), Retryable("x")).run,
            parking=Stands(),
            on_restart=told.append,
            intensity=Intensity(first_s=0.1),
        )
    assert told == ["actor", "actor"]


async def test_an_actor_that_returns_is_done(autojump_clock: MockClock) -> None:
    async def done() -> None:
        await trio.lowlevel.checkpoint()

    with trio.fail_after(1):
        await supervise("actor", done, parking=Stands())


async def fails_on_its_way_out(error: Exception) -> None:
    """A nursery whose shielded child ends badly while everything is being cancelled."""

    async def in_hand() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
            raise error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(in_hand)
        await trio.sleep_forever()


@pytest.mark.parametrize(
    "error", [pytest.param(Fatal("revoked"), id="fatal"), pytest.param(ValueError("bug"), id="a bug")]
)
async def test_what_an_actor_raises_while_it_is_stopped_does_not_spoil_the_stop(
    autojump_clock: MockClock, error: Exception
) -> None:
    parking = Stands()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched, 3600, lambda: fails_on_its_way_out(error), parking)
            await trio.sleep(1)
            scope.cancel()
    assert scope.cancelled_caught and parking.reasons == []


async def stopped_after_a_second(error: Exception) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched, 3600, lambda: fails_on_its_way_out(error), Stands())
            await trio.sleep(1)
            scope.cancel()


async def test_a_failure_of_the_store_while_it_is_stopped_is_not_hidden(autojump_clock: MockClock) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await stopped_after_a_second(DiskGone("EIO"))
    assert raised.value.subgroup(DiskGone) is not None


def test_the_default_intensity_is_that_of_the_handbook() -> None:
    assert (Intensity().restarts, Intensity().window_s) == (5, 60.0)
    assert issubclass(Fatal, ConnectorError)
