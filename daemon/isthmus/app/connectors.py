"""The actor of one connector instance: opens it, hands it to its lanes, reads its streams."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
import trio

from isthmus.app.context import DaemonContext
from isthmus.delivery.peer import Peer
from isthmus.ingest.actor import Watch, read_stream
from isthmus.runtime.doorbell import Doorbell
from isthmus.runtime.supervisor import Parking, supervise
from isthmus.sdk.connector import Connector, Opened, Source
from isthmus.sdk.errors import Fatal
from isthmus.store.errors import StoreFailed
from isthmus.store.face import Store

__all__ = ["ConnectorActor"]


class ConnectorActor:
    """One instance. `run` holds it open until cancelled; `stop_reading` ends its streams before that."""

    def __init__(
        self,
        instance: str,
        connector: Connector,
        settings: msgspec.Struct,
        *,
        context: DaemonContext,
        peer: Peer,
        store: Store,
        parking: Parking,
        poll_s: float,
        read: Sequence[str] | None,
        now: Callable[[], datetime],
        announce: Callable[[], None],
        may_read: Callable[[], bool],
        watch: Watch,
        on_restart: Callable[[str], None],
        lanes: Sequence[str] = (),
        misfits: Callable[[Opened], list[str]] = lambda opened: [],
    ) -> None:
        """
        Args:
            read: The streams to read; None reads all.
            lanes: The lanes that deliver to this instance.
            misfits: Says what the configuration asks of the open connector that it does not offer.
        """
        self.instance = instance
        self.bells: dict[str, Doorbell] = {}
        self._connector = connector
        self._settings = settings
        self._context = context
        self._peer = peer
        self._store = store
        self._parking = parking
        self._poll_s = poll_s
        self._read = read
        self._now = now
        self._announce = announce
        self._may_read = may_read
        self._watch = watch
        self._on_restart = on_restart
        self._lanes = lanes
        self._misfits = misfits
        self._stopped = False
        self._reading = trio.CancelScope()

    def stop_reading(self) -> None:
        """No page is pulled any more; the connector stays open for deliveries."""
        self._stopped = True
        self._reading.cancel()

    def poll_now(self) -> None:
        """Look at every stream at once."""
        for bell in self.bells.values():
            bell.ring()

    async def run(self) -> None:
        """Open the connector and read its streams, each supervised alone.

        Raises:
            Fatal: it can never be opened with these settings, or does not offer what is asked of it.
        """
        async with self._connector.open(self._settings, self._context) as opened:
            if wrong := self._misfits(opened):
                raise Fatal("; ".join(wrong))
            self._peer.handover(opened)
            try:
                if opened.source is not None:
                    await self._read_streams(opened.source)
                await trio.sleep_forever()
            finally:
                self._peer.handover(None)

    async def _read_streams(self, source: Source) -> None:
        wanted = [name for name in source.streams if self._read is None or name in self._read]
        # A restarted connector reads again, under a scope of its own; one that was told to stop does not.
        self._reading = trio.CancelScope()
        if self._stopped:
            return
        with self._reading:
            async with trio.open_nursery() as nursery:
                for stream in wanted:
                    nursery.start_soon(self._supervise_stream, source, stream)

    async def _supervise_stream(self, source: Source, stream: str) -> None:
        bell = self.bells.setdefault(stream, Doorbell())

        async def run() -> None:
            await read_stream(
                source,
                stream,
                instance=self.instance,
                store=self._store,
                bell=bell,
                poll_s=self._poll_s,
                now=self._now,
                announce=self._announce,
                may_read=lambda: self._may_read() and self._peer.may_be_asked(self._now()),
                rest=self._rest,
                watch=self._watch,
                lanes=self._lanes,
            )

        await supervise(
            f"{self.instance}.{stream}",
            run,
            parking=self._parking,
            fatal=(StoreFailed,),
            on_restart=self._on_restart,
        )

    def _rest(self, seconds: float) -> None:
        now = self._now()
        self._peer.rest(now + timedelta(seconds=seconds), now)
