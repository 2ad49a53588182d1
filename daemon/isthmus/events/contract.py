"""Contracts: the lines that say how work becomes money. The models are described in process/README.md."""

from datetime import date
from decimal import Decimal
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.values import Amount, Currency, Hours, Key, check_money

Overage = Literal["hold", "bill", "write_off"]
PeriodPolicy = Literal["hold", "next_open"]
_HUNDREDTH = Decimal("0.01")


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="model", forbid_unknown_fields=True):
    """What every contract line has: its name, the services it takes, its accounting dimensions.

    A field that no line has is refused, not passed over: a misspelt cap would be no cap.
    """

    line: str
    services: list[str] | None = None
    """The services this line takes; None takes any."""
    dimensions: dict[str, str] | None = None


class TimeAndMaterials(Line, frozen=True, kw_only=True, tag="time_and_materials"):
    """Approved billable hours times a rate, within included hours and caps."""

    rates: dict[str, Amount] = {}
    """Unit price per hour by service."""
    default_rate: Amount | None = None
    included_hours: Hours | None = None
    cap_amount: Amount | None = None
    cap_hours: Hours | None = None
    overage: Overage = "hold"
    overage_rate: Amount | None = None
    expenses: bool = False
    expense_cap: Amount | None = None

    def __post_init__(self) -> None:
        for service, rate in self.rates.items():
            if rate <= 0:
                raise ValueError(f"line {self.line!r}: rates.{service} must be more than 0, not {rate}")
        for field in ("default_rate", "overage_rate"):
            value: Decimal | None = getattr(self, field)
            if value is not None and value <= 0:
                raise ValueError(f"line {self.line!r}: {field} must be more than 0, not {value}")
        for field in ("included_hours", "cap_amount", "cap_hours", "expense_cap"):
            value = getattr(self, field)
            if value is not None and value < 0:
                raise ValueError(f"line {self.line!r}: {field} must not be negative")
        for field in ("included_hours", "cap_hours"):
            _hundredths(self.line, field, getattr(self, field))


class MilestoneTerm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One milestone and what is billed when it is achieved."""

    milestone: Key
    title: str
    amount: Amount
    advance: bool = False
    """Billed on the first day of the contract, or when achieved if that is sooner; earned when achieved."""
    planned_on: date | None = None
    """When it is expected; used for outlooks only."""


class Milestones(Line, frozen=True, kw_only=True, tag="milestone"):
    """The amount of a milestone, once, when it is achieved."""

    milestones: list[MilestoneTerm]

    def __post_init__(self) -> None:
        _once(self.line, "milestones", [term.milestone for term in self.milestones])
        for term in self.milestones:
            _positive(self.line, f"milestones.{term.milestone}.amount", term.amount)


class Installment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of a fixed fee and the day it is due."""

    key: str
    due_on: date
    amount: Amount


class FixedFee(Line, frozen=True, kw_only=True, tag="fixed_fee"):
    """An agreed amount, billed in instalments whose sum it is."""

    amount: Amount
    installments: list[Installment]

    def __post_init__(self) -> None:
        total = sum((part.amount for part in self.installments), Decimal(0))
        if total != self.amount:
            raise ValueError(
                f"line {self.line!r}: installments sum to {total}, not to amount {self.amount}; "
                "correct the amount or an instalment"
            )
        _once(self.line, "installments", [part.key for part in self.installments])
        for part in self.installments:
            _positive(self.line, f"installments.{part.key}.amount", part.amount)


class Retainer(Line, frozen=True, kw_only=True, tag="retainer"):
    """An amount in advance for each period, with hours in it; hours beyond cost ``overage_rate``."""

    amount: Amount
    every: Literal["month", "quarter"]
    starts_on: date
    included_hours: Hours
    overage_rate: Amount
    rollover: Literal["none", "one_period", "all"] = "none"
    ends_on: date | None = None

    def __post_init__(self) -> None:
        _positive(self.line, "amount", self.amount)
        _positive(self.line, "overage_rate", self.overage_rate)
        if self.included_hours < 0:
            raise ValueError(f"line {self.line!r}: included_hours must not be negative")
        _hundredths(self.line, "included_hours", self.included_hours)
        _span(self.line, self.starts_on, self.ends_on)


