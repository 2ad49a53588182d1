"""From the log to what must stand on both sides of a pair: which reader a kind of pair has. Pure."""

from collections.abc import Set
from datetime import date

from isthmus.reconcile.documents import Contracts, Invoices
from isthmus.reconcile.facts import Known, PairKind, Reader, Road, Told
from isthmus.reconcile.work import Hours, Work

__all__ = ["Scan", "scan_of"]


class Scan:
    """Reads the log for a pair of one legal entity, and remembers every key it met."""

    def __init__(self, reader: Reader, entity: str | None) -> None:
        """
        Args:
            entity: Only facts of this legal entity; None: all.
        """
        self._reader = reader
        self._entity = entity
        self.kinds = reader.kinds
        self.met: set[str] = set()
        """What is here and not expected belongs to another pair, and is not its difference."""

    def take(self, told: Told) -> None:
        """Hear the next fact."""
        self.met.add(told.event.key)
        if self._entity in (None, told.event.entity):
            self._reader.take(told)

    def known(self, road: Road, shown: Set[str]) -> Known:
        """See `Reader.known`."""
        return self._reader.known(road, shown)


def scan_of(kind: PairKind, since: date, until: date, *, left: str, entity: str | None) -> Scan:
    """What reads the log for a pair of this kind.

    Args:
        left: The instance on the left.
        entity: Only what concerns this legal entity; None: all.
    """
    match kind:
        case "time" | "expense" | "milestone":
            return Scan(Work(kind, since, until, entity=entity), None)
        case "invoice":
            return Scan(Invoices(since, until, source=left), entity)
        case "hours":
            return Scan(Hours(since, until), entity)
        case "contract":
            return Scan(Contracts(since, until), entity)
