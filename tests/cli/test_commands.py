"""What people ask a running daemon and tell it to do; one daemon, whose only delivery is refused."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.rig import Daemon, write_site
from tests.cli.inside import Done, isthmus

Ask = Callable[..., Done]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(write_site(tmp_path_factory.mktemp("site"), settings="refuses = true\n"))
    try:
        daemon.wait_ready()
        for _ in range(200):
            if ask_json(daemon, "exception", "list"):
                break
            time.sleep(0.05)
        yield daemon
    finally:
        daemon.kill()


def ask(daemon: Daemon, *arguments: str) -> Done:
    return isthmus(*arguments, ISTHMUS_CONFIG=str(daemon.config), COLUMNS="100")


def ask_json(daemon: Daemon, *arguments: str) -> Any:
    done = ask(daemon, *arguments, "--output", "json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


COMMANDS = [
    pytest.param(("status",), id="status"),
    pytest.param(("event", "list"), id="event list"),
    pytest.param(("event", "show", "1"), id="event show"),
    pytest.param(("event", "trace", "acme:p"), id="event trace"),
    pytest.param(("exception", "list"), id="exception list"),
    pytest.param(("exception", "show", "1"), id="exception show"),
    pytest.param(("cursor", "show"), id="cursor show"),
    pytest.param(("lane", "list"), id="lane list"),
    pytest.param(("lane", "show", "out"), id="lane show"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_programs_get_the_same_as_json_and_as_lines(daemon: Daemon, command: tuple[str, ...]) -> None:
    whole = ask_json(daemon, *command)
    lines = [json.loads(line) for line in ask(daemon, *command, "--output", "jsonl").stdout.splitlines()]
    if isinstance(whole, list):
        assert lines == whole
        assert whole
    else:
        (one,) = lines
        assert one.keys() == whole.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_people_get_a_table_that_fits(daemon: Daemon, command: tuple[str, ...]) -> None:
    done = ask(daemon, *command)
    assert (done.returncode, done.stderr) == (0, "")
    if command[1:2] != ("show",) or command[0] == "cursor":
        assert max(map(len, done.stdout.splitlines())) <= 110, "a line of words may be longer than the table"


def test_status_is_one_screen(daemon: Daemon) -> None:
    told = ask(daemon, "status").stdout
    assert "ready" in told.splitlines()[0]
    assert "1 events, 1 exceptions" in told
    assert "unbilled approved time: " in told
    assert "not in the planner yet: " in told
    assert "quarantined: isthmus-broken: does not load" in told
    (lane,) = ask_json(daemon, "status")["lanes"]
    assert (lane["lane"], lane["dead"], lane["owed"]) == ("out", 1, 0)


def test_time_whose_delivery_is_dead_but_whose_charge_is_not_is_still_in_flight(daemon: Daemon) -> None:
    assert {row["cause"] for row in ask_json(daemon, "status")["unbilled"] or ()} <= {"in_flight"}


def test_an_exception_has_the_peers_words(daemon: Daemon) -> None:
    (item,) = ask_json(daemon, "exception", "list", "--where", "out", "--error-class", "missing")
    assert (item["reason"], item["peer_words"]) == ("no such project over there", "P-404")
    assert ask_json(daemon, "exception", "list", "--error-class", "cap") == []


def test_an_event_is_shown_with_where_it_stands(daemon: Daemon) -> None:
    page = ask_json(daemon, "event", "show", "1")
    assert page["event"]["entry"] == "acme:1"
    assert [(lane["lane"], lane["state"]) for lane in page["lanes"]] == [("out", "dead")]
    assert ask_json(daemon, "event", "show", page["event"]["id"]) == page
    assert "✗ out" in ask(daemon, "event", "trace", "acme:1").stdout


def test_a_dry_run_changes_nothing_and_says_so_by_its_code(daemon: Daemon) -> None:
    before = ask_json(daemon, "exception", "list")
    done = ask(daemon, "exception", "retry", "--all", "--dry-run")
    assert (done.returncode, done.stdout) == (1, "1 exceptions match, 0 sent again\n")
    done = ask(daemon, "event", "replay", "--lane", "out", "--dry-run")
    assert (done.returncode, done.stdout) == (1, "1 events match, 1 would be scheduled, 0 refused\n")
    assert ask_json(daemon, "exception", "list") == before
    done = ask(daemon, "event", "replay", "--lane", "out", "--kind", "deal.won", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "0 events match, 0 would be scheduled, 0 refused\n")
    done = ask(daemon, "event", "replay", "--lane", "out", "--dry-run", "--output", "json")
    assert (done.returncode, json.loads(done.stdout)["dry_run"]) == (1, True)


def test_a_stream_is_read_again_and_what_is_known_is_not_counted_twice(daemon: Daemon) -> None:
    rewind = ("cursor", "rewind", "acme", "things", "--to-beginning")
    done = ask(daemon, *rewind, "--dry-run")
    assert (done.returncode, done.stdout[:42]) == (1, "acme things would stand at the beginning; ")
    (before,) = ask_json(daemon, "cursor", "show")
    assert ask(daemon, *rewind, "--reason", "late import").returncode == 0
    for _ in range(200):
        now = ask_json(daemon, "cursor", "show")
        if now and now[0]["moved_at"] > before["moved_at"]:
            break
        time.sleep(0.05)
    assert now[0]["position"] == before["position"]
    assert len(ask_json(daemon, "event", "list")) == 1


@pytest.mark.parametrize(
    ("command", "says"),
    [
        pytest.param(
            ("cursor", "rewind", "acme", "things", "--dry-run"), "say either --to TIME", id="no place"
        ),
        pytest.param(
            ("cursor", "rewind", "acme", "things", "--to-beginning"), "say why with --reason", id="no reason"
        ),
        pytest.param(
            ("exception", "edit", "1", "--set", "x", "--dry-run"), "write name=value", id="no change"
        ),
        pytest.param(("exception", "skip", "1", "--all"), "name exceptions, or --all", id="ids and all"),
        pytest.param(("exception", "resolve", "1", "--receipt", "x"), "say why with --reason", id="no why"),
        pytest.param(("event", "list", "--since", "noon"), "--since 'noon' is no time", id="no time"),
    ],
)
def test_a_wrong_use_is_told(daemon: Daemon, command: tuple[str, ...], says: str) -> None:
    done = ask(daemon, *command)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_an_edit_is_shown_before_it_is_made_and_never_of_money(daemon: Daemon) -> None:
    (item,) = ask_json(daemon, "exception", "list")
    edit = ("exception", "edit", str(item["id"]), "--dry-run", "--set")
    done = ask(daemon, *edit, 'service="design"')
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[1].split() == ["service", "consulting", "design"]
    refused = ask(daemon, *edit, "hours=1.00")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "hours is corrected where it comes from" in refused.stderr


def test_an_exception_is_assigned_and_noted(daemon: Daemon) -> None:
    (item,) = ask_json(daemon, "exception", "list")
    number = str(item["id"])
    assert (
        ask(daemon, "exception", "assign", "dora", number).stdout
        == "1 exceptions match, 1 assigned to dora\n"
    )
    assert ask(daemon, "exception", "note", number, "asked the vendor").returncode == 0
    page = ask_json(daemon, "exception", "show", number)
    assert (page["exception"]["owner"], page["notes"][0]["text"]) == ("dora", "asked the vendor")


def test_a_retry_is_sent_once_and_a_second_refusal_is_an_exception_again(daemon: Daemon) -> None:
    (item,) = ask_json(daemon, "exception", "list")
    calls = daemon.config.parent / "calls"
    before = calls.read_text().count("begun")
    done = ask(daemon, "exception", "retry", str(item["id"]), "--reason", "project was created")
    assert (done.returncode, done.stdout) == (0, "1 exceptions match, 1 sent again\n")
    for _ in range(200):
        if calls.read_text().count("begun") > before and ask_json(daemon, "exception", "list"):
            break
        time.sleep(0.05)
    assert calls.read_text().count("begun") == before + 1, "refused again, an exception again"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        pytest.param(("event", "show", "99"), "no event '99'", id="an event"),
        pytest.param(("event", "trace", "crm:nobody"), "no system knows 'crm:nobody'", id="a key"),
        pytest.param(
            ("event", "replay", "--lane", "inn", "--dry-run"), "no delivery lane 'inn'", id="a lane"
        ),
        pytest.param(("exception", "retry", "99", "--dry-run"), "no open exception 99", id="an exception"),
        pytest.param(
            ("cursor", "rewind", "acme", "thangs", "--to-beginning", "--dry-run"),
            "acme has read no stream 'thangs'; cursors are: acme things",
            id="a stream",
        ),
        pytest.param(
            ("cursor", "rewind", "acme", "things", "--to", "2001-01-01", "--dry-run"),
            "nobody knows where acme things stood",
            id="a time before all",
        ),
        pytest.param(("resume", "acme", "--reason", "x"), "'acme' is not parked", id="what is not parked"),
    ],
)
def test_what_does_not_exist_is_1_and_told(daemon: Daemon, command: tuple[str, ...], says: str) -> None:
    done = ask(daemon, *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr


def test_nobody_opens_the_store_beside_the_daemon(daemon: Daemon) -> None:
    done = ask(daemon, "event", "list", "--offline")
    assert (done.returncode, done.stdout) == (75, "")
    assert f"daemon, pid {daemon.process.pid}" in done.stderr


FACTS = [
    '{"type":"project.created/1","source":"crm","occurred_at":"2026-10-01T08:00:00Z","entity":"e",'
    '"project":"crm:p","customer":"crm:k","name":"P","stage":"planned","contract":"crm:c"}',
    '{"type":"contract.signed/1","source":"crm","occurred_at":"2026-10-01T08:00:00Z","entity":"e",'
    '"contract":"crm:c","revision":1,"customer":"crm:k","project":"crm:p","title":"C","currency":"EUR",'
    '"signed_on":"2026-09-01","starts_on":"2026-09-01","time_zone":"Europe/Berlin","lines":'
    '[{"model":"time_and_materials","line":"T","services":["consulting"],"rates":{"consulting":"120.00"}}]}',
    '{"type":"time.approved/1","source":"psa","occurred_at":"2026-10-02T08:00:00Z","entity":"e",'
    '"entry":"psa:1","revision":1,"project":"crm:p","resource":"psa:r","service":"consulting",'
    '"worked_on":"2026-10-02","hours":"2.50","billable":true,"approved_on":"2026-10-02"}',
]


def test_a_contract_is_tried_before_it_goes_live(tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_text("\n".join(FACTS))
    done = isthmus("billing", "preview", str(facts), "--output", "jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    (charge,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (charge["type"], charge["amount"], charge["currency"]) == ("charge.determined/1", "300.00", "EUR")
    table = isthmus("billing", "preview", str(facts), COLUMNS="120").stdout.splitlines()
    assert table[1].split() == "charge.determined psa:1 r1 2.50 120.00 300.00 T 2026-10-02".split()


def test_colours_and_widths_of_a_terminal_do_not_reach_a_pipe(daemon: Daemon) -> None:
    assert "\x1b" not in ask(daemon, "status").stdout
