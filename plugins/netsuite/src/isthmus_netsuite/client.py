"""NetSuite's wire: records by id or external id, SuiteQL, jobs. No business rule, no translation."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from isthmus.sdk import Http, Reply, Retryable, Unsure
from isthmus_netsuite.budget import Budget
from isthmus_netsuite.errors import error_of, problem_of

RECORDS = "/services/rest/record/v1"
SUITEQL = "/services/rest/query/v1/suiteql"
LIMITS = "/services/rest/system/v1/governanceLimits"
STRICT = {"x-netsuite-propertynamevalidation": "Error"}
"""A misspelt property is refused instead of dropped in silence."""
JSON = {"content-type": "application/json"}
ABSENT = {"NONEXISTENT_ID", "RCRD_DSNT_EXIST"}

Row = dict[str, str]
_numbers = msgspec.json.Encoder(decimal_format="number")


class Client:
    """One account. Every method raises what `isthmus_netsuite.errors` makes of an error answer."""

    def __init__(self, http: Http, *, page_size: int, budget: Budget) -> None:
        self.page_size = page_size
        self.budget = budget
        self._http = http

    # Records

    async def upsert(
        self, type: str, external_id: str, body: Mapping[str, Any], *, replace: tuple[str, ...] = ()
    ) -> str:
        """PUT by external id; returns the record's internal id.

        Args:
            replace: sublists whose lines are replaced by those sent; else an update would append them.

        Raises:
            Unsure: the answer is a success that names no record.
        """
        return _named(await self.write("PUT", eid_path(type, external_id, replace), body))

    async def create(self, type: str, body: Mapping[str, Any]) -> str:
        """POST; returns the record's internal id. Sent twice it makes two records."""
        return _named(await self.write("POST", f"{RECORDS}/{type}", body))

    async def change(self, type: str, id: str, body: Mapping[str, Any]) -> str:
        """PATCH by internal id; returns the id."""
        reply = await self.write("PATCH", f"{RECORDS}/{type}/{quote(id)}", body)
        named = _named(reply)
        if named != id:
            raise Unsure(f"PATCH of {type} {id} was answered with record {named}", peer_words=reply.words())
        return named

    async def read(self, type: str, *, id: str | None = None, external_id: str = "") -> Any | None:
        """A record with its sublists; None when NetSuite says that there is none."""
        name = quote(id) if id is not None else f"eid:{quote(external_id, safe=':')}"
        return await self._record(f"{RECORDS}/{type}/{name}?expandSubResources=true")

    async def modified_at(self, type: str, id: str) -> datetime | None:
        """When a record was last saved, as an instant; None when it is no more.

        Raises:
            ValueError: it tells no such time, or not in ISO 8601.
        """
        record = await self._record(f"{RECORDS}/{type}/{quote(id)}?fields=lastModifiedDate")
        if record is None:
            return None
        moment = datetime.fromisoformat(str(record.get("lastModifiedDate", "")))
        if moment.tzinfo is None:
            raise ValueError(f"lastModifiedDate {moment} names no time zone")
        return moment

    async def _record(self, path: str) -> Any | None:
        reply = await self.send("GET", path, accept=_absent)
        if not reply.ok:
            return None
        record = reply.json()
        if not isinstance(record, dict) or not record.get("id"):
            raise Retryable(f"the answer for {urlsplit(path).path} is no record", peer_words=reply.words())
        return record

    # SuiteQL

    async def query(self, q: str) -> list[Row]:
        """The first page of a SuiteQL query."""
        rows, _ = await self.page(q)
        return rows

    async def walk(
        self, columns: str, tables: str, *, where: str, keys: Mapping[str, str], group: str = ""
    ) -> AsyncIterator[Row]:
        """All rows of a query, page by page; each page starts behind the last row of the one before.

        Offsets would shift when rows come or go in between, and end at 100,000 rows.

        Args:
            keys: What orders the rows uniquely: expressions by the names of their columns, whole numbers.

        Raises:
            Retryable: a page starts before the end of the one before.
        """
        order = ", ".join(keys.values())
        last: tuple[int, ...] | None = None
        while True:
            behind = "" if last is None else f" AND ({after(list(zip(keys.values(), last, strict=True)))})"
            grouped = f" GROUP BY {group}" if group else ""
            rows, more = await self.page(
                f"SELECT {columns} FROM {tables} WHERE ({where}){behind}{grouped} ORDER BY {order}"  # noqa: S608
            )
            for row in rows:
                at = tuple(int(row[name]) for name in keys)
                if last is not None and at <= last:
                    raise Retryable(f"SuiteQL repeats itself: {at} of {tables} comes after {last}")
                last = at
                yield row
            if not more:
                return

    async def page(self, q: str) -> tuple[list[Row], bool]:
        """The first page of a query, and whether there are more rows behind it."""
        # In the path, not as parameters: OAuth 1.0a signs the query string.
        reply = await self.send(
            "POST",
            f"{SUITEQL}?limit={self.page_size}&offset=0",
            json={"q": q},
            headers={"prefer": "transient"},
        )
        body = reply.json()
        items = body.get("items") if isinstance(body, dict) else None
        if not isinstance(items, list) or len(items) > self.page_size:
            raise Retryable(
                "the SuiteQL answer has no items, or more than the page", peer_words=reply.words()
            )
        rows = [{name: str(value) for name, value in item.items() if name != "links"} for item in items]
        more = bool(body.get("hasMore"))
        if more and not rows:
            raise Retryable("the SuiteQL answer is empty, but tells of more", peer_words=reply.words())
        return rows, more

    # Calls

    async def write(
        self,
        method: str,
        path: str,
        body: object,
        *,
        headers: Mapping[str, str] = STRICT,
        accept: Callable[[Reply], bool] = lambda reply: False,
    ) -> Reply:
        """Send a body whose decimals are numbers; misspelt properties are refused."""
        content = _numbers.encode(body)
        return await self.send(
            method, path, write=True, accept=accept, content=content, headers={**JSON, **STRICT, **headers}
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        write: bool = False,
        accept: Callable[[Reply], bool] = lambda reply: False,
        **options: Any,
    ) -> Reply:
        """One call within the budget.

        Args:
            accept: Error answers that the caller reads itself.
        """
        async with self.budget.slot():
            reply = await self._http.request(method, path, write=write, **options)
            if not reply.ok and not accept(reply):
                raise error_of(reply, write=write)
            return reply


def eid_path(type: str, external_id: str, replace: tuple[str, ...] = ()) -> str:
    return f"{RECORDS}/{type}/eid:{quote(external_id, safe=':')}{replacing(replace)}"


def replacing(sublists: tuple[str, ...]) -> str:
    """The query that makes an update replace the lines of these sublists."""
    return "?" + urlencode({"replace": ",".join(sublists)}) if sublists else ""


def after(last: list[tuple[str, int]]) -> str:
    """The condition for rows behind ``last``, in the order of its expressions."""
    (key, value), *rest = last
    return f"{key} > {value}" + (f" OR ({key} = {value} AND ({after(rest)}))" if rest else "")


def _absent(reply: Reply) -> bool:
    return reply.status == 404 and bool(problem_of(reply).codes & ABSENT)


def _named(reply: Reply) -> str:
    """The internal id in ``Location``."""
    last = urlsplit(reply.headers.get("location", "")).path.rsplit("/", 1)[-1]
    if reply.status != 204 or not last.isdecimal():
        raise Unsure(
            f"a write was answered {reply.status} without the record's Location", peer_words=reply.words()
        )
    return last
