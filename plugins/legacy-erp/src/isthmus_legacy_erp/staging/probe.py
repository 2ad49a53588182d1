"""Looks at the staging tables without changing them."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from isthmus.sdk import Check, ConnectorError, Context, Probe
from isthmus_legacy_erp.settings import LegacyErpSettings
from isthmus_legacy_erp.staging.carrier import SqlCarrier
from isthmus_legacy_erp.staging.database import Database


class StagingProbe(Probe):
    """Login, tables, durability, batches the ERP's job leaves alone."""

    def __init__(
        self, ctx: Context, settings: LegacyErpSettings, database: Database, carrier: SqlCarrier
    ) -> None:
        self._ctx = ctx
        self._settings = settings
        self._database = database
        self._carrier = carrier

    async def checks(self) -> list[Check]:
        return await self._ctx.run_blocking(self._look, self._ctx.now())

    def _look(self, now: datetime) -> list[Check]:
        try:
            self._carrier.prepare()
        except ConnectorError as error:
            remedy = "set the tables up with the DDL file, and give the account its rights"
            return [Check(name="tables", ok=False, detail=str(error), remedy=remedy)]
        tables = Check(name="tables", ok=True, detail="can be read, every column is there")
        return [tables, self._durable(), self._picked_up(now)]

    def _durable(self) -> Check:
        """Whether a commit that was answered survives a power cut."""

        def work(connection: Connection) -> str:
            if connection.dialect.name == "sqlite":
                return f"synchronous = {connection.exec_driver_sql('PRAGMA synchronous').scalar_one()}"
            names = ("fsync", "synchronous_commit", "full_page_writes")
            return ", ".join(
                f"{name} = {connection.exec_driver_sql(f'SHOW {name}').scalar_one()}" for name in names
            )

        said = self._database.read("asking how commits are kept", work)
        return Check(
            name="durable",
            ok=" = off" not in said and said != "synchronous = 0",
            detail=said,
            remedy="switch them on: a batch whose commit was answered may be lost otherwise",
        )

    def _picked_up(self, now: datetime) -> Check:
        """Whether the job takes our batches; one it leaves is never loaded twice, but somebody must know."""
        table = self._database.tables.batch
        query = select(func.count(), func.min(table.c.created_at)).where(
            table.c.company == self._settings.company,
            table.c.status.in_(("READY", "CLAIMED")),
            table.c.created_at < now - timedelta(seconds=self._settings.pickup_s),
        )
        late, oldest = self._database.read("counting batches", lambda c: c.execute(query).one())
        return Check(
            name="picked_up",
            ok=not late,
            detail=f"{late} late" + (f"; the oldest since {oldest}" if late else ""),
            remedy="see whether the ERP's posting job runs, and whether it may update the tables",
        )
