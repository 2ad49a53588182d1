"""The README names what can be set, what is refused and what the simulator can do."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isthmus.sdk import Secret
from isthmus_legacy_erp.settings import LegacyErpSettings, Staging
from isthmus_legacy_erp.simulator import LegacyErp
from isthmus_legacy_erp.simulator.job import BREAKS
from isthmus_legacy_erp.translate import REASONS

README = (Path(__file__).parent.parent / "README.md").read_text()
SAMPLE = (Path(__file__).parents[3] / "config" / "conf.d" / "40-legacy-de.toml").read_text()
EXAMPLES = [
    *re.findall(r"^```toml\n(.*?)^```", README, re.M | re.S),
    "\n".join(line.removeprefix("# ") for line in SAMPLE.splitlines() if re.match(r"# ([a-z_]+ =|\[)", line)),
]
OF_THE_DAEMON = {"plugin", "entity", "poll_s"}


@pytest.mark.parametrize("example", EXAMPLES, ids=["files", "tables", "the sample's tables"])
def test_every_example_is_accepted(example: str) -> None:
    def hook(wanted: type, value: Any) -> Any:
        return Secret(value["credential"]) if wanted is Secret else wanted(value)

    (given,) = msgspec.toml.decode(example.encode())["connectors"].values()
    own = {name: value for name, value in given.items() if name not in OF_THE_DAEMON}
    settings = msgspec.convert(own, LegacyErpSettings, dec_hook=hook)
    assert settings.interface == ("sql" if settings.staging else "files")


@pytest.mark.parametrize("setting", [*LegacyErpSettings.__struct_fields__, *Staging.__struct_fields__])
def test_every_setting_is_described(setting: str) -> None:
    assert f"`{setting}`" in README


@pytest.mark.parametrize("act", [*sorted(LegacyErp().acts()), *BREAKS])
def test_every_act_and_fault_of_the_simulator_is_listed(act: str) -> None:
    assert f"`{act}`" in README


@pytest.mark.parametrize("code", REASONS)
def test_every_code_of_the_erp_is_explained(code: str) -> None:
    assert code in README
