"""Figures of the process itself, read from ``/proc/self`` only.

prometheus_client's own collector reads ``/proc/stat``, which the unit's ``ProcSubset=pid`` hides, and then
shows nothing at all. These stay.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

__all__ = ["ProcessGauges"]

_PROC = Path("/proc/self")
_START_FIELD = 19  # ``starttime``, counted from the state letter that follows the name


class ProcessGauges(Collector):
    """Start time, resident memory and open files."""

    def __init__(self) -> None:
        self._started = _started_at()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        resident = int((_PROC / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        files = sum(1 for _ in (_PROC / "fd").iterdir())
        for name, text, value in (
            ("start_time_seconds", "When the process started", self._started),
            ("resident_memory_bytes", "Memory held", resident),
            ("open_fds", "Files and sockets open", files),
        ):
            yield GaugeMetricFamily(f"isthmus_process_{name}", text, value=value)


def _started_at() -> float:
    """Seconds since the epoch. Ticks since boot need no file but our own when the clock tells the boot."""
    stat = (_PROC / "stat").read_text()
    ticks = int(stat.rpartition(")")[2].split()[_START_FIELD])
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - (since_boot - ticks / os.sysconf("SC_CLK_TCK"))
