"""The README names what can be set and what the simulator can do."""

from pathlib import Path

import pytest

from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.simulator import KantataSimulator

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.parametrize("setting", KantataSettings.__struct_fields__)
def test_every_setting_is_described(setting: str) -> None:
    assert f"`{setting}`" in README


@pytest.mark.parametrize("act", sorted(KantataSimulator().acts()))
def test_every_act_of_the_simulator_is_listed(act: str) -> None:
    assert f"`{act}`" in README
