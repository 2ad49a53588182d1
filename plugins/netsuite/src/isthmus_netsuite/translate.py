"""From our facts to NetSuite's records. Pure: ids were looked up before, nothing is read or sent here.

Exact amounts travel in text fields (``custcol_isth_amount``), because NetSuite keeps hours to the minute
and multiplies them itself; what is read back is compared with them.
"""

import json
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Literal

import msgspec

from isthmus.events import ChargeDetermined, CustomerChanged, ProjectCreated, ScheduleRevised, round_money

RecordType = Literal["timeBill", "charge", "invoice", "creditMemo"]
Body = dict[str, Any]

HOURS = ("time", "retainer_overage")
"""Origins whose quantity is hours somebody worked."""
NAME_MAX = 83
MEMO_MAX = 999
PENDING_APPROVAL = "1"
APPROVED = "2"
CUSTOM_PRICE = "-1"
RATE_QUANTUM = Decimal("0.00000001")


class Refs(msgspec.Struct, frozen=True, kw_only=True):
    """Internal ids of what a charge refers to; None where the account does not use it."""

    job: str
    item: str
    currency: str
    subsidiary: str | None = None
    employee: str | None = None
    segments: Mapping[str, str] = {}
    """Ids by ``department``, ``class``, ``location``."""
    apply_to: str | None = None
    """The invoice a credit memo settles; None leaves it open for finance to apply."""


def record_type(charge: ChargeDetermined) -> RecordType:
    """Where a charge goes: work becomes billable work, everything else an invoice awaiting approval."""
    if charge.origin in HOURS:
        return "timeBill"
    if charge.origin == "expense":
        return "charge"
    return "invoice" if charge.reverses is None else "creditMemo"


def ref(id: str) -> dict[str, str]:
    return {"id": id}


def customer(event: CustomerChanged, *, currency: str, subsidiary: str | None) -> Body:
    body: Body = {
        "companyName": event.name[:NAME_MAX],
        "isPerson": False,
        "currency": ref(currency),
        "isInactive": event.status == "inactive",
    }
    if event.tax_id is not None:
        body["vatRegNumber"] = event.tax_id
    if subsidiary is not None:
        body["subsidiary"] = ref(subsidiary)
    return body


def job(event: ProjectCreated, *, customer: str, currency: str | None, subsidiary: str | None) -> Body:
    body: Body = {
        "companyName": event.name[:NAME_MAX],
        "parent": ref(customer),
        "custentity_isth_contract": event.contract or "",
    }
    if event.budget is not None:
        body["custentity_isth_budget"] = f"{event.budget} {event.currency or ''}".strip()
    if event.starts_on is not None:
        body["startDate"] = event.starts_on.isoformat()
    if currency is not None:
        body["currency"] = ref(currency)
    if subsidiary is not None:
        body["subsidiary"] = ref(subsidiary)
    return body


def schedule(event: ScheduleRevised, held: str) -> str:
    """The billing schedules of a job for people, one block per contract: this contract's is replaced.

    Args:
        held: What the field holds now; blocks of other contracts stay as they are.
    """
    currency = f" {event.currency}" if event.currency else ""
    head = f"{event.contract}, schedule {event.revision}"
    rows = [
        f"{row.due_on} {row.line or '-'} {row.amount}{currency} {row.state}" for row in event.installments
    ]
    blocks = {block.partition(", schedule ")[0]: block for block in held.split("\n\n") if block.strip()}
    blocks[event.contract] = "\n".join([head, *rows])
    return "\n\n".join(blocks[contract] for contract in sorted(blocks))


def charge(event: ChargeDetermined, refs: Refs) -> Body:
    """The body of the record that carries a charge or its reversal."""
    common: Body = {name: ref(id) for name, id in refs.segments.items()}
    match record_type(event):
        case "timeBill":
            assert refs.employee is not None, "time needs an employee"
            body = {
                **common,
                "employee": ref(refs.employee),
                "customer": ref(refs.job),
                "item": ref(refs.item),
                "tranDate": event.posting_on.isoformat(),
                "hours": duration(signed_quantity(event)),
                "price": ref(CUSTOM_PRICE),
                "rate": billing_rate(event),
                "isBillable": True,
                "memo": memo(event),
                **columns(event),
            }
        case "charge":
            body = {
                **common,
                "billTo": ref(refs.job),
                "billingItem": ref(refs.item),
                "chargeDate": event.posting_on.isoformat(),
                "stage": ref("READY"),
                "use": ref("ACTUAL"),
                "currency": ref(refs.currency),
                "quantity": signed_quantity(event),
                "rate": event.unit_price,
                "amount": event.amount,
                "description": memo(event),
                **columns(event),
            }
        case "invoice" | "creditMemo" as kind:
            body = document(event, refs, common, credit=kind == "creditMemo")
    if refs.subsidiary is not None:
        body["subsidiary"] = ref(refs.subsidiary)
    return body


