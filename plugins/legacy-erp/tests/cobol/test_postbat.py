"""Batches meet a COBOL program: it reads them by their copybook, checks them, posts, and answers.

``postbat.cob`` is compiled with GnuCOBOL, with the copybooks of the package. Around it stands what an
operator's script does: run it for each batch with a marker, move the files, write the marker of the answer.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isthmus.sdk import Link, Opened

PROGRAM = Path(__file__).with_name("postbat.cob")
BOOKS = Path(str(resources.files("isthmus_legacy_erp.simulator") / "copybooks"))
BATCH = "charges_ACME_00000001_20261005T080000Z.dat"
RECORD = 720


class Erp:
    """The program, and the script that an operator has around it."""

    def __init__(self, program: Path, drop_dir: Path, journal: Path) -> None:
        self._program = program
        self._drop = drop_dir
        self._journal = journal

    def run(self) -> int:
        """Take each batch with a marker; the last return code of the program."""
        code = -1
        for marker in sorted((self._drop / "outbound").glob("charges_*.done")):
            code = self._take(marker.with_suffix(""))
        return code

    def journal(self) -> list[str]:
        """What was posted: document, amount, reference."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        return [" ".join(line.split()) for line in lines]

    def _take(self, batch: Path) -> int:
        work = self._drop / ".tmp"
        files = {
            "DD_BATCHIN": batch,
            "DD_RESPOUT": work / "respout",
            "DD_NAKOUT": work / "nakout",
            "DD_JOURNAL": self._journal,
        }
        environment = {**os.environ, **{name: str(path) for name, path in files.items()}}
        done = subprocess.run([self._program], env=environment, timeout=60)
        if done.returncode == 0:
            answer = batch.name.replace("charges_", "charges-response_", 1)
            data = (work / "respout").read_bytes()
            sha256 = hashlib.sha256(data).hexdigest()
            (work / "respout").replace(self._drop / "inbound" / answer)
            (self._drop / "inbound" / f"{answer}.done").write_text(f"sha256={sha256}\nbytes={len(data)}\n")
            (self._drop / "ack" / f"{batch.name}.ack").touch()
        else:
            (work / "nakout").replace(self._drop / "ack" / f"{batch.name}.nak")
        to = self._drop / ("archive" if done.returncode == 0 else "reject")
        for path in (batch, batch.with_name(f"{batch.name}.done")):
            path.replace(to / path.name)
        return done.returncode


def packed(folder: Path) -> Path:
    """Copybooks whose amounts and quantities are COMP-3."""
    for name in ("charges", "responses"):
        lines = (BOOKS / f"{name}.cpy").read_text().splitlines()
        lines = [f"{line[:-1]}\n               COMP-3." if "PIC S9" in line else line for line in lines]
        (folder / f"{name}.cpy").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """Compiles the program in a style: the program, and the copybooks it was compiled with."""
    if shutil.which("cobc") is None:
        pytest.skip("GnuCOBOL is not installed: make test-deps")
    built: dict[str, tuple[Path, Path]] = {}

    def make(style: str) -> tuple[Path, Path]:
        if style not in built:
            folder = tmp_path_factory.mktemp(style)
            books = packed(folder) if style == "packed" else BOOKS
            sign = "EBCDIC" if style == "overpunch" else "ASCII"
            command = ["cobc", "-x", f"-fsign={sign}", "-I", str(books), "-o", str(folder / "postbat")]
            subprocess.run([*command, str(PROGRAM)], check=True, capture_output=True, timeout=300)
            built[style] = folder / "postbat", books
        return built[style]

    return make


@pytest.fixture
def cobol(
    build: Callable[[str], tuple[Path, Path]], make_bench: Callable[..., Any], tmp_path: Path
) -> Callable[[str], tuple[Any, Erp]]:
    """The connector and the program at one drop directory, in a style."""

    def start(style: str) -> tuple[Any, Erp]:
        program, books = build(style)
        sign = "overpunch" if style == "overpunch" else "overpunch-ascii"
        bench = make_bench(encoding="iso8859-15", line_end="none", sign=sign)
        if style == "packed":
            layouts = {name: books / f"{name}.cpy" for name in ("charges", "responses")}
            bench.settings = msgspec.structs.replace(bench.settings, layouts=layouts)
        bench.ctx.keep([Link(kind="project", key=f"crm:O{n}", remote_id=f"P0000{n}") for n in (1, 7)])
        return bench, Erp(program, bench.sim.drop_dir, tmp_path / "journal")

    return start


