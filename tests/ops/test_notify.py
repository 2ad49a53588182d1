"""What systemd is told, on a socket of our own."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.ops.notify import Notifier


class Manager:
    """A service manager that only listens."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind("\0" + address[1:] if address.startswith("@") else address)
        self._sock.settimeout(1)

    def heard(self) -> str:
        return self._sock.recv(4096).decode()

    def close(self) -> None:
        self._sock.close()


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = str(tmp_path / "notify") if request.param == "a path" else f"@isthmus-test-{os.getpid()}"
    manager = Manager(name)
    yield manager
    manager.close()


def test_the_manager_hears_ready_watchdog_and_stopping(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    notifier.ready("5 lanes\nrunning")
    assert manager.heard() == "READY=1\nSTATUS=5 lanes running"
    notifier.watchdog()
    assert manager.heard() == "WATCHDOG=1"
    notifier.extend(2.5)
    assert manager.heard() == "EXTEND_TIMEOUT_USEC=2500000"
    notifier.reloading()
    assert manager.heard().startswith("RELOADING=1\nMONOTONIC_USEC=")
    notifier.stopping()
    assert manager.heard() == "STOPPING=1"


def test_without_a_manager_nothing_is_sent_and_nothing_fails() -> None:
    notifier = Notifier({})
    assert not notifier.active
    notifier.ready()
    notifier.watchdog()


def test_a_vanished_or_full_socket_is_not_the_daemons_end(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    manager = Manager(str(tmp_path / "full"))
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    for _ in range(5000):
        notifier.watchdog()
    manager.close()


@pytest.mark.parametrize(
    ("environ", "every_s"),
    [
        pytest.param({}, None, id="no watchdog"),
        pytest.param({"WATCHDOG_USEC": "30000000"}, 15.0, id="half of what the unit allows"),
        pytest.param(
            {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None, id="meant for another process"
        ),
        pytest.param({"WATCHDOG_USEC": "soon"}, None, id="no number"),
    ],
)
def test_how_often_the_watchdog_is_called(environ: dict[str, str], every_s: float | None) -> None:
    assert Notifier(environ).watchdog_every_s == every_s
