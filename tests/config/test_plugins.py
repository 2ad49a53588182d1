"""Plugins are found by their metadata, imported one by one, and only those the admin allowed."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pluggy
import pytest

from isthmus.runtime.plugins import GROUP, Plugins, load_plugins

Install = Callable[..., None]

GOOD = """
    from contextlib import asynccontextmanager
    import msgspec
    from isthmus.sdk import Connector, Opened, hookimpl

    class Settings(msgspec.Struct, frozen=True):
        url: str = ""

    class Acme(Connector):
        name, title, Settings = "{name}", "Acme", Settings

        @asynccontextmanager
        async def open(self, settings, ctx):
            yield Opened()

    @hookimpl
    def isthmus_connectors():
        return [Acme]
"""


def source(name: str = "acme") -> str:
    """A good plugin's source."""
    return dedent(GOOD).format(name=name)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Fabricates an installed distribution: a module and its dist-info."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, code: str, *, version: str = "0.3", metadata: str | None = None) -> None:
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        sys.modules.pop(module, None)  # of an earlier test
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(text if metadata is None else metadata)
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}\n")

    return install


TRACE = "import pathlib\n(pathlib.Path(__file__).parent / 'imported').touch()\n"


def test_a_good_plugin_works_beside_broken_ones_and_an_unlisted_one(install: Install, tmp_path: Path) -> None:
    install("isthmus-a-broken", "import no_such_module_anywhere")
    install("isthmus-b-exits", "raise SystemExit(3)")
    install("isthmus-c-unlisted", TRACE + source("spy"))
    install("isthmus-d-acme", source())
    found = load_plugins(["isthmus-a-broken", "isthmus_B.exits", "isthmus-d-acme"])
    assert [(name, cls.__module__) for name, cls in found.connectors.items()] == [("acme", "isthmus_d_acme")]
    assert (found.origins["acme"].distribution, found.origins["acme"].version) == ("isthmus-d-acme", "0.3")
    assert "no_such_module_anywhere" in found.quarantined["isthmus-a-broken"]
    assert found.quarantined["isthmus-b-exits"] == "does not load: SystemExit: 3"
    assert found.quarantined["isthmus-c-unlisted"].startswith("not on the allow-list")
    assert not (tmp_path / "imported").exists()


def test_mutant_pluggys_own_loader_stops_at_the_broken_one_and_imports_the_unlisted(
    install: Install, tmp_path: Path
) -> None:
    """Why `load_plugins` exists: with pluggy's loader the test above would fail on each point."""
    install("isthmus-broken", "import no_such_module_anywhere")
    install("isthmus-unlisted", TRACE + source("spy"))
    manager = pluggy.PluginManager("isthmus")
    with pytest.raises(ModuleNotFoundError):
        manager.load_setuptools_entrypoints(GROUP)
    manager.load_setuptools_entrypoints(GROUP, name="isthmus-unlisted")
    assert (tmp_path / "imported").exists()


def quarantined(name: str, allow: list[str]) -> str:
    found: Plugins = load_plugins(allow)
    assert name not in {origin.distribution for origin in found.origins.values()}
    return found.quarantined[name]


BAD: Mapping[str, tuple[str, str]] = {
    "a newer interface is refused with what is served": (
        source().replace('"Acme", Settings\n', '"Acme", Settings\n    api = (2, 0)\n'),
        "isthmus-bad 0.3 speaks api 2; this isthmus serves 1",
    ),
    "a newer minor of the interface is refused": (
        source().replace('"Acme", Settings\n', '"Acme", Settings\n    api = (1, 7)\n'),
        "isthmus-bad 0.3 needs api 1.7; this isthmus serves 1.0: upgrade isthmus",
    ),
    "what is no connector is refused": (source().replace("[Acme]", "[Settings]"), "which is no isthmus.sdk"),
    "an unfinished connector is refused": (
        source().replace("def open", "def opn"),
        "does not implement open",
    ),
    "a connector without a name is refused": (
        source().replace('name, title, Settings = "acme", ', "title, Settings = "),
        "AttributeError",
    ),
    "a name that cannot be a key is refused": (source("Acme:1"), "lower-case letters"),
    "settings that are no Struct are refused": (
        source().replace('"Acme", Settings', '"Acme", dict'),
        "must be a msgspec.Struct",
    ),
    "a forgotten hookimpl is told": (source().replace("@hookimpl\n", ""), "carry @hookimpl?"),
    "an unknown hook is told": (
        source().replace("isthmus_connectors", "isthmus_conectors"),
        "PluginValidationError",
    ),
    "a hook that raises is told": (source().replace("return [Acme]", "1 / 0"), "ZeroDivisionError"),
    "a syntax error is told": ("def", "SyntaxError"),
}


@pytest.mark.parametrize(("code", "says"), [pytest.param(*case, id=name) for name, case in BAD.items()])
def test_what_cannot_be_used_is_quarantined_with_the_reason(install: Install, code: str, says: str) -> None:
    install("isthmus-bad", code)
    assert says in quarantined("isthmus-bad", ["isthmus-bad"])


def test_a_pinned_version_is_that_version_or_nothing(install: Install, tmp_path: Path) -> None:
    install("isthmus-acme", TRACE + source())
    assert "version 0.3 is installed" in quarantined("isthmus-acme", ["isthmus-acme==0.4"])
    assert not (tmp_path / "imported").exists()
    assert set(load_plugins(["isthmus-acme==0.3"]).connectors) == {"acme"}


def test_a_name_claimed_twice_is_given_to_neither(install: Install) -> None:
    install("isthmus-acme", source())
    install("isthmus-rival", source())
    install("isthmus-other", source("other"))
    found = load_plugins(["isthmus-acme", "isthmus-rival", "isthmus-other"])
    assert set(found.connectors) == {"other"}
    assert "acme is claimed more than once" in found.quarantined["isthmus-acme"]
    assert "acme is claimed more than once" in found.quarantined["isthmus-rival"]


def test_an_allowed_distribution_that_is_not_there_is_told() -> None:
    assert "not installed" in quarantined("isthmus-nowhere", ["isthmus-nowhere==1"])


def test_broken_metadata_of_one_distribution_stops_no_other(install: Install) -> None:
    install("isthmus-acme", source())
    install("isthmus-nameless", source("nameless"), metadata="Version: 1\n")
    found = load_plugins(["isthmus-acme", "isthmus-nameless"])
    assert set(found.connectors) == {"acme"}
    assert "cannot be read" in found.quarantined["isthmus_nameless-0.3.dist-info"]
