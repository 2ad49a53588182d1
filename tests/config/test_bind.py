"""Connector settings become the plugin's Struct, and secrets come from where they belong."""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from isthmus.config import ConfigError, Problem, Secrets, bind, check, load
from isthmus.events import Amount
from isthmus.sdk import Connector, Context, Opened, Secret

Write = Callable[..., Path]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    width: Annotated[int, msgspec.Meta(ge=1)] = 1


class AcmeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str
    token: Secret
    backup_token: Secret | None = None
    keys: dict[str, Secret] = {}
    drop: Path | None = None
    limit: Amount = Decimal(1)
    mode: Literal["fast", "safe"] = "safe"
    retries: Annotated[int, msgspec.Meta(ge=0, le=9)] = 3
    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        if self.mode == "fast" and self.retries:
            raise ValueError("retries must be 0 where mode is fast")


class Acme(Connector):
    name = "acme"
    title = "Acme"
    Settings = AcmeSettings

    def open(self, settings: msgspec.Struct, ctx: Context) -> AbstractAsyncContextManager[Opened]:
        raise NotImplementedError


class Greedy(Acme):
    name = "greedy"

    class Settings(msgspec.Struct, frozen=True, kw_only=True):
        entity: str


CONNECTORS: dict[str, type[Connector]] = {"acme": Acme, "greedy": Greedy}
HEAD = '[daemon]\nstate_dir = "s"\nsecrets_dir = "secrets"\n'
ACME = '[connectors.a]\nplugin = "acme"\nentity = "e"\n'
TOKEN = 'token = { credential = "acme-token" }\n'
URL = 'url = "https://x"\n'


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir(mode=0o700)
    file = tmp_path / "secrets" / "acme-token"
    file.write_text("hunter2\n")
    file.chmod(0o600)
    return file


def bound(directory: Path, environ: dict[str, str] | None = None) -> dict[str, msgspec.Struct]:
    config = load(directory)
    return bind(config, CONNECTORS, Secrets(config.daemon.secrets_dir, environ or {}))


def problems(directory: Path, environ: dict[str, str] | None = None) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        bound(directory, environ)
    return caught.value.problems


def test_settings_arrive_in_the_plugins_own_types(write: Write, secret_file: Path) -> None:
    more = (
        'limit = "937.50"\ndrop = "in"\ncolumns = [{ name = "n" }]\nkeys.a = { credential = "acme-token" }\n'
    )
    directory = write(HEAD + ACME + URL + TOKEN + more)
    settings = bound(directory)["a"]
    assert settings == AcmeSettings(
        url="https://x",
        token=Secret("hunter2"),
        keys={"a": Secret("hunter2")},
        drop=directory / "in",
        limit=Decimal("937.50"),
        columns=(Column(name="n"),),
    )
    assert "hunter2" not in repr(settings)


def test_systemds_credentials_come_before_the_secrets_directory(
    write: Write, secret_file: Path, tmp_path: Path
) -> None:
    given = tmp_path / "credentials"
    given.mkdir()
    (given / "acme-token").write_text("from systemd")
    settings = bound(write(HEAD + ACME + URL + TOKEN), {"CREDENTIALS_DIRECTORY": str(given)})["a"]
    assert isinstance(settings, AcmeSettings)
    assert settings.token == Secret("from systemd")


def test_secrets_that_were_handed_out_are_known_to_the_scrubber(write: Write, secret_file: Path) -> None:
    config = load(write(HEAD + ACME + URL + TOKEN))
    secrets = Secrets(config.daemon.secrets_dir, {})
    bind(config, CONNECTORS, secrets)
    assert secrets.given == [Secret("hunter2")]


