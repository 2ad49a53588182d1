"""A store in memory, so that hours pass in milliseconds."""

from collections.abc import AsyncIterator
from inspect import iscoroutinefunction

import pytest

from isthmus.store.face import Store
from isthmus.store.open import open_memory_store
from tests.delivery.given import IN_VIRTUAL_TIME, Road, SlowReads, now


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every test of this folder runs in virtual time; the mark must stand before that of trio_mode."""
    if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
        item.add_marker(IN_VIRTUAL_TIME, append=False)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_memory_store(now=now) as opened:
        yield opened


@pytest.fixture(params=[pytest.param(0.0, id="reads at once"), pytest.param(0.35, id="reads late")])
def road(request: pytest.FixtureRequest, store: Store) -> Road:
    """Each test that asks for it runs twice: late reads bring every race between a look and its use."""
    return Road(SlowReads(store, request.param) if request.param else store)
