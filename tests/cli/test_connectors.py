"""What people ask about connectors: installed, needed, reachable, there, and alone on a fixture."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from isthmus.events import encode
from isthmus.events.samples import sample
from tests.app.rig import environment, install, write_site
from tests.cli.inside import Done, isthmus

CONNECTOR = ("list", "info", "check", "discover", "run")


@pytest.fixture(scope="module")
def runn() -> Iterator[str]:
    """A Runn account in a process of its own; its URL."""
    command = [sys.executable, "-m", "isthmus", "simulate", "runn", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        yield process.stderr.readline().split()[2].rstrip(";")
        process.kill()


def planner(where: Path, url: str, token: str = "", more: str = "") -> Path:
    """A configuration with one instance of Runn; its token is a file."""
    credentials = httpx.get(f"{url}/_sim").json()["credentials"] if not token else {"token": token}
    secrets = where / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "runn.token").write_text(credentials["token"])
    (secrets / "runn.token").chmod(0o600)
    (where / "isthmus.toml").write_text(
        f"""
        [daemon]
        state_dir = "state"
        secrets_dir = "secrets"
        plugins = ["isthmus-runn"]
        [connectors.planner]
        plugin = "runn"
        entity = "acme"
        base_url = "{url}"
        token = {{ credential = "runn.token" }}
        {more}
        """
    )
    return where


def ask(config: Path, *arguments: str) -> Done:
    return isthmus("connector", *arguments, ISTHMUS_CONFIG=str(config), COLUMNS="160")


def rows(done: Done) -> Any:
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", CONNECTOR)
def test_every_command_shows_an_example(command: str) -> None:
    done = isthmus("connector", command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Example: isthmus connector {command}" in " ".join(done.stdout.split())


# list


def test_the_list_says_who_may_run_and_who_uses_it_and_why_not(tmp_path: Path) -> None:
    config = planner(tmp_path, "http://127.0.0.1:9", token="t-12345678")
    told = {row["distribution"]: row for row in rows(ask(config, "list", "--output", "json"))}
    ours = told["isthmus-runn"]
    assert (ours["connector"], ours["state"], ours["instances"]) == ("runn", "allowed", ["planner"])
    assert (ours["version"], ours["api"], ours["reason"]) == ("0.1.0", "1.0", "")
    other = told["isthmus-netsuite"]
    assert (other["state"], other["version"]) == ("quarantined", "0.1.0")
    assert other["reason"] == "not on the allow-list (daemon.plugins)"
    lines = ask(config, "list", "--output", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == list(told.values())
    assert "planner" in ask(config, "list").stdout


def test_a_broken_plugin_is_listed_with_its_reason_and_an_unlisted_one_is_not_imported(
    tmp_path: Path,
) -> None:
    """In a process of its own: nothing else may have imported the fabricated plugins."""
    config = write_site(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "isthmus", "connector", "list", "--output", "json"],
        env=environment(config, ISTHMUS_CONFIG=str(config)),
        capture_output=True,
        text=True,
        check=True,
    )
    told = {row["distribution"]: row for row in json.loads(done.stdout)}
    assert told["isthmus-acme"]["state"] == "allowed"
    assert "no_such_module_anywhere" in told["isthmus-broken"]["reason"]
    assert "not on the allow-list" in told["isthmus-unlisted"]["reason"]


def test_without_a_configuration_all_that_is_installed_is_shown(tmp_path: Path) -> None:
    done = ask(tmp_path, "list", "--output", "json")
    assert {row["state"] for row in json.loads(done.stdout)} == {"installed"}
    assert "none is allowed to run" in done.stderr


# info


@pytest.mark.parametrize("plugin", ["kantata", "legacy-erp", "netsuite", "runn", "salesforce"])
def test_a_plugin_tells_what_it_offers_and_needs(plugin: str, tmp_path: Path) -> None:
    told = rows(ask(tmp_path, "info", plugin, "--output", "json"))
    assert (told["connector"], told["asked"]) == (plugin, "its simulator")
    assert {"source", "sink", "probe"} <= set(told["capabilities"])
    assert told["streams"]
    assert told["batch_max"] >= 1
    assert set(told["accepts"].values()) <= {"A", "B", "C"}, "a sample of each kind can be asked about"
    settings = {setting["name"]: setting for setting in told["settings"]}
    assert any(setting["about"] for setting in settings.values())
    assert all(setting["required"] == (setting["default"] is None) for setting in settings.values())


def test_a_setting_has_its_type_default_words_and_says_whether_it_is_secret(tmp_path: Path) -> None:
    settings = {
        each["name"]: each for each in rows(ask(tmp_path, "info", "netsuite", "-o", "json"))["settings"]
    }
    assert settings["account"]["required"] is True
    assert settings["auth"]["type"] == '"oauth2" or "tba"'
    assert settings["auth"]["default"] == '"oauth2"'
    assert settings["private_key"]["secret"] is True
    assert settings["subsidiaries"]["type"] == "table of text"
    assert settings["page_size"]["about"] == "Rows per SuiteQL page."


def test_an_instance_is_opened_with_its_own_settings_and_calls_nobody(tmp_path: Path) -> None:
    config = planner(tmp_path, "http://127.0.0.1:9", token="t-12345678", more="worst_commit_s = 7.0")
    told = rows(ask(config, "info", "planner", "--output", "json"))
    assert (told["asked"], told["worst_commit_s"]) == ("instance planner", 7.0)
    table = ask(config, "info", "planner").stdout
    assert table.startswith("Runn (resource and revenue planner) (runn), isthmus-runn 0.1.0, api 1.0")
    assert "t-12345678" not in table


def test_a_name_nobody_has_is_1_with_what_was_meant(tmp_path: Path) -> None:
    done = ask(tmp_path, "info", "netsuit")
    assert (done.returncode, done.stdout) == (1, "")
    assert "did you mean 'netsuite'?" in done.stderr


# check and discover


def test_a_peer_that_can_be_worked_with_is_0(tmp_path: Path, runn: str) -> None:
    done = ask(planner(tmp_path, runn), "check", "planner", "--output", "json")
    checks = rows(done)
    assert done.returncode == 0, checks
    assert checks
    assert all(check["ok"] for check in checks)


def test_a_wrong_credential_is_1_with_a_remedy_and_is_not_shown(tmp_path: Path, runn: str) -> None:
    done = ask(planner(tmp_path, runn, token="wrong-token-77"), "check", "planner")
    assert done.returncode == 1
    assert "wrong-token-77" not in done.stdout + done.stderr
    found = json.loads(ask(tmp_path, "check", "planner", "--output", "json").stdout)
    assert any(not check["ok"] and check["remedy"] for check in found)


def test_a_peer_that_does_not_answer_is_found_by_its_probe_and_75_without_one(tmp_path: Path) -> None:
    config = planner(tmp_path, "http://127.0.0.1:9", token="t-12345678")
    found = ask(config, "check", "planner")
    assert (found.returncode, found.stderr) == (1, "")
    assert "no connection" in found.stdout
    done = ask(config, "discover", "planner")
    assert (done.returncode, done.stdout) == (75, "")
    assert "no connection" in done.stderr


@pytest.mark.parametrize("command", ["check", "discover"])
def test_an_unknown_instance_is_1_and_a_wrong_configuration_78(tmp_path: Path, command: str) -> None:
    config = planner(tmp_path, "http://127.0.0.1:9", token="t-12345678")
    done = ask(config, command, "planer")
    assert (done.returncode, "did you mean 'planner'?" in done.stderr) == (1, True)
    (config / "secrets" / "runn.token").unlink()
    done = ask(config, command, "planner")
    assert (done.returncode, done.stdout) == (78, "")
    assert "runn.token" in done.stderr


def test_discover_shows_each_stream_with_what_its_first_page_holds(tmp_path: Path, runn: str) -> None:
    found = rows(ask(planner(tmp_path, runn), "discover", "planner", "--output", "json"))
    streams = {each["id"]: each["name"] for each in found if each["entity"] == "stream"}
    assert streams.keys() == {"assignments", "removals"}
    assert all(streams.values())
    assert "assignments" in ask(tmp_path, "discover", "planner").stdout


# run


FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
MANUAL = (Path(__file__).parents[2] / "plugins" / "README.md").read_text()


def of_manual(language: str) -> list[str]:
    return [code for spoken, code in FENCE.findall(MANUAL) if spoken == language]


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The connector of the vendor's manual is installed; its first fixture."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    install(plugins, "isthmus-acme", of_manual("python")[0])
    monkeypatch.syspath_prepend(str(plugins))
    monkeypatch.delitem(sys.modules, "isthmus_acme", raising=False)
    recorded: dict[str, Any] = json.loads(of_manual("json")[0])
    return recorded


def play(tmp_path: Path, plugin: str, fixture: Any, *more: str) -> Done:
    file = tmp_path / "fixture.json"
    file.write_text(fixture if isinstance(fixture, str) else json.dumps(fixture))
    return isthmus("connector", "run", plugin, "--fixture", str(file), *more, COLUMNS="160")


def test_the_manuals_fixture_becomes_canonical_events_without_a_network(
    tmp_path: Path, acme: dict[str, Any]
) -> None:
    """Its base URL is a vendor's real one: nothing is sent to it."""
    done = play(tmp_path, "acme", acme, "--output", "jsonl")
    assert (done.returncode, done.stderr) == (1, ""), "a row that cannot be translated is told by the code"
    event, refused = [json.loads(line) for line in done.stdout.splitlines()]
    assert (event["what"], event["where"], event["kind"]) == ("event", "milestones", "milestone.achieved")
    assert (event["key"], event["event"]["project"]) == ("trial:7", "trial:P1")
    assert (refused["what"], refused["key"]) == ("refused", "/milestones/8")
    assert json.loads(play(tmp_path, "acme", acme, "-o", "json").stdout) == [event, refused]
    del acme["exchanges"][0]["answer"]["body"]["rows"][1]
    assert play(tmp_path, "acme", acme).returncode == 0


