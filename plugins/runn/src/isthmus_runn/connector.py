"""Runn as isthmus sees it: a source of assignments, a sink for plans and hours, a probe, a census."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from isthmus.sdk import (
    Census,
    CensusRow,
    Check,
    Connector,
    ConnectorError,
    Context,
    HttpLimits,
    Opened,
    Probe,
    TokenAuth,
    hookimpl,
)
from isthmus_runn import translate
from isthmus_runn.client import ACCEPT_VERSION, Client, number
from isthmus_runn.settings import RunnSettings
from isthmus_runn.sink import Planner
from isthmus_runn.source import Plan

CLOCK_TOLERANCE_S = 60.0


class Runn(Connector):
    """Runn plans people and revenue: it is told of projects and hours, and tells who is booked."""

    name = "runn"
    title = "Runn (resource and revenue planner)"
    Settings = RunnSettings
    simulator = "isthmus_runn.simulator:RunnSimulator"

    @asynccontextmanager
    async def open(self, settings: msgspec.Struct, ctx: Context) -> AsyncIterator[Opened]:
        assert isinstance(settings, RunnSettings)

        async def token() -> str:
            return settings.token.reveal()

        # A token of Runn is made by hand: fetching it again after a 401 would give the same one.
        auth = TokenAuth(token, expired=lambda reply: False)
        limits = HttpLimits(
            deadline_s=settings.timeout_s,
            per_second=settings.requests_per_minute / 60 if settings.requests_per_minute else None,
            ca_file=settings.ca_file,
        )
        async with ctx.http(settings.base_url, auth=auth, limits=limits, headers=ACCEPT_VERSION) as http:
            client = Client(http, page_size=settings.page_size, wall=ctx.now)
            yield Opened(
                source=Plan(client, settings, ctx),
                sink=Planner(client, settings, ctx),
                probe=Access(client, settings, ctx),
                census=Books(client, settings, ctx),
            )


class Access(Probe):
    """Whether the token works, and whether what the settings name is there."""

    def __init__(self, client: Client, settings: RunnSettings, ctx: Context) -> None:
        self._client = client
        self._settings = settings
        self._ctx = ctx

    async def checks(self) -> list[Check]:
        try:
            reply = await self._client.reply("me")
        except ConnectorError as error:
            return [Check(name="login", ok=False, detail=str(error), remedy="check token and base_url")]
        checks = [Check(name="login", ok=True, detail="the token is accepted")]
        left = reply.headers.get("x-ratelimit-remaining")
        if left is not None:
            limit = reply.headers.get("x-ratelimit-limit", "?")
            checks.append(
                Check(
                    name="quota",
                    ok=left != "0",
                    detail=f"{left} of {limit} calls left in this window",
                    remedy="set requests_per_minute lower, or find the other client of this account",
                )
            )
        if (told := reply.headers.get("date")) is not None:
            off_s = abs((parsedate_to_datetime(told).astimezone(UTC) - self._ctx.now()).total_seconds())
            checks.append(
                Check(
                    name="clock",
                    ok=off_s <= CLOCK_TOLERANCE_S,
                    detail=f"Runn's clock and ours differ by {off_s:.0f} s",
                    remedy="let NTP set this machine's clock",
                )
            )
        settings = self._settings
        if settings.default_role is not None:
            remedy = "create the role in Runn, or set default_role to one that is there"
            checks.append(await self._named("default_role", "roles", {}, settings.default_role, remedy))
        fields = {"forecast_field": settings.forecast_field, "demand_field": settings.demand_field}
        for setting, name in fields.items():
            if name is not None:
                remedy = "create it as a text field of projects in Settings > Custom Fields"
                model: dict[str, str | int] = {"model": "PROJECT"}
                checks.append(await self._named(setting, "custom-fields/text", model, name, remedy))
        return checks

    async def _named(
        self, check: str, path: str, params: dict[str, str | int], name: str, remedy: str
    ) -> Check:
        """Whether a collection has a record of that name."""
        try:
            names = {row.get("name") async for row in self._client.every(path, params)}
        except ConnectorError as error:
            return Check(name=check, ok=False, detail=str(error), remedy="try again")
        there = name in names
        return Check(
            name=check, ok=there, detail=f"{name!r} is {'there' if there else 'missing'}", remedy=remedy
        )


class Books(Census):
    """Reads back hours and budgets by the plain lists, without the filters the sink uses.

    ``burn``: hours per project, person and day, over all roles, as ``quantity``. ``project``: the budget as
    ``amount``, the same for every window, since projects have no date.
    """

    kinds = frozenset({"burn", "project"})

    def __init__(self, client: Client, settings: RunnSettings, ctx: Context) -> None:
        self._client = client
        self._ctx = ctx
        self._reference = settings.reference_name

    async def rows(self, kind: str, since: date, until: date) -> AsyncIterator[CensusRow]:
        if kind == "project":
            async for project in self._client.every("projects", {"includeArchived": "true"}):
                yield await self._project(project)
            return
        totals: dict[tuple[int, int, str], int] = {}
        ids: dict[tuple[int, int, str], list[str]] = {}
        window: dict[str, str | int] = {"minDate": since.isoformat(), "maxDate": until.isoformat()}
        async for row in self._client.every("actuals", window):
            place = (int(row["projectId"]), int(row["personId"]), str(row["date"]))
            totals[place] = (
                totals.get(place, 0) + int(row["billableMinutes"]) + int(row["nonbillableMinutes"])
            )
            ids.setdefault(place, []).append(str(row["id"]))
        for place, minutes in totals.items():
            project_id, person_id, day = place
            worked_for = await self._key("project", project_id)
            worked_by = await self._key("resource", person_id)
            yield CensusRow(
                key=f"{worked_for}|{worked_by}|{day}",
                remote_id=",".join(ids[place]),
                status="recorded",
                quantity=translate.hours_of(minutes),
            )

    async def _project(self, project: dict[str, Any]) -> CensusRow:
        budget: Decimal | None = number(project.get("budget"))
        key = translate.reference_key(project.get("references"), self._reference)
        status = "confirmed" if project.get("isConfirmed") else "tentative"
        return CensusRow(
            key=key or await self._key("project", int(project["id"])),
            remote_id=str(project["id"]),
            status="archived" if project.get("isArchived") else status,
            amount=budget,
        )

    async def _key(self, kind: str, remote_id: int) -> str:
        return await self._ctx.crosswalk.key_of(kind, str(remote_id)) or self._ctx.key(remote_id)


@hookimpl
def isthmus_connectors() -> list[type[Connector]]:
    return [Runn]
