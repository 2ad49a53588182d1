"""What the forecast remembers: rows per project, contract, revision, assignment, entry and month."""

from datetime import date
from decimal import Decimal

import msgspec

from isthmus.events.master import Stage
from isthmus.events.values import Amount, Currency, Hours, Instant, Key
from isthmus.process.rules.rows import Terms

ZERO = Decimal(0)


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """Net revenue and net hours charged for one month."""

    revenue: Amount = ZERO
    hours: Amount = ZERO


class Rank(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Which of two words about one thing is the newer."""

    revision: int
    at: Instant


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A project: it names its months and contracts, and does not grow with what happens in them."""

    contracts: list[Key] = []
    entities: list[str] = []
    """The legal entities of its contracts: their ticks concern it."""
    stage: Stage = "planned"
    stage_rank: Rank | None = None
    charged: dict[Currency, list[str]] = {}
    """Months that have, or had, something charged, by currency."""
    worked: list[str] = []
    """Months that have, or had, billable hours approved."""
    entity: str = ""
    currency: Currency | None = None
    """Of what was said last; it has to be taken back where no contract is left."""
    owed: bool = False
    """The next statement is said whatever it says: a change order waits for it."""
    said: str = ""
    """Digest of what was said last."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """The assignments that were ever planned on one project."""

    assignments: list[Key] = []


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The newest word about one time entry; without ``hours`` its approval was withdrawn."""

    revision: int
    project: Key
    resource: str = ""
    service: str = ""
    worked_on: date = date.min
    hours: Hours = ZERO
    billable: bool = False


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """The months in which a resource has, or had, time approved on a project."""

    months: list[str] = []


class Days(msgspec.Struct, frozen=True, kw_only=True):
    """Approved hours of one month, by day; of a project also by service: ``2026-10-05|consulting``."""

    hours: dict[str, Amount] = {}


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """A contract: its revisions, which of them billing refused, and its end."""

    revisions: list[int] = []
    refused: list[int] = []
    governed: list[int] = []
    """Revisions billing took, also after it had refused them."""
    ended_on: date | None = None
    ended_rank: Rank | None = None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of a contract."""

    project: Key
    entity: str
    effective_on: date
    terms: Terms


class Net(msgspec.Struct, frozen=True, kw_only=True):
    """What was determined on one line, expenses apart: they are no part of an agreed amount."""

    amount: Amount = ZERO
    hours: Amount = ZERO


class Earned(msgspec.Struct, frozen=True, kw_only=True):
    """Net by line of one contract."""

    lines: dict[str, Net] = {}


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """Net of what the schedule of one contract billed, by the charges' ``origin_key``."""

    amounts: dict[str, Amount] = {}


class Achieved(msgspec.Struct, frozen=True, kw_only=True):
    """When a milestone was achieved; None while it is open."""

    on: date | None = None
    rank: Rank


class Today(msgspec.Struct, frozen=True, kw_only=True):
    """The newest day that began for a legal entity."""

    day: date
