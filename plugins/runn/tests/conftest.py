"""One simulated account per test, and the connector open against it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

import pytest

from isthmus.sdk import Opened, Secret
from isthmus.sdk.simulator import started
from isthmus.sdk.testing import FakeContext
from isthmus_runn.connector import Runn
from isthmus_runn.settings import RunnSettings
from isthmus_runn.simulator import RunnSimulator

OpenRunn = Callable[..., AbstractAsyncContextManager[Opened]]


class Clock:
    """A time that moves by ``step`` with every look, so that every write has a stamp of its own."""

    def __init__(self) -> None:
        self.time = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)
        self.step = timedelta(seconds=1)

    def __call__(self) -> datetime:
        self.time += self.step
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def runn(clock: Clock) -> AsyncIterator[RunnSimulator]:
    simulator = RunnSimulator(now=clock)
    async with started(simulator):
        yield simulator


@pytest.fixture
def ctx(clock: Clock) -> FakeContext:
    return FakeContext("planner", entity="acme-de", now=lambda: clock.time)


@pytest.fixture
def open_runn(runn: RunnSimulator, ctx: FakeContext) -> OpenRunn:
    """Opens the connector against the simulator; keyword arguments replace single settings."""

    def opened(context: FakeContext = ctx, **changes: object) -> AbstractAsyncContextManager[Opened]:
        given: dict[str, object] = {**runn.credentials(), "timeout_s": 5.0, "page_size": 2, **changes}
        token = Secret(str(given.pop("token")))
        return Runn().open(RunnSettings(token=token, **given), context)  # type: ignore[arg-type]

    return opened


@pytest.fixture
async def planner(open_runn: OpenRunn) -> AsyncIterator[Opened]:
    async with open_runn() as opened:
        yield opened
