"""The ordered index behaves like a sorted dictionary, and its rows stay small."""

from hypothesis import given
from hypothesis import strategies as st

from isthmus.process.rules import index
from isthmus.process.states import MemoryStates

places = st.one_of(st.integers(1, 100), st.integers(1, 2**30 - 1))


@given(st.lists(st.tuples(st.sampled_from([True, True, True, False]), places), max_size=90))
def test_it_walks_what_was_added_and_not_discarded_in_order(steps: list[tuple[bool, int]]) -> None:
    states, model = MemoryStates(), dict[int, str]()
    for adding, place in steps:
        if adding:
            index.add(states, "q", place, f"fact:{place}")
            model[place] = f"fact:{place}"
        else:
            index.discard(states, "q", place)
            model.pop(place, None)
    assert list(index.walk(states, "q")) == sorted(model.items())
    assert list(index.walk(states, "other")) == []


def test_a_member_may_be_taken_out_while_walking() -> None:
    states = MemoryStates()
    for place in range(1, 200):
        index.add(states, "q", place, str(place))
    walked = []
    for place, _ in index.walk(states, "q"):
        index.discard(states, "q", place)
        walked.append(place)
    assert walked == list(range(1, 200))
    assert list(index.walk(states, "q")) == []


def test_no_row_grows_with_the_number_of_members() -> None:
    states = MemoryStates()
    for place in range(5_000):
        index.add(states, "q", place, f"time:psa:{place}")
    assert max(len(row) for row in states.rows.values()) < 32 * 40


def test_a_small_index_is_one_row() -> None:
    states = MemoryStates()
    for place in range(0, 32_000, 1_000):
        index.add(states, "q", place, f"time:psa:{place}")
    assert list(states.rows) == ["q"]