def test_a_request_nobody_recorded_names_the_exchange_to_add(tmp_path: Path, acme: dict[str, Any]) -> None:
    acme["exchanges"][0]["request"]["query"] = {"since": "7"}
    done = play(tmp_path, "acme", acme)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the fixture has no answer to GET /milestones?since=0; add an exchange for it" in done.stderr


def test_a_setting_is_explained_by_the_sentence_below_it(tmp_path: Path, acme: dict[str, Any]) -> None:
    told = rows(ask(tmp_path, "info", "acme", "--output", "json"))
    assert told["asked"] == "nothing: it has no simulator, and no instance was named"
    token = {each["name"]: each for each in told["settings"]}["token"]
    assert (token["type"], token["secret"], token["required"]) == ("credential", True, True)
    assert token["about"] == "An API token that may read milestones."


def customers(count: int) -> list[dict[str, Any]]:
    return [
        {
            "type": "customer.changed/1",
            "source": "crm",
            "occurred_at": "2026-10-05T08:00:00Z",
            "entity": "acme",
            "customer": f"crm:{number}",
            "name": f"Customer {number}",
            "currency": "EUR",
        }
        for number in range(count)
    ]


def test_events_are_delivered_into_a_simulator_and_their_receipts_shown(tmp_path: Path) -> None:
    fixture = {"simulator": {"seed": 7}, "pull": [], "deliver": customers(2)}
    done = play(tmp_path, "runn", fixture, "--output", "jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["what"], line["key"]) for line in told] == [("receipt", "crm:0"), ("receipt", "crm:1")]
    assert all(line["detail"] for line in told)
    assert told[0]["event"]["type"] == "customer.changed/1"
    table = play(tmp_path, "runn", fixture).stdout.splitlines()
    assert table[0].split() == ["what", "where", "kind", "key", "detail"]


def test_users_of_a_simulator_act_before_it_is_read(tmp_path: Path) -> None:
    """What a connector reads is printed as canonical events, one per line."""
    done = play(tmp_path, "legacy-erp", {"simulator": {"do": [{"act": "dance"}]}})
    assert (done.returncode, done.stdout) == (65, "")
    assert "simulator.do[0]" in done.stderr
    assert "close_period" in done.stderr, "what it could do is named"
    close = {"act": "close_period", "period": "2026-09"}
    done = play(tmp_path, "legacy-erp", {"simulator": {"do": [close]}, "pull": ["periods"]}, "-o", "jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    (told,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (told["what"], told["where"], told["kind"]) == ("event", "periods", "period.closed")
    assert told["event"]["type"].startswith("period.closed/")


def test_a_delivery_that_cannot_be_made_is_1_and_an_event_that_is_none_65(tmp_path: Path) -> None:
    unknown = {**customers(1)[0], "type": "deal.won/1"}
    done = play(tmp_path, "runn", {"simulator": {}, "pull": [], "deliver": [unknown]})
    assert done.returncode == 65, "an event that is none names the field"
    assert "deliver[0]" in done.stderr
    period = json.loads(encode(sample("period.closed")))
    done = play(tmp_path, "runn", {"simulator": {}, "pull": [], "deliver": [period]}, "-o", "json")
    (told,) = json.loads(done.stdout)
    assert (done.returncode, told["what"]) == (1, "error")
    assert told["detail"] == "this connector does not take this kind"


@pytest.mark.parametrize(
    ("plugin", "fixture", "code", "says"),
    [
        pytest.param("nosuch", {"simulator": {}}, 2, "no plugin 'nosuch' is installed", id="no such plugin"),
        pytest.param("runn", "{", 65, "fixture.json: ", id="no JSON"),
        pytest.param("runn", {}, 65, "either exchanges or a simulator", id="neither world"),
        pytest.param("runn", {"exchange": []}, 65, "exchange", id="a field it has not"),
        pytest.param("runn", {"simulator": {}, "pull": ["nosuch"]}, 65, "no stream 'nosuch'", id="no stream"),
        pytest.param(
            "runn", {"simulator": {}, "settings": {"page_sise": 2}}, 78, '"page_sise"', id="a wrong setting"
        ),
        pytest.param("runn", {"exchanges": [{"request": {"path": "/"}}]}, 78, '"token"', id="a missing one"),
    ],
)
def test_a_fixture_that_is_wrong_says_where(
    plugin: str, fixture: Any, code: int, says: str, tmp_path: Path
) -> None:
    done = play(tmp_path, plugin, fixture)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fixture_file_that_is_not_there_is_2() -> None:
    done = isthmus("connector", "run", "runn", "--fixture", "/nowhere.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/nowhere.json: No such file" in done.stderr
