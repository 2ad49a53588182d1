"""``config/README.md`` names every setting and every error code, and none that does not exist."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isthmus.config import (
    CODES,
    ConnectorConfig,
    ControlConfig,
    DaemonConfig,
    LaneConfig,
    MailConfig,
    NotifyConfig,
    ReconcileConfig,
    ServicesConfig,
)

ROOT = Path(__file__).parents[2]
README = (ROOT / "config" / "README.md").read_text()

WORDS = {"required", "none", "all", "the connector's", "`admin.sock` in `state_dir`"}


def section(heading: str) -> str:
    """What stands under a heading, up to the next one."""
    return README.partition(f"### `{heading}`\n")[2].partition("\n##")[0]


def rows(heading: str) -> dict[str, str]:
    """The settings of a table with their defaults as written."""
    found = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", section(heading), re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize(
    ("heading", "wanted", "hidden"),
    [
        pytest.param("[daemon]", DaemonConfig, set(), id="the daemon"),
        pytest.param("[connectors.<instance>]", ConnectorConfig, {"settings"}, id="connectors"),
        pytest.param("[lanes.<name>]", LaneConfig, set(), id="lanes"),
        pytest.param("[control]", ControlConfig, set(), id="control"),
        pytest.param("[reconcile.<pair>]", ReconcileConfig, set(), id="pairs"),
        pytest.param("[services]", ServicesConfig, set(), id="services"),
        pytest.param("[notify.<owner>]", NotifyConfig, set(), id="owners who are told"),
        pytest.param("[mail]", MailConfig, set(), id="mail"),
    ],
)
def test_every_setting_is_explained_with_its_default(
    heading: str, wanted: type[msgspec.Struct], hidden: set[str]
) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(wanted) if field.name not in hidden}
    told = rows(heading)
    assert set(told) == set(fields)
    for name, field in fields.items():
        if field.required:
            assert told[name] == "required"
        elif told[name] in WORDS:
            assert field.default is None
        else:
            assert told[name] == f"`{toml(field.default)}`"


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "[]" if value == () else f'"{value}"' if isinstance(value, str) else str(value)


def test_every_error_code_has_its_paragraph_and_no_other_has() -> None:
    headings = re.findall(r"^### `(config\.[a-z-]+)`$", README, re.MULTILINE)
    assert sorted(headings) == sorted(CODES)
    assert all(len(section(code).strip()) > 40 for code in headings)


def test_every_error_code_is_raised_somewhere() -> None:
    """A code nobody raises would be a promise nobody keeps."""
    source = "\n".join(
        file.read_text()
        for file in (ROOT / "daemon" / "isthmus" / "config").glob("*.py")
        if file.name != "problems.py"
    )
    assert [code for code in CODES if f'"{code}"' not in source] == []