def document(event: ChargeDetermined, refs: Refs, segments: Body, *, credit: bool) -> Body:
    """An invoice of one line, awaiting approval; or the credit memo that takes one back."""
    amount = -event.amount if credit else event.amount
    line = {
        **segments,
        "item": ref(refs.item),
        "quantity": event.quantity,
        "price": ref(CUSTOM_PRICE),
        "rate": event.unit_price,
        "amount": amount,
        "description": memo(event),
        **columns(event),
    }
    body: Body = {
        **segments,
        "entity": ref(refs.job),
        "tranDate": event.posting_on.isoformat(),
        "currency": ref(refs.currency),
        "memo": memo(event),
        "custbody_isth_charge": event.charge,
        "custbody_isth_amount": str(event.amount),
        "custbody_isth_contract": event.contract,
        "item": {"items": [line]},
    }
    if not credit:
        body["approvalStatus"] = ref(PENDING_APPROVAL)
    elif refs.apply_to is not None:
        body["apply"] = {"items": [{"doc": ref(refs.apply_to), "apply": True, "amount": amount}]}
    return body


def columns(event: ChargeDetermined) -> dict[str, str]:
    """The custom column fields that tie a line to our charge."""
    fields = {
        "custcol_isth_charge": event.charge,
        "custcol_isth_amount": str(event.amount),
        "custcol_isth_currency": event.currency,
        "custcol_isth_contract": event.contract,
        "custcol_isth_line": event.line,
        "custcol_isth_earned_on": event.earned_on.isoformat(),
        "custcol_isth_dimensions": json.dumps(event.dimensions, sort_keys=True, ensure_ascii=False),
    }
    if event.reverses is not None:
        fields["custcol_isth_reverses"] = event.reverses
    return fields


def memo(event: ChargeDetermined) -> str:
    return "; ".join(event.explanation)[:MEMO_MAX] or event.charge


def signed_quantity(event: ChargeDetermined) -> Decimal:
    """The quantity with the sign of the charge: a reversal takes the same quantity back."""
    size = abs(event.quantity)
    return -size if event.amount < 0 or event.reverses is not None else size


def billing_rate(event: ChargeDetermined) -> Decimal:
    """The hourly rate with which NetSuite itself arrives at the exact amount.

    NetSuite bills minutes times rate, to the cent. Where minutes cannot hold the hours, or rounding is
    carried over from other parts of an entry, the unit price would miss the amount; then the rate gives in.
    """
    hours = Decimal(abs(minutes_of(duration(event.quantity)) or 0)) / 60
    size = abs(event.amount)
    if hours == 0 or round_money(hours * event.unit_price, event.currency) == size:
        return event.unit_price
    return (size / hours).quantize(RATE_QUANTUM, rounding=ROUND_HALF_UP)


def duration(hours: Decimal) -> str:
    """Hours as NetSuite writes a duration, to the minute: ``4.66`` is ``4:40``, ``-0.5`` is ``-0:30``."""
    minutes = int((abs(hours) * 60).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    return f"{'-' if hours < 0 else ''}{minutes // 60}:{minutes % 60:02d}"


def difference(event: ChargeDetermined, record: Mapping[str, Any]) -> str | None:
    """What keeps ``record``, as read back, from being this charge; None when it is.

    Compared are the charge's key, the exact amount we sent, and the amount or hours NetSuite itself holds.
    """
    kind = record_type(event)
    lines = (record.get("item") or {}).get("items") or []
    head = lines[0] if kind in ("invoice", "creditMemo") and lines else record
    named = head.get("custcol_isth_charge")
    if named != event.charge:
        return f"it carries the charge {named!r}"
    sign = -1 if kind == "creditMemo" else 1
    checks = [("custcol_isth_amount", head.get("custcol_isth_amount"), event.amount)]
    if kind in ("invoice", "creditMemo"):
        total = sum((number(line.get("amount")) or Decimal(0) for line in lines), Decimal(0))
        checks.append(("the sum of its lines", total, sign * event.amount))
    elif kind == "charge":
        checks.append(("amount", record.get("amount"), event.amount))
    for name, found, wanted in checks:
        if number(found) != wanted:
            return f"{name} is {found}, not {wanted}"
    if kind == "timeBill" and minutes_of(record.get("hours")) != minutes_of(duration(signed_quantity(event))):
        return f"hours are {record.get('hours')}, not {duration(signed_quantity(event))}"
    return None


def holds(record: Mapping[str, Any], body: Body) -> bool:
    """Whether a record, as read back, says all that ``body`` says."""
    for name, sent in body.items():
        held = record.get(name)
        if isinstance(sent, dict):
            held, sent = (held or {}).get("id"), sent["id"]
        if isinstance(sent, Decimal):
            held = number(held)
        if held != sent and not (held is None and sent in ("", False)):
            return False
    return True


def number(value: object) -> Decimal | None:
    """A number of a record, exactly; None where there is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def minutes_of(value: object) -> int | None:
    """Minutes of a duration, ``-4:30`` or ``-4.5``; None where it is neither."""
    text = str(value)
    sign = -1 if text.startswith("-") else 1
    hours, colon, minutes = text.lstrip("-").partition(":")
    if colon:
        return sign * (int(hours) * 60 + int(minutes)) if hours.isdigit() and minutes.isdigit() else None
    decimal = number(value)
    return None if decimal is None else int((decimal * 60).quantize(Decimal(1), rounding=ROUND_HALF_UP))
