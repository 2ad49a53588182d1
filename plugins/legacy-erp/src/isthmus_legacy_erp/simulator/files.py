"""The ERP's side of the drop directory: what it takes, what it checks before, what it writes.

What is to be done on disk is queued in the simulator's memory first and carried out after that was saved,
so a simulator that is killed in between does it when it comes back.
"""

import hashlib
import re
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, cast

from isthmus_legacy_erp.simulator.copybook import Malformed, Record, Style, copybook, pack, unpack

NAME = re.compile(r"([a-z]+)_([A-Z0-9]+)_(\d{8})_\d{8}T\d{6}Z\.dat")
FOLDERS = ("outbound", "inbound", "ack", "archive", "reject", ".tmp")


class Batch(NamedTuple):
    """A batch of isthmus that passed all checks."""

    interface: str
    name: str
    seq: int
    sha256: str
    batch_id: str
    lines: list[Record]


class Refused(Exception):
    """A batch that is not posted at all; the text goes into the NAK."""


class Files:
    """Reads and writes in the drop directory of one company."""

    def __init__(self, root: Path, company: str, currency: str, style: Style, memory: dict[str, Any]) -> None:
        self._root = root
        self._company = company
        self._currency = currency
        self._style = style
        self._memory = memory
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)

    def ready(self, interface: str) -> list[str]:
        """Names of the batches with a marker, by number."""
        found = []
        for marker in (self._root / "outbound").glob(f"{interface}_{self._company}_*.dat.done"):
            name = marker.name.removesuffix(".done")
            if NAME.fullmatch(name) and (self._root / "outbound" / name).is_file():
                found.append(name)
        return sorted(found)

    def digest(self, name: str) -> str:
        return hashlib.sha256((self._root / "outbound" / name).read_bytes()).hexdigest()

    def check(self, name: str) -> Batch:
        """Read a batch and check its marker, its header and its totals.

        Raises:
            Refused: something disagrees.
        """
        path = self._root / "outbound" / name
        data = path.read_bytes()
        marker = path.with_name(f"{name}.done").read_text("ascii")
        said = dict(line.split("=", 1) for line in marker.splitlines() if "=" in line)
        sha256 = hashlib.sha256(data).hexdigest()
        if said.get("sha256") != sha256 or said.get("bytes") != str(len(data)):
            raise Refused("FILE DOES NOT MATCH ITS MARKER")
        matched = NAME.fullmatch(name)
        assert matched is not None, "only such names are taken"
        interface, company, seq = matched[1], matched[2], int(matched[3])
        try:
            records = unpack(copybook(interface), data, self._style)
        except (Malformed, UnicodeDecodeError) as error:
            raise Refused(str(error)) from error
        if [kind for kind, _ in records] != ["H", *"D" * (len(records) - 2), "T"]:
            raise Refused("RECORDS ARE NOT H D.. T")
        header, trailer = records[0][1], records[-1][1]
        lines = [record for _, record in records[1:-1]]
        expected = {
            "IFACE": interface,
            "COMPANY": company,
            "SEQ-NO": Decimal(seq),
            "CURRENCY-CODE": self._currency,
        }
        if any(header[item] != value for item, value in expected.items()):
            raise Refused("HEADER DOES NOT MATCH FILE NAME OR COMPANY")
        if [line["LINE-NO"] for line in lines] != list(range(1, len(lines) + 1)):
            raise Refused("LINES NOT NUMBERED FROM 1")
        for name_of_total, total in self._totals(lines).items():
            if name_of_total in trailer and trailer[name_of_total] != total:
                raise Refused(f"{name_of_total} IS {total} TRAILER SAYS {trailer[name_of_total]}")
        return Batch(interface, name, seq, sha256, str(header["BATCH-ID"]), lines)

    def acknowledge(self, name: str) -> None:
        """Queue: the batch was taken."""
        self._write("ack", f"{name}.ack", b"PICKED UP\n")
        self._queue("move", "outbound", name, "archive")
        self._queue("move", "outbound", f"{name}.done", "archive")

    def refuse(self, name: str, words: str) -> None:
        """Queue: the batch was refused whole."""
        self._queue("move", "outbound", name, "reject")
        self._queue("move", "outbound", f"{name}.done", "reject")
        self._write("ack", f"{name}.nak", f"{words}\n".encode("ascii", "replace"))

    def answer(
        self,
        interface: str,
        seq: int,
        at: datetime,
        lines: list[tuple[str, Record]],
        *,
        extra: Record | None = None,
        wrong_total: bool = False,
        due_s: float = 0.0,
    ) -> str:
        """Queue a file for isthmus, to be written at ``due_s`` seconds since 1970; its name."""
        book = copybook("responses" if interface.endswith("-response") else interface)
        numbered = [(kind, {**line, "LINE-NO": Decimal(n)}) for n, (kind, line) in enumerate(lines, start=1)]
        header: Record = {
            "IFACE": interface,
            "VERSION": Decimal(1),
            "COMPANY": self._company,
            "SEQ-NO": Decimal(seq),
            "BATCH-ID": f"ERP-{interface}-{seq:08d}",
            "CREATED": at.strftime("%Y%m%d%H%M%S"),
            "CURRENCY-CODE": self._currency,
            **(extra or {}),
        }
        totals: Record = dict(self._totals([line for _, line in numbered]))
        right = pack(book, [("H", header), *numbered, ("T", totals)], self._style)
        name = f"{interface}_{self._company}_{seq:08d}_{at:%Y%m%dT%H%M%SZ}.dat"
        self._memory["sent"][name] = right.decode("latin-1")
        data = right
        if wrong_total:
            totals["REC-COUNT"] = cast(Decimal, totals["REC-COUNT"]) + 1
            data = pack(book, [("H", header), *numbered, ("T", totals)], self._style)
        self.deliver(name, data, due_s)
        return name

    def deliver(self, name: str, data: bytes, due_s: float = 0.0) -> None:
        """Queue a file and then its marker."""
        marker = f"file={name}\nsha256={hashlib.sha256(data).hexdigest()}\nbytes={len(data)}\n"
        self._write("inbound", name, data, due_s)
        self._write("inbound", f"{name}.done", marker.encode(), due_s)

    def repeat(self, name: str) -> None:
        """Queue a file once more, the same bytes under a later time in the name."""
        self.deliver(name[: -len("00Z.dat")] + "99Z.dat", self._memory["sent"][name].encode("latin-1"))

    def resend(self) -> bool:
        """Queue again, as it should have been, each file of ours that isthmus refused."""
        naks = [path for path in (self._root / "ack").glob("*.nak") if path.name[:-4] in self._memory["sent"]]
        for nak in naks:
            self.deliver(nak.name[:-4], self._memory["sent"][nak.name[:-4]].encode("latin-1"))
            nak.unlink()
        return bool(naks)

    def carry_out(self, now_s: float) -> None:
        """Do on disk what is queued and due, in order."""
        late = []
        for job in self._memory["queue"]:
            what, folder, name, rest, due_s = job
            if due_s > now_s:
                late.append(job)
            elif what == "move":
                if (self._root / folder / name).exists():
                    (self._root / folder / name).replace(self._root / rest / name)
            else:
                part = self._root / ".tmp" / f"erp-{name}"
                part.write_bytes(rest.encode("latin-1"))
                part.replace(self._root / folder / name)
        self._memory["queue"] = late

    def due(self, now_s: float) -> bool:
        return any(due_s <= now_s for *_, due_s in self._memory["queue"])

    def _write(self, folder: str, name: str, data: bytes, due_s: float = 0.0) -> None:
        self._queue("write", folder, name, data.decode("latin-1"), due_s)

    def _queue(self, what: str, folder: str, name: str, rest: str, due_s: float = 0.0) -> None:
        self._memory["queue"].append([what, folder, name, rest, due_s])

    def _totals(self, lines: list[Record]) -> dict[str, Decimal]:
        """The control totals over lines: count, hours, amount, and the weighted sum of reference bytes."""
        weighted = 0
        for line in lines:
            for place, byte in enumerate(str(line["EXT-REF"]).encode(self._style.encoding)):
                weighted += (place + 1) * byte
        sums = {
            total: sum((cast(Decimal, line.get(item) or Decimal(0)) for line in lines), Decimal(0))
            for total, item in (("TOT-QUANTITY", "QUANTITY"), ("TOT-AMOUNT", "AMOUNT"))
        }
        return {"REC-COUNT": Decimal(len(lines)), "HASH-TOTAL": Decimal(weighted % 10**15), **sums}
