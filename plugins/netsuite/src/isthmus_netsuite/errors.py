"""NetSuite's error answers and their fates, as one table."""

import re
from typing import Any, Literal

import msgspec

from isthmus.sdk import ConnectorError, Fatal, Rejected, Reply, Retryable, Throttled, Unsure, fate_of

Fate = Literal[
    "fatal", "throttled", "retryable", "unsure", "period", "duplicate", "missing", "value", "permission"
]


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """One of ``o:errorDetails``: what went wrong, and where: a property, parameter, header or path."""

    code: str = ""
    detail: str = ""
    path: str = ""

    @property
    def words(self) -> str:
        place = f" at {self.path}" if self.path else ""
        return f"{self.code}{place}: {self.detail}" if self.code else self.detail


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error answer: NetSuite may name several things at once."""

    details: tuple[Detail, ...]

    @property
    def codes(self) -> set[str]:
        return {detail.code for detail in self.details}

    @property
    def words(self) -> str:
        return "; ".join(detail.words for detail in self.details)


PLACES = ("o:errorPath", "o:errorQueryParam", "o:errorHeader", "o:errorUrlPath", "o:urlPath")


class Rule(msgspec.Struct, frozen=True):
    """A row of the table: all that is given must fit one detail; the first row that fits decides."""

    status: int | None
    code: str
    detail: str
    fate: Fate


TABLE = [
    Rule(429, "", "", "throttled"),
    Rule(None, "(SSS_REQUEST_LIMIT|REQUEST_LIMIT|CONCURRENCY_LIMIT)_EXCEEDED.*", "", "throttled"),
    Rule(401, "", "", "fatal"),
    Rule(None, "INVALID_LOGIN.*", "", "fatal"),
    Rule(403, "", "", "fatal"),
    Rule(None, "INSUFFICIENT_PERMISSION", "", "fatal"),
    Rule(None, "IDEMPOTENCY_ERROR", "", "unsure"),
    Rule(None, "RCRD_HAS_BEEN_CHANGED|RCRD_LOCKED.*|RECORD_LOCKED.*", "", "retryable"),
    Rule(None, "", r"\bperiods?\b.*\b(clos|lock|not open)|\b(closed|locked)\b.*\bperiods?\b", "period"),
    Rule(None, "", r"\bno (open )?accounting period\b", "period"),
    Rule(None, "DUP_.*|UNIQUE_.*", "", "duplicate"),
    Rule(None, "", r"already exists|already in use", "duplicate"),
    Rule(404, "", "", "missing"),
    Rule(None, "NONEXISTENT_ID|RCRD_DSNT_EXIST|INVALID_KEY_OR_REF", "", "missing"),
    Rule(400, "", r"invalid field value .* for the following field|invalid .*reference", "missing"),
    Rule(400, "", "", "value"),
]


def problem_of(reply: Reply) -> Problem:
    """What an error answer says; an answer in another shape gives its own words."""
    try:
        body: Any = msgspec.json.decode(reply.body)
        details = tuple(
            Detail(
                code=str(told.get("o:errorCode", "")),
                detail=str(told.get("detail", "")),
                path=next((str(told[place]) for place in PLACES if told.get(place)), ""),
            )
            for told in body["o:errorDetails"]
        )
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError, AttributeError):
        details = ()
    return Problem(details=details or (Detail(detail=reply.words()),))


def error_of(reply: Reply, *, write: bool) -> ConnectorError:
    """The error to raise for an answer that is no success.

    Of several details the one whose row stands first decides. 500 after a write is `Unsure`: NetSuite's
    scripts may fail after the record was saved.
    """
    problem = problem_of(reply)
    words = problem.words or reply.words()
    text = f"NetSuite answered {reply.status}: {words[:300]}"
    for rule in TABLE:
        if any(fits(rule, reply.status, detail) for detail in problem.details):
            return _made(rule.fate, text, words)
    return fate_of(reply, write=write, words=words)


def fits(rule: Rule, status: int, detail: Detail) -> bool:
    """Whether a row of the table is about one detail of an answer."""
    return (
        (rule.status is None or rule.status == status)
        and (not rule.code or re.fullmatch(rule.code, detail.code) is not None)
        and (not rule.detail or re.search(rule.detail, detail.detail, re.IGNORECASE) is not None)
    )


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
