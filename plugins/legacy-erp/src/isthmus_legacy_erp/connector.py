"""The plugin's face: one company of an ERP, behind a drop directory or behind staging tables."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, get_args

import msgspec
import trio

from isthmus.sdk import Connector, Context, Fatal, Opened, hookimpl
from isthmus_legacy_erp import layout
from isthmus_legacy_erp.carrier import Carrier
from isthmus_legacy_erp.codec import Codec, ValueRefused
from isthmus_legacy_erp.discover import DropDiscover
from isthmus_legacy_erp.disk import Disk, Drop
from isthmus_legacy_erp.files import FileCarrier
from isthmus_legacy_erp.inbox import Inbox
from isthmus_legacy_erp.layout import LayoutError
from isthmus_legacy_erp.names import RESPONSE
from isthmus_legacy_erp.probe import DropProbe
from isthmus_legacy_erp.settings import Interface, LegacyErpSettings
from isthmus_legacy_erp.sink import RECORD, BatchSink
from isthmus_legacy_erp.source import BatchSource

if TYPE_CHECKING:
    from isthmus_legacy_erp.staging.database import Steps

CLOSE_S = 5.0


class LegacyErp(Connector):
    """Charges go out in numbered batches; responses, receivables and periods come in the same way."""

    name = "legacy-erp"
    title = "Legacy ERP (files or staging tables)"
    Settings = LegacyErpSettings
    simulator = "isthmus_legacy_erp.simulator:LegacyErp"

    disk: Disk = Disk()
    """The system calls; exchanged by tests."""
    steps: "Steps | None" = None
    """The moments a database connection can break; exchanged by tests."""

    @asynccontextmanager
    async def open(self, settings: msgspec.Struct, ctx: Context) -> AsyncIterator[Opened]:
        assert isinstance(settings, LegacyErpSettings), "the daemon reads settings with Settings"
        codecs = _codecs(settings)
        opening = self._sql if settings.interface == "sql" else self._files
        async with opening(settings, ctx, codecs) as (carrier, looks):
            sink = BatchSink(ctx, settings, codecs, carrier)
            source = BatchSource(ctx, carrier, sink, codecs["receivables"])
            yield msgspec.structs.replace(looks, source=source, sink=sink)

    @asynccontextmanager
    async def _files(
        self, settings: LegacyErpSettings, ctx: Context, codecs: Mapping[str, Codec]
    ) -> AsyncIterator[tuple[Carrier, Opened]]:
        assert settings.drop_dir is not None, "the settings were checked"
        drop = Drop(settings.drop_dir, self.disk)
        responses = {interface + RESPONSE: codecs["responses"] for interface in RECORD}
        inbox = Inbox(drop, settings, {**codecs, **responses})
        looks = Opened(probe=DropProbe(ctx, settings, drop), discover=DropDiscover(ctx, drop))
        yield FileCarrier(drop, inbox, settings.company), looks

    @asynccontextmanager
    async def _sql(
        self, settings: LegacyErpSettings, ctx: Context, codecs: Mapping[str, Codec]
    ) -> AsyncIterator[tuple[Carrier, Opened]]:
        # Only here: who exchanges files needs no SQLAlchemy in memory.
        from isthmus_legacy_erp.staging.carrier import SqlCarrier
        from isthmus_legacy_erp.staging.census import TableCensus
        from isthmus_legacy_erp.staging.database import Database, Steps
        from isthmus_legacy_erp.staging.discover import TableDiscover
        from isthmus_legacy_erp.staging.probe import StagingProbe

        assert settings.staging is not None, "the settings were checked"
        database = Database(settings.staging, self.steps or Steps())
        carrier = SqlCarrier(database, settings)
        looks = Opened(
            probe=StagingProbe(ctx, settings, database, carrier),
            census=TableCensus(ctx, settings, database, settings.staging.rows_per_page),
            discover=TableDiscover(ctx, database),
        )
        try:
            yield carrier, looks
        finally:
            with trio.move_on_after(CLOSE_S, shield=True):
                await trio.to_thread.run_sync(database.close, abandon_on_cancel=True)


def _codecs(settings: LegacyErpSettings) -> dict[str, Codec]:
    """One codec per interface.

    Raises:
        Fatal: a layout file cannot work.
    """
    try:
        return {
            interface: Codec(
                layout.load(interface, settings.layouts.get(interface)), settings.text, settings.currency
            )
            for interface in _interfaces()
        }
    except (LayoutError, ValueRefused, msgspec.ValidationError) as error:
        raise Fatal(f"layout: {error}") from error


def _interfaces() -> tuple[Interface, ...]:
    interfaces: tuple[Interface, ...] = get_args(Interface)
    return interfaces


@hookimpl
def isthmus_connectors() -> list[type[Connector]]:
    return [LegacyErp]
