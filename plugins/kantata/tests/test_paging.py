"""Pages by offset over a list that moves: nothing that stayed is skipped at a page border."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.sdk import Retryable
from isthmus_kantata.paging import KNOWN_MIN, RESTARTS_MAX, Place

Rows = list[str]


def read(rows: Rows, size: int, between: Callable[[int, Rows], None] = lambda page, rows: None) -> set[str]:
    """Everything a listing shows from its beginning to its end; ``between`` moves it after each page."""
    met: set[str] = set()
    place = Place()
    for page in range(10_000):
        shown = rows[place.skip : place.skip + size]
        met |= set(shown)
        following = place.following(shown, size=size, more=place.skip + size < len(rows))
        if following is None:
            return met
        place = following
        between(page, rows)
    raise AssertionError("the listing does not end")


def by_numbers(rows: Rows, size: int, between: Callable[[int, Rows], None]) -> set[str]:
    """The mutant beside the guarantee: the same list read by plain page numbers."""
    met: set[str] = set()
    for page in range(10_000):
        shown = rows[page * size : (page + 1) * size]
        met |= set(shown)
        if (page + 1) * size >= len(rows):
            return met
        between(page, rows)
    raise AssertionError("the listing does not end")


def shrink(page: int, rows: Rows) -> None:
    """What was read is deleted, two records after each of the first pages."""
    if page < 8:
        del rows[:2]


def to_the_end(page: int, rows: Rows) -> None:
    """What was read is edited, and sorts last from then on."""
    if page < 8:
        rows.append(rows.pop(0))


def sixty() -> Rows:
    return [f"r{n:02}" for n in range(60)]


@pytest.mark.parametrize(
    "between",
    [pytest.param(shrink, id="records are deleted"), pytest.param(to_the_end, id="records move to the end")],
)
@pytest.mark.parametrize("size", [2, 5, 20, 200])
def test_what_stays_is_met_though_the_pages_shrink(between: Callable[[int, Rows], None], size: int) -> None:
    rows = sixty()
    met = read(rows, size, between)
    assert set(rows) <= met


@pytest.mark.parametrize(
    "between",
    [pytest.param(shrink, id="records are deleted"), pytest.param(to_the_end, id="records move to the end")],
)
def test_plain_page_numbers_skip_some(between: Callable[[int, Rows], None]) -> None:
    rows = sixty()
    assert not set(rows) <= by_numbers(rows, 5, between)


def test_records_that_come_in_behind_are_no_reason_to_begin_again() -> None:
    pages = []

    def five_behind(page: int, rows: Rows) -> None:
        pages.append(page)
        if page < 5:
            rows[0:0] = [f"late{page}-{n}" for n in range(5)]

    rows = sixty()
    assert set(sixty()) <= read(rows, 5, five_behind)
    assert len(pages) < 2 * len(sixty()) // 4


@given(
    size=st.integers(2, 9),
    count=st.integers(0, 40),
    moves=st.lists(st.tuples(st.sampled_from(["delete", "edit", "insert"]), st.integers(0, 60)), max_size=25),
)
def test_whatever_moves_what_stays_put_is_met(size: int, count: int, moves: list[tuple[str, int]]) -> None:
    """A record that is neither deleted nor edited is met; edited ones are met by the next pass, by stamp."""
    waiting = list(moves)
    moved: set[str] = set()

    def between(page: int, rows: Rows) -> None:
        if not waiting:
            return
        what, where = waiting.pop()
        if what == "insert":
            rows.insert(where % (len(rows) + 1), f"new{page}")
            moved.add(f"new{page}")
        elif rows:
            row = rows.pop(where % len(rows))
            moved.add(row)
            if what == "edit":
                rows.append(row)

    rows = [f"r{n}" for n in range(count)]
    met = read(rows, size, between)
    assert set(rows) - moved <= met


def test_a_peer_that_gives_one_page_for_ever_is_noticed() -> None:
    """It ignores ``offset``, or serves a page from a cache: three new beginnings, then an error."""
    calls = []

    def read_on(place: Place | None) -> None:
        while place is not None:
            calls.append(place)
            place = place.following(["a", "b", "c"], size=3, more=True)

    with pytest.raises(Retryable, match="again and again"):
        read_on(Place())
    assert len(calls) == 2 * (RESTARTS_MAX + 1)


@pytest.mark.parametrize("shown", [[], ["a"]], ids=["no record", "one record"])
def test_a_peer_that_claims_more_than_it_shows_is_noticed(shown: Rows) -> None:
    with pytest.raises(Retryable, match="shows"):
        Place().following(shown, size=3, more=True)


def test_the_cursor_does_not_grow_with_the_pages() -> None:
    place = Place()
    for page in range(300):
        ids = [str(page * 4 + n) for n in range(5)]
        following = place.following(ids, size=5, more=True)
        assert following is not None
        place = following
    assert len(place.tail) == KNOWN_MIN
