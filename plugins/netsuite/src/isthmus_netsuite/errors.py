"""NetSuite's error answers and their fates, as one table."""

import re
from typing import Any, Literal

import msgspec

from isthmus.sdk import ConnectorError, Fatal, Rejected, Reply, Retryable, Throttled, Unsure, fate_of

Fate = Literal[
    "fatal", "throttled", "retryable", "unsure", "period", "duplicate", "missing", "value", "permission"
]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The first of ``o:errorDetails``: what NetSuite says went wrong, and where."""

    code: str = ""
    detail: str = ""
    path: str = ""

    @property
    def words(self) -> str:
        place = f" at {self.path}" if self.path else ""
        return f"{self.code}{place}: {self.detail}" if self.code else self.detail


class _Rule(msgspec.Struct, frozen=True):
    """A row of the table: all that is given must fit; the first row that fits decides."""

    status: int | None
    code: str
    detail: str
    fate: Fate


TABLE = [
    _Rule(429, "", "", "throttled"),
    _Rule(None, "(SSS_REQUEST_LIMIT|REQUEST_LIMIT|CONCURRENCY_LIMIT)_EXCEEDED.*", "", "throttled"),
    _Rule(401, "", "", "fatal"),
    _Rule(None, "INVALID_LOGIN.*", "", "fatal"),
    _Rule(403, "", "", "fatal"),
    _Rule(None, "INSUFFICIENT_PERMISSION", "", "fatal"),
    _Rule(None, "IDEMPOTENCY_ERROR", "", "unsure"),
    _Rule(None, "RCRD_HAS_BEEN_CHANGED|RCRD_LOCKED.*|RECORD_LOCKED.*", "", "retryable"),
    _Rule(None, "", r"\bperiods?\b.*\b(clos|lock|not open)|\b(closed|locked)\b.*\bperiods?\b", "period"),
    _Rule(None, "", r"\bno (open )?accounting period\b", "period"),
    _Rule(None, "DUP_.*|UNIQUE_.*", "", "duplicate"),
    _Rule(None, "", r"already exists|already in use", "duplicate"),
    _Rule(404, "", "", "missing"),
    _Rule(None, "NONEXISTENT_ID|RCRD_DSNT_EXIST|INVALID_KEY_OR_REF", "", "missing"),
    _Rule(400, "", r"invalid field value .* for the following field|invalid .*reference", "missing"),
    _Rule(400, "", "", "value"),
]


def problem_of(reply: Reply) -> Problem:
    """What an error answer says; an answer in another shape gives its own words."""
    try:
        body: Any = msgspec.json.decode(reply.body)
        first = body["o:errorDetails"][0]
        path = first.get("o:errorPath") or first.get("o:errorQueryParam") or first.get("o:errorHeader") or ""
        return Problem(
            code=str(first.get("o:errorCode", "")), detail=str(first.get("detail", "")), path=str(path)
        )
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError, AttributeError):
        return Problem(detail=reply.words())


def error_of(reply: Reply, *, write: bool) -> ConnectorError:
    """The error to raise for an answer that is no success.

    500 after a write is `Unsure`: NetSuite's scripts may fail after the record was saved.
    """
    problem = problem_of(reply)
    words = problem.words or reply.words()
    text = f"NetSuite answered {reply.status}: {words[:300]}"
    for rule in TABLE:
        if rule.status is not None and rule.status != reply.status:
            continue
        if rule.code and not re.fullmatch(rule.code, problem.code):
            continue
        if rule.detail and not re.search(rule.detail, problem.detail, re.IGNORECASE):
            continue
        return _made(rule.fate, text, words)
    return fate_of(reply, write=write, words=words)


def _made(fate: Fate, text: str, words: str) -> ConnectorError:
    match fate:
        case "fatal":
            return Fatal(text, peer_words=words)
        case "throttled":
            return Throttled(text, peer_words=words)
        case "retryable":
            return Retryable(text, peer_words=words)
        case "unsure":
            return Unsure(text, peer_words=words)
        case reason:
            return Rejected(text, reason=reason, peer_words=words)
