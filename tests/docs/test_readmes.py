"""What the READMEs say is true: commands exist, links lead somewhere, code runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.sdk import Connector, Source

ROOT = Path(__file__).parents[2]
READMES = sorted(
    {
        path
        for pattern in ("README.md", "[a-z]*/README.md", "daemon/**/README.md", "plugins/*/README.md")
        for path in ROOT.glob(pattern)
    }
)
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)\)")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)


def _ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("readme", READMES, ids=_ids)
def test_every_link_leads_somewhere(readme: Path) -> None:
    targets = [target for target in LINK.findall(readme.read_text()) if "://" not in target]
    missing = [target for target in targets if not (readme.parent / target).exists()]
    assert missing == []


def test_every_make_target_of_the_readme_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)\b", (ROOT / "README.md").read_text()))
    there = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert named
    assert named <= there


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), re.M)


@pytest.mark.parametrize("readme", READMES, ids=_ids)
def test_every_isthmus_command_that_is_shown_exists(readme: Path) -> None:
    blocks = [code for language, code in FENCE.findall(readme.read_text()) if language in ("console", "sh")]
    inline = re.findall(r"`(isthmus [a-z][^`]*)`", readme.read_text())
    lines = [line for block in blocks for line in block.splitlines()] + inline
    words = {
        tuple(match.group(1).split()[:2])
        for line in lines
        if (match := re.search(r"\bisthmus ([a-z]+(?: [a-z]+)?)", line))
    }
    known = _commands()
    strange = {said for said in words if said[0] not in known and said not in known}
    assert strange == set()


def _commands() -> set[object]:
    from isthmus.cli.commands import app

    found: set[object] = set()
    for name in app:
        found.add(name)
        found.update((name, each) for each in app[name] if not each.startswith("-"))
    return found


def test_the_connector_of_the_vendors_manual_is_one() -> None:
    (code,) = [
        code
        for language, code in FENCE.findall((ROOT / "plugins/README.md").read_text())
        if language == "python"
    ]
    space: dict[str, object] = {"__name__": "isthmus_acme.connector"}
    exec(compile(code, "plugins/README.md", "exec"), space)
    (connector,) = space["isthmus_connectors"]()  # type: ignore[operator]
    assert issubclass(connector, Connector)
    assert connector.name == "acme"
    assert issubclass(space["Milestones"], Source)  # type: ignore[arg-type]


def test_the_command_answers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "isthmus", "--help"], capture_output=True, text=True, check=True
    )
    assert "simulate" in done.stdout
