"""One simulated account per test, and the connector open against it."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from isthmus.sdk import Opened, Secret
from isthmus.sdk.simulator import started
from isthmus.sdk.testing import FakeContext
from isthmus_runn.connector import Runn
from isthmus_runn.settings import RunnSettings
from isthmus_runn.simulator import RunnSimulator


class Clock:
    """A time that moves a second with every look, so that every write has a stamp of its own.

    With ``step_s`` 0 all stamps are alike.
    """

    def __init__(self) -> None:
        self.time = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)
        self.step_s = 1.0

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=self.step_s)
        return self.time


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()


@pytest.fixture
async def runn(clock: Clock) -> AsyncIterator[RunnSimulator]:
    async with started(RunnSimulator(now=clock)) as simulator:
        assert isinstance(simulator, RunnSimulator)
        yield simulator


@pytest.fixture
def ctx() -> FakeContext:
    return FakeContext("planner", entity="acme-de")


def settings_of(runn: RunnSimulator, **changes: object) -> RunnSettings:
    """Settings that reach the simulator; ``changes`` replace single ones."""
    given = {**runn.credentials(), "timeout_s": 5.0, **changes}
    return RunnSettings(**{**given, "token": Secret(str(given["token"]))})


@pytest.fixture
async def planner(runn: RunnSimulator, ctx: FakeContext) -> AsyncIterator[Opened]:
    async with Runn().open(settings_of(runn, page_size=2), ctx) as opened:
        yield opened
