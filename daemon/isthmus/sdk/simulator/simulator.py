"""The base of a vendor's fake: state, control paths and faults; a subclass adds the vendor's protocol."""

import json
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from isthmus.sdk.simulator.faults import Fault, FaultPlan
from isthmus.sdk.simulator.ledger import Ledger, Record
from isthmus.sdk.simulator.middleware import FaultMiddleware


class ActRefused(ValueError):
    """An act of a user that this system would not allow; the text says why."""


class Simulator(ABC):
    """A stateful fake of one vendor.

    Everything it knows is in ``ledger`` (business records, with all writes) and ``memory`` (tokens,
    counters, cursors: plain JSON values), so that ``--state FILE`` can keep it across restarts.
    """

    plugin: ClassVar[str]

    def __init__(self, *, seed: int = 0, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.ledger = Ledger()
        self.memory: dict[str, Any] = {"seed": seed, "ids": {}}
        self.faults = FaultPlan()
        self.random = random.Random(seed)  # noqa: S311  repeatable, not secret
        self.now = now
        self.base_url = ""
        """Where it is served; set by `started` before the first request."""
        self.state_file: Path | None = None
        self.nursery: trio.Nursery | None = None
        """Lives as long as the server; late commits run here."""

    @abstractmethod
    def routes(self) -> Sequence[BaseRoute]:
        """The vendor's own paths."""

    @abstractmethod
    def credentials(self) -> dict[str, Any]:
        """Settings and secrets with which a client can log in, by the names of the plugin's settings."""

    @abstractmethod
    def acts(self) -> dict[str, Callable[..., Any]]:
        """What users can do here, by name; each function's docstring says what, its arguments are the
        fields of the ``/_sim/do`` body. A plain or an async function; it returns JSON values.

        Raises:
            ActRefused: the act is not possible now.
        """

    def next_id(self, kind: str, start: int = 1) -> int:
        """A number of a row of its own per kind, kept with the state."""
        ids: dict[str, int] = self.memory["ids"]
        ids[kind] = ids.get(kind, start - 1) + 1
        return ids[kind]

    async def background(self) -> None:  # noqa: B027  most systems do nothing by themselves
        """What this system does by itself while it is served, such as a nightly job; nothing by default.

        Started when the server is up, cancelled when it stops.
        """

    def app(self) -> ASGIApp:
        """The whole app: control paths, the vendor's paths, faults around the latter."""
        routes = [
            Route("/_sim", self._about, methods=["GET"]),
            Route("/_sim/ledger", self._ledger, methods=["GET"]),
            Route("/_sim/faults", self._faults, methods=["GET", "POST", "DELETE"]),
            Route("/_sim/do", self._do, methods=["POST"]),
            *self.routes(),
        ]
        return FaultMiddleware(Starlette(routes=routes), self)

    def save(self) -> None:
        """Keep the state, if there is a file for it; whole or not at all."""
        if self.state_file is None:
            return
        state = {"memory": self.memory, "records": self.ledger.all()}
        part = self.state_file.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(state))
        part.replace(self.state_file)

    def restore(self, state_file: Path) -> None:
        """Use ``state_file`` from now on, and what it holds already."""
        self.state_file = state_file
        if state_file.exists():
            kept = json.loads(state_file.read_text())
            self.memory = kept["memory"]
            self.ledger.load(msgspec.convert(kept["records"], list[Record]))

    async def _about(self, request: Request) -> Response:
        acts = {name: " ".join((act.__doc__ or "").split()) for name, act in self.acts().items()}
        return JSONResponse({"plugin": self.plugin, "acts": acts, "credentials": self.credentials()})

    async def _ledger(self, request: Request) -> Response:
        body = msgspec.json.encode({"records": self.ledger.all()})
        return Response(body, media_type="application/json")

    async def _faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.faults.faults.clear()
        elif request.method == "POST":
            try:
                self.faults.add(msgspec.json.decode(await request.body(), type=list[Fault]))
            except msgspec.DecodeError as error:
                return JSONResponse({"error": str(error)}, status_code=400)
        return Response(msgspec.json.encode(self.faults.faults), media_type="application/json")

    async def perform(self, order: Mapping[str, Any]) -> Any:
        """Act as a user: ``{"act": name, ...}``, the body of ``POST /_sim/do``.

        Raises:
            LookupError: there is no such act; the message names those there are.
            ActRefused: the act is not possible now, or not with these fields.
        """
        fields = dict(order)
        act = self.acts().get(str(fields.pop("act", "")))
        if act is None:
            known = ", ".join(sorted(self.acts()))
            raise LookupError(f'send {{"act": name, ...}} with one of: {known}')
        try:
            result = act(**fields)
            if hasattr(result, "__await__"):
                result = await result
        except TypeError as error:
            raise ActRefused(str(error)) from error
        self.save()
        return result

    async def _do(self, request: Request) -> Response:
        try:
            order = json.loads(await request.body())
            result = await self.perform(order if isinstance(order, dict) else {})
        except ActRefused as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        except (LookupError, ValueError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return Response(msgspec.json.encode(result), media_type="application/json")
