"""Customers, deals, projects, resources and assignments: who works for whom, and on what."""

from datetime import date
from typing import ClassVar, Literal

from isthmus.events.base import BusinessEvent
from isthmus.events.values import Amount, Currency, Hours, Key, check_money

Stage = Literal["planned", "active", "on_hold", "completed", "cancelled"]


class CustomerChanged(BusinessEvent, frozen=True, kw_only=True, tag="customer.changed/1"):
    """A customer was created, or its master data changed."""

    KEY: ClassVar[str] = "customer"

    customer: Key
    name: str
    currency: Currency
    tax_id: str | None = None
    address: str | None = None
    status: Literal["active", "inactive"] = "active"
    revision: int = 1


class DealWon(BusinessEvent, frozen=True, kw_only=True, tag="deal.won/1"):
    """Sales closed a deal; what was sold follows as a contract."""

    KEY: ClassVar[str] = "deal"

    deal: Key
    customer: Key
    name: str
    amount: Amount
    currency: Currency
    closed_on: date
    contract: Key | None = None
    revision: int = 1

    def check(self) -> None:
        check_money(self.amount, self.currency, "amount")


class ProjectCreated(BusinessEvent, frozen=True, kw_only=True, tag="project.created/1"):
    """A project exists from now on; every system that plans, delivers or bills it needs a shell."""

    KEY: ClassVar[str] = "project"

    project: Key
    customer: Key
    name: str
    stage: Stage
    contract: Key | None = None
    manager: str | None = None
    starts_on: date | None = None
    currency: Currency | None = None
    billing: Literal["time_and_materials", "fixed_price", "non_billable"] | None = None
    """How the project is mostly billed, for systems that want one word."""
    budget: Amount | None = None
    """The contract value known when the project was created, in ``currency``."""
    revision: int = 1


class ProjectStageChanged(BusinessEvent, frozen=True, kw_only=True, tag="project.stage_changed/1"):
    """A project moved to another stage."""

    KEY: ClassVar[str] = "project"

    project: Key
    stage: Stage
    previous: Stage
    changed_on: date
    revision: int = 1


class ResourceChanged(BusinessEvent, frozen=True, kw_only=True, tag="resource.changed/1"):
    """A person who can be planned and who books time."""

    KEY: ClassVar[str] = "resource"

    resource: Key
    name: str
    capacity_hours_week: Hours
    status: Literal["active", "inactive"]
    role: str | None = None
    email: str | None = None
    revision: int = 1


class AssignmentChanged(BusinessEvent, frozen=True, kw_only=True, tag="assignment.changed/1"):
    """A resource is planned on a project; the newest revision is the whole truth."""

    KEY: ClassVar[str] = "assignment"

    assignment: Key
    resource: Key
    project: Key
    service: str
    starts_on: date
    ends_on: date
    hours_per_day: Hours
    tentative: bool
    revision: int

    def check(self) -> None:
        if self.ends_on < self.starts_on:
            raise ValueError(f"ends_on {self.ends_on} lies before starts_on {self.starts_on}")


class AssignmentEnded(BusinessEvent, frozen=True, kw_only=True, tag="assignment.ended/1"):
    """An assignment is no longer planned from ``ended_on``."""

    KEY: ClassVar[str] = "assignment"

    assignment: Key
    ended_on: date
    revision: int = 1
