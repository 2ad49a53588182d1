"""The writer dies at each system call; afterwards there is one file, one marker, and the same bytes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isthmus.sdk import ConnectorError, Fatal, Retryable, Unsure
from isthmus_legacy_erp.disk import Disk, Drop

NAME = "charges_ACME_00000001_20261005T080000Z.dat"


class Killed(Exception):
    """The process is gone; nothing after this call happened."""


class DyingDisk(Disk):
    """Dies at the ``at``-th call, before it or right after it; a write that dies wrote half."""

    def __init__(self, at: int, *, after: bool = False) -> None:
        self._left = at
        self._after = after
        self.calls: list[str] = []

    def _count(self, name: str, call: Callable[[], Any]) -> Any:
        self.calls.append(name)
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed(name)
        result = call()
        if self._left == 0:
            raise Killed(f"after {name}")
        return result

    def open_new(self, path: Path) -> int:
        return int(self._count("open_new", lambda: super(DyingDisk, self).open_new(path)))

    def write(self, fd: int, data: bytes) -> None:
        if self._left == 1:
            os.write(fd, data[: len(data) // 2])
        self._count("write", lambda: super(DyingDisk, self).write(fd, data))

    def fsync(self, fd: int) -> None:
        self._count("fsync", lambda: super(DyingDisk, self).fsync(fd))

    def read(self, path: Path, most: int) -> bytes:
        return bytes(self._count("read", lambda: super(DyingDisk, self).read(path, most)))

    def rename(self, old: Path, new: Path) -> None:
        self._count("rename", lambda: super(DyingDisk, self).rename(old, new))

    def sync_folder(self, folder: Path) -> None:
        self._count("sync_folder", lambda: super(DyingDisk, self).sync_folder(folder))


PUT = ["open_new", "write", "fsync", "read", "rename", "sync_folder"]


async def test_the_calls_of_writing_a_batch_are_these_in_this_order(bench: Any) -> None:
    bench.know()
    bench.disk = disk = DyingDisk(at=0)
    async with bench.open() as opened:
        await bench.send(opened, bench.charge())
    assert disk.calls == [*PUT, *PUT], "the file, then its marker"


async def killed_and_recovered(bench: Any, at: int, after: bool) -> list[str]:
    """Die at call ``at``, come back, deliver again; what is wrong, in words."""
    bench.know()
    wrong: list[str] = []
    bench.disk = DyingDisk(at, after=after)
    with pytest.raises(Killed):
        async with bench.open() as opened:
            await bench.send(opened, bench.charge(1), bench.charge(2))
    wrong += torn(bench)
    bench.disk = Disk()
    bench.move(minutes=5)
    async with bench.open() as opened:
        await bench.pull(opened, "responses")
        if bench.files("outbound") not in ([], [NAME, f"{NAME}.done"]):
            wrong.append(f"after the start there is {bench.files('outbound')}")
        await bench.send(opened, bench.charge(1), bench.charge(2))
    if bench.files("outbound") != [NAME, f"{NAME}.done"] or bench.files(".tmp"):
        wrong.append(f"at the end there is {bench.files('outbound')} and {bench.files('.tmp')}")
    wrong += torn(bench)
    if bench.sim.run_jobs()["batches"] != 1:
        wrong.append("the ERP does not take it")
    return wrong


def torn(bench: Any) -> list[str]:
    """Files that show less than all of their bytes under their own name."""
    wrong: list[str] = []
    for name in bench.files("outbound"):
        data = bench.path("outbound", name).read_bytes()
        if len(data) != 4 * 722 if name.endswith(".dat") else b"hash_total=" not in data:
            wrong.append(f"{name} shows {len(data)} bytes")
    return wrong


@pytest.mark.parametrize("after", [pytest.param(False, id="before"), pytest.param(True, id="after")])
@pytest.mark.parametrize("at", range(1, 2 * len(PUT) + 1))
async def test_killed_at_any_call_there_is_one_file_and_one_marker(bench: Any, at: int, after: bool) -> None:
    assert await killed_and_recovered(bench, at, after) == []


async def test_a_writer_in_place_would_be_found_out(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: bytes go straight under the final name."""

    def put(self: Drop, folder: str, name: str, data: bytes) -> None:
        fd = self.disk.open_new(self.folder(folder) / name)
        try:
            self.disk.write(fd, data)
        finally:
            os.close(fd)

    monkeypatch.setattr(Drop, "put", put)
    assert await killed_and_recovered(bench, at=2, after=False) != []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(OSError(28, "No space left on device"), Unsure, id="a full disk passes"),
        pytest.param(OSError(5, "Input/output error"), Unsure, id="so may a broken one"),
        pytest.param(OSError(13, "Permission denied"), Fatal, id="missing rights need a person"),
        pytest.param(OSError(30, "Read-only file system"), Fatal, id="so does a read-only mount"),
        pytest.param(OSError(1, "Operation not permitted"), Fatal, id="a file nobody may change"),
        pytest.param(OSError(20, "Not a directory"), Fatal, id="a file where a folder was"),
        pytest.param(OSError(40, "Too many levels of symbolic links"), Fatal, id="a folder that is a link"),
        pytest.param(OSError(36, "File name too long"), Fatal, id="a name the file system does not take"),
        pytest.param(OSError(116, "Stale file handle"), Unsure, id="a share that was away comes back"),
        pytest.param(OSError(122, "Disk quota exceeded"), Unsure, id="a quota is raised"),
    ],
)
@pytest.mark.parametrize("call", PUT)
async def test_a_failed_call_has_a_fate_and_the_next_try_succeeds(
    bench: Any, monkeypatch: pytest.MonkeyPatch, call: str, error: OSError, kind: type[ConnectorError]
) -> None:
    bench.know()

    def fail(*args: object) -> None:
        raise error

    async with bench.open() as opened:
        with monkeypatch.context() as patch:
            patch.setattr(bench.disk, call, fail)
            (outcome,) = await bench.send(opened, bench.charge())
            assert isinstance(outcome, kind) and outcome.peer_words == error.strerror
        (receipt,) = await bench.send(opened, bench.charge())
    assert receipt.remote_id == f"{NAME}#1"
    assert bench.files("outbound") == [NAME, f"{NAME}.done"]


