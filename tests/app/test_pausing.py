"""A lane that a person stopped: it owes on, sends nothing, and a restart does not let it go."""

import json
import signal
from pathlib import Path
from typing import Any

from tests.app.rig import Daemon, write_site
from tests.cli.inside import Done, isthmus


def cli(config: Path, *arguments: str) -> Done:
    return isthmus(*arguments, ISTHMUS_CONFIG=str(config), COLUMNS="100")


def the_lane(config: Path, *, owes: bool) -> dict[str, Any]:
    """How the lane stands, as soon as it owes something, or nothing."""
    for _ in range(400):
        done = cli(config, "lane", "show", "out", "--output", "json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        if bool(found["owed"]) == owes:
            return found
    raise AssertionError(found)


def test_a_paused_lane_stays_so_over_a_restart_until_somebody_lets_it_go_on(tmp_path: Path) -> None:
    config = write_site(tmp_path)
    file = config / "isthmus.toml"
    whole = file.read_text()
    file.write_text(whole.replace("poll_s = 7.0", "poll_s = 7.0\nread = []"))
    daemon = Daemon(config)
    try:
        daemon.wait_ready()
        assert cli(config, "lane", "pause", "out").returncode == 2, "nobody said why"
        done = cli(config, "lane", "pause", "out", "--reason", "the ledger moves")
        assert done.returncode == 0, done.stderr
        again = cli(config, "lane", "pause", "out", "--reason", "as well")
        assert again.returncode != 0
        assert "is paused already, by" in again.stderr
    finally:
        daemon.signal(signal.SIGTERM)
        daemon.wait_end()
    file.write_text(whole)
    daemon.log.unlink()
    daemon = Daemon(config)
    try:
        daemon.wait_ready()
        lane = the_lane(config, owes=True)
        assert lane["state"] == "paused"
        assert lane["reason"].endswith(": the ledger moves")
        assert not (tmp_path / "calls").exists()
        assert cli(config, "lane", "resume", "out", "--reason", "it moved").returncode == 0
        assert the_lane(config, owes=False)["state"] == "running"
        assert (tmp_path / "calls").read_text() == "begun\nended\n"
        refused = cli(config, "lane", "resume", "out", "--reason", "it moved")
        assert "is not paused" in refused.stderr
    finally:
        daemon.kill()
