"""`isthmus billing preview`: a file of facts in, what billing derives of them out, in the file's order."""

import json
from pathlib import Path
from typing import Any

import pytest

from isthmus.events import ChangeOrderStepped, encode
from tests.cli.inside import isthmus
from tests.process.test_worked_example import play

TABLE = """\
charge.waived     e1 r1   included      8.00
charge.waived     e2 r1   included      2.00
charge.determined e2 r1                 2.00   150.00    300.00    T  2026-10-06
charge.determined e3 r1                 4.66   150.00    699.00    T  2026-10-07
charge.held       e3 r1   cap_reached   1.34             201.00
charge.determined m1 r1                 1      20000.00  20000.00  M  2026-10-08
charge.determined e2 r1                 2.00   150.00    -300.00   T  2026-10-06
charge.waived     e2 r2   included      2.00
charge.determined e2 r2                 1.00   150.00    150.00    T  2026-10-06
charge.determined e3 r1                 1.00   150.00    150.00    T  2026-10-07
charge.held       e3 r1   cap_reached   0.34             51.00
charge.determined e3 r1                 0.34   150.00    51.00     T  2026-10-07
charge.released   e3 r1   cap_reached   0.34             51.00
charge.held       e1 r2   period_closed 9.00
"""
"""The worked example of the manual."""


@pytest.fixture
def facts(ledger: Any, tmp_path: Path) -> Path:
    """The worked example as a file."""
    play(ledger)
    path = tmp_path / "facts.jsonl"
    path.write_bytes(b"\n".join(encode(event) for event in ledger.told) + b"\n")
    return path


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def test_the_worked_example_as_a_file_gives_the_table_of_the_manual(facts: Path) -> None:
    done = isthmus("billing", "preview", str(facts), "--output", "table", COLUMNS="160")
    assert (done.returncode, done.stderr) == (0, "")
    assert words(done.stdout)[1:] == words(TABLE)


def test_as_jsonl_it_is_what_the_daemon_would_have_recorded(facts: Path, ledger: Any) -> None:
    play_said = [event for event in ledger.derived if not isinstance(event, ChangeOrderStepped)]
    done = isthmus("billing", "preview", str(facts), "--output", "jsonl")
    assert done.returncode == 0
    assert done.stdout.encode().splitlines() == [encode(event) for event in play_said]


def test_the_order_of_the_file_counts(facts: Path) -> None:
    lines = facts.read_text().splitlines()
    first, second = (next(line for line in lines if f'"entry":"{key}"' in line) for key in ("e1", "e2"))
    swapped = [second if line == first else first if line == second else line for line in lines]
    facts.write_text("\n".join(swapped))
    done = isthmus("billing", "preview", str(facts), "--output", "jsonl")
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["origin_key"], each["quantity"]) for each in said[:2]] == [("e2", "4.00"), ("e1", "6.00")]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param(
            {"type": "time.approved/9"}, "Invalid value 'time.approved/9'", id="a type nobody knows"
        ),
        pytest.param({"hours": "2.5h"}, "2.5h", id="hours that are no number"),
        pytest.param({"hours": "0.00"}, "hours must be more than 0", id="no hours"),
        pytest.param(
            {"hours": None},
            'is no decimal; write a string such as "937.50" - at `$.hours`',
            id="nothing instead of hours",
        ),
        pytest.param({"worked_on": "2027-02-29"}, "$.worked_on", id="a day that never comes"),
    ],
)
def test_a_line_that_is_no_fact_is_named_with_its_field(
    facts: Path, changes: dict[str, str | None], says: str
) -> None:
    lines = facts.read_text().splitlines()
    lines[3] = json.dumps({**json.loads(lines[3]), **changes})
    facts.write_text("\n".join(lines))
    done = isthmus("billing", "preview", str(facts))
    assert done.returncode == 65
    assert "Traceback" not in done.stderr
    assert f"{facts}:4: " in done.stderr
    assert says in done.stderr


def test_a_contract_that_contradicts_itself_is_named_with_line_and_field(facts: Path) -> None:
    lines = facts.read_text().splitlines()
    lines[1] = lines[1].replace('"consulting":"150.00"', '"consulting":"0.00"')
    facts.write_text("\n".join(lines))
    done = isthmus("billing", "preview", str(facts))
    assert (done.returncode, done.stdout) == (65, "")
    assert (
        f"{facts}:2: line 'T': rates.consulting must be more than 0, not 0.00 - at `$.lines[" in done.stderr
    )
