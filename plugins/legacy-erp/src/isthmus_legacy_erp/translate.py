"""Between canonical events and the values of records: pure functions, both ways."""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal, cast

import msgspec

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargePosted,
    CustomerChanged,
    InvoiceReleased,
    InvoiceVoided,
    PaymentReceived,
    PeriodClosed,
    PeriodReopened,
    ProjectCreated,
)
from isthmus.sdk import ConnectorError, Link, Receipt, Refused, Rejected, Retryable
from isthmus_legacy_erp.carrier import Staged
from isthmus_legacy_erp.codec import Row, Value
from isthmus_legacy_erp.layout import Record
from isthmus_legacy_erp.look import Arrived
from isthmus_legacy_erp.outbox import FrozenBatch, Line

DIGEST = 16

REASONS = {
    "PERI": "period",
    "PROJ": "mapping",
    "CUST": "mapping",
    "REVS": "missing",
    "CURR": "value",
    "VALU": "value",
    "DUPL": "duplicate",
    "AUTH": "permission",
}
"""The ERP's codes in the words of `isthmus.sdk.Rejected`; what is not here is ``other``."""

Ledger = Literal["ar", "ap", "all"]


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """Who tells a fact: the instance and its legal entity."""

    instance: str
    entity: str

    def key(self, remote_id: object) -> str:
        return f"{self.instance}:{remote_id}"


class Told(msgspec.Struct, kw_only=True):
    """What a batch of the ERP says in our words."""

    events: list[BusinessEvent] = []
    links: list[Link] = []
    refused: list[Refused] = []


def reference(key: str, width: int) -> str:
    """``key`` as it stands in a reference of ``width`` bytes.

    One that is too long keeps its start and ends in a digest, so that two keys never share a reference.
    """
    if len(key) <= width:
        return key
    return f"{key[: width - DIGEST - 1]}~{hashlib.sha256(key.encode()).hexdigest()[:DIGEST]}"


def whole(ref: str, width: int) -> bool:
    """Whether a reference is the key itself, not a shortened one."""
    return len(ref) < width or ref[-DIGEST - 1] != "~"


def customer(event: CustomerChanged, width: int) -> dict[str, Value]:
    return {
        "ref": reference(event.customer, width),
        "revision": event.revision,
        "name": event.name,
        "currency": event.currency,
        "tax_id": event.tax_id,
        "address": event.address,
        "status": event.status,
    }


def project(event: ProjectCreated, customer_no: str, width: int) -> dict[str, Value]:
    return {
        "ref": reference(event.project, width),
        "revision": event.revision,
        "name": event.name,
        "customer_no": customer_no,
        "contract": event.contract and reference(event.contract, width),
        "manager": event.manager,
        "starts_on": event.starts_on,
        "stage": event.stage,
        "billing": event.billing,
        "currency": event.currency,
        "budget": event.budget,
    }


def charge(
    event: ChargeDetermined, project_no: str, currency: str, record: Record, width: int
) -> dict[str, Value]:
    """The values of a charge line.

    A dimension with a column of its own (``dimension.<name>``) goes there, the others together into
    ``dimensions`` as ``name=value;name=value``.

    Raises:
        Rejected: another currency than the ledger's, or a dimension that could not be told apart.
    """
    if event.currency != currency:
        raise Rejected(f"charge in {event.currency}, the ledger is kept in {currency}", reason="value")
    own = {name for name in event.dimensions if f"dimension.{name}" in record.names()}
    rest = {name: value for name, value in sorted(event.dimensions.items()) if name not in own}
    for name, value in rest.items():
        if set("=;") & set(name + value):
            raise Rejected(
                f"dimension {name!r} has = or ; in it; give it a column in the layout", reason="mapping"
            )
    return {
        "ref": reference(event.charge, width),
        "reverses": event.reverses and reference(event.reverses, width),
        "project_no": project_no,
        "contract": reference(event.contract, width),
        "contract_line": event.line,
        "origin": event.origin,
        "origin_key": reference(event.origin_key, width),
        "service": event.service,
        "quantity": event.quantity,
        "unit_price": event.unit_price,
        "amount": event.amount,
        "currency": event.currency,
        "earned_on": event.earned_on,
        "posting_on": event.posting_on,
        "dimensions": ";".join(f"{name}={value}" for name, value in rest.items()),
        **{f"dimension.{name}": event.dimensions[name] for name in own},
        "text": "; ".join(event.explanation),
    }


