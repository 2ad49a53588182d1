"""A site of services for each test."""

from collections.abc import AsyncIterator

import pytest
import trio

from isthmus.store.open import open_memory_store
from tests.services.rig import Site


@pytest.fixture
async def site(nursery: trio.Nursery) -> AsyncIterator[Site]:
    async with open_memory_store() as store:
        yield await Site(store, nursery).open()
