"""Waiting out what passes by itself."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

log = logging.getLogger(__name__)
T = TypeVar("T")

__all__ = ["wait_out"]


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
