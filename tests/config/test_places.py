"""The finder knows where everything is that tomllib read."""

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.config.places import KeyPath, dotted, find_places

DOCUMENT = '''\
# a comment with [brackets] and "quotes
top = 1   # [not.a.table]
"quoted key" = """one
[fake]
x = "y" ""still inside"""""
[a.b]   # header
dotted.key."with.dots" = 'it\\'
'literal = key' = """ """
list = [ 1, # one ]
  "two, ]", [3, [4]],
  { x = 1, y.z = "}" },
]
when = 1979-05-27 07:32:00
multi = \'\'\'
don\'\'t [stop]\'\'\'
[[a.rows]]
n = 1
[[a.rows]]
n = 2
[a.rows.deep]
m = 3
'''


def leaves(value: Any, path: KeyPath = ()) -> list[KeyPath]:
    if isinstance(value, dict):
        return [path, *(leaf for key, item in value.items() for leaf in leaves(item, (*path, key)))]
    if isinstance(value, list):
        return [path, *(leaf for n, item in enumerate(value) for leaf in leaves(item, (*path, n)))]
    return [path]


def test_every_value_of_a_difficult_document_is_found() -> None:
    found = find_places(DOCUMENT)
    assert set(leaves(tomllib.loads(DOCUMENT))) - {()} == set(found)


@pytest.mark.parametrize(
    ("path", "line", "column", "length"),
    [
        pytest.param(("top",), 2, 1, 3, id="a key"),
        pytest.param(("quoted key",), 3, 1, 12, id="a quoted key, quotes included"),
        pytest.param(("a", "b"), 6, 4, 1, id="a table, at the part of the header that names it"),
        pytest.param(("a", "b", "dotted", "key", "with.dots"), 7, 12, 11, id="a part of a dotted key"),
        pytest.param(("a", "b", "list", 1), 10, 3, 8, id="an element of a list"),
        pytest.param(("a", "b", "list", 2, 1, 0), 10, 18, 1, id="an element of a list in a list"),
        pytest.param(("a", "b", "list", 3, "y", "z"), 11, 14, 1, id="a key in an inline table in a list"),
        pytest.param(("a", "rows", 1, "n"), 19, 1, 1, id="a key of the second table of an array"),
        pytest.param(("a", "rows", 1, "deep", "m"), 21, 1, 1, id="a table below the newest of an array"),
    ],
)
def test_place_of(path: KeyPath, line: int, column: int, length: int) -> None:
    place = find_places(DOCUMENT)[path]
    assert (place.line, place.column, place.length) == (line, column, length)


_KEYS = st.text(alphabet="ab\"'. =[#", min_size=1, max_size=4)
_VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text(alphabet="a\"'\\[]{},=#\n", max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=8,
)


def toml(value: Any) -> str:
    """A value as TOML, inline tables throughout; strings alternate between the forms."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        if "'" not in value and value:
            return f"'''\n{value}'''"
        return quoted(value)
    if isinstance(value, list):
        return "[ " + ", # ] \n".join(map(toml, value)) + "]"
    return "{" + ", ".join(f"{quoted(key)} = {toml(item)}" for key, item in value.items()) + " }"


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_whatever_parses_is_found(document: dict[str, Any]) -> None:
    text = "[t]\n" + "\n".join(f"{quoted(key)} = {toml(value)}" for key, value in document.items())
    assert tomllib.loads(text) == {"t": document}
    assert set(find_places(text)) == set(leaves({"t": document})) - {()}


def test_paths_are_told_as_an_admin_writes_them() -> None:
    assert dotted(("lanes", "psa", "entities", 0)) == "lanes.psa.entities[0]"
    assert dotted(("routes", "charge.determined")) == 'routes."charge.determined"'
