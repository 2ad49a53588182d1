"""What the ERP (or anybody) drops: read in order, once, whole, and never when it is not what it should be."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from isthmus.sdk import Fatal, Opened, Retryable
from isthmus_legacy_erp import tidy
from isthmus_legacy_erp.look import Cursor
from isthmus_legacy_erp.names import digest, marker

PERIODS = ["2026-01", "2026-02", "2026-03"]


def closed(page: Any) -> list[str]:
    return [event.period for event in page.events]


def drop(bench: Any) -> list[Path]:
    """Three files of the ERP, each closing a period; the paths of the data files in order."""
    for period in PERIODS:
        bench.sim.close_period(period)
        bench.move(seconds=1)
    return [bench.path("inbound", name) for name in bench.files("inbound") if name.endswith(".dat")]


def hide(path: Path) -> Callable[[], None]:
    """Take a file and its marker away; the result brings them back."""
    kept = {each: each.read_bytes() for each in (path, path.with_name(path.name + ".done"))}
    for each in kept:
        each.unlink()

    def back() -> None:
        for each, data in kept.items():
            each.write_bytes(data)

    return back


def mark(path: Path) -> None:
    """A marker that fits the bytes as they are now."""
    data = path.read_bytes()
    said = {"file": path.name, "sha256": digest(data), "bytes": len(data)}
    path.with_name(path.name + ".done").write_bytes(marker(said))


async def test_files_are_read_in_order_and_archived_when_the_cursor_came_back(
    bench: Any, opened: Opened
) -> None:
    drop(bench)
    before = bench.files("inbound")
    page = await bench.pull(opened, "periods")
    assert closed(page) == PERIODS
    assert bench.files("inbound") == before, "until the page is recorded nothing moves"
    page = await bench.pull(opened, "periods")
    assert closed(page) == []
    assert bench.files("inbound") == []
    assert [name for name in bench.files("archive") if name.startswith("periods")] == [
        f"periods_ACME_0000000{n}.dat{end}" for n in (1, 2, 3) for end in ("", ".done")
    ]
    assert f"{before[0]}.ack" in bench.files("ack")


async def test_a_crash_before_the_page_is_recorded_loses_nothing(bench: Any, opened: Opened) -> None:
    drop(bench)
    assert opened.source is not None
    await opened.source.pull("periods", None)
    page = await bench.pull(opened, "periods")
    assert closed(page) == PERIODS


async def test_archiving_at_once_would_be_found_out(
    bench: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: a file leaves as soon as it was read, to where it is not looked for again."""
    assert opened.source is not None
    drop(bench)
    page = await opened.source.pull("periods", None)
    for move in msgspec.json.decode(page.next, type=Cursor).moves:
        tidy.carry_out(opened.source._carrier._drop, msgspec.structs.replace(move, to="drop"), 1 << 20)  # type: ignore[attr-defined]
    assert closed(await bench.pull(opened, "periods")) != PERIODS


async def test_a_crash_while_tidying_up_is_finished_later(bench: Any, opened: Opened) -> None:
    paths = drop(bench)
    await bench.pull(opened, "periods")
    cursor = bench.cursors["periods"]
    paths[0].rename(bench.path("archive", "periods_ACME_00000001.dat"))  # and then the power went
    await bench.pull(opened, "periods")
    bench.cursors["periods"] = cursor
    page = await bench.pull(opened, "periods")
    assert closed(page) == [] and page.refused == []
    assert bench.files("inbound") == []
    assert "periods_ACME_00000001.dat.done" in bench.files("archive")


async def test_an_old_cursor_reads_again_what_is_in_the_archive(bench: Any, opened: Opened) -> None:
    drop(bench)
    await bench.pull(opened, "periods")
    await bench.pull(opened, "periods")
    bench.cursors["periods"] = None
    assert closed(await bench.pull(opened, "periods")) == PERIODS