@pytest.fixture
async def opened(cobol: Callable[[str], tuple[Any, Erp]]) -> AsyncIterator[tuple[Any, Erp, Opened]]:
    bench, erp = cobol("overpunch-ascii")
    async with bench.open() as opened:
        yield bench, erp, opened


def test_every_copybook_in_the_package_compiles(build: Any, tmp_path: Path) -> None:
    for book in sorted(BOOKS.glob("*.cpy")):
        program = tmp_path / "program.cob"
        program.write_text(
            "       IDENTIFICATION DIVISION.\n       PROGRAM-ID. P.\n       DATA DIVISION.\n"
            f'       WORKING-STORAGE SECTION.\n       COPY "{book.name}".\n'
            "       PROCEDURE DIVISION.\n           STOP RUN.\n"
        )
        command = ["cobc", "-x", "-Wall", "-I", str(BOOKS), "-o", str(tmp_path / "program"), str(program)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert (done.returncode, done.stderr) == (0, ""), book.name


@pytest.mark.parametrize(
    "style",
    [
        pytest.param("overpunch-ascii", id="signs as GnuCOBOL writes them"),
        pytest.param("overpunch", id="signs as on a mainframe"),
        pytest.param("packed", id="packed decimals, by copybooks"),
    ],
)
async def test_the_program_posts_a_batch_refuses_a_line_and_its_answer_becomes_facts(
    cobol: Callable[[str], tuple[Any, Erp]], style: str
) -> None:
    bench, erp = cobol(style)
    async with bench.open() as opened:
        await bench.send(
            opened,
            bench.charge(1, "937.50", explanation=["6.25 h für Rollout à 150"]),
            bench.charge(2, "-37.53"),
            bench.charge(3, project="crm:O7"),
        )
        assert erp.run() == 0
        page = await bench.pull(opened, "responses")
        await bench.pull(opened, "responses")
    assert [(event.charge, event.remote_id, str(event.amount)) for event in page.events] == [
        ("billing/charge/1", "D0001001", "937.50"),
        ("billing/charge/2", "D0001002", "-37.53"),
    ]
    assert [entry.reason for entry in page.refused] == [
        "charge billing/charge/3 was not posted (mapping): PROJ PROJECT P00007 UNKNOWN"
    ]
    assert erp.journal() == ["D0001001 937.50 billing/charge/1", "D0001002 -37.53 billing/charge/2"]


def without_the_second_line(data: bytes) -> bytes:
    return data[: 2 * RECORD] + data[3 * RECORD :]


def without_the_last_line(data: bytes) -> bytes:
    return data[: -2 * RECORD] + data[-RECORD:]


def with_a_cent_more_in_the_total(data: bytes) -> bytes:
    trailer = bytearray(data[-RECORD:])
    end = 1 + 8 + 18 + 17
    trailer[end - 1] += 1
    return data[:-RECORD] + bytes(trailer)


def with_another_reference(data: bytes) -> bytes:
    return data.replace(b"billing/charge/2 ", b"billing/charge/5 ", 1)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(without_the_second_line, "LINE 3 WHERE 2 IS DUE", id="a line is missing"),
        pytest.param(without_the_last_line, "COUNT IS 2 TRAILER SAYS 3", id="the last line is missing"),
        pytest.param(with_a_cent_more_in_the_total, "AMOUNT IS 900.00 TRAILER", id="a total is wrong"),
        pytest.param(with_another_reference, "REFERENCES DO NOT MAKE", id="a reference was changed"),
        pytest.param(lambda data: data[:-RECORD], "NO TRAILER", id="the trailer is missing"),
        pytest.param(lambda data: data[RECORD:], "RECORDS ARE NOT H D.. T", id="the header is missing"),
    ],
)
async def test_the_program_refuses_a_batch_that_is_not_whole_and_posts_nothing(
    opened: tuple[Any, Erp, Opened], damage: Callable[[bytes], bytes], words: str
) -> None:
    bench, erp, connector = opened
    await bench.send(connector, bench.charge(1), bench.charge(2), bench.charge(3))
    path = bench.path("outbound", BATCH)
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert erp.run() == 8
    assert erp.journal() == []
    page = await bench.pull(connector, "responses")
    assert page.events == []
    (refused,) = page.refused
    assert f"refused batch {BATCH} whole" in refused.reason
    assert words in " ".join(refused.reason.split())

    # Once a person replays it, the batch goes again as it was frozen, and is posted.
    await bench.pull(connector, "responses")
    await bench.send(connector, bench.charge(1), bench.charge(2), bench.charge(3))
    assert path.read_bytes() == good
    assert erp.run() == 0
    assert len(erp.journal()) == 3
