"""What the change-order process remembers: a row per contract, per change, per fact a change waits for."""

from collections.abc import Mapping

import msgspec

from isthmus.events.control import ChangeStep, Outcome, StepState
from isthmus.events.values import Amount, Currency, Key

__all__ = [
    "FACTS",
    "STEPS",
    "Awaited",
    "Change",
    "Contract",
    "Counted",
    "Facts",
    "LaneWord",
    "Routes",
    "Said",
    "Site",
]

STEPS: tuple[ChangeStep, ...] = ("terms", "contract", "schedule", "demand", "projection")
"""In their order; none is ordered before the one before it is done."""

FACTS: Mapping[ChangeStep, tuple[str, ...]] = {
    "terms": (),
    "contract": ("contract.amended", "project.created"),
    "schedule": ("schedule.revised",),
    "demand": ("demand.revised",),
    "projection": ("forecast.revised",),
}
"""The kinds of facts whose deliveries a step waits for."""


class LaneWord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a fact in one lane, as far as is known."""

    outcome: Outcome
    detail: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one kind that carry a change: the first that does, and all of that kind after it."""

    said: bool = False
    """Whether the first of them is in the log."""
    none: str = ""
    """Why there will be none; empty where one is to come."""
    expected: str = ""
    """The id of the first, where it is known beforehand."""
    lanes: dict[str, LaneWord] = {}


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a step last."""

    state: StepState
    detail: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change order."""

    number: int
    """Counts changes in the order they came; its place in the index of open ones."""
    contract: Key
    project: Key
    entity: str
    revision: int
    amended: str
    """The id of the ``contract.amended``."""
    currency: Currency
    budget: Amount | None = None
    hours: dict[str, Amount] = {}
    step: int = 0
    """Where it stands, in `STEPS`; one past the last when all are done."""
    open: bool = True
    """Not ended and not superseded."""
    accepted: bool = False
    held: str = ""
    """Why billing holds its terms; empty where it does not."""
    order: str = ""
    """The id of the word that ordered the schedule."""
    facts: dict[str, Facts] = {}
    """By kind."""
    said: dict[str, Said] = {}
    """By step."""
    words: int = 0
    """How many were said of it; numbers the next one."""

    @property
    def key(self) -> str:
        return f"{self.contract}/{self.revision}"

    def fact(self, kind: str) -> Facts:
        return self.facts.get(kind, Facts())

    def with_facts(self, kind: str, facts: Facts) -> "Change":
        return msgspec.structs.replace(self, facts={**self.facts, kind: facts})


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The changes of one contract that are not over."""

    newest: int = 0
    accepted: int = 0
    """The newest revision billing took."""
    waiting: list[int] = []
    """Revisions billing has not taken yet, ascending; its word on one ends the older ones."""
    under_way: int | None = None
    """The accepted revision whose steps are not all done."""
    moot: list[int] = []
    """Revisions that never held but may have been told to others, until a newer one was told."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A project: the contracts that were ever changed on it."""

    contracts: list[Key] = []


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """A fact whose deliveries change orders look at: one fact may carry several of them."""

    changes: list[Key]
    kind: str


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """Which lanes carry which kinds for one legal entity."""

    revision: int
    lanes: dict[str, list[str]]


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Counts change orders."""

    last: int = 0
