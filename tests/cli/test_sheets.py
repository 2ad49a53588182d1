"""What goes into a spreadsheet is data: a text never becomes a formula, and a number stays a number."""

import csv
import io

import pytest

from isthmus.cli.output import show, unarmed


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        pytest.param("=HYPERLINK(1)", "'=HYPERLINK(1)", id="equals"),
        pytest.param("+49 30 1234", "'+49 30 1234", id="plus"),
        pytest.param("-cmd|calc", "'-cmd|calc", id="minus"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="at"),
        pytest.param("\tx", "'\tx", id="tab"),
        pytest.param("-12.50", "-12.50", id="an amount below zero is a number"),
        pytest.param(-3, "-3", id="so is a whole one"),
        pytest.param("psa:77", "psa:77", id="a key"),
        pytest.param(None, "", id="nothing"),
    ],
)
def test_cells_are_unarmed(value: object, cell: str) -> None:
    assert unarmed(value) == cell


def test_a_sheet_has_its_columns_and_a_line_break_stays_in_its_cell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show([{"key": "a,b", "words": "one\ntwo", "more": 1}], ["key", "words"], "csv")
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["key", "words"], ["a,b", "one\ntwo"]]
