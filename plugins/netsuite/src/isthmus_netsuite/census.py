"""Reads back what the books hold, by the day of the document instead of the stamp of a change.

The poll tells what changed; what was deleted, or taken off an invoice again, tells nothing. It is missed
here.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import date
from decimal import Decimal

from isthmus.events import parse_decimal
from isthmus.sdk import Census, CensusRow, Context
from isthmus_netsuite.client import Client, Row
from isthmus_netsuite.directory import Directory
from isthmus_netsuite.records import TRANSACTIONS
from isthmus_netsuite.translate import APPROVED

APPLIED = {"credit": "CustCred", "payment": "CustPymt"}
WORK = {"timeBill": "trandate", "charge": "chargedate"}
"""Our records of work, and the column that dates them."""
OURS = "custcol_isth_charge AS charge, custcol_isth_amount AS amount, custcol_isth_currency AS currency"


class Books(Census):
    """Invoices; credits and payments, one row per invoice they settle; our charges."""

    kinds = frozenset({"invoice", "credit", "payment", "charge"})

    def __init__(self, client: Client, directory: Directory, ctx: Context) -> None:
        self._client = client
        self._directory = directory
        self._ctx = ctx

    async def rows(self, kind: str, since: date, until: date) -> AsyncIterator[CensusRow]:
        match kind:
            case "invoice":
                rows = self._invoices(since, until)
            case "charge":
                rows = self._charges(since, until)
            case _:
                rows = self._applied(kind, since, until)
        async for row in rows:
            yield row

    async def _invoices(self, since: date, until: date) -> AsyncIterator[CensusRow]:
        symbols = await self._directory.symbols()
        async for row in self._client.walk(
            "id, status, approvalstatus, voided, currency, foreigntotal AS amount",
            "transaction",
            where=f"type = 'CustInvc' AND {_dated('trandate', since, until)}",
            keys={"id": "id"},
        ):
            yield _told(self._ctx.key(row["id"]), row["id"], _standing(row), row, symbols)

    async def _applied(self, kind: str, since: date, until: date) -> AsyncIterator[CensusRow]:
        symbols = await self._directory.symbols()
        async for row in self._client.walk(
            "l.nextdoc, l.previousdoc, p.currency, SUM(l.foreignamount) AS amount",
            "previoustransactionlinelink l INNER JOIN transaction p ON p.id = l.nextdoc",
            where=f"p.type = '{APPLIED[kind]}' AND l.linktype = 'Payment' AND "
            + _dated("p.trandate", since, until),
            keys={"nextdoc": "l.nextdoc", "previousdoc": "l.previousdoc"},
            group="l.nextdoc, l.previousdoc, p.currency",
        ):
            remote_id = f"{row['nextdoc']}/{row['previousdoc']}"
            yield _told(self._ctx.key(remote_id), remote_id, "applied", row, symbols)

    async def _charges(self, since: date, until: date) -> AsyncIterator[CensusRow]:
        for type, column in WORK.items():
            hours = ", hours" if type == "timeBill" else ""
            async for row in self._client.walk(
                f"id, {OURS}{hours}",
                type.lower(),
                where=f"custcol_isth_charge IS NOT NULL AND {_dated(column, since, until)}",
                keys={"id": "id"},
            ):
                yield _told(row["charge"], f"{type}/{row['id']}", "posted", row)
        for type, transaction in TRANSACTIONS.items():
            async for row in self._client.walk(
                "t.id, l.id AS line, l.custcol_isth_charge AS charge, l.custcol_isth_amount AS amount, "
                "l.custcol_isth_currency AS currency",
                "transaction t INNER JOIN transactionline l ON l.transaction = t.id",
                where=f"t.type = '{transaction}' AND t.custbody_isth_charge IS NOT NULL "
                f"AND l.custcol_isth_charge IS NOT NULL AND {_dated('t.trandate', since, until)}",
                keys={"id": "t.id", "line": "l.id"},
            ):
                yield _told(row["charge"], f"{type}/{row['id']}", "posted", row)


def _dated(column: str, since: date, until: date) -> str:
    first, last = (f"TO_DATE('{day}', 'YYYY-MM-DD')" for day in (since, until))
    return f"{column} >= {first} AND {column} <= {last}"


def _standing(row: Row) -> str:
    """Where an invoice stands, in one word."""
    if row.get("voided") == "T" or row["status"] == "V":
        return "voided"
    if row["status"] in ("D", "E") or row.get("approvalstatus", APPROVED) != APPROVED:
        return "rejected" if row["status"] == "E" else "pending"
    return "paid" if row["status"] == "B" else "open"


def _told(
    key: str, remote_id: str, status: str, row: Row, symbols: Mapping[str, str] | None = None
) -> CensusRow:
    """One row with its amount, without a sign where the document gives it one; one that nobody can read is
    counted as what it is. Currencies are internal ids where ``symbols`` are given."""
    try:
        amount = parse_decimal(row["amount"])
        currency = row["currency"] if symbols is None else symbols[row["currency"]]
        quantity = Decimal(row["hours"]) if "hours" in row else None
    except (KeyError, ArithmeticError, ValueError):
        return CensusRow(key=key, remote_id=remote_id, status="unreadable")
    return CensusRow(
        key=key,
        remote_id=remote_id,
        status=status,
        amount=amount if symbols is None else abs(amount),
        currency=currency,
        quantity=quantity,
    )
