"""One fake org and one connector per test, on a clock that tests turn."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from isthmus.sdk import Opened, Secret
from isthmus.sdk.simulator import started
from isthmus.sdk.testing import FakeContext
from isthmus_salesforce.connector import SalesforceConnector
from isthmus_salesforce.settings import SalesforceSettings
from isthmus_salesforce.simulator import Salesforce


class Clock:
    """Gives the same time until it is turned."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 9, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class MakeSettings(Protocol):
    def __call__(self, **changes: Any) -> SalesforceSettings: ...


Connect = Callable[..., AbstractAsyncContextManager[Opened]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def app_key() -> str:
    """One RSA key for all tests; making one takes a while."""
    return Salesforce().login.private_key


@pytest.fixture
async def sim(clock: Clock, app_key: str) -> AsyncIterator[Salesforce]:
    simulator = Salesforce(now=clock)
    simulator.memory["private_key"] = app_key
    async with started(simulator):
        yield simulator


@pytest.fixture
def ctx(clock: Clock) -> FakeContext:
    return FakeContext("crm", entity="main", now=clock)


@pytest.fixture
def make_settings(sim: Salesforce) -> MakeSettings:
    """Settings that fit the fake org, without a pause between change and sight."""

    def make(**changes: Any) -> SalesforceSettings:
        given = {**sim.credentials(), "overlap_s": 60, "settle_s": 0, "limit_pause_s": 7, **changes}
        for name in ("private_key", "client_secret"):
            if isinstance(given[name], str):
                given[name] = Secret(given[name])
        return SalesforceSettings(**given)

    return make


@pytest.fixture
def connect(ctx: FakeContext, make_settings: MakeSettings) -> Connect:
    """Opens the connector with changed settings: ``async with connect(page_size=1) as opened``."""

    @asynccontextmanager
    async def open_one(**changes: Any) -> AsyncIterator[Opened]:
        async with SalesforceConnector().open(make_settings(**changes), ctx) as opened:
            yield opened

    return open_one


@pytest.fixture
def win(sim: Salesforce) -> Callable[..., dict[str, Any]]:
    """Wins a small deal; any argument of the act can be changed."""

    def act(**changes: Any) -> dict[str, Any]:
        milestone = {"Line__c": "M", "Model__c": "milestone", "Title__c": "Go-live", "Amount__c": "20000"}
        given: dict[str, Any] = {
            "account": "Acme",
            "name": "Rollout",
            "amount": "20000.00",
            "currency": "EUR",
            "entity": "de",
            "lines": [milestone],
            "signed_on": "2026-01-05",
            "starts_on": "2026-02-01",
            "time_zone": "Europe/Berlin",
        }
        won: dict[str, Any] = sim.acts()["win_deal"](**{**given, **changes})
        return won

    return act
