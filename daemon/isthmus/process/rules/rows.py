"""What billing remembers: one row per fact, per contract, per revision of its terms, per project, per day."""

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from isthmus.events.contract import ContractAmended, ContractLine, ContractSigned, PeriodPolicy
from isthmus.events.finance import Origin
from isthmus.events.master import Stage
from isthmus.events.values import Amount, Currency, Hours, Key

ZERO = Decimal(0)
FactOrigin = Literal["time", "expense", "milestone", "installment", "retainer", "subscription"]
SCHEDULED: frozenset[str] = frozenset({"installment", "retainer", "subscription"})
"""Facts the calendar makes; nobody approves them."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What was approved. Two revisions with equal work differ in nothing that is billed."""

    origin: FactOrigin
    key: Key
    project: Key
    done_on: date
    """The day worked, spent, achieved or due."""
    quantity: Amount
    """Hours; an expense's amount before mark-up; 1 for a milestone; the amount of what is scheduled."""
    billable: bool = True
    service: str | None = None
    resource: Key | None = None
    category: str | None = None
    currency: Currency | None = None
    markup_pct: Amount | None = None
    contract: Key | None = None
    """The contract that made it due; None where the project's contracts decide."""
    line: str | None = None
    title: str = ""
    """What is due, for the explanation."""
    in_advance: bool = False
    """Billed before it is earned."""
    earned_from: date | None = None
    earned_to: date | None = None
    """The span an amount in advance is earned in, straight-line; None: when achieved."""


def achieved_work(milestone: str, project: str, day: date) -> Work:
    """A milestone that is billed because it was achieved."""
    return Work(origin="milestone", key=milestone, project=project, done_on=day, quantity=Decimal(1))


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """What one charge in advance owes to later months."""

    charge: Key
    contract: Key
    line: str
    entity: str
    currency: Currency
    amount: Amount
    released: Amount = ZERO
    earned_from: date | None = None
    earned_to: date | None = None
    """None: earned whole when the milestone is achieved."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One charge that is not reversed, with all that its reversal repeats."""

    charge: Key
    origin: Origin
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
    project: Key
    service: str | None = None
    resource: Key | None = None
    earned_on: date
    posting_on: date
    dimensions: dict[str, str]


class Reversed(msgspec.Struct, frozen=True, kw_only=True):
    """A reversal that was said; it is said again when a close overtakes it."""

    charge: Key
    """Of the reversal itself."""
    of: Standing
    posting_on: date


class Consumed(msgspec.Struct, frozen=True, kw_only=True):
    """Included hours a fact used up."""

    contract: Key
    lot: str
    """The line, or the line and the first day of a retainer's period: ``R@2026-10-01``."""
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
    """One time entry, expense, milestone, instalment or period, from the day it was first known."""

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
    reversed: list[Reversed] = []
    """Its newest reversals, oldest first."""
    achieved_on: date | None = None
    """Of a milestone: when it was achieved."""
    deferred: Deferred | None = None

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


class Lots(msgspec.Struct, frozen=True, kw_only=True):
    """Hours used of each period of one retainer, by the period's first day."""

    used: dict[str, Amount] = {}


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """From which day a revision's lines and rates hold."""

    revision: int
    effective_on: date


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract: its revisions and its running totals. It does not grow with the work on it."""

    seq: int = 0
    """Its place in line, as a fact has one."""
    revision: int = 0
    entity: str = ""
    project: str = ""
    time_zone: str = ""
    revisions: list[Effective] = []
    projects: list[Key] = []
    ended_on: date | None = None
    ended_revision: int = 0
    totals: dict[str, Totals] = {}
    last_worked_on: date | None = None
    """The last day time was charged for; re-rating looks no further."""
    made_until: date | None = None
    """Up to this day everything due is a fact."""
    wakes_on: date | None = None
    """The day it stands in the agenda under, and in whose agenda."""
    wakes_in: str = ""


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """The newest revision of a contract that cannot govern; None once it was settled."""

    terms: ContractSigned | ContractAmended | None
    reason: str = ""
    detail: str = ""


class Agenda(msgspec.Struct, frozen=True, kw_only=True):
    """The calendar of one legal entity in one time zone."""

    ticked_on: date | None = None
    """The newest tick."""
    earliest: date | None = None
    """No contract waits for a day before this one."""


class Zones(msgspec.Struct, frozen=True, kw_only=True):
    """The time zones the contracts of one legal entity are dated in."""

    names: list[str] = []
    ticked_on: date | None = None
    """The newest tick that was for every zone."""


class Dimensions(msgspec.Struct, frozen=True, kw_only=True):
    """How a legal entity's ledger names what is billed; revision 0 means that nobody said."""

    revision: int = 0
    services: dict[str, dict[str, str]] = {}
    origins: dict[str, dict[str, str]] = {}


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
    stage: Stage = "planned"
    stage_revision: int = 0


class Arrivals(msgspec.Struct, frozen=True, kw_only=True):
    """Counts facts in the order of first arrival."""

    last: int = 0
