"""One daemon per state directory: a lock on a file of its own, held for life.

The kernel drops the lock with the process, however that ends. The database itself is never opened for this:
closing any descriptor of it would drop SQLite's own locks.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isthmus.store.errors import StoreLocked

LOCK_NAME = "isthmus.lock"


@contextmanager
def hold(state_dir: Path, holder: str) -> Iterator[None]:
    """Hold the directory, or be refused at once.

    Raises:
        StoreLocked: naming the process that holds it.
    """
    path = state_dir / LOCK_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            name = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            raise StoreLocked(path, name or "another process") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{holder}, pid {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a power cut, as fsync of a file does not."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
