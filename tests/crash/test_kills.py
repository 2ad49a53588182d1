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
    assert callable(harm)
    # Where the kills fall is chance: on a slow machine a dozen may all miss the moment.
    for seed in (7, 8, 9):
        directory = tmp_path / f"{seed}"
        directory.mkdir()
        table = await survive(directory, kills=MUTANT_KILLS, seed=seed, program=program, slow_s=0.25)
        if harm(table) > 0:
            return
    pytest.fail("the planted bug went unnoticed")
