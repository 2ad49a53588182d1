"""The connector: settings in, an open source, sink, probe and census out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import msgspec

from isthmus.sdk import Auth, Connector, Context, HttpLimits, Opened, TokenAuth, hookimpl
from isthmus_netsuite.auth import Assertions, TokenBased, login
from isthmus_netsuite.budget import Budget
from isthmus_netsuite.census import Books
from isthmus_netsuite.client import Client
from isthmus_netsuite.directory import Directory
from isthmus_netsuite.probe import NetSuiteProbe
from isthmus_netsuite.settings import NetSuiteSettings
from isthmus_netsuite.sink import NetSuiteSink
from isthmus_netsuite.source import NetSuiteSource


class NetSuite(Connector):
    """Master of invoices, payments and accounting periods; takes customers, projects and charges."""

    name = "netsuite"
    title = "Oracle NetSuite"
    Settings = NetSuiteSettings
    simulator: ClassVar[str | None] = "isthmus_netsuite.simulator:NetSuiteSimulator"

    @asynccontextmanager
    async def open(self, settings: msgspec.Struct, ctx: Context) -> AsyncIterator[Opened]:
        """Open one account; nothing is sent before the first call.

        Raises:
            Fatal: the private key cannot sign.
        """
        assert isinstance(settings, NetSuiteSettings)
        limits = HttpLimits(
            concurrency=settings.concurrency,
            deadline_s=settings.deadline_s,
            ca_file=settings.ca_file,
            client_cert=settings.client_cert,
        )
        budget = Budget(
            settings.concurrency,
            lambda limit: ctx.log.debug(
                "netsuite.concurrency_lowered", extra={"reason": f"{limit} at a time now"}
            ),
        )
        async with ctx.http(settings.origin, limits=limits) as anonymous:
            auth: Auth
            if settings.auth == "oauth2":
                auth = TokenAuth(login(anonymous, Assertions(settings), ctx.now))
            else:
                auth = TokenBased(settings, ctx.now)
            async with ctx.http(settings.origin, auth=auth, limits=limits) as http:
                client = Client(http, page_size=settings.page_size, budget=budget)
                directory = Directory(client, ctx)
                yield Opened(
                    source=NetSuiteSource(client, directory, settings, ctx),
                    sink=NetSuiteSink(client, directory, settings, ctx),
                    probe=NetSuiteProbe(http, client, settings, ctx),
                    census=Books(client, directory, settings, ctx),
                )


@hookimpl
def isthmus_connectors() -> list[type[Connector]]:
    return [NetSuite]
