"""The bucket of one token."""

import pytest

from isthmus.services.limits import RateLimit


@pytest.mark.parametrize(
    ("asked_at", "answers"),
    [
        pytest.param([0, 0, 0, 0], [None, None, None, 1], id="a burst, then a wait"),
        pytest.param([0, 0, 0, 0.5], [None, None, None, None], id="half a second brings one at two a second"),
        pytest.param(
            [0, 0, 0, 100, 100, 100, 100], [None] * 6 + [1], id="a long rest fills no more than the burst"
        ),
        pytest.param([0, 0, 0, 0, 0, 0.5], [None, None, None, 1, 1, None], id="a refusal costs nothing"),
    ],
)
def test_a_burst_of_three_and_two_a_second(asked_at: list[float], answers: list[int | None]) -> None:
    clock = iter(asked_at)
    limit = RateLimit(2.0, 3, lambda: next(clock))
    assert [limit.take("a") for _ in asked_at] == answers


def test_each_token_has_a_bucket_of_its_own_and_a_slow_one_says_so() -> None:
    limit = RateLimit(0.1, 1, lambda: 0.0)
    assert [limit.take("a"), limit.take("b"), limit.take("a")] == [None, None, 10]
