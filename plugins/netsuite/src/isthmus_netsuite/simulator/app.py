"""The simulator itself: routes requests to login, records, SuiteQL; keeps the account's set-up."""

from collections.abc import Callable, Sequence
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
    catalog,
    json_answer,
    openapi,
    page_links,
    paging,
    read_body,
)
from isthmus_netsuite.simulator.login import Gate, token_urls
from isthmus_netsuite.simulator.problems import Problem, no_such_path
from isthmus_netsuite.simulator.rest import RecordService
from isthmus_netsuite.simulator.suiteql import SuiteQL

ACCOUNT = "1234567_SB1"
TIME_ZONE = "America/Los_Angeles"
CURRENCIES = {"USD": "US Dollar", "EUR": "Euro", "GBP": "Pound", "JPY": "Yen", "CHF": "Franc", "KWD": "Dinar"}
CONCURRENCY = 15
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class NetSuiteSimulator(Simulator):
    """One account with OneWorld, project management, charge-based billing and invoice approval."""

    plugin = "netsuite"

    def __init__(self, *, seed: int = 0, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(seed=seed, now=now)
        self.memory.update(account=ACCOUNT, concurrency=CONCURRENCY, latency_s=0.0)
        self.books = Books(self.ledger, self.next_id, lambda: self.now(), ZoneInfo(TIME_ZONE))
        self.records = RecordService(self.books, self.next_id)
        self.suiteql = SuiteQL(self.books, lambda: self.now())
        self.gate = Gate(lambda: self.memory, lambda: self.now(), self.random)
        self._acts = Acts(self.books, self.records, lambda: self.memory)
        self._active = 0
        self.gate.setup()
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

    async def _serve(self, request: Request) -> Response:
        """One request: who may call, how many at once, then which service."""
        raw = await request.body()
        path = request.scope.get("raw_path") or request.url.path.encode()
        text = "/" + path.partition(b"?")[0].decode("ascii", "replace").lstrip("/")
        try:
            if text == TOKEN_PATH and request.method == "POST":
                return self.gate.trade(raw, token_urls(self._bases(request)))
            if not text.startswith("/services/rest/"):
                raise no_such_path(text)
            self.gate.check(request.method, self._urls(request, text), request.headers)
            return await self._counted(request, text, raw)
        except Problem as problem:
            return problem.answer()

    async def _counted(self, request: Request, text: str, raw: bytes) -> Response:
        if self._active >= self.memory["concurrency"]:
            raise Problem(
                429, "CONCURRENCY_LIMIT_EXCEEDED", "Concurrent request limit exceeded. Request blocked."
            )
        self._active += 1
        try:
            if self.memory["latency_s"]:
                await trio.sleep(self.memory["latency_s"])
            return self._answer(request, text, raw)
        finally:
            self._active -= 1

    def _answer(self, request: Request, text: str, raw: bytes) -> Response:
        parts = [unquote(part) for part in text.removeprefix("/services/rest/").split("/") if part]
        query = dict(request.query_params)
        base = f"{request.url.scheme}://{request.headers.get('host', '')}"
        match parts:
            case ["record", "v1", "metadata-catalog", *rest] if request.method == "GET" and len(rest) < 2:
                if not rest and "swagger" in request.headers.get("accept", ""):
                    return JSONResponse(openapi(query.get("select", "")))
                return JSONResponse(catalog(rest[0] if rest else None))
            case ["record", "v1", _, *_]:
                return self.records.handle(request.method, parts[2:], query, request.headers, raw, base)
            case ["query", "v1", "suiteql"] if request.method == "POST":
                return self._query(request, query, raw, base)
            case ["system", "v1", "governanceLimits"] if request.method == "GET":
                limit = self.memory["concurrency"]
                return JSONResponse(
                    {"accountConcurrencyLimit": limit, "accountUnallocatedConcurrencyLimit": limit}
                )
        raise no_such_path(text)

    def _query(self, request: Request, query: dict[str, str], raw: bytes, base: str) -> Response:
        if "transient" not in request.headers.get("prefer", "").lower():
            raise Problem(
                400,
                "INVALID_HEADER",
                "The required request header 'Prefer' is missing or its value is not 'transient'.",
                errorHeader="Prefer",
            )
        q = read_body(raw).get("q")
        if not isinstance(q, str) or not q.strip():
            raise Problem(400, "INVALID_CONTENT", "The request body needs the query as 'q'.", errorPath="q")
        limit, offset = paging(query)
        rows, total = self.suiteql.run(q, limit, offset)
        return json_answer(
            {
                "links": page_links(f"{base}/services/rest/query/v1/suiteql", query, limit, offset, total),
                "count": len(rows),
                "hasMore": offset + limit < total,
                "items": [{"links": [], **row} for row in rows],
                "offset": offset,
                "totalResults": total,
            }
        )

    def _bases(self, request: Request) -> list[str]:
        """Where a client may believe it is talking to, TLS in between included."""
        host = request.headers.get("host", "")
        vendor = f"https://{ACCOUNT.lower().replace('_', '-')}.suitetalk.api.netsuite.com"
        return [f"http://{host}", f"https://{host}", self.base_url, vendor]

    def _urls(self, request: Request, text: str) -> list[str]:
        query = request.scope.get("query_string", b"").decode("ascii", "replace")
        return [f"{base}{text}{'?' + query if query else ''}" for base in dict.fromkeys(self._bases(request))]
