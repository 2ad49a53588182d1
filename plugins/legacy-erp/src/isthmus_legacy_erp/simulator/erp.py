"""The ERP itself: a posting job that runs by itself, and what its accountants do."""

import calendar
import logging
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import trio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.sdk.simulator import ActRefused, Record, Simulator
from isthmus_legacy_erp.simulator import copybook
from isthmus_legacy_erp.simulator.copybook import Style
from isthmus_legacy_erp.simulator.files import Files
from isthmus_legacy_erp.simulator.job import BREAKS, DELAY_S, INTERFACES, PlannedFaults, PostingJob
from isthmus_legacy_erp.simulator.posting import Books
from isthmus_legacy_erp.simulator.staging import StagingJob, StagingTables

ENDS = {"lf": "\n", "crlf": "\r\n", "none": ""}
TERMS = timedelta(days=30)
JOB_EVERY_S = 0.2
STAGING = "staging.db"

log = logging.getLogger("isthmus.simulator")


class LegacyErp(Simulator):
    """An on-premises ERP that knows no HTTP: it takes numbered batches, as files or rows, and writes its own.

    Args:
        drop_dir: its drop directory; otherwise one beside ``--state``, or a temporary one that goes away
            with the simulator. The staging tables are a SQLite file in it.
        interface: files or sql, as the connector calls it.
        encoding, sign, line_end, decimals: how its files are written, as the settings of the connector
            call it.
    """

    plugin: ClassVar[str] = "legacy-erp"

    def __init__(
        self,
        *,
        seed: int = 0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        drop_dir: Path | None = None,
        company: str = "ACME",
        currency: str = "EUR",
        interface: str = "files",
        encoding: str = "cp1252",
        sign: str = "overpunch",
        line_end: str = "crlf",
        decimals: str = "implied",
    ) -> None:
        super().__init__(seed=seed, now=now)
        self.memory.update(
            {
                "running": True,
                "last": dict.fromkeys(INTERFACES, 0),
                "shas": {},
                "batch_ids": {},
                "numbers": {},
                "refs": {},
                "closed": {},
                "changes": 0,
                "queue": [],
                "sent": {},
                "breaks": [],
                "interface": interface,
                "staged": {},
                "answers": {},
                "rows": [],
                "delayed": {},
                "altered": {},
            }
        )
        self.company = company
        self.currency = currency
        self._text = {"encoding": encoding, "sign": sign, "line_end": line_end, "decimals": decimals}
        self._style = Style(encoding, sign, ENDS[line_end], decimals == "point")
        self._given = drop_dir
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lock: sqlite3.Connection | None = None

    @property
    def drop_dir(self) -> Path:
        """Where files are exchanged."""
        if self._given is not None:
            return self._given
        if self.state_file is not None:
            return self.state_file.with_name(self.state_file.name + ".drop")
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="isthmus-legacy-erp-")
        return Path(self._temporary.name)

    def credentials(self) -> dict[str, Any]:
        if self._by_tables:
            self._tables()
            url = f"sqlite:///{(self.drop_dir / STAGING).absolute()}"
            return {
                "interface": "sql",
                "staging": {"url": url},
                "company": self.company,
                "currency": self.currency,
            }
        self._files()
        return {
            "drop_dir": str(self.drop_dir),
            "company": self.company,
            "currency": self.currency,
            **self._text,
        }

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/{path:path}", _no_http)]

    def acts(self) -> dict[str, Callable[..., Any]]:
        return {
            "release_invoices": self.release_invoices,
            "pay_invoice": self.pay_invoice,
            "void_invoice": self.void_invoice,
            "close_period": self.close_period,
            "reopen_period": self.reopen_period,
            "stop_jobs": self.stop_jobs,
            "start_jobs": self.start_jobs,
            "run_jobs": self.run_jobs,
            "break_next": self.break_next,
            "use_tables": self.use_tables,
            "use_files": self.use_files,
            "hold_lock": self.hold_lock,
            "release_lock": self.release_lock,
        }

    async def background(self) -> None:
        """The scheduler of the posting job."""
        while True:
            if self.memory["running"]:
                try:
                    self.run_jobs()
                except (OSError, sqlite3.OperationalError) as error:
                    log.warning("posting_job_failed", extra={"reason": str(error)})
            await trio.sleep(JOB_EVERY_S)

    def stop_jobs(self) -> dict[str, Any]:
        """The posting job no longer runs by itself; batches wait."""
        self.memory["running"] = False
        return {"running": False}

    def start_jobs(self) -> dict[str, Any]:
        """The posting job runs by itself again."""
        self.memory["running"] = True
        return {"running": True}

    def run_jobs(self) -> dict[str, Any]:
        """Run the posting job once, now: take the batches that wait, post them, write responses."""
        if self._by_tables:
            return self._run_on_tables()
        files = self._files()
        job = PostingJob(files, self._books(), self.memory, self._planned, self.now)
        self._carry_out(files, changed=files.resend())
        for interface in INTERFACES:
            for name in files.ready(interface):
                self._carry_out(files, changed=job.take(interface, name))
        return job.result

    def _run_on_tables(self) -> dict[str, Any]:
        tables = self._tables()
        job = StagingJob(tables, self._books(), self.memory, self._planned, self.now)
        if self._lock is None:
            self._write(tables)
            job.run(lambda: self._write(tables))
        return job.result

    def use_tables(self) -> dict[str, Any]:
        """Exchange rows of staging tables instead of files, from now on; see the new credentials."""
        self.memory["interface"] = "sql"
        return self.credentials()

    def use_files(self) -> dict[str, Any]:
        """Exchange files again."""
        self.memory["interface"] = "files"
        return self.credentials()

    def hold_lock(self) -> dict[str, Any]:
        """Somebody's session locks the staging tables, until release_lock."""
        if self._lock is None:
            self._lock = self._tables().lock()
        return {"locked": True}

    def release_lock(self) -> dict[str, Any]:
        """That session ends."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        return {"locked": False}

    def break_next(self, kind: str, times: int = 1, code: str = "VALU") -> dict[str, Any]:
        """Let something go wrong: reject_line (the next lines, with ``code``), refuse_batch (a NAK, or a
        batch in ERROR), wrong_total or delay (of the next response), repeat_file (the next file comes
        twice); of tables also stop_after_claim (the job claims a batch and dies), late_commit (the next
        rows get their identities now and are committed later)."""
        if kind not in BREAKS:
            raise ActRefused(f"kind is one of {', '.join(BREAKS)}")
        self._planned.plan(kind, code, times)
        return {"kind": kind, "times": times}

    def release_invoices(self, project: str | None = None, on: str | None = None) -> dict[str, Any]:
        """Invoice what is posted and not invoiced, one invoice per project; ``project`` is the ERP's number
        or isthmus' key, ``on`` a date. A project whose charges sum to nothing or less is left for later."""
        day = _date(on) or self.now().date()
        charges: dict[str, list[Record]] = {}
        for charge in self.ledger.of_kind("charge"):
            if charge.fields["invoice"] is None:
                charges.setdefault(charge.fields["project"], []).append(charge)
        wanted = self._project(project).id if project is not None else None
        invoices = [
            self._invoice(number, items, day)
            for number, items in sorted(charges.items())
            if wanted in (None, number) and sum(Decimal(item.fields["amount"]) for item in items) > 0
        ]
        return {"invoices": invoices}

    def pay_invoice(self, invoice: str, amount: str | None = None, on: str | None = None) -> dict[str, Any]:
        """A customer pays ``amount`` of an invoice, or all that is open."""
        record = self._record("invoice", invoice)
        open_amount = Decimal(record.fields["open"])
        paid = Decimal(amount) if amount is not None else open_amount
        if record.fields["status"] == "void" or not 0 < paid <= open_amount:
            raise ActRefused(f"{invoice} is {record.fields['status']} with {open_amount} open")
        number = self._books().next_no("payment", "PAY{:06d}")
        day = _date(on) or self.now().date()
        left = open_amount - paid
        fields = {
            "invoice": invoice,
            "amount": str(paid),
            "currency": self.currency,
            "received_on": day.isoformat(),
            "open": str(left),
        }
        self.ledger.create("payment", number, fields, at=self.now())
        record.fields.update({"open": str(left), "status": "paid" if left == 0 else "released"})
        line: copybook.Record = {
            "EXT-REF": number,
            "INVOICE-NO": invoice,
            "PROJECT-NO": record.fields["project"],
            "RECEIVED-ON": f"{day:%Y%m%d}",
            "AMOUNT": paid,
            "OPEN-AMOUNT": left,
            "PAY-CURRENCY": self.currency,
        }
        self._tell("receivables", [("P", line)])
        return {"payment": number, "open": str(left)}

    def void_invoice(self, invoice: str, reason: str = "CANCELLED BY ACCOUNTING") -> dict[str, Any]:
        """Take an unpaid invoice back; its charges can be invoiced again."""
        record = self._record("invoice", invoice)
        if record.fields["status"] == "void" or record.fields["open"] != record.fields["total"]:
            raise ActRefused(f"{invoice} is {record.fields['status']} with {record.fields['open']} open")
        self.ledger.update(record, {"status": "void", "open": "0.00"}, at=self.now(), op="void")
        for number in record.fields["documents"]:
            self._record("charge", number).fields["invoice"] = None
        line: copybook.Record = {
            "EXT-REF": invoice,
            "PROJECT-NO": record.fields["project"],
            "VOIDED-ON": f"{self.now():%Y%m%d}",
            "AMOUNT": Decimal(record.fields["total"]),
            "VOID-CURRENCY": self.currency,
            "REASON": reason,
        }
        self._tell("receivables", [("V", line)])
        return {"invoice": invoice, "status": "void"}

    def close_period(self, period: str) -> dict[str, Any]:
        """Close an accounting period such as 2026-10: no charge is posted into it any more."""
        if period in self.memory["closed"]:
            raise ActRefused(f"{period} is closed already")
        self._change_period("C", period)
        self.memory["closed"][period] = True
        return {"period": period, "state": "closed"}

    def reopen_period(self, period: str) -> dict[str, Any]:
        """Open a closed period again."""
        if period not in self.memory["closed"]:
            raise ActRefused(f"{period} is not closed")
        self._change_period("R", period)
        del self.memory["closed"][period]
        return {"period": period, "state": "open"}

    def _tell(self, interface: str, lines: list[tuple[str, copybook.Record]]) -> None:
        """Tell something of the ERP's own accord: a file, or rows."""
        if self._by_tables:
            tables = self._tables()
            late_s = DELAY_S if self._planned.take("late_commit") else 0.0
            tables.tell(interface, lines, self.now(), late_s)
            if self._lock is None:
                self._write(tables)
            return
        files, numbers = self._files(), self.memory["numbers"]
        numbers[interface] = numbers.get(interface, 0) + 1
        name = files.answer(interface, numbers[interface], self.now(), lines)
        if self._planned.take("repeat_file"):
            files.repeat(name)
        self._carry_out(files, changed=True)

    def _invoice(self, project: str, charges: list[Record], day: date) -> str:
        number = self._books().next_no("invoice", "INV{:06d}")
        total = sum((Decimal(charge.fields["amount"]) for charge in charges), Decimal(0))
        due_on = day + TERMS
        customer = self._record("project", project).fields["customer"]
        fields = {
            "number": number,
            "customer": customer,
            "project": project,
            "issued_on": day.isoformat(),
            "due_on": due_on.isoformat(),
            "total": str(total),
            "open": str(total),
            "currency": self.currency,
            "charges": [charge.external_key for charge in charges],
            "documents": [charge.id for charge in charges],
            "status": "released",
        }
        self.ledger.create("invoice", number, fields, at=self.now())
        header: copybook.Record = {
            "EXT-REF": number,
            "CUSTOMER-NO": customer,
            "PROJECT-NO": project,
            "ISSUED-ON": f"{day:%Y%m%d}",
            "DUE-ON": f"{due_on:%Y%m%d}",
            "AMOUNT": total,
            "INV-CURRENCY": self.currency,
        }
        lines: list[tuple[str, copybook.Record]] = [("I", header)]
        for charge in charges:
            charge.fields["invoice"] = number
            line: copybook.Record = {
                "EXT-REF": charge.id,
                "INVOICE-NO": number,
                "CHARGE-REF": charge.external_key or "",
                "AMOUNT": Decimal(charge.fields["amount"]),
            }
            lines.append(("L", line))
        self._tell("receivables", lines)
        return number

    def _change_period(self, kind: str, period: str) -> None:
        try:
            first = date.fromisoformat(f"{period}-01")
        except ValueError as error:
            raise ActRefused(f"{period!r} is no period; write 2026-10") from error
        last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
        self.memory["changes"] += 1
        line: copybook.Record = {
            "EXT-REF": period,
            "STARTS-ON": f"{first:%Y%m%d}",
            "ENDS-ON": f"{last:%Y%m%d}",
            "LEDGER": "all",
            "CHANGE-NO": Decimal(self.memory["changes"]),
        }
        self._tell("periods", [(kind, line)])

    def _project(self, project: str) -> Record:
        number = self.memory["refs"].get("project", {}).get(project, project)
        return self._record("project", number)

    def _record(self, kind: str, number: str) -> Record:
        record = self.ledger.get(kind, number)
        if record is None:
            raise ActRefused(f"there is no {kind} {number}")
        return record

    def _carry_out(self, files: Files, changed: bool) -> None:
        """Keep the state, then do on disk what it says."""
        now_s = self.now().timestamp()
        if changed:
            self.save()
        if files.due(now_s):
            files.carry_out(now_s)
            self.save()

    def _write(self, tables: StagingTables) -> None:
        """Keep the state, then write the rows it speaks of."""
        self.save()
        if tables.due(now_s := self.now().timestamp()):
            tables.carry_out(now_s)
            self.save()

    @property
    def _by_tables(self) -> bool:
        return bool(self.memory["interface"] == "sql")

    def _tables(self) -> StagingTables:
        return StagingTables(self.drop_dir / STAGING, self.company, self.currency, self.memory)

    def _files(self) -> Files:
        return Files(self.drop_dir, self.company, self.currency, self._style, self.memory)

    @property
    def _planned(self) -> PlannedFaults:
        return PlannedFaults(self.memory)

    def _books(self) -> Books:
        return Books(self.ledger, self.memory, self.currency)


async def _no_http(request: Request) -> Response:
    return PlainTextResponse("this ERP exchanges files; see /_sim for its drop_dir\n", status_code=404)


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError as error:
        raise ActRefused(f"{text!r} is no date; write 2026-10-31") from error
