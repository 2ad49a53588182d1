"""What an administrator says about Certinia PSA: ``[connectors.<instance>.certinia]``."""

from decimal import Decimal
from typing import Literal

import msgspec

from isthmus.events import Hours

Stage = Literal["planned", "active", "on_hold", "completed", "cancelled"]


class CertiniaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names and habits of one org, where Certinia leaves them to its administrator."""

    crm: str | None = None
    """The connector instance that reads this same org as its CRM: ids in its keys are records here."""
    projects_by: Literal["id", "opportunity"] = "id"
    """What names a project that has no key of ours: its id here, or its Opportunity in ``crm``, for orgs
    where Certinia makes projects from opportunities."""
    services: dict[str, str] = {}
    """A role of Certinia to our service; what is not listed goes lower case, blanks as ``_``."""
    service_field: str = "pse__Assignment__r.pse__Role__c"
    """Path from the timecard split to what names the service."""
    default_service: str | None = None
    """Service of time and assignments that name none; without it they are refused."""
    approved_on_field: str | None = None
    """Path from the split to a date or time of approval, where the org keeps one."""
    categories: dict[str, str] = {}
    """A type of expense to our category; what is not listed stays as it is."""
    expense_amount: Literal["incurred", "billing"] = "incurred"
    """The amount as spent, or as Certinia converted it, before fees, into the billing currency."""
    stages: dict[str, Stage] = {}
    """A stage of Certinia to ours, before the built-in table."""
    stage_names: dict[Stage, str] = {}
    """Our stage to the one that is written for it."""
    tentative: tuple[str, ...] = ("Tentative",)
    """Statuses of an assignment that is not confirmed."""
    ended: tuple[str, ...] = ("Closed", "Completed", "Cancelled", "Canceled")
    """Statuses of an assignment that is over."""
    milestone_status: str = "Planned"
    """Status of a milestone that the contract brings."""
    project_defaults: dict[str, str | bool] = {}
    """Further fields of a new project by their API names: region, practice, record type."""
    capacity_hours_week: Hours = Decimal(40)
    """Weekly capacity of a resource."""
    time_zone: str = "UTC"
    """IANA zone in which the day of a change is counted, where Certinia has no date for it."""

    def __post_init__(self) -> None:
        if self.projects_by == "opportunity" and self.crm is None:
            raise ValueError('certinia.crm is needed with certinia.projects_by = "opportunity"')
