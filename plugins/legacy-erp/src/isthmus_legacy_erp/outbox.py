"""Frozen batches and their files: whatever happened before, at the end there is one file and one marker.

A batch is frozen in the daemon's store before a byte is written, so its file can be made again, the same to
the byte, as long as the ERP has not taken it.
"""

import threading
from base64 import b64decode, b64encode
from decimal import Decimal

import msgspec

from isthmus.sdk import Fatal, Retryable
from isthmus_legacy_erp import names
from isthmus_legacy_erp.batch import Totals
from isthmus_legacy_erp.disk import PART, Drop, Growing, NotRegular
from isthmus_legacy_erp.names import ACK, DONE, NAK, RESPONSE, FileName

LOCK_S = 20.0
BASE64 = "base64"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What one line of a batch was made of; the response is read against it."""

    delivery: str
    event: str
    kind: str
    """Of the record: customer, project, charge."""
    key: str
    ref: str
    correlation: str | None = None
    project: str | None = None
    amount: Decimal | None = None
    currency: str | None = None


class FrozenBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept in the store under a batch's number: readable, and enough to write the file again."""

    file: FileName
    encoding: str
    text: str
    sha256: str
    totals: Totals
    lines: list[Line]

    @property
    def skipped(self) -> bool:
        """Whether the number was passed over, because the ERP has seen it with other bytes."""
        return not self.text

    def data(self) -> bytes:
        """The bytes of the file.

        Raises:
            Fatal: they are not the bytes that were frozen; the store was changed from outside.
        """
        data = b64decode(self.text) if self.encoding == BASE64 else self.text.encode(self.encoding)
        if names.digest(data) != self.sha256:
            raise Fatal(f"the frozen bytes of {self.file} were changed in the store; restore a backup")
        return data

    def marker(self) -> bytes:
        return names.marker(
            {
                "file": str(self.file),
                "sha256": self.sha256,
                "bytes": len(self.data()),
                **msgspec.structs.asdict(self.totals),
            }
        )

    def line_of(self, delivery: str) -> int:
        """The number of the line a delivery became, from 1."""
        return next(n for n, line in enumerate(self.lines, start=1) if line.delivery == delivery)


def freeze(file: FileName, encoding: str, data: bytes, sums: Totals, lines: list[Line]) -> bytes:
    """The payload to keep for a batch: JSON that an admin can read in the store.

    Packed numbers are no text; a batch that has some is kept in base64.
    """
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = ""
    if text.encode(encoding) != data:
        encoding, text = BASE64, b64encode(data).decode("ascii")
    batch = FrozenBatch(
        file=file,
        encoding=encoding,
        text=text,
        sha256=names.digest(data),
        totals=sums,
        lines=lines,
    )
    return msgspec.json.encode(batch)


def thaw(payload: bytes) -> FrozenBatch:
    return msgspec.json.decode(payload, type=FrozenBatch)


class Outbox:
    """Puts frozen batches into ``outbound``. Its methods block; run them on a thread."""

    def __init__(self, drop: Drop) -> None:
        self._drop = drop
        self._lock = threading.Lock()

    def place(self, batch: FrozenBatch, *, resend_refused: bool) -> None:
        """See to it that the ERP has the batch, or will find it.

        A batch the ERP refused whole (NAK) is put there again, under the same number, only with
        ``resend_refused`` and after the refusal was reported.

        Raises:
            OSError: a file operation failed; call again.
            Retryable: the ERP seems to be taking it right now, or an earlier call hangs.
            Fatal: a file of the same name has other bytes.
        """
        if batch.skipped:
            return
        if not self._lock.acquire(timeout=LOCK_S):
            raise Retryable("an earlier write to the drop directory still hangs; look at its mount")
        try:
            name = str(batch.file)
            if self._taken(batch.file) or self._drop.has("ack", name + NAK):
                return
            if self._drop.has("outbound", name + DONE):
                self._compare(batch)
                return
            if self._drop.has("archive", name + NAK):
                if not resend_refused:
                    return
                self._drop.disk.unlink(self._drop.folder("archive") / (name + NAK))
                self._drop.disk.unlink(self._drop.folder("ack") / (name + ACK))
            # A file without a marker was never read: it is written anew, for its bytes may not be on disk.
            self._drop.put("outbound", name, batch.data())
            self._drop.put("outbound", name + DONE, batch.marker())
        finally:
            self._lock.release()

    def high_water(self, interface: str, company: str) -> int:
        """The highest number of an interface that the drop directory shows a trace of; 0 for none.

        It is above the store's when an older backup of the store was restored.
        """
        highest = 0
        for folder in ("outbound", "ack", "archive"):
            for name in self._drop.names(folder):
                if folder == "outbound" and not name.endswith(DONE):
                    continue  # without a marker it was never read, so its number is free
                if not name.startswith((f"{interface}_{company}_", f"{interface}{RESPONSE}_{company}_")):
                    continue
                number = name.split("_")[2][:8]
                if number.isascii() and number.isdigit():
                    highest = max(highest, int(number))
        return highest

    def unfinished(self) -> tuple[list[str], list[str]]:
        """What a dead process left: the names of part files, and of batch files without a marker."""
        parts = [name for name in self._drop.names(".tmp") if name.endswith(PART)]
        outbound = set(self._drop.names("outbound"))
        unmarked = [name for name in outbound if names.parse(name) and name + DONE not in outbound]
        return sorted(parts), sorted(unmarked)

    def discard(self, parts: list[str]) -> None:
        for name in parts:
            self._drop.disk.unlink(self._drop.folder(".tmp") / name)

    def _taken(self, file: FileName) -> bool:
        """Whether there is a sign that the ERP took the batch: an ack, its archive, its response."""
        name = str(file)
        if self._drop.has("archive", name):
            return True
        if self._drop.has("ack", name + ACK) and not self._drop.has("archive", name + NAK):
            return not self._drop.has("ack", name + NAK)
        answer = msgspec.structs.replace(file, interface=file.interface + RESPONSE)
        return self._drop.has("archive", answer.shelf)

    def _compare(self, batch: FrozenBatch) -> None:
        """A batch with a marker is whole: the file must be ours."""
        path = self._drop.folder("outbound") / str(batch.file)
        data = batch.data()
        try:
            found = self._drop.disk.read(path, len(data))
        except FileNotFoundError:
            raise Retryable(f"{path.name} is gone but its marker is not: the ERP is taking it") from None
        except NotRegular as error:
            raise Fatal(f"{path} was replaced: {error}; find out by whom, then remove it") from error
        except Growing as error:
            raise Retryable(f"{path.name}: {error}") from error
        if found != data:
            raise Fatal(f"{path} was changed after it was written; find out by whom, then remove it")
        self._drop.disk.sync_folder(path.parent)
