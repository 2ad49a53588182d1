"""How many calls at the same time: the account's limit is shared, and nobody tells what is left of it.

Additive increase, multiplicative decrease, as TCP does it: each refusal halves what this connector allows
itself, each round of answers lets it have one call more, up to the configured ceiling. Integrations that
do so share an account fairly without knowing of each other.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from isthmus.sdk import Throttled

__all__ = ["Budget", "lowered", "raised"]


def lowered(limit: float) -> float:
    """The limit after a refusal: half of it, at least 1."""
    return max(1.0, limit / 2)


def raised(limit: float, ceiling: int) -> float:
    """The limit after an answer; ``limit`` answers make it one more."""
    return min(float(ceiling), limit + 1 / limit)


class Budget:
    """Slots for calls. Whoever holds one makes one call and says by `Throttled` that it was refused."""

    def __init__(self, ceiling: int, changed: Callable[[float], None] = lambda limit: None) -> None:
        """
        Args:
            changed: Told the new limit after each refusal that lowered it.
        """
        self.ceiling = ceiling
        self.limit = float(ceiling)
        self._changed = changed
        self._slots = trio.CapacityLimiter(ceiling)
        self._cuts = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot. Calls that were under way together lower the limit once, not once each."""
        async with self._slots:
            cuts = self._cuts
            try:
                yield
            except Throttled:
                if cuts == self._cuts:
                    self._cuts += 1
                    self._set(lowered(self.limit))
                    self._changed(self.limit)
                raise
            self._set(raised(self.limit, self.ceiling))

    def _set(self, limit: float) -> None:
        self.limit = limit
        self._slots.total_tokens = int(limit)
