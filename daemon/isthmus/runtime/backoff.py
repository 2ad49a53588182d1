"""How long to wait before the next try. Pure."""

import random
from collections.abc import Callable

__all__ = ["delay_s"]


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