async def test_a_missing_number_stops_its_stream_and_is_named(bench: Any, opened: Opened) -> None:
    back = hide(drop(bench)[1])
    assert closed(await bench.pull(opened, "periods")) == PERIODS[:1]
    assert closed(await bench.pull(opened, "periods")) == []
    for _ in range(2):
        with pytest.raises(Retryable, match="periods 00000002 is missing or incomplete"):
            await bench.pull(opened, "periods")
    assert await bench.pull(opened, "receivables"), "other streams go on"
    back()
    assert closed(await bench.pull(opened, "periods")) == PERIODS[1:]


async def test_a_file_without_its_marker_is_not_there_yet(bench: Any, opened: Opened) -> None:
    paths = drop(bench)
    markers = [path.with_name(path.name + ".done") for path in paths]
    said = markers[2].read_bytes()
    markers[2].unlink()
    assert closed(await bench.pull(opened, "periods")) == PERIODS[:2]
    assert closed(await bench.pull(opened, "periods")) == []
    markers[2].write_bytes(said)
    assert closed(await bench.pull(opened, "periods")) == PERIODS[2:]


async def test_without_markers_a_file_counts_once_it_stood_still(bench: Any) -> None:
    paths = drop(bench)
    for path in paths:
        path.with_name(path.name + ".done").unlink()
        os.utime(path, (bench.now().timestamp(), bench.now().timestamp()))
    async with bench.open(markers=False, stable_s=30) as opened:
        bench.move(seconds=29)
        assert closed(await bench.pull(opened, "periods")) == []
        bench.move(seconds=1)
        assert closed(await bench.pull(opened, "periods")) == PERIODS


async def test_the_same_bytes_again_have_no_effect(bench: Any, opened: Opened) -> None:
    bench.sim.break_next("repeat_file")
    bench.sim.close_period("2026-01")
    assert len(bench.files("inbound")) == 4
    seen = [await bench.pull(opened, "periods") for _ in range(4)]
    assert [closed(page) for page in seen] == [["2026-01"], [], [], []]
    assert [entry for page in seen for entry in page.refused] == []
    assert bench.files("inbound") == []
    assert bench.files("reject") == []


async def test_other_bytes_under_a_number_that_was_read_are_a_conflict(
    bench: Any, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    paths = drop(bench)
    for _ in range(2):
        await bench.pull(opened, "periods")
    shelved = bench.path("archive", "periods_ACME_00000001.dat").read_bytes()
    paths[0].write_bytes(shelved.replace(b"2026-01", b"2025-01"))
    mark(paths[0])
    page = await bench.pull(opened, "periods")
    assert closed(page) == []
    assert "number 1 was read before and it had other bytes" in page.refused[0].reason
    assert "inbound_conflict" in [record.message for record in caplog.records], "somebody is told"
    await bench.pull(opened, "periods")
    assert bench.files("inbound") == []
    assert bench.path("archive", "periods_ACME_00000001.dat").read_bytes() == shelved


def fifo(path: Path, secret: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def symlink(path: Path, secret: Path) -> None:
    path.unlink()
    path.symlink_to(secret)


def folder(path: Path, secret: Path) -> None:
    path.unlink()
    path.mkdir()


def unix_socket(path: Path, secret: Path) -> None:
    path.unlink()
    # A relative name, because a socket's whole path has little room.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def too_large(path: Path, secret: Path) -> None:
    os.truncate(path, 1 << 40)


def half(path: Path, secret: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])
    mark(path)


def other_bytes(path: Path, secret: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"2026-01", b"2025-01"))


def other_content(path: Path, secret: Path) -> None:
    other_bytes(path, secret)
    mark(path)


def other_number(path: Path, secret: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"00000001", b"00000002"))
    mark(path)


def other_company(path: Path, secret: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"ACME      ", b"OTHER     "))
    mark(path)


def no_trailer(path: Path, secret: Path) -> None:
    path.write_bytes(path.read_bytes()[:-130])
    mark(path)


