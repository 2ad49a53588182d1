"""Every way a command can fail: its exit code, and words instead of a traceback."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from isthmus.cli.exits import carry_out
from isthmus.ops.serve import CannotListen
from isthmus.store import errors as store_errors
from isthmus.store.open import open_store
from tests.app.rig import cli, write_site
from tests.cli.inside import Done, isthmus


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose plugin can be imported; no daemon runs."""
    config = write_site(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "plugins"))
    monkeypatch.setenv("ISTHMUS_CONFIG", str(config))
    monkeypatch.delitem(sys.modules, "isthmus_acme", raising=False)
    return config


def fails(done: Done, code: int, *words: str) -> None:
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert [word for word in words if word not in done.stderr] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["bogus"], 'Unknown command "bogus"', id="a command that does not exist"),
        pytest.param(["event", "show"], "requires an argument", id="a missing argument"),
        pytest.param(["status", "--output", "xml"], "xml", id="a form that does not exist"),
        pytest.param(["event", "list", "--limit", "many"], "many", id="no number"),
        pytest.param(["exception", "retry"], "name exceptions, or --all", id="a retry of nothing"),
        pytest.param(["exception", "retry", "1"], "say why with --reason", id="a retry without a reason"),
        pytest.param(
            ["event", "replay", "--lane", "x"], "say why with --reason", id="a replay without a reason"
        ),
        pytest.param(["simulate", "nosuch"], "no simulator for 'nosuch'", id="a simulator nobody brings"),
        pytest.param(
            ["billing", "preview", "/nowhere.jsonl"], "/nowhere.jsonl: No such file", id="no such file"
        ),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], says: str) -> None:
    done = isthmus(*arguments)
    assert done.returncode == 2
    assert says in " ".join((done.stderr + done.stdout).replace("│", " ").split())


FACTS = (
    b'{"type":"time.unapproved/1","source":"psa","occurred_at":"2026-10-01T09:00:00Z","entity":"e",'
    b'"entry":"psa:1","revision":2,"project":"crm:p"}\n'
)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        pytest.param(b"{not json\n", "facts.jsonl:3: ", id="no JSON"),
        pytest.param(b'{"type":"time.invented/1"}\n', "facts.jsonl:3: ", id="a type nobody knows"),
        pytest.param(FACTS.replace(b"2,", b'"two",'), "facts.jsonl:3: ", id="a field of the wrong type"),
        pytest.param(FACTS.replace(b"psa:1", b"psa:\xff"), "facts.jsonl:3: ", id="no UTF-8"),
    ],
)
def test_a_bad_fact_is_65_and_names_file_and_line(tmp_path: Path, line: bytes, says: str) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_bytes(FACTS + b"\n" + line)
    done = isthmus("billing", "preview", str(facts))
    assert (done.returncode, "Traceback" in done.stderr) == (65, False)
    assert says in done.stderr


@pytest.mark.parametrize(
    "command", [("status",), ("event", "list"), ("exception", "list"), ("resume", "acme")]
)
def test_no_daemon_is_69(site: Path, command: tuple[str, ...]) -> None:
    fails(isthmus(*command), 69, "no daemon answers on", "admin.sock")


def test_a_socket_a_killed_daemon_left_behind_is_69(site: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "state" / "admin.sock"))
    fails(isthmus("status"), 69, "the daemon cannot be reached")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_daemon_we_may_not_ask_is_77(site: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "admin.sock").touch()
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.getuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        done = isthmus("status")
    finally:
        os.seteuid(0)
    fails(done, 77, "you may not ask the daemon")


async def test_a_state_in_use_is_75_and_names_who_holds_it(site: Path, tmp_path: Path) -> None:
    async with open_store(tmp_path / "state"):
        for command in (["run"], ["event", "list", "--offline"], ["audit", "verify"]):
            done = await trio.to_thread.run_sync(partial(isthmus, *command))
            fails(done, 75, f"held by daemon, pid {os.getpid()}")


def test_nothing_stored_yet_is_told_and_nothing_is_made(site: Path, tmp_path: Path) -> None:
    fails(isthmus("event", "list", "--offline"), 1, "nothing was ever stored here")
    assert not (tmp_path / "state").exists()


async def test_a_damaged_file_is_65(site: Path, tmp_path: Path) -> None:
    async with open_store(tmp_path / "state") as store:
        file = store.path
    file.write_bytes(b"this is no database, whatever its name says".ljust(8192, b"."))
    done = await trio.to_thread.run_sync(lambda: isthmus("event", "list", "--offline"))
    fails(done, 65)


async def test_a_backup_that_was_put_back_is_65(site: Path, tmp_path: Path) -> None:
    async with open_store(tmp_path / "state") as store:
        file = store.path
    old = file.read_bytes()
    async with open_store(tmp_path / "state"):
        pass
    file.write_bytes(old)
    fails(await trio.to_thread.run_sync(lambda: isthmus("event", "list", "--offline")), 65)


BROKEN = """
[daemon]
state_dir = "state"
plugins = ["isthmus-acme", "isthmus-broken"]
ops_listen = "nowhere"
[connectors.acme]
plugin = "acme"
entity = "acme-us"
calls = "calls"
retris = 2
[connectors.other]
plugin = "broken"
entity = "acme-us"
[connectors.crm]
plugin = "salesforce"
entity = "acme-us"
[lanes.out]
connector = "acne"
[routes]
"time.aproved" = ["out"]
"""


