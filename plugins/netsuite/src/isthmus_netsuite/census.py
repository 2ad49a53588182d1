"""Reads back what the books hold, by the day of the document instead of the stamp of a change.

The poll tells what changed; what was deleted, or taken off an invoice again, tells nothing. It is missed
here.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from isthmus.events import parse_decimal, round_money
from isthmus.sdk import Census, CensusRow, Context
from isthmus_netsuite.client import Client, Row
from isthmus_netsuite.directory import Directory, listed
from isthmus_netsuite.settings import NetSuiteSettings
from isthmus_netsuite.stamps import ORACLE_STAMP, STAMP
from isthmus_netsuite.translate import APPROVED, number

APPLIED = {"credit": "CustCred", "payment": "CustPymt"}
HUNDREDTH = Decimal("0.01")
CHANGED = f"TO_CHAR(lastmodifieddate, '{ORACLE_STAMP}') AS modified"
KEY = "custcol_isth_charge AS ours, custcol_isth_currency AS symbol"
TIME = (
    f"id, customer AS job, hours, rate, subsidiary, invoice, {KEY}, "
    f"TO_CHAR(trandate, 'YYYY-MM-DD') AS day, {CHANGED}"
)
CHARGE = (
    "id, billto AS job, amount, subsidiary, invoice, currency, "
    f"{KEY}, TO_CHAR(chargedate, 'YYYY-MM-DD') AS day"
)
DOCUMENT = (
    "id, type, currency, voided, foreigntotal AS total, custbody_isth_charge AS ours, "
    f"TO_CHAR(trandate, 'YYYY-MM-DD') AS day, {CHANGED}"
)
DOCUMENTS = {"CustInvc": "invoice", "CustCred": "creditMemo"}


class Books(Census):
    """Invoices; credits and payments, one row per invoice they settle; our charges."""

    kinds = frozenset({"invoice", "credit", "payment", "charge"})

    def __init__(
        self, client: Client, directory: Directory, settings: NetSuiteSettings, ctx: Context
    ) -> None:
        self._client = client
        self._directory = directory
        self._settings = settings
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
            "id, status, approvalstatus, voided, currency, foreigntotal AS amount, "
            f"foreignamountpaid AS paid, TO_CHAR(trandate, 'YYYY-MM-DD') AS day, {CHANGED}",
            "transaction",
            where=f"type = 'CustInvc' AND {_dated('trandate', since, until)}",
            keys={"id": "id"},
        ):
            key = await self._directory.key("invoice", row["id"])
            found = _told(key, row["id"], _standing(row), row, symbols)
            on = date.fromisoformat(row["day"])
            yield msgspec.structs.replace(found, on=on, changed_at=self._changed(row))

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
        """With what NetSuite makes of them; the amount isthmus wrote beside them would hide an edit."""
        dated = _dated("trandate", since, until)
        async for row in self._client.walk(TIME, "timebill", where=dated, keys={"id": "id"}):
            if (found := await self._time(row)) is not None:
                yield found
        dated = _dated("chargedate", since, until)
        async for row in self._client.walk(CHARGE, "charge", where=dated, keys={"id": "id"}):
            if (found := await self._charge(row)) is not None:
                yield found
        ours = "type IN ('CustInvc', 'CustCred') AND custbody_isth_charge IS NOT NULL"
        async for row in self._client.walk(
            DOCUMENT, "transaction", where=f"{ours} AND {_dated('trandate', since, until)}", keys={"id": "id"}
        ):
            yield await self._document(row)

    async def _time(self, row: Row) -> CensusRow | None:
        currency = await self._currency(row)
        if currency is None:
            return None
        hours, rate = number(row.get("hours")), number(row.get("rate"))
        amount = None if hours is None or rate is None else round_money(_minutes(hours) / 60 * rate, currency)
        return CensusRow(
            key=row.get("ours", ""),
            remote_id=f"timeBill/{row['id']}",
            status="unreadable" if amount is None else "billed" if "invoice" in row else "posted",
            amount=amount,
            currency=currency,
            quantity=None if hours is None else (_minutes(hours) / 60).quantize(HUNDREDTH),
            on=date.fromisoformat(row["day"]),
            entity=self._settings.entity_of(row.get("subsidiary")),
            changed_at=self._changed(row),
        )

    async def _charge(self, row: Row) -> CensusRow | None:
        currency = await self._currency(row)
        if currency is None:
            return None
        amount = _money(row.get("amount"), currency)
        return CensusRow(
            key=row.get("ours", ""),
            remote_id=f"charge/{row['id']}",
            status="unreadable" if amount is None else "billed" if "invoice" in row else "posted",
            amount=amount,
            currency=currency,
            on=date.fromisoformat(row["day"]),
            entity=self._settings.entity_of(row.get("subsidiary")),
        )

    async def _document(self, row: Row) -> CensusRow:
        currency = await self._symbol(row["currency"])
        return CensusRow(
            key=row["ours"],
            remote_id=f"{DOCUMENTS[row['type']]}/{row['id']}",
            status="voided" if row.get("voided") == "T" else "posted",
            amount=_money(row.get("total"), currency),
            currency=currency,
            on=date.fromisoformat(row["day"]),
            changed_at=self._changed(row),
        )

    async def _currency(self, row: Row) -> str | None:
        """The currency of work; None where it bears no key and is on no project of ours."""
        if "symbol" in row:
            return row["symbol"]
        job = row.get("job", "")
        project = await self._ctx.crosswalk.key_of("project", job)
        if project is None and "ours" not in row:
            return None
        if "currency" in row:
            return await self._symbol(row["currency"])
        rows = await self._client.query(
            f"SELECT id, currency FROM job WHERE id IN ({listed([job])}) ORDER BY id"  # noqa: S608
        )
        return await self._symbol(rows[0]["currency"]) if rows and "currency" in rows[0] else None

    async def _symbol(self, id: str) -> str:
        return (await self._directory.symbols([id])).get(id, id)

    def _changed(self, row: Row) -> datetime | None:
        """When it was saved; in the hour told twice, the later telling."""
        stamp = row.get("modified")
        if stamp is None:
            return None
        wall = datetime.strptime(stamp, STAMP).replace(tzinfo=self._settings.zone, fold=1)
        return wall.astimezone(UTC)


def _dated(column: str, since: date, until: date) -> str:
    first, last = (f"TO_DATE('{day}', 'YYYY-MM-DD')" for day in (since, until))
    return f"{column} >= {first} AND {column} <= {last}"


def _standing(row: Row) -> str:
    """Where an invoice stands, in one word."""
    if row.get("voided") == "T" or row["status"] == "V":
        return "voided"
    if row["status"] in ("D", "E") or row.get("approvalstatus", APPROVED) != APPROVED:
        return "rejected" if row["status"] == "E" else "pending"
    if row["status"] == "B":
        return "paid"
    return "partly_paid" if number(row.get("paid")) else "released"


def _told(key: str, remote_id: str, status: str, row: Row, symbols: Mapping[str, str]) -> CensusRow:
    """One row with its amount, without the sign its document gives it; one that nobody can read is counted as
    what it is."""
    try:
        amount = parse_decimal(row["amount"])
        currency = symbols[row["currency"]]
    except (KeyError, ValueError):
        return CensusRow(key=key, remote_id=remote_id, status="unreadable")
    return CensusRow(
        key=key,
        remote_id=remote_id,
        status=status,
        amount=abs(amount),
        currency=currency,
    )


def _minutes(hours: Decimal) -> Decimal:
    """NetSuite keeps whole minutes, and tells them as a fraction of an hour."""
    return (hours * 60).quantize(Decimal(1))


def _money(value: str | None, currency: str) -> Decimal | None:
    amount = number(value)
    return None if amount is None else round_money(amount, currency)
