"""Kantata's wire: pages, side loads, writes with proof, and what its errors mean to us.

A list answers ``{count, meta, results: [{key, id}], <collection>: {id: row}}``; only ``results`` has the
order and only ``results`` says what was asked for, since side loads share the maps. An error answers
``{errors: [{type, message, field}]}``, now and then under a 200:

==========  ================================  ====================================================
type        what Kantata means                fate
==========  ================================  ====================================================
oauth       the token is unknown or revoked   Fatal: tokens do not expire
syntax      the request cannot be read        Fatal on a read, Rejected (value) on a write
validation  a field is not acceptable         Fatal on a read, Rejected by its words on a write
system      what the status says              403 and 404 on a write are about one record, on a read
                                              about the token or the base URL; 5xx is Retryable, after
                                              a write Unsure
==========  ================================  ====================================================

429 is Throttled, see `budgets`.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
import trio

from isthmus.sdk import (
    ConnectorError,
    Fatal,
    Http,
    Rejected,
    Reply,
    Retryable,
    Secret,
    Throttled,
    Unsure,
)
from isthmus_kantata.budgets import GENERAL, Budgets, name_of
from isthmus_kantata.paging import Place

Row = dict[str, Any]

REFS_MAX = 200
"""Most ids or references one call may name."""
URL_MAX = 4_000
"""Most characters they may take; what stands before an API often refuses URLs of 8 KB."""
PATIENCE_S, OWN_PATIENCE_S = 1.0, 8.0
"""A call waits so long for its place, one with a budget of its own longer; then the whole connector rests."""

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
    """One page: ``rows`` in the peer's order, ``sides`` by collection and id, ``more`` behind it."""

    rows: list[Row]
    sides: dict[str, dict[str, Row]]
    count: int
    more: bool = False

    @property
    def ids(self) -> list[str]:
        return [row["id"] for row in self.rows]

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
        self.page_size = page_size
        self._budgets = Budgets()

    async def list(
        self,
        collection: str,
        params: Mapping[str, str | int],
        *,
        place: Place | None = None,
        size: int | None = None,
    ) -> Listing:
        """One page of a collection, from its beginning or from ``place``.

        Raises:
            Retryable: no answer, or one that is no listing.
            Throttled: 429, or this endpoint was refused just now.
            Fatal: the token or the base URL is wrong.
        """
        skip = place.skip if place is not None else 0
        query = {**params, "limit": size or self.page_size, "offset": skip}
        reply = await self._ask("GET", collection, params=query)
        return _listing(_answer(reply, write=False), collection, skip)

    async def every(self, collection: str, params: Mapping[str, str | int]) -> AsyncIterator[Listing]:
        """All pages of a collection, in turn; a record that two pages show is given once."""
        place: Place | None = Place()
        given: set[str] = set()
        while place is not None:
            listing = await self.list(collection, params, place=place)
            rows = [row for row in listing.rows if row["id"] not in given]
            given.update(row["id"] for row in rows)
            yield msgspec.structs.replace(listing, rows=rows)
            place = place.following(listing.ids, size=self.page_size, more=listing.more)

    async def named(
        self, collection: str, filter_name: str, names: Sequence[str], params: Mapping[str, str | int]
    ) -> AsyncIterator[Listing]:
        """The pages of what ``filter_name`` picks by name, as many names a call as it and a URL may have.

        A name with a comma in it cannot be asked for: then everything is given, for the caller to pick.
        """
        if any("," in name for name in names):
            async for listing in self.every(collection, params):
                yield listing
            return
        for some in _portions(names):
            async for listing in self.every(collection, {**params, filter_name: ",".join(some)}):
                yield listing

    async def me(self) -> tuple[Row, Reply]:
        """The user whose token this is, and the whole reply for its headers."""
        reply = await self._ask("GET", "users/me")
        listing = _listing(_answer(reply, write=False), "users", 0)
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
        params = {"include": include} if include else None
        reply = await self._ask(method, path, params=params, json=body)
        try:
            listing = _listing(_answer(reply, write=True), collection, 0)
        except Unsure:
            raise
        except Retryable as error:
            raise Unsure(f"{method} {path}: {error}", peer_words=reply.words()) from error
        if len(listing.rows) != 1:
            raise Unsure(
                f"{method} {path} answered {reply.status} without the record", peer_words=reply.words()
            )
        return listing.rows[0], listing

    async def _ask(self, method: str, path: str, **options: Any) -> Reply:
        """One call, when its budgets allow it.

        Raises:
            Throttled: refused, or the next place is further away than we wait here; nothing happened.
        """
        own = name_of(method, path) != GENERAL
        until = trio.current_time() + (OWN_PATIENCE_S if own else PATIENCE_S)
        while True:
            now = trio.current_time()
            due = self._budgets.due(method, path, now)
            if due > until:
                raise Throttled(f"{method} {path} was refused just now", retry_after_s=due - now)
            await trio.sleep_until(self._budgets.reserve(method, path, now))
            try:
                reply = await self._http.request(method, path, **options)
            except Throttled as error:
                now = trio.current_time()
                pause = error.retry_after_s or self._budgets.refused(method, path, now)
                # 429 is answered before anything happens, so also a write can simply be made again.
                if not own or now + pause > until:
                    raise Throttled(str(error), retry_after_s=pause, peer_words=error.peer_words) from error
            else:
                self._budgets.taken(method, path)
                return reply


