"""What a daemon costs that has nothing to do: five connectors open, every stream read once a minute.

The systems are the demo's, in this process; the daemon is a process of its own, as under systemd, and is
looked at from outside.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import trio

from isthmus.demo.process import DaemonProcess
from isthmus.demo.settings import write_configuration
from isthmus.demo.world import opened

POLL_S = 60.0
SETTLE_S = 10.0
MEASURE_S = POLL_S  # so that every stream is read once while we look


async def idle(directory: Path) -> dict[str, float]:
    """Start a daemon over five systems without news; its share of one core and its memory in MB."""
    async with opened() as world:
        write_configuration(directory, world)
        settings = directory / "isthmus.toml"
        text = settings.read_text(encoding="utf-8")
        patient = text.replace("poll_s = 0.5", f"poll_s = {POLL_S}")
        assert patient.count(f"poll_s = {POLL_S}") == len(world.systems), "the demo's poll_s changed its form"
        settings.write_text(patient, encoding="utf-8")
        daemon = DaemonProcess(directory)
        await daemon.start()
        try:
            await trio.sleep(SETTLE_S)
            states = [each["state"] for each in (await daemon.ask("/v1/status"))["connectors"]]
            assert states == ["running"] * len(world.systems), f"not all connectors run: {states}"
            before = cpu_s(daemon.pid)
            began = trio.current_time()
            await trio.sleep(MEASURE_S)
            spent = cpu_s(daemon.pid) - before
            elapsed = trio.current_time() - began
            memory = rss_mb(daemon.pid)
        finally:
            await daemon.stop()
    return {"cpu_percent": 100 * spent / elapsed, "rss_mb": memory, "connectors": len(states)}


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, in seconds."""
    fields: Sequence[str] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MB of 10^6 bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    print(json.dumps(trio.run(idle, parser.parse_args().directory)))


if __name__ == "__main__":
    main()
