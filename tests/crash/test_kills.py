"""kill -9 at any moment: nothing is lost, nothing is doubled."""

from pathlib import Path

import pytest

from tests.crash import mutants
from tests.crash.rig import doubled, lost, survive

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

KILLS = 50
MUTANT_KILLS = 12


async def test_fifty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    table = await survive(tmp_path, kills=KILLS, seed=20261)
    assert all(row.agrees for row in table), [row for row in table if not row.agrees]


@pytest.mark.parametrize(
    ("bug", "harm"),
    [
        pytest.param("cursor-moved-first", lost, id="a cursor saved before its page loses pages"),
        pytest.param("done-before-send", lost, id="a receipt written before the call loses charges"),
        pytest.param("random-keys", doubled, id="a fresh key for each try doubles charges"),
    ],
)
async def test_the_kills_find_a_planted_bug(tmp_path: Path, bug: str, harm: object) -> None:
    program = (str(Path(mutants.__file__)), bug)
    table = await survive(tmp_path, kills=MUTANT_KILLS, seed=7, program=program, slow_s=0.25)
    assert callable(harm)
    assert harm(table) > 0, "the planted bug went unnoticed"
