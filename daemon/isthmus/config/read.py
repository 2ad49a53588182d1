"""Reads ``isthmus.toml`` and ``conf.d/*.toml`` and merges them, table by table."""

import re
import tomllib
from pathlib import Path
from typing import Any

from isthmus.config.places import KeyPath, Place, dotted, find_places
from isthmus.config.problems import Findings, Places, Spot

__all__ = ["read_files"]

_AT = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


def read_files(directory: Path, places: Places, findings: Findings) -> tuple[dict[str, Any], bool]:
    """The merged tables of all files; ``places`` learns where each key stands.

    A file that cannot be read or parsed is noted and left out. The second value is whether all were read.
    """
    main = directory / "isthmus.toml"
    if not main.is_file():
        findings.add_at(
            Spot(file=main, place=Place(line=1, column=1, length=1)),
            "config.missing-file",
            f"there is no {main.name} in {directory}",
            "the sample in config/ is a start",
        )
    merged: dict[str, Any] = {}
    whole = main.is_file()
    for file in [main, *sorted((directory / "conf.d").glob("*.toml"))]:
        if file.is_file():
            whole = _read(file, merged, places, findings) and whole
    return merged, whole


def _read(file: Path, merged: dict[str, Any], places: Places, findings: Findings) -> bool:
    start = Spot(file=file, place=Place(line=1, column=1, length=1))
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        findings.add_at(
            start, "config.unreadable", f"cannot be read: {error.strerror}", "let the service's user read it"
        )
        return False
    except UnicodeDecodeError as error:
        findings.add_at(start, "config.unreadable", f"byte {error.start} is not UTF-8", "save it as UTF-8")
        return False
    lines = text.split("\n")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        _note_syntax(file, lines, str(error), findings)
        return False
    except RecursionError:
        findings.add_at(start, "config.syntax", "nested too deep")
        return False
    found = find_places(text)
    spots = {path: Spot(file=file, place=at, text=lines[at.line - 1]) for path, at in found.items()}
    _merge(merged, values, (), spots, places, findings)
    return True


def _note_syntax(file: Path, lines: list[str], error: str, findings: Findings) -> None:
    at = _AT.search(error)
    line, column = (int(at[1]), int(at[2])) if at and at[1] else (len(lines), len(lines[-1]) + 1)
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    spot = Spot(file=file, place=Place(line=line, column=column, length=1), text=text)
    message = _AT.sub("", error)
    findings.add_at(spot, "config.syntax", f"{message[:1].lower()}{message[1:]}", hide="all")


def _merge(
    into: dict[str, Any],
    values: dict[str, Any],
    path: KeyPath,
    spots: dict[KeyPath, Spot],
    places: Places,
    findings: Findings,
) -> None:
    for key, value in values.items():
        here = (*path, key)
        known = into.get(key)
        if isinstance(value, dict) and (known is None or isinstance(known, dict)):
            places.note(here, spots[here])
            _merge(into.setdefault(key, {}), value, here, spots, places, findings)
        elif known is not None:
            first = places.spot(here)
            findings.add_at(
                spots[here],
                "config.duplicate-key",
                f"{dotted(here)} is set twice",
                f"first in {first.file}:{first.place.line}; keep one of the two",
                hide="all",
            )
        else:
            into[key] = value
            for inner, spot in spots.items():
                if inner[: len(here)] == here:
                    places.note(inner, spot)
