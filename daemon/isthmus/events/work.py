"""Work as delivery approves it: time, expenses, milestones, and the withdrawal of each."""

from datetime import date
from typing import ClassVar

from isthmus.events.base import BusinessEvent
from isthmus.events.values import Amount, Currency, Hours, Key, check_hours, check_money


class TimeApproved(BusinessEvent, frozen=True, kw_only=True, tag="time.approved/1"):
    """A manager approved one time entry; from now on it may be billed."""

    KEY: ClassVar[str] = "entry"

    entry: Key
    revision: int
    project: Key
    resource: Key
    service: str
    worked_on: date
    """The day where the resource works; no time zone."""
    hours: Hours
    billable: bool
    approved_on: date
    task: str | None = None
    note: str | None = None

    def check(self) -> None:
        check_hours(self.hours, "hours")


class TimeUnapproved(BusinessEvent, frozen=True, kw_only=True, tag="time.unapproved/1"):
    """The approval of a time entry was withdrawn; ``revision`` is higher than the one withdrawn."""

    KEY: ClassVar[str] = "entry"

    entry: Key
    revision: int
    project: Key
    reason: str | None = None


class ExpenseValidated(BusinessEvent, frozen=True, kw_only=True, tag="expense.validated/1"):
    """An expense was approved."""

    KEY: ClassVar[str] = "expense"

    expense: Key
    revision: int
    project: Key
    resource: Key
    category: str
    spent_on: date
    amount: Amount
    currency: Currency
    billable: bool
    markup_pct: Amount | None = None

    def check(self) -> None:
        check_money(self.amount, self.currency, "amount")
        if self.markup_pct is not None and self.markup_pct < -100:
            raise ValueError(
                f"markup_pct {self.markup_pct} takes off more than all of it; write -100 or more"
            )


class ExpenseWithdrawn(BusinessEvent, frozen=True, kw_only=True, tag="expense.withdrawn/1"):
    """The approval of an expense was withdrawn."""

    KEY: ClassVar[str] = "expense"

    expense: Key
    revision: int
    project: Key
    reason: str | None = None


class MilestoneAchieved(BusinessEvent, frozen=True, kw_only=True, tag="milestone.achieved/1"):
    """A milestone was completed; a contract line may bill it."""

    KEY: ClassVar[str] = "milestone"

    milestone: Key
    project: Key
    achieved_on: date
    revision: int = 1


class MilestoneReopened(BusinessEvent, frozen=True, kw_only=True, tag="milestone.reopened/1"):
    """A completed milestone is open again; what it billed is reversed."""

    KEY: ClassVar[str] = "milestone"

    milestone: Key
    project: Key
    reopened_on: date
    reason: str | None = None
    revision: int = 2
