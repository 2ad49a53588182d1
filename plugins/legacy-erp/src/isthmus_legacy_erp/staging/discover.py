"""What the tables show of the ERP: its company codes, and the numbers that are used up."""

from sqlalchemy import func, select

from isthmus.sdk import Context, Discover, Found
from isthmus_legacy_erp.discover import listed
from isthmus_legacy_erp.staging.database import Database


class TableDiscover(Discover):
    """Reads which companies the ERP and other senders write."""

    def __init__(self, ctx: Context, database: Database) -> None:
        self._ctx = ctx
        self._database = database

    async def found(self) -> list[Found]:
        return await self._ctx.run_blocking(self._look)

    def _look(self) -> list[Found]:
        tables = self._database.tables
        batch = tables.batch.c
        query = select(batch.company, batch.iface, func.max(batch.seq)).group_by(batch.company, batch.iface)
        last = {(company, iface): seq for company, iface, seq in self._database.rows("looking around", query)}
        for table in (tables.out, tables.period):
            rows = self._database.rows("looking around", select(table.c.company).distinct())
            last |= {(row.company, table.name): 0 for row in rows}
        # What the ERP tells has identities, no numbers of ours.
        return [found for found in listed(last) if found.entity == "company" or found.id != "0"]
