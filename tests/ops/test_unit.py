"""The systemd unit is valid, tight, and agrees with the daemon it starts."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from isthmus.config import load

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "isthmus.service"

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here"
)


def directive(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The unit with a program that exists on this machine, which is all that is changed."""
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE)
    unit = tmp_path / "isthmus.service"
    unit.write_text(text)
    return unit


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@needs_analyze
def test_systemd_finds_nothing_wrong_with_the_unit(here: Path) -> None:
    ran = analyze("verify", str(here))
    assert (ran.returncode, ran.stderr.strip()) == (0, "")


@needs_analyze
def test_mutant_a_misspelt_directive_is_noticed(here: Path) -> None:
    here.write_text(here.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in analyze("verify", str(here)).stderr


@needs_analyze
def test_the_unit_is_exposed_no_more_than_it_must(here: Path) -> None:
    ran = analyze("security", "--offline=true", "--threshold=12", str(here))
    assert ran.returncode == 0, ran.stdout[-500:]


@needs_analyze
def test_mutant_a_unit_without_its_system_call_filter_is_noticed(here: Path) -> None:
    here.write_text(re.sub(r"^SystemCallFilter=.*\n", "", here.read_text(), flags=re.MULTILINE))
    assert analyze("security", "--offline=true", "--threshold=12", str(here)).returncode != 0


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed here")
def test_the_services_user_can_be_made() -> None:
    file = ROOT / "systemd" / "isthmus.sysusers.conf"
    ran = subprocess.run(
        ["systemd-sysusers", "--dry-run", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "isthmus" in ran.stdout + ran.stderr


def test_a_stop_has_time_for_the_drain_and_the_longest_attempt_of_the_sample() -> None:
    config = load(ROOT / "config")
    longest = max(config.daemon.drain_s, *(lane.timeout_s for lane in config.lanes.values()))
    assert float(directive("TimeoutStopSec")[0]) > longest


def test_the_unit_opens_the_doors_the_sample_listens_at() -> None:
    config = load(ROOT / "config")
    assert config.services is not None
    ports = [address.rpartition(":")[2] for address in (config.daemon.ops_listen, config.services.listen)]
    assert directive("SocketBindAllow") == [f"tcp:{port}" for port in ports]


def test_the_units_directories_are_those_of_the_sample() -> None:
    daemon = load(ROOT / "config").daemon
    assert daemon.state_dir == Path("/var/lib") / directive("StateDirectory")[0]
    assert daemon.socket.parent == Path("/run") / directive("RuntimeDirectory")[0]


def test_codes_that_a_restart_cannot_mend_stop_the_service_and_are_in_the_runbook() -> None:
    codes = directive("RestartPreventExitStatus")[0].split()
    assert codes == ["2", "65", "75", "77", "78"]
    runbook = (ROOT / "systemd" / "README.md").read_text()
    assert [code for code in codes if f"| {code} | " not in runbook] == []
