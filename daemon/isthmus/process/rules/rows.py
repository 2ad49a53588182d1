"""What billing remembers: one row per fact, per contract, per revision of its terms, per project."""

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from isthmus.events.contract import ContractLine, PeriodPolicy
from isthmus.events.values import Amount, Currency, Hours, Key

ZERO = Decimal(0)
FactOrigin = Literal["time", "expense", "milestone"]


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What was approved. Two revisions with equal work differ in nothing that is billed."""

    origin: FactOrigin
    key: Key
    project: Key
    done_on: date
    """The day worked, spent or achieved."""
    quantity: Amount
    """Hours; an expense's amount before mark-up; 1 for a milestone."""
    billable: bool = True
    service: str | None = None
    resource: Key | None = None
    category: str | None = None
    currency: Currency | None = None
    markup_pct: Amount | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One charge that is not reversed, with all that its reversal repeats."""

    charge: Key
    contract: Key
    entity: str
    line: str
    pot: str | None
    """The running total it counts in; None outside the cap."""
    revision: int
    quantity: Amount
    unit_price: Amount
    amount: Amount
    rate: Amount
    """The line's own rate when it was determined; an overage charge may have cost more or less."""
    currency: Currency
    customer: Key
    earned_on: date
    posting_on: date
    dimensions: dict[str, str]


class Consumed(msgspec.Struct, frozen=True, kw_only=True):
    """Included hours a fact used up."""

    contract: Key
    pot: str
    hours: Hours


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """The one hold a fact may have, and the queues it waits in."""

    revision: int
    reason: str
    detail: str
    entity: str
    quantity: Amount | None
    amount: Amount | None
    queues: list[str]


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A correction that waits for a closed period; ``work`` is None for a withdrawal."""

    work: Work | None
    why: str


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One time entry, expense or milestone, from its first approval on."""

    seq: int
    """Its place in line: the order of first arrival, kept by every later revision."""
    origin: FactOrigin
    key: Key
    project: Key
    entity: str
    revision: int = 0
    work: Work | None = None
    """What is determined or held; None when withdrawn."""
    determined: Amount = ZERO
    """How much of the work is determined: charged, included or written off."""
    settled: bool = False
    """Whether nothing of the work is left to determine."""
    charges: list[Standing] = []
    included: list[Consumed] = []
    waiting: Waiting | None = None
    hold: Hold | None = None
    charged: int = 0
    """Charges ever made for it, reversals included; numbers the next one."""

    @property
    def stands(self) -> bool:
        """Whether taking it back would move anything."""
        return bool(self.charges or self.included)


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """A running total of one line, across all revisions of the contract."""

    included: Amount = ZERO
    """Included hours used up."""
    hours: Amount = ZERO
    amount: Amount = ZERO
    """Net determined within the cap."""
    cheapest: Amount | None = None
    """The lowest hourly rate that ever waited for the cap: less room than it needs wakes nobody."""


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """From which day a revision's lines and rates hold."""

    revision: int
    effective_on: date


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract: its revisions and its running totals. It does not grow with the work on it."""

    revision: int = 0
    entity: str = ""
    revisions: list[Effective] = []
    projects: list[Key] = []
    ended_on: date | None = None
    ended_revision: int = 0
    totals: dict[str, Totals] = {}
    last_worked_on: date | None = None
    """The last day time was charged for; re-rating looks no further."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of a contract."""

    contract: Key
    revision: int
    customer: Key
    currency: Currency
    starts_on: date
    ends_on: date | None
    period_policy: PeriodPolicy
    lines: list[ContractLine]

    def line(self, name: str) -> ContractLine | None:
        return next((line for line in self.lines if line.line == name), None)


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project: whether it exists, and the contracts on it in the order they came."""

    known: bool = False
    contracts: list[Key] = []


class Arrivals(msgspec.Struct, frozen=True, kw_only=True):
    """Counts facts in the order of first arrival."""

    last: int = 0
