"""Every reason code is explained in the manual, and every one is shown by an example of a test."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

import isthmus.process
from isthmus.events.contract import Overage

PROCESS = Path(isthmus.process.__file__).parent
MANUAL = (PROCESS / "README.md").read_text()
EXAMPLES = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))


def explained() -> set[str]:
    """The codes in the first columns of the manual's tables of reasons."""
    tables = re.findall(r"^\| reason \|.*\n\|[-|]+\n((?:\|.*\n)+)", MANUAL, re.MULTILINE)
    firsts = [row.split("|")[1] for table in tables for row in table.splitlines()]
    return {code for first in firsts for code in re.findall(r"`(\w+)`", first)}


def given() -> set[str]:
    """The codes the rules give: constants named reason, and the word of a waiver."""
    found: set[str] = set()
    for path in (PROCESS / "rules").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Trouble":
                found |= {
                    str(keyword.value.value)
                    for keyword in node.keywords
                    if keyword.arg == "reason" and isinstance(keyword.value, ast.Constant)
                }
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in (
                "_waive",
                "_hold",
                "waive",
            ):
                found |= {
                    argument.value
                    for argument in node.args
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                }
    return found


def test_the_manual_explains_what_the_rules_say_and_nothing_else() -> None:
    # Two codes are made of the project's stage.
    assert given() | {"project_on_hold", "project_cancelled"} == explained()


@pytest.mark.parametrize("code", sorted(explained()))
def test_each_reason_has_an_example(code: str) -> None:
    assert re.search(rf"(hold|waive) {code}\b", EXAMPLES), f"no test shows {code}"


SHOWN = {"hold": "hold cap_reached", "bill": 'overage="bill"', "write_off": "waive over_cap"}


@pytest.mark.parametrize("overage", get_args(Overage))
def test_each_overage_policy_has_an_example(overage: str) -> None:
    assert SHOWN[overage] in EXAMPLES.replace(Path(__file__).read_text(), "")
