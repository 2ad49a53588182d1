"""Tables for people, JSON for programs. Data goes to stdout, talk to stderr."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

Format = Literal["table", "json", "jsonl"]
Sheet = Literal["table", "json", "jsonl", "csv"]
"""For what people take into a spreadsheet."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def show(rows: Sequence[Any], columns: Sequence[str], output: Sheet, *, title: str | None = None) -> None:
    """Print rows (Structs or dicts): ``columns`` of them as a table or as CSV, all of them as JSON."""
    values = [msgspec.to_builtins(row, enc_hook=_plain) for row in rows]
    match output:
        case "json":
            _write(msgspec.json.format(msgspec.json.encode(values), indent=2))
        case "jsonl":
            for value in values:
                _write(msgspec.json.encode(value))
        case "csv":
            _sheet(values, columns)
        case "table":
            _table(values, columns, title)


def _sheet(values: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """CSV that no spreadsheet takes for formulas."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[unarmed(value.get(name)) for name in columns] for value in values])


def unarmed(value: object) -> str:
    """A cell: a number stays one, a text that looks like a formula is quoted with an apostrophe."""
    from isthmus.events.values import DECIMAL_FORM

    text = "" if value is None else str(value)
    if text.startswith(FORMULA) and DECIMAL_FORM.fullmatch(text) is None:
        return f"'{text}"
    return text


def _plain(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def show_one(value: Any, output: Format) -> None:
    """Print one thing as JSON; indented for people."""
    encoded = msgspec.json.encode(value)
    _write(encoded if output == "jsonl" else msgspec.json.format(encoded, indent=2))


def unbilled_words(rows: Sequence[dict[str, Any]] | None) -> str:
    """Unbilled approved time in one line: hours and entries by cause, and how many are old.

    Args:
        rows: Of `isthmus.app.status.Status.unbilled`, as plain values.
    """
    if rows is None:
        return "still being counted"
    parts = []
    for cause in dict.fromkeys(row["cause"] for row in rows):
        mine = [row for row in rows if row["cause"] == cause]
        hours = sum((Decimal(row["hours"]) for row in mine), Decimal(0))
        old = sum(row["entries"] for row in mine if row["age"] == "gt_7d")
        words = f"{cause.replace('_', ' ')} {hours} h in {sum(row['entries'] for row in mine)} entries"
        parts.append(words + (f" ({old} for more than 7 days)" if old else ""))
    return "; ".join(parts) or "none"


def planner_lag_words(rows: Sequence[dict[str, Any]] | None) -> str:
    """What the planner does not have, in one line: hours and amounts by state, and since when.

    Args:
        rows: Of `isthmus.app.status.Status.planner_lag`, as plain values.
    """
    if rows is None:
        return "still being counted"
    parts = []
    for row in rows:
        amounts = [f"{amount} {currency}" for currency, amount in row["amounts"].items()]
        figures = [f"{row['hours']} h"] if Decimal(row["hours"]) else []
        since = row["since"][:16].replace("T", " ")
        parts.append(f"{row['state'].replace('_', ' ')} {', '.join([*figures, *amounts])} (since {since})")
    return "; ".join(parts) or "none"


def say(text: str) -> None:
    """Talk, on stderr."""
    print(text, file=sys.stderr)


def _write(line: bytes) -> None:
    sys.stdout.write(line.decode() + "\n")


def _table(values: Sequence[dict[str, Any]], columns: Sequence[str], title: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    numeric = {name for name in columns if values and all(isinstance(each.get(name), int) for each in values)}
    for name in columns:
        table.add_column(
            name.replace("_", " "), justify="right" if name in numeric else "left", overflow="fold"
        )
    for value in values:
        table.add_row(*[_cell(value.get(name)) for name in columns])
    # A pipe has no width of its own; COLUMNS says one for it.
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if known else 200, soft_wrap=False)
    with console.capture() as capture:
        console.print(table)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _cell(value: Any) -> str:
    from rich.markup import escape

    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str() if _is_time(value):
            return value[:19].replace("T", " ")
        case dict():
            return escape(", ".join(f"{key} {_cell(item)}" for key, item in value.items()))
        case list():
            return escape(", ".join(map(_cell, value)))
    return escape(str(value))


def _is_time(text: str) -> bool:
    if len(text) < 20 or text[10:11] != "T":
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
