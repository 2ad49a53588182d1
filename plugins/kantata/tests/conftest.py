"""A simulated Kantata on loopback, the connector opened on it, and one clock for both."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from isthmus.sdk import Opened, Secret
from isthmus.sdk.simulator import Fault, Match, started
from isthmus.sdk.testing import FakeContext
from isthmus_kantata.connector import Kantata
from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.simulator import KantataSimulator

Act = Callable[..., Any]


class Clock:
    """What both sides take for the time; it stands still until a test moves it."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def move(self, **delta: float) -> None:
        self.at += timedelta(**delta)


class Psa(Protocol):
    """Opens the connector on the simulator, with settings that differ from the tests' defaults."""

    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[Opened]: ...


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def simulator(clock: Clock) -> AsyncIterator[KantataSimulator]:
    async with started(KantataSimulator(now=clock)) as running:
        assert isinstance(running, KantataSimulator)
        yield running


@pytest.fixture
def context(clock: Clock) -> FakeContext:
    return FakeContext("psa", now=clock)


@pytest.fixture
def do(simulator: KantataSimulator) -> Act:
    """Act as a user: ``do("log_time", workspace=..., ...)``."""

    def act(name: str, /, **arguments: Any) -> Any:
        return simulator.acts()[name](**arguments)

    return act


@pytest.fixture
def lose_next(simulator: KantataSimulator) -> Callable[..., None]:
    """Make the peer do the next write and break the connection before it answers."""

    def lose(method: str = "POST", **more: Any) -> None:
        simulator.faults.add([Fault(fault="lose_response", match=Match(method=method), **more)])

    return lose


@pytest.fixture
def psa(simulator: KantataSimulator, context: FakeContext) -> Psa:
    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Opened]:
        known = simulator.credentials()
        defaults: dict[str, Any] = {
            "token": Secret(known["token"]),
            "base_url": known["base_url"],
            "overlap_s": 5.0,
            "settle_s": 0.0,
            "deadline_s": 5.0,
        }
        async with Kantata().open(KantataSettings(**{**defaults, **settings}), context) as opened:
            yield opened

    return opened


@pytest.fixture
def project(do: Act) -> str:
    """Id of a project that people set up by hand."""
    return str(do("add_workspace", title="Apollo")["id"])


@pytest.fixture
def consultant(do: Act) -> str:
    return str(do("add_user", name="Consultant One", role="consulting")["id"])
