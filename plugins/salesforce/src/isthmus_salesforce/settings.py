"""What an administrator sets: ``[connectors.<instance>]`` with ``plugin = "salesforce"``."""

from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from isthmus.sdk import Secret

STREAMS = ("accounts", "opportunities", "contracts")

OBJECTS: dict[str, tuple[str, ...]] = {
    "Account": (
        *("Name", "CurrencyIsoCode", "Tax_Id__c", "Legal_Entity__c"),
        *("BillingStreet", "BillingPostalCode", "BillingCity", "BillingCountry"),
    ),
    "Opportunity": (
        *("Name", "AccountId", "IsWon", "CloseDate", "Amount", "CurrencyIsoCode", "ContractId"),
        "Legal_Entity__c",
    ),
    "Contract": (
        *("Name", "ContractNumber", "AccountId", "StatusCode", "StartDate", "EndDate", "ActivatedDate"),
        *("CustomerSignedDate", "CompanySignedDate", "CurrencyIsoCode", "Revision__c", "Effective_On__c"),
        *("Amendment_Reason__c", "Opportunity__c", "Legal_Entity__c", "Time_Zone__c", "Period_Policy__c"),
    ),
    "Contract_Line__c": (
        *("Contract__c", "Line__c", "Model__c", "Service__c", "Rate__c", "Default_Rate__c", "Amount__c"),
        *("Cap_Amount__c", "Cap_Hours__c", "Included_Hours__c", "Overage__c", "Overage_Rate__c"),
        *("Expenses__c", "Expense_Cap__c", "Title__c", "Advance__c", "Due_On__c", "Every__c"),
        *("Rollover__c", "Starts_On__c", "Ends_On__c", "In_Advance__c", "Planned_On__c"),
    ),
    "Invoice__c": (
        *("Name", "Isthmus_Key__c", "Number__c", "Account__c", "Opportunity__c", "Total__c"),
        *("Open_Amount__c", "Status__c", "CurrencyIsoCode"),
    ),
}
"""The objects and fields that are read and written; ``names`` says what an org calls them instead."""

SYSTEM_FIELDS = ("Id", "IsDeleted", "SystemModstamp")

Seconds = Annotated[float, Meta(ge=0, le=86_400)]


class SalesforceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One org."""

    instance_url: str
    """The org's My Domain: ``https://acme.my.salesforce.com``. Credentials go nowhere else."""
    client_id: str
    """Consumer key of the External Client App."""
    login_url: str | None = None
    """Where tokens are asked for; ``instance_url`` when not given, ``https://login.salesforce.com`` works
    for the JWT flow too."""
    username: str | None = None
    """JWT flow: the integration user."""
    private_key: Secret | None = None
    """JWT flow: the PEM private key whose certificate the app has."""
    client_secret: Secret | None = None
    """Client credentials flow: the consumer secret. Used when there is no ``private_key``."""
    audience: str = "https://login.salesforce.com"
    """JWT flow: ``https://test.salesforce.com`` for a sandbox."""
    api_version: Annotated[str, Meta(pattern=r"^v\d{2,3}\.0$")] = "v64.0"
    """Pinned, so that a Salesforce release changes nothing; raise it on purpose."""
    overlap_s: Seconds = 600.0
    """How far each look goes back behind the last one, for rows that became visible late."""
    settle_s: Seconds = 5.0
    """How old a change must be before it is read, so that one second is read whole."""
    page_size: Annotated[int, Meta(ge=1, le=2000)] = 200
    """Rows of one page."""
    read_from: date | None = None
    """Changes before this day (UTC) are not read at the first look; None reads all."""
    where: dict[str, str] = {}
    """A further SOQL condition by stream: ``{ accounts = "Type = 'Customer'" }``."""
    names: dict[str, str] = {}
    """API names of this org by ours, where they differ: ``{ Legal_Entity__c = "Company_Code__c" }``."""
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] | None = None
    """For an org without multiple currencies: the one it has. ``CurrencyIsoCode`` is then not used."""
    poll_budget_pct: Annotated[float, Meta(gt=0, le=100)] = 80.0
    """Share of the org's daily API calls after which reading rests, so that writing still can."""
    limit_pause_s: Annotated[float, Meta(gt=0, le=86_400)] = 300.0
    """The rest when the daily API calls are used up."""
    deadline_s: Annotated[float, Meta(gt=0, le=600)] = 30.0
    """The longest one call may take."""
    concurrency: Annotated[int, Meta(ge=1, le=25)] = 4
    """Calls at the same time; Salesforce allows 25 long ones for the whole org."""
    ca_file: Path | None = None
    """PEM of a corporate authority that signs what an inspecting proxy shows."""

    def __post_init__(self) -> None:
        if self.private_key is None and self.client_secret is None:
            raise ValueError("private_key or client_secret is needed")
        if self.private_key is not None and self.username is None:
            raise ValueError("username is needed with private_key")
        if strange := sorted(set(self.where) - set(STREAMS)):
            raise ValueError(f"where knows {', '.join(STREAMS)}, not {', '.join(strange)}")
        known = {*OBJECTS, *(field for fields in OBJECTS.values() for field in fields)}
        if strange := sorted(set(self.names) - known):
            raise ValueError(f"names: {', '.join(strange)} is none of our API names")

    def named(self, name: str) -> str:
        """What this org calls our object or field ``name``."""
        return self.names.get(name, name)

    def fields(self, item: str) -> tuple[str, ...]:
        """Our names of the fields of ``item`` that this org has."""
        skipped = {"CurrencyIsoCode"} if self.currency else set()
        return tuple(field for field in OBJECTS[item] if field not in skipped)
