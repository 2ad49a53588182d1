"""The README keeps up with the code."""

from pathlib import Path

import msgspec
import pytest

from isthmus_netsuite.probe import CUSTOM_FIELDS
from isthmus_netsuite.settings import NetSuiteSettings
from isthmus_netsuite.simulator import NetSuiteSimulator

TEXT = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.parametrize("name", [field.name for field in msgspec.structs.fields(NetSuiteSettings)])
def test_every_setting_has_a_row(name: str) -> None:
    assert f"| `{name}` |" in TEXT


@pytest.mark.parametrize("name", NetSuiteSimulator().acts())
def test_every_act_is_named(name: str) -> None:
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("name", CUSTOM_FIELDS)
def test_every_custom_field_is_listed(name: str) -> None:
    assert f"`{name}`" in TEXT
