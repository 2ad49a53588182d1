"""The connector: what Salesforce tells, what it takes, and whether it can be worked with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, cast

import msgspec

from isthmus.sdk import (
    Census,
    Connector,
    Context,
    HttpLimits,
    Opened,
    Sink,
    Source,
    TokenAuth,
    hookimpl,
)
from isthmus_salesforce.census import Sold
from isthmus_salesforce.certinia.census import ApprovedWork
from isthmus_salesforce.certinia.sink import Engagements
from isthmus_salesforce.certinia.source import Delivered
from isthmus_salesforce.client import Client, Login
from isthmus_salesforce.discover import Described
from isthmus_salesforce.probe import SalesforceProbe
from isthmus_salesforce.schema import Schema
from isthmus_salesforce.settings import SalesforceSettings
from isthmus_salesforce.sink import Invoices
from isthmus_salesforce.source import Sales


class SalesforceConnector(Connector):
    """Accounts, won deals and contracts come out; invoices and payments go in. With Certinia PSA: approved
    work comes out, projects, milestones and what was invoiced go in."""

    name: ClassVar[str] = "salesforce"
    title: ClassVar[str] = "Salesforce"
    Settings: ClassVar[type[msgspec.Struct]] = SalesforceSettings
    simulator: ClassVar[str | None] = "isthmus_salesforce.simulator:Salesforce"

    @asynccontextmanager
    async def open(self, settings: msgspec.Struct, ctx: Context) -> AsyncIterator[Opened]:
        """Open one org. Nothing is asked before the first call needs a token."""
        config = cast(SalesforceSettings, settings)
        limits = HttpLimits(
            deadline_s=config.deadline_s, concurrency=config.concurrency, ca_file=config.ca_file
        )
        # A login happens within a call, so it must fail before that call's own deadline does.
        login_limits = HttpLimits(deadline_s=config.deadline_s / 2, concurrency=1, ca_file=config.ca_file)
        async with ctx.http(config.login_url or config.instance_url, limits=login_limits) as login_http:
            login = Login(login_http, config, ctx)
            auth = TokenAuth(login.token)
            async with ctx.http(config.instance_url, auth=auth, limits=limits) as http:
                client = Client(http, config)
                schema = Schema(client, config)
                probe = SalesforceProbe(client, login, schema, config, ctx)
                match config.pack:
                    case "sales":
                        source: Source = Sales(client, config, ctx, schema)
                        sink: Sink = Invoices(client, config, ctx, schema)
                        census: Census = Sold(client, config, ctx)
                    case "certinia-psa":
                        source = Delivered(client, config, ctx, schema, login)
                        sink = Engagements(client, config, ctx, schema)
                        census = ApprovedWork(client, config, ctx)
                discover = Described(client, config)
                yield Opened(source=source, sink=sink, probe=probe, census=census, discover=discover)


@hookimpl
def isthmus_connectors() -> list[type[Connector]]:
    """What this distribution brings."""
    return [SalesforceConnector]
