"""Batches as numbered files in a drop directory."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime

from isthmus.sdk import Retryable, Unsure
from isthmus_legacy_erp import batch, names
from isthmus_legacy_erp.batch import Totals
from isthmus_legacy_erp.carrier import Carrier
from isthmus_legacy_erp.codec import Codec, Values
from isthmus_legacy_erp.disk import Drop, fate
from isthmus_legacy_erp.inbox import Inbox
from isthmus_legacy_erp.look import Cursor, Look
from isthmus_legacy_erp.names import FileName
from isthmus_legacy_erp.outbox import FrozenBatch, Outbox


class FileCarrier(Carrier):
    """Writes into ``outbound``, reads from ``inbound`` and ``ack``."""

    def __init__(self, drop: Drop, inbox: Inbox, company: str) -> None:
        self._drop = drop
        self._inbox = inbox
        self._outbox = Outbox(drop)
        self._company = company
        self._parts: list[str] = []

    def prepare(self) -> None:
        with self._fated("opening"):
            self._drop.prepare()

    def high_water(self, interface: str) -> int:
        with self._fated("opening"):
            return self._outbox.high_water(interface, self._company)

    def write(
        self, codec: Codec, header: Values, details: Sequence[tuple[str, Values]]
    ) -> tuple[bytes, Totals]:
        return batch.build(codec, header, details)

    def place(self, batch: FrozenBatch, *, resend_refused: bool) -> None:
        try:
            self._outbox.place(batch, resend_refused=resend_refused)
        except OSError as error:
            failed = fate(error, f"writing {batch.file}")
            if isinstance(failed, Retryable):
                failed = Unsure(f"{failed}; the batch may be there already", peer_words=failed.peer_words)
            raise failed from error

    def refused_lines(self, batch: FrozenBatch) -> frozenset[int]:
        with self._fated(f"reading the response to {batch.file} in"):
            return self._inbox.refused_lines(batch.file)

    def look(self, interfaces: Sequence[str], cursor: Cursor, now: datetime) -> Look:
        with self._fated(f"reading {', '.join(interfaces)} in"):
            return self._inbox.look(interfaces, cursor, now.timestamp())

    def unfinished(self) -> list[FileName]:
        with self._fated("opening"):
            self._parts, unmarked = self._outbox.unfinished()
        found = (names.parse(name.partition(".dat")[0] + ".dat") for name in {*self._parts, *unmarked})
        return [file for file in found if file is not None]

    def discard(self) -> None:
        with self._fated("tidying up"):
            self._outbox.discard(self._parts)
        self._parts = []

    @contextlib.contextmanager
    def _fated(self, doing: str) -> Iterator[None]:
        """A failed file operation as what it means.

        Raises:
            Retryable, Fatal
        """
        try:
            yield
        except OSError as error:
            raise fate(error, f"{doing} {self._drop.root}") from error
