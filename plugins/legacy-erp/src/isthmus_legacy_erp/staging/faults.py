"""What an error of the database means to the daemon: one table, by SQLSTATE or by SQLite's words."""

from typing import NamedTuple

from sqlalchemy.exc import DBAPIError

from isthmus.sdk import ConnectorError, Fatal, Retryable, Throttled

BUSY_S = 30.0


class Meaning(NamedTuple):
    """The fate of an error and the remedy for its reader."""

    fate: type[ConnectorError]
    remedy: str


_LOGIN = Meaning(Fatal, "correct the user or password of staging")
_RIGHTS = Meaning(Fatal, "grant what the DDL file says under Rights")
_TABLES = Meaning(Fatal, "the tables are not those of the DDL file: create or alter them")
_LOCK = Meaning(Retryable, "the ERP holds a lock")
_SLOW = Meaning(Retryable, "a statement took longer than statement_timeout_s")
_DOWN = Meaning(Retryable, "the database does not answer or shuts down")
_SPACE = Meaning(Retryable, "the database has no space left")
_BUSY = Meaning(Throttled, "the database has no connection to spare")
_RACE = Meaning(Retryable, "another transaction was faster")
_STANDBY = Meaning(Retryable, "this is a standby that only reads; point url to the primary")

BY_SQLSTATE = {
    "28000": _LOGIN,
    "28P01": _LOGIN,
    "3D000": Meaning(Fatal, "correct the database in url"),
    "3F000": Meaning(Fatal, "correct the setting schema"),
    "42501": _RIGHTS,
    "42P01": _TABLES,
    "42703": _TABLES,
    "42804": _TABLES,
    "22001": _TABLES,
    "22003": _TABLES,
    "23502": _TABLES,
    "23503": _TABLES,
    "23514": _TABLES,
    "22021": Meaning(Fatal, "the database cannot hold a character; set encoding to the database's own"),
    "22P05": Meaning(Fatal, "the database cannot hold a character; set encoding to the database's own"),
    "23505": _RACE,
    "25006": _STANDBY,
    "40001": _RACE,
    "40P01": _RACE,
    "53000": _SPACE,
    "53100": _SPACE,
    "53200": _SPACE,
    "53300": _BUSY,
    "55P03": _LOCK,
    "57014": _SLOW,
    "57P01": _DOWN,
    "57P02": _DOWN,
    "57P03": _DOWN,
}
BY_WORDS = {
    "database is locked": _LOCK,
    "database table is locked": _LOCK,
    "unable to open database file": Meaning(Retryable, "the file is not there; mount it, or correct url"),
    "disk I/O error": Meaning(Retryable, "the disk of the database fails"),
    "database or disk is full": _SPACE,
    "interrupted": _SLOW,
    "attempt to write a readonly database": _RIGHTS,
    "no such table": _TABLES,
    "no such column": _TABLES,
    "has no column named": _TABLES,
    "NOT NULL constraint failed": _TABLES,
    "CHECK constraint failed": _TABLES,
    "FOREIGN KEY constraint failed": _TABLES,
    "UNIQUE constraint failed": _RACE,
    "file is not a database": Meaning(Fatal, "url names something else than a database"),
    "database disk image is malformed": Meaning(Fatal, "restore the database from a backup"),
}
_OTHERWISE = Meaning(Retryable, "see what the database says")


def sqlstate(error: DBAPIError) -> str | None:
    """The SQLSTATE, where the database gave one: then it answered, and the transaction is rolled back."""
    state = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else None


def words(error: DBAPIError) -> str:
    """What the database said, in one line, without the statement and its values."""
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__


def meaning(error: DBAPIError) -> Meaning:
    state, said = sqlstate(error), words(error)
    if state is not None:
        return BY_SQLSTATE.get(state, _DOWN if state[:2] == "08" else _OTHERWISE)
    known = next((known for text, known in BY_WORDS.items() if text in said), None)
    if known is not None:
        return known
    # A connection that was refused has no SQLSTATE; the server's own refusals are in its words only.
    if "authentication failed" in said or "no password supplied" in said:
        return _LOGIN
    if "does not exist" in said and "database" in said:
        return BY_SQLSTATE["3D000"]
    if "too many c" in said or "remaining connection slots" in said:
        return _BUSY
    return _DOWN


def fate(error: DBAPIError, doing: str) -> ConnectorError:
    """The error to raise."""
    known, said = meaning(error), words(error)
    text = f"{doing}: {said}; {known.remedy}"
    if known.fate is Throttled:
        return Throttled(text, retry_after_s=BUSY_S, peer_words=said)
    return known.fate(text, peer_words=said)
