"""Layouts from a copybook: the same bytes as the layouts in the package, and what is not read."""

import re
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from isthmus.sdk import Fatal
from isthmus_legacy_erp import layout
from isthmus_legacy_erp.layout import Layout, LayoutError
from isthmus_legacy_erp.settings import Interface

BOOKS = resources.files("isthmus_legacy_erp.simulator") / "copybooks"
INTERFACES: tuple[Interface, ...] = get_args(Interface)


def book(interface: str) -> str:
    return (BOOKS / f"{interface}.cpy").read_text("ascii")


def loaded(tmp_path: Path, interface: Interface, text: str) -> Layout:
    path = tmp_path / f"{interface}.cpy"
    path.write_text(text)
    return layout.load(interface, path)


def places(made: Layout) -> list[Any]:
    """What decides about the bytes."""
    resolved = [
        msgspec.structs.replace(field, decimals=2 if field.decimals == "currency" else field.decimals)
        for record in made.records()
        for field in record.fields
    ]
    return [made.length, [record.tag for record in made.records()], resolved]


@pytest.mark.parametrize("interface", INTERFACES)
def test_each_copybook_in_the_package_says_what_its_layout_says(tmp_path: Path, interface: Interface) -> None:
    assert places(loaded(tmp_path, interface, book(interface))) == places(layout.load(interface, None))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param("VALUE 'D'", "VALUE 'X'", "has no record 'X'", id="a record nobody knows"),
        pytest.param("VALUE 'T'.", ".", "give REC-TYPE a VALUE", id="a record without a tag"),
        pytest.param("EXT-REF ", "THEIR-REF ", "THEIR-REF has no meaning", id="an unknown name"),
        pytest.param("PIC X(60).\n       01", "PIC X(60) OCCURS 3.\n       01", "OCCURS", id="a list"),
        pytest.param("PIC 9(6).", "PIC 9(6) COMP.", "COMP is not read", id="a binary number"),
        pytest.param("PIC 9(6).", "PIC Z(5)9.", r"PIC Z\(5\)9 is not read", id="an edited number"),
        pytest.param("PIC 9(6).", "PIC X(6).", "LINE-NO is a number", id="a number as text"),
        pytest.param("PIC X(120).", "PIC S9(9).", "REF is a key", id="a key as a number"),
        pytest.param(
            "PIC S9(15)V9(2).\n           05  CHG",
            "PIC S9(15)V9(2) SIGN LEADING SEPARATE.\n           05  CHG",
            "several ways",
            id="signs in two ways",
        ),
        pytest.param("05  HASH-TOTAL ", "05  FILLER ", "needs the fields hash_total", id="no hash total"),
        pytest.param("01  BATCH-TRAILER", "77  BATCH-TRAILER", "is not read", id="a level nobody needs"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused_by_name(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = book("charges")
    assert old in text
    with pytest.raises(LayoutError, match=words) as refused:
        loaded(tmp_path, "charges", text.replace(old, new, 1))
    assert "charges.cpy" in str(refused.value)


def test_fillers_groups_dimensions_and_pictures_in_full_are_read(tmp_path: Path) -> None:
    text = book("charges").replace(
        "           05  ORIGIN          PIC X(16).\n",
        "           05  FILLER          PIC XXX.\n"
        "           05  DIMS.\n"
        "               10  DIM-DEPARTMENT PIC X(8).\n"
        "               88  SALES        VALUE 'SALES'.\n"
        "      * a remark. With a full stop.\n"
        "           05  ORIGIN          PICTURE IS X(16).\n",
    )
    detail = loaded(tmp_path, "charges", text).details[0]
    at = [field.name for field in detail.fields].index("origin")
    filler, department = detail.fields[at - 2 : at]
    assert (filler.kind, filler.width) == ("filler", 3)
    assert (department.name, department.width) == ("dimension.department", 8)


def test_packed_items_and_separate_signs_come_from_their_clauses(tmp_path: Path) -> None:
    packed = loaded(tmp_path, "charges", book("charges").replace("V9(2).", "V9(2) COMP-3."))
    assert [field.name for field in packed.details[0].fields if field.packed] == ["amount"]
    separate = re.sub(
        r"(PIC S9\S+)\.\n", r"\1\n               SIGN IS TRAILING SEPARATE CHARACTER.\n", book("charges")
    )
    made = loaded(tmp_path, "charges", separate)
    assert made.text is not None and made.text.sign == "trailing"


def test_without_a_remark_the_longest_record_gives_the_length(tmp_path: Path) -> None:
    text = book("charges").replace("* RECORD LENGTH 720", "* no such remark")
    assert loaded(tmp_path, "charges", text).length == 669


async def test_overpunched_items_need_a_sign_that_says_which_way(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "charges.cpy"
    path.write_text(book("charges"))
    with pytest.raises(Fatal, match="set sign to overpunch or overpunch-ascii"):
        async with bench.open(layouts={"charges": path}, sign="leading"):
            pass
