"""The record types this account has: their fields, what they must have, how SuiteQL calls them.

A field's kind is ``text``, ``bool``, ``date``, ``decimal``, ``duration``, ``enum`` (a reference to a value
NetSuite brings along) or ``ref:<type>|<type>`` (a reference to records).
"""

import msgspec

CUSTOM_COLUMNS = dict.fromkeys(
    [
        "custcol_isth_charge",
        "custcol_isth_amount",
        "custcol_isth_currency",
        "custcol_isth_contract",
        "custcol_isth_line",
        "custcol_isth_earned_on",
        "custcol_isth_dimensions",
        "custcol_isth_reverses",
    ],
    "text",
)
CUSTOM_BODY = dict.fromkeys(
    ["custbody_isth_charge", "custbody_isth_amount", "custbody_isth_contract"], "text"
)
CUSTOM_ENTITY = dict.fromkeys(
    ["custentity_isth_contract", "custentity_isth_budget", "custentity_isth_schedule", "custentity_isth_key"],
    "text",
)
SEGMENTS = {
    "subsidiary": "ref:subsidiary",
    "department": "ref:department",
    "class": "ref:classification",
    "location": "ref:location",
}
LINE = {
    "item": "ref:serviceSaleItem",
    "quantity": "decimal",
    "rate": "decimal",
    "amount": "decimal",
    "price": "enum",
    "description": "text",
    **{name: kind for name, kind in SEGMENTS.items() if name != "subsidiary"},
    **CUSTOM_COLUMNS,
}
APPLY = {"doc": "ref:invoice", "apply": "bool", "amount": "decimal"}
DOCUMENT = {
    "entity": "ref:job|customer",
    "tranId": "text",
    "tranDate": "date",
    "dueDate": "date",
    "currency": "ref:currency",
    "memo": "text",
    "approvalStatus": "enum",
    "postingPeriod": "ref:accountingPeriod",
    **SEGMENTS,
    **CUSTOM_BODY,
}


class RecordType(msgspec.Struct, frozen=True, kw_only=True):
    """One type: ``read_only`` fields are told but refused when written; ``numbered`` is the id's series."""

    name: str
    fields: dict[str, str]
    numbered: str
    required: tuple[str, ...] = ()
    read_only: dict[str, str] = {}
    sublists: dict[str, dict[str, str]] = {}
    dated: str | None = None
    """The field whose accounting period must be open."""
    transaction: str | None = None
    """SuiteQL's word for the type: CustInvc, CustCred, CustPymt."""
    written: bool = True
    """Whether the API may write it."""

    @property
    def table(self) -> str:
        return self.name.lower()


def _named(name: str, **more: str) -> RecordType:
    return RecordType(name=name, numbered=name, fields={"name": "text", **more}, written=False)


TYPES = {
    made.name: made
    for made in (
        RecordType(
            name="customer",
            numbered="entity",
            required=("companyName",),
            fields={
                "companyName": "text",
                "entityId": "text",
                "isPerson": "bool",
                "isInactive": "bool",
                "email": "text",
                "phone": "text",
                "comments": "text",
                "vatRegNumber": "text",
                "currency": "ref:currency",
                "parent": "ref:customer",
                "subsidiary": "ref:subsidiary",
                **CUSTOM_ENTITY,
            },
        ),
        RecordType(
            name="job",
            numbered="entity",
            required=("companyName", "parent"),
            fields={
                "companyName": "text",
                "entityId": "text",
                "parent": "ref:customer",
                "startDate": "date",
                "isInactive": "bool",
                "comments": "text",
                "currency": "ref:currency",
                "subsidiary": "ref:subsidiary",
                **CUSTOM_ENTITY,
            },
        ),
        RecordType(
            name="employee",
            numbered="entity",
            required=("lastName",),
            fields={
                "entityId": "text",
                "firstName": "text",
                "lastName": "text",
                "email": "text",
                "isInactive": "bool",
                "subsidiary": "ref:subsidiary",
            },
        ),
        RecordType(
            name="timeBill",
            numbered="timeBill",
            required=("employee", "hours", "tranDate"),
            dated="tranDate",
            fields={
                "employee": "ref:employee",
                "customer": "ref:job|customer",
                "item": "ref:serviceSaleItem",
                "tranDate": "date",
                "hours": "duration",
                "isBillable": "bool",
                "price": "enum",
                "rate": "decimal",
                "memo": "text",
                **SEGMENTS,
                **CUSTOM_COLUMNS,
            },
            read_only={"invoice": "ref:invoice"},
        ),
        RecordType(
            name="charge",
            numbered="charge",
            required=("billTo", "billingItem", "chargeDate"),
            dated="chargeDate",
            fields={
                "billTo": "ref:job|customer",
                "billingItem": "ref:serviceSaleItem",
                "chargeDate": "date",
                "stage": "enum",
                "use": "enum",
                "currency": "ref:currency",
                "quantity": "decimal",
                "rate": "decimal",
                "amount": "decimal",
                "description": "text",
                **SEGMENTS,
                **CUSTOM_COLUMNS,
            },
            read_only={"invoice": "ref:invoice"},
        ),
        RecordType(
            name="invoice",
            numbered="transaction",
            transaction="CustInvc",
            required=("entity",),
            dated="tranDate",
            fields=DOCUMENT,
            read_only={
                "status": "enum",
                "total": "decimal",
                "amountPaid": "decimal",
                "amountRemaining": "decimal",
                "voided": "bool",
            },
            sublists={"item": LINE},
        ),
        RecordType(
            name="creditMemo",
            numbered="transaction",
            transaction="CustCred",
            required=("entity",),
            dated="tranDate",
            fields=DOCUMENT,
            read_only={"status": "enum", "total": "decimal", "applied": "decimal", "unapplied": "decimal"},
            sublists={"item": LINE, "apply": APPLY},
        ),
        RecordType(
            name="customerPayment",
            numbered="transaction",
            transaction="CustPymt",
            required=("customer", "payment"),
            dated="tranDate",
            fields={
                "customer": "ref:customer",
                "tranId": "text",
                "tranDate": "date",
                "payment": "decimal",
                "currency": "ref:currency",
                "memo": "text",
                "postingPeriod": "ref:accountingPeriod",
                **SEGMENTS,
            },
            read_only={"status": "enum", "applied": "decimal", "unapplied": "decimal"},
            sublists={"apply": APPLY},
        ),
        RecordType(
            name="accountingPeriod",
            numbered="accountingPeriod",
            written=False,
            fields={
                "periodName": "text",
                "startDate": "date",
                "endDate": "date",
                "closed": "bool",
                "closedOnDate": "date",
                "allLocked": "bool",
                "arLocked": "bool",
                "apLocked": "bool",
                "isAdjust": "bool",
                "isQuarter": "bool",
                "isYear": "bool",
                "parent": "ref:accountingPeriod",
            },
        ),
        _named("subsidiary", currency="ref:currency"),
        _named("currency", symbol="text"),
        _named("department"),
        _named("classification"),
        _named("location"),
        RecordType(
            name="serviceSaleItem",
            numbered="item",
            written=False,
            fields={"itemId": "text", "displayName": "text"},
        ),
    )
}
BY_LOWER = {name.lower(): made for name, made in TYPES.items()}
STATUS_LETTERS = {
    "Pending Approval": "D",
    "Rejected": "E",
    "Open": "A",
    "Paid In Full": "B",
    "Voided": "V",
    "Fully Applied": "B",
    "Deposited": "C",
}
