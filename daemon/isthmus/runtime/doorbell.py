"""Waiting for work without polling: whoever makes work rings, the actor waits for the ring or a time."""

from math import inf

import trio


class Doorbell:
    """Rung by many, waited on by one.

    A ring while nobody waits is kept, so work announced between a look and a wait is never slept over.
    """

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, timeout_s: float = inf) -> None:
        """Return at the next ring, at once if it rang since the last wait, or after ``timeout_s``."""
        with trio.move_on_after(max(0.0, timeout_s)):
            await self._rung.wait()
        self._rung = trio.Event()


class Doorbells:
    """One doorbell per lane, made on first use."""

    def __init__(self) -> None:
        self._bells: dict[str, Doorbell] = {}

    def of(self, lane: str) -> Doorbell:
        return self._bells.setdefault(lane, Doorbell())

    def ring_all(self) -> None:
        for bell in self._bells.values():
            bell.ring()
