"""Records of cells with a delimiter between them, quoted where they must be. Nothing is guessed."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from isthmus_legacy_erp.layout import Delimited
from isthmus_legacy_erp.refusals import BytesRefused


class Cells(NamedTuple):
    """One record: its text with the line end, and its cells without quotes."""

    text: str
    cells: list[str]


def join(cells: Sequence[str], form: Delimited, end: str) -> str:
    """One record. A cell is quoted where it would be misread, and a quote inside is written twice."""
    return form.delimiter.join(_quoted(cell, form) for cell in cells) + end


def split(text: str, form: Delimited, end: str) -> Iterator[Cells]:
    """All records of a file.

    Raises:
        BytesRefused: a quote is not closed, something stands behind one, or the last record has no line end.
    """
    plain = re.compile(f"[^{re.escape(form.delimiter)}{re.escape(form.quote)}\r\n]*")
    at, number = 0, 0
    while at < len(text):
        start, cells, number = at, list[str](), number + 1
        while True:
            if text.startswith(form.quote, at):
                cell, at = _unquoted(text, at + 1, form.quote, number)
            else:
                found = plain.match(text, at)
                assert found is not None, "nothing is a match too"
                cell, at = found[0], found.end()
            cells.append(cell)
            if text.startswith(end, at):
                at += len(end)
                break
            if not text.startswith(form.delimiter, at):
                raise BytesRefused(
                    f"record {number}: after cell {len(cells)} there is neither {form.delimiter!r} nor the "
                    "line end: cut off, or quoted wrongly?"
                )
            at += 1
        yield Cells(text[start:at], cells)


def _quoted(cell: str, form: Delimited) -> str:
    misread = any(char in cell for char in (form.delimiter, form.quote, "\r", "\n"))
    if misread or cell != cell.strip() or form.quote_all:
        return form.quote + cell.replace(form.quote, form.quote * 2) + form.quote
    return cell


def _unquoted(text: str, at: int, quote: str, number: int) -> tuple[str, int]:
    """The cell that starts behind a quote, and where its closing quote ends."""
    parts: list[str] = []
    while True:
        close = text.find(quote, at)
        if close < 0:
            raise BytesRefused(f"record {number}: a quote is not closed: cut off?")
        parts.append(text[at:close])
        at = close + 1
        if not text.startswith(quote, at):
            return quote.join(parts), at
        at += 1
