"""The envelope every canonical event has, and how an event gets its identity."""

from typing import Any, ClassVar

import msgspec

from isthmus.events.values import Instant, Key

__all__ = ["BusinessEvent", "derived_id", "kind_of"]


class BusinessEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """One fact about the business, as some system or process told it.

    ``id`` may be left out: it is then made of source, kind, key and revision, so that the same fact read
    twice has the same id. A process, whose facts are derived, gives ids with `derived_id` instead.

    ``subject`` is the business key deliveries are ordered by; ``thread`` is the project (or contract,
    deal, customer) whose story the fact belongs to.
    """

    KEY: ClassVar[str] = ""
    """The field that names the thing the fact is about."""
    SUBJECT: ClassVar[str] = ""
    """The field deliveries are ordered by; ``KEY`` where empty."""

    source: Key
    """The connector instance or process that told it."""
    occurred_at: Instant
    entity: str
    """The legal entity's key."""
    id: str = ""
    """Deterministic; ``source/kind/key/revision`` where the source did not say otherwise."""
    correlation: str | None = None
    """The id of the first event of the chain."""
    causation: str | None = None
    """The id of the event that caused this one."""

    def __post_init__(self) -> None:
        if not self.id:
            natural = f"{self.source}/{self.kind}/{self.key}/{self.fact_revision}"
            msgspec.structs.force_setattr(self, "id", natural)
        self.check()

    def check(self) -> None:
        """Refuse values the types cannot exclude.

        Raises:
            ValueError: naming the field and the remedy.
        """

    @property
    def kind(self) -> str:
        """The tag without its version: ``time.approved``."""
        return kind_of(type(self))

    @property
    def key(self) -> str:
        return str(getattr(self, self.KEY))

    @property
    def fact_revision(self) -> int:
        return int(getattr(self, "revision", 1))

    @property
    def subject(self) -> str:
        return str(getattr(self, self.SUBJECT or self.KEY))

    @property
    def thread(self) -> str:
        for field in ("project", "contract", "deal", "customer"):
            value = getattr(self, field, None)
            if value:
                return str(value)
        return self.subject


def kind_of(event_type: type[BusinessEvent]) -> str:
    """The tag of an event type without its version."""
    tag: Any = event_type.__struct_config__.tag
    return str(tag).partition("/")[0]


def derived_id(process: str, kind: str, cause: str, n: int) -> str:
    """The id of the ``n``-th fact of ``kind`` that ``process`` derived from the event ``cause``."""
    return f"{process}/{kind}/{cause}/{n}"
