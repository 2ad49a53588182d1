"""`isthmus billing preview`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from isthmus.cli.exits import DATA, USAGE, Leave
from isthmus.cli.output import show
from isthmus.events.base import BusinessEvent
from isthmus.events.codec import EventRefused, decode, encode
from isthmus.process.preview import preview

FIELDS = ("reason", "quantity", "unit_price", "amount", "line", "posting_on")


def preview_file(facts: Path, output: Literal["jsonl", "table"]) -> int:
    """Print what billing derives from the facts of a file.

    Raises:
        Leave: the file cannot be read, or a line is no event; the message names the line.
    """
    derived = preview(_read(facts))
    if output == "jsonl":
        for event in derived:
            sys.stdout.write(encode(event).decode() + "\n")
    else:
        rows = [_row(event) for event in derived]
        show(
            rows,
            ["what", "origin", "reason", "quantity", "unit_price", "amount", "line", "posting_on"],
            "table",
        )
    return 0


def _read(facts: Path) -> Iterator[BusinessEvent]:
    try:
        with facts.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        yield decode(line)
                    except EventRefused as error:
                        raise Leave(DATA, f"{facts}:{number}: {error}") from error
    except OSError as error:
        raise Leave(USAGE, f"{facts}: {error.strerror}") from error


def _row(event: BusinessEvent) -> dict[str, str]:
    row = {name: str(value) for name in FIELDS if (value := getattr(event, name, None)) is not None}
    key, revision = getattr(event, "origin_key", ""), getattr(event, "origin_revision", "")
    return {"what": event.kind, "origin": f"{key} r{revision}" if key else event.key, **row}
