"""SuiteQL, run by an in-memory SQLite that mirrors the ledger in SuiteQL's tables.

What differs from SQLite is put in between: Oracle's functions, ``BUILTIN.DF``, dates that only show their
time through ``TO_CHAR``, ``T``/``F``, values as strings, null columns left out. The mirror is read-only
for queries and is never kept: the ledger is.
"""

import re
import sqlite3
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from isthmus.sdk.simulator import Record
from isthmus_netsuite.simulator.books import Books, Fields, hours_of, line_amount
from isthmus_netsuite.simulator.forms import name_of
from isthmus_netsuite.simulator.problems import Problem
from isthmus_netsuite.simulator.schema import (
    CUSTOM_BODY,
    CUSTOM_COLUMNS,
    CUSTOM_ENTITY,
    STATUS_LETTERS,
    TYPES,
    RecordType,
)

DATE = "\x01"
"""Marks a date among the mirror's texts: dates order and compare among themselves only, as in Oracle."""
ROWS_MAX = 100_000
TOKENS = {
    "YYYY": "%Y",
    "YY": "%y",
    "MM": "%m",
    "MON": "%b",
    "DD": "%d",
    "HH24": "%H",
    "HH12": "%I",
    "HH": "%I",
    "MI": "%M",
    "SS": "%S",
    "AM": "%p",
}
_TOKEN = re.compile("|".join(sorted(TOKENS, key=len, reverse=True)), re.IGNORECASE)
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}

TRANSACTION = [
    *("id", "tranid", "type", "abbrevtype", "recordtype", "externalid", "entity", "currency", "status"),
    *("approvalstatus", "voided", "posting", "postingperiod", "memo", "trandate", "duedate", "createddate"),
    *("lastmodifieddate", "foreigntotal", "foreignamountpaid", "foreignamountunpaid"),
    *("foreignpaymentamountused", "foreignpaymentamountunused", *CUSTOM_BODY),
]
TRANSACTION_LINE = [
    *("id", "transaction", "linesequencenumber", "mainline", "subsidiary", "entity", "item", "quantity"),
    *("rate", "foreignamount", "netamount", "memo", "department", "class", "location", *CUSTOM_COLUMNS),
]
LINK = [
    "previousdoc",
    "previousline",
    "previoustype",
    "nextdoc",
    "nextline",
    "nexttype",
    "linktype",
    "foreignamount",
]


