"""A store in memory, so that minutes of polling pass in milliseconds."""

from collections.abc import AsyncIterator
from inspect import iscoroutinefunction

import pytest

from isthmus.store.face import Store
from isthmus.store.open import open_memory_store
from tests.delivery.given import IN_VIRTUAL_TIME
from tests.ingest.given import now


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every test of this folder runs in virtual time; the mark must stand before that of trio_mode."""
    if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
        item.add_marker(IN_VIRTUAL_TIME, append=False)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_memory_store(now=now) as opened:
        yield opened
