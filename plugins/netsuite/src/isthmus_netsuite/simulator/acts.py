"""What finance and users do in the account, by hand."""

from collections import defaultdict
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.events import quantum
from isthmus.sdk.simulator import ActRefused, Record
from isthmus_netsuite.simulator.books import CLOSED, Books, Fields, hours_of, sum_lines, times
from isthmus_netsuite.simulator.problems import Problem
from isthmus_netsuite.simulator.rest import RecordService
from isthmus_netsuite.simulator.schema import BY_LOWER, TYPES

CARRIED = ("department", "class", "location")


class Acts:
    """The vocabulary of ``POST /_sim/do``. Invoices are named by id, number or external id."""

    def __init__(self, books: Books, records: RecordService, memory: Callable[[], dict[str, Any]]) -> None:
        self._books = books
        self._records = records
        self._memory = memory

    def named(self) -> dict[str, Callable[..., Any]]:
        return {
            "release_invoices": self.release_invoices,
            "pay_invoice": self.pay_invoice,
            "void_invoice": self.void_invoice,
            "credit_invoice": self.credit_invoice,
            "close_period": self.close_period,
            "close_period_before_next_post": self.close_period_before_next_post,
            "reopen_period": self.reopen_period,
            "create_record": self.create_record,
            "edit_record": self.edit_record,
            "delete_record": self.delete_record,
            "expire_tokens": self.expire_tokens,
            "limit_concurrency": self.limit_concurrency,
            "slow_jobs": self.slow_jobs,
            "forget_idempotency_keys": self.forget_idempotency_keys,
            "fold_external_ids": self.fold_external_ids,
            "lag_search": self.lag_search,
            "shrink_pages": self.shrink_pages,
        }

    def release_invoices(self, project: str | None = None, on: str | None = None) -> list[Fields]:
        """Bill: one invoice per project and currency for its unbilled time and charges, and approve the
        invoices that wait. ``project`` is a job's id, number or external id (with or without prefix);
        ``on`` dates the new invoices. A project whose unbilled work sums to less than 0 waits. Returns
        the invoices released: id, number, total, currency, job, charges."""
        job = None if project is None else self._job(project).id
        day = self._day(on)
        released = []
        for fields, work in self._unbilled(job, day):
            if sum_lines(fields) >= 0:
                invoice = self._write("invoice", None, fields, op="bill")
                self._mark_billed(invoice, work)
                released.append(invoice)
        for invoice in list(self._books.of("invoice")):
            waiting = invoice.fields["status"]["id"] == "Pending Approval"
            if waiting and job in (None, invoice.fields["entity"]["id"]) and self._takes(invoice):
                self._write("invoice", invoice, {"approvalStatus": {"id": "2"}}, op="approve")
                released.append(invoice)
        return [self._told(invoice) for invoice in released]

    def pay_invoice(self, invoice: str, amount: str | None = None, on: str | None = None) -> Fields:
        """The customer pays all that an invoice still asks for, or ``amount`` of it. Returns the
        payment's id, amount, and what stays open."""
        found = self._invoice(invoice)
        paid = Decimal(found.fields["amountRemaining"]) if amount is None else self._amount(amount)
        payment = self._write(
            "customerPayment",
            None,
            {
                "customer": {"id": self._customer_of(found)},
                "payment": str(paid),
                "currency": found.fields["currency"],
                "tranDate": self._day(on).isoformat(),
                "apply": {"items": [{"doc": {"id": found.id}, "apply": True, "amount": str(paid)}]},
            },
            op="create",
        )
        return {"payment": payment.id, "amount": str(paid), "open": found.fields["amountRemaining"]}

    def void_invoice(self, invoice: str) -> Fields:
        """Void an unpaid invoice: its lines become 0, and the time and charges on it can be billed again."""
        found = self._invoice(invoice)
        if found.fields.get("voided") or Decimal(found.fields["amountPaid"]) != 0:
            raise ActRefused("only an invoice that is neither voided nor paid can be voided")
        self._open(found.fields["tranDate"])
        lines = [{**line, "amount": "0", "rate": "0"} for line in found.fields["item"]["items"]]
        self._books.change(found, {"voided": True, "item": {"items": lines}}, op="void")
        self._books.refresh_invoice(found, op="void")
        for type in ("timeBill", "charge"):
            for record in list(self._books.of(type)):
                if (record.fields.get("invoice") or {}).get("id") == found.id:
                    del record.fields["invoice"]
                    self._books.change(
                        record, {"stage": {"id": "READY"}} if type == "charge" else {}, op="unbill"
                    )
        return self._told(found)

    def credit_invoice(self, invoice: str, amount: str, on: str | None = None) -> Fields:
        """Give a credit memo on an open invoice, applied to it. Returns its id and number."""
        found = self._invoice(invoice)
        value = str(self._amount(amount))
        memo = self._write(
            "creditMemo",
            None,
            {
                "entity": found.fields["entity"],
                "currency": found.fields["currency"],
                "tranDate": self._day(on).isoformat(),
                "memo": "goodwill",
                "item": {"items": [{"item": {"id": "1"}, "quantity": "1", "rate": value, "amount": value}]},
                "apply": {"items": [{"doc": {"id": found.id}, "apply": True, "amount": value}]},
            },
            op="create",
        )
        return {"credit": memo.id, "number": memo.fields["tranId"], "open": found.fields["amountRemaining"]}

    def close_period(self, period: str, ledger: str = "all") -> Fields:
        """Close a month, ``2026-10``; ``ledger`` ar or ap locks only that ledger."""
        found = self._period(period)
        flags = {"all": CLOSED, "ar": ("arLocked",), "ap": ("apLocked",)}
        if ledger not in flags:
            raise ActRefused("ledger is all, ar or ap")
        self._books.close(found, flags[ledger])
        return {"period": found.fields["periodName"], "id": found.id, "ledger": ledger}

    def reopen_period(self, period: str) -> Fields:
        """Open a month again, all ledgers."""
        found = self._period(period)
        found.fields.pop("closedOnDate", None)
        self._books.change(found, dict.fromkeys(CLOSED, False), op="reopen")
        return {"period": found.fields["periodName"], "id": found.id}

    def close_period_before_next_post(self, period: str) -> Fields:
        """Close a month just before the next record with a posting date arrives: whoever looked before
        saw it open."""
        self._records.closing = self._period(period)
        return {"period": self._records.closing.fields["periodName"]}

    def edit_record(self, kind: str, id: str, fields: Fields) -> Fields:
        """A user changes ``fields`` of a record in the UI; the same checks apply as over the API."""
        type = BY_LOWER.get(kind.lower())
        record = self._books.find(type.name, id) if type else None
        if type is None or record is None:
            raise ActRefused(f"there is no {kind} {id}")
        self._write(type.name, record, fields, op="edit")
        return {"kind": record.kind, "id": record.id, "fields": record.fields}

    def create_record(self, kind: str, fields: Fields) -> Fields:
        """A user enters a record of ``kind`` in the UI, such as an invoice or a payment. Returns its id."""
        type = BY_LOWER.get(kind.lower())
        if type is None:
            raise ActRefused(f"there is no record type {kind}")
        record = self._write(type.name, None, fields, op="create")
        return {"kind": record.kind, "id": record.id}

    def expire_tokens(self) -> Fields:
        """All access tokens expire now."""
        tokens = self._memory()["tokens"]
        count = len(tokens)
        tokens.clear()
        return {"expired": count}

    def limit_concurrency(self, limit: int, latency_s: float = 0.0, status: int = 429) -> Fields:
        """Serve at most ``limit`` calls at the same time, each taking ``latency_s``; more are answered
        ``status``: 429, or 400 with SSS_REQUEST_LIMIT_EXCEEDED."""
        if status not in (400, 429):
            raise ActRefused("status is 429 or 400")
        self._memory().update(concurrency=limit, latency_s=latency_s, limit_status=status)
        return {"concurrency": limit, "latency_s": latency_s, "status": status}

    def slow_jobs(self, latency_s: float) -> Fields:
        """Asynchronous jobs start ``latency_s`` after they were submitted."""
        self._memory()["job_latency_s"] = latency_s
        return {"latency_s": latency_s}

    def forget_idempotency_keys(self) -> Fields:
        """The keys of all requests so far expire: a key that is sent again starts a new job."""
        keys = self._memory()["idempotency"]
        count = len(keys)
        keys.clear()
        return {"forgotten": count}

    def fold_external_ids(self) -> Fields:
        """External ids that differ in case, in blanks at the ends or in the form of an accent are taken for
        the same."""
        self._memory()["folded"] = True
        self._books.fold_external_ids()
        return {"folded": True}

    def lag_search(self, lag_s: float) -> Fields:
        """SuiteQL shows a change only ``lag_s`` after it was saved, under the stamp it was saved with."""
        self._memory()["search_lag_s"] = lag_s
        return {"lag_s": lag_s}

    def shrink_pages(self, rows: int) -> Fields:
        """SuiteQL gives at most ``rows`` a page, whatever the limit asked for."""
        if rows < 1:
            raise ActRefused("rows is 1 or more")
        self._memory()["page_rows"] = rows
        return {"rows": rows}

    def delete_record(self, kind: str, id: str) -> Fields:
        """A user deletes a record, if NetSuite lets it go."""
        type = BY_LOWER.get(kind.lower())
        record = self._books.find(type.name, id) if type else None
        if type is None or record is None:
            raise ActRefused(f"there is no {kind} {id}")
        try:
            self._records.delete(type, record)
        except Problem as problem:
            raise ActRefused(problem.detail) from problem
        return {"kind": record.kind, "id": record.id}

    # Billing

    def _unbilled(self, job: str | None, day: date) -> list[tuple[Fields, list[Record]]]:
        """The invoices that unbilled work would make, by job and currency, and the work on each."""
        lines: dict[tuple[str, str], list[tuple[Fields, Record]]] = defaultdict(list)
        for bill in self._books.of("timeBill"):
            if bill.fields.get("isBillable") and "invoice" not in bill.fields and "customer" in bill.fields:
                owner = bill.fields["customer"]["id"]
                currency = self._currency_of(owner)
                lines[owner, currency].append((_time_line(bill, quantum(self._symbol(currency))), bill))
        for charge in self._books.of("charge"):
            if "invoice" not in charge.fields and (charge.fields.get("use") or {}).get("id") != "FORECAST":
                owner = charge.fields["billTo"]["id"]
                currency = (charge.fields.get("currency") or {"id": self._currency_of(owner)})["id"]
                lines[owner, currency].append((_charge_line(charge), charge))
        return [
            (
                {
                    "entity": {"id": owner},
                    "currency": {"id": currency},
                    "tranDate": day.isoformat(),
                    "approvalStatus": {"id": "2"},
                    "item": {"items": [line for line, _ in found]},
                },
                [work for _, work in found],
            )
            for (owner, currency), found in lines.items()
            if job in (None, owner)
        ]

    def _mark_billed(self, invoice: Record, work: list[Record]) -> None:
        for record in work:
            billed: Fields = {"invoice": {"id": invoice.id}}
            if record.kind == "charge":
                billed["stage"] = {"id": "PROCESSED"}
            self._books.change(record, billed, op="bill")

    def _told(self, invoice: Record) -> Fields:
        f = invoice.fields
        keys = [line.get("custcol_isth_charge") for line in f["item"]["items"]]
        return {
            "id": invoice.id,
            "number": f["tranId"],
            "total": f["total"],
            "currency": self._symbol(f["currency"]["id"]),
            "job": f["entity"]["id"],
            "charges": [key for key in keys if key],
        }

    # Finding

    def _write(self, type: str, record: Record | None, fields: Fields, *, op: str) -> Record:
        try:
            return self._records.write(TYPES[type], record, fields, op=op, query={"replace": "item,apply"})
        except Problem as problem:
            raise ActRefused(problem.detail) from problem

    def _job(self, project: str) -> Record:
        for name in (project, f"eid:{project}", f"eid:isth:{project}"):
            if (found := self._books.find("job", name)) is not None:
                return found
        for job in self._books.of("job"):
            if job.fields.get("entityId") == project or str(job.external_key).endswith(f":{project}"):
                return job
        raise ActRefused(f"there is no project {project}")

    def _invoice(self, name: str) -> Record:
        found = self._books.find("invoice", name) or self._books.find("invoice", f"eid:{name}")
        if found is None:
            found = next((i for i in self._books.of("invoice") if i.fields["tranId"] == name), None)
        if found is None:
            raise ActRefused(f"there is no invoice {name}")
        return found

    def _period(self, period: str) -> Record:
        try:
            return self._books.period_of(date.fromisoformat(f"{period}-01"))
        except ValueError as error:
            raise ActRefused("name the period like 2026-10") from error

    def _customer_of(self, invoice: Record) -> str:
        job = self._books.ledger.get("job", invoice.fields["entity"]["id"])
        return str((job.fields["parent"] if job else invoice.fields["entity"])["id"])

    def _currency_of(self, entity: str) -> str:
        """A job's currency, else its customer's, else the account's."""
        record = self._books.ledger.get("job", entity) or self._books.ledger.get("customer", entity)
        while record is not None:
            if "currency" in record.fields:
                return str(record.fields["currency"]["id"])
            parent = record.fields.get("parent")
            record = self._books.ledger.get("customer", parent["id"]) if parent else None
        return "1"

    def _symbol(self, currency: str) -> str:
        record = self._books.ledger.get("currency", currency)
        assert record is not None, "a currency that is referred to exists"
        return str(record.fields["symbol"])

    def _day(self, on: str | None) -> date:
        try:
            return self._books.today() if on is None else date.fromisoformat(on)
        except ValueError as error:
            raise ActRefused("write the day like 2026-10-31") from error

    def _amount(self, amount: str) -> Decimal:
        try:
            value = Decimal(str(amount))
        except ArithmeticError as error:
            raise ActRefused("amount is a decimal such as 937.50") from error
        if not value.is_finite() or value <= 0:
            raise ActRefused("amount must be more than 0")
        return value

    def _takes(self, invoice: Record) -> bool:
        """Whether the invoice's period still takes it; approving posts it."""
        try:
            self._books.require_open(date.fromisoformat(invoice.fields["tranDate"]))
        except Problem:
            return False
        return True

    def _open(self, day: str) -> None:
        try:
            self._books.require_open(date.fromisoformat(day))
        except Problem as problem:
            raise ActRefused(problem.detail) from problem


def _time_line(bill: Record, smallest: Decimal) -> Fields:
    """What NetSuite makes of a time entry: minutes times rate, rounded; column fields are carried."""
    f = bill.fields
    amount = times(hours_of(f["hours"]), Decimal(f.get("rate", "0")), smallest)
    return {
        "item": f["item"],
        "quantity": str(hours_of(f["hours"]).quantize(Decimal("0.0001"))),
        "rate": f.get("rate", "0"),
        "amount": str(amount),
        "description": f.get("memo", ""),
        **_carried(f),
    }


def _charge_line(charge: Record) -> Fields:
    f = charge.fields
    amount = f.get("amount") or str(times(Decimal(f.get("quantity", "1")), Decimal(f.get("rate", "0"))))
    return {
        "item": f["billingItem"],
        "quantity": f.get("quantity", "1"),
        "rate": f.get("rate", amount),
        "amount": amount,
        "description": f.get("description", ""),
        **_carried(f),
    }


def _carried(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name in CARRIED or name.startswith("custcol_")}
