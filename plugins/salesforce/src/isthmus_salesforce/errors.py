"""Salesforce's error codes and what we do about each."""

import re
from typing import Any

import msgspec

from isthmus.sdk import (
    ConnectorError,
    Fatal,
    Rejected,
    Reply,
    Retryable,
    Throttled,
    Unsure,
    fate_of,
)


class Fate(msgspec.Struct, frozen=True):
    """An error class; ``reason`` is the class of a dead letter, for `Rejected`."""

    error: type[ConnectorError]
    reason: str = "other"


_RETRY, _THROTTLE, _FATAL, _UNSURE = Fate(Retryable), Fate(Throttled), Fate(Fatal), Fate(Unsure)
_VALUE, _MISSING, _MAPPING = Fate(Rejected, "value"), Fate(Rejected, "missing"), Fate(Rejected, "mapping")
_PERMISSION, _DUPLICATE, _OTHER = (
    Fate(Rejected, "permission"),
    Fate(Rejected, "duplicate"),
    Fate(Rejected, "other"),
)

_OTHER_RECORD = re.compile(r"record with id: (\w{15,18})")
"""How a duplicate names the record that has the value already."""

FATES: dict[str, Fate] = {
    # The login was renewed once already when these are seen.
    "INVALID_SESSION_ID": _FATAL,
    "INVALID_AUTH_HEADER": _FATAL,
    "API_DISABLED_FOR_ORG": _FATAL,
    "API_CURRENTLY_DISABLED": _FATAL,
    "INSUFFICIENT_ACCESS": _FATAL,
    "UNSUPPORTED_API_VERSION": _FATAL,
    # The org has another schema than the settings say: every call fails the same way.
    "INVALID_FIELD": _FATAL,
    "INVALID_FIELD_FOR_INSERT_UPDATE": _FATAL,
    "INVALID_TYPE": _FATAL,
    "MALFORMED_QUERY": _FATAL,
    "NOT_FOUND": _FATAL,
    "STORAGE_LIMIT_EXCEEDED": _FATAL,
    "REQUEST_LIMIT_EXCEEDED": _THROTTLE,
    "TXN_SECURITY_METERING_ERROR": _THROTTLE,
    "UNABLE_TO_LOCK_ROW": _RETRY,
    "QUERY_TIMEOUT": _RETRY,
    "SERVER_UNAVAILABLE": _RETRY,
    "INVALID_QUERY_LOCATOR": _RETRY,
    "UNKNOWN_EXCEPTION": _UNSURE,
    "DUPLICATE_VALUE": _DUPLICATE,
    "DUPLICATES_DETECTED": _DUPLICATE,
    "DUPLICATE_EXTERNAL_ID": _DUPLICATE,
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": _VALUE,
    "FIELD_INTEGRITY_EXCEPTION": _VALUE,
    "STRING_TOO_LONG": _VALUE,
    "NUMBER_OUTSIDE_VALID_RANGE": _VALUE,
    "JSON_PARSER_ERROR": _VALUE,
    "MALFORMED_ID": _VALUE,
    "REQUIRED_FIELD_MISSING": _MISSING,
    "INVALID_CROSS_REFERENCE_KEY": _MAPPING,
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": _MAPPING,
    "ENTITY_IS_DELETED": _MAPPING,
    "INSUFFICIENT_ACCESS_OR_READONLY": _PERMISSION,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": _PERMISSION,
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": _OTHER,
}
"""Codes not listed are judged by the status."""


def error_of(reply: Reply, *, write: bool, pause_s: float, key: str | None = None) -> ConnectorError:
    """The error for an answer that is no success.

    Args:
        pause_s: how long to rest when the daily calls are used up.
        key: the external id that the write went by.
    """
    if reply.status == 300:
        words = "several records have this external id: make the field unique, merge them"
        return Rejected(words, reason="duplicate", peer_words=reply.words())
    code, message, fields = _first(reply)
    if code not in FATES:
        return fate_of(reply, write=write, words=f"{code}: {message}" if code else None)
    return named_error(code, message, write=write, pause_s=pause_s, made_meanwhile=key in fields)


def read_error(reply: Reply, *, pause_s: float) -> ConnectorError:
    """The error for a read. It concerns no single record: refused once, it is refused every time."""
    error = error_of(reply, write=False, pause_s=pause_s)
    if isinstance(error, Rejected):
        return Fatal(str(error), peer_words=error.peer_words)
    return error


def named_error(
    code: str, message: str, *, write: bool, pause_s: float, made_meanwhile: bool = False
) -> ConnectorError:
    """The error for a code, be it of a whole call or of one row of a collection.

    Args:
        made_meanwhile: the duplicate is in the key itself: two upserts of one new key met, and the other one
            made the record. The next upsert finds it.
    """
    fate = FATES.get(code, _OTHER)
    text = f"Salesforce says {code}"
    words = f"{code}: {message}"
    if code == "DUPLICATE_VALUE" and made_meanwhile:
        return Retryable(f"{text} of our key: the record was made meanwhile", peer_words=words)
    if code == "DUPLICATE_VALUE" and (other := _OTHER_RECORD.search(message)):
        text = f"{text}: {other[1]} has that value"
    if fate.error is Rejected:
        return Rejected(text, reason=fate.reason, peer_words=words)
    if fate.error is Throttled:
        return Throttled(text, retry_after_s=pause_s, peer_words=words)
    if fate.error is Unsure and not write:
        return Retryable(text, peer_words=words)
    return fate.error(f"{text}: {message[:200]}", peer_words=words)


def login_error(reply: Reply) -> ConnectorError:
    """The error for a refusal of the token endpoint, which answers with an object, not with an array."""
    try:
        body = reply.json()
        word, said = str(body["error"]), str(body.get("error_description", ""))
    except (Retryable, KeyError, TypeError, AttributeError):
        if 300 <= reply.status < 500:
            return Fatal(f"{reply.status} is no answer of a token endpoint; check login_url")
        return Retryable(f"the login answered {reply.status}", peer_words=reply.words())
    words = f"{word}: {said}"
    if "rate exceeded" in said:
        return Throttled("too many logins", retry_after_s=60.0, peer_words=words)
    if reply.status >= 500 or word in ("unknown_error", "temporarily_unavailable", "server_error"):
        return Retryable("the login failed", peer_words=words)
    return Fatal(f"the login was refused: {words}", peer_words=words)


def _first(reply: Reply) -> tuple[str, str, list[Any]]:
    """Code, message and fields of the first entry; blank where the answer has another form."""
    try:
        body: Any = reply.json()
    except Retryable:
        return "", "", []
    if isinstance(body, list) and body and isinstance(body[0], dict):
        first = body[0]
        fields = first.get("fields")
        listed = fields if isinstance(fields, list) else []
        return str(first.get("errorCode", "")), str(first.get("message", "")), listed
    return "", "", []
