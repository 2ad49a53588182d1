"""The plugin's face: opens one Kantata account."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from isthmus.sdk import (
    Check,
    Connector,
    ConnectorError,
    Context,
    Fatal,
    HttpLimits,
    Opened,
    Probe,
    hookimpl,
)
from isthmus_kantata.census import ApprovedWork
from isthmus_kantata.client import Bearer, Client
from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.sink import Provisioning
from isthmus_kantata.source import Approvals
from isthmus_kantata.translate import STATUS_KEYS

SKEW_MAX_S = 60.0
VENDOR_HOST = "mavenlink.com"
GIVES_UP_S = 180.0
"""Kantata ends a request after three minutes; until then it may still write."""


class Kantata(Connector):
    """Kantata OX (Mavenlink) as the PSA."""

    name = "kantata"
    title = "Kantata OX (Mavenlink)"
    Settings = KantataSettings
    simulator = "isthmus_kantata.simulator:KantataSimulator"

    @asynccontextmanager
    async def open(self, settings: msgspec.Struct, ctx: Context) -> AsyncIterator[Opened]:
        known = cast(KantataSettings, settings)
        _refuse_unusable(known)
        limits = HttpLimits(
            deadline_s=known.deadline_s, concurrency=known.concurrency, per_second=known.per_second
        )
        async with ctx.http(known.base_url, auth=Bearer(known.token), limits=limits) as http:
            client = Client(http, page_size=known.page_size)
            yield Opened(
                source=Approvals(client, known, ctx),
                sink=Provisioning(client, known, ctx),
                probe=AccountProbe(client, known, ctx),
                census=ApprovedWork(client, ctx),
            )


class AccountProbe(Probe):
    """Whether the token is good, may see what is read, and whether the clocks agree."""

    def __init__(self, client: Client, settings: KantataSettings, ctx: Context) -> None:
        self._client = client
        self._settings = settings
        self._ctx = ctx

    async def checks(self) -> list[Check]:
        try:
            me, reply = await self._client.me()
        except ConnectorError as error:
            remedy = "make a token for the service user in Kantata and put it into the credential"
            return [Check(name="login", ok=False, detail=str(error), remedy=remedy)]
        checks = [
            Check(name="login", ok=True, detail=f"token of user {me['id']}"),
            self._clock(reply.headers),
        ]
        asked: list[tuple[str, str, dict[str, str]]] = [
            ("time approvals", "timesheet_submissions", {}),
            ("expense approvals", "expense_report_submissions", {}),
            ("references", "external_references", {"subject_type": "Workspace"}),
            ("people", "users", {"on_my_account": "true"}),
            ("allocations", "workspace_allocations", {}),
        ]
        if self._settings.billing_milestones:
            asked.append(("billing milestones", "billing_milestones", {}))
        if self._settings.hints:
            asked.append(("event feed", "subscribed_events", {}))
        for name, collection, params in asked:
            try:
                listing = await self._client.list(collection, params, size=2)
            except ConnectorError as error:
                remedy = f"give the service user the permission to read {collection}"
                checks.append(Check(name=name, ok=False, detail=str(error), remedy=remedy))
            else:
                checks.append(Check(name=name, ok=True, detail=f"{listing.count} records to see"))
        return checks

    def _clock(self, headers: Mapping[str, str]) -> Check:
        """Both clocks side by side: polling reaches back by the overlap, which hides small differences."""
        try:
            theirs = parsedate_to_datetime(headers.get("date", ""))
        except ValueError:
            return Check(name="clock", ok=True, detail="Kantata did not say what time it is")
        skew = abs((self._ctx.now() - theirs.astimezone(UTC)).total_seconds())
        return Check(
            name="clock",
            ok=skew <= SKEW_MAX_S,
            detail=f"{skew:.0f} s apart",
            remedy="let the machine's clock follow a time server",
        )


def _refuse_unusable(settings: KantataSettings) -> None:
    """What msgspec cannot check about settings.

    Raises:
        Fatal: naming the setting and the remedy.
    """
    try:
        ZoneInfo(settings.time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Fatal(
            f"time_zone {settings.time_zone!r} is unknown; write a name like Europe/Berlin"
        ) from error
    for table, values in (("stages", settings.stages.values()), ("status_keys", settings.status_keys)):
        if wrong := sorted(set(values) - STATUS_KEYS.keys()):
            raise Fatal(f"{table} names {', '.join(wrong)}; stages are {', '.join(STATUS_KEYS)}")
    host = urlsplit(settings.base_url).hostname or ""
    if host.endswith(VENDOR_HOST) and settings.worst_commit_s < GIVES_UP_S:
        raise Fatal(
            f"worst_commit_s {settings.worst_commit_s:g} is too short: Kantata may write for {GIVES_UP_S:g} "
            "seconds after it was asked, and what is looked up sooner is made twice"
        )
    if settings.service_field == "default" and not settings.default_service:
        raise Fatal("service_field is default, so default_service must be set")


@hookimpl
def isthmus_connectors() -> list[type[Connector]]:
    """The connectors of this distribution."""
    return [Kantata]
