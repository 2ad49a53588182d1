"""`isthmus run` as systemd sees it: what it serves, whom it refuses, and how it ends."""

import math
import resource
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.app.rig import Daemon, cli, write_site


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all tests that only look."""
    daemon = Daemon(write_site(tmp_path_factory.mktemp("site")))
    try:
        daemon.wait_ready()
        yield daemon
    finally:
        daemon.kill()


def wait_until(holds: object, within_s: float = 15.0) -> None:
    assert callable(holds)
    ends = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends, "not in time"
        time.sleep(0.05)


def scraped(daemon: Daemon) -> dict[str, float]:
    """Every sample of a real scrape: name with labels to value."""
    status, text = daemon.get("/metrics")
    assert status == 200
    return {
        sample.name + "".join(f",{key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_it_says_where_it_listens_and_then_that_it_is_ready(running: Daemon) -> None:
    said = [line for line in running.said() if not line.startswith("<")]
    assert said == [f"ops {running.url}", f"admin {running.socket}", "ready"]
    assert running.url.startswith("http://127.0.0.1:")


def test_it_lives_and_is_ready_though_a_plugin_is_broken(running: Daemon) -> None:
    assert running.get("/livez") == (200, "livez check passed\n")
    status, text = running.get("/readyz?verbose")
    assert (status, "[+]started ok" in text, "[+]not-draining ok" in text) == (200, True, True)
    status_words = running.status()
    assert status_words["ready"]
    assert "no_such_module_anywhere" in status_words["quarantined"]["isthmus-broken"]
    assert status_words["quarantined"]["isthmus-unlisted"].startswith("not on the allow-list")
    assert [line["state"] for line in status_words["connectors"]] == ["running"]
    running.wait_said("plugin.quarantined", "isthmus-broken")


def test_a_scrape_shows_the_poll_interval_of_the_configuration_and_the_time_of_writes(
    running: Daemon,
) -> None:
    wait_until(lambda: "isthmus_poll_interval_seconds,connector=acme,stream=things" in scraped(running))
    values = scraped(running)
    assert values["isthmus_poll_interval_seconds,connector=acme,stream=things"] == 7
    assert values["isthmus_db_write_duration_seconds_count"] > 0
    assert values["isthmus_connector_info,api=1.0,connector=acme,plugin=acme,plugin_version=0.3"] == 1


def test_unbilled_time_is_the_same_in_the_scrape_and_in_status(running: Daemon) -> None:
    series = "isthmus_unbilled_approved_hours,age=gt_7d,cause=in_flight"

    def counted() -> bool:
        value = scraped(running)[series]
        return not math.isnan(value) and value > 0

    wait_until(counted)
    assert scraped(running)[series] == 2.5
    assert scraped(running)[series.replace("hours", "entries")] == 1
    assert running.status()["unbilled"] == [
        {"age": "gt_7d", "cause": "in_flight", "entries": 1, "hours": "2.5"}
    ]
    table = cli(running.config, "status")
    assert "unbilled approved time: in flight 2.5 h in 1 entries (1 for more than 7 days)" in table.stdout
    assert "quarantined: isthmus-broken: does not load" in table.stdout


def test_the_admin_socket_is_for_owner_and_group(running: Daemon) -> None:
    assert stat.S_IMODE(running.socket.stat().st_mode) == 0o660


def test_a_second_daemon_is_refused_at_once_and_the_first_one_goes_on(running: Daemon) -> None:
    before = _children_cpu_s()
    refused = cli(running.config, "run")
    took_s = _children_cpu_s() - before
    assert refused.returncode == 75
    assert f"is held by daemon, pid {running.process.pid}" in refused.stderr
    assert "Traceback" not in refused.stderr
    # Of the processor's time: on a busy machine an interpreter alone may wait for longer than this.
    assert took_s < 1.0
    assert running.get("/readyz")[0] == 200


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_hangup_changes_nothing_and_is_told(running: Daemon) -> None:
    running.signal(signal.SIGHUP)
    running.wait_said("reload.ignored", "restart")
    assert running.process.poll() is None
    assert running.get("/readyz")[0] == 200


def test_systemd_hears_ready_the_watchdog_and_stopping(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(15)
        config = write_site(tmp_path)
        daemon = Daemon(config, NOTIFY_SOCKET=str(address), WATCHDOG_USEC="200000")
        try:
            heard: list[str] = []
            while not any(told.startswith("READY=1") for told in heard) or heard.count("WATCHDOG=1") < 3:
                heard.append(manager.recv(4096).decode())
            assert "STATUS=1 connectors, 1 lanes" in next(told for told in heard if "READY" in told)
            daemon.signal(signal.SIGTERM)
            while not heard[-1].startswith("STOPPING=1"):
                heard.append(manager.recv(4096).decode())
            assert daemon.wait_end() == 0
        finally:
            daemon.kill()
    assert not daemon.socket.exists()


def test_a_stop_finishes_the_delivery_in_hand_and_keeps_its_receipt(tmp_path: Path) -> None:
    daemon = Daemon(write_site(tmp_path, settings="slow_s = 1.5\n"))
    calls = tmp_path / "calls"
    try:
        wait_until(calls.exists)
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: "daemon.draining" in daemon.log.read_text())
        assert calls.read_text() == "begun\n", "the stop came while the call was on its way"
        assert daemon.get("/readyz")[0] == 503
        assert daemon.wait_end() == 0
    finally:
        daemon.kill()
    assert calls.read_text() == "begun\nended\n"
    shown = cli(daemon.config, "event", "show", "1", "--offline")
    assert '"remote_id": "T-1"' in shown.stdout, shown.stderr


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    daemon = Daemon(write_site(tmp_path, settings="slow_s = 25.0\n"))
    try:
        wait_until((tmp_path / "calls").exists)
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: "daemon.draining" in daemon.log.read_text())
        assert daemon.process.poll() is None, "the first one waits for the call in hand"
        daemon.signal(signal.SIGTERM)
        assert daemon.wait_end(5) == -signal.SIGTERM
    finally:
        daemon.kill()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(
            {"route": "charge.determined"},
            'isthmus.toml:14:24: "charge.determined" is routed to lane "out", but connector "acme" (acme) '
            "does not take it; it takes time.approved",
            id="a route of a kind the sink does not take",
        ),
        pytest.param(
            {"settings": 'read = ["things", "thinsg"]\n'},
            'isthmus.toml:10:1: connector "acme" (acme) has no stream "thinsg"; it has things',
            id="a stream the source does not have",
        ),
    ],
)
def test_what_a_connector_does_not_offer_parks_it_with_the_place_in_the_configuration(
    tmp_path: Path, spoil: dict[str, str], says: str
) -> None:
    daemon = Daemon(write_site(tmp_path, **spoil))
    try:
        daemon.wait_ready()
        daemon.wait_said("actor.parked")
        told = daemon.status()
        (connector,) = told["connectors"]
        assert connector["state"] == "parked"
        assert says in connector["reason"]
        assert len([warning for warning in told["warnings"] if says in warning]) == 1
        assert daemon.get("/readyz")[0] == 200, "a parked connector is no reason to restart"
    finally:
        daemon.kill()


def test_a_port_that_is_taken_is_told_in_words(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = write_site(tmp_path)
        file = config / "isthmus.toml"
        port = taken.getsockname()[1]
        file.write_text(file.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        done = cli(config, "run")
    assert (done.returncode, "Traceback" in done.stderr) == (75, False)
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
