"""NetSuite's wire: records by id or external id, and SuiteQL. No business rule, no translation."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from isthmus.sdk import Http, Reply, Retryable, Unsure
from isthmus_netsuite.errors import error_of, problem_of

RECORDS = "/services/rest/record/v1"
SUITEQL = "/services/rest/query/v1/suiteql"
STRICT = {"x-netsuite-propertynamevalidation": "Error"}
"""A misspelt property is refused instead of dropped in silence."""
ABSENT = {"NONEXISTENT_ID", "RCRD_DSNT_EXIST"}

Row = dict[str, str]
_numbers = msgspec.json.Encoder(decimal_format="number")


class Client:
    """One account. Every method raises what `isthmus_netsuite.errors` makes of an error answer."""

    def __init__(self, http: Http, *, page_size: int) -> None:
        self.http = http
        self.page_size = page_size

    async def upsert(
        self, type: str, external_id: str, body: Mapping[str, Any], *, replace: tuple[str, ...] = ()
    ) -> str:
        """PUT by external id; returns the record's internal id.

        Args:
            replace: sublists whose lines are replaced by those sent; else an update would append them.

        Raises:
            Unsure: the answer is a success that names no record.
        """
        path = f"{RECORDS}/{type}/eid:{quote(external_id, safe=':')}"
        if replace:
            path += "?" + urlencode({"replace": ",".join(replace)})
        return self._named(await self._write("PUT", path, body))

    async def change(self, type: str, id: str, body: Mapping[str, Any]) -> str:
        """PATCH by internal id; returns the id."""
        reply = await self._write("PATCH", f"{RECORDS}/{type}/{quote(id)}", body)
        named = self._named(reply)
        if named != id:
            raise Unsure(f"PATCH of {type} {id} was answered with record {named}", peer_words=reply.words())
        return named

    async def read(self, type: str, *, id: str | None = None, external_id: str = "") -> Any | None:
        """A record with its sublists; None when NetSuite says that there is none."""
        name = quote(id) if id is not None else f"eid:{quote(external_id, safe=':')}"
        reply = await self.http.get(f"{RECORDS}/{type}/{name}?expandSubResources=true")
        if reply.status == 404 and problem_of(reply).code in ABSENT:
            return None
        if not reply.ok:
            raise error_of(reply, write=False)
        record = reply.json()
        if not isinstance(record, dict) or not record.get("id"):
            raise Retryable(f"the answer for {type} {name} is no record", peer_words=reply.words())
        return record

    async def query(self, q: str) -> list[Row]:
        """The first page of a SuiteQL query."""
        rows, _ = await self._page(q, 0)
        return rows

    async def query_all(self, q: str) -> AsyncIterator[Row]:
        """All pages of a SuiteQL query that has a unique order."""
        offset = 0
        while True:
            rows, more = await self._page(q, offset)
            for row in rows:
                yield row
            if not more:
                return
            offset += self.page_size

    async def _page(self, q: str, offset: int) -> tuple[list[Row], bool]:
        reply = await self.http.request(
            "POST",
            # In the path, not as parameters: OAuth 1.0a signs the query string.
            f"{SUITEQL}?limit={self.page_size}&offset={offset}",
            json={"q": q},
            headers={"prefer": "transient"},
            write=False,
        )
        if not reply.ok:
            raise error_of(reply, write=False)
        body = reply.json()
        items = body.get("items") if isinstance(body, dict) else None
        if not isinstance(items, list) or len(items) > self.page_size:
            raise Retryable(
                "the SuiteQL answer has no items, or more than the page", peer_words=reply.words()
            )
        rows = [{name: str(value) for name, value in item.items() if name != "links"} for item in items]
        return rows, bool(body.get("hasMore"))

    async def _write(self, method: str, path: str, body: Mapping[str, Any]) -> Reply:
        headers = {"content-type": "application/json", **STRICT}
        reply = await self.http.request(method, path, content=_numbers.encode(body), headers=headers)
        if not reply.ok:
            raise error_of(reply, write=True)
        return reply

    def _named(self, reply: Reply) -> str:
        """The internal id in ``Location``."""
        last = urlsplit(reply.headers.get("location", "")).path.rsplit("/", 1)[-1]
        if reply.status != 204 or not last.isdecimal():
            raise Unsure(
                f"a write was answered {reply.status} without the record's Location",
                peer_words=reply.words(),
            )
        return last
