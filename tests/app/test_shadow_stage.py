"""A lane in shadow that goes live, as an admin does it: edit, restart, compare, one command."""

import json
import signal
from pathlib import Path

from tests.app.rig import ACME, Daemon, write_site
from tests.cli.inside import Done, isthmus


def cli(config: Path, *arguments: str) -> Done:
    return isthmus(*arguments, ISTHMUS_CONFIG=str(config), COLUMNS="100")


MATCHING = ACME.replace("import Connector,", "import Candidate, Connector,").replace(
    "        async def deliver(self",
    """        async def match(self, events):
            receipts = {event.id: Receipt(remote_id="OLD-1") for event in events}
            return [Candidate(remote_id="OLD-1", stands_for=receipts)]

        async def deliver(self""",
)


def test_the_stage_is_edited_the_lane_stands_still_and_goes_live_by_one_command(tmp_path: Path) -> None:
    config = write_site(tmp_path, acme=MATCHING)
    file = config / "isthmus.toml"
    live = file.read_text()
    file.write_text(live.replace("[lanes.out]", '[lanes.out]\nstage = "shadow"'))
    daemon = Daemon(config)
    try:
        daemon.wait_ready()
        report = _when_decided(config)
        assert [(line["verdict"], line["records"]) for line in report["lines"]] == [("agree", ["OLD-1"])]
        table = cli(config, "shadow", "report", "out", "--all").stdout
        assert "lane out, shadow" in table
        assert "OLD-1" in table
        (line,) = cli(config, "shadow", "report", "--output", "jsonl").stdout.splitlines()
        assert (json.loads(line)["lane"], json.loads(line)["verdict"]) == ("out", "agree")
        shown = cli(config, "event", "show", "1", "--output", "json")
        assert [lane["state"] for lane in json.loads(shown.stdout)["lanes"]] == ["shadow"]
        early = cli(config, "lane", "go-live", "out", "--reason", "now")
        assert early.returncode != 0
        assert 'write stage = "live" under [lanes.out] and restart' in early.stderr
    finally:
        daemon.signal(signal.SIGTERM)
        daemon.wait_end()
    file.write_text(live)
    daemon = Daemon(config)
    try:
        daemon.wait_said("decided in shadow")
        (lane,) = daemon.status()["lanes"]
        assert (lane["state"], lane["shadowed"]) == ("parked", 1)
        unsaid = cli(config, "lane", "go-live", "out")
        assert unsaid.returncode == 2
        assert "say why with --reason" in unsaid.stderr
        rehearsed = cli(config, "lane", "go-live", "out", "--dry-run")
        assert rehearsed.returncode == 1
        assert "1 would be adopted, 0 sent, 0 left to a person" in rehearsed.stdout
        done = cli(config, "lane", "go-live", "out", "--reason", "the old one was stopped")
        assert done.returncode == 0, done.stderr
        assert "1 were adopted" in done.stdout
        (lane,) = daemon.status()["lanes"]
        assert (lane["state"], lane["stage"], lane["shadowed"]) == ("running", "live", 0)
        shown = cli(config, "event", "show", "1", "--output", "json")
        (where,) = json.loads(shown.stdout)["lanes"]
        assert (where["remote_id"], where["state"]) == ("OLD-1", "delivered")
        assert not (tmp_path / "calls").exists(), "nothing was ever sent"
    finally:
        daemon.kill()


def _when_decided(config: Path) -> dict[str, list[dict[str, object]]]:
    """The report, as soon as the lane has decided something."""
    for _ in range(400):
        done = cli(config, "shadow", "report", "--output", "json")
        (report,) = json.loads(done.stdout)
        if report["lines"]:
            assert done.returncode == 0, "it agrees"
            found: dict[str, list[dict[str, object]]] = report
            return found
    raise AssertionError("nothing was decided")