@pytest.mark.parametrize(
    ("text", "place", "code", "says"),
    [
        pytest.param(URL, "4:13", "missing-key", '{ credential = "a-name" }', id="a missing secret"),
        pytest.param(TOKEN, "4:13", "missing-key", 'needs "url"', id="a missing setting"),
        pytest.param(
            URL + TOKEN + "retris = 2\n", "9:1", "unknown-key", 'did you mean "retries"?', id="a misspelt one"
        ),
        pytest.param(
            URL + TOKEN + "pol_s = 2\n",
            "9:1",
            "unknown-key",
            'did you mean "poll_s"?',
            id="one of isthmus' own",
        ),
        pytest.param(URL + TOKEN + "retries = 10\n", "9:1", "bad-value", "<= 9", id="a value out of range"),
        pytest.param(URL + TOKEN + "limit = 9.5\n", "9:1", "bad-value", "no decimal", id="money as a float"),
        pytest.param(URL + TOKEN + 'mode = "fats"\n', "9:1", "bad-value", '"fast"?', id="a misspelt word"),
        pytest.param(
            URL + TOKEN + 'mode = "fast"\n',
            "9:1",
            "bad-value",
            "retries must be 0",
            id="the plugin's own rule",
        ),
        pytest.param(
            URL + TOKEN + "columns = [{ name = 'n', widht = 3 }]\n",
            "9:26",
            "unknown-key",
            'did you mean "width"?',
            id="a misspelt setting in a list of tables",
        ),
        pytest.param(
            URL + 'token = "hunter2"\n', "8:1", "literal-secret", "must not be written", id="a literal secret"
        ),
        pytest.param(
            URL + TOKEN + 'backup_token = "hunter2"\n', "9:1", "literal-secret", "", id="an optional literal"
        ),
        pytest.param(
            URL + TOKEN + '[connectors.a.keys]\nx = "hunter2"\n',
            "10:1",
            "literal-secret",
            "",
            id="a literal below",
        ),
        pytest.param(
            URL + 'token = { credental = "x" }\n',
            "8:1",
            "bad-credential",
            "no reference",
            id="a misspelt reference",
        ),
        pytest.param(
            URL + 'token = { credential = "../x" }\n', "8:1", "bad-credential", "", id="a name that is a path"
        ),
        pytest.param(
            URL + 'token = { credential = "other" }\n',
            "8:1",
            "missing-credential",
            "secrets/other (mode 0600",
            id="a missing credential, with where to put it",
        ),
    ],
)
def test_a_mistake_is_told_at_its_place(
    write: Write, secret_file: Path, text: str, place: str, code: str, says: str
) -> None:
    found = problems(write(HEAD + ACME + text))
    assert [f"{it.line}:{it.column} {it.code}" for it in found] == [f"{place} config.{code}"], found
    assert says in str(found[0])
    assert "hunter2" not in str(found[0])


def test_all_mistakes_of_all_connectors_are_told_at_once(write: Write, secret_file: Path) -> None:
    directory = write(
        HEAD
        + ACME
        + 'token = "hunter2"\nretris = 2\nmode = "x"\n'
        + '[connectors.b]\nplugin = "acmee"\nentity = "e"\n'
        + '[connectors.c]\nplugin = "greedy"\nentity = "e"\n'
    )
    assert sorted(it.code.removeprefix("config.") for it in problems(directory)) == [
        "bad-value",
        "literal-secret",
        "missing-key",
        "reserved-setting",
        "unknown-key",
        "unknown-plugin",
    ]


def test_a_check_tells_mistakes_of_files_and_of_plugins_together(write: Write, secret_file: Path) -> None:
    directory = write(HEAD + "drain = 1\n" + ACME + URL)
    assert [it.code for it in check(directory, CONNECTORS, secrets=Secrets(None, {}))] == [
        "config.unknown-key",
        "config.missing-key",
    ]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(lambda file: file.chmod(0o640), "unsafe-credential", id="the group can read the file"),
        pytest.param(lambda file: file.parent.chmod(0o750), "unsafe-credential", id="the group can list it"),
        pytest.param(lambda file: file.write_text("\n"), "bad-credential", id="the file is empty"),
        pytest.param(lambda file: file.write_bytes(b"\xff\xfe"), "bad-credential", id="it is not text"),
        pytest.param(lambda file: file.write_bytes(b"x" * 70_000), "bad-credential", id="it is far too long"),
        pytest.param(lambda file: (file.unlink(), file.mkdir()), "unsafe-credential", id="it is a directory"),
    ],
)
def test_a_secret_that_is_not_kept_well_is_refused(
    write: Write, secret_file: Path, spoil: Callable[[Path], object], code: str
) -> None:
    spoil(secret_file)
    assert [it.code for it in problems(write(HEAD + ACME + URL + TOKEN))] == [f"config.{code}"]


def test_a_pipe_in_place_of_a_secret_does_not_hang_the_start(write: Write, secret_file: Path) -> None:
    secret_file.unlink()
    os.mkfifo(secret_file, 0o600)
    assert [it.code for it in problems(write(HEAD + ACME + URL + TOKEN))] == ["config.unsafe-credential"]
