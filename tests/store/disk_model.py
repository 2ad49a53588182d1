"""A disk that remembers what was asked of it, and what would be left of that after a power cut.

SQLite's writes and syncs are recorded while the store's own statements run. A cut may come between any two
of them. What was synced is there; of what was not, each write is there, missing, or torn at a sector.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from isthmus.store.face import Row
from isthmus.store.instants import to_text
from isthmus.store.statements import STATEMENTS

SECTOR = 512


class Write(msgspec.Struct, frozen=True):
    file: str
    offset: int
    data: bytes


class Cut(msgspec.Struct, frozen=True):
    """The file is this long from here on."""

    file: str
    size: int


class Sync(msgspec.Struct, frozen=True):
    file: str


class Gone(msgspec.Struct, frozen=True):
    """The file was removed."""

    file: str


class Acknowledged(msgspec.Struct, frozen=True):
    """The caller was told that its commit is safe."""

    commit: int


Step = Write | Cut | Sync | Gone | Acknowledged


class RecordingFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], tape: list[Step]) -> None:
        super().__init__("", name, flags)
        path = name if isinstance(name, str) else name.filename()
        self._file = Path(path).name if path else "temporary"
        self._tape = tape

    def xWrite(self, data: bytes, offset: int) -> None:
        self._tape.append(Write(self._file, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._tape.append(Cut(self._file, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self._tape.append(Sync(self._file))
        super().xSync(flags)


class RecordingVFS(apsw.VFS):
    def __init__(self, name: str, tape: list[Step]) -> None:
        super().__init__(name, "")
        self._tape = tape

    def xOpen(self, name: Any, flags: Any) -> RecordingFile:
        return RecordingFile(name, flags, self._tape)

    def xDelete(self, name: str, syncdir: bool) -> None:
        self._tape.append(Gone(Path(name).name))
        super().xDelete(name, syncdir)


class ApswTx:
    """The store's `Tx` on the recorded connection: the same statements, bound the same way."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def run(self, name: str, /, **params: Any) -> int:
        return self.many(name, [params])

    def many(self, name: str, rows: Iterable[Mapping[str, Any] | Sequence[Any]], /) -> int:
        before = self._connection.total_changes()
        ready = [_bound(row) if isinstance(row, Mapping) else row for row in rows]
        list(self._connection.executemany(STATEMENTS[name], ready))
        return int(self._connection.total_changes() - before)

    def one(self, name: str, /, **params: Any) -> Row | None:
        rows = self.all(name, **params)
        return rows[0] if rows else None

    def all(self, name: str, /, **params: Any) -> list[Row]:
        return list(self._connection.execute(STATEMENTS[name], _bound(params)))


def _bound(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: to_text(value) if hasattr(value, "tzinfo") else value for name, value in params.items()}


class Disk:
    """Replays a tape up to a point and says what files a cut there leaves.

    Args:
        settled: Up to here everything has long been on the disk.
    """

    def __init__(self, tape: Sequence[Step], settled: int) -> None:
        self._tape = tape
        self._at = 0
        self._safe: dict[str, bytearray] = {}
        self._unsafe: dict[str, list[Write | Cut]] = {}
        self.acknowledged = 0
        self.wind_to(settled)
        for file in list(self._unsafe):
            self._sync(file)

    def wind_to(self, position: int) -> None:
        for step in self._tape[self._at : position]:
            if isinstance(step, Acknowledged):
                self.acknowledged = step.commit
            elif isinstance(step, Sync):
                self._sync(step.file)
            elif isinstance(step, Gone):
                self._unsafe.pop(step.file, None)
                self._safe.pop(step.file, None)
            else:
                self._unsafe.setdefault(step.file, []).append(step)
        self._at = position

    def _sync(self, file: str) -> None:
        for change in self._unsafe.pop(file, []):
            _apply(self._safe.setdefault(file, bytearray()), change)

    def after_cut(self, chance: random.Random) -> dict[str, bytes]:
        """The files as the next start finds them."""
        files = {}
        for file in {*self._safe, *self._unsafe}:
            content = bytearray(self._safe.get(file, b""))
            keep = chance.choice((0.0, 0.5, 0.9, 1.0))
            for change in self._unsafe.get(file, []):
                if chance.random() >= keep:
                    continue
                if isinstance(change, Write) and len(change.data) > SECTOR and chance.random() < 0.1:
                    torn = SECTOR * chance.randrange(1, len(change.data) // SECTOR + 1)
                    change = Write(change.file, change.offset, change.data[:torn])
                _apply(content, change)
            files[file] = bytes(content)
        return files


def _apply(content: bytearray, change: Write | Cut) -> None:
    if isinstance(change, Cut):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    end = change.offset + len(change.data)
    content.extend(bytes(max(0, end - len(content))))
    content[change.offset : end] = change.data
