"""The named statements of ``sql/*.sql``: ``-- name: x``, a comment that says what it is for, the SQL."""

from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

_HEADER = "-- name: "


def parse(text: str, where: str) -> dict[str, str]:
    """Split one file into its statements, comments removed.

    Raises:
        ValueError: a name is used twice, has no comment or no SQL; the message names file and statement.
    """
    found: dict[str, str] = {}
    for chunk in text.split(_HEADER)[1:]:
        name, _, rest = chunk.partition("\n")
        name = name.strip()
        lines = rest.splitlines()
        if not lines or not lines[0].startswith("--"):
            raise ValueError(f"{where}: {name} needs a comment that says what it is for")
        sql = "\n".join(line for line in lines if not line.startswith("--")).strip().removesuffix(";")
        if not sql or name in found:
            raise ValueError(f"{where}: {name} has no SQL, or is there twice")
        found[name] = sql
    return found


def _load(folder: Traversable) -> dict[str, str]:
    statements: dict[str, str] = {}
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if not file.name.endswith(".sql"):
            continue
        for name, sql in parse(file.read_text(encoding="utf-8"), file.name).items():
            if name in statements:
                raise ValueError(f"{file.name}: {name} is the name of another file's statement too")
            statements[name] = sql
    return statements


STATEMENTS: Mapping[str, str] = _load(files(__package__) / "sql")
"""Every statement the store runs, by name."""
