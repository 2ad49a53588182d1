"""Who is told how: what an admin may write, and what they are told when it cannot work."""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus.config import ConfigError, NotifyConfig, Secrets, bind_notify, check, load

Write = Callable[..., Path]

DAEMON = '[daemon]\nstate_dir = "/var/lib/isthmus"\nsecrets_dir = "secrets"\n'
KEY = "whsec_" + b64encode(b"k" * 32).decode()


@pytest.fixture
def told(write: Write, tmp_path: Path) -> Callable[..., dict[str, NotifyConfig]]:
    """Binds these tables, with ``secret`` in the credential ``hook``."""
    (tmp_path / "secrets").mkdir(mode=0o700)

    def told(tables: str, secret: str = KEY) -> dict[str, NotifyConfig]:
        (tmp_path / "secrets" / "hook").write_text(secret)
        (tmp_path / "secrets" / "hook").chmod(0o600)
        directory = write(DAEMON + tables)
        config = load(directory)
        return bind_notify(config, Secrets(config.daemon.secrets_dir))

    return told


def test_whoever_is_named_is_told_over_each_way_that_is_named(
    told: Callable[..., dict[str, NotifyConfig]],
) -> None:
    found = told("""
[notify.finance]
email = ["ar@example.com", "ap+isthmus@example.co.uk"]
[notify."Dora M."]
webhook = "https://hooks.example/x?y=1"
secret = { credential = "hook" }
every_s = 3600
quiet = "22:00-07:00"
zone = "Europe/Berlin"
""")
    assert found["finance"] == NotifyConfig(email=("ar@example.com", "ap+isthmus@example.co.uk"))
    dora = found["Dora M."]
    assert (dora.webhook, dora.every_s, dora.quiet) == ("https://hooks.example/x?y=1", 3600.0, "22:00-07:00")
    assert dora.secret is not None and dora.secret.reveal() == KEY


HOOK = 'webhook = "https://hooks.example"\nsecret = { credential = "hook" }\n'


@pytest.mark.parametrize(
    ("lines", "code", "line", "says"),
    [
        pytest.param("", "config.bad-value", 4, "at least one of email and webhook", id="no way"),
        pytest.param('email = "a@b.example"', "config.bad-value", 5, "array", id="no list"),
        pytest.param(
            'email = ["nobody"]', "config.bad-value", 5, 'write "name@example.com"', id="no address"
        ),
        pytest.param(
            'email = ["a@b.example\\r\\nBcc: c@d.example"]', "config.bad-value", 5, "", id="a header"
        ),
        pytest.param('email = ["A <a@b.example>"]', "config.bad-value", 5, "", id="a name"),
        pytest.param(
            'webhook = "https://x.example"', "config.bad-value", 5, "belong together", id="unsigned"
        ),
        pytest.param(
            'webhook = "http://x.example"\nsecret = { credential = "hook" }',
            "config.bad-value",
            5,
            'must begin with "https://"',
            id="in the clear",
        ),
        pytest.param(
            'webhook = "https://me:pw@x.example"\nsecret = { credential = "hook" }',
            "config.bad-value",
            5,
            "without a user name",
            id="a password in the address",
        ),
        *(
            pytest.param(
                f'webhook = "{url}"\nsecret = {{ credential = "hook" }}', "config.bad-value", 5, "", id=url
            )
            for url in ("https://", "https://x:70000/", "https://[::1/", "https://x/a b", "https://x/#a")
        ),
        pytest.param(
            'webhook = "https://x.example"\nsecret = "whsec_hush"',
            "config.literal-secret",
            6,
            "must not be written into the file",
            id="a literal secret",
        ),
        pytest.param(
            'webhook = "https://x.example"\nsecret = { credential = "gone" }',
            "config.missing-credential",
            6,
            'no credential "gone"',
            id="a missing secret",
        ),
        pytest.param(HOOK + "every_s = 5", "config.bad-value", 7, "60", id="too often"),
        pytest.param(
            HOOK + 'quiet = "at night"', "config.bad-value", 7, 'write "22:00-07:00"', id="no hours"
        ),
        pytest.param(HOOK + 'quiet = "25:00-07:00"', "config.bad-value", 7, "", id="no hour"),
        pytest.param(HOOK + 'zone = "Mars/Base"', "config.bad-value", 7, "is no time zone", id="no zone"),
        pytest.param(HOOK + 'zone = "../etc/passwd"', "config.bad-value", 7, "is no time zone", id="a path"),
        pytest.param(HOOK + "evry_s = 60", "config.unknown-key", 7, "every_s", id="a slip"),
    ],
)
def test_a_mistake_is_told_with_its_place(
    told: Callable[..., dict[str, NotifyConfig]],
    tmp_path: Path,
    lines: str,
    code: str,
    line: int,
    says: str,
) -> None:
    with pytest.raises(ConfigError) as caught:
        told(f"[notify.finance]\n{lines}\n")
    (problem,) = caught.value.problems
    assert (problem.code, problem.line) == (code, line), str(problem)
    assert says in str(problem)
    assert problem in check(tmp_path, {})
    assert "hush" not in str(problem) and "me:pw" not in str(problem)


def test_a_credential_that_is_no_webhook_secret(told: Callable[..., dict[str, NotifyConfig]]) -> None:
    with pytest.raises(ConfigError) as caught:
        told(f"[notify.finance]\n{HOOK}", secret="hushhushhush")
    (problem,) = caught.value.problems
    assert (problem.code, problem.line) == ("config.bad-credential", 6)
    assert "hush" not in str(problem)


def test_http_is_for_this_machine(told: Callable[..., dict[str, NotifyConfig]]) -> None:
    assert told(f"[notify.finance]\n{HOOK}".replace("https://hooks.example", "http://127.0.0.1:8080/x"))


def test_a_name_that_is_nearly_an_owner_is_asked_about(write: Write) -> None:
    config = load(write(DAEMON + '[control]\nfinance = "accounts-receivable"\n[notify.account-receivable]\n'))
    (warning,) = config.warnings
    assert (warning.code, warning.severity, warning.line) == ("config.unknown-owner", "warning", 6)
    assert 'did you mean "accounts-receivable"?' in warning.hint
    assert load(write(DAEMON + "[notify.dora]\n")).warnings == ()


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("port = 0", id="no port"),
        pytest.param('sender = "isthmus"', id="no address"),
        pytest.param('sender = "a@b.example\\nX: y"', id="a header"),
        pytest.param('login = "x"', id="no such setting"),
    ],
)
def test_a_mail_server_is_checked_too(write: Write, lines: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(f"{DAEMON}[mail]\n{lines}\n"))
    assert [problem.line for problem in caught.value.problems] == [5]
