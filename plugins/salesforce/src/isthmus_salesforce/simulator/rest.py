"""The REST API of the fake org: paths, sessions, limits and error answers."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.sdk.simulator import Simulator
from isthmus_salesforce.simulator import composite, query, subrequests
from isthmus_salesforce.simulator.acts import Acts
from isthmus_salesforce.simulator.login import (
    LOGIN_HOSTS,
    MY_DOMAIN,
    USERNAME,
    Login,
    LoginRefused,
    userinfo,
)
from isthmus_salesforce.simulator.org import Org, OrgRefused, Problem, SeveralMatch, not_found, refused
from isthmus_salesforce.simulator.schema import OBJECTS, described, summary
from isthmus_salesforce.simulator.soql import SoqlRefused, parse

OLDEST, NEWEST = 31, 67
DAILY_CALLS = 15_000
BATCH_MAX = 2_000
URL_MAX = 16_384
LOCATORS_KEPT = 1_000
LOCATOR_LIVES = timedelta(days=2)
_VERSIONED = re.compile(r"/services/data/v(\d+)\.0(?:/(.*))?")


class Salesforce(Simulator):
    """A fake org.

    It answers on its own address and, behind a TLS proxy, as ``login.salesforce.com``,
    ``test.salesforce.com`` and `my_domain`.
    """

    plugin: ClassVar[str] = "salesforce"
    hosts: ClassVar[tuple[str, ...]] = (*LOGIN_HOSTS, MY_DOMAIN)
    """The host names real clients use; map them to ``base_url`` in a proxy."""
    my_domain: ClassVar[str] = MY_DOMAIN

    def __init__(self, *, seed: int = 0, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(seed=seed, now=now)
        self.login = Login(self.memory, self._now)
        self.org = Org(self.ledger, self.next_id, self._now)
        self.org.memory = self.memory

    def _now(self) -> datetime:
        return self.now()

    def routes(self) -> Sequence[BaseRoute]:
        methods = ["GET", "POST", "PATCH", "PUT", "DELETE"]
        return [Route("/{path:path}", self._answer, methods=methods)]

    def credentials(self) -> dict[str, Any]:
        return {
            "login_url": self.base_url,
            "instance_url": self.base_url,
            "client_id": self.login.client_id,
            "client_secret": self.login.client_secret,
            "username": USERNAME,
            "private_key": self.login.private_key,
        }

    def acts(self) -> dict[str, Callable[..., Any]]:
        return Acts(self.org, self.login, self.memory, self._now).vocabulary()

    def restore(self, state_file: Path) -> None:
        super().restore(state_file)
        self.login.memory = self.org.memory = self.memory
        self.org.index()

    async def _answer(self, request: Request) -> Response:
        raw = bytes(request.scope.get("raw_path") or request.url.path.encode()).decode("latin-1")
        path = re.sub(r"/{2,}", "/", raw).rstrip("/") or "/"
        if len(raw) + len(request.scope["query_string"]) > URL_MAX:
            return PlainTextResponse("URI Too Long", status_code=414)
        try:
            return await self._dispatch(request, path)
        except LoginRefused as error:
            body = {"error": error.error, "error_description": str(error)}
            return JSONResponse(body, status_code=error.status)
        except (OrgRefused, SoqlRefused, SeveralMatch) as error:
            status, answer = _told(error, path)
            return JSONResponse(answer, status_code=status, headers=self._usage())

    async def _dispatch(self, request: Request, path: str) -> Response:
        if path == "/services/data":
            return JSONResponse([_version(number) for number in range(OLDEST, NEWEST + 1)])
        if path == "/services/oauth2/token" and request.method == "POST":
            headers = dict(request.headers.items())
            return JSONResponse(self.login.token(await request.body(), headers, self.base_url))
        if path.startswith("/services/Soap/u/"):
            host = request.headers.get("host", "").partition(":")[0]
            status, envelope = self.login.soap(await request.body(), host, self.base_url)
            return Response(envelope, status_code=status, media_type="text/xml")
        user_id = self.login.user_of(request.headers.get("authorization", ""))
        if path == "/services/oauth2/userinfo":
            if user_id is None:
                return PlainTextResponse("Bad_OAuth_Token", status_code=403)
            user = self.org.require(OBJECTS["user"], user_id).fields
            return JSONResponse(userinfo(user, self._instance_url(request)))
        match = _VERSIONED.fullmatch(path)
        if match is None:
            raise not_found()
        if int(match[1]) < OLDEST:
            raise refused("UNSUPPORTED_API_VERSION", "The requested API version is retired.", status=410)
        if int(match[1]) > NEWEST:
            raise not_found()
        if user_id is None:
            raise refused("INVALID_SESSION_ID", "Session expired or invalid", status=401)
        used = self.memory["api_used"] = self.memory.get("api_used", 0) + 1
        if used > DAILY_CALLS:
            raise refused("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)
        parts = [unquote(part) for part in (match[2] or "").split("/") if part]
        rule = request.headers.get("sforce-duplicate-rule-header", "")
        self.org.save_duplicates = "allowsave=true" in rule.lower().replace(" ", "")
        status, body = await self._resource(request, f"v{match[1]}.0", parts)
        return self._json(request, status, body)

    async def _resource(self, request: Request, version: str, parts: list[str]) -> tuple[int, Any]:
        method = request.method
        match [method, *parts]:
            case ["GET"]:
                names = ("sobjects", "query", "queryAll", "limits", "composite")
                return 200, {name: f"/services/data/{version}/{name}" for name in names}
            case ["GET", "limits"]:
                left = max(0, DAILY_CALLS - self.memory["api_used"])
                return 200, {
                    "DailyApiRequests": {"Max": DAILY_CALLS, "Remaining": left},
                    "DailyBulkApiBatches": {"Max": 15000, "Remaining": 15000},
                    "DataStorageMB": {"Max": 1024, "Remaining": 1000},
                }
            case ["GET", "query" | "queryAll" as resource]:
                return 200, self._query(request, version, deleted=resource == "queryAll")
            case ["GET", "query" | "queryAll", locator]:
                return 200, self._more(locator, version, _batch_size(request))
            case ["GET", "sobjects"]:
                found = [summary(item, version) for item in OBJECTS.values()]
                return 200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": found}
            case ["POST", "composite"]:
                part = partial(self._part, request)
                return 200, await subrequests.composite(self.org, await _body(request), part)
            case ["POST", "composite", "batch"]:
                return 200, await subrequests.batch(await _body(request), partial(self._part, request))
            case [_, "composite", "sobjects", *rest]:
                body = None if method in ("GET", "DELETE") else await _body(request)
                return composite.answer(self.org, method, rest, request.query_params, body, version)
            case [_, "sobjects", name, *rest]:
                return await self._record(request, version, name, rest)
        raise not_found()

    async def _part(self, request: Request, method: str, url: str, body: Any) -> tuple[int, Any]:
        """One request inside another; it counts no call of its own."""
        path, _, asked = url.partition("?")
        match = _VERSIONED.fullmatch(path.rstrip("/"))
        if match is None:
            return _told(not_found(), path)
        scope = {**request.scope, "method": method, "path": path, "query_string": asked.encode()}
        sent = json.dumps(body).encode()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": sent, "more_body": False}

        parts = [unquote(part) for part in (match[2] or "").split("/") if part]
        try:
            return await self._resource(Request(scope, receive), f"v{match[1]}.0", parts)
        except (OrgRefused, SoqlRefused, SeveralMatch) as error:
            return _told(error, path)

    async def _record(self, request: Request, version: str, name: str, rest: list[str]) -> tuple[int, Any]:
        item = self.org.object(name)
        fields = request.query_params.get("fields")
        names = fields.lower().replace(" ", "").split(",") if fields else None
        match [request.method, *rest]:
            case ["GET"]:
                return 200, {"objectDescribe": summary(item, version), "recentItems": []}
            case ["GET", "describe"]:
                return 200, described(item, version)
            case ["GET", "deleted" | "updated" as which]:
                return 200, self._changed(item.name, which, request)
            case ["POST"]:
                record = self.org.create(item, await _body(request))
                return 201, {"id": record.id, "success": True, "errors": []}
            case ["GET", id]:
                return 200, query.whole(item, self.org.require(item, id), version, names)
            case ["PATCH", id]:
                self.org.update(item, self.org.require(item, id), await _body(request))
                return 204, None
            case ["DELETE", id]:
                self.org.delete(self.org.require(item, id))
                return 204, None
            case ["GET", field, value]:
                found = self.org.by_external_id(item, field, value)
                if found is None:
                    raise not_found()
                return 200, query.whole(item, found, version, names)
            case ["PATCH", field, value]:
                id, created = composite.upsert(self.org, item, field, value, await _body(request))
                if int(version[1:-2]) < 46:
                    return (201, {"id": id, "success": True, "errors": []}) if created else (204, None)
                return 201 if created else 200, {"id": id, "success": True, "errors": [], "created": created}
            case ["DELETE", field, value]:
                found = self.org.by_external_id(item, field, value)
                if found is None:
                    raise not_found()
                self.org.delete(found)
                return 204, None
        raise refused("METHOD_NOT_ALLOWED", f"HTTP Method '{request.method}' not allowed.", status=405)

    def _query(self, request: Request, version: str, *, deleted: bool) -> dict[str, Any]:
        text = request.query_params.get("q")
        if not text:
            raise refused("MALFORMED_QUERY", "A query string has to be specified")
        parsed = parse(text)
        today: date = self._now().date()
        rows = query.chosen_rows(self.org, parsed, deleted=deleted, today=today)
        query.check_fields(self.org, parsed)
        if not parsed.fields:
            return {"totalSize": len(rows), "done": True, "records": []}
        if request.query_params.get("columns") == "true":
            return query.columns(self.org, parsed)
        locators: dict[str, Any] = self.memory.setdefault("locators", {})
        locator = f"01g5g{self.next_id('locator'):010}AAA"
        at = self._now().isoformat()
        locators[locator] = {"q": text, "ids": [row["Id"] for row in rows], "at": at}
        while len(locators) > LOCATORS_KEPT:
            del locators[next(iter(locators))]
        answer = self._more(f"{locator}-0", version, _batch_size(request))
        if answer["done"]:
            del locators[locator]
        return answer

    def _more(self, locator: str, version: str, batch: int) -> dict[str, Any]:
        """The batch that starts at ``<locator>-<offset>``."""
        name, _, offset = locator.rpartition("-")
        kept = self.memory.get("locators", {}).get(name)
        expired = kept is not None and self._now() - datetime.fromisoformat(kept["at"]) > LOCATOR_LIVES
        if kept is None or expired or not offset.isdigit():
            raise refused("INVALID_QUERY_LOCATOR", "invalid query locator")
        parsed = parse(kept["q"])
        item = self.org.object(parsed.object)
        start, end = int(offset), int(offset) + min(batch, self.memory.get("batch_rows", BATCH_MAX))
        records = []
        for id in kept["ids"][start:end]:
            record = self.org.get(item, id, deleted=True)
            if record is None:
                continue  # not committed, or gone from the recycle bin, since the query began
            records.append(query.shown(self.org, parsed, record.fields, version))
        answer: dict[str, Any] = {"totalSize": len(kept["ids"]), "done": end >= len(kept["ids"])}
        if not answer["done"]:
            answer["nextRecordsUrl"] = f"/services/data/{version}/query/{name}-{end}"
        return {**answer, "records": records}

    def _changed(self, name: str, which: str, request: Request) -> dict[str, Any]:
        """Ids that were deleted or updated between ``start`` and ``end``."""
        try:
            start, end = (
                datetime.fromisoformat(request.query_params[edge].replace(" ", "+").replace("Z", "+00:00"))
                for edge in ("start", "end")
            )
        except (KeyError, ValueError):
            raise refused("INVALID_REPLICATION_DATE", "start and end must be dates with a time") from None
        stamped = [
            (record.id, record.fields["SystemModstamp"])
            for record in self.org.rows(self.org.object(name), deleted=True)
            if record.fields["IsDeleted"] == (which == "deleted")
            and start <= datetime.fromisoformat(record.fields["SystemModstamp"]) < end
        ]
        edge = {"latestDateCovered": request.query_params["end"]}
        if which == "updated":
            return {**edge, "ids": [id for id, _ in stamped]}
        oldest = {"earliestDateAvailable": request.query_params["start"]}
        return {**edge, **oldest, "deletedRecords": [{"id": id, "deletedDate": at} for id, at in stamped]}

    def _instance_url(self, request: Request) -> str:
        host = request.headers.get("host", "").partition(":")[0]
        return f"https://{MY_DOMAIN}" if host.endswith(".salesforce.com") else self.base_url

    def _usage(self) -> dict[str, str]:
        return {"Sforce-Limit-Info": f"api-usage={self.memory.get('api_used', 0)}/{DAILY_CALLS}"}

    def _json(self, request: Request, status: int, body: Any) -> Response:
        encoded = b"" if body is None else msgspec.json.encode(body)
        if request.headers.get("x-prettyprint") == "1":
            encoded = msgspec.json.format(encoded) if encoded else encoded
        kind = "application/json;charset=UTF-8" if encoded else None
        headers = {**self._usage(), **({"content-type": kind} if kind else {})}
        return Response(encoded, status_code=status, headers=headers)


def _told(error: OrgRefused | SoqlRefused | SeveralMatch, path: str) -> tuple[int, Any]:
    """Status and body of an answer that is no success."""
    if isinstance(error, SeveralMatch):
        version, kind = path.split("/")[3], path.split("/")[5]
        return 300, [f"/services/data/{version}/sobjects/{kind}/{id}" for id in error.ids]
    problems = (Problem(error.code, str(error)),) if isinstance(error, SoqlRefused) else error.problems
    body = [
        {"message": problem.message, "errorCode": problem.code}
        | ({"fields": list(problem.fields)} if problem.fields else {})
        for problem in problems
    ]
    return 400 if isinstance(error, SoqlRefused) else error.status, body


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise refused("JSON_PARSER_ERROR", f"The HTTP entity body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise refused("JSON_PARSER_ERROR", "The HTTP entity body must be a JSON object")
    return body


def _batch_size(request: Request) -> int:
    """Rows of a batch from ``Sforce-Query-Options: batchSize=200``; less than 200 is taken as 200."""
    match = re.search(r"batchSize\s*=\s*(\d+)", request.headers.get("sforce-query-options", ""))
    return min(BATCH_MAX, max(200, int(match[1]))) if match else BATCH_MAX


def _version(number: int) -> dict[str, str]:
    """Three releases a year; 31 was Summer '14."""
    season = ("Summer", "Winter", "Spring")[(number - OLDEST) % 3]
    year = 14 + (number - OLDEST + 2) // 3
    return {
        "label": f"{season} '{year}",
        "url": f"/services/data/v{number}.0",
        "version": f"{number}.0",
    }
