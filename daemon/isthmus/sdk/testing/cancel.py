"""Cancels a piece of work at each place it waits, and looks whether anything stays open.

A daemon that stops, reloads or parks a connector cancels it wherever it stands. What was opened must be
closed then, and what was borrowed (a slot, a lock) given back.
"""

import gc
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

__all__ = ["cancel_at_every_await"]


async def cancel_at_every_await(
    work: Callable[[], Awaitable[object]], *, settle_s: float = 5.0, most: int = 5_000
) -> int:
    """Run ``work`` again and again, cancelled at its first await, its second and so on, until one run ends.

    Before each run and after it the open files and the living tasks are counted; a run that leaves one more
    fails. To show that a connection survives, let ``work`` use one that was opened outside it.

    Args:
        settle_s: how long to wait for the other end: a peer in this process closes a moment later.

    Returns:
        How many runs were cancelled.

    Raises:
        AssertionError: something stayed open, or ``work`` waits for nothing, so that nothing was shown.
    """
    for place in range(1, most + 1):
        before = _open_now()
        with trio.CancelScope() as scope:
            counter = _CancelAfter(place, scope)
            trio.lowlevel.add_instrument(counter)
            try:
                await work()
            finally:
                trio.lowlevel.remove_instrument(counter)
        await _settle(before, place, settle_s)
        if not scope.cancel_called:
            assert place > 1, "the work waits for nothing, so nothing was shown"
            return place - 1
    raise AssertionError(f"the work still waits after {most} awaits")


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


def _open_now() -> Counter[str]:
    """Living tasks, and open files by what they are."""
    found: Counter[str] = Counter(tasks=trio.lowlevel.current_statistics().tasks_living)
    directory = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    for name in os.listdir(directory):  # noqa: PTH208  iterdir keeps a descriptor of its own open longer
        try:
            kind = os.readlink(directory / name).partition(":")[0]  # noqa: PTH115  a socket is no path
        except OSError:
            continue  # the listing itself
        found[kind if kind in ("socket", "pipe", "anon_inode") else "file"] += 1
    return found


async def _settle(before: Counter[str], place: int, settle_s: float) -> None:
    """Wait until no more is open than before.

    Raises:
        AssertionError: something stays open.
    """
    with trio.move_on_after(settle_s, shield=True):
        while left := _open_now() - before:
            gc.collect()
            await trio.sleep(0.002)
        return
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
    raise AssertionError(f"cancelled at await {place}, this stays open: {told}")
