"""Layout files: what is refused at start, what an admin may change, and that the ERP reads them alike."""

from pathlib import Path
from typing import Any, get_args

import pytest

from isthmus.sdk import Fatal
from isthmus_legacy_erp import layout
from isthmus_legacy_erp.codec import Codec
from isthmus_legacy_erp.layout import LayoutError
from isthmus_legacy_erp.settings import Interface, TextRules
from isthmus_legacy_erp.simulator.copybook import Style, copybook

SHIPPED = Path(layout.__file__).with_name("layouts")
INTERFACES: tuple[Interface, ...] = get_args(Interface)


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """The shipped layout of charges with one change."""
    text = (SHIPPED / "charges.toml").read_text()
    assert old in text
    path = tmp_path / "charges.toml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param("length =", "lenght =", "unknown field `lenght`", id="a typing error"),
        pytest.param('"charges"', '"periods"', "is a layout of 'periods'", id="another interface"),
        pytest.param('tag = "D"', 'tag = "H"', "a tag of its own", id="two records with one tag"),
        pytest.param('tag = "D"', 'tag = "DD"', "all of one length", id="tags of different lengths"),
        pytest.param('"hash_total"', '"hash"', "needs the fields hash_total", id="no hash total"),
        pytest.param('"key", width = 120 }', '"key" }', "has a width", id="a key without width"),
        pytest.param('"currency", width', '"seq", width', "stands twice", id="a name that stands twice"),
        pytest.param('"date", width = 8', '"date", width = 6', "fills 8 bytes", id="a mask that is wider"),
        pytest.param("digits = 15", "digits = 5", "do not fit", id="more decimals than digits"),
        pytest.param(
            '{ name = "quantity", kind = "decimal", signed = true, digits = 18, decimals = 6 },',
            "",
            "the trailer needs it",
            id="a column without its total",
        ),
        pytest.param("interface =", "interface", "charges.toml", id="no TOML"),
    ],
)
def test_a_layout_that_cannot_work_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(LayoutError, match=words) as refused:
        layout.load("charges", path)
    assert str(path) in str(refused.value)


async def test_a_bad_layout_parks_the_connector_when_it_opens(bench: Any, tmp_path: Path) -> None:
    path = changed(tmp_path, "length = 720", "length = 72")
    with pytest.raises(Fatal, match="raise length 72"):
        async with bench.open(layouts={"charges": path}):
            pass
    with pytest.raises(Fatal, match="readable layout file"):
        async with bench.open(layouts={"charges": tmp_path / "none.toml"}):
            pass


@pytest.mark.parametrize("sign", ["overpunch", "leading", "trailing"])
@pytest.mark.parametrize("decimals", ["implied", "point"])
@pytest.mark.parametrize("interface", INTERFACES)
def test_the_layouts_and_the_copybooks_put_the_same_bytes_in_the_same_places(
    interface: Interface, sign: str, decimals: str
) -> None:
    shipped = layout.load(interface, None)
    rules = TextRules(encoding="cp1252", line_end="lf", sign=sign, decimals=decimals)  # type: ignore[arg-type]
    codec = Codec(shipped, rules, "EUR")
    book = copybook(interface)
    style = Style("cp1252", sign, "\n", decimals == "point")
    assert book.length == shipped.length
    assert {record.tag for record in shipped.records()} == set(book.records)
    for record in shipped.records():
        ours = [codec.width(field) for field in record.fields]
        theirs = [item.bytes_in(style) for item in book.records[record.tag]]
        assert ours == theirs, f"{interface} {record.tag}"


def test_an_interface_may_have_text_rules_of_its_own(tmp_path: Path) -> None:
    path = changed(tmp_path, "[header]", '[text]\nencoding = "cp037"\nsign = "leading"\n\n[header]')
    rules = TextRules(encoding="cp1252", line_end="lf", sign="overpunch", decimals="implied")
    own = layout.load("charges", path).rules(rules)
    assert (own.encoding, own.sign, own.line_end) == ("cp037", "leading", "lf")


def test_masks_count_what_they_fill() -> None:
    assert [layout.mask_width(mask) for mask in ("%Y%m%d", "%d.%m.%y", "%Y%j", "%H:%M")] == [8, 8, 7, 5]
