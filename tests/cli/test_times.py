"""Instants as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from isthmus.cli.exits import Leave
from isthmus.cli.times import instant, span

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        pytest.param("2026-10-31T08:00:00+01:00", datetime(2026, 10, 31, 7, tzinfo=UTC), id="with an offset"),
        pytest.param("2026-10-31T08:00:00Z", datetime(2026, 10, 31, 8, tzinfo=UTC), id="in UTC"),
        pytest.param("2026-10-31", datetime(2026, 10, 31, tzinfo=UTC), id="a day is its midnight in UTC"),
        pytest.param("90m", NOW - timedelta(minutes=90), id="minutes ago"),
        pytest.param("2d", NOW - timedelta(days=2), id="days ago"),
    ],
)
def test_forms_that_are_understood(text: str, at: datetime) -> None:
    assert instant("--since", text, NOW) == at


@pytest.mark.parametrize("text", ["2026-10-31T08:00:00", "yesterday", "3 h", "-2d", "", "31.10.2026"])
def test_any_other_is_a_wrong_use_that_shows_the_forms(text: str) -> None:
    with pytest.raises(Leave, match=r"--since .* is no time; write it as one of: 2026-11-01T08:00:00\+01:00"):
        instant("--since", text, NOW)


def test_nothing_said_is_no_bound() -> None:
    assert instant("--since", None, NOW) is None


def test_a_span_of_time_has_a_unit() -> None:
    assert (span("--ttl", "90d"), span("--ttl", "12h")) == (timedelta(days=90), timedelta(hours=12))
    with pytest.raises(Leave, match="--ttl '90' is no span of time; write it as 90d"):
        span("--ttl", "90")
