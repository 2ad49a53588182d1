"""The daemon of the demo as a process of its own, so that it can be killed."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from isthmus.ops.client import connected

START_WITHIN_S = 30.0

__all__ = ["DaemonProcess"]


class DaemonProcess:
    """One daemon over one configuration; may be killed and started again."""

    def __init__(self, directory: Path, program: Sequence[str] = ("-m", "isthmus")) -> None:
        """
        Args:
            program: What our interpreter runs; a test gives a daemon with a planted bug.
        """
        self._directory = directory
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self.log = directory / "daemon.log"
        self.socket = directory / "state" / "admin.sock"
        self.starts = 0

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            RuntimeError: it ended instead; with the end of its log.
        """
        self.starts += 1
        with self.log.open("ab") as log:
            begins = log.tell()
            command = [sys.executable, *self._program, "run", "--config", str(self._directory)]
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220  our own interpreter, our own arguments
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        with trio.move_on_after(START_WITHIN_S):
            while b"\nready\n" not in b"\n" + self._told(begins):
                if self._process.poll() is not None:
                    raise RuntimeError(f"the daemon ended at its start:\n{self._tail()}")
                await trio.sleep(0.05)
            return
        raise RuntimeError(f"the daemon was not ready within {START_WITHIN_S:g} s:\n{self._tail()}")

    def kill(self) -> None:
        """SIGKILL: no drain, no goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send SIGTERM, or another signal, and wait until it has ended; the exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(by)
        with trio.move_on_after(30):
            await trio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)
        self.kill()
        return int(self._process.returncode)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the daemon that was started last."""
        assert self._process is not None
        return self._process.pid

    async def ask(self, path: str, **params: Any) -> Any:
        """Ask its admin socket."""
        async with connected(self.socket) as client:
            return await client.get(path, **params)

    async def tell(self, path: str, order: dict[str, Any]) -> Any:
        """Give its admin socket an order."""
        async with connected(self.socket) as client:
            return await client.post(path, order)

    def _told(self, begins: int) -> bytes:
        with self.log.open("rb") as log:
            log.seek(begins)
            return log.read()

    def _tail(self) -> str:
        return self._told(0)[-4000:].decode(errors="replace")
