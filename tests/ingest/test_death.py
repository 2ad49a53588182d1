"""The process may die at any moment of reading: no fact is lost and none counts twice."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, get_args

import pytest
import trio

from isthmus.ingest import actor
from isthmus.ingest.record import Recorded, record
from isthmus.sdk.connector import Page
from isthmus.store import cursors
from isthmus.store.face import Store
from isthmus.store.open import open_memory_store
from tests.ingest.given import INSTANCE, STREAM, Shelf, ids, now, reading, time
from tests.process.dying import Died, DyingStore, Moment

PAGES = [[time("e1"), time("e2")], [time("e3")], [time("e3"), time("e4")]]
ALL = [f"psa/time.approved/e{n}/1" for n in range(1, 5)]

Record = Callable[..., Awaitable[Recorded]]


async def cursor_first(
    store: Store, instance: str, stream: str, page: Page, now: datetime, **given: Any
) -> Recorded:
    """The planted bug: the cursor moves in a transaction of its own, before its page is kept."""
    await store.write(lambda tx: cursors.move(tx, instance, stream, page.next, now))
    return await record(store, instance, stream, page, now, **{**given, "begun_at": page.next})


async def page_read_through_a_death(at: int, moment: Moment) -> list[str]:
    """What the log holds when the process died at its ``at``-th write and was started again."""
    async with open_memory_store(now=now) as store:
        dying = DyingStore(store, at, moment)
        try:
            async with reading(Shelf(PAGES), dying):
                await trio.sleep(1)
        except* Died:
            pass
        assert dying.writes == at, "it died there and nowhere else"
        async with reading(Shelf(PAGES), store):
            await trio.sleep(1)
        return await ids(store)


async def everywhere(writes: int) -> list[list[str]]:
    """One log for each write and moment at which the process died."""
    return [
        await page_read_through_a_death(at, moment)
        for at in range(1, writes + 1)
        for moment in get_args(Moment)
    ]


async def test_a_death_at_any_write_loses_and_doubles_nothing() -> None:
    logs = await everywhere(len(PAGES))
    assert len(logs) == 2 * len(PAGES)
    assert all(log == ALL for log in logs)


async def test_mutant_a_cursor_that_moves_before_its_page_loses_facts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(actor, "record", cursor_first)
    logs = await everywhere(2 * len(PAGES))
    assert any(set(log) < set(ALL) for log in logs), "the check above would not see a lost page"


async def test_nothing_of_a_page_is_kept_when_it_dies_before_the_commit(store: Store) -> None:
    with pytest.raises(Died):
        await record(DyingStore(store, 1), INSTANCE, STREAM, Page(events=PAGES[0], next=b"1"), now())
    assert await ids(store) == []
    assert await store.read(lambda tx: cursors.get(tx, INSTANCE, STREAM)) is None
