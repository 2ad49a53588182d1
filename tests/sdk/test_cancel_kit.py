"""The kit that cancels work at every await finds what such work leaves behind."""

import socket

import pytest
import trio

from isthmus.sdk.testing import cancel_at_every_await


class Borrowed:
    """Opens a socket and closes it, after three waits."""

    def __init__(self, *, careful: bool) -> None:
        self._careful = careful
        self.kept: list[socket.socket] = []

    async def __call__(self) -> None:
        held = socket.socket()
        self.kept.append(held)
        try:
            for _ in range(3):
                await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            if self._careful:
                held.close()
            raise
        held.close()


async def test_careful_work_is_cancelled_at_each_of_its_awaits() -> None:
    work = Borrowed(careful=True)
    assert await cancel_at_every_await(work) == 3
    assert len(work.kept) == 4


async def test_work_that_leaves_a_socket_open_is_caught() -> None:
    work = Borrowed(careful=False)
    with pytest.raises(AssertionError, match="await 1, this stays open: 1 socket"):
        await cancel_at_every_await(work, settle_s=0.1)
    for held in work.kept:
        held.close()


async def test_work_that_leaves_a_task_behind_is_caught() -> None:
    async with trio.open_nursery() as nursery:

        async def work() -> None:
            nursery.start_soon(trio.sleep_forever)
            await trio.lowlevel.checkpoint()

        with pytest.raises(AssertionError, match="1 tasks"):
            await cancel_at_every_await(work, settle_s=0.1)
        nursery.cancel_scope.cancel()


async def test_awaits_of_tasks_that_the_work_started_count() -> None:
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(trio.lowlevel.checkpoint)

    assert await cancel_at_every_await(work) >= 3


async def test_work_that_never_waits_shows_nothing() -> None:
    async def work() -> None:
        return

    with pytest.raises(AssertionError, match="nothing was shown"):
        await cancel_at_every_await(work)
