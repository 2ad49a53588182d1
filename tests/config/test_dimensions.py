"""How a legal entity's ledger names what is billed, and what an admin is told of a mistake in it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus.config import load
from tests.config.test_load import AFTER_GOOD, GOOD, problems

Write = Callable[..., Path]

MAPPED = """
[dimensions.acme-us.services]
consulting = { item = "Consulting", department = "Delivery" }

[dimensions.acme-us.origins]
expense = { item = "Expenses" }
"""


def test_services_and_origins_are_read_for_each_entity(write: Write) -> None:
    (given,) = [load(write(GOOD + MAPPED)).dimensions["acme-us"]]
    assert given.services == {"consulting": {"item": "Consulting", "department": "Delivery"}}
    assert given.origins == {"expense": {"item": "Expenses"}}


def test_a_table_may_be_continued_in_another_file(write: Write) -> None:
    config = load(
        write(GOOD, erp=MAPPED, more='[dimensions.acme-de.services]\nconsulting = { item = "B" }\n')
    )
    assert set(config.dimensions) == {"acme-us", "acme-de"}


@pytest.mark.parametrize(
    ("text", "code", "says", "hint"),
    [
        pytest.param(
            '[dimensions.acme-us.service]\nconsulting = { item = "C" }\n',
            "config.unknown-key",
            'dimensions.acme-us has no table "service"',
            'did you mean "services"?',
            id="another table",
        ),
        pytest.param(
            '[dimensions.acme-us.origins]\nexpenses = { item = "C" }\n',
            "config.bad-value",
            'there is no origin "expenses"',
            'did you mean "expense"?',
            id="an origin that does not exist",
        ),
        pytest.param(
            '[dimensions.acme-us.origins]\ntime = { item = "C" }\n',
            "config.bad-value",
            'there is no origin "time"',
            None,
            id="hours are mapped by their service",
        ),
        pytest.param(
            "[dimensions.acme-us.services]\nconsulting = {}\n",
            "config.bad-value",
            "dimensions.acme-us.services.consulting sets no dimension",
            'name at least one, such as item = "Consulting"',
            id="a row that names nothing",
        ),
        pytest.param(
            "[dimensions.acme-us.services]\nconsulting = { item = 7 }\n",
            "config.bad-value",
            "item must be a text",
            'write item = "name in the ledger"',
            id="a number",
        ),
        pytest.param(
            '[dimensions.acme-us.services]\nconsulting = { item = "" }\n',
            "config.bad-value",
            "item must be a text",
            'write item = "name in the ledger"',
            id="an empty name",
        ),
        pytest.param(
            '[dimensions.acme-us]\nservices = "Consulting"\n',
            "config.not-a-table",
            '"services" must be a table',
            "write [dimensions.acme-us.services]",
            id="a text where a table belongs",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(
    write: Write, text: str, code: str, says: str, hint: str | None
) -> None:
    (problem,) = problems(write(GOOD + text))
    assert problem.code == code
    assert says in problem.message
    assert problem.line in (AFTER_GOOD, AFTER_GOOD + 1)
    if hint is not None:
        assert problem.hint == hint