class Subscription(Line, frozen=True, kw_only=True, tag="subscription"):
    """An amount for each period; a first or last part of a period by days."""

    amount: Amount
    every: Literal["month", "quarter", "year"]
    starts_on: date
    ends_on: date | None = None
    in_advance: bool = True

    def __post_init__(self) -> None:
        _positive(self.line, "amount", self.amount)
        _span(self.line, self.starts_on, self.ends_on)


def _positive(line: str, field: str, amount: Decimal) -> None:
    if amount <= 0:
        raise ValueError(f"line {line!r}: {field} must be more than 0, not {amount}")


def _hundredths(line: str, field: str, hours: Decimal | None) -> None:
    if hours is not None and hours != hours.quantize(_HUNDREDTH):
        raise ValueError(f"line {line!r}: {field} {hours} has more than two digits; round it")


def _once(line: str, field: str, keys: list[str]) -> None:
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"line {line!r}: {field} must differ in their keys; {', '.join(twice)} stands twice")


def _span(line: str, starts_on: date, ends_on: date | None) -> None:
    if ends_on is not None and ends_on < starts_on:
        raise ValueError(f"line {line!r}: ends_on {ends_on} lies before starts_on {starts_on}")


ContractLine = TimeAndMaterials | Milestones | FixedFee | Retainer | Subscription


class _ContractTerms(BusinessEvent, frozen=True, kw_only=True):
    """What signing and amending both say: the whole truth about the contract, never a delta."""

    KEY: ClassVar[str] = "contract"

    contract: Key
    revision: int
    customer: Key
    project: Key
    title: str
    currency: Currency
    signed_on: date
    starts_on: date
    time_zone: str
    """IANA name; decides on which day work was done and money is due."""
    lines: list[ContractLine]
    ends_on: date | None = None
    period_policy: PeriodPolicy | None = None
    deal: Key | None = None

    def check(self) -> None:
        if self.revision < 1:
            raise ValueError("revision counts from 1")
        try:
            ZoneInfo(self.time_zone)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(
                f"time_zone {self.time_zone!r} is no IANA name; write one such as Europe/Berlin"
            ) from error
        if self.ends_on is not None and self.ends_on < self.starts_on:
            raise ValueError(f"ends_on {self.ends_on} lies before starts_on {self.starts_on}")
        names = [line.line for line in self.lines]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"lines must have names of their own; {', '.join(twice)} stands twice")
        for line in self.lines:
            if isinstance(line, Milestones):
                for term in line.milestones:
                    check_money(term.amount, self.currency, f"lines.{line.line}.{term.milestone}.amount")
            elif isinstance(line, FixedFee):
                for part in line.installments:
                    check_money(part.amount, self.currency, f"lines.{line.line}.{part.key}.amount")
            elif isinstance(line, (Retainer, Subscription)):
                check_money(line.amount, self.currency, f"lines.{line.line}.amount")
            elif isinstance(line, TimeAndMaterials):
                for field, cap in (("cap_amount", line.cap_amount), ("expense_cap", line.expense_cap)):
                    if cap is not None:
                        check_money(cap, self.currency, f"lines.{line.line}.{field}")


class ContractSigned(_ContractTerms, frozen=True, kw_only=True, tag="contract.signed/1"):
    """A statement of work was approved; its first revision."""


class ContractAmended(_ContractTerms, frozen=True, kw_only=True, tag="contract.amended/1"):
    """A change order: the lines are the whole new truth from ``effective_on``."""

    effective_on: date
    reason: str


class ContractEnded(BusinessEvent, frozen=True, kw_only=True, tag="contract.ended/1"):
    """Nothing is billed on the contract for work after ``ended_on``."""

    KEY: ClassVar[str] = "contract"

    contract: Key
    ended_on: date
    reason: str
    revision: int = 1
