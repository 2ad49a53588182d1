"""How often one token may ask."""

import math
from collections.abc import Callable

__all__ = ["RateLimit"]


class RateLimit:
    """A token bucket for each key: ``burst`` at once, then ``rate_per_s``.

    Only known keys may be asked about, since each is remembered.
    """

    def __init__(self, rate_per_s: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate_per_s
        self._burst = burst
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}
        """By key: how much was left, and when."""

    def take(self, key: str) -> int | None:
        """None when the request may go on; else after how many whole seconds one may."""
        at = self._clock()
        left, since = self._levels.get(key, (float(self._burst), at))
        left = min(float(self._burst), left + (at - since) * self._rate)
        if left >= 1:
            self._levels[key] = left - 1, at
            return None
        self._levels[key] = left, at
        return max(1, math.ceil((1 - left) / self._rate))
