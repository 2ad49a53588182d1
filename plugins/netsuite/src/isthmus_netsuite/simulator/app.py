"""The simulator itself: routes requests to login, records, SuiteQL; keeps the account's set-up."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.sdk.simulator import Simulator
from isthmus_netsuite.auth import TOKEN_PATH
from isthmus_netsuite.simulator.acts import Acts
from isthmus_netsuite.simulator.books import Books
from isthmus_netsuite.simulator.forms import (
    PAGE_MAX,
    catalog,
    json_answer,
    openapi,
    page_links,
    paging,
    read_body,
)
from isthmus_netsuite.simulator.jobs import COLLECTION, Jobs, wanted
from isthmus_netsuite.simulator.login import Gate, token_urls
from isthmus_netsuite.simulator.problems import Problem, no_such_path
from isthmus_netsuite.simulator.rest import RecordService
from isthmus_netsuite.simulator.suiteql import SuiteQL

ACCOUNT = "1234567_SB1"
TIME_ZONE = "America/Los_Angeles"
CURRENCIES = {"USD": "US Dollar", "EUR": "Euro", "GBP": "Pound", "JPY": "Yen", "CHF": "Franc", "KWD": "Dinar"}
CONCURRENCY = 15
SERVICES = "/services/rest/"
TOKEN_INFO = "/rest/tokeninfo"  # noqa: S105  a path
REQUEST_LIMIT = "SSS_REQUEST_LIMIT_EXCEEDED"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class NetSuiteSimulator(Simulator):
    """One account with OneWorld, project management, charge-based billing and invoice approval."""

    plugin = "netsuite"

    def __init__(self, *, seed: int = 0, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(seed=seed, now=now)
        self.memory.update(
            account=ACCOUNT,
            concurrency=CONCURRENCY,
            latency_s=0.0,
            limit_status=429,
            search_lag_s=0.0,
            page_rows=PAGE_MAX,
        )
        self.books = Books(self.ledger, self.next_id, lambda: self.now(), ZoneInfo(TIME_ZONE))
        self.records = RecordService(self.books, self.next_id)
        self.suiteql = SuiteQL(self.books, lambda: self.now())
        self.gate = Gate(lambda: self.memory, lambda: self.now(), self.random)
        self.jobs = Jobs(lambda: self.memory, lambda: self.now(), self.next_id, self.random, self._run)
        self._acts = Acts(self.books, self.records, lambda: self.memory)
        self._active = 0
        self.gate.setup()
        self.jobs.setup()
        self._set_up_account()

    def _set_up_account(self) -> None:
        """What an account has before any integration: companies, currencies, an item, an employee."""
        for symbol, name in CURRENCIES.items():
            self.books.add("currency", {"name": name, "symbol": symbol}, op="setup")
        self.books.add("subsidiary", {"name": "Parent Company", "currency": {"id": "1"}}, op="setup")
        self.books.add("subsidiary", {"name": "Europe", "currency": {"id": "2"}}, op="setup")
        for kind, name in (("department", "Delivery"), ("classification", "Services"), ("location", "HQ")):
            self.books.add(kind, {"name": name}, op="setup")
        for item in ("Professional Services", "Project Milestone", "Project Expense"):
            self.books.add("serviceSaleItem", {"itemId": item, "displayName": item}, op="setup")
        self.books.add(
            "employee",
            {
                "entityId": "E00000",
                "lastName": "Project Time",
                "isInactive": False,
                "subsidiary": {"id": "1"},
            },
            op="setup",
        )
        self.books.period_of(self.books.today())

    def restore(self, state_file: Path) -> None:
        super().restore(state_file)
        if self.memory.get("folded"):
            self.books.fold_external_ids()
        self.books.reindex()

    def credentials(self) -> dict[str, Any]:
        tba = self.memory["tba"]
        return {
            "account": ACCOUNT,
            "base_url": self.base_url,
            "client_id": self.memory["client_id"],
            "certificate_id": next(iter(self.memory["certificates"])),
            "private_key": self.memory["private_key"],
            **{f"tba_{name}": value for name, value in tba.items()},
            "account_time_zone": TIME_ZONE,
            "default_subsidiary": "1",
            "default_item": "1",
            "default_employee": "1",
        }

    def acts(self) -> dict[str, Callable[..., Any]]:
        return self._acts.named()

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/{path:path}", self._serve, methods=METHODS)]

    async def background(self) -> None:
        """Jobs that waited when the server stopped run now."""
        for id in self.jobs.waiting():
            await self._perform(id)

    async def _perform(self, id: str) -> None:
        await trio.sleep(self.jobs.latency_s)
        self.jobs.perform(id)
        self.save()

    async def _serve(self, request: Request) -> Response:
        """One request: who may call, how many at once, then which service."""
        raw = await request.body()
        path = request.scope.get("raw_path") or request.url.path.encode()
        text = "/" + path.partition(b"?")[0].decode("ascii", "replace").lstrip("/")
        try:
            if text == TOKEN_PATH and request.method == "POST":
                return self.gate.trade(raw, token_urls(self._bases(request)))
            if text != TOKEN_INFO and not text.startswith(SERVICES):
                raise no_such_path(text)
            self.gate.check(request.method, self._urls(request, text), request.headers)
            return await self._counted(request, text, raw)
        except Problem as problem:
            return problem.answer()

    async def _counted(self, request: Request, text: str, raw: bytes) -> Response:
        if self._active >= self.memory["concurrency"]:
            raise Problem(
                self.memory["limit_status"],
                "CONCURRENCY_LIMIT_EXCEEDED" if self.memory["limit_status"] == 429 else REQUEST_LIMIT,
                "Concurrent request limit exceeded. Request blocked.",
            )
        self._active += 1
        try:
            if self.memory["latency_s"]:
                await trio.sleep(self.memory["latency_s"])
            return self._answer(request, text, raw)
        finally:
            self._active -= 1

    def _answer(self, request: Request, text: str, raw: bytes) -> Response:
        if text == TOKEN_INFO:
            return JSONResponse(self.gate.token_info())
        parts = [unquote(part) for part in text.removeprefix(SERVICES).split("/") if part]
        call = {
            "method": request.method,
            "parts": parts,
            "query": dict(request.query_params),
            "base": f"{request.url.scheme}://{request.headers.get('host', '')}",
            "body": raw.decode("utf-8", "replace"),
        }
        if wanted(request.headers) and parts[:1] in (["record"], ["query"]):
            id, answer = self.jobs.submit(call, request.headers)
            if id is not None:
                assert self.nursery is not None, "jobs need a server"
                self.nursery.start_soon(self._perform, id)
            return answer
        if COLLECTION in request.headers.get("content-type", "").replace(" ", ""):
            raise Problem(
                400, "INVALID_HEADER", "A batch needs 'Prefer: respond-async'.", errorHeader="Prefer"
            )
        return self._dispatch(call, request.headers)

    def _run(self, call: dict[str, Any]) -> Response:
        """A request of a job; what is wrong with it is its result."""
        try:
            return self._dispatch(call, call["headers"])
        except Problem as problem:
            return problem.answer()

    def _dispatch(self, call: dict[str, Any], headers: Mapping[str, str]) -> Response:
        """Answer a call that was let in.

        Args:
            call: method, decoded path, query, base and body; of a batch, the record as ``item``.
        """
        method, query, base = call["method"], call["query"], call["base"]
        match call["parts"]:
            case ["record", "v1", "metadata-catalog", *rest] if method == "GET" and len(rest) < 2:
                if not rest and "swagger" in headers.get("accept", ""):
                    return JSONResponse(openapi(query.get("select", "")))
                return JSONResponse(catalog(rest[0] if rest else None))
            case ["record", "v1", *parts] if parts:
                return self.records.handle(method, parts, query, headers, lambda: _body(call), base)
            case ["query", "v1", "suiteql"] if method == "POST":
                return self._query(headers, query, _body(call), base)
            case ["async", "v1", "job", *parts] if method == "GET":
                return self.jobs.answer(parts, base)
            case ["system", "v1", "governanceLimits"] if method == "GET":
                limit = self.memory["concurrency"]
                return JSONResponse(
                    {
                        "accountConcurrencyLimit": limit,
                        "accountUnallocatedConcurrencyLimit": limit,
                        "integrationLimitType": "accountSpecific",
                    }
                )
            case ["system", "v1", "serverTime"] if method == "GET":
                return JSONResponse({"serverTime": self.now().strftime("%Y-%m-%dT%H:%M:%SZ")})
        raise no_such_path(SERVICES + "/".join(call["parts"]))

    def _query(self, headers: Mapping[str, str], query: dict[str, str], body: Any, base: str) -> Response:
        if not {"transient", "respond-async"} & set(
            headers.get("prefer", "").lower().replace(" ", "").split(",")
        ):
            raise Problem(
                400,
                "INVALID_HEADER",
                "The required request header 'Prefer' is missing or its value is not 'transient'.",
                errorHeader="Prefer",
            )
        q = body.get("q")
        if not isinstance(q, str) or not q.strip():
            raise Problem(400, "INVALID_CONTENT", "The request body needs the query as 'q'.", errorPath="q")
        limit, offset = paging(query)
        given = min(limit, self.memory["page_rows"])
        rows, total = self.suiteql.run(q, given, offset, lag_s=self.memory["search_lag_s"])
        return json_answer(
            {
                "links": page_links(f"{base}/services/rest/query/v1/suiteql", query, limit, offset, total),
                "count": len(rows),
                "hasMore": offset + given < total,
                "items": [{"links": [], **row} for row in rows],
                "offset": offset,
                "totalResults": total,
            }
        )

    def _bases(self, request: Request) -> list[str]:
        """Where a client may believe it is talking to, TLS in between included."""
        host = request.headers.get("host", "")
        slug = ACCOUNT.lower().replace("_", "-")
        vendors = [f"https://{slug}.{service}.api.netsuite.com" for service in ("suitetalk", "restlets")]
        return [f"http://{host}", f"https://{host}", self.base_url, *vendors]

    def _urls(self, request: Request, text: str) -> list[str]:
        query = request.scope.get("query_string", b"").decode("ascii", "replace")
        return [f"{base}{text}{'?' + query if query else ''}" for base in dict.fromkeys(self._bases(request))]


def _body(call: dict[str, Any]) -> dict[str, Any]:
    """The record of a call: what was sent, or one item of a batch."""
    return call["item"] if "item" in call else read_body(call["body"].encode())