def response(arrived: Arrived, sent: FrozenBatch, stamp: Stamp) -> Told:
    """What the ERP did with each line of the batch ``sent``.

    A posted line links our key to the ERP's number, and a posted charge becomes `ChargePosted`. A refused
    line, one with another amount than was sent, and one without an answer go to ``refused``. Of a number
    that was skipped nothing is told: its facts are delivered again, and answered again.
    """
    told = Told()
    if sent.skipped:
        return told
    for number, row in enumerate(arrived.batch.rows, start=1):
        if number > len(sent.lines) or row.values["ref"] != sent.lines[number - 1].ref:
            told.refused.append(
                _refuse(arrived, row, f"answers {row.values['ref']!r}, which was not sent there")
            )
            continue
        _answer(told, arrived, row, sent.lines[number - 1], stamp)
    for line in sent.lines[len(arrived.batch.rows) :]:
        told.refused.append(
            Refused(
                reason=f"{line.kind} {line.key}: the response has no line for it; ask the ERP",
                place=arrived.place,
                raw=line.key.encode(),
            )
        )
    return told


def _answer(told: Told, arrived: Arrived, row: Row, line: Line, stamp: Stamp) -> None:
    values: dict[str, Any] = row.values
    if values["status"] != "POSTED" or not values["erp_no"]:
        reason = REASONS.get(str(values["code"]), "other")
        words = f"{values['code'] or values['status']} {values['message'] or ''}".strip()
        told.refused.append(
            _refuse(arrived, row, f"{line.kind} {line.key} was not posted ({reason}): {words}")
        )
        return
    if line.amount is not None and values.get("amount") != line.amount:
        told.refused.append(
            _refuse(
                arrived,
                row,
                f"{line.kind} {line.key} stands in the ERP as {values['erp_no']} with amount "
                f"{values.get('amount')}, {line.amount} was sent (duplicate)",
            )
        )
        return
    told.links.append(Link(kind=line.kind, key=line.key, remote_id=values["erp_no"]))
    if line.kind == "charge":
        told.events.append(
            _posted(line, values["erp_no"], values.get("posted_on"), arrived.batch.created, stamp)
        )


def _posted(line: Line, erp_no: str, on: date | None, at: datetime, stamp: Stamp) -> ChargePosted:
    assert line.amount is not None and line.currency is not None, "charges are frozen with both"
    return ChargePosted(
        source=stamp.instance,
        entity=stamp.entity,
        occurred_at=at,
        correlation=line.correlation,
        causation=line.event,
        charge=line.key,
        system=stamp.instance,
        remote_id=erp_no,
        posted_on=on or at.date(),
        amount=line.amount,
        currency=line.currency,
        project=line.project,
    )


def adopted(event: BusinessEvent, line: Line, staged: Staged, stamp: Stamp) -> Receipt | ConnectorError:
    """The outcome of a delivery whose line the ERP has already, from what it made of it.

    A posted charge brings its fact along: no response will tell it, for the store does not know the batch.
    """
    place = f"{staged.batch_id}#{staged.line}"
    if line.amount is not None and staged.amount != line.amount:
        return Rejected(
            f"{line.kind} {line.key} stands in {place} with amount {staged.amount}, {line.amount} is sent",
            reason="duplicate",
        )
    if staged.status != "POSTED" or staged.erp_no is None:
        return Retryable(f"{line.kind} {line.key} stands in {place} already, the ERP has not answered yet")
    facts: list[BusinessEvent] = []
    if line.kind == "charge":
        at = staged.answered_at or event.occurred_at
        facts.append(_posted(line, staged.erp_no, staged.posted_on, at, stamp))
    link = Link(kind=line.kind, key=line.key, remote_id=staged.erp_no)
    return Receipt(remote_id=place, detail="FOUND", links=[link], facts=facts)


