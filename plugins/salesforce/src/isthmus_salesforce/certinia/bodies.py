"""Events as bodies of Certinia's records, by our field names. Pure."""

from datetime import date
from typing import Any

from isthmus.events import ContractAmended, ContractSigned, InvoiceReleased, MilestoneTerm, ProjectCreated
from isthmus_salesforce.certinia.settings import CertiniaSettings, Stage

NAME_MAX = 80
STAGE_NAMES: dict[Stage, str] = {
    "planned": "Planned",
    "active": "In Progress",
    "on_hold": "On Hold",
    "completed": "Completed",
    "cancelled": "Canceled",
}
NOT_INVOICED: dict[str, Any] = {
    "pse__Invoiced__c": False,
    "pse__Invoice_Number__c": None,
    "pse__Invoice_Date__c": None,
}


def short(name: str) -> str:
    """A name in the 80 characters that Salesforce has for one; a cut is seen."""
    return name if len(name) <= NAME_MAX else name[: NAME_MAX - 1] + "…"


def stage_body(stage: Stage, settings: CertiniaSettings) -> dict[str, Any]:
    """A project that is over takes no more time: it is not active."""
    name = settings.stage_names.get(stage, STAGE_NAMES[stage])
    return {"pse__Stage__c": name, "pse__Is_Active__c": stage not in ("completed", "cancelled")}


def project_body(
    event: ProjectCreated, settings: CertiniaSettings, *, account: str, deal: str | None
) -> dict[str, Any]:
    """A new project.

    Args:
        account: Id of its Account.
        deal: Id of its Opportunity, where that is in this org.
    """
    body = {
        "Name": short(event.name),
        "pse__Account__c": account,
        "pse__Is_Billable__c": event.billing != "non_billable",
        **stage_body(event.stage, settings),
    }
    if deal is not None:
        body["pse__Opportunity__c"] = deal
    if event.starts_on is not None:
        body["pse__Start_Date__c"] = event.starts_on.isoformat()
    if event.currency is not None:
        body["CurrencyIsoCode"] = event.currency
    return body | settings.project_defaults


def milestone_body(
    term: MilestoneTerm,
    event: ContractSigned | ContractAmended,
    settings: CertiniaSettings,
    *,
    project: str | None,
) -> dict[str, Any]:
    """A milestone as the contract has it. Its status and a date that delivery moved stay.

    Args:
        project: Id of the project, for a new one.
    """
    body = {
        "Name": short(term.title),
        "pse__Milestone_Amount__c": term.amount,
        "CurrencyIsoCode": event.currency,
    }
    if project is not None:
        target: date = term.planned_on or event.ends_on or event.starts_on
        body |= {
            "pse__Project__c": project,
            "pse__Status__c": settings.milestone_status,
            "pse__Target_Date__c": target.isoformat(),
        }
    return body


def invoiced_body(event: InvoiceReleased) -> dict[str, Any]:
    return {
        "pse__Invoiced__c": True,
        "pse__Invoice_Number__c": event.number,
        "pse__Invoice_Date__c": event.issued_on.isoformat(),
    }
