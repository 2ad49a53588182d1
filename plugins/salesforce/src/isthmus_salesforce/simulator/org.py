"""Records of the fake org, kept by the rules of its schema; refusals carry Salesforce's own codes."""

import calendar
import copy
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from isthmus.sdk.simulator import Ledger, Record
from isthmus_salesforce.simulator import certinia_triggers
from isthmus_salesforce.simulator.login import ORGANIZATION_ID, PERSON_ID, USER_ID, USERNAME
from isthmus_salesforce.simulator.schema import OBJECTS, STAGES, Field, Object
from isthmus_salesforce.simulator.soql import instant_text

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ORGANIZATION = {
    "Name": "isthmus",
    "IsSandbox": False,
    "OrganizationType": "Developer Edition",
    "InstanceName": "EU42",
    "DefaultLocaleSidKey": "en_IE_EURO",
    "TimeZoneSidKey": "Europe/Dublin",
}
_USER = {
    "Username": USERNAME,
    "FirstName": "Integration",
    "LastName": "User",
    "Name": "Integration User",
    "Email": USERNAME,
    "IsActive": True,
    "TimeZoneSidKey": "Europe/Dublin",
    "UserType": "Standard",
}
_PERSON = {
    **_USER,
    "Username": "consultant@isthmus.example",
    "FirstName": "Some",
    "LastName": "Person",
    "Name": "Some Person",
    "Email": "consultant@isthmus.example",
}
KEY_FIELD = "Isthmus_Key__c"
_NUMBERED = {
    "pse__Schedule__c": "SCH",
    "pse__Timecard_Header__c": "TCH",
    "pse__Timecard__c": "TC",
    "pse__Expense__c": "EXP",
}
"""Objects whose name is a number of their own."""
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Z0-5]{3})?")


class Problem(msgspec.Struct, frozen=True):
    """One entry of an error answer."""

    code: str
    message: str
    fields: tuple[str, ...] = ()


