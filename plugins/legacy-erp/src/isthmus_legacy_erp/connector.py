"""The plugin's face: the files of one ERP company in one drop directory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import get_args

import msgspec

from isthmus.sdk import Connector, Context, Fatal, Opened, hookimpl
from isthmus_legacy_erp import layout
from isthmus_legacy_erp.codec import Codec, ValueRefused
from isthmus_legacy_erp.disk import Disk, Drop
from isthmus_legacy_erp.files import FileCarrier
from isthmus_legacy_erp.inbox import Inbox
from isthmus_legacy_erp.layout import LayoutError
from isthmus_legacy_erp.names import RESPONSE
from isthmus_legacy_erp.probe import DropProbe
from isthmus_legacy_erp.settings import Interface, LegacyErpSettings
from isthmus_legacy_erp.sink import RECORD, BatchSink
from isthmus_legacy_erp.source import BatchSource


class LegacyErp(Connector):
    """Charges go out in numbered batches; responses, receivables and periods come in the same way."""

    name = "legacy-erp"
    title = "Legacy ERP (file drop)"
    Settings = LegacyErpSettings
    simulator = "isthmus_legacy_erp.simulator:LegacyErp"

    disk: Disk = Disk()
    """The system calls; exchanged by tests."""

    @asynccontextmanager
    async def open(self, settings: msgspec.Struct, ctx: Context) -> AsyncIterator[Opened]:
        assert isinstance(settings, LegacyErpSettings), "the daemon reads settings with Settings"
        codecs = _codecs(settings)
        drop = Drop(settings.drop_dir, self.disk)
        responses = {interface + RESPONSE: codecs["responses"] for interface in RECORD}
        inbox = Inbox(drop, settings, {**codecs, **responses})
        carrier = FileCarrier(drop, inbox, settings.company)
        sink = BatchSink(ctx, settings, codecs, carrier)
        yield Opened(
            source=BatchSource(ctx, carrier, sink, codecs["receivables"]),
            sink=sink,
            probe=DropProbe(ctx, settings, drop),
        )


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