class SuiteQL:
    """Answers queries over the records of `Books`."""

    def __init__(self, books: Books, now: Callable[[], datetime]) -> None:
        self._books = books
        self._now = now
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for name, arity, made in (
            ("TO_CHAR", -1, _to_char),
            ("TO_DATE", -1, _to_date),
            ("TO_TIMESTAMP", -1, _to_date),
            ("TO_NUMBER", 1, lambda text: None if text is None else float(text)),
            ("TRUNC", 1, _trunc),
            ("NVL", 2, lambda value, other: other if value is None else value),
            ("NVL2", 3, lambda value, present, absent: absent if value is None else present),
            ("DECODE", -1, _decode),
        ):
            self._db.create_function(name, arity, made, deterministic=True)
        self._db.create_function("BUILTIN_DF", 2, self._display)
        self._db.create_function("SYSDATE", 0, self._sysdate)
        for table, columns in self._tables().items():
            typed = ", ".join(f'"{name}" {_affinity(name)}' for name in columns)
            self._db.execute(f'CREATE TABLE "{table}" ({typed})')
            key = "transaction" if table == "transactionline" else "id"
            if key in columns:
                self._db.execute(f'CREATE INDEX "{table}_{key}" ON "{table}" ("{key}")')
        self._db.execute('CREATE INDEX modified ON "transaction" (lastmodifieddate, id)')
        for table in ("previoustransactionlinelink", "nexttransactionlinelink"):
            self._db.execute(f'CREATE INDEX "{table}_next" ON "{table}" (nextdoc)')
        self._db.execute("CREATE TABLE dual AS SELECT 'X' AS dummy")
        names = [*CUSTOM_COLUMNS, *CUSTOM_BODY, *CUSTOM_ENTITY]
        self._insert("customfield", [{"id": n, "scriptid": name.upper()} for n, name in enumerate(names, 1)])

    def run(self, q: str, limit: int, offset: int, *, lag_s: float = 0.0) -> tuple[list[dict[str, str]], int]:
        """One page of a query and how many rows there are in all.

        Args:
            lag_s: Changes younger than this do not show yet.

        Raises:
            Problem: the query is not understood.
        """
        self._sync(lag_s)
        self._db.set_authorizer(_read_only)
        try:
            asked = _rewritten(q)
            cursor = self._db.execute(f"SELECT * FROM ({asked}) LIMIT {limit} OFFSET {offset}")  # noqa: S608
            names = [column[0].lower() for column in cursor.description or []]
            rows = cursor.fetchall()
            (total,) = self._db.execute(f"SELECT COUNT(*) FROM ({asked})").fetchone()  # noqa: S608
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise Problem(
                400,
                "INVALID_PARAMETER",
                f"Invalid search query. Search error occurred: {error}.",
                errorQueryParam="q",
            ) from error
        finally:
            self._db.set_authorizer(None)
        if not names:
            raise Problem(400, "INVALID_PARAMETER", "Invalid search query: only SELECT is allowed.")
        page = [
            {name: _shown(value) for name, value in zip(names, row, strict=True) if value is not None}
            for row in rows
        ]
        return page, min(total, ROWS_MAX)

    # The mirror

    def _tables(self) -> dict[str, list[str]]:
        tables = {
            type.table: ["id", "externalid", *_columns(type)]
            for type in TYPES.values()
            if type.transaction is None
        }
        tables["item"] = tables.pop("servicesaleitem")
        return {
            **tables,
            "transaction": TRANSACTION,
            "transactionline": TRANSACTION_LINE,
            "previoustransactionlinelink": LINK,
            "nexttransactionlinelink": LINK,
            "customfield": ["id", "scriptid"],
        }

    def _sync(self, lag_s: float) -> None:
        """Bring the mirror up to date with the records changed since the last query."""
        changed, self._books.changed = self._books.changed, {}
        for (kind, id), record in changed.items():
            if record is not None and lag_s and self._age_s(record) < lag_s:
                self._books.changed[kind, id] = record
                continue
            type = TYPES[kind]
            if type.transaction is None:
                table = "item" if kind == "serviceSaleItem" else type.table
                self._db.execute(f'DELETE FROM "{table}" WHERE id = ?', (int(id),))  # noqa: S608
                if record is not None:
                    self._insert(table, [self._row(type, record)])
                continue
            self._db.execute('DELETE FROM "transaction" WHERE id = ?', (int(id),))
            self._db.execute('DELETE FROM transactionline WHERE "transaction" = ?', (int(id),))
            for table in ("previoustransactionlinelink", "nexttransactionlinelink"):
                self._db.execute(f"DELETE FROM {table} WHERE nextdoc = ?", (int(id),))  # noqa: S608
            if record is not None:
                self._insert("transaction", [self._transaction(type, record)])
                self._insert("transactionline", self._lines(type, record))
                links = _links(type, record)
                self._insert("previoustransactionlinelink", links)
                self._insert("nexttransactionlinelink", links)

    def _insert(self, table: str, rows: list[Fields]) -> None:
        for row in rows:
            names = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join("?" * len(row))
            self._db.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(row.values()))  # noqa: S608

    def _row(self, type: RecordType, record: Record) -> Fields:
        row: Fields = {"id": int(record.id), "externalid": record.external_key}
        for name, kind in {**type.fields, **type.read_only}.items():
            row[name.lower()] = _cell(kind, record.fields.get(name))
        return {**row, **self._stamps(record)}

    def _transaction(self, type: RecordType, record: Record) -> Fields:
        f = record.fields
        sign = -1 if type.name == "creditMemo" else 1
        total = Decimal(f.get("total", f.get("payment", "0")))
        row: Fields = {
            "id": int(record.id),
            "tranid": f.get("tranId"),
            "type": type.transaction,
            "abbrevtype": {"CustInvc": "INV", "CustCred": "CREDMEM", "CustPymt": "PMT"}[
                type.transaction or ""
            ],
            "recordtype": type.table,
            "externalid": record.external_key,
            "entity": _cell("ref:", f.get("entity") or f.get("customer")),
            "currency": _cell("ref:", f.get("currency")),
            "status": STATUS_LETTERS.get(f["status"]["id"], "A"),
            "approvalstatus": _cell("ref:", f.get("approvalStatus")),
            "voided": _cell("bool", f.get("voided", False)),
            "posting": _cell("bool", f["status"]["id"] not in ("Pending Approval", "Rejected")),
            "postingperiod": _cell("ref:", f.get("postingPeriod")),
            "memo": f.get("memo"),
            "trandate": _cell("date", f.get("tranDate")),
            "duedate": _cell("date", f.get("dueDate")),
            "foreigntotal": float(sign * total),
            **{name: f.get(name) for name in CUSTOM_BODY},
            **self._stamps(record),
        }
        if type.name == "invoice":
            row["foreignamountpaid"] = float(f["amountPaid"])
            row["foreignamountunpaid"] = float(f["amountRemaining"])
        else:
            row["foreignpaymentamountused"] = float(f["applied"])
            row["foreignpaymentamountunused"] = float(f["unapplied"])
        return row

    def _lines(self, type: RecordType, record: Record) -> list[Fields]:
        f = record.fields
        common = {
            "transaction": int(record.id),
            "subsidiary": _cell("ref:", f.get("subsidiary")),
            "entity": _cell("ref:", f.get("entity") or f.get("customer")),
        }
        total = Decimal(f.get("total", f.get("payment", "0")))
        sign = 1 if type.name == "invoice" else -1
        rows: list[Fields] = [
            {
                **common,
                "id": 0,
                "linesequencenumber": 0,
                "mainline": "T",
                "foreignamount": float(sign * total),
            }
        ]
        for n, line in enumerate((f.get("item") or {}).get("items", []), 1):
            amount = float(-sign * line_amount(line))
            rows.append(
                {
                    **common,
                    "id": n,
                    "linesequencenumber": n,
                    "mainline": "F",
                    "item": _cell("ref:", line.get("item")),
                    "quantity": _cell("decimal", line.get("quantity")),
                    "rate": _cell("decimal", line.get("rate")),
                    "foreignamount": amount,
                    "netamount": amount,
                    "memo": line.get("description"),
                    **{name: _cell("ref:", line.get(name)) for name in ("department", "class", "location")},
                    **{name: line.get(name) for name in CUSTOM_COLUMNS},
                }
            )
        return rows

    def _age_s(self, record: Record) -> float:
        saved = datetime.fromisoformat(record.fields["lastModifiedDate"])
        return (self._now() - saved).total_seconds()

    def _stamps(self, record: Record) -> Fields:
        return {
            column: None if name not in record.fields else _local(record.fields[name], self._books.zone)
            for column, name in (("createddate", "createdDate"), ("lastmodifieddate", "lastModifiedDate"))
            if record.kind != "accountingPeriod" and (column == "createddate" or record.kind != "charge")
        }

    def _display(self, column: str, value: Any) -> Any:
        """``BUILTIN.DF``: the name behind an id."""
        if value is None:
            return None
        name = column.rsplit(".", 1)[-1].lower()
        if name == "status":
            words = {letter: word for word, letter in STATUS_LETTERS.items()}
            return f"Invoice : {words.get(str(value), value)}"
        kinds = {
            "entity": "job customer",
            "customer": "job customer",
            "parent": "customer",
            "item": "serviceSaleItem",
        }
        kinds |= {"class": "classification", "postingperiod": "accountingPeriod"}
        for kind in kinds.get(name, name).split():
            record = self._books.ledger.get(kind, str(value))
            if record is not None:
                return name_of(record)
        return value

    def _sysdate(self) -> str:
        return DATE + self._now().astimezone(self._books.zone).strftime("%Y-%m-%d %H:%M:%S")