def _portions(names: Sequence[str]) -> Iterator[list[str]]:
    """The names in portions of at most `REFS_MAX`, each short enough for a URL."""
    some: list[str] = []
    length = 0
    for name in names:
        size = len(quote(name, safe="")) + len("%2C")
        if some and (len(some) == REFS_MAX or length + size > URL_MAX):
            yield some
            some, length = [], 0
        some.append(name)
        length += size
    if some:
        yield some


def fate(reply: Reply, *, write: bool) -> ConnectorError:
    """The error that an answer which is no success stands for: by its type, then by its status."""
    words = _words(reply)
    message = f"Kantata answered {reply.status}: {words[:200]}"
    kind = next((str(error.get("type")) for error in _errors(reply)), "")
    if kind == "oauth" or reply.status == 401:
        return Fatal(
            f"{message}; make a new token for the service user, Kantata's do not expire", peer_words=words
        )
    match reply.status:
        case 403:
            if write:
                return Rejected(message, reason="permission", peer_words=words)
            return Fatal(f"{message}; give the service user access", peer_words=words)
        case 404:
            if write:
                return Rejected(message, reason="missing", peer_words=words)
            return Fatal(f"{message}; compare base_url with Kantata's documentation", peer_words=words)
        case status if 300 <= status < 400:
            return Fatal(f"{message}; set base_url to where the API really is", peer_words=words)
        case status if status >= 500 or status in (408, 425):
            return Unsure(message, peer_words=words) if write else Retryable(message, peer_words=words)
    if kind == "system" and reply.ok:
        # An error under a 200: what was done before it is not known.
        return Unsure(message, peer_words=words) if write else Retryable(message, peer_words=words)
    if not write:
        return Fatal(message, peer_words=words)
    return Rejected(message, reason="value" if kind == "syntax" else _reason(words), peer_words=words)


def _answer(reply: Reply, *, write: bool) -> Any:
    """The JSON of a success.

    Raises:
        ConnectorError: it is none, whatever its status says.
    """
    if not reply.ok:
        raise fate(reply, write=write)
    answer = reply.json()
    if isinstance(answer, dict) and answer.get("errors"):
        raise fate(reply, write=write)
    return answer


def _errors(reply: Reply) -> list[Row]:
    try:
        return [error for error in reply.json()["errors"] if isinstance(error, dict)]
    except (ConnectorError, LookupError, TypeError):
        return []


def _words(reply: Reply) -> str:
    """``field message; field message`` from the error body, or the start of whatever came."""
    told = [f"{e.get('field') or e.get('type') or ''} {e.get('message')}".strip() for e in _errors(reply)]
    return "; ".join(told) or reply.words()


def _reason(words: str) -> str:
    low = words.lower()
    return next((reason for sign, reason in _REASONS if sign in low), "value")


def _listing(answer: Any, collection: str, skip: int) -> Listing:
    """Read the envelope.

    Raises:
        Retryable: the answer is JSON, but no listing.
    """
    try:
        sides = {name: rows for name, rows in answer.items() if isinstance(rows, dict) and name != "meta"}
        rows = [sides[result["key"]][str(result["id"])] for result in answer["results"]]
        rows = [{**row, "id": str(row["id"])} for row in rows]
        count = int(answer.get("count") or (answer.get("meta") or {}).get("count") or len(rows))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Retryable(
            f"the answer is no listing of {collection}: {type(error).__name__} {error}"
        ) from error
    return Listing(rows=rows, sides=sides, count=count, more=skip + len(rows) < count)
