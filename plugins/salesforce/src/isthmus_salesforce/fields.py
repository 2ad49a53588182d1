"""The objects and fields of each pack by our names, and how each stream is polled.

``names`` in the settings says what an org calls them instead. A name with points, such as
``pse__Project__r.Isthmus_Key__c``, is read through a look-up.
"""

from typing import Literal

import msgspec

Pack = Literal["sales", "certinia-psa"]

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One object, polled by ``stamp``.

    ``where`` is a condition that always holds; ``needs`` are further objects that its rows are told with.
    """

    item: str
    stamp: str = "SystemModstamp"
    where: str = ""
    needs: tuple[str, ...] = ()


STREAMS: dict[Pack, dict[str, Stream]] = {
    "sales": {
        "accounts": Stream(item="Account"),
        "opportunities": Stream(item="Opportunity", needs=("Contract",)),
        "contracts": Stream(item="Contract", needs=("Contract_Line__c",)),
    },
    "certinia-psa": {
        "resources": Stream(item="Contact", where="pse__Is_Resource__c = true"),
        "projects": Stream(item="pse__Proj__History", stamp="CreatedDate", where="Field = 'pse__Stage__c'"),
        "assignments": Stream(item="pse__Assignment__c", needs=("pse__Proj__c",)),
        "timecards": Stream(item="pse__Timecard__c", needs=("pse__Proj__c",)),
        "expenses": Stream(item="pse__Expense__c", needs=("pse__Proj__c",)),
        "milestones": Stream(item="pse__Milestone__c", needs=("pse__Proj__c",)),
    },
}

_PROJECT = ("pse__Project__c", "pse__Project__r.Isthmus_Key__c", "pse__Project__r.pse__Opportunity__c")
_INVOICED = ("pse__Invoiced__c", "pse__Invoice_Number__c", "pse__Invoice_Date__c")

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
    "Contact": (
        *("Name", "Email", "pse__Is_Resource__c", "pse__Is_Resource_Active__c", "pse__Resource_Role__c"),
    ),
    "pse__Proj__History": (
        *("ParentId", "CreatedById", "OldValue", "NewValue"),
        *("Parent.Isthmus_Key__c", "Parent.pse__Opportunity__c"),
    ),
    "pse__Proj__c": (
        *("Isthmus_Key__c", "Name", "pse__Account__c", "pse__Opportunity__c", "pse__Stage__c"),
        *("pse__Is_Active__c", "pse__Is_Billable__c", "pse__Start_Date__c", "CurrencyIsoCode"),
    ),
    "pse__Assignment__c": (
        *(*_PROJECT, "pse__Resource__c", "pse__Role__c", "pse__Status__c"),
        *("pse__Start_Date__c", "pse__End_Date__c", "pse__Schedule__c"),
        *(f"pse__Schedule__r.pse__{day}_Hours__c" for day in DAYS),
    ),
    "pse__Timecard__c": (
        *(*_PROJECT, "pse__Resource__c", "pse__Assignment__c", "pse__Approved__c", "pse__Billable__c"),
        *("pse__Start_Date__c", "pse__End_Date__c"),
        *(f"pse__{day}_Hours__c" for day in DAYS),
        *(f"pse__{day}_Notes__c" for day in DAYS),
        *_INVOICED,
    ),
    "pse__Expense__c": (
        *(*_PROJECT, "pse__Resource__c", "pse__Approved__c", "pse__Billable__c", "pse__Type__c"),
        *("pse__Expense_Date__c", "pse__Amount__c", "CurrencyIsoCode"),
        *("pse__Billing_Amount_Pre_Fee_Subtotal__c", "pse__Billing_Currency__c"),
        "pse__Billable_Fee_Percentage__c",
        *_INVOICED,
    ),
    "pse__Milestone__c": (
        *("Isthmus_Key__c", "Name", *_PROJECT),
        *("pse__Status__c", "pse__Approved__c", "pse__Actual_Date__c", "pse__Target_Date__c"),
        *("pse__Milestone_Amount__c", "CurrencyIsoCode"),
        *_INVOICED,
    ),
}
"""All objects of all packs; ``Id``, ``IsDeleted`` and the stamp are read as well."""

PACK_OBJECTS: dict[Pack, tuple[str, ...]] = {
    "sales": ("Account", "Opportunity", "Contract", "Contract_Line__c", "Invoice__c"),
    "certinia-psa": (
        *("Contact", "pse__Proj__c", "pse__Proj__History", "pse__Assignment__c", "pse__Timecard__c"),
        *("pse__Expense__c", "pse__Milestone__c"),
    ),
}

WRITTEN: dict[str, tuple[str, ...]] = {
    "Invoice__c": OBJECTS["Invoice__c"],
    "pse__Proj__c": OBJECTS["pse__Proj__c"],
    "pse__Timecard__c": _INVOICED,
    "pse__Expense__c": _INVOICED,
    "pse__Milestone__c": (
        *("Isthmus_Key__c", "Name", "pse__Project__c", "pse__Status__c", "pse__Target_Date__c"),
        *("pse__Milestone_Amount__c", "CurrencyIsoCode", *_INVOICED),
    ),
}
"""What the integration user must be able to edit."""

KEY = "Isthmus_Key__c"
"""Our key in a record: text, external id, unique."""
