"""Both stores for the contract suite, and events to put into them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.store.face import Store
from isthmus.store.open import open_memory_store, open_store


@pytest.fixture(params=["on disk", "in memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Each test that asks for it runs twice: what holds for one store holds for the other."""
    if request.param == "on disk":
        async with open_store(tmp_path / "state") as opened:
            yield opened
    else:
        async with open_memory_store() as opened:
            yield opened


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path / "state") as opened:
        yield opened
