"""Cancelling at every await finds what is left behind: sockets, threads, tasks, locks, half writes."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.lowlevel

from isthmus.sdk import Opened, Page, Receipt
from isthmus.sdk.connector import Delivery
from isthmus.sdk.testing import (
    CancelCase,
    CancelContract,
    SinkContract,
    SourceContract,
    cancel_at_every_await,
    cancels,
    nothing_left_open,
)
from tests.sdk.test_contracts import Book, Careful, case
from tests.sdk.wire import Peer, peer, reply, says

LEAVES_NOTHING = CancelContract().test_a_cancel_at_any_await_leaves_nothing_open
GOES_ON = CancelContract().test_after_a_cancel_at_any_await_the_next_call_works


@pytest.fixture
async def desk() -> AsyncIterator[Peer]:
    async with peer(says(reply())) as running:
        yield running


@asynccontextmanager
async def opened() -> AsyncIterator[Opened]:
    yield Opened(source=Book())


Work = Callable[[Peer], Awaitable[object]]


async def tidy(desk: Peer) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", desk.port) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        await stream.receive_some()


async def careless(desk: Peer) -> None:
    """The mutant that closes its socket only when all went well."""
    stream = await trio.open_tcp_stream("127.0.0.1", desk.port)
    kept.append(stream)
    await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
    await stream.receive_some()
    await stream.aclose()
    kept.remove(stream)


async def forgetful(desk: Peer) -> None:
    """The mutant that leaves the closing to the garbage collector."""
    stream = await trio.open_tcp_stream("127.0.0.1", desk.port)
    await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
    await stream.receive_some()
    await stream.aclose()


async def threaded(desk: Peer) -> None:
    """The mutant that waits on a thread of its own."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait, args=(30,), name="acme-driver", daemon=True)
    thread.start()
    kept.append(done)
    await trio.lowlevel.checkpoint()
    done.set()
    thread.join()


async def adopting(desk: Peer) -> None:
    """The mutant whose task belongs to nobody."""
    task = trio.lowlevel.spawn_system_task(trio.sleep_forever)
    kept.append(task)
    await trio.lowlevel.checkpoint()


kept: list[object] = []


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    yield
    for each in kept:
        if isinstance(each, threading.Event):
            each.set()
    kept.clear()


def cancel_case(work: Work, desk: Peer) -> CancelCase:
    return CancelCase(open=opened, work=lambda _: work(desk))


class TestTidy(CancelContract):
    @pytest.fixture
    def cancel_case(self, desk: Peer) -> CancelCase:
        return cancel_case(tidy, desk)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        pytest.param(careless, "stays open: . socket", id="a socket"),
        pytest.param(forgetful, "without being closed: .*socket", id="a socket left to the collector"),
        pytest.param(threaded, "stays open: .*thread acme-driver", id="a thread"),
        pytest.param(adopting, "stays open: 1 tasks", id="a task without an owner"),
    ],
)
async def test_a_connector_that_leaves_something_open_is_caught(
    work: Work, words: str, desk: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = partial(cancel_at_every_await, settle_s=0.1)
    monkeypatch.setattr("isthmus.sdk.testing.cancel.cancel_at_every_await", impatient)
    with pytest.raises(AssertionError, match=words):
        await LEAVES_NOTHING(cancel_case(work, desk))


async def test_what_opens_and_never_closes_is_caught_too(desk: Peer) -> None:
    """The mutant whose ``open`` has no end for what it began."""

    @asynccontextmanager
    async def leaking() -> AsyncIterator[Opened]:
        stream = await trio.open_tcp_stream("127.0.0.1", desk.port)
        yield Opened()
        await stream.aclose()

    async def wait(_: Opened) -> None:
        await trio.lowlevel.checkpoint()

    with pytest.raises(AssertionError, match="was dropped without being closed"):
        await LEAVES_NOTHING(CancelCase(open=leaking, work=wait))


async def test_a_lock_that_stays_locked_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = trio.Semaphore(1)

    async def locked(_: Opened) -> None:
        await lock.acquire()
        await trio.lowlevel.checkpoint()
        lock.release()

    monkeypatch.setattr("isthmus.sdk.testing.cancel.STUCK_S", 0.1)
    with pytest.raises(AssertionError, match=r"cancelled at await \d, the next call never ended"):
        await GOES_ON(CancelCase(open=opened, work=locked))


async def test_a_work_without_an_await_tests_nothing_and_says_so() -> None:
    async def idle(_: Opened) -> None:
        pass

    with pytest.raises(AssertionError, match="nothing was shown"):
        await LEAVES_NOTHING(CancelCase(open=opened, work=idle))


async def test_every_await_is_met_once_and_in_order() -> None:
    met: list[int] = []

    async def work() -> None:
        for number in range(1, 5):
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled:
                met.append(number)
                raise

    assert [point async for point in cancels(work)] == [1, 2, 3, 4]
    assert met == [1, 2, 3, 4]


async def test_what_is_open_before_and_after_is_nobodys_leak(desk: Peer) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", desk.port), nothing_left_open():
        await tidy(desk)


class Draining(Book):
    """The mutant that empties its buffer before it hands it over."""

    def __init__(self) -> None:
        self._buffer = list(self.facts)

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        events, self._buffer = self._buffer, []
        await trio.lowlevel.checkpoint()
        self._buffer = events
        return Page(events=events, next=b"5")


class TwoSteps(Careful):
    """The mutant that makes a record first and gives it our key afterwards."""

    async def deliver(self, delivery: Delivery) -> Receipt:
        if found := await self.find(delivery):
            return found
        number = self._shelf.put("")
        await trio.lowlevel.checkpoint()
        self._shelf.records[number] = delivery.event.key
        return self._receipt(delivery, number)


class Patient(Careful):
    """One step, awaited before and after: what was cancelled is found or was never made."""

    async def deliver(self, delivery: Delivery) -> Receipt:
        await trio.lowlevel.checkpoint()
        receipt = await super().deliver(delivery)
        await trio.lowlevel.checkpoint()
        return receipt


async def test_a_source_that_loses_what_a_cancelled_pull_had_in_hand_is_caught() -> None:
    promise = SourceContract().test_a_pull_cancelled_at_any_await_can_be_made_again
    await promise(Book())
    with pytest.raises(AssertionError, match="cancelled at await 1"):
        await promise(Draining())


async def test_a_sink_that_doubles_what_a_cancelled_delivery_had_in_hand_is_caught() -> None:
    promise = SinkContract().test_a_delivery_cancelled_at_any_await_doubles_nothing
    await promise(case(Patient))
    with pytest.raises(AssertionError):
        await promise(case(TwoSteps))
