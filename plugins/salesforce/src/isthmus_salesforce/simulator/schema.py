"""The objects of the fake org: standard ones that a services firm uses, and the custom ones of isthmus."""

from typing import Any

import msgspec

from isthmus_salesforce.simulator import certinia_schema


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field; ``type`` is the API's word for it."""

    name: str
    type: str
    length: int = 0
    required: bool = False
    read_only: bool = False
    external_id: bool = False
    unique: bool = False
    restricted: bool = False
    choices: tuple[str, ...] = ()
    refers_to: str | None = None

    @property
    def relationship(self) -> str | None:
        """``Account`` for ``AccountId``, ``Opportunity__r`` for ``Opportunity__c``."""
        if self.refers_to is None:
            return None
        return self.name[:-3] + "__r" if self.name.endswith("__c") else self.name.removesuffix("Id")


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """One object: ``by_name`` finds a field whatever its case."""

    name: str
    prefix: str
    fields: tuple[Field, ...]
    by_name: dict[str, Field]
    by_relationship: dict[str, Field]


CURRENCIES = (
    "EUR",
    "USD",
    "GBP",
    "CHF",
    "JPY",
    "KWD",
    "SEK",
    "NOK",
    "DKK",
    "PLN",
    "CZK",
    "CAD",
    "AUD",
    "INR",
)

# Stage: closed, won, probability.
STAGES: dict[str, tuple[bool, bool, float]] = {
    "Prospecting": (False, False, 10.0),
    "Qualification": (False, False, 10.0),
    "Needs Analysis": (False, False, 20.0),
    "Value Proposition": (False, False, 50.0),
    "Id. Decision Makers": (False, False, 60.0),
    "Perception Analysis": (False, False, 70.0),
    "Proposal/Price Quote": (False, False, 75.0),
    "Negotiation/Review": (False, False, 90.0),
    "Closed Won": (True, True, 100.0),
    "Closed Lost": (True, False, 0.0),
}

# One line per object: name, key prefix, fields. A field is name:type, then flags: ``!`` required,
# ``^`` read-only, ``*`` external id, ``1`` unique, ``[a|b]`` the only values, ``~[a|b]`` values among others,
# ``>Object`` what it refers to.
_TABLE = f"""
Account 001 Name:string! Type:picklist Industry:picklist Phone:string Website:string AccountNumber:string
  BillingStreet:textarea BillingCity:string BillingPostalCode:string BillingState:string BillingCountry:string
  Description:textarea ParentId:reference>Account OwnerId:reference>User Tax_Id__c:string
  Legal_Entity__c:string External_Key__c:string*
Opportunity 006 Name:string! AccountId:reference>Account StageName:picklist! CloseDate:date! Amount:currency
  Type:picklist Probability:double IsClosed:boolean^ IsWon:boolean^ ContractId:reference>Contract
  Description:textarea OwnerId:reference>User Legal_Entity__c:string
Contract 800 AccountId:reference!>Account Name:string ContractNumber:string^
  Status:picklist[Draft|In_Approval_Process|Activated|Terminated|Expired] StatusCode:picklist^
  StartDate:date EndDate:date ContractTerm:int ActivatedDate:datetime^ CustomerSignedDate:date
  CompanySignedDate:date Description:textarea OwnerId:reference>User Revision__c:double Effective_On__c:date
  Amendment_Reason__c:string Opportunity__c:reference>Opportunity Legal_Entity__c:string Time_Zone__c:string
  Period_Policy__c:picklist[hold|next_open]
Contract_Line__c a00 Name:string^ Contract__c:reference!>Contract Line__c:string!
  Model__c:picklist![time_and_materials|milestone|fixed_fee|retainer|subscription] Service__c:string
  Rate__c:currency Default_Rate__c:currency Amount__c:currency Cap_Amount__c:currency Cap_Hours__c:double
  Included_Hours__c:double Overage__c:picklist[hold|bill|write_off] Overage_Rate__c:currency
  Expenses__c:boolean Expense_Cap__c:currency Title__c:string Advance__c:boolean Due_On__c:date
  Every__c:picklist[month|quarter|year] Rollover__c:picklist[none|one_period|all] Starts_On__c:date
  Ends_On__c:date In_Advance__c:boolean Planned_On__c:date
Invoice__c a01 Name:string Isthmus_Key__c:string*1 Number__c:string Account__c:reference>Account
  Opportunity__c:reference>Opportunity Total__c:currency Open_Amount__c:currency
  Status__c:picklist[Released|Paid|Partly_Paid|Voided]
Contact 003 FirstName:string LastName:string! Name:string^ Email:string Phone:string Title:string
  AccountId:reference>Account OwnerId:reference>User {certinia_schema.RESOURCE}
Lead 00Q FirstName:string LastName:string! Company:string! Name:string^ Email:string Status:picklist
  OwnerId:reference>User
Product2 01t Name:string! ProductCode:string IsActive:boolean Description:textarea
OpportunityLineItem 00k OpportunityId:reference!>Opportunity Product2Id:reference>Product2 Quantity:double!
  UnitPrice:currency TotalPrice:currency ServiceDate:date Description:textarea
User 005 Username:string^ FirstName:string^ LastName:string^ Name:string^ Email:string^ IsActive:boolean^
  TimeZoneSidKey:string^ UserType:string^
Organization 00D Name:string^ IsSandbox:boolean^ OrganizationType:string^ InstanceName:string^
  DefaultLocaleSidKey:string^ TimeZoneSidKey:string^
{certinia_schema.TABLE.strip()}
"""
_SYSTEM = """IsDeleted:boolean^ CreatedDate:datetime^ CreatedById:reference^>User LastModifiedDate:datetime^
  LastModifiedById:reference^>User SystemModstamp:datetime^ CurrencyIsoCode:picklist"""
