"""The ERP's side of the staging tables: a posting job over ``isth_batch``, and what it tells by rows.

As with files, what is to be written is queued in the simulator's memory first and carried out after that
was saved. It knows the tables only by their DDL.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

from isthmus_legacy_erp.simulator.copybook import Record
from isthmus_legacy_erp.simulator.job import DELAY_S, INTERFACES, PlannedFaults
from isthmus_legacy_erp.simulator.posting import Books, LineRefused

LOCK_S = 0.5
ITEMS = {
    "EXT-REF": "ext_ref",
    "REVISION": "revision",
    "CUST-NAME": "name",
    "CUST-CURRENCY": "currency",
    "TAX-ID": "tax_id",
    "CUST-ADDRESS": "address",
    "CUST-STATUS": "record_status",
    "PROJ-NAME": "name",
    "CUSTOMER-NO": "customer_no",
    "CONTRACT-REF": "contract_ref",
    "MANAGER": "manager",
    "STARTS-ON": "starts_on",
    "STAGE": "stage",
    "BILLING": "billing",
    "PROJ-CURRENCY": "currency",
    "BUDGET": "budget",
    "REVERSES-REF": "reverses_ref",
    "PROJECT-NO": "project_no",
    "CONTRACT-LINE": "contract_line",
    "ORIGIN": "origin",
    "SERVICE": "service",
    "QUANTITY": "quantity",
    "UNIT-PRICE": "unit_price",
    "AMOUNT": "amount",
    "CHG-CURRENCY": "currency",
    "EARNED-ON": "earned_on",
    "POSTING-ON": "posting_on",
    "DIMENSIONS": "dimensions",
    "LINE-TEXT": "line_text",
}
NUMBERS = ("REVISION", "BUDGET", "QUANTITY", "UNIT-PRICE", "AMOUNT")
KINDS = {"I": "invoice", "L": "charge", "P": "payment", "V": "void"}
TOLD = {
    "EXT-REF": "ref",
    "INVOICE-NO": "invoice_no",
    "CUSTOMER-NO": "customer_no",
    "PROJECT-NO": "project_no",
    "CHARGE-REF": "charge_ref",
    "ISSUED-ON": "issued_on",
    "RECEIVED-ON": "issued_on",
    "VOIDED-ON": "issued_on",
    "DUE-ON": "due_on",
    "AMOUNT": "amount",
    "OPEN-AMOUNT": "open_amount",
    "REASON": "reason",
}


class StagingTables:
    """The tables of one company in a SQLite file."""

    def __init__(self, path: Path, company: str, currency: str, memory: dict[str, Any]) -> None:
        self._path = path
        self._company = company
        self._currency = currency
        self._memory = memory
        if not path.exists():
            ddl = resources.files("isthmus_legacy_erp.staging") / "ddl" / "sqlite.sql"
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path)) as connection:
                connection.executescript(ddl.read_text("utf-8"))

    def tell(self, interface: str, lines: list[tuple[str, Record]], at: datetime, late_s: float) -> None:
        """Queue rows. Their identities are given out now, whenever they are committed.

        Args:
            late_s: seconds after ``at`` at which they are committed.
        """
        due_s = at.timestamp() + late_s if late_s else 0.0
        for kind, line in lines:
            if interface == "periods":
                self._memory["rows"].append([due_s, "isth_period", self._period(kind, line, at)])
                continue
            row: dict[str, Any] = {
                "id": self._next_identity(),
                "company": self._company,
                "kind": KINDS[kind],
                "currency": self._currency,
                "created_at": _stamp(at),
                "line_count": sum(each == "L" for each, _ in lines) if kind == "I" else None,
            }
            row |= {column: _cell(column, line[item]) for item, column in TOLD.items() if item in line}
            self._memory["rows"].append([due_s, "isth_out", row])

    def due(self, now_s: float) -> bool:
        return any(due_s <= now_s for due_s, _, _ in self._memory["rows"]) or bool(self._memory["answers"])

    def carry_out(self, now_s: float) -> None:
        """Write what is queued and due, in one transaction.

        Raises:
            sqlite3.OperationalError: somebody holds a lock; call again.
        """
        due = [job for job in self._memory["rows"] if job[0] <= now_s]
        with self._transaction() as connection:
            for _, table, row in due:
                columns, marks = ", ".join(row), ", ".join(f":{column}" for column in row)
                # Names are keys of the tables above; values are bound.
                connection.execute(f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})", row)  # noqa: S608
            for batch_id, answer in self._memory["answers"].items():
                _answer(connection, batch_id, answer)
        self._memory["rows"] = [job for job in self._memory["rows"] if job not in due]
        self._memory["answers"] = {}

    def next_batch(self, interface: str, last: int) -> dict[str, Any] | None:
        """The batch whose turn it is, claimed; None while there is none."""
        with self._transaction("BEGIN") as connection:
            found = connection.execute(
                "SELECT * FROM isth_batch WHERE iface = ? AND company = ? AND seq = ?"
                " AND status IN ('READY', 'CLAIMED')",
                (interface, self._company, last + 1),
            ).fetchone()
        if found is not None and found["status"] == "READY":
            with self._transaction() as connection:
                connection.execute(
                    "UPDATE isth_batch SET status = 'CLAIMED', claimed_at = ? WHERE batch_id = ?",
                    (_stamp(datetime.now(UTC)), found["batch_id"]),
                )
        return None if found is None else dict(found)

    def lines(self, batch_id: str) -> list[dict[str, Any]]:
        with self._transaction("BEGIN") as connection:
            rows = connection.execute(
                "SELECT * FROM isth_line WHERE batch_id = ? ORDER BY line_no", (batch_id,)
            ).fetchall()
        return [dict(row) for row in rows]

    def alter(self, batch_id: str, by: str) -> None:
        """Somebody changes the amount of a line that was posted."""
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT amount FROM isth_line WHERE batch_id = ? AND line_no = 1", (batch_id,)
            ).fetchone()
            connection.execute(
                "UPDATE isth_line SET amount = ? WHERE batch_id = ? AND line_no = 1",
                (str(Decimal(row["amount"]) + Decimal(by)), batch_id),
            )

    def lock(self) -> sqlite3.Connection:
        """A connection that holds the lock of a writer until it is closed."""
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        return connection

    def _next_identity(self) -> int:
        ids: dict[str, int] = self._memory["ids"]
        ids["isth_out"] = ids.get("isth_out", 0) + 1
        return ids["isth_out"]

    def _period(self, kind: str, line: Record, at: datetime) -> dict[str, Any]:
        return {
            "company": self._company,
            "period": line["EXT-REF"],
            "ledger": line["LEDGER"],
            "starts_on": _cell("starts_on", line["STARTS-ON"]),
            "ends_on": _cell("ends_on", line["ENDS-ON"]),
            "status": "CLOSED" if kind == "C" else "OPEN",
            "change_no": int(line["CHANGE-NO"]),
            "changed_at": _stamp(at),
        }

    @contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=LOCK_S, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute(begin)
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


class StagingJob:
    """One run of the posting job; ``result`` counts what it did."""

    def __init__(
        self,
        tables: StagingTables,
        books: Books,
        memory: dict[str, Any],
        faults: PlannedFaults,
        now: Callable[[], datetime],
    ) -> None:
        self._tables = tables
        self._books = books
        self._memory = memory
        self._faults = faults
        self._now = now
        self.result = {"batches": 0, "posted": 0, "refused": 0}

    def run(self, finished: Callable[[], None]) -> None:
        """Take the batches whose turn it is; ``finished`` keeps the books and writes each answer."""
        for batch_id, by in list(self._memory["altered"].items()):
            self._tables.alter(batch_id, by)
            del self._memory["altered"][batch_id]
        for interface in INTERFACES:
            last = self._memory["staged"]
            while (batch := self._tables.next_batch(interface, last.get(interface, 0))) is not None:
                if self._faults.take("stop_after_claim") or not self._ripe(batch["batch_id"]):
                    break
                self._memory["answers"][batch["batch_id"]] = self._post(interface, batch)
                last[interface] = batch["seq"]
                finished()
                if self._faults.take("wrong_total"):
                    self._tables.alter(batch["batch_id"], "1.00")
                    self._memory["altered"][batch["batch_id"]] = "-1.00"

    def _ripe(self, batch_id: str) -> bool:
        """Whether the answer is not to be delayed, or was long enough."""
        waits: dict[str, float] = self._memory["delayed"]
        if batch_id not in waits and self._faults.take("delay"):
            waits[batch_id] = self._now().timestamp() + DELAY_S
        return waits.get(batch_id, 0.0) <= self._now().timestamp()

    def _post(self, interface: str, batch: dict[str, Any]) -> dict[str, Any]:
        """What the batch and each of its lines will say."""
        if self._faults.take("refuse_batch"):
            return self._error("BATCH REFUSED BY OPERATOR")
        rows = self._tables.lines(batch["batch_id"])
        for total, found in self._totals(rows).items():
            if Decimal(batch[total]) != found:
                return self._error(f"{total.upper()} IS {found} BATCH SAYS {batch[total]}")
        if [row["line_no"] for row in rows] != list(range(1, len(rows) + 1)):
            return self._error("LINES NOT NUMBERED FROM 1")
        self.result["batches"] += 1
        lines = [self._line(interface, row) for row in rows]
        return {"status": "POSTED", "at": _stamp(self._now()), "text": None, "lines": lines}

    def _line(self, interface: str, row: dict[str, Any]) -> list[Any]:
        """Status, code, text, document number, day and amount of one line, and its number."""
        now = self._now()
        try:
            number, remark = self._posted(interface, row, now)
        except LineRefused as error:
            self.result["refused"] += 1
            return ["REJECTED", error.code, error.words, None, None, None, row["line_no"]]
        self.result["posted"] += 1
        day = now.date().isoformat()
        return ["POSTED", None, remark or None, number, day, row["amount"], row["line_no"]]

    def _posted(self, interface: str, row: dict[str, Any], now: datetime) -> tuple[str, str]:
        if code := self._faults.take("reject_line"):
            raise LineRefused(code, "LINE REFUSED BY OPERATOR")
        return self._books.post(interface, _record(row), now)

    def _error(self, text: str) -> dict[str, Any]:
        return {"status": "ERROR", "at": _stamp(self._now()), "text": text, "lines": []}

    def _totals(self, rows: list[dict[str, Any]]) -> dict[str, Decimal]:
        weighted = 0
        for row in rows:
            for place, byte in enumerate(row["ext_ref"].encode()):
                weighted += (place + 1) * byte
        return {
            "rec_count": Decimal(len(rows)),
            "tot_hours": sum((Decimal(row["quantity"] or 0) for row in rows), Decimal(0)),
            "tot_amount": sum((Decimal(row["amount"] or 0) for row in rows), Decimal(0)),
            "hash_total": Decimal(weighted % 10**15),
        }


def _answer(connection: sqlite3.Connection, batch_id: str, answer: dict[str, Any]) -> None:
    connection.executemany(
        "UPDATE isth_line SET status = ?, err_code = ?, err_text = ?, erp_doc_no = ?, posted_on = ?,"
        " posted_amount = ?, processed_at = ? WHERE line_no = ? AND batch_id = ?",
        [[*line[:-1], answer["at"], line[-1], batch_id] for line in answer["lines"]],
    )
    connection.execute(
        "UPDATE isth_batch SET status = ?, done_at = ?, err_text = ? WHERE batch_id = ?",
        (answer["status"], answer["at"], answer["text"], batch_id),
    )


def _record(row: dict[str, Any]) -> Record:
    """A row under the names the books know."""
    record: Record = {}
    for item, column in ITEMS.items():
        value = row[column]
        if item in NUMBERS:
            record[item] = Decimal(value or 0)
        else:
            record[item] = (
                "" if value is None else str(value).replace("-", "") if item.endswith("-ON") else value
            )
    return record


def _cell(column: str, value: str | Decimal) -> str | None:
    """A value as the tables hold it: days with hyphens, amounts as text, nothing as NULL."""
    text = str(value)
    if column.endswith("_on"):
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text or None


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
