"""How long to wait before the next try, and waiting out what passes by itself."""

import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

log = logging.getLogger(__name__)
T = TypeVar("T")

__all__ = ["delay_s", "wait_out"]


def delay_s(
    attempts: int, first_s: float, max_s: float, jitter: Callable[[], float] = random.random
) -> float:
    """Seconds before try ``attempts + 1``: doubling from ``first_s`` up to ``max_s``.

    Between half and all of it is drawn, so that many deliveries that failed together do not come back
    together.

    Args:
        attempts: Tries so far, at least 1.
        jitter: Draws from [0, 1).
    """
    whole = min(max_s, first_s * 2.0 ** min(attempts - 1, 40))
    return whole * (0.5 + 0.5 * jitter())


async def wait_out(passing: type[Exception], work: Callable[[], Awaitable[T]], *, pause_s: float = 2.0) -> T:
    """Do ``work`` until it does not raise ``passing``, such as a full disk; what it returns.

    For work whose outcome must not be thrown away: a receipt in hand is worth waiting for space.
    """
    waiting = False
    while True:
        try:
            done = await work()
        except passing as error:
            if not waiting:
                log.warning("work.waits", extra={"reason": str(error)})
            waiting = True
            await trio.sleep(pause_s)
        else:
            if waiting:
                log.warning("work.goes_on")
            return done
