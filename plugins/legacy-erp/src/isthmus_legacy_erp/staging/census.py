"""Reads back from the tables what the ERP holds, by the day of posting instead of by number."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Table, and_, exists, select

from isthmus.sdk import Census, CensusRow, Context
from isthmus_legacy_erp.settings import LegacyErpSettings
from isthmus_legacy_erp.staging.database import Database
from isthmus_legacy_erp.staging.outlet import exact

READ_S = 60.0


class Asked(NamedTuple):
    """Where rows come from, by which number they are told, and which are wanted."""

    table: Table
    number: Column[str]
    wanted: ColumnElement[bool]
    then: tuple[Column[Any], ...]


class TableCensus(Census):
    """Charges the job says it posted, and invoices the ERP told; both with the ERP's amounts."""

    kinds = frozenset({"charge", "invoice"})

    def __init__(self, ctx: Context, settings: LegacyErpSettings, database: Database, rows: int) -> None:
        self._ctx = ctx
        self._company = settings.company
        self._database = database
        self._rows = rows

    async def rows(self, kind: str, since: date, until: date) -> AsyncIterator[CensusRow]:
        """In pages, by the ERP's number. A charge that was sent twice has one number and two lines."""
        asked = self._charges(since, until) if kind == "charge" else self._invoices(since, until)
        after = ""
        while True:
            query = select(asked.table).where(asked.wanted, asked.number > after)
            query = query.order_by(asked.number, *asked.then).limit(self._rows)
            found = await self._ctx.run_blocking(self._page, kind, query, deadline_s=READ_S)
            for row in found:
                number = str(getattr(row, asked.number.name))
                if number != after:
                    yield await self._charge(row) if kind == "charge" else self._invoice(row)
                after = number
            if len(found) < self._rows:
                return

    def _page(self, kind: str, query: Any) -> list[Any]:
        return self._database.rows(f"counting {kind}s", query)

    def _charges(self, since: date, until: date) -> Asked:
        line = self._database.tables.line
        wanted = and_(
            line.c.iface == "charges",
            line.c.company == self._company,
            line.c.status == "POSTED",
            line.c.posting_on.between(since, until),
        )
        return Asked(line, line.c.erp_doc_no, wanted, (line.c.batch_id, line.c.line_no))

    def _invoices(self, since: date, until: date) -> Asked:
        """Invoices that were not taken back."""
        out = self._database.tables.out
        void = out.alias("void")
        taken_back = exists().where(
            void.c.company == out.c.company, void.c.kind == "void", void.c.ref == out.c.ref
        )
        wanted = and_(
            out.c.company == self._company,
            out.c.kind == "invoice",
            out.c.issued_on.between(since, until),
            ~taken_back,
        )
        return Asked(out, out.c.ref, wanted, ())

    async def _charge(self, row: Any) -> CensusRow:
        """A reference may be a shortened key; the crosswalk knows the whole one."""
        number = str(row.erp_doc_no)
        amount: Decimal = row.amount if row.posted_amount is None else row.posted_amount
        return CensusRow(
            key=await self._ctx.crosswalk.key_of("charge", number) or str(row.ext_ref),
            remote_id=number,
            status="posted",
            amount=exact(amount, row.currency),
            currency=row.currency,
            quantity=row.quantity,
            on=row.posting_on,
        )

    def _invoice(self, row: Any) -> CensusRow:
        """Without a status: payments are rows of their own, and are not counted here."""
        return CensusRow(
            key=self._ctx.key(row.ref),
            remote_id=row.ref,
            status="",
            amount=exact(row.amount, row.currency),
            currency=row.currency,
            on=row.issued_on,
        )
