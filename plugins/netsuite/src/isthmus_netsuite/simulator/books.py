"""The account's records: numbering, external ids, periods, the sums NetSuite keeps itself."""

import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from isthmus.sdk.simulator import Ledger, Record
from isthmus_netsuite.simulator.problems import Problem, no_such_reference, period_closed
from isthmus_netsuite.simulator.schema import TYPES

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
CENT = Decimal("0.01")
CLOSED = ("closed", "allLocked", "arLocked", "apLocked")
Fields = dict[str, Any]


class Books:
    """All writes pass here, so that look-ups by external id and SuiteQL's tables stay in step.

    Amounts are kept as strings of exact decimals, references as ``{"id": ...}``.
    """

    def __init__(
        self,
        ledger: Ledger,
        next_id: Callable[[str, int], int],
        now: Callable[[], datetime],
        zone: ZoneInfo,
    ) -> None:
        self.ledger = ledger
        self.zone = zone
        self._next_id = next_id
        self._now = now
        self._by_external_id: dict[tuple[str, str], str] = {}
        self.fold: Callable[[str], str] = str
        """What external ids that are taken for the same have in common."""
        self._years: dict[int, list[Record]] = {}
        self.changed: dict[tuple[str, str], Record | None] = {}
        """Records SuiteQL's tables do not show yet; None for a deleted one."""

    def reindex(self) -> None:
        """Learn what the ledger holds, after it was loaded from a state file."""
        self._by_external_id.clear()
        self._years.clear()
        for record in self.ledger.all():
            self.changed[record.kind, record.id] = record
            if record.external_key is not None:
                self._by_external_id[record.kind, self.fold(record.external_key)] = record.id
            if record.kind == "accountingPeriod" and self.is_base(record):
                self._years.setdefault(int(record.fields["startDate"][:4]), []).append(record)

    def fold_external_ids(self) -> None:
        self.fold = lambda name: unicodedata.normalize("NFC", name).strip().casefold()
        self.reindex()

    def today(self) -> date:
        return self._now().astimezone(self.zone).date()

    def stamp(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def find(self, type: str, name: str) -> Record | None:
        """A record by internal id, or by ``eid:<external id>``."""
        if name.startswith("eid:"):
            found = self._by_external_id.get((type, self.fold(name[4:])))
            return None if found is None else self.ledger.get(type, found)
        return self.ledger.get(type, name)

    def of(self, type: str) -> Iterator[Record]:
        return self.ledger.of_kind(type)

    def add(
        self,
        type: str,
        fields: Fields,
        *,
        op: str,
        external_key: str | None = None,
        body: Fields | None = None,
    ) -> Record:
        if external_key is not None and (type, self.fold(external_key)) in self._by_external_id:
            raise Problem(
                400,
                "USER_ERROR",
                f"A record with the external ID '{external_key}' already exists.",
                errorPath="externalId",
            )
        id = str(self._next_id(TYPES[type].numbered, 1))
        kept = {**fields, "createdDate": self.stamp(), "lastModifiedDate": self.stamp()}
        record = self.ledger.create(
            type,
            id,
            kept,
            at=self._now(),
            op=op,
            external_key=external_key,
            body=fields if body is None else body,
        )
        if external_key is not None:
            self._by_external_id[type, self.fold(external_key)] = id
        self.changed[type, id] = record
        return record

    def change(self, record: Record, changes: Fields, *, op: str, body: Fields | None = None) -> None:
        kept = {**changes, "lastModifiedDate": self.stamp()}
        self.ledger.update(record, kept, at=self._now(), op=op, body=changes if body is None else body)
        self.changed[record.kind, record.id] = record

    def rename(self, record: Record, external_key: str) -> None:
        """Give a record its external id, or another one."""
        holder = self._by_external_id.get((record.kind, self.fold(external_key)))
        if holder is not None and holder != record.id:
            raise Problem(
                400, "USER_ERROR", f"A record with the external ID '{external_key}' already exists."
            )
        if record.external_key is not None:
            self._by_external_id.pop((record.kind, self.fold(record.external_key)), None)
        record.external_key = external_key
        self._by_external_id[record.kind, self.fold(external_key)] = record.id

    def remove(self, record: Record) -> None:
        self.ledger.remove(record, at=self._now())
        if record.external_key is not None:
            self._by_external_id.pop((record.kind, self.fold(record.external_key)), None)
        self.changed[record.kind, record.id] = None

    # Periods

    @staticmethod
    def is_base(period: Record) -> bool:
        return not (period.fields["isYear"] or period.fields["isQuarter"] or period.fields["isAdjust"])

    def period_of(self, day: date) -> Record:
        """The base period of a day; a year's periods are set up when first needed."""
        for period in self._year(day.year):
            if period.fields["startDate"] <= day.isoformat() <= period.fields["endDate"]:
                return period
        raise AssertionError(f"{day} lies in no month")

    def require_open(self, day: date) -> Record:
        """The period of ``day``, which must take receivables."""
        period = self.period_of(day)
        if any(period.fields[flag] for flag in ("closed", "allLocked", "arLocked")):
            raise period_closed(period.fields["periodName"])
        return period

    def close(self, period: Record, flags: tuple[str, ...] = CLOSED) -> None:
        """Close a period for all ledgers, or lock those of ``flags``."""
        changes: Fields = dict.fromkeys(flags, True)
        if flags == CLOSED:
            changes["closedOnDate"] = self.today().isoformat()
        self.change(period, changes, op="close")

    def _year(self, year: int) -> list[Record]:
        if year not in self._years:
            whole = self._period(f"FY {year}", date(year, 1, 1), date(year, 12, 31), None, isYear=True)
            base = []
            for quarter in range(4):
                first = date(year, quarter * 3 + 1, 1)
                third = date(year, quarter * 3 + 3, 1)
                parent = self._period(
                    f"Q{quarter + 1} {year}", first, _month_end(third), whole.id, isQuarter=True
                )
                for month in range(quarter * 3 + 1, quarter * 3 + 4):
                    start = date(year, month, 1)
                    name = f"{MONTHS[month - 1]} {year}"
                    base.append(self._period(name, start, _month_end(start), parent.id))
            self._years[year] = base
        return self._years[year]

    def _period(self, name: str, start: date, end: date, parent: str | None, **kind: bool) -> Record:
        fields: Fields = {
            "periodName": name,
            "startDate": start.isoformat(),
            "endDate": end.isoformat(),
            **dict.fromkeys(["closed", "allLocked", "arLocked", "apLocked"], False),
            **dict.fromkeys(["isAdjust", "isQuarter", "isYear"], False),
            **kind,
        }
        if parent is not None:
            fields["parent"] = {"id": parent}
        return self.add("accountingPeriod", fields, op="setup")

    # What NetSuite works out itself

    def settle(self, record: Record, before: Fields, *, op: str) -> None:
        """Work out sums and statuses of a document after a write, and of the invoices it is applied to."""
        if record.kind == "invoice":
            self.refresh_invoice(record, op=op)
        elif record.kind in ("creditMemo", "customerPayment"):
            total = self._worth(record.kind, record.fields)
            applied = sum(self._applications(record.fields).values(), Decimal(0))
            self._apply(before, -1)
            self._apply(record.fields, 1)
            fields = {"applied": str(applied), "unapplied": str(total - applied)}
            if record.kind == "creditMemo":
                fields["total"] = str(total)
            status = "Fully Applied" if applied == total else "Open"
            record.fields.update(fields, status={"id": status})

    def check_applications(self, type: str, fields: Fields, before: Fields) -> None:
        """Refuse to apply to an invoice that is not open, or more than it asks for or this is worth."""
        held = self._applications(before)
        applied = sum(self._applications(fields).values(), Decimal(0))
        if applied > self._worth(type, fields):
            raise Problem(400, "USER_ERROR", "You cannot apply more than the amount of this transaction.")
        for id, amount in self._applications(fields).items():
            invoice = self.ledger.get("invoice", id)
            if invoice is None:
                raise no_such_reference("doc", id)
            open_amount = Decimal(invoice.fields["amountRemaining"]) + held.get(id, Decimal(0))
            if invoice.fields["status"]["id"] not in ("Open", "Paid In Full"):
                raise Problem(400, "USER_ERROR", f"Invoice {invoice.fields['tranId']} is not open.")
            if amount > open_amount:
                raise Problem(
                    400, "USER_ERROR", f"Invoice {invoice.fields['tranId']} asks only for {open_amount}."
                )

    def refresh_invoice(self, invoice: Record, *, op: str) -> None:
        fields = invoice.fields
        paid = Decimal(fields.get("amountPaid", "0"))
        total = Decimal(0) if fields.get("voided") else sum_lines(fields)
        remaining = total - paid
        approval = fields.setdefault("approvalStatus", {"id": "2"})["id"]
        if fields.get("voided"):
            status = "Voided"
        elif approval != "2":
            status = "Pending Approval" if approval == "1" else "Rejected"
        else:
            status = "Paid In Full" if remaining <= 0 and total > 0 else "Open"
        fields.update(
            total=str(total),
            amountPaid=str(paid),
            amountRemaining=str(remaining),
            status={"id": status},
            voided=bool(fields.get("voided")),
        )

    def release(self, record: Record) -> None:
        """Undo what a payment or credit memo settled, before it goes."""
        self._apply(record.fields, -1)

    def _apply(self, fields: Fields, sign: int) -> None:
        for id, amount in self._applications(fields).items():
            invoice = self.ledger.get("invoice", id)
            if invoice is not None:
                paid = Decimal(invoice.fields.get("amountPaid", "0")) + sign * amount
                self.change(invoice, {"amountPaid": str(paid)}, op="apply")
                self.refresh_invoice(invoice, op="apply")

    @staticmethod
    def _worth(type: str, fields: Fields) -> Decimal:
        return sum_lines(fields) if type == "creditMemo" else Decimal(str(fields["payment"]))

    @staticmethod
    def _applications(fields: Fields) -> dict[str, Decimal]:
        """Amounts by invoice; a line whose box is not ticked applies nothing."""
        found: dict[str, Decimal] = {}
        for line in (fields.get("apply") or {}).get("items", []):
            if line.get("apply") and line.get("doc"):
                id = line["doc"]["id"]
                found[id] = found.get(id, Decimal(0)) + Decimal(str(line.get("amount", "0")))
        return found


def sum_lines(fields: Fields) -> Decimal:
    lines = (fields.get("item") or {}).get("items", [])
    return sum((line_amount(line) for line in lines), Decimal(0))


def line_amount(line: Fields) -> Decimal:
    """The amount of a line; where none was sent, quantity times rate to the cent."""
    if line.get("amount") is not None:
        return Decimal(str(line["amount"]))
    return times(Decimal(str(line.get("quantity", "1"))), Decimal(str(line.get("rate", "0"))))


def times(quantity: Decimal, rate: Decimal, quantum: Decimal = CENT) -> Decimal:
    return (quantity * rate).quantize(quantum, rounding=ROUND_HALF_UP)


def hours_of(duration: str) -> Decimal:
    """``-4:30`` as minutes over sixty, exactly as far as a decimal goes."""
    sign = -1 if duration.startswith("-") else 1
    hours, _, minutes = duration.lstrip("-").partition(":")
    return sign * Decimal(int(hours) * 60 + int(minutes)) / 60


def _month_end(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