async def test_a_batch_the_erp_has_taken_is_not_written_again(bench: Any) -> None:
    async with bench.open() as opened:
        await bench.introduce(opened)
        await bench.send(opened, bench.charge())
        bench.sim.run_jobs()
        await bench.send(opened, bench.charge())
    async with bench.open() as opened:
        await bench.send(opened, bench.charge())
    assert bench.files("outbound") == []
    assert bench.posted() == ["billing/charge/1"]


async def test_a_file_changed_between_writing_and_reading_back_is_not_sent(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.know()
    monkeypatch.setattr(bench.disk, "read", lambda path, most: b"something else")
    async with bench.open() as opened:
        (outcome,) = await bench.send(opened, bench.charge())
    assert isinstance(outcome, Unsure)
    assert bench.files("outbound") == []


async def test_a_missing_drop_directory_is_waited_for(bench: Any) -> None:
    async with bench.open(drop_dir=bench.settings.drop_dir / "not mounted") as opened:
        with pytest.raises(Retryable, match="is not there; mount it"):
            await opened.source.pull("responses", None)


async def test_a_batch_someone_changed_is_not_covered_up(bench: Any) -> None:
    bench.know()
    async with bench.open() as opened:
        await bench.send(opened, bench.charge())
        path = bench.path("outbound", NAME)
        path.write_bytes(path.read_bytes().replace(b"3000", b"9000"))
        (outcome,) = await bench.send(opened, bench.charge())
    assert isinstance(outcome, Fatal)
    assert "was changed after it was written" in str(outcome)