def invoice(
    arrived: Arrived, row: Row, customer: str, project: str | None, charges: Sequence[str], stamp: Stamp
) -> InvoiceReleased:
    """An invoice line; ``customer``, ``project`` and ``charges`` are our keys."""
    values: dict[str, Any] = row.values
    return InvoiceReleased(
        **_envelope(arrived, stamp),
        invoice=stamp.key(values["ref"]),
        number=values["ref"],
        customer=customer,
        project=project,
        issued_on=values["issued_on"],
        due_on=values["due_on"],
        total=values["amount"],
        currency=_currency(values),
        charges=list(charges),
    )


def payment(arrived: Arrived, row: Row, project: str | None, stamp: Stamp) -> PaymentReceived:
    values: dict[str, Any] = row.values
    return PaymentReceived(
        **_envelope(arrived, stamp),
        payment=stamp.key(values["ref"]),
        invoice=stamp.key(values["invoice"]),
        received_on=values["received_on"],
        amount=values["amount"],
        currency=_currency(values),
        open_amount=values["open_amount"],
        project=project,
    )


def void(arrived: Arrived, row: Row, project: str | None, stamp: Stamp) -> InvoiceVoided:
    values: dict[str, Any] = row.values
    return InvoiceVoided(
        **_envelope(arrived, stamp),
        invoice=stamp.key(values["ref"]),
        number=values["ref"],
        on=values["voided_on"],
        amount=values["amount"],
        currency=_currency(values),
        reason=values.get("reason"),
        project=project,
    )


def period(arrived: Arrived, row: Row, stamp: Stamp) -> PeriodClosed | PeriodReopened:
    """A period line. ``change`` counts the changes of all periods, so a later one is a higher revision.

    Raises:
        ValueError: the ledger is none of ar, ap, all.
    """
    make = PeriodClosed if row.name == "closed" else PeriodReopened
    values = row.values
    if values["ledger"] not in ("ar", "ap", "all"):
        raise ValueError(f"ledger {values['ledger']!r} is none of ar, ap, all")
    return make(
        **_envelope(arrived, stamp),
        period=str(values["ref"]),
        starts_on=cast(date, values["starts_on"]),
        ends_on=cast(date, values["ends_on"]),
        ledger=cast(Ledger, values["ledger"]),
        revision=cast(int, values["change"]),
    )


def _currency(values: dict[str, Any]) -> str:
    """The currency of a line.

    Raises:
        ValueError: it is no ISO 4217 code.
    """
    code = str(values["currency"])
    if not (len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()):
        raise ValueError(f"currency {code!r} is no ISO 4217 code")
    return code


def _envelope(arrived: Arrived, stamp: Stamp) -> dict[str, Any]:
    return {"source": stamp.instance, "entity": stamp.entity, "occurred_at": arrived.batch.created}


def _refuse(arrived: Arrived, row: Row, reason: str) -> Refused:
    return Refused(reason=reason, place=f"{arrived.place}:{row.number}", raw=row.raw)


def refuse(arrived: Arrived, row: Row, error: ValueError) -> Refused:
    """A line of the ERP that is well-formed and yet makes no fact."""
    return _refuse(arrived, row, f"{row.name} {row.values['ref']}: {error}; the other lines were read")


def frozen_line(event: BusinessEvent, delivery: str, values: dict[str, Value]) -> Line:
    """What is kept with a batch about the line ``event`` became."""
    kinds = {"customer.changed": "customer", "project.created": "project", "charge.determined": "charge"}
    line = Line(
        delivery=delivery,
        event=event.id,
        kind=kinds[event.kind],
        key=event.key,
        ref=str(values["ref"]),
        correlation=event.correlation or event.id,
    )
    if not isinstance(event, ChargeDetermined):
        return line
    return msgspec.structs.replace(line, project=event.project, amount=event.amount, currency=event.currency)
