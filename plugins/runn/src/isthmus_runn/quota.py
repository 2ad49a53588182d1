"""How many calls are left, as Runn's headers say, so that we slow down before it has to refuse us.

``x-ratelimit-limit``, ``-remaining`` and ``-reset`` come with every answer; ``-reset`` is the seconds until
the window ends, or, should it be large, the second since 1970. The budget is the account's: other clients use
it too. The last tenth of it is spread over what is left of the window.
"""

import math
from collections.abc import Mapping
from datetime import datetime

import msgspec

RESERVE = 0.1
"""This part of the limit is spent evenly."""
EPOCH_MIN = 1_000_000_000.0
WINDOW_MAX_S = 3600.0
"""No window is believed to be longer."""
SAME_S = 1.5
"""Two answers that name an end so close to each other speak of the same window."""
CLOSED_S = 5.0
"""How long we rest after a 429 that names no pause."""


class Quota(msgspec.Struct):
    """What is left of the window; times are seconds of one clock."""

    limit: int = 0
    remaining: int = 0
    ends_at: float | None = None
    next_at: float = 0.0
    closed_until: float = 0.0

    def learn(self, headers: Mapping[str, str], now: float, wall: datetime) -> None:
        """Take the word of an answer; headers that are missing or no numbers change nothing."""
        try:
            limit = int(headers["x-ratelimit-limit"])
            remaining = int(headers["x-ratelimit-remaining"])
            reset = float(headers["x-ratelimit-reset"])
        except (KeyError, ValueError):
            return
        if not math.isfinite(reset):
            return
        rest_s = reset - wall.timestamp() if reset >= EPOCH_MIN else reset
        ends_at = now + min(max(0.0, rest_s), WINDOW_MAX_S)
        if self.ends_at is not None and abs(ends_at - self.ends_at) <= SAME_S:
            # Answers overtake each other: within a window the lowest number is the newest.
            remaining = min(remaining, self.remaining)
        self.limit, self.remaining, self.ends_at = limit, remaining, ends_at

    def refused(self, now: float, retry_after_s: float | None) -> float:
        """Note a 429; returns the seconds to rest."""
        pause = retry_after_s
        if pause is None:
            pause = self.ends_at - now if self.ends_at is not None and self.ends_at > now else CLOSED_S
        self.closed_until = max(self.closed_until, now + pause)
        return pause

    def due(self, now: float) -> float:
        """The time from which the next call may be made."""
        at = max(now, self.closed_until)
        if self.ends_at is None or now >= self.ends_at or self.remaining > RESERVE * self.limit:
            return at
        if self.remaining <= 0:
            return max(at, self.ends_at)
        return max(at, self.next_at)

    def reserve(self, now: float) -> float:
        """The same, and the place is taken."""
        at = self.due(now)
        if self.ends_at is not None and at < self.ends_at:
            if self.remaining <= RESERVE * self.limit:
                self.next_at = at + (self.ends_at - at) / (self.remaining + 1)
            self.remaining -= 1
        return at
