"""What finance asks a running daemon: why is this not billed, and would today's rules say the same?"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.rig import Daemon, write_site
from tests.cli.inside import Done, isthmus


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """It has read one approved entry of a project nobody knows."""
    site = write_site(tmp_path_factory.mktemp("site"), more='[lanes.billing]\nprocess = "billing"\n')
    daemon = Daemon(site)
    try:
        daemon.wait_ready()
        for _ in range(200):
            if ask_json(daemon, "event", "list", "--kind", "charge.held"):
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


def test_an_entry_that_is_not_billed_is_told_why_and_what_would_change_it(daemon: Daemon) -> None:
    done = ask(daemon, "billing", "explain", "acme:1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "acme:1",
        "  2.5 held: no_project, project acme:p is not known; sign its contract, or correct the entry; "
        "it ends when the project is created",
    ]
    assert [line.split("  ")[1] for line in lines if line.startswith("20")] == [
        "time.approved",
        "charge.held",
    ]
    ((explained),) = ask_json(daemon, "billing", "explain", "acme:1")
    assert [(part["state"], part["reason"]) for part in explained["parts"]] == [("held", "no_project")]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        pytest.param("crm:nobody", "no system knows 'crm:nobody'", id="a key nobody knows"),
        pytest.param("billing:chaaaaaaaaaaaaaaaaaaaa", "no system knows", id="a charge that never was"),
        pytest.param("e|*|2026-10-01", "no system knows", id="what is no key of a fact"),
    ],
)
def test_what_cannot_be_explained_is_1_and_told(daemon: Daemon, key: str, says: str) -> None:
    done = ask(daemon, "billing", "explain", key)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr


def test_the_log_is_derived_again_while_the_daemon_runs_on(daemon: Daemon) -> None:
    (verdict,) = ask_json(daemon, "audit", "replay")
    assert (verdict["process"], verdict["equal"], verdict["differences"]) == ("billing", 1, [])
    table = ask(daemon, "audit", "replay", "--process", "billing").stdout.splitlines()
    assert table[0] == "shadow replay: derived again, beside what was recorded"
    assert table[2].split() == ["billing", "1", "1", "0", "0", "0", "0"]


def test_facts_behind_a_number_are_left_out_with_what_they_led_to(daemon: Daemon) -> None:
    (verdict,) = ask_json(daemon, "audit", "replay", "--until", "0")
    assert (verdict["read"], verdict["equal"], verdict["differences"]) == (0, 0, [])
    (verdict,) = ask_json(daemon, "audit", "replay", "--until", "1")
    assert (verdict["read"], verdict["equal"], verdict["differences"]) == (1, 1, [])


def test_the_books_are_proven_while_the_daemon_runs_on(daemon: Daemon) -> None:
    verdict = ask_json(daemon, "audit", "verify")
    assert (verdict["findings"], verdict["events"] + verdict["unsealed"]) == ([], 2)
    assert ask(daemon, "audit", "verify").stdout.startswith("the books are whole: ")


def test_a_month_with_held_work_is_a_no_go_and_is_not_signed_blindly(daemon: Daemon) -> None:
    done = ask(daemon, "close", "check", "2026-10")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].split()[:4] == ["held", "no_project", "1", "2.5"]
    assert done.stdout.splitlines()[-1] == "2026-10: no-go; its period is open in the receivables"
    refused = ask(daemon, "close", "sign", "2026-10", "--reason", "month end")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "2026-10 is not ready: 1 things stand in the way" in refused.stderr
    assert ask(daemon, "close", "check", "October").returncode == 1
    assert ask(daemon, "close", "check", "2026-09", "--entity", "acme-us").returncode == 0


def test_a_process_that_does_not_run_is_a_wrong_use(daemon: Daemon) -> None:
    done = ask(daemon, "audit", "replay", "--process", "burn")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no lane runs the process 'burn'" in done.stderr


def test_nobody_replays_the_store_beside_the_daemon(daemon: Daemon) -> None:
    assert ask(daemon, "audit", "replay", "--offline").returncode == 75


def test_before_anything_was_stored_there_is_nothing_to_replay(tmp_path: Path) -> None:
    site = write_site(tmp_path, more='[lanes.billing]\nprocess = "billing"\n')
    done = isthmus("audit", "replay", "--offline", ISTHMUS_CONFIG=str(site))
    assert done.returncode == 1
    assert "nothing was ever stored here" in done.stderr
