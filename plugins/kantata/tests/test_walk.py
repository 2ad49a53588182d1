"""Polling as arithmetic: a peer that is a list, and every way it can move under our feet."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from isthmus.sdk import Fatal
from isthmus_kantata.walk import People, Walk, advance, begin, read, read_walk

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
OVERLAP = timedelta(seconds=60)
Peer = dict[str, datetime]


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def one_pass(
    peer: Peer,
    walk: Walk,
    *,
    now: datetime,
    size: int,
    by_stamp: bool = True,
    between: Callable[[int], None] = lambda pages: None,
) -> tuple[set[str], Walk, int]:
    """Walk until the pass ends; ``between`` runs after each page. Returns names, cursor, pages."""
    met: set[str] = set()
    for pages in range(1, 1000):
        walk = begin(walk, now)
        bound = walk.after - timedelta(seconds=1) if walk.after else None
        rows = [(stamp, name) for name, stamp in peer.items() if bound is None or stamp > bound]
        rows = sorted(rows) if by_stamp else sorted(rows, key=lambda row: row[1])
        skip = walk.place.skip
        page = rows[skip : skip + size]
        met |= {name for _, name in page}
        walk = advance(
            walk,
            [name for _, name in page],
            [stamp for stamp, _ in page],
            more=len(rows) > skip + size,
            size=size,
            by_stamp=by_stamp,
            phases=1,
            overlap=OVERLAP,
        )
        if walk.started is None:
            return met, walk, pages
        between(pages)
    raise AssertionError("the pass does not end")


def test_a_pass_meets_everything_once_it_ends() -> None:
    peer = {f"r{n:03}": at(n) for n in range(100)}
    met, walk, _ = one_pass(peer, Walk(), now=at(1000), size=7)
    assert met == peer.keys()
    assert walk.resume == at(99)


def test_more_records_of_one_second_than_fit_a_page_are_all_met() -> None:
    peer = {f"r{n:03}": at(5) for n in range(50)} | {"later": at(6)}
    met, _, _ = one_pass(peer, Walk(resume=at(0)), now=at(1000), size=7)
    assert met == peer.keys()


def move_one(peer: Peer) -> Callable[[int], None]:
    """After each page a record that was read moves to the end, as when somebody edits it."""

    def between(pages: int) -> None:
        if pages <= 10:
            peer[f"r{pages:03}"] = at(500 + pages)

    return between


def test_records_that_move_while_we_read_push_none_over_a_page_border() -> None:
    peer = {f"r{n:03}": at(n) for n in range(60)}
    met, _, _ = one_pass(peer, Walk(), now=at(1000), size=5, between=move_one(peer))
    assert met == peer.keys()


def test_counting_pages_instead_would_lose_records() -> None:
    """The mutant beside the guarantee: the same peer, walked by page numbers in order of change."""
    peer = {f"r{n:03}": at(n) for n in range(60)}
    moves, met = move_one(peer), set[str]()
    for page in range(13):
        rows = [name for name, _ in sorted(peer.items(), key=lambda row: (row[1], row[0]))]
        met |= set(rows[page * 5 : page * 5 + 5])
        moves(page + 1)
    assert met != peer.keys()


def test_an_endpoint_without_that_order_is_walked_in_one_that_stands_still() -> None:
    peer = {f"r{n:03}": at(n) for n in range(60)}
    met, walk, _ = one_pass(peer, Walk(), now=at(400), size=5, by_stamp=False, between=move_one(peer))
    assert met == peer.keys()
    again, _, _ = one_pass(peer, walk, now=at(1000), size=5, by_stamp=False)
    assert {f"r{n:03}" for n in range(1, 11)} <= again, "what changed on a page already read is met again"


@pytest.mark.parametrize(
    ("seen", "now", "resume"),
    [
        pytest.param(at(10), at(1000), at(10), id="quiet for long: the newest stamp"),
        pytest.param(at(990), at(1000), at(940), id="fresh: no later than the overlap before the pass"),
        pytest.param(at(5000), at(1000), at(940), id="a peer whose clock is ahead hides nothing"),
    ],
)
def test_where_the_next_pass_resumes(seen: datetime, now: datetime, resume: datetime) -> None:
    _, walk, _ = one_pass({"r": seen}, Walk(), now=now, size=5)
    assert walk.resume == resume


def test_a_record_committed_late_within_the_overlap_is_met() -> None:
    peer = {"first": at(100)}
    _, walk, _ = one_pass(peer, Walk(), now=at(110), size=5)
    peer["late"] = at(95)
    met, _, _ = one_pass(peer, walk, now=at(120), size=5)
    assert "late" in met


def test_an_empty_pass_forgets_nothing() -> None:
    _, walk, pages = one_pass({}, Walk(resume=at(50)), now=at(1000), size=5)
    assert (walk.resume, pages) == (at(50), 1)


def test_a_clock_that_jumps_back_does_not_read_history_again() -> None:
    _, walk, _ = one_pass({"r": at(900)}, Walk(resume=at(800)), now=at(10), size=5)
    assert walk.resume == at(800)


def test_a_cursor_of_another_connector_is_refused() -> None:
    with pytest.raises(Fatal, match="reset"):
        read_walk(b"not json", None)
    with pytest.raises(Fatal, match="reset"):
        read(b"[1]", People)


def test_reading_can_start_at_a_day() -> None:
    assert read_walk(None, at(0)).resume == at(0)
    assert begin(read_walk(None, at(0)), at(9)).updated_after == "2026-11-02T08:59:59Z"
