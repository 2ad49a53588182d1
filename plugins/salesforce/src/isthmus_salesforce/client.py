"""Salesforce's wire: login, queries, upserts. Shapes are theirs; nothing is known of events here."""

import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, quote_plus

import jwt
import msgspec

from isthmus.sdk import (
    ConnectorError,
    Context,
    Fatal,
    Http,
    Rejected,
    Reply,
    Retryable,
    Throttled,
    Unsure,
)
from isthmus_salesforce.errors import error_of, login_error, named_error, read_error
from isthmus_salesforce.settings import SalesforceSettings

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_S = 170
"""Salesforce wants assertions of at most three minutes."""

LIST_BYTES = 10_000
"""Salesforce takes URLs of 16,384 bytes; the rest is for columns and conditions."""

# Numbers go out as numbers with all their digits; Salesforce keeps them as doubles.
_encode = msgspec.json.Encoder(decimal_format="number").encode

Record = dict[str, Any]


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Records of one answer; ``next`` leads to the following ones, None after the last.

    ``served_at`` is the server's own clock.
    """

    records: list[Record]
    next: str | None
    served_at: datetime | None


class Upserted(msgspec.Struct, frozen=True, kw_only=True):
    """A record after an upsert; old API versions name neither id nor whether it is new."""

    id: str | None
    created: bool | None


class Login:
    """Asks for access tokens, with an assertion or with the app's secret."""

    def __init__(self, http: Http, settings: SalesforceSettings, ctx: Context) -> None:
        self._http = http
        self._settings = settings
        self._ctx = ctx
        self.instance_url: str | None = None
        """Where the last token said that the org is."""
        self.user_id: str | None = None
        """Whom the last token stands for."""

    async def token(self) -> str:
        """
        Raises:
            Fatal: the credentials are wrong, or the app does not let the user in.
            Throttled: too many logins.
            Retryable: no answer.
        """
        reply = await self._http.post("/services/oauth2/token", form=self._form(), write=False)
        if not reply.ok:
            raise login_error(reply)
        body = reply.json()
        try:
            self.instance_url = body.get("instance_url")
            self.user_id = str(body.get("id") or "").rpartition("/")[2] or None
            return str(body["access_token"])
        except (KeyError, TypeError, AttributeError):
            raise Retryable("the login gave no access_token") from None

    def _form(self) -> dict[str, str]:
        settings = self._settings
        if settings.private_key is None:
            assert settings.client_secret is not None, "checked with the settings"
            return {
                "grant_type": "client_credentials",
                "client_id": settings.client_id,
                "client_secret": settings.client_secret.reveal(),
            }
        claims = {
            "iss": settings.client_id,
            "sub": settings.username,
            "aud": settings.audience,
            "exp": int(self._ctx.now().timestamp()) + ASSERTION_S,
        }
        try:
            assertion = jwt.encode(claims, settings.private_key.reveal(), algorithm="RS256")
        except (jwt.InvalidKeyError, ValueError, TypeError):
            raise Fatal("private_key is no PEM of an RSA private key") from None
        return {"grant_type": JWT_BEARER, "assertion": assertion}


