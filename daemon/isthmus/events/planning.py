"""Analytical facts: they may lag, they fold many facts into one, and ``basis`` says which."""

from datetime import date
from decimal import Decimal
from typing import ClassVar

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.values import Amount, Currency, Instant, Key


class ForecastMonth(msgspec.Struct, frozen=True, kw_only=True):
    """What a month is expected to bring: ``month`` is ``2026-10``."""

    month: str
    revenue: Amount
    hours: Amount
    """Hours behind the revenue: charged, or assigned and to be charged."""
    tentative_revenue: Amount = Decimal(0)
    """What assignments that are not confirmed would add."""
    tentative_hours: Amount = Decimal(0)
    unpaid_hours: Amount = Decimal(0)
    """Confirmed hours that bring nothing: paid already, beyond a cap, or without a line or contract."""


class ForecastRevised(BusinessEvent, frozen=True, kw_only=True, tag="forecast.revised/1"):
    """The revenue outlook of a project; the newest is the whole truth."""

    KEY: ClassVar[str] = "project"

    project: Key
    currency: Currency
    as_of: Instant
    months: list[ForecastMonth]
    backlog: Amount
    """Contract value still to be earned."""
    basis: list[str]
    earned: Amount | None = None
    """Net of the charges so far, expenses included; None from releases that did not look ahead."""


class UtilizationRevised(BusinessEvent, frozen=True, kw_only=True, tag="utilization.revised/1"):
    """How a resource's week was spent; ``week`` is ISO, ``2026-W41``."""

    KEY: ClassVar[str] = "resource"

    resource: Key
    week: str
    capacity_hours: Amount
    """0 while the resource is not known, or is inactive."""
    approved_hours: Amount
    billable_hours: Amount
    """The billable ones among the approved."""
    assigned_hours: Amount
    """Confirmed."""
    basis: list[str]
    tentative_hours: Amount = Decimal(0)

    @property
    def subject(self) -> str:
        """Each week is a truth of its own: a newer week does not replace an older one."""
        return f"{self.resource}|{self.week}"


class BurnRevised(BusinessEvent, frozen=True, kw_only=True, tag="burn.revised/1"):
    """Hours one resource has approved on one project and day: a total, never an increment.

    Planners keep one row per person, project and day; a total can be written twice without harm.
    """

    KEY: ClassVar[str] = "burn"

    burn: Key
    """``<project>|<resource>|<day>``"""
    project: Key
    resource: Key
    worked_on: date
    billable_hours: Amount
    nonbillable_hours: Amount
    basis: list[str]
