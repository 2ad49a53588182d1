"""Numbered schema changes, forward only: ``sql/migrations/0007_add_saga_deadline.sql``.

Each is one transaction together with its number (``PRAGMA user_version``), so a schema is never half new.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Protocol

import msgspec

from isthmus.store.errors import SchemaTooNew


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One step: from schema ``number - 1`` to ``number``."""

    number: int
    name: str
    script: str

    def transaction(self) -> str:
        """The whole step as one script."""
        return f"BEGIN IMMEDIATE;\n{self.script}\nPRAGMA user_version = {self.number};\nCOMMIT;"


class Migrates(Protocol):
    """As much of a connection as a migration takes."""

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, sql: str, /) -> Any: ...

    def executescript(self, sql_script: str, /) -> Any: ...


def load() -> tuple[Migration, ...]:
    """Every step in order.

    Raises:
        ValueError: a number is missing or there twice.
    """
    folder = files(__package__) / "sql" / "migrations"
    found = []
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            found.append(Migration(number=int(number), name=name, script=file.read_text(encoding="utf-8")))
    if [step.number for step in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations must be numbered 0001, 0002 ... without a gap")
    return tuple(found)


def version(connection: Migrates) -> int:
    """The schema number of the file; 0 when it is new."""
    return int(connection.execute("PRAGMA user_version").fetchall()[0][0])


def pending(connection: Migrates, known: Sequence[Migration]) -> Sequence[Migration]:
    """The steps the file still needs.

    Raises:
        SchemaTooNew: the file is ahead of this program.
    """
    found = version(connection)
    if found > len(known):
        raise SchemaTooNew(found, len(known))
    return known[found:]


def apply(connection: Migrates, step: Migration) -> None:
    """Run one step; on any error the file is as before."""
    try:
        connection.executescript(step.transaction())
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
