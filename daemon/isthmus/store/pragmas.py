"""How the connections are set up, and what is read back before the first byte is trusted to them."""

from typing import Any, Protocol

from isthmus.store.errors import StoreFailed

WAL_CHECKPOINT_PAGES = 4000

WRITER = (
    "PRAGMA page_size = 4096",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # NORMAL loses acknowledged commits in a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",  # finds damage early, costs next to nothing
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32000",
    f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}",
    "PRAGMA journal_size_limit = 33554432",  # what a burst left behind is given back
)

READER = (
    "PRAGMA query_only = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -8000",
    "PRAGMA wal_autocheckpoint = 0",  # before 3.51.3 two connections that reset the log can ruin it
)

MEMORY = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
)

_PROMISED = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
OLDEST_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""


class Executes(Protocol):
    """As much of a connection as setting it up takes."""

    def execute(self, sql: str, /) -> Any: ...


def set_up(connection: Executes, pragmas: tuple[str, ...]) -> None:
    for pragma in pragmas:
        connection.execute(pragma).fetchall()


def verify(connection: Executes) -> None:
    """Read back what durability rests on.

    Raises:
        StoreFailed: a setting did not take, as on a file system without shared memory.
    """
    for name, wanted in _PROMISED.items():
        found = connection.execute(f"PRAGMA {name}").fetchall()[0][0]
        if found != wanted:
            raise StoreFailed(
                f"SQLite answers {name} = {found!r}, needed is {wanted!r}; check the file system"
            )
