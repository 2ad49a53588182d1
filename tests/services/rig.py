"""The services over real sockets, with a client that compares each answer with the document."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import jsonschema
import msgspec
import trio

from isthmus.ops.serve import serve
from isthmus.ops.tokens import SCOPES, TokenDesk, TokenOrder
from isthmus.services.app import Surroundings, services_app
from isthmus.services.document import openapi
from isthmus.services.operations import OPERATIONS, PREFIX, Operation
from isthmus.store import log as event_log
from isthmus.store.errors import StoreFailed
from isthmus.store.face import Store, Tx

T = TypeVar("T")
NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)

TIME = {
    "entry": "E-1",
    "revision": 1,
    "entity": "acme-us",
    "project": "crm:p1",
    "resource": "psa:r1",
    "service": "consulting",
    "worked_on": "2026-10-05",
    "hours": "7.50",
    "billable": True,
    "approved_on": "2026-10-06",
}
TERMS: dict[str, Any] = {
    "contract": "crm:c1",
    "revision": 2,
    "entity": "acme-us",
    "customer": "crm:a1",
    "project": "crm:p1",
    "title": "Data platform",
    "currency": "USD",
    "signed_on": "2026-09-20",
    "starts_on": "2026-10-01",
    "time_zone": "America/New_York",
    "lines": [
        {"model": "time_and_materials", "line": "T", "default_rate": "180.00", "cap_amount": "90000.00"}
    ],
    "effective_on": "2026-11-01",
    "reason": "more days",
}
BODIES: dict[str, dict[str, Any]] = {
    "submitTime": TIME,
    "withdrawTime": {
        "entry": "E-1",
        "revision": 2,
        "entity": "acme-us",
        "project": "crm:p1",
        "reason": "wrong week",
    },
    "amendContract": TERMS,
    "adjustForecast": {
        "assignment": "A-1",
        "revision": 1,
        "entity": "acme-us",
        "resource": "psa:r1",
        "project": "crm:p1",
        "service": "consulting",
        "starts_on": "2026-11-02",
        "ends_on": "2026-12-18",
        "hours_per_day": "6",
        "tentative": False,
    },
    "withdrawForecastAdjustment": {
        "assignment": "A-1",
        "revision": 2,
        "entity": "acme-us",
        "ended_on": "2026-11-30",
    },
}
"""A good body of each operation that takes one."""
CHANGED: dict[str, dict[str, Any]] = {
    "submitTime": {"hours": "8.00"},
    "withdrawTime": {"reason": "wrong month"},
    "amendContract": {"title": "Another title"},
    "adjustForecast": {"hours_per_day": "7"},
    "withdrawForecastAdjustment": {"ended_on": "2026-12-01"},
}
"""What makes another content of it."""

BY_NAME: Mapping[str, Operation] = {each.name: each for each in OPERATIONS}


class FaultyStore(Store):
    """A store whose reads and writes fail while ``fails`` is set."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.path = store.path
        self.generation = store.generation
        self.failed = store.failed
        self.fails: Exception | None = None
        self.slow_s = 0.0

    @property
    def failure(self) -> StoreFailed | None:
        return self._store.failure

    async def write(self, unit: Callable[[Tx], T]) -> T:
        await self._trouble()
        return await self._store.write(unit)

    async def read(self, unit: Callable[[Tx], T], *, limit_s: float = 10.0) -> T:
        await self._trouble()
        return await self._store.read(unit)

    async def backup(self, target: object) -> None:
        raise NotImplementedError

    def wal_bytes(self) -> int:
        return 0

    async def _trouble(self) -> None:
        await trio.sleep(self.slow_s)
        if self.fails is not None:
            raise self.fails


class Site:
    """Services on a store, at a clock that stands still, and whoever calls them."""

    def __init__(self, store: Store, nursery: trio.Nursery) -> None:
        self.inner = store
        self.store = FaultyStore(store)
        self.now = NOW
        self.announced = 0
        self.takes = True
        self.desk = TokenDesk(store, lambda: self.now)
        self.url = ""
        self._nursery = nursery
        self._tokens: dict[tuple[str, ...], str] = {}

    async def open(self, **changes: Any) -> "Site":
        """Serve; called again, serve anew with other limits."""
        given: dict[str, Any] = {"rate_per_s": 10_000.0, "burst": 10_000, **changes}
        around = Surroundings(
            store=self.store,
            now=lambda: self.now,
            announce=self._announce,
            may_take=lambda: self.takes,
            **given,
        )
        self.url = await self._nursery.start(serve, services_app(around), ("127.0.0.1", 0))
        return self

    def _announce(self) -> None:
        self.announced += 1

    async def token(
        self, *scopes: str, name: str = "", source: str = "timesheets", ttl: timedelta = timedelta(1)
    ) -> str:
        """A token; the same one for the same scopes, unless it is to have a name."""
        wanted = scopes or SCOPES
        if not name and wanted in self._tokens:
            return self._tokens[wanted]
        order = TokenOrder(
            name=name or f"t{len(self._tokens)}",
            scopes=list(wanted),
            source=source,
            ttl_s=ttl.total_seconds(),
        )
        made = (await self.desk.issue(order, by="root")).token
        if not name:
            self._tokens[wanted] = made
        return made

    async def ask(
        self,
        operation: str,
        *,
        key: str = "",
        token: str | bytes | None = "",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """One request; its answer is one of those that the document has.

        Args:
            token: Another than one with every scope; None for none.
        """
        each = BY_NAME[operation]
        sent = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        if token is not None:
            given = (token or await self.token()) if isinstance(token, str) else token
            told = given.encode() if isinstance(given, str) else given
            sent.append((b"authorization", (b"Bearer " + told).rstrip(b" ")))
        path = PREFIX + each.path.replace("{key}", key)
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
            answer = await client.request(each.method, self.url + path, headers=sent, **options)
        documented(each, answer)
        return answer

    async def submit(self, operation: str, *, idempotency: str = "", **changes: Any) -> httpx.Response:
        """A good body with changes."""
        headers = {"idempotency-key": idempotency} if idempotency else {}
        token = changes.pop("token", "")
        return await self.ask(operation, json={**BODIES[operation], **changes}, headers=headers, token=token)

    async def events(self) -> list[dict[str, Any]]:
        rows = await self.inner.read(lambda tx: event_log.search(tx, limit=1000))
        return [msgspec.json.decode(row.payload) for row in rows]


def documented(operation: Operation, answer: httpx.Response) -> None:
    """The document has this answer: its status, its type, its shape, its headers."""
    document = openapi()
    responses = document["paths"][PREFIX + operation.path][operation.method.lower()]["responses"]
    assert str(answer.status_code) in responses, (
        f"{operation.name} answered {answer.status_code}: {answer.text}"
    )
    said = responses[str(answer.status_code)]
    if "$ref" in said:
        said = document["components"]["responses"][said["$ref"].rpartition("/")[2]]
    ((media_type, content),) = said["content"].items()
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers
    for name in said.get("headers", {}):
        assert name in answer.headers or name == "Idempotency-Replayed", name
    schema = {**content["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())


def problem(answer: httpx.Response) -> str:
    """The code of a problem."""
    return str(answer.json()["type"]).removeprefix("urn:isthmus:problem:")