class Client:
    """The REST API of one org at one version."""

    def __init__(self, http: Http, settings: SalesforceSettings) -> None:
        self._http = http
        self._settings = settings
        self._base = f"/services/data/{settings.api_version}"
        self.used_pct = 0.0
        """Share of the daily API calls used, as the last answer said."""

    async def query(self, soql: str, *, deleted: bool = False) -> Batch:
        """The first batch of a query; ``deleted`` shows the recycle bin too."""
        path = f"{self._base}/{'queryAll' if deleted else 'query'}"
        return self._batch(await self._read(path, params={"q": soql}))

    async def rows(self, soql: str) -> list[Record]:
        """All records of a query. A locator that Salesforce dropped is asked for once more.

        Raises:
            Retryable: the locator was dropped twice, or no answer came.
        """
        for last_try in (False, True):
            batch = await self.query(soql)
            found, seen = list(batch.records), set[str]()
            try:
                while batch.next is not None:
                    _check_new(batch.next, seen)
                    batch = self._batch(await self._read(batch.next))
                    found.extend(batch.records)
            except Retryable as error:
                if last_try or "INVALID_QUERY_LOCATOR" not in (error.peer_words or ""):
                    raise
            else:
                return found
        raise AssertionError("the second try returns or raises")

    async def each(self, columns: Sequence[str], item: str, *, where: Sequence[str]) -> AsyncIterator[Record]:
        """All records that fit, by id, a page in memory at a time; no locator is kept on the server."""
        size, last = self._settings.page_size, ""
        while True:
            onward = [f"Id > {quoted(last)}"] if last else []
            query = select(columns, item, where=[*where, *onward], order=["Id"], limit=size)
            batch = await self.query(query)
            for record in batch.records:
                yield record
            if not batch.records or (batch.next is None and len(batch.records) < size):
                return
            if str(batch.records[-1]["Id"]) == last:
                raise Retryable(f"a page of {item} does not lie behind {last}")
            last = str(batch.records[-1]["Id"])

    async def upsert(self, item: str, field: str, key: str, body: Mapping[str, Any]) -> Upserted:
        """Create or update the record of ``item`` whose external id ``field`` is ``key``.

        Raises:
            Unsure: no answer, or one that does not prove the write.
        """
        check_key(key)
        path = f"{self._base}/sobjects/{item}/{field}/{quote(key, safe='')}"
        reply = await self._send("PATCH", path, dict(body), key=field)
        if reply.status == 204:
            return Upserted(id=None, created=None)
        return _upserted(_json_of_write(reply), self._settings.limit_pause_s, key=field)

    async def upsert_many(
        self, item: str, field: str, rows: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> list[Upserted | ConnectorError]:
        """Up to 200 upserts in one call, each with its own outcome, in order."""
        records = [{"attributes": {"type": item}, field: key, **body} for key, body in rows]
        return await self._collection(f"/{item}/{field}", records, key=field)

    async def update_many(
        self, rows: Sequence[tuple[str, str, Mapping[str, Any]]]
    ) -> list[Upserted | ConnectorError]:
        """Up to 200 updates of records named by object and id, each with its own outcome, in order."""
        records = [{"attributes": {"type": item}, "id": id, **body} for item, id, body in rows]
        return await self._collection("", records)

    async def _collection(
        self, path: str, records: Sequence[Mapping[str, Any]], *, key: str | None = None
    ) -> list[Upserted | ConnectorError]:
        """A collection answers 200 whatever becomes of its rows; what is raised concerns all of them."""
        body = {"allOrNone": False, "records": records}
        reply = await self._send("PATCH", f"{self._base}/composite/sobjects{path}", body)
        answers = _json_of_write(reply)
        if not isinstance(answers, list) or len(answers) != len(records):
            words = reply.words()
            raise Unsure(f"{len(records)} rows were sent, the answer is not as long", peer_words=words)
        outcomes: list[Upserted | ConnectorError] = []
        for answer in answers:
            try:
                outcomes.append(_upserted(answer, self._settings.limit_pause_s, key=key))
            except ConnectorError as error:
                outcomes.append(error)
        return outcomes

    async def describe(self, item: str) -> dict[str, Any]:
        """The fields of an object, as Salesforce describes them."""
        found: dict[str, Any] = (await self._read(f"{self._base}/sobjects/{item}/describe")).json()
        return found

    async def versions(self) -> list[str]:
        """The API versions the org has: ``v64.0``."""
        return [f"v{entry['version']}" for entry in (await self._read("/services/data")).json()]

    async def usage(self) -> float:
        """The share of the daily API calls that is used, in percent, freshly asked for."""
        reply = await self._read(f"{self._base}/limits")
        try:
            calls = reply.json()["DailyApiRequests"]
            self.used_pct = 100.0 * (calls["Max"] - calls["Remaining"]) / max(1, calls["Max"])
        except (KeyError, TypeError):
            raise Retryable("the limits do not name DailyApiRequests", peer_words=reply.words()) from None
        return self.used_pct

    async def clock(self) -> datetime | None:
        """The server's time; None when it does not tell."""
        return _served_at(await self._read("/services/data"))

    async def _read(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        reply = self._noted(await self._http.get(path, params=params))
        if not reply.ok:
            raise read_error(reply, pause_s=self._settings.limit_pause_s)
        return reply

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any], *, key: str | None = None
    ) -> Reply:
        headers = {"content-type": "application/json"}
        if self._settings.save_duplicates:
            headers["sforce-duplicate-rule-header"] = "allowSave=true"
        reply = self._noted(
            await self._http.request(method, path, content=_encode(body), headers=headers, write=True)
        )
        if not reply.ok:
            raise error_of(reply, write=True, pause_s=self._settings.limit_pause_s, key=key)
        return reply

    def _noted(self, reply: Reply) -> Reply:
        """Remember what ``Sforce-Limit-Info: api-usage=18/5000`` says."""
        told = reply.headers.get("sforce-limit-info", "").partition("api-usage=")[2]
        used, _, most = told.split(";")[0].partition("/")
        if used.isdigit() and most.isdigit() and int(most):
            self.used_pct = 100.0 * int(used) / int(most)
        return reply

    def _batch(self, reply: Reply) -> Batch:
        body = reply.json()
        try:
            next_url = None if body["done"] else body["nextRecordsUrl"]
            return Batch(records=list(body["records"]), next=next_url, served_at=_served_at(reply))
        except (KeyError, TypeError):
            raise Retryable("the answer is no query result", peer_words=reply.words()) from None


