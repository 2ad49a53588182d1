"""Runn's wire: headers, pages, error bodies. It knows no event and no rule.

Every answer that is no success becomes an error with a fate here:

======  ==================================  ==========================================================
status  what Runn means                     fate
======  ==================================  ==========================================================
400     the request is not valid            Rejected (value); Fatal where it names ``accept-version``
400     timesheets are locked               Rejected (period)
401     unknown or expired token            Fatal
403     the token lacks the scope           Fatal
404     the record is gone                  Rejected (missing); on a collection Fatal: wrong base URL
409     it exists already                   Rejected (duplicate)
422     not possible for this account       Rejected (value)
429     too many requests                   Throttled; see `quota` for how that is kept from happening
3xx     it moved                            Fatal: ``base_url`` is another one
5xx     their fault                         Retryable; Unsure after a write that may have happened
======  ==================================  ==========================================================
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import trio

from isthmus.sdk import ConnectorError, Fatal, Http, Rejected, Reply, Retryable, Throttled, Unsure, fate_of
from isthmus_runn.quota import Quota

PATIENCE_S = 2.0
"""A call waits so long for its place; then the whole connector rests."""
ACCEPT_VERSION = {"accept-version": "1.0.0"}

_encoder = msgspec.json.Encoder(decimal_format="number")

Values = list[dict[str, Any]]


class Client:
    """Calls of the Runn API v1."""

    def __init__(self, http: Http, *, page_size: int, wall: Callable[[], datetime]) -> None:
        self._http = http
        self._page_size = page_size
        self._wall = wall
        self._quota = Quota()

    async def get(self, path: str) -> dict[str, Any]:
        """One record.

        Raises:
            Rejected: there is none (reason ``missing``).
        """
        reply = await self._ask("GET", path)
        return _object(_checked(reply, path, write=False, record=True), reply)

    async def reply(self, path: str) -> Reply:
        """A successful answer with its headers, for a probe."""
        reply = await self._ask("GET", path)
        _checked(reply, path, write=False, record=False)
        return reply

    async def page(
        self, path: str, params: Mapping[str, str | int], cursor: str | None = None
    ) -> tuple[Values, str | None]:
        """One page of a collection, and the cursor of the next one.

        Raises:
            Retryable: the answer has no list of values, or the same cursor again.
        """
        query: dict[str, str | int] = {"limit": self._page_size, **params}
        if cursor is not None:
            query["cursor"] = cursor
        reply = await self._ask("GET", path, params=query)
        body = _checked(reply, path, write=False, record=False)
        values = body.get("values") if isinstance(body, dict) else None
        if not isinstance(values, list) or not all(isinstance(item, dict) for item in values):
            raise Retryable(f"{path} answered without a list of values", peer_words=reply.words())
        following = body.get("nextCursor")
        if following is not None and following == cursor:
            raise Retryable(f"{path} gave the cursor of the page before once more")
        return values, following

    async def every(self, path: str, params: Mapping[str, str | int]) -> AsyncIterator[dict[str, Any]]:
        """A whole collection, page by page.

        Raises:
            Retryable: the cursors lead in a circle.
        """
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            values, cursor = await self.page(path, params, cursor)
            for value in values:
                yield value
            if cursor is None:
                return
            if cursor in seen:
                raise Retryable(f"{path} leads in a circle of {len(seen)} pages")
            seen.add(cursor)

    async def post(self, path: str, body: object) -> Any:
        """Create (or, for actuals, overwrite) and return what Runn answers."""
        return await self._write("POST", path, body)

    async def patch(self, path: str, body: object) -> dict[str, Any]:
        """Change only the properties in ``body``."""
        answer = await self._write("PATCH", path, body)
        if not isinstance(answer, dict):
            raise Unsure(f"PATCH {path} answered without the record")
        return answer

    async def _write(self, method: str, path: str, body: object) -> Any:
        # Runn wants numbers, not strings, for money; Decimal is written digit by digit, never as a float.
        reply = await self._ask(
            method,
            path,
            content=_encoder.encode(body),
            headers={"content-type": "application/json"},
        )
        answer = _checked(reply, path, write=True, record=method != "POST")
        if not answer:
            raise Unsure(f"{method} {path} answered {reply.status} with nothing in it")
        return answer

    async def _ask(self, method: str, path: str, **options: Any) -> Reply:
        """One call, when the quota allows it.

        Raises:
            Throttled: refused, or the next place is further away than we wait here; nothing was sent then.
        """
        now = trio.current_time()
        due = self._quota.due(now)
        if due > now + PATIENCE_S:
            raise Throttled("the calls of this window are used up", retry_after_s=due - now)
        await trio.sleep_until(self._quota.reserve(now))
        try:
            reply = await self._http.request(method, path, **options)
        except Throttled as error:
            pause = self._quota.refused(trio.current_time(), error.retry_after_s)
            raise Throttled(str(error), retry_after_s=pause, peer_words=error.peer_words) from error
        self._quota.learn(reply.headers, trio.current_time(), self._wall())
        return reply


def _checked(reply: Reply, path: str, *, write: bool, record: bool) -> Any:
    """The answer's JSON, if it is a success."""
    if not reply.ok:
        raise error_of(reply, path, write=write, record=record)
    try:
        return reply.json()
    except Retryable as error:
        if write:
            raise Unsure(
                f"{path} answered {reply.status}, but not with JSON", peer_words=reply.words()
            ) from error
        raise


def _object(answer: Any, reply: Reply) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise Retryable("the answer is no record", peer_words=reply.words())
    return answer


def error_of(reply: Reply, path: str, *, write: bool, record: bool) -> ConnectorError:
    """The error for an answer that is no success.

    Args:
        record: whether ``path`` names one record, so that 404 speaks of the record.
    """
    words = _words(reply)
    message = f"Runn answered {reply.status} to {path}: {words[:200]}"
    match reply.status:
        case 400 if "accept-version" in words.lower():
            return Fatal(f"{message}; this connector speaks version 1.0.0", peer_words=words)
        case 400 if "locked" in words.lower():
            return Rejected(
                f"{message}; unlock the timesheets, then retry", reason="period", peer_words=words
            )
        case 400 | 422:
            return Rejected(message, reason="value", peer_words=words)
        case 401:
            return Fatal(
                f"{message}; the token is wrong or expired: make one in Settings > API", peer_words=words
            )
        case 403:
            return Fatal(f"{message}; the token needs read and write scope", peer_words=words)
        case 404 if record:
            return Rejected(f"{message}; it was deleted in Runn", reason="missing", peer_words=words)
        case 404:
            return Fatal(f"{message}; compare base_url with Settings > API", peer_words=words)
        case 409:
            return Rejected(message, reason="duplicate", peer_words=words)
    return fate_of(reply, write=write, words=words)


def _words(reply: Reply) -> str:
    """Runn's own sentence: ``message`` of ``{"statusCode", "error", "message"}``."""
    try:
        body = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return reply.words()
    return str(body["message"]) if isinstance(body, dict) and body.get("message") else reply.words()


def number(value: object) -> Decimal | None:
    """A JSON number of an answer (an int, or a string of digits) as a Decimal; None stays None."""
    return None if value is None else Decimal(str(value))
