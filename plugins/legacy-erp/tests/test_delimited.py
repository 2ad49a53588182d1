"""Delimited files: quoting, line breaks, numbers as people write them, and nothing misread."""

import csv
import io
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus_legacy_erp.codec import BytesRefused, Codec, Value, ValueRefused
from isthmus_legacy_erp.delimited import join, split
from isthmus_legacy_erp.layout import Delimited, Field, Layout, Record
from isthmus_legacy_erp.settings import TextRules

FIELDS = [
    Field(name="line", kind="integer", digits=6),
    Field(name="ref", kind="key", width=20),
    Field(name="text", width=30, optional=True, cut=True),
    Field(name="amount", kind="decimal", digits=9, decimals=2, signed=True, optional=True),
    Field(name="on", kind="date", width=10, mask="%d.%m.%Y", optional=True),
]


def codec(form: Delimited, **text: Any) -> Codec:
    layout = Layout(
        interface="charges",
        version=1,
        delimited=form,
        header=Record(tag="H", fields=[Field(name="seq", kind="integer", digits=8)]),
        details=[Record(tag="D", name="charge", fields=FIELDS)],
        trailer=Record(tag="T", fields=[Field(name="count", kind="integer", digits=8)]),
    )
    rules = {"encoding": "cp1252", "line_end": "crlf", "sign": "leading", "decimals": "comma", **text}
    return Codec(layout, msgspec.convert(rules, TextRules), "EUR")


def written(form: Delimited, values: dict[str, Value], **text: Any) -> str:
    made = codec(form, **text)
    record = made.encode(made.detail("charge"), {"line": 1, "ref": "k", **values})
    return record.decode(made.encoding)


@pytest.mark.parametrize(
    ("form", "values", "text"),
    [
        pytest.param({}, {}, "D;1;k;;;\r\n", id="what has no value is an empty cell"),
        pytest.param({}, {"amount": Decimal(0)}, "D;1;k;;0,00;\r\n", id="zero is not empty"),
        pytest.param({}, {"amount": Decimal("-1234.5")}, "D;1;k;;-1234,50;\r\n", id="a minus, no plus"),
        pytest.param(
            {"grouping": "."}, {"amount": Decimal("1234567.89")}, "D;1;k;;1.234.567,89;\r\n", id="thousands"
        ),
        pytest.param({}, {"on": date(2026, 10, 5)}, "D;1;k;;;05.10.2026\r\n", id="a day by its mask"),
        pytest.param({}, {"text": "a;b"}, 'D;1;k;"a;b";;\r\n', id="a delimiter inside is quoted"),
        pytest.param({}, {"text": 'say "a"'}, 'D;1;k;"say ""a""";;\r\n', id="a quote is written twice"),
        pytest.param({}, {"text": "a\r\nb"}, "D;1;k;a b;;\r\n", id="a line break becomes a blank"),
        pytest.param(
            {"newlines": True},
            {"text": "a\r\nb"},
            'D;1;k;"a\nb";;\r\n',
            id="or stays, where cells may have it",
        ),
        pytest.param({"quote_all": True}, {}, '"D";"1";"k";"";"";""\r\n', id="every cell quoted"),
        pytest.param({"delimiter": "\t"}, {}, "D\t1\tk\t\t\t\r\n", id="tabs"),
        pytest.param(
            {"delimiter": "|", "quote": "'"}, {"text": "a|b"}, "D|1|k|'a|b'||\r\n", id="other signs"
        ),
    ],
)
def test_a_record_as_it_stands_in_the_file(form: Any, values: dict[str, Value], text: str) -> None:
    shape = msgspec.convert(form, Delimited)
    assert written(shape, values) == text
    made = codec(shape)
    (row,) = made.decode(text.encode("cp1252"))
    again = {name: value for name, value in row.values.items() if value is not None}
    expected = {"line": 1, "ref": "k", **values}
    if "text" in values:
        expected["text"] = "a\nb" if shape.newlines else " ".join(str(values["text"]).split())
    assert again == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("D;1;k;;;", "neither ';' nor the line end", id="the last line end is missing"),
        pytest.param("D;1;k;;;\n", "neither ';' nor the line end", id="another line end"),
        pytest.param('D;1;k;"a;;\r\n', "a quote is not closed", id="an open quote"),
        pytest.param('D;1;k;"a"b;;\r\n', "neither ';' nor the line end", id="letters behind a quote"),
        pytest.param('D;1;k;a"b;;\r\n', "neither ';' nor the line end", id="a quote inside a plain cell"),
        pytest.param("D;1;k;;\r\n", "has 4 cells, the layout 5", id="a cell too few"),
        pytest.param("D;1;k;;;;\r\n", "has 6 cells, the layout 5", id="a cell too many"),
        pytest.param("X;1\r\n", "no tag of the layout", id="an unknown record"),
        pytest.param("\r\n", "starts with ''", id="an empty line"),
        pytest.param("D;1;;;;\r\n", "field ref: is blank", id="a key that is not there"),
        pytest.param("D;1;k;;1.50;\r\n", "has no comma 2 digits from the end", id="a point for a comma"),
        pytest.param("D;1;k;;1,5;\r\n", "has no comma 2 digits from the end", id="a digit too few"),
        pytest.param("D;1;k;;1 234,50;\r\n", "is no number of 9 digits", id="groups that were not agreed"),
        pytest.param("D;1;k;;12345678,50;\r\n", "is no number of 9 digits", id="a number that is too long"),
        pytest.param("D;1;k;;,;\r\n", "has no comma", id="a comma alone"),
        pytest.param("D;1;k;;;5.10.2026\r\n", "field on", id="a day that is not in its mask"),
    ],
)
def test_what_is_not_as_agreed_is_refused(text: str, words: str) -> None:
    with pytest.raises(BytesRefused, match=words):
        codec(Delimited()).decode(text.encode("cp1252"))


def test_groups_must_be_thousands() -> None:
    made = codec(Delimited(grouping="."))
    assert made.decode(b"D;1;k;;1.234,50;\r\n")[0].values["amount"] == Decimal("1234.50")
    with pytest.raises(BytesRefused, match="not grouped by thousands"):
        made.decode(b"D;1;k;;12.34,50;\r\n")


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        pytest.param({}, {"line_end": "none"}, "need a line end", id="no line end"),
        pytest.param({}, {"sign": "overpunch"}, "are not overpunched", id="overpunched numbers"),
        pytest.param({"delimiter": ","}, {}, "cannot be both", id="two meanings of the comma"),
    ],
)
def test_rules_that_do_not_go_together_are_refused(form: Any, text: dict[str, str], words: str) -> None:
    with pytest.raises(ValueRefused, match=words):
        codec(msgspec.convert(form, Delimited), **text)


CELLS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8), min_size=1
)


@given(records=st.lists(CELLS, min_size=1, max_size=4), quote_all=st.booleans())
def test_any_cells_survive_and_another_reader_agrees(records: list[list[str]], quote_all: bool) -> None:
    form = Delimited(quote_all=quote_all)
    text = "".join(join(cells, form, "\r\n") for cells in records)
    assert [each.cells for each in split(text, form, "\r\n")] == records
    assert "".join(each.text for each in split(text, form, "\r\n")) == text
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True))
    assert [row or [""] for row in rows] == records
