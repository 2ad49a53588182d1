"""The file operations everything here is made of, one method per system call.

They are methods so that a test can let any one of them fail, or be the last thing a process did.
"""

import contextlib
import errno
import os
import stat
import uuid
from pathlib import Path

from isthmus.sdk import ConnectorError, Fatal, Retryable
from isthmus_legacy_erp.names import digest

FOLDERS = ("outbound", "inbound", "ack", "archive", "reject", ".tmp")
PART = ".part"

_NEVER_BY_ITSELF = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


class NotRegular(OSError):
    """What stands there is no file to be read: a link, a pipe, a device, or too large."""


class Growing(OSError):
    """The file changed while it was read: whoever writes it is not done."""


class Disk:
    """System calls on paths. Links are never followed where a file is opened."""

    def open_new(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, 0o640)

    def write(self, fd: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)  # noqa: PTH104  one call, as it is named

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Make the renames in a folder survive a power cut."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def read(self, path: Path, most: int) -> bytes:
        """The bytes of a regular file; a pipe without a writer does not block.

        Raises:
            FileNotFoundError: there is none.
            NotRegular: it is a link or no regular file, or it has more than ``most`` bytes.
            Growing: it changed while it was read.
        """
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise NotRegular("it is a link or a socket, not a file") from error
            raise
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise NotRegular("it is a folder, pipe or device, not a file")
            if before.st_size > most:
                raise NotRegular(f"it has {before.st_size} bytes, more than {most}")
            with os.fdopen(fd, "rb", closefd=False) as file:
                data = file.read(before.st_size + 1)
            after = os.fstat(fd)
        finally:
            os.close(fd)
        if len(data) != before.st_size or (after.st_size, after.st_mtime_ns) != (
            before.st_size,
            before.st_mtime_ns,
        ):
            raise Growing("it changed while it was read")
        return data


class Drop:
    """The drop directory of one instance."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root
        self.disk = disk or Disk()

    def folder(self, name: str) -> Path:
        return self.root / name

    def prepare(self) -> None:
        """Make the folders that are missing.

        Raises:
            Retryable: the drop directory itself is not there.
            Fatal: the folders are not on one file system, so that renames between them would not be whole.
        """
        if not self.root.is_dir():
            raise Retryable(f"{self.root} is not there; mount it, or correct drop_dir")
        for name in FOLDERS:
            self.folder(name).mkdir(mode=0o770, exist_ok=True)
        if len({self.folder(name).stat().st_dev for name in FOLDERS}) > 1:
            raise Fatal(f"the folders of {self.root} lie on several file systems; put them on one")

    def put(self, folder: str, name: str, data: bytes) -> None:
        """Write a file so that its name never shows anything but all of its bytes, durably.

        Raises:
            OSError: some call failed; the file is there whole, or is not.
        """
        # A name of its own per try: a thread left behind at a hung mount must not share the part file.
        part = self.folder(".tmp") / f"{name}.{uuid.uuid4().hex[:8]}{PART}"
        fd = self.disk.open_new(part)
        try:
            self.disk.write(fd, data)
            self.disk.fsync(fd)
        finally:
            os.close(fd)
        if digest(self.disk.read(part, len(data))) != digest(data):
            raise OSError(errno.EIO, "what was read back is not what was written", str(part))
        self.disk.rename(part, self.folder(folder) / name)
        self.disk.sync_folder(self.folder(folder))

    def move(self, old: Path, new: Path) -> None:
        """Rename durably; nothing happens when ``old`` is not there."""
        with contextlib.suppress(FileNotFoundError):
            self.disk.rename(old, new)
            self.disk.sync_folder(new.parent)
            self.disk.sync_folder(old.parent)

    def names(self, folder: str) -> list[str]:
        """What stands in a folder, sorted; never opened by this."""
        return sorted(path.name for path in self.folder(folder).iterdir())

    def has(self, folder: str, name: str) -> bool:
        return os.path.lexists(self.folder(folder) / name)


def fate(error: OSError, doing: str) -> ConnectorError:
    """What a failed file operation means: some need a person, the rest may pass."""
    words = f"{doing}: {error.strerror or error}"
    if error.errno in _NEVER_BY_ITSELF:
        return Fatal(f"{words}; correct the rights of the drop directory", peer_words=error.strerror)
    return Retryable(words, peer_words=error.strerror)
