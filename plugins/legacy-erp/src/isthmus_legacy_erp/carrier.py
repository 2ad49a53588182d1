"""How batches travel. Two ways, one meaning: numbered files in a drop directory, rows in staging tables.

The sink and the source work with a `Carrier`; what is gap-free, frozen, answered line by line and guarded
against doubles is the same for both. A carrier's methods block: they run on a thread.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

import msgspec

from isthmus_legacy_erp.batch import Totals
from isthmus_legacy_erp.codec import Codec, Value, Values
from isthmus_legacy_erp.look import Cursor, Look
from isthmus_legacy_erp.names import FileName
from isthmus_legacy_erp.outbox import FrozenBatch


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """A line the ERP has of us already, although the daemon's store does not know where it stands."""

    batch_id: str
    line: int
    try_no: int
    status: str
    """NEW, POSTED or REJECTED."""
    amount: Decimal | None
    erp_no: str | None
    posted_on: date | None
    answered_at: datetime | None


class Carrier(ABC):
    """Brings frozen batches to the ERP, and fetches what it says.

    Every method may raise `Retryable` and `Fatal`; a passing fault costs nothing but time.
    """

    @abstractmethod
    def prepare(self) -> None:
        """See that there is something to work with, once per opening."""

    @abstractmethod
    def high_water(self, interface: str) -> int:
        """The highest number of an outbound interface that the ERP's side shows a trace of; 0 for none."""

    @abstractmethod
    def write(
        self, codec: Codec, header: Values, details: Sequence[tuple[str, Values]]
    ) -> tuple[bytes, Totals]:
        """What a batch will be, to the byte, before it has left. Pure.

        Raises:
            ValueRefused: a value does not fit.
        """

    @abstractmethod
    def place(self, batch: FrozenBatch, *, resend_refused: bool) -> None:
        """See to it that the ERP has the batch, or will find it; again and again, with one effect.

        Raises:
            Unsure: it may be there already; call again.
        """

    @abstractmethod
    def refused_lines(self, batch: FrozenBatch) -> frozenset[int]:
        """The lines the ERP refused, as far as the page that says so was recorded."""

    @abstractmethod
    def look(self, interfaces: Sequence[str], cursor: Cursor, now: datetime) -> Look:
        """Tidy up what ``cursor`` covers, then read on."""

    def name(self, file: FileName) -> str:
        """A batch's name in receipts."""
        return str(file)

    def unfinished(self) -> list[FileName]:
        """Batches a dead process may have left half placed."""
        return []

    def discard(self) -> None:  # noqa: B027  tables leave nothing behind
        """Remove what is left of them, after they were placed."""

    def staged(self, interface: str, refs: Mapping[str, int]) -> dict[str, Staged]:
        """By reference, the newest line the ERP has of it, where that can be looked up.

        Args:
            refs: the revision by reference; 0 where there are none.
        """
        return {}


def revision_of(values: Mapping[str, Value]) -> int:
    """Which state of its record a line carries; 0 where a record never changes."""
    revision = values.get("revision")
    return revision if isinstance(revision, int) else 0