# The field history of an object is no object of its own: it has no stamp but that of its making.
_SYSTEM_OF_HISTORY = "IsDeleted:boolean^ CreatedDate:datetime^ CreatedById:reference^>User"
_LENGTHS = {"string": 255, "textarea": 32000, "picklist": 255, "reference": 18, "id": 18}
_NAME_LENGTH = 80
"""Of a custom object; standard ones have their own."""


def _field(text: str) -> Field:
    name, _, rest = text.partition(":")
    rest, _, refers_to = rest.partition(">")
    rest, _, listed = rest.partition("[")
    kind = rest.rstrip("!^*1~")
    flags = rest[len(kind) :]
    # A blank in a picklist value is written ``_`` before a capital.
    choices = tuple(
        value.replace("_", " ") if value[:1].isupper() else value for value in listed[:-1].split("|")
    )
    if name == "CurrencyIsoCode":
        choices = CURRENCIES
    return Field(
        name=name,
        type=kind,
        length=_LENGTHS.get(kind, 0),
        required="!" in flags,
        read_only="^" in flags,
        external_id="*" in flags,
        unique="1" in flags,
        restricted=bool(choices and choices[0]) and "~" not in flags,
        choices=choices if choices[0] else (),
        refers_to=refers_to or None,
    )


def _objects() -> dict[str, Object]:
    objects: dict[str, Object] = {}
    for paragraph in _TABLE.strip().replace("\n  ", " ").splitlines():
        name, prefix, *texts = paragraph.split()
        system = _SYSTEM_OF_HISTORY if name.endswith("__History") else _SYSTEM
        fields = [Field(name="Id", type="id", length=18, read_only=True)]
        fields += [_field(text) for text in (*texts, *system.split())]
        if name.endswith("__c"):
            fields = [
                msgspec.structs.replace(field, length=_NAME_LENGTH) if field.name == "Name" else field
                for field in fields
            ]
        objects[name.lower()] = Object(
            name=name,
            prefix=prefix,
            fields=tuple(fields),
            by_name={field.name.lower(): field for field in fields},
            by_relationship={field.relationship.lower(): field for field in fields if field.relationship},
        )
    return objects


OBJECTS: dict[str, Object] = _objects()
"""Objects by their name in lower case."""


def described(item: Object, version: str) -> dict[str, Any]:
    """What ``/sobjects/X/describe`` answers, in the parts that clients read."""
    return {
        **summary(item, version),
        "fields": [_described_field(field) for field in item.fields],
        "childRelationships": [],
        "recordTypeInfos": [],
    }


def summary(item: Object, version: str) -> dict[str, Any]:
    """What the list of all objects says of one."""
    base = f"/services/data/{version}/sobjects/{item.name}"
    settable = item.name not in ("User", "Organization") and not item.name.endswith("__History")
    return {
        "name": item.name,
        "label": _label(item.name),
        "labelPlural": _label(item.name) + "s",
        "keyPrefix": item.prefix,
        "custom": item.name.endswith("__c"),
        "createable": settable,
        "updateable": settable,
        "deletable": settable,
        "queryable": True,
        "retrieveable": True,
        "undeletable": False,
        "urls": {
            "sobject": base,
            "describe": f"{base}/describe",
            "rowTemplate": f"{base}/{{ID}}",
        },
    }


def _label(name: str) -> str:
    return name.removeprefix("pse__").removesuffix("__c").replace("_", " ")


def _described_field(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": _label(field.name),
        "type": field.type,
        "length": field.length,
        "custom": field.name.endswith("__c"),
        "nillable": not field.required and field.name not in ("Id", "IsDeleted"),
        "createable": not field.read_only,
        "updateable": not field.read_only,
        "externalId": field.external_id,
        "idLookup": field.external_id or field.name == "Id",
        "unique": field.unique,
        "caseSensitive": field.unique,
        "restrictedPicklist": field.restricted,
        "picklistValues": [
            {"value": value, "label": value, "active": True, "defaultValue": False} for value in field.choices
        ],
        "referenceTo": [field.refers_to] if field.refers_to else [],
        "relationshipName": field.relationship,
        "precision": 18 if field.type in ("double", "currency") else 0,
        "scale": 2 if field.type == "currency" else 0,
        "defaultedOnCreate": field.type == "boolean",
    }
