"""Every log call of the daemon is one an admin can search for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.ops.logs import EVENT_NAME, KEYS

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


def log_calls(source: str) -> Iterator[ast.Call]:
    """Calls such as ``log.warning(...)`` and ``ctx.log.error(...)``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
            owner = node.func.value
            if (getattr(owner, "id", None) or getattr(owner, "attr", None)) in {"log", "_log", "logger"}:
                yield node


def complaints(source: str) -> list[str]:
    found = []
    for call in log_calls(source):
        event = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if len(call.args) != 1 or not isinstance(event, str) or not EVENT_NAME.fullmatch(event):
            found.append(f"line {call.lineno}: the message must be one constant event name")
        for keyword in call.keywords:
            if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
                names = {key.value for key in keyword.value.keys if isinstance(key, ast.Constant)}
                found += [f"line {call.lineno}: {name!r} is not in KEYS" for name in names - set(KEYS)]
    return found


def test_every_log_call_has_a_constant_event_and_known_keys() -> None:
    files = [*ROOT.glob("daemon/isthmus/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    found = {str(file.relative_to(ROOT)): complaints(file.read_text()) for file in files}
    assert {file: said for file, said in found.items() if said} == {}
    assert sum(len(list(log_calls(file.read_text()))) for file in files) >= 5


@pytest.mark.parametrize(
    "source",
    [
        pytest.param('log.info("Got %s", name)', id="a sentence with arguments"),
        pytest.param('log.info(f"got.{name}")', id="a name that is not constant"),
        pytest.param('ctx.log.error("fact.refused", extra={"payload": raw})', id="an unknown key"),
    ],
)
def test_mutant_a_call_that_breaks_the_rule_is_noticed(source: str) -> None:
    assert len(complaints(source)) == 1
