"""What is wrong with a configuration: every problem with its place, its code and what would be right."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import msgspec

from isthmus.config.places import KeyPath, Place

__all__ = ["CODES", "ConfigError", "Findings", "Places", "Problem", "Spot", "did_you_mean", "render"]

CODES: dict[str, str] = {
    "config.missing-file": "the directory has no isthmus.toml",
    "config.unreadable": "a file cannot be read, or is not UTF-8",
    "config.syntax": "a file is not TOML",
    "config.duplicate-key": "two files set the same key",
    "config.unknown-key": "no such setting",
    "config.missing-key": "a setting without a default is not there",
    "config.bad-value": "a value has the wrong type or is out of range",
    "config.bad-name": "a connector or lane has a name that cannot be used",
    "config.not-a-table": "a table was expected",
    "config.lane-target": "a lane has not exactly one of connector and process",
    "config.lag-window": "a lag window on a lane that keeps every fact",
    "config.unknown-connector": "a lane names a connector instance that does not exist",
    "config.unknown-process": "a lane names a process that does not exist",
    "config.process-twice": "two lanes run the same process",
    "config.unknown-event": "a route names an event kind that does not exist",
    "config.unknown-lane": "a route names a lane that does not exist",
    "config.route-to-process": "a route leads to a process lane",
    "config.lane-twice": "a route names a lane twice",
    "config.lane-without-route": "a connector lane receives nothing (warning)",
    "config.unknown-owner": "a name in [notify] looks like a misspelt owner (warning)",
    "config.unknown-plugin": "no loaded plugin brings this connector",
    "config.reserved-setting": "a plugin's setting has a name that isthmus uses itself",
    "config.literal-secret": "a secret is written into the file",
    "config.bad-credential": "a credential reference is not understood",
    "config.missing-credential": "a credential is not where credentials are looked for",
    "config.unsafe-credential": "others can read a credential, or it is not a plain file",
}
"""Every code with its meaning in a few words; ``config/README.md`` has a paragraph for each."""

Severity = Literal["error", "warning"]
_VALUE = re.compile(r"(?P<key>[^=#]*=\s*)(?P<value>.*)")
_HARMLESS = re.compile(r"(true|false|[-+]?[0-9.]{1,6})\s*(#.*)?")


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a file, with the text of its line."""

    file: Path
    place: Place
    text: str = ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong; ``line`` and ``column`` count from 1."""

    file: Path
    line: int
    column: int
    code: str
    message: str
    hint: str = ""
    severity: Severity = "error"
    excerpt: str = ""
    """The line as it may be shown: no value that could be a secret is in it."""
    length: int = 1

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.severity}[{self.code}]: {self.message}"
        if not self.excerpt:
            return text + (f"\n     | {self.hint}" if self.hint else "")
        shown = max(1, min(self.length, len(self.excerpt) - self.column + 1))
        marks = " " * (self.column - 1) + "^" * shown
        return f"{text}\n{self.line:>4} | {self.excerpt}\n     | {marks} {self.hint}".rstrip()


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` has all of them, in the order of the files."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__(render(self.problems))


class Places:
    """The spot of every key of all files together."""

    def __init__(self, directory: Path) -> None:
        self._spots: dict[KeyPath, Spot] = {
            (): Spot(file=directory / "isthmus.toml", place=Place(line=1, column=1, length=1))
        }

    def note(self, path: KeyPath, spot: Spot) -> None:
        """Remember a spot; the first one of a path stays."""
        self._spots.setdefault(path, spot)

    def knows(self, path: KeyPath) -> bool:
        return path in self._spots

    def spot(self, path: KeyPath) -> Spot:
        """The spot of ``path``, or of the nearest thing around it."""
        while path not in self._spots:
            path = path[:-1]
        return self._spots[path]


class Findings:
    """Collects problems, so that an admin sees all of them at once."""

    def __init__(self, places: Places) -> None:
        self.problems: list[Problem] = []
        self._places = places

    def add(
        self,
        code: str,
        path: KeyPath,
        message: str,
        hint: str = "",
        *,
        severity: Severity = "error",
        secret: bool = False,
    ) -> None:
        """Note a problem at ``path``; ``secret`` keeps the whole value out of the excerpt."""
        hide: Literal["nothing", "strings", "all"] = "nothing"
        if secret:
            hide = "all"
        elif code == "config.unknown-key" or path[:1] in (("connectors",), ("notify",)):
            hide = "strings"  # what is mistyped or misplaced may be a secret
        self.add_at(self._places.spot(path), code, message, hint, severity=severity, hide=hide)

    def add_at(
        self,
        spot: Spot,
        code: str,
        message: str,
        hint: str = "",
        *,
        severity: Severity = "error",
        hide: Literal["nothing", "strings", "all"] = "nothing",
    ) -> None:
        """Note a problem at a spot that needs no table to be known."""
        assert code in CODES, f"{code} has no meaning in CODES"
        self.problems.append(
            Problem(
                file=spot.file,
                line=spot.place.line,
                column=spot.place.column,
                code=code,
                message=message,
                hint=hint,
                severity=severity,
                excerpt=_excerpt(spot.text, hide),
                length=spot.place.length,
            )
        )

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)

    def sorted(self) -> list[Problem]:
        """By file, the main one first, then by place."""
        return sorted(
            self.problems, key=lambda it: (len(it.file.parts), str(it.file), it.line, it.column, it.code)
        )

    def raise_errors(self) -> None:
        """Raise `ConfigError` with all that was found, if any of it is an error."""
        if self.errors:
            raise ConfigError(self.sorted())


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """``did you mean "retries"?``, or the empty string when nothing is near."""
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""


def render(problems: Sequence[Problem]) -> str:
    """All problems as text, with a count below."""
    files = len({problem.file for problem in problems})
    errors = sum(problem.severity == "error" for problem in problems)
    counts = [_count(files, "file"), _count(errors, "error"), _count(len(problems) - errors, "warning")]
    return "\n".join([*map(str, problems), ", ".join(counts)])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _excerpt(line: str, hide: Literal["nothing", "strings", "all"]) -> str:
    """The line without what could be a secret: only keys, headers, small numbers and booleans remain."""
    line = line.rstrip()
    if hide == "nothing" or line.lstrip().startswith("["):
        return line
    found = _VALUE.fullmatch(line)
    if found is None:
        return ""
    if hide == "strings" and _HARMLESS.fullmatch(found["value"]):
        return line
    return found["key"] + "***"