@pytest.mark.parametrize("command", [("run",), ("config", "check")])
def test_a_wrong_configuration_is_78_with_every_problem_and_its_place(
    site: Path, command: tuple[str, ...]
) -> None:
    file = site / "isthmus.toml"
    file.write_text(BROKEN)
    done = isthmus(*command)
    said = done.stdout + done.stderr
    assert (done.returncode, "Traceback" in said) == (78, False)
    for place, word in (
        ("5:1", "nowhere"),
        ("10:1", 'has no setting "retris"'),
        ("12:1", 'no plugin brings "broken"'),
        ("15:1", 'no plugin brings "salesforce"'),
        ("18:1", 'did you mean "acme"?'),
        ("20:1", 'did you mean "time.approved"?'),
    ):
        assert [line for line in said.splitlines() if f"{file}:{place}: error[" in line] != [], place
        assert word in said
    assert "quarantined: isthmus-broken: does not load: ModuleNotFoundError" in said, (
        "why no plugin brings it"
    )


def test_a_missing_credential_is_78_and_says_where_to_put_it(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "isthmus.toml").write_text(
        '[daemon]\nstate_dir = "state"\nsecrets_dir = "secrets"\nplugins = ["isthmus-runn"]\n'
        '[connectors.planner]\nplugin = "runn"\nentity = "e"\ntoken = { credential = "planner.token" }\n'
    )
    done = isthmus("run", "--config", str(config))
    fails(
        done,
        78,
        "isthmus.toml:8:1: error[config.missing-credential]",
        str(config / "secrets" / "planner.token"),
    )


@pytest.mark.parametrize(
    "command", [("run",), ("config", "check"), ("status",), ("event", "list", "--offline")]
)
def test_a_file_that_is_no_toml_is_78_with_its_place(site: Path, command: tuple[str, ...]) -> None:
    (site / "isthmus.toml").write_text('[daemon]\nstate_dir = "state\n')
    done = isthmus(*command)
    said = done.stdout + done.stderr
    assert (done.returncode, "Traceback" in said) == (78, False)
    assert "isthmus.toml" in said
    assert "line 2" in said or ":2:" in said


def test_config_check_finds_nothing_in_a_good_one(site: Path) -> None:
    done = isthmus("config", "check")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no problems" in done.stderr


def test_config_check_speaks_json(site: Path) -> None:
    file = site / "isthmus.toml"
    file.write_text(file.read_text().replace("poll_s", "pol_s"))
    done = isthmus("config", "check", "--output", "json")
    (problem,) = json.loads(done.stdout)
    assert (done.returncode, problem["code"], problem["line"]) == (78, "config.unknown-key", 8)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        pytest.param(store_errors.StoreFailed("fsync failed"), 74, "fsync failed", id="the disk failed"),
        pytest.param(store_errors.StoreFull("no space"), 74, "no space", id="the disk is full"),
        pytest.param(store_errors.SchemaTooNew(9, 3), 78, "install the newer one", id="an older release"),
        pytest.param(
            store_errors.StoreBusy("close it"), 75, "close it", id="a foreign program holds the file"
        ),
        pytest.param(
            CannotListen("[::1]:80", PermissionError(13, "Permission denied")),
            77,
            "[::1]:80",
            id="a port below 1024",
        ),
        pytest.param(
            PermissionError(13, "Permission denied", "/var/x"), 77, "/var/x: Permission", id="no right"
        ),
        pytest.param(KeyboardInterrupt(), 130, "", id="interrupted"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda error: error, lambda error: BaseExceptionGroup("", [error])])
def test_an_error_from_deep_inside_has_its_code_and_words(
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    says: str,
    wrap: Callable[[BaseException], BaseException],
) -> None:
    def app(arguments: list[str], **options: object) -> None:
        raise wrap(error)

    assert carry_out(app, []) == code
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said


def test_a_bug_is_70_one_line_and_a_file_to_send(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)

    def app(arguments: list[str], **options: object) -> None:
        raise KeyError("lane")

    assert carry_out(app, []) == 70
    said = capsys.readouterr().err
    assert "this is a bug in isthmus: KeyError: 'lane'" in said
    assert "Traceback" not in said
    (report,) = tmp_path.iterdir()
    assert str(report) in said
    assert "Traceback" in report.read_text()


APPROVED = (
    b'{"type":"time.approved/1","source":"psa","occurred_at":"2026-10-01T09:00:00Z","entity":"e",'
    b'"entry":"psa:1","revision":1,"project":"crm:p","resource":"psa:r","service":"consulting",'
    b'"worked_on":"2026-10-01","hours":"2.00","billable":true,"approved_on":"2026-10-01"}\n'
)


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_bytes(APPROVED)
    with subprocess.Popen(
        [sys.executable, "-m", "isthmus", "billing", "preview", str(facts), "--output", "jsonl"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        assert command.wait(15) == 141
        assert command.stderr.read() == ""


def test_help_is_quick_because_it_loads_nothing_of_the_daemon() -> None:
    probe = (
        "import sys; from isthmus.cli.commands import app; from isthmus.cli.exits import carry_out;"
        "carry_out(app, ['--help']); carry_out(app, ['event', 'replay', '--help']);"
        "print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'trio', 'httpx', 'starlette', 'hypercorn', 'sqlite3', 'aiosqlite', 'markdown_it'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_second_interrupt_of_a_simulator_is_not_needed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "isthmus", "simulate", "runn"], stderr=subprocess.PIPE, text=True
    ) as simulator:
        assert simulator.stderr is not None
        assert "runn on http://127.0.0.1:" in simulator.stderr.readline()
        simulator.send_signal(signal.SIGINT)
        assert simulator.wait(15) == 130
        assert "Traceback" not in simulator.stderr.read()


def test_a_port_that_is_taken_is_75() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fails(isthmus("simulate", "runn", "--port", str(port)), 75, f"127.0.0.1:{port}")


def test_the_environment_names_the_configuration_for_a_real_command(site: Path) -> None:
    done = cli(site, "config", "check")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, f"{site}: no problems")
