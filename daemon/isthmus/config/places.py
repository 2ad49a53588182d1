"""Where each setting stands in its file, so that an error can point at it.

`tomllib` gives values without positions. This scanner walks text that `tomllib` has already accepted, so
it need not judge it: it only follows headers, keys and brackets, and steps over everything else.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterable

import msgspec

__all__ = ["KeyPath", "Place", "dotted", "find_places"]

KeyPath = tuple[str | int, ...]
"""The way to a value: table names, keys, and indices of array elements."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\"]|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:\\.|[^\\"])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_ATOM = re.compile(r"[^,\]}\n#]+")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Line and column, both from 1; ``length`` in characters."""

    line: int
    column: int
    length: int


def dotted(path: Iterable[str | int]) -> str:
    """A path as an admin writes it: ``connectors.netsuite.retries``, ``lanes.psa.entities[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE_KEY.fullmatch(part) else f'"{part}"'
            text += f".{name}" if text else name
    return text


def find_places(text: str) -> dict[KeyPath, Place]:
    """The place of every table header, key and array element of a document that parsed."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: dict[KeyPath, Place] = {}
        self._newest: dict[KeyPath, int] = {}  # index of the newest element of each array of tables
        self._line_starts = [0, *(hit.end() for hit in re.finditer("\n", text))]

    def scan(self) -> dict[KeyPath, Place]:
        table: KeyPath = ()
        while self._step(_BLANK) < len(self._text):
            table = self._header() if self._text[self._at] == "[" else self._pair(table)
        return self._found

    def _step(self, form: re.Pattern[str]) -> int:
        match = form.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return self._at

    def _note(self, path: KeyPath, start: int, end: int) -> None:
        line = bisect_right(self._line_starts, start)
        column = start - self._line_starts[line - 1] + 1
        self._found.setdefault(path, Place(line=line, column=column, length=max(1, end - start)))

    def _keys(self) -> list[tuple[str, int, int]]:
        keys = []
        while True:
            self._step(_SPACE)
            start = self._at
            form = _STRING if self._text[start] in "\"'" else _BARE_KEY
            raw = self._text[start : self._step(form)]
            name = next(iter(tomllib.loads(f"{raw} = 0"))) if form is _STRING else raw
            keys.append((name, start, self._at))
            self._step(_SPACE)
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _header(self) -> KeyPath:
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        keys = self._keys()
        self._at += brackets
        path: KeyPath = ()
        for n, (name, start, end) in enumerate(keys):
            path = (*path, name)
            self._note(path, start, end)
            if brackets == 2 and n == len(keys) - 1:
                self._newest[path] = self._newest.get(path, -1) + 1
            if path in self._newest:
                path = (*path, self._newest[path])
                self._note(path, start, end)
        return path

    def _pair(self, table: KeyPath) -> KeyPath:
        path = table
        for name, start, end in self._keys():
            path = (*path, name)
            self._note(path, start, end)
        self._at += 1  # the equals sign
        self._step(_SPACE)
        self._value(path)
        return table

    def _value(self, path: KeyPath) -> None:
        opening = self._text[self._at]
        if opening in "\"'":
            self._step(_STRING)
        elif opening not in "[{":
            self._step(_ATOM)
        else:
            self._at += 1
            self._elements(path, opening)

    def _elements(self, path: KeyPath, opening: str) -> None:
        closing = "]" if opening == "[" else "}"
        index = 0
        while self._text[self._step(_BLANK)] != closing:
            if self._text[self._at] == ",":
                self._at += 1
            elif opening == "{":
                self._pair(path)
            else:
                start = self._at
                self._value((*path, index))
                self._note((*path, index), start, self._end_of_line(start))
                index += 1
        self._at += 1

    def _end_of_line(self, start: int) -> int:
        """Where an element ends, or its first line where it runs over several."""
        newline = self._text.find("\n", start, self._at)
        return newline if newline >= 0 else self._at
