"""What systems submit: the shapes of bodies, and the fact that each becomes."""

from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from isthmus.events.base import BusinessEvent
from isthmus.events.contract import ContractAmended, ContractLine, PeriodPolicy
from isthmus.events.master import AssignmentChanged, AssignmentEnded
from isthmus.events.values import Currency, Hours
from isthmus.events.work import TimeApproved, TimeUnapproved

__all__ = [
    "AssignmentAdjustment",
    "AssignmentWithdrawal",
    "ContractAmendment",
    "Submission",
    "Submitted",
    "TimeSubmission",
    "TimeWithdrawal",
    "submitter",
    "whole",
]

_END = r"$(?!\n)"  # "$" alone also matches before a last line feed
OwnId = Annotated[
    str,
    Meta(
        pattern=f"^[!-~]{{1,100}}{_END}",
        description="your own id of it: up to 100 printable ASCII characters without spaces",
        examples=["E-4711"],
    ),
]
Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=rf"^[^\x00-\x1f\x7f]+{_END}")]
Words = Annotated[str, Meta(max_length=1000, pattern=rf"^[^\x00-\x08\x0b-\x1f\x7f]*{_END}")]
KeyOf = Annotated[
    Text, Meta(description="as its master system's facts name it, <connector>:<id>", examples=["psa:77"])
]
Entity = Annotated[Text, Meta(description="the legal entity's key", examples=["acme-us"])]
_GROWS = "grows with each change of the same thing; a lower one is never applied"
Revision = Annotated[int, Meta(ge=1, le=2_147_483_647, description=_GROWS)]
LaterRevision = Annotated[int, Meta(ge=2, le=2_147_483_647, description=_GROWS)]
MoreHours = Annotated[
    Hours,
    Meta(
        description="more than 0, at most two digits after the point",
        examples=["7.50"],
        extra_json_schema={"pattern": rf"^(?!0+(\.0+)?{_END})[0-9]{{1,15}}(\.[0-9]{{1,2}})?{_END}"},
    ),
]


def submitter(source: str) -> str:
    """The source of what a submitter tells; no connector's name has a dot, so none can be the same."""
    return f"api.{source}"


class Submission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every body has."""

    def fact(self, source: str, now: datetime) -> BusinessEvent:
        """The canonical event it becomes.

        Args:
            source: Of `submitter`.

        Raises:
            ValueError: a value no fact may have; the sentence is that of the event.
        """
        raise NotImplementedError

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


class TimeSubmission(Submission, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One approved time entry; from now on it may be billed. It becomes `time.approved`."""

    entry: OwnId
    revision: Revision
    entity: Entity
    project: KeyOf
    resource: KeyOf
    service: Text
    worked_on: Annotated[date, Meta(description="the day where the resource works")]
    hours: MoreHours
    billable: bool
    approved_on: date
    task: Text | None = None
    note: Words | None = None

    def fact(self, source: str, now: datetime) -> BusinessEvent:
        fields = {**self._fields(), "entry": f"{source}:{self.entry}"}
        return TimeApproved(source=source, occurred_at=now, **fields)


class TimeWithdrawal(Submission, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The approval of an entry is taken back; what it billed is reversed. It becomes `time.unapproved`."""

    entry: OwnId
    revision: Revision
    entity: Entity
    project: KeyOf
    reason: Words | None = None

    def fact(self, source: str, now: datetime) -> BusinessEvent:
        fields = {**self._fields(), "entry": f"{source}:{self.entry}"}
        return TimeUnapproved(source=source, occurred_at=now, **fields)


class ContractAmendment(Submission, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change order: the whole new truth about a contract, never a delta. It becomes `contract.amended`."""

    contract: KeyOf
    revision: LaterRevision
    entity: Entity
    effective_on: Annotated[date, Meta(description="from this day on the lines hold")]
    reason: Words
    customer: KeyOf
    project: KeyOf
    title: Text
    currency: Currency
    signed_on: date
    starts_on: date
    time_zone: Annotated[Text, Meta(description="IANA name", examples=["Europe/Berlin"])]
    lines: Annotated[list[ContractLine], Meta(max_length=1000)]
    ends_on: date | None = None
    period_policy: PeriodPolicy | None = None
    deal: KeyOf | None = None

    def fact(self, source: str, now: datetime) -> BusinessEvent:
        return ContractAmended(source=source, occurred_at=now, **self._fields())


class AssignmentAdjustment(Submission, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is planned on a project, as the forecast is to see it. It becomes `assignment.changed`."""

    assignment: OwnId
    revision: Revision
    entity: Entity
    resource: KeyOf
    project: KeyOf
    service: Text
    starts_on: date
    ends_on: date
    hours_per_day: MoreHours
    tentative: Annotated[bool, Meta(description="not confirmed: the forecast shows it apart")]

    def fact(self, source: str, now: datetime) -> BusinessEvent:
        if self.hours_per_day <= 0:
            raise ValueError("hours_per_day must be more than 0")
        fields = {**self._fields(), "assignment": f"{source}:{self.assignment}"}
        return AssignmentChanged(source=source, occurred_at=now, **fields)


class AssignmentWithdrawal(Submission, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An assignment of yours is planned no more from a day on. It becomes `assignment.ended`."""

    assignment: OwnId
    revision: LaterRevision
    entity: Entity
    ended_on: date

    def fact(self, source: str, now: datetime) -> BusinessEvent:
        fields = {**self._fields(), "assignment": f"{source}:{self.assignment}"}
        return AssignmentEnded(source=source, occurred_at=now, **fields)


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a submission. It is on the disk before this is said."""

    event: str
    """The id of the fact; the same for the same submission, however often it comes."""
    key: str
    """The business key: ask for what became of it by this."""
    revision: int
    outcome: Annotated[str, Meta(extra_json_schema={"enum": ["recorded", "known"]})]
    """``known``: the same was told before."""
    position: int
    """Where it stands in the log, and in the feed."""


def whole(value: Any) -> Any:
    """What was read, with ``2.0`` as 2: to JSON and its schemas they are one number.

    Raises:
        RecursionError: it is nested too deep.
    """
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: whole(each) for name, each in value.items()}
        case list():
            return [whole(each) for each in value]
    return value
