"""Kantata's wire: pages, side loads, writes with proof, and what its errors mean to us.

A list answers ``{count, meta, results: [{key, id}], <collection>: {id: row}}``; only ``results`` has the
order and only ``results`` says what was asked for, since side loads share the maps.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import msgspec

from isthmus.sdk import (
    ConnectorError,
    Fatal,
    Http,
    Rejected,
    Reply,
    Retryable,
    Secret,
    Unsure,
)

Row = dict[str, Any]

# Words of a validation error, in order, and what a person must look at.
_REASONS = (
    ("already been taken", "duplicate"),
    ("already exists", "duplicate"),
    ("lock", "period"),
    ("period", "period"),
    ("blank", "missing"),
    ("required", "missing"),
    ("does not exist", "mapping"),
    ("not found", "mapping"),
    ("permission", "permission"),
    ("access", "permission"),
    ("budget", "cap"),
)


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One page: ``rows`` in the peer's order, ``sides`` by collection and id."""

    rows: list[Row]
    sides: dict[str, dict[str, Row]]
    page: int
    page_count: int

    @property
    def more(self) -> bool:
        return self.page < self.page_count

    def side(self, collection: str, id: object) -> Row | None:
        """A side-loaded record; None where ``id`` is None or was not sent along."""
        return None if id is None else self.sides.get(collection, {}).get(str(id))

    def sides_of(self, collection: str, ids: Iterable[object] | None) -> list[Row]:
        found = (self.side(collection, id) for id in ids or ())
        return [row for row in found if row is not None]


class Bearer:
    """The token on every request. It never expires, so a 401 is final and nothing is renewed."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self._token.reveal()}"}

    def refused(self, reply: Reply) -> bool:
        return False

    def renew(self) -> None:
        return


class Client:
    """The calls this connector makes."""

    def __init__(self, http: Http, *, page_size: int) -> None:
        self._http = http
        self._page_size = page_size

    async def list(
        self, collection: str, params: Mapping[str, str | int], *, page: int = 1, per_page: int | None = None
    ) -> Listing:
        """One page of a collection.

        Raises:
            Retryable: no answer, or one that is no listing.
            Fatal: the token or the base URL is wrong.
        """
        reply = await self._http.get(
            collection, params={**params, "page": page, "per_page": per_page or self._page_size}
        )
        if not reply.ok:
            raise fate(reply, write=False)
        return _listing(reply.json(), collection, page)

    async def every(
        self, collection: str, params: Mapping[str, str | int], *, per_page: int | None = None
    ) -> AsyncIterator[Listing]:
        """All pages of a collection, in turn."""
        page = 1
        while True:
            listing = await self.list(collection, params, page=page, per_page=per_page)
            yield listing
            if not listing.more:
                return
            page += 1

    async def me(self) -> tuple[Row, Reply]:
        """The user whose token this is, and the whole reply for its headers."""
        reply = await self._http.get("users/me")
        if not reply.ok:
            raise fate(reply, write=False)
        listing = _listing(reply.json(), "users", 1)
        if not listing.rows:
            raise Fatal("Kantata does not say whose token this is; make a new one for the service user")
        return listing.rows[0], reply

    async def write(
        self, method: str, path: str, collection: str, body: Row, *, include: str = ""
    ) -> tuple[Row, Listing]:
        """Create or change one record; returns it as Kantata now holds it, with its side loads.

        Raises:
            Unsure: no answer, or a success that does not show the record.
            Rejected: Kantata refused the record, in its own words.
        """
        reply = await self._http.request(
            method, path, json=body, params={"include": include} if include else None
        )
        if not reply.ok:
            raise fate(reply, write=True)
        try:
            listing = _listing(reply.json(), collection, 1)
        except Retryable as error:
            raise Unsure(f"{method} {path}: {error}", peer_words=reply.words()) from error
        if len(listing.rows) != 1:
            raise Unsure(
                f"{method} {path} answered {reply.status} without the record", peer_words=reply.words()
            )
        return listing.rows[0], listing


def fate(reply: Reply, *, write: bool) -> ConnectorError:
    """The error that an answer which is no success stands for.

    401 is Fatal, since tokens do not expire. 403 is about one record on a write, about the token on a
    read. Every 5xx after a write leaves doubt: Kantata gives up at three minutes and may have written.
    """
    words = _words(reply)
    message = f"Kantata answered {reply.status}: {words[:200]}"
    match reply.status:
        case 401:
            return Fatal(message, peer_words=words)
        case 403:
            if write:
                return Rejected(message, reason="permission", peer_words=words)
            return Fatal(message, peer_words=words)
        case 404:
            if write:
                return Rejected(message, reason="missing", peer_words=words)
            return Fatal(message, peer_words=words)
        case 400 | 409 | 422:
            if not write:
                return Fatal(message, peer_words=words)
            return Rejected(message, reason=_reason(words), peer_words=words)
        case status if 300 <= status < 400:
            return Fatal(f"{message}; set base_url to where the API really is", peer_words=words)
        case status if status >= 500 or status in (408, 425):
            return Unsure(message, peer_words=words) if write else Retryable(message, peer_words=words)
        case _:
            return Rejected(message, peer_words=words)


def _words(reply: Reply) -> str:
    """``field message; field message`` from the error body, or the start of whatever came."""
    try:
        errors = reply.json()["errors"]
        return "; ".join(f"{e.get('field') or e.get('type') or ''} {e['message']}".strip() for e in errors)
    except (ConnectorError, LookupError, TypeError, AttributeError):
        return reply.words()


def _reason(words: str) -> str:
    low = words.lower()
    return next((reason for sign, reason in _REASONS if sign in low), "value")


def _listing(answer: Any, collection: str, page: int) -> Listing:
    """Read the envelope.

    Raises:
        Retryable: the answer is JSON, but no listing.
    """
    try:
        sides = {name: rows for name, rows in answer.items() if isinstance(rows, dict) and name != "meta"}
        rows = [sides[result["key"]][str(result["id"])] for result in answer["results"]]
        meta = answer.get("meta") or {}
        rows = [{**row, "id": str(row["id"])} for row in rows]
        return Listing(
            rows=rows, sides=sides, page=page, page_count=int(meta.get("page_count") or (1 if rows else 0))
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Retryable(
            f"the answer is no listing of {collection}: {type(error).__name__} {error}"
        ) from error
