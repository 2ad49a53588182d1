"""Cancels a piece of work at each place it waits, and looks whether anything stays open.

A daemon that stops, reloads or parks a connector cancels it wherever it stands, and so does a call that
outlasts its lane's patience. What was opened must be closed then, what was borrowed (a slot, a lock) given
back, and what was half done must be done again by the next call.
"""

import gc
import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path

import msgspec
import trio

from isthmus.sdk.connector import Opened

__all__ = [
    "CancelCase",
    "CancelContract",
    "cancel_at_every_await",
    "cancelled_at",
    "cancels",
    "nothing_left_open",
]

AWAITS_MAX = 5_000
STUCK_S = 10.0

Work = Callable[[], Awaitable[object]]


async def cancel_at_every_await(work: Work, *, settle_s: float = 5.0, most: int = AWAITS_MAX) -> int:
    """Run ``work`` again and again, cancelled at its first await, its second and so on, until one run ends.

    After each run `nothing_left_open` looks what it left. To show that a connection survives, let ``work``
    use one that was opened outside it.

    Args:
        settle_s: how long to wait for the other end: a peer in this process closes a moment later.

    Returns:
        How many runs were cancelled.

    Raises:
        AssertionError: something stayed open, or ``work`` waits for nothing, so that nothing was shown.
    """
    for place in range(1, most + 1):
        try:
            async with nothing_left_open(settle_s=settle_s):
                cancelled = await cancelled_at(work, place)
        except AssertionError as error:
            raise AssertionError(f"cancelled at await {place}, {error}") from error
        if not cancelled:
            assert place > 1, "the work waits for nothing, so nothing was shown"
            return place - 1
    raise AssertionError(f"the work still waits after {most} awaits")


async def cancels(work: Work) -> AsyncIterator[int]:
    """Cancel ``work`` at its first await, then, run anew, at its second, until one run ends by itself.

    Gives the number of the await after each cancel, for what the caller wants to try in between. The last
    run, which nobody cancelled, gives no number.
    """
    for place in count(1):
        if not await cancelled_at(work, place):
            return
        assert place < AWAITS_MAX, f"the work still waits after {AWAITS_MAX} awaits"
        yield place


async def cancelled_at(work: Work, place: int) -> bool:
    """Run ``work`` and cancel it when it, or a task it started, waits for the ``place``-th time, from 1 on.

    Returns:
        Whether it waits so often; if not, it ran to its end.
    """
    with trio.CancelScope() as scope:
        counter = _CancelAfter(place, scope)
        trio.lowlevel.add_instrument(counter)
        try:
            await work()
        finally:
            trio.lowlevel.remove_instrument(counter)
    return scope.cancel_called


class _CancelAfter(trio.abc.Instrument):
    """Cancels ``scope`` when the task, or one it started, has stopped to wait for the n-th time."""

    def __init__(self, place: int, scope: trio.CancelScope) -> None:
        self._left = place
        self._scope = scope
        self._root = trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._left == 0 or not self._below(task):
            return
        self._left -= 1
        if self._left == 0:
            self._scope.cancel()

    def _below(self, task: trio.lowlevel.Task) -> bool:
        here: trio.lowlevel.Task | None = task
        while here is not None and here is not self._root:
            here = here.parent_nursery.parent_task if here.parent_nursery is not None else None
        return here is self._root


@asynccontextmanager
async def nothing_left_open(*, settle_s: float = 5.0) -> AsyncIterator[None]:
    """Count open files, living tasks and threads before the block and after it.

    Raises:
        AssertionError: there is one more, or a file or socket was left to the garbage collector to close.
    """
    before = _open_now()
    gc.freeze()  # what is older than the block need not be looked through after each run
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ResourceWarning)
            yield
            await trio.lowlevel.checkpoint()  # until its next turn the loop itself holds the last exception
            gc.collect()
    finally:
        gc.unfreeze()
    # Not the generators: httpx leaves one of its own, which holds nothing.
    dropped = [words for each in told if (words := str(each.message)).startswith("unclosed")]
    assert not dropped, f"this was dropped without being closed: {', '.join(dropped)}"
    with trio.move_on_after(settle_s, shield=True):
        while left := _open_now() - before:  # noqa: ASYNC110  nothing tells that a file was closed
            await trio.sleep(0.002)
        return
    words = ", ".join(f"{number} {kind}" for kind, number in sorted(left.items()))
    raise AssertionError(f"this stays open: {words}")


def _open_now() -> Counter[str]:
    """Living tasks, threads, and open files by what they are."""
    found: Counter[str] = Counter(tasks=trio.lowlevel.current_statistics().tasks_living)
    # trio's own workers wait for the next job and end by themselves.
    found.update(
        f"thread {thread.name}" for thread in threading.enumerate() if "Trio thread" not in thread.name
    )
    directory = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    for name in os.listdir(directory):  # noqa: PTH208  iterdir keeps a descriptor of its own open longer
        try:
            kind = os.readlink(directory / name).partition(":")[0]  # noqa: PTH115  a socket is no path
        except OSError:
            continue  # the listing itself
        found[kind if kind in ("socket", "pipe", "anon_inode") else "file"] += 1
    return found


class CancelCase(msgspec.Struct, frozen=True, kw_only=True):
    """What is cancelled: ``open`` opens the connector anew, as the daemon does, and ``work`` uses it.

    ``work`` is run as often as it waits, and twice that: let it be one call of the daemon that can be made
    again, such as pulling a page, running the checks, delivering a fact of class A.
    """

    open: Callable[[], AbstractAsyncContextManager[Opened]]
    work: Callable[[Opened], Awaitable[object]]


class CancelContract:
    """Give a fixture ``cancel_case``: a `CancelCase`."""

    async def test_a_cancel_at_any_await_leaves_nothing_open(self, cancel_case: CancelCase) -> None:
        async def session() -> None:
            async with cancel_case.open() as opened:
                await cancel_case.work(opened)

        await session()  # what a process imports or caches once is no leak
        await cancel_at_every_await(session)

    async def test_after_a_cancel_at_any_await_the_next_call_works(self, cancel_case: CancelCase) -> None:
        async with cancel_case.open() as opened:
            async for place in cancels(lambda: cancel_case.work(opened)):
                with trio.move_on_after(STUCK_S) as patience:
                    await cancel_case.work(opened)
                assert not patience.cancelled_caught, f"cancelled at await {place}, the next call never ended"