def check_budget(used_pct: float, settings: SalesforceSettings, *, under_way: bool) -> None:
    """
    Args:
        under_way: a look at a stream has begun; it may go on until only the reserve for writing is left.

    Raises:
        Throttled: so many of the day's calls are used that the rest is kept.
    """
    reserve_from = 100.0 - settings.write_reserve_pct
    limit = max(settings.poll_budget_pct, reserve_from) if under_way else settings.poll_budget_pct
    if used_pct >= min(limit, reserve_from):
        raise Throttled(
            f"{used_pct:.0f} % of the day's API calls are used; reading rests",
            retry_after_s=settings.limit_pause_s,
        )


def select(
    columns: Sequence[str],
    item: str,
    *,
    where: Sequence[str],
    order: Sequence[str] = (),
    limit: int | None = None,
) -> str:
    """A query whose conditions all hold. Values in them are made by `quoted` or are literals of ours."""
    parts = ["SELECT", ", ".join(columns), "FROM", item, "WHERE", " AND ".join(where)]
    if order:
        parts += ["ORDER BY", ", ".join(order)]
    if limit is not None:
        parts += ["LIMIT", str(limit)]
    return " ".join(parts)


def one_of(field: str, values: Sequence[str]) -> str:
    """The condition that ``field`` is one of these texts."""
    return f"{field} IN ({', '.join(quoted(value) for value in values)})"


def portions(values: Sequence[str]) -> list[Sequence[str]]:
    """``values`` in parts whose `one_of` fits into a URL, however long each of them is there."""
    parts: list[list[str]] = []
    room = 0
    for value in values:
        size = len(quote_plus(f"{quoted(value)}, "))
        if not parts or size > room:
            parts.append([])
            room = LIST_BYTES
        parts[-1].append(value)
        room -= size
    return list(parts)


def quoted(text: str) -> str:
    """A SOQL string."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def check_key(key: str) -> None:
    """
    Raises:
        Rejected: Salesforce would keep another text, so that two of our keys could become one.
    """
    if key != " ".join(key.split()) or unicodedata.normalize("NFC", key) != key or not key.isprintable():
        raise Rejected(
            f"the key {key!r} would not stay as it is in Salesforce: it has blanks at its ends, several in a "
            "row, signs that do not show, or letters in two parts",
            reason="value",
        )


def number(value: object) -> Decimal | None:
    """A number of an answer. Doubles come in Java's form, ``1.0E7`` for ten million.

    Raises:
        ValueError: it is no finite number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no number")
    try:
        read = Decimal(value)
    except ArithmeticError:
        raise ValueError(f"{value!r} is no number") from None
    if not read.is_finite() or not -7 < read.adjusted() < 16:
        if read != 0:
            raise ValueError(f"{value!r} is out of range")
        return Decimal(0)
    return Decimal(f"{read:f}")


def _check_new(link: str, seen: set[str]) -> None:
    """
    Raises:
        Retryable: the server gave this link before, so that following it would never end.
    """
    if link in seen:
        raise Retryable(f"the answer leads to {link} again and again")
    seen.add(link)


def _json_of_write(reply: Reply) -> Any:
    try:
        return reply.json()
    except Retryable:
        raise Unsure("the answer to a write is no JSON", peer_words=reply.words()) from None


def _upserted(answer: Any, pause_s: float, *, key: str | None = None) -> Upserted:
    """
    Raises:
        ConnectorError: what the row's own error says; Unsure when the answer proves nothing.
    """
    if not isinstance(answer, dict):
        raise Unsure("the answer to an upsert names no record")
    if answer.get("success") is False and answer.get("errors"):
        first = answer["errors"][0]
        code, message = str(first.get("statusCode", "")), str(first.get("message", ""))
        made_meanwhile = key in (first.get("fields") or ())
        raise named_error(code, message, write=True, pause_s=pause_s, made_meanwhile=made_meanwhile)
    id, created = answer.get("id"), answer.get("created")
    if answer.get("success") is not True or not isinstance(id, str) or not id:
        raise Unsure("the answer to an upsert names no record", peer_words=str(answer)[:500])
    return Upserted(id=id, created=created if isinstance(created, bool) else None)


def _served_at(reply: Reply) -> datetime | None:
    try:
        return parsedate_to_datetime(reply.headers["date"])
    except (KeyError, ValueError):
        return None
