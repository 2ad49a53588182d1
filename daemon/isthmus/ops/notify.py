"""Tells systemd how the service is: the ``sd_notify`` protocol, without its library.

Outside systemd (no ``NOTIFY_SOCKET``) every call does nothing.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping

__all__ = ["Notifier"]

log = logging.getLogger(__name__)


class Notifier:
    """Sends states to the service manager. A full or vanished socket is never the daemon's end.

    ``watchdog`` is to be called only after the loop turned and the writer answered; a thread of its own
    would go on calling while the daemon hangs.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.watchdog_every_s = _watchdog_every_s(environ)
        """How often to call `watchdog`: half of what the unit allows; None when it is off."""

    @property
    def active(self) -> bool:
        """Whether a service manager listens."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """The daemon is up: migrated, plugins loaded, lanes running. Also after a reload."""
        self._send("READY=1", f"STATUS={_line(status)}" if status else "")

    def reloading(self) -> None:
        """A reload began; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def watchdog(self) -> None:
        """The daemon is alive."""
        self._send("WATCHDOG=1")

    def stopping(self, status: str = "") -> None:
        """The daemon drains and will exit."""
        self._send("STOPPING=1", f"STATUS={_line(status)}" if status else "")

    def extend(self, seconds: float) -> None:
        """Starting or stopping takes this much longer, such as a migration of a big database."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def _send(self, *states: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is in the abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        message = "\n".join(state for state in states if state).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(message, address)
        except OSError:
            log.debug("notify.failed", exc_info=True)


def _watchdog_every_s(environ: Mapping[str, str]) -> float | None:
    wanted, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not wanted.isdigit() or int(wanted) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(wanted) / 2_000_000


def _line(text: str) -> str:
    return " ".join(text.split())
