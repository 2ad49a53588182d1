"""A daemon as its own process, between plugins that are fabricated for a test: nothing of a vendor runs."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from textwrap import dedent
from typing import Any

__all__ = ["Daemon", "cli", "environment", "install", "write_site"]

PATIENCE_S = 20.0

ACME = """
    from contextlib import asynccontextmanager
    from datetime import UTC, date, datetime
    from decimal import Decimal
    from pathlib import Path

    import msgspec
    import trio
    from isthmus.events import TimeApproved
    from isthmus.sdk import Connector, DeliveryClass, Opened, Page, Receipt, Rejected, Sink, Source, hookimpl


    class Settings(msgspec.Struct, frozen=True):
        calls: str
        slow_s: float = 0.0
        refuses: bool = False


    class Things(Source):
        streams = ("things",)

        async def pull(self, stream, cursor):
            if cursor is not None:
                return Page(events=[], next=cursor)
            entry = TimeApproved(
                source="acme", occurred_at=datetime(2026, 10, 1, 9, tzinfo=UTC), entity="acme-us",
                entry="acme:1", revision=1, project="acme:p", resource="acme:r", service="consulting",
                worked_on=date(2026, 10, 1), approved_on=date(2026, 10, 1),
                hours=Decimal("2.5"), billable=True,
            )
            return Page(events=[entry], next=b"1")


    class Takes(Sink):
        accepts = frozenset({"time.approved"})

        def __init__(self, settings):
            self.settings = settings

        def delivery_class(self, event):
            return DeliveryClass.A

        async def deliver(self, delivery):
            with Path(self.settings.calls).open("a") as calls:
                calls.write("begun\\n")
            await trio.sleep(self.settings.slow_s)
            if self.settings.refuses:
                raise Rejected("no such project over there", reason="missing", peer_words="P-404")
            with Path(self.settings.calls).open("a") as calls:
                calls.write("ended\\n")
            return Receipt(remote_id="T-1")


    class Acme(Connector):
        name, title, Settings = "acme", "Acme", Settings

        @asynccontextmanager
        async def open(self, settings, ctx):
            yield Opened(source=Things(), sink=Takes(settings))


    @hookimpl
    def isthmus_connectors():
        return [Acme]
"""


def install(where: Path, name: str, code: str) -> None:
    """Fabricate an installed distribution: a module and its dist-info."""
    module = name.replace("-", "_")
    (where / f"{module}.py").write_text(dedent(code))
    info = where / f"{module}-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(f"[isthmus]\n{name} = {module}\n")


def write_site(
    where: Path, *, settings: str = "", route: str = "time.approved", more: str = "", acme: str = ACME
) -> Path:
    """A configuration with one lane, and three plugins: a good, a broken and an unlisted one.

    Args:
        settings: Further lines of the connector's table.
        more: Further tables.

    Returns:
        The directory of the configuration; ``plugins`` beside it is to be on the path.
    """
    plugins = where / "plugins"
    plugins.mkdir()
    install(plugins, "isthmus-acme", acme)
    install(plugins, "isthmus-broken", "import no_such_module_anywhere")
    install(plugins, "isthmus-unlisted", "raise SystemExit('imported though nobody allowed it')")
    config = where / "config"
    config.mkdir()
    (config / "isthmus.toml").write_text(
        dedent(f"""\
        [daemon]
        state_dir = "{where / "state"}"
        ops_listen = "127.0.0.1:0"
        plugins = ["isthmus-acme", "isthmus-broken"]
        [connectors.acme]
        plugin = "acme"
        entity = "acme-us"
        poll_s = 7.0
        calls = "{where / "calls"}"
        """)
        + settings
        + dedent(f"""
        [lanes.out]
        connector = "acme"
        [routes]
        "{route}" = ["out"]
        """)
        + more
    )
    return config


def environment(config: Path, **more: str) -> dict[str, str]:
    """What a child needs to find the fabricated plugins; no variable of ours leaks into it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ISTHMUS")}
    path = os.pathsep.join([str(config.parent / "plugins"), *sys.path])
    return {**kept, "PYTHONPATH": path, "COLUMNS": "100", **more}


def cli(config: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would; ``$ISTHMUS_CONFIG`` names the configuration."""
    return subprocess.run(
        [sys.executable, "-m", "isthmus", *arguments],
        env=environment(config, ISTHMUS_CONFIG=str(config), **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Daemon:
    """``isthmus run`` in a process of its own; what it says lands in a file."""

    def __init__(self, config: Path, **env: str) -> None:
        self.config = config
        self.log = config.parent / "daemon.log"
        self.socket = config.parent / "state" / "admin.sock"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "isthmus", "run", "--config", str(config)],
                env=environment(config, **env),
                stdout=log,
                stderr=log,
            )

    def said(self) -> list[str]:
        return self.log.read_text().splitlines()

    def wait_said(self, *words: str) -> str:
        """The first line with all the words, as soon as there is one."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            for line in self.said():
                if all(word in line for word in words):
                    return line
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError(f"not said: {words}\n{self.log.read_text()}")

    def wait_ready(self) -> None:
        self.wait_said("ready")

    @property
    def url(self) -> str:
        return next(line for line in self.said() if line.startswith("ops ")).removeprefix("ops ")

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of an answer of the ops listener."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self) -> dict[str, Any]:
        done = cli(self.config, "status", "--output", "json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_end(self, within_s: float = PATIENCE_S) -> int:
        return self.process.wait(within_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