def twice(path: Path, secret: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)
    mark(path)


def binary(path: Path, secret: Path) -> None:
    path.write_bytes(b"\xff" * 390)
    mark(path)


def dangling(path: Path, secret: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def hard_link(path: Path, secret: Path) -> None:
    """A regular file by every look at it; what is in it gives it away."""
    path.unlink()
    secret.write_bytes(b"hunter2".ljust(390))
    path.hardlink_to(secret)
    mark(path)


def empty(path: Path, secret: Path) -> None:
    path.write_bytes(b"")
    mark(path)


def more_behind(path: Path, secret: Path) -> None:
    path.write_bytes(path.read_bytes() + b" " * 128 + b"\r\n")
    mark(path)


def zeros(path: Path, secret: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"2026-01", b"2026\x0001"))
    mark(path)


def line_feeds(path: Path, secret: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
    mark(path)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        pytest.param(fifo, "pipe", id="a pipe, which would block"),
        pytest.param(symlink, "it is a link", id="a link to a credential"),
        pytest.param(folder, "folder", id="a folder"),
        pytest.param(unix_socket, "socket", id="a socket"),
        pytest.param(too_large, "1099511627776 bytes, more than", id="a terabyte"),
        pytest.param(other_bytes, "not those of its marker", id="bytes the marker does not know"),
        pytest.param(half, "cut off", id="half of a file, marked"),
        pytest.param(no_trailer, "cut off", id="a file without its trailer"),
        pytest.param(other_content, "the trailer says hash_total", id="a changed reference"),
        pytest.param(other_number, "the header says seq 2", id="the content of another number"),
        pytest.param(other_company, "the header says company 'OTHER'", id="the file of another company"),
        pytest.param(twice, "second header", id="the same batch twice in one file"),
        pytest.param(binary, "does not end", id="noise"),
        pytest.param(dangling, "it is a link", id="a link to nothing"),
        pytest.param(hard_link, "does not end", id="a hard link to something else"),
        pytest.param(empty, "cut off", id="an empty file, marked"),
        pytest.param(more_behind, "is no tag", id="a record behind the trailer"),
        pytest.param(zeros, "the trailer says hash_total", id="a NUL in a key"),
        pytest.param(line_feeds, "no multiple of the record length", id="other line ends"),
    ],
)
async def test_a_bad_file_is_refused_whole_rejected_and_told_to_the_erp(
    bench: Any, opened: Opened, tmp_path: Path, harm: Callable[[Path, Path], None], words: str
) -> None:
    secret = tmp_path / "credential"
    secret.write_text("hunter2")
    first = drop(bench)[0]
    harm(first, secret)
    page = await bench.pull(opened, "periods")
    assert page.events == [], "nothing of it, and nothing that comes after it"
    assert [entry.place for entry in page.refused] == [first.name]
    assert words in page.refused[0].reason
    assert b"hunter2" not in page.refused[0].raw or harm is hard_link, "a link is never followed"
    assert closed(await bench.pull(opened, "periods")) == []
    assert first.name not in bench.files("inbound")
    assert [name for name in bench.files("reject") if name.startswith(first.name)]
    assert bench.path("ack", f"{first.name}.nak").exists()
    assert secret.read_text().strip() == "hunter2"
    bench.sim.run_jobs()
    assert closed(await bench.pull(opened, "periods")) == PERIODS, "the ERP sent it again"


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(fifo, id="a pipe, which would block"),
        pytest.param(symlink, id="a link to a credential"),
        pytest.param(folder, id="a folder"),
        pytest.param(too_large, id="a terabyte"),
    ],
)
async def test_a_marker_that_is_no_file_marks_nothing(
    bench: Any, opened: Opened, tmp_path: Path, harm: Callable[[Path, Path], None]
) -> None:
    secret = tmp_path / "credential"
    secret.write_text("hunter2")
    first = drop(bench)[0]
    harm(first.with_name(f"{first.name}.done"), secret)
    with trio.fail_after(5), pytest.raises(Retryable, match="00000001 is missing or incomplete"):
        await bench.pull(opened, "periods")
    assert first.name in bench.files("inbound"), "it waits for a marker that is one"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("periods_ACME_00000001_20261005T080000Z.dat ", id="a blank behind"),
        pytest.param("periods_ACME_00000001_20261005T080000Z.dat\n", id="a line end behind"),
        pytest.param("..periods_ACME_00000001_20261005T080000Z.dat", id="dots before"),
        pytest.param("periods_ACME_00000001_20261005T080000Z.dat.part", id="a part"),
        pytest.param("periods_ACME_\u0661\u0662345678_20261005T080000Z.dat", id="digits of another script"),
        pytest.param("periods_OTHER_00000001_20261005T080000Z.dat", id="another company"),
        pytest.param("p" * 250 + ".dat", id="a very long name"),
        pytest.param("\udcff\udcfe.dat", id="a name that is no UTF-8"),
        pytest.param(".dat", id="a bare ending"),
        pytest.param("periods_ACME_1_20261005T080000Z.dat", id="a short number"),
        pytest.param("periods_ACME_00000001_20261005.dat", id="a day without its time"),
        pytest.param("PERIODS_ACME_00000001_20261005T080000Z.dat", id="capitals"),
        pytest.param("-rf.dat", id="an option"),
        pytest.param("periods_ACME_00000001_20261005T080000Z.DAT", id="another ending"),
    ],
)
async def test_a_name_that_does_not_fit_is_never_opened_and_shown_by_the_probe(
    bench: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bench.path("inbound", name).write_bytes(b"anything")
    assert opened.probe is not None
    seen: list[Path] = []
    read = bench.disk.read

    def watched(path: Path, most: int) -> bytes:
        seen.append(path)
        return bytes(read(path, most))

    monkeypatch.setattr(bench.disk, "read", watched)
    page = await bench.pull(opened, "periods")
    assert (page.events, page.refused) == ([], [])
    assert [path for path in seen if path.parent.name == "inbound"] == []
    checks = {check.name: check for check in await opened.probe.checks()}
    assert not checks["inbound_names"].ok
    assert "1 not ours" in checks["inbound_names"].detail


async def test_a_file_that_grows_while_it_is_read_waits(
    bench: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.sim.close_period("2026-01")
    first = bench.path("inbound", bench.files("inbound")[0])
    whole = first.read_bytes()
    fstat = os.fstat

    def growing(fd: int) -> os.stat_result:
        result = fstat(fd)
        if Path(f"/proc/self/fd/{fd}").readlink() == first:
            with first.open("ab") as file:
                file.write(b" ")
        return result

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", growing)
        page = await bench.pull(opened, "periods")
    assert (page.events, page.refused) == ([], [])
    first.write_bytes(whole)
    assert closed(await bench.pull(opened, "periods")) == ["2026-01"]


async def test_a_damaged_archive_is_said_and_nothing_is_made_up(bench: Any, opened: Opened) -> None:
    drop(bench)
    for _ in range(2):
        await bench.pull(opened, "periods")
    bench.path("archive", "periods_ACME_00000002.dat").write_bytes(b"x")
    bench.cursors["periods"] = None
    with pytest.raises(Retryable, match=r"archive/periods_ACME_00000002.dat is damaged"):
        await bench.pull(opened, "periods")


async def test_numbers_may_begin_where_an_older_integration_stopped(bench: Any) -> None:
    hide(drop(bench)[0])
    async with bench.open(first_seq={"periods": 2}) as opened:
        assert closed(await bench.pull(opened, "periods")) == PERIODS[1:]


async def test_a_foreign_cursor_parks_the_stream(bench: Any, opened: Opened) -> None:
    bench.cursors["periods"] = b'{"since": "2026-10-01"}'
    with pytest.raises(Fatal, match="not one of this connector"):
        await bench.pull(opened, "periods")