class OrgRefused(Exception):
    """The org does not do it: a status with the problems to answer."""

    def __init__(self, status: int, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.status = status
        self.problems = problems


class SeveralMatch(Exception):
    """More than one record has that external id."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__(f"{len(ids)} records")
        self.ids = ids


def refused(code: str, message: str, *fields: str, status: int = 400) -> OrgRefused:
    return OrgRefused(status, Problem(code, message, fields))


def not_found(message: str = "The requested resource does not exist") -> OrgRefused:
    return refused("NOT_FOUND", message, status=404)


def long_id(short: str) -> str:
    """The 18 characters of a 15-character id: each letter of the suffix tells five cases."""
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(1 << n for n, letter in enumerate(short[start : start + 5]) if letter.isupper())
        suffix += "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[bits]
    return short + suffix


class Org:
    """The records behind the API.

    ``ledger`` holds the records; the indexes here are built from it and are not part of the state.
    """

    def __init__(self, ledger: Ledger, next_id: Callable[[str], int], now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._next_id = next_id
        self._now = now
        self.user_id = USER_ID
        """Who acts: the integration user behind the API, or a person."""
        self.save_duplicates = False
        """Whether the request in hand overrules duplicate rules."""
        self.memory: dict[str, Any] = {}
        """``uncommitted``: by id, the fields before the open transaction of a person, None for new ones."""
        self._rows: dict[str, dict[str, Record]] = {}
        self._by_key: dict[tuple[str, str, str], list[Record]] = {}
        self.index()

    def index(self) -> None:
        """Build the indexes from the ledger, as after a restart."""
        self._rows = {item.name: {} for item in OBJECTS.values()}
        self._by_key = {}
        self._settle("User", USER_ID, _USER)
        self._settle("User", PERSON_ID, _PERSON)
        self._settle("Organization", ORGANIZATION_ID, _ORGANIZATION)
        for record in self._ledger.all():
            self._rows[record.kind][record.id] = record
            self._index_keys(OBJECTS[record.kind.lower()], record)

    def _settle(self, name: str, id: str, fields: dict[str, Any]) -> None:
        """A record that belongs to the org itself; it is no business of the ledger."""
        blank = {field.name: None for field in OBJECTS[name.lower()].fields}
        stamp = "2026-01-01T00:00:00.000+0000"
        stamps = dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), stamp)
        record = Record(
            kind=name,
            id=id,
            external_key=None,
            fields={**blank, **stamps, "Id": id, "IsDeleted": False, "CurrencyIsoCode": "EUR", **fields},
            writes=[],
        )
        self._rows[name][id] = record

    def object(self, name: str) -> Object:
        """
        Raises:
            OrgRefused: 404 ``NOT_FOUND``.
        """
        item = OBJECTS.get(name.lower())
        if item is None:
            raise not_found()
        return item

    def rows(self, item: Object, *, deleted: bool = False) -> list[Record]:
        """All records of an object, oldest first; those in the recycle bin only when asked for."""
        held: Iterable[Record] = self._rows[item.name].values()
        if self.memory.get("uncommitted"):
            held = filter(None, map(self._seen, held))
        return [record for record in held if deleted or not record.fields["IsDeleted"]]

    def get(self, item: Object, id: str, *, deleted: bool = False) -> Record | None:
        """A record by its id of 15 or 18 characters."""
        record = self._rows[item.name].get(long_id(id) if len(id) == 15 else id)
        record = None if record is None else self._seen(record)
        return None if record is None or (record.fields["IsDeleted"] and not deleted) else record

    def _seen(self, record: Record) -> Record | None:
        """A record as the one who acts sees it: what a person has not committed is seen by nobody else."""
        uncommitted = self.memory.get("uncommitted") or {}
        if self.user_id != USER_ID or record.id not in uncommitted:
            return record
        before = uncommitted[record.id]
        return None if before is None else msgspec.structs.replace(record, fields=before)

    def _hold_back(self, record: Record, before: dict[str, Any] | None) -> None:
        """Keep what others see of a record while a transaction is open."""
        if self.user_id != USER_ID and "uncommitted" in self.memory:
            self.memory["uncommitted"].setdefault(record.id, before)

    def require(self, item: Object, id: str) -> Record:
        """
        Raises:
            OrgRefused: 404 ``NOT_FOUND``, or ``ENTITY_IS_DELETED`` for what lies in the recycle bin.
        """
        record = self.get(item, id, deleted=True)
        if record is None:
            raise not_found()
        if record.fields["IsDeleted"]:
            raise refused("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return record

    def by_external_id(self, item: Object, field_name: str, value: str) -> Record | None:
        """
        Raises:
            OrgRefused: 404, the field is no external id.
            SeveralMatch: several records have that value.
        """
        field = item.by_name.get(field_name.lower())
        if field is None or not (field.external_id or field.name == "Id"):
            message = f"Provided external ID field does not exist or is not accessible: {field_name}"
            raise not_found(message)
        if field.name == "Id":
            return self.get(item, value)
        held = self._by_key.get((item.name, field.name, value.strip()), [])
        found = [record for record in held if not record.fields["IsDeleted"]]
        if len(found) > 1:
            raise SeveralMatch([record.id for record in found])
        return found[0] if found else None

    def create(self, item: Object, body: dict[str, Any], *, op: str = "create") -> Record:
        """
        Raises:
            OrgRefused: a field is unknown, read-only, missing or of a wrong value.
        """
        fields = self._accept(item, body)
        missing = [f.name for f in item.fields if f.required and fields.get(f.name) in (None, "")]
        if missing:
            text = f"Required fields are missing: [{', '.join(missing)}]"
            raise refused("REQUIRED_FIELD_MISSING", text, *missing)
        if item.name == "Contract" and fields.get("Status") not in (None, "Draft"):
            text = "Choose a valid contract status and save your changes. Ask your admin for details."
            raise refused("FAILED_ACTIVATION", text, "Status")
        self._check_unique(item, fields, None)
        self._check_alike(item, fields)
        return self.put(item, fields, op=op, body=body)

    def put(
        self, item: Object, fields: dict[str, Any], *, op: str = "create", body: dict[str, Any] | None = None
    ) -> Record:
        """Make a record of fields that need no check, as a trigger does."""
        number = self._next_id(item.name)
        digits = ""
        for _ in range(5):
            number, rest = divmod(number, 62)
            digits = BASE62[rest] + digits
        id = long_id(f"{item.prefix}5g00000{digits}")
        stamp = instant_text(self._now())
        blank = {field.name: False if field.type == "boolean" else None for field in item.fields}
        whole = {
            **blank,
            "CurrencyIsoCode": "EUR",
            **fields,
            "Id": id,
            "CreatedDate": stamp,
            "CreatedById": self.user_id,
        }
        if "ownerid" in item.by_name:
            whole["OwnerId"] = fields.get("OwnerId") or self.user_id
        whole |= self._stamped() | self._derived(item, whole, new=True)
        key = whole.get(KEY_FIELD)
        record = self._ledger.create(
            item.name,
            id,
            whole,
            at=self._now(),
            op=op,
            external_key=key,
            body=fields if body is None else body,
        )
        self._rows[item.name][id] = record
        self._index_keys(item, record)
        self._hold_back(record, None)
        certinia_triggers.after_save(self, record, None)
        return record

    def update(self, item: Object, record: Record, body: dict[str, Any], *, op: str = "update") -> None:
        """
        Raises:
            OrgRefused: as for `create`.
        """
        changes = self._accept(item, body)
        emptied = [
            f.name for f in item.fields if f.required and f.name in changes and changes[f.name] is None
        ]
        if emptied:
            text = f"Required fields are missing: [{', '.join(emptied)}]"
            raise refused("REQUIRED_FIELD_MISSING", text, *emptied)
        self._check_unique(item, changes, record)
        self.put_into(record, changes, op=op, body=body)

    def put_into(
        self,
        record: Record,
        fields: dict[str, Any],
        *,
        op: str = "update",
        body: dict[str, Any] | None = None,
    ) -> None:
        """Change fields that need no check, as a trigger does."""
        item, before = OBJECTS[record.kind.lower()], dict(record.fields)
        changes = {**fields, **self._stamped()}
        changes |= self._derived(item, {**record.fields, **changes}, new=False)
        self._forget_keys(item, record)
        self._ledger.update(record, changes, at=self._now(), op=op, body=fields if body is None else body)
        record.external_key = record.fields.get(KEY_FIELD)
        self._index_keys(item, record)
        self._hold_back(record, before)
        certinia_triggers.after_save(self, record, before)

    def delete(self, record: Record) -> None:
        """Move a record to the recycle bin: queryAll still shows it."""
        self._hold_back(record, dict(record.fields))
        self._ledger.update(
            record, {"IsDeleted": True, **self._stamped()}, at=self._now(), op="delete", body={}
        )
        certinia_triggers.after_delete(self, record)

    def mark(self) -> list[Record]:
        """The books as they stand, to go `back_to`."""
        return copy.deepcopy(self._ledger.all())

    def back_to(self, mark: list[Record]) -> None:
        self._ledger.load(mark)
        self.index()

    def _stamped(self) -> dict[str, Any]:
        stamp = instant_text(self._now())
        return {"SystemModstamp": stamp, "LastModifiedDate": stamp, "LastModifiedById": self.user_id}

    def _index_keys(self, item: Object, record: Record) -> None:
        for field in item.fields:
            value = record.fields.get(field.name)
            if field.external_id and value:
                self._by_key.setdefault((item.name, field.name, value), []).append(record)

    def _forget_keys(self, item: Object, record: Record) -> None:
        for field in item.fields:
            if field.external_id and (value := record.fields.get(field.name)):
                held = self._by_key[item.name, field.name, value]
                held[:] = [other for other in held if other is not record]

    def _check_unique(self, item: Object, fields: dict[str, Any], own: Record | None) -> None:
        for field in item.fields:
            value = fields.get(field.name)
            if not field.unique or not value:
                continue
            for other in self._by_key.get((item.name, field.name, value), []):
                if other is not own and not other.fields["IsDeleted"]:
                    text = (
                        f"duplicate value found: {field.name} duplicates value on record with id: {other.id}"
                    )
                    raise refused("DUPLICATE_VALUE", text, field.name)

    def _check_alike(self, item: Object, fields: dict[str, Any]) -> None:
        """A duplicate rule warns; who sent ``allowSave=true`` is not stopped."""
        name = self.memory.get("duplicate_rules", {}).get(item.name)
        if name is None or self.save_duplicates or fields.get(name) is None:
            return
        if any(record.fields[name] == fields[name] for record in self.rows(item)):
            raise refused("DUPLICATES_DETECTED", "Use one of these records?")

    def _accept(self, item: Object, body: dict[str, Any]) -> dict[str, Any]:
        """The fields of a body by their right names, with values of their types."""
        accepted: dict[str, Any] = {}
        locked: list[str] = []
        for name, value in body.items():
            if name == "attributes":
                continue
            field = item.by_name.get(name.lower())
            if field is None:
                raise refused("INVALID_FIELD", f"No such column '{name}' on sobject of type {item.name}")
            if field.read_only:
                locked.append(field.name)
            else:
                accepted[field.name] = self._value(field, value)
        if locked:
            raise refused(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to create/update fields: {', '.join(locked)}. Please check the security settings of "
                "this field and verify that it is read/write for your profile or permission set.",
                *locked,
            )
        return accepted

    def _value(self, field: Field, value: Any) -> Any:
        if value is None or value == "":
            return False if field.type == "boolean" else None
        try:
            return _READERS[field.type](value) if field.type in _READERS else self._text(field, value)
        except (ValueError, TypeError, KeyError, OverflowError):
            kind = "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
            text = f"Cannot deserialize instance of {field.type} from VALUE_{kind.upper()} value {value} or "
            raise refused("JSON_PARSER_ERROR", text + "request may be missing a required field") from None

    def _text(self, field: Field, value: Any) -> str:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise TypeError(field.name)
        text = str(value).strip()
        if field.type == "reference":
            return self._reference(field, text)
        if field.restricted and text not in field.choices:
            raise refused(
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                f"{field.name}: bad value for restricted picklist field: {text}",
                field.name,
            )
        if len(text) > field.length:
            shown = f"{field.name}: data value too large: {text[:60]} (max length={field.length})"
            raise refused("STRING_TOO_LONG", shown, field.name)
        return text

    def _reference(self, field: Field, text: str) -> str:
        item = OBJECTS[str(field.refers_to).lower()]
        if _ID.fullmatch(text) is None or not text.startswith(item.prefix):
            raise refused("MALFORMED_ID", f"{field.name}: id value of incorrect type: {text}", field.name)
        record = self.get(item, text, deleted=True)
        if record is None:
            raise refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", field.name)
        if record.fields["IsDeleted"]:
            raise refused("ENTITY_IS_DELETED", "entity is deleted", field.name)
        return record.id

    def _derived(self, item: Object, fields: dict[str, Any], *, new: bool) -> dict[str, Any]:
        """What Salesforce fills in itself."""
        match item.name:
            case "Opportunity":
                closed, won, probability = STAGES.get(fields["StageName"], (False, False, 50.0))
                return {"IsClosed": closed, "IsWon": won, "Probability": probability}
            case "Contract":
                return self._contract(fields, new=new)
            case "Contract_Line__c":
                return {"Name": f"CL-{self._next_id('CL'):05}"} if new else {}
            case "Contact" | "Lead":
                return {"Name": " ".join(filter(None, (fields["FirstName"], fields["LastName"])))}
            case "Invoice__c":
                return {"Name": fields["Name"] or fields["Id"]}
            case "OpportunityLineItem" if fields["UnitPrice"] is not None:
                return {"TotalPrice": fields["UnitPrice"] * fields["Quantity"]}
        derived = certinia_triggers.derived(item.name, fields)
        if new and item.name in _NUMBERED:
            derived["Name"] = f"{_NUMBERED[item.name]}-{self._next_id(_NUMBERED[item.name]):06}"
        return derived

    def _contract(self, fields: dict[str, Any], *, new: bool) -> dict[str, Any]:
        status = fields["Status"] or "Draft"
        derived = {"Status": status, "StatusCode": {"In Approval Process": "InApproval"}.get(status, status)}
        if new:
            derived["ContractNumber"] = f"{self._next_id('ContractNumber'):08}"
        if status == "Activated" and fields["ActivatedDate"] is None:
            derived["ActivatedDate"] = instant_text(self._now())
        if fields["StartDate"] and fields["ContractTerm"]:
            end = _months_after(date.fromisoformat(fields["StartDate"]), fields["ContractTerm"])
            derived["EndDate"] = (end - timedelta(days=1)).isoformat()
        return derived


def _months_after(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError("boolean")
    number = float(value)
    if not abs(number) < 1e18:
        raise refused("NUMBER_OUTSIDE_VALID_RANGE", f"value outside of valid range on numeric field: {value}")
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}[str(value).lower()]


def _date(value: Any) -> str:
    return date.fromisoformat(value).isoformat()


def _datetime(value: Any) -> str:
    return instant_text(datetime.fromisoformat(value.replace("Z", "+00:00")))


_READERS: dict[str, Callable[[Any], Any]] = {
    "double": _number,
    "currency": _number,
    "int": lambda value: int(_number(value)),
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
}
