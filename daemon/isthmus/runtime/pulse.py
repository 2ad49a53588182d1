"""The loop's pulse: how late it turns, and who held it up."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

import trio

log = logging.getLogger(__name__)


async def watch_loop(
    observe: Callable[[float], None], *, every_s: float = 0.5, blocked_after_s: float = 0.5
) -> NoReturn:
    """Measure how late the loop turns; name the code that blocks it.

    A thread looks on: a blocked loop cannot report itself. When the loop has not turned for
    ``blocked_after_s`` the thread logs the innermost frames of the loop's thread, once per blockage.
    """
    watcher = _Watcher(threading.get_ident(), blocked_after_s + every_s)
    watcher.start()
    try:
        while True:
            due = trio.current_time() + every_s
            await trio.sleep_until(due)
            watcher.turned()
            observe(max(0.0, trio.current_time() - due))
    finally:
        watcher.stop()


class _Watcher(threading.Thread):
    def __init__(self, loop_thread: int, limit_s: float) -> None:
        super().__init__(name="isthmus-loop-watch", daemon=True)
        self._loop_thread = loop_thread
        self._limit_s = limit_s
        self._turned = threading.Event()
        self._stopped = False

    def turned(self) -> None:
        self._turned.set()

    def stop(self) -> None:
        self._stopped = True
        self._turned.set()

    def run(self) -> None:
        while not self._stopped:
            if self._turned.wait(self._limit_s):
                self._turned.clear()
                continue
            log.error("loop.blocked", extra={"reason": self._where()})
            self._turned.wait()

    def _where(self) -> str:
        """The innermost frames of the loop's thread, as file:line function."""
        frame = sys._current_frames().get(self._loop_thread)
        if frame is None:
            return "the loop's thread is gone"
        calls = traceback.extract_stack(frame)[-6:]
        return " > ".join(f"{call.filename}:{call.lineno} {call.name}" for call in calls)
