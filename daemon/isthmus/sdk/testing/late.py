"""What a source must not miss: rows of one stamp across pages, and rows that appear late."""

from collections.abc import Callable, Collection

import msgspec

from isthmus.events import BusinessEvent
from isthmus.sdk.connector import Page, Source

__all__ = ["LateCase", "LateContract"]

PAGES_MAX = 20_000


class LateCase(msgspec.Struct, frozen=True, kw_only=True):
    """A peer whose records the test makes, with the stamps it wants.

    ``add(count, late_s)`` makes ``count`` records that all bear one stamp, ``late_s`` seconds ago, and
    returns the `BusinessEvent.key` of the facts they are. ``advance(seconds)`` moves the time of peer and
    connector. Choose a page size below ``ties``, and ``late_s`` within the overlap you promise.
    """

    source: Source
    stream: str
    add: Callable[[int, float], Collection[str]]
    advance: Callable[[float], None]
    ties: int = 5
    late_s: float = 60.0
    settle_s: float = 5.0
    """How long the connector lets changes rest before it reads them."""


class LateContract:
    """Give a fixture ``late_case``: a `LateCase`."""

    async def test_rows_of_one_stamp_are_not_lost_at_a_page_edge(self, late_case: LateCase) -> None:
        made = set(late_case.add(late_case.ties, 0))
        late_case.advance(late_case.settle_s)
        made |= set(late_case.add(late_case.ties, 0))
        late_case.advance(late_case.settle_s)
        told, _ = await _read(late_case)
        assert len(made) == 2 * late_case.ties
        assert made <= _keys(told), f"never told: {sorted(made - _keys(told))}"

    async def test_a_row_of_a_stamp_already_read_is_not_lost(self, late_case: LateCase) -> None:
        first = set(late_case.add(1, 0))
        late_case.advance(late_case.settle_s)
        _, cursor = await _read(late_case)
        twin = set(late_case.add(1, late_case.settle_s))
        late_case.advance(late_case.settle_s)
        told, _ = await _read(late_case, cursor)
        assert twin.isdisjoint(first)
        assert twin <= _keys(told), f"never told: {sorted(twin)}"

    async def test_rows_that_appear_behind_the_cursor_after_each_page_are_not_lost(
        self, late_case: LateCase
    ) -> None:
        made = set(late_case.add(3 * late_case.ties, 0))
        late_case.advance(late_case.settle_s)
        late: set[str] = set()

        def behind(page: Page) -> None:
            if len(late) < late_case.ties:
                late.update(late_case.add(1, late_case.late_s))

        told, cursor = await _read(late_case, each=behind)
        late_case.advance(late_case.settle_s)
        again, _ = await _read(late_case, cursor)
        told += again
        assert late, "no page was read: nothing was tested"
        assert made | late <= _keys(told), f"never told: {sorted((made | late) - _keys(told))}"
        ids: dict[str, set[str]] = {}
        for event in told:
            ids.setdefault(event.key, set()).add(event.id)
        doubled = {key for key in made | late if len(ids[key]) > 1}
        assert not doubled, f"told under two ids: {sorted(doubled)}"


async def _read(
    case: LateCase, cursor: bytes | None = None, each: Callable[[Page], None] = lambda page: None
) -> tuple[list[BusinessEvent], bytes]:
    told: list[BusinessEvent] = []
    for _ in range(PAGES_MAX):
        page = await case.source.pull(case.stream, cursor)
        told += page.events
        cursor = page.next
        each(page)
        if not page.more:
            return told, cursor
    raise AssertionError(f"{case.stream} gave {PAGES_MAX} pages and no end")


def _keys(events: Collection[BusinessEvent]) -> set[str]:
    return {event.key for event in events}
