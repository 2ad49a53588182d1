"""One line of `isthmus status` for each thing people look for first."""

from typing import Any

import pytest

from isthmus.cli.output import planner_lag_words


def row(state: str, hours: str, **amounts: str) -> dict[str, Any]:
    return {"state": state, "hours": hours, "amounts": amounts, "since": "2026-10-05T09:30:00Z"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param(None, "still being counted", id="after a start"),
        pytest.param([], "none", id="the planner has everything"),
        pytest.param(
            [row("unsaid", "2.50", EUR="300.00"), row("dead_letter", "0", JPY="5", EUR="1.00")],
            "unsaid 2.50 h, 300.00 EUR (since 2026-10-05 09:30); "
            "dead letter 5 JPY, 1.00 EUR (since 2026-10-05 09:30)",
            id="hours and money, by where they wait",
        ),
    ],
)
def test_what_the_planner_lacks_is_one_line(rows: list[dict[str, Any]] | None, words: str) -> None:
    assert planner_lag_words(rows) == words