def _columns(type: RecordType) -> list[str]:
    stamps = [] if type.name == "accountingPeriod" else ["createddate"]
    if type.name not in ("accountingPeriod", "charge"):
        stamps.append("lastmodifieddate")
    return [*(name.lower() for name in (*type.fields, *type.read_only)), *stamps]


def _affinity(column: str) -> str:
    whole = ("id", "entity", "currency", "transaction", "previousdoc", "nextdoc", "subsidiary", "parent")
    return "INTEGER" if column in whole else ""


def _links(type: RecordType, record: Record) -> list[Fields]:
    return [
        {
            "previousdoc": int(line["doc"]["id"]),
            "previousline": 0,
            "previoustype": "CustInvc",
            "nextdoc": int(record.id),
            "nextline": 0,
            "nexttype": type.transaction,
            "linktype": "Payment",
            "foreignamount": float(line.get("amount", "0")),
        }
        for line in (record.fields.get("apply") or {}).get("items", [])
        if line.get("apply") and line.get("doc")
    ]


def _cell(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "bool":
        return "T" if value else "F"
    if kind == "date":
        return f"{DATE}{value} 00:00:00"
    if kind == "decimal":
        return float(value)
    if kind == "duration":
        return float(hours_of(value))
    if kind == "enum" or kind.startswith("ref:"):
        id = value["id"]
        return int(id) if id.lstrip("-").isdigit() else id
    return value


def _local(stamp: str, zone: ZoneInfo) -> str:
    return DATE + datetime.fromisoformat(stamp).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def _shown(value: Any) -> str:
    """A result value: everything is a string, and a date that was not formatted loses its time."""
    if isinstance(value, str):
        if value.startswith(DATE):
            day = datetime.strptime(value[1:11], "%Y-%m-%d")  # noqa: DTZ007  a day
            return f"{day.month}/{day.day}/{day.year}"
        return value
    if isinstance(value, float):
        text = f"{round(value, 8):.8f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return str(value)


def _rewritten(q: str) -> str:
    """Oracle's spelling in SQLite's; string literals are left alone."""
    pieces = re.split(r"('(?:[^']|'')*')", q.strip().rstrip(";"))
    for n in range(0, len(pieces), 2):
        text = pieces[n]
        text = re.sub(r"\bBUILTIN\.DF\(\s*([\w.]+)\s*\)", r"BUILTIN_DF('\1', \1)", text, flags=re.IGNORECASE)
        text = re.sub(r"\b(SYSDATE|CURRENT_DATE)\b(?!\s*\()", "SYSDATE()", text, flags=re.IGNORECASE)
        text = re.sub(
            r"\bFETCH\s+(?:FIRST|NEXT)\s+(\d+)\s+ROWS?\s+ONLY\b", r"LIMIT \1", text, flags=re.IGNORECASE
        )
        text = re.sub(r"(?<![\w.\"])transaction(?![\w\"])", '"transaction"', text, flags=re.IGNORECASE)
        pieces[n] = re.sub(r"\.transaction\b", '."transaction"', text, flags=re.IGNORECASE)
    whole = "".join(pieces)
    if top := re.match(r"\s*SELECT\s+TOP\s+(\d+)\s+", whole, re.IGNORECASE):
        whole = f"SELECT {whole[top.end() :]} LIMIT {top[1]}"
    return whole


def _read_only(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


@lru_cache(maxsize=10_000)
def _to_char(value: Any, form: str | None = None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.startswith(DATE):
        return _shown(value)
    moment = datetime.strptime(value[1:], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007  the account's wall clock
    return moment.strftime(_pattern(form or "MM/DD/YYYY"))


@lru_cache(maxsize=10_000)
def _to_date(text: Any, form: str = "YYYY-MM-DD") -> str | None:
    if text is None:
        return None
    moment = datetime.strptime(text, _pattern(form))  # noqa: DTZ007  the account's wall clock
    return DATE + moment.strftime("%Y-%m-%d %H:%M:%S")


@lru_cache(maxsize=10_000)
def _pattern(form: str) -> str:
    return _TOKEN.sub(lambda token: TOKENS[token[0].upper()], form.replace("%", "%%"))


def _trunc(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(DATE):
        return f"{value[:11]} 00:00:00"
    return None if value is None else int(value)


def _decode(value: Any, *pairs: Any) -> Any:
    for n in range(0, len(pairs) - 1, 2):
        if value == pairs[n]:
            return pairs[n + 1]
    return pairs[-1] if len(pairs) % 2 else None
