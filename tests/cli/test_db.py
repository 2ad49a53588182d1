"""The database from the command line, with a daemon at work and without."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.rig import Daemon, write_site
from tests.cli.inside import Done, isthmus


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    config = write_site(tmp_path_factory.mktemp("site"))
    daemon = Daemon(config)
    try:
        daemon.wait_ready()
        yield config
    finally:
        daemon.kill()


def ask(site: Path, *arguments: str) -> Done:
    return isthmus(*arguments, ISTHMUS_CONFIG=str(site), COLUMNS="100")


def test_the_file_is_looked_at_while_the_daemon_works(site: Path) -> None:
    done = ask(site, "db", "check", "--full")
    assert (done.returncode, done.stdout, done.stderr) == (0, "the file is sound\n", "")
    assert json.loads(ask(site, "db", "check", "--output", "json").stdout)["problems"] == []


def test_a_backup_is_taken_checked_and_restored(site: Path, tmp_path: Path) -> None:
    target = tmp_path / "friday.db"
    done = ask(site, "db", "backup", "--to", str(target))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{target}: ")
    told = json.loads((tmp_path / "friday.db.json").read_text())
    assert told["sha256"] in done.stdout
    again = ask(site, "db", "backup", "--to", str(target))
    assert (again.returncode, again.stdout) == (1, "")
    assert "a backup never goes over anything" in again.stderr
    restored = ask(site, "db", "restore", str(target), "--into", str(tmp_path / "restored"))
    assert restored.returncode == 0
    assert f"{told['events']} events" in restored.stdout
    assert ask(site, "db", "restore", str(target), "--into", str(tmp_path / "restored")).returncode == 2


def test_without_a_name_it_goes_among_the_backups_of_the_state(site: Path) -> None:
    told = json.loads(ask(site, "db", "backup", "--output", "json").stdout)
    assert Path(told["file"]).parent == site.parent / "state" / "backups"
    assert Path(told["file"]).exists()


def test_a_backup_that_is_broken_is_65(site: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"not a database, and yet named like one" * 200)
    done = ask(site, "db", "restore", str(broken), "--into", str(tmp_path / "restored"))
    assert (done.returncode, done.stdout) == (65, "")
    assert done.stderr
    assert ask(site, "db", "restore", str(tmp_path / "no.db"), "--into", str(tmp_path / "r")).returncode == 2


def test_without_a_daemon_the_file_itself_is_asked(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    daemon = Daemon(site)
    daemon.wait_ready()
    daemon.kill()
    assert ask(site, "db", "check").stdout == "the file is sound\n"
    assert ask(site, "db", "backup", "--to", str(tmp_path / "b.db")).returncode == 0
