"""How fast we may ask, learnt from refusals: Kantata says 429 and nothing else, and publishes no numbers.

All calls share one budget; eight endpoints have one of their own as well (Kantata's API documentation,
"Rate Limits"). A refusal closes its budget for a while, twice as long each time in a row, and from then on
its calls are spaced; calls that go through let the spacing shrink again. So a busy ``workspaces`` slows down
nothing else.
"""

import re
from collections.abc import Iterator

import msgspec

FIRST_S, MOST_S = 5.0, 300.0
"""Pause after the first refusal, and the longest."""
SPACE_S, SPACE_MOST_S = 0.5, 30.0
"""Space between two calls after the first refusal, and the widest."""
CALM = 20
"""So many calls in a row that go through halve the space."""

OWN = frozenset(
    {
        "GET workspaces",
        "POST workspaces",
        "POST workspaces/#/invite",
        "POST account_invitations",
        "PUT account_invitations/#/resend",
        "GET custom_field_values",
        "POST custom_field_values",
        "POST project_snapshots",
    }
)
GENERAL = "all calls"


class Budget(msgspec.Struct):
    """One budget; times are seconds of one clock."""

    closed_until: float = 0.0
    next_at: float = 0.0
    space_s: float = 0.0
    refusals: int = 0
    calm: int = 0

    def reserve(self, now: float) -> float:
        """The time from which the next call may be made; that place is taken then."""
        at = max(now, self.closed_until, self.next_at)
        self.next_at = at + self.space_s
        return at

    def due(self, now: float) -> float:
        """The same without taking the place."""
        return max(now, self.closed_until, self.next_at)

    def refused(self, now: float) -> float:
        """Note a 429; returns the seconds this budget stays closed."""
        self.refusals += 1
        self.calm = 0
        pause: float = min(FIRST_S * 2 ** min(self.refusals - 1, 10), MOST_S)
        self.closed_until = max(self.closed_until, now + pause)
        self.space_s = min(max(2 * self.space_s, SPACE_S), SPACE_MOST_S)
        return pause

    def taken(self) -> None:
        """Note a call that went through."""
        self.refusals = 0
        self.calm += 1
        if self.calm >= CALM:
            self.calm = 0
            self.space_s = self.space_s / 2 if self.space_s > SPACE_S else 0.0


class Budgets:
    """The budgets of one account."""

    def __init__(self) -> None:
        self._budgets: dict[str, Budget] = {}

    def refused(self, method: str, path: str, now: float) -> float:
        """Note a 429, against the endpoint's own budget where it has one; returns the pause in seconds."""
        return self._named(name_of(method, path)).refused(now)

    def taken(self, method: str, path: str) -> None:
        """Note a call that went through."""
        for budget in self._asked(method, path):
            budget.taken()

    def due(self, method: str, path: str, now: float) -> float:
        """The time from which this call may be made."""
        return max(budget.due(now) for budget in self._asked(method, path))

    def reserve(self, method: str, path: str, now: float) -> float:
        """The same, and the place is taken."""
        return max(budget.reserve(now) for budget in self._asked(method, path))

    def _asked(self, method: str, path: str) -> Iterator[Budget]:
        yield self._named(GENERAL)
        if (name := name_of(method, path)) != GENERAL:
            yield self._named(name)

    def _named(self, name: str) -> Budget:
        return self._budgets.setdefault(name, Budget())


def name_of(method: str, path: str) -> str:
    """The budget of an endpoint: its own, or the one of all calls."""
    place = re.sub(r"/\d+", "/#", path.strip("/").removesuffix(".json"))
    name = f"{method} {place}"
    return name if name in OWN else GENERAL
