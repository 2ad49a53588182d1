"""The names by which configuration knows the processes, and what makes them pure."""

import ast
from pathlib import Path

import pytest

import isthmus.process.rules
from isthmus.events import KINDS
from isthmus.process.registry import ANALYTICAL, PROCESSES, TRANSACTIONAL
from isthmus.process.rules.models import MODELS

RULES = Path(isthmus.process.rules.__file__).parent
IMPURE = {"trio", "time", "random", "os", "socket", "sqlite3", "httpx", "logging", "uuid", "secrets"}


def test_the_processes_have_their_names() -> None:
    assert list(PROCESSES) == [
        *("project-setup", "billing", "schedule", "change-order"),
        *("burn", "forecast", "utilization"),
    ]
    assert {name: make().name for name, make in PROCESSES.items()} == {name: name for name in PROCESSES}
    assert not set(TRANSACTIONAL) & set(ANALYTICAL)


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_a_process_consumes_kinds_that_exist(name: str) -> None:
    consumes = PROCESSES[name]().consumes
    assert consumes
    assert consumes <= KINDS


@pytest.mark.parametrize("path", sorted(RULES.glob("*.py")), ids=lambda path: path.stem)
def test_the_rules_import_nothing_that_acts_or_asks_the_time(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Attribute):
            assert node.attr not in ("now", "utcnow", "today"), f"{path.name}:{node.lineno} asks the time"
    assert not imported & IMPURE


def test_every_row_of_the_model_table_is_a_line_model() -> None:
    for model in MODELS.values():
        assert callable(model.fit)
        assert callable(model.plan)
