"""What a peer answered, and what its answer means where the vendor's own table says nothing."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from isthmus.sdk.errors import ConnectorError, Fatal, Rejected, Retryable, Unsure
from isthmus.sdk.scrub import scrub

__all__ = ["Reply", "fate_of", "retry_after"]

RETRY_AFTER_MAX_S = 86400.0
"""The longest pause a peer is believed to mean."""
VALUES_MAX = 500_000
"""Values in one body. Millions of empty lists fit a body within its limit, and take seconds to build."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that was read to its end. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as plain values.

        Numbers with a point come as strings of their digits, so that money never passes a float.

        Raises:
            Retryable: the body is no JSON, or nested or crowded past reason; a proxy's error page under a
                200 is a passing fault.
        """
        place = f"answer {self.status} is not the JSON it should be"
        if self.body.count(b",") >= VALUES_MAX:
            raise Retryable(f"{place}: more than {VALUES_MAX} values")
        try:
            return _json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Retryable(f"{place}: {error}") from error

    def words(self) -> str:
        """The start of the body, for a person; without credentials."""
        return scrub(" ".join(self.body[:500].decode("utf-8", "replace").split()))


_json = msgspec.json.Decoder(float_hook=str)


def fate_of(reply: Reply, *, write: bool, words: str | None = None) -> ConnectorError:
    """The error for an answer that is not a success and that the vendor's own table does not name."""
    text = words or reply.words()
    message = f"the peer answered {reply.status}: {text[:200]}"
    if reply.status in (401, 403):
        return Fatal(message, peer_words=text)
    if reply.status in (408, 425) or reply.status >= 500:
        if write and reply.status in (500, 502, 504):
            return Unsure(message, peer_words=text)
        return Retryable(message, peer_words=text)
    if 300 <= reply.status < 400:
        return Fatal(f"the peer redirects ({reply.status}); set the base URL to where it really is")
    return Rejected(message, peer_words=text)


def retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header in either of its forms; more than a day is not believed."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    if not math.isfinite(seconds):
        return None
    return min(max(0.0, seconds), RETRY_AFTER_MAX_S)
