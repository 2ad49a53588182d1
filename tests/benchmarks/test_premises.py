"""The benchmark measures what it says, and its figure does not count when something was lost or doubled."""

from collections.abc import Callable, Sequence

import pytest

from isthmus.events import BusinessEvent, encode
from tests.benchmarks.given import EVENTS, PAGE, SUBJECTS, approvals, pages
from tests.benchmarks.outbox import Ledger, check


def test_the_events_are_what_the_figure_says() -> None:
    events = approvals()
    assert len(events) == len({event.id for event in events}) == EVENTS
    assert len({event.subject for event in events}) == SUBJECTS
    assert 480 <= sum(len(encode(event)) for event in events) / EVENTS <= 520


def test_two_percent_of_what_is_told_is_told_twice() -> None:
    told = [event.id for page in pages(approvals()) for event in page]
    assert (len(told) - EVENTS) / EVENTS == pytest.approx(0.02, abs=0.001)
    assert max(len(page) for page in pages(approvals())) <= PAGE * 1.02


def test_another_turn_brings_other_events() -> None:
    assert not {event.id for event in approvals(100)} & {event.id for event in approvals(100, turn=1)}


@pytest.mark.parametrize(
    ("spoil", "receipts"),
    [
        pytest.param(lambda came: came[:-1], 200, id="one was lost"),
        pytest.param(lambda came: [*came, came[0]], 200, id="one came twice"),
        pytest.param(lambda came: came[::-1], 200, id="a subject's facts came in another order"),
        pytest.param(lambda came: came, 199, id="a receipt is missing"),
    ],
)
def test_a_run_does_not_count_when(spoil: Callable[[list[str]], Sequence[str]], receipts: int) -> None:
    events = approvals(200)
    sink = Ledger()
    sink.came = told(events)
    check(sink, events, 200)
    sink.came = list(spoil(told(events)))
    with pytest.raises(AssertionError):
        check(sink, events, receipts)


def told(events: Sequence[BusinessEvent]) -> list[str]:
    return [event.id for event in events]
