"""Reads what the ERP drops into ``inbound``: in order of number, once, and trusting nothing.

A file counts when its name fits, its marker is there (or it stood still long enough), it is a regular file,
its bytes are those of the marker, and its control totals agree. What was read stays where it is until the
cursor that covers it comes back with the next pull; only then it goes to ``archive`` or ``reject``. So a
crash in between finds it again. What is in the archive is read again, by number, when an older cursor asks.
"""

from collections.abc import Mapping, Sequence

import msgspec

from isthmus_legacy_erp import batch, names, tidy
from isthmus_legacy_erp.codec import BytesRefused, Codec
from isthmus_legacy_erp.disk import Drop, Growing, NotRegular
from isthmus_legacy_erp.look import WHY, Arrived, Cursor, Look, Move
from isthmus_legacy_erp.names import DONE, NAK, RESPONSE, FileName
from isthmus_legacy_erp.settings import LegacyErpSettings

SMALL = 4096
"""No marker or NAK is larger."""


class _Unfit(Exception):
    """A file that is complete and cannot be used; with its bytes where they could be read."""

    def __init__(self, file: FileName, reason: str, data: bytes | None) -> None:
        super().__init__(reason)
        self.file, self.data = file, data


class Inbox:
    """The reading side of a drop directory. Its methods block; run them on a thread."""

    def __init__(self, drop: Drop, settings: LegacyErpSettings, codecs: Mapping[str, Codec]) -> None:
        self._drop = drop
        self._settings = settings
        self._codecs = codecs
        """By inbound interface."""

    def look(self, interfaces: Sequence[str], cursor: Cursor, now_s: float) -> Look:
        """Tidy up what ``cursor`` covers, then read the next files of each interface.

        A response interface brings the NAKs of the batches it answers along.

        Args:
            now_s: seconds since 1970; tells whether a file without a marker stood still long enough.

        Raises:
            OSError: a file operation failed; look again.
        """
        for move in cursor.moves:
            tidy.carry_out(self._drop, move, self._settings.max_file_bytes)
        look = Look(last=dict(cursor.last))
        waiting = [file for name in self._drop.names("inbound") if (file := self._ours(name)) is not None]
        for interface in interfaces:
            here = [file for file in waiting if file.interface == interface]
            self._read(interface, here, look, now_s)
        answered = {name.removesuffix(RESPONSE) for name in interfaces if name.endswith(RESPONSE)}
        if answered:
            self._naks(answered, look)
        return look

    def refused_lines(self, file: FileName) -> frozenset[int]:
        """The lines of our batch ``file`` that the ERP refused, as far as that was passed on already."""
        answer = msgspec.structs.replace(file, interface=file.interface + RESPONSE)
        found = self._shelved(answer)
        if found is None:
            return frozenset()
        return frozenset(
            line
            for line, row in enumerate(found.batch.rows, start=1)
            if str(row.values.get("status")) == "REJECTED"
        )

    def _read(self, interface: str, here: list[FileName], look: Look, now_s: float) -> None:
        """Read an interface up to its first gap, or until the page is full."""
        number = look.last.get(interface, self._settings.first(interface.removesuffix(RESPONSE)) - 1)
        for file in here:
            if file.seq <= number:
                self._look_at_old(file, look, now_s)
        while len(look.arrived) < self._settings.files_per_page:
            wanted = FileName(interface=interface, company=self._settings.company, seq=number + 1, created="")
            try:
                arrived = self._shelved(wanted) or self._taken(wanted, here, look, now_s)
            except _Unfit as error:
                look.refuse(str(error.file), f"{error.file}: {error}; not a line of it was read", error.data)
                return
            if arrived is None:
                if any(file.seq > wanted.seq and self._complete(file, now_s) for file in here):
                    look.gap = look.gap or (
                        f"{interface} {wanted.seq:08d} is missing or incomplete, later numbers are there; "
                        "ask the ERP for it"
                    )
                return
            look.arrived.append(arrived)
            number += 1
            look.last[interface] = number
        look.more = True

    def _shelved(self, wanted: FileName) -> Arrived | None:
        """The file of that number if it was read before."""
        try:
            data = self._drop.disk.read(
                self._drop.folder("archive") / wanted.shelf, self._settings.max_file_bytes
            )
        except FileNotFoundError:
            return None
        try:
            found = batch.read(self._codecs[wanted.interface], data, wanted)
        except BytesRefused as error:
            raise OSError(None, f"archive/{wanted.shelf} is damaged: {error}; restore it") from error
        return Arrived(file=wanted, batch=found, place=wanted.shelf)

    def _taken(self, wanted: FileName, here: list[FileName], look: Look, now_s: float) -> Arrived | None:
        """The file of that number from ``inbound``, to be archived later; None while there is none."""
        for file in here:
            if file.seq != wanted.seq or (data := self._bytes(file, now_s)) is None:
                continue
            try:
                found = batch.read(self._codecs[file.interface], data, file)
            except BytesRefused as error:
                raise _Unfit(file, str(error), data) from error
            look.moves.append(Move(name=str(file), to="archive", sha256=names.digest(data)))
            return Arrived(file=file, batch=found, place=file.shelf)
        return None

    def _look_at_old(self, file: FileName, look: Look, now_s: float) -> None:
        """A file under a number that was read: a second copy has no effect, other bytes are a conflict."""
        try:
            data = self._bytes(file, now_s)
        except _Unfit as error:
            look.refuse(str(file), f"{file}: {error}", error.data)
            return
        if data is None:
            return
        try:
            first = self._drop.disk.read(
                self._drop.folder("archive") / file.shelf, self._settings.max_file_bytes
            )
        except OSError:
            first = None
        if first == data:
            look.moves.append(Move(name=str(file), to="drop", sha256=names.digest(data)))
            return
        look.conflicts.append(str(file))
        known = "it had other bytes" if first is not None else "its copy is no longer in the archive"
        look.refuse(str(file), f"{file}: number {file.seq} was read before and {known}; ask the ERP", data)

    def _bytes(self, file: FileName, now_s: float) -> bytes | None:
        """The bytes of a file that is complete; None while it is not.

        Raises:
            _Unfit: it is no regular file, too large, or not what its marker says.
        """
        path = self._drop.folder("inbound") / str(file)
        said: dict[str, str] = {}
        if not self._complete(file, now_s):
            return None
        if self._settings.markers:
            try:
                said = names.read_marker(self._drop.disk.read(path.with_name(path.name + DONE), SMALL))
            except (FileNotFoundError, NotRegular, Growing):
                return None
        try:
            data = self._drop.disk.read(path, self._settings.max_file_bytes)
        except (FileNotFoundError, Growing):
            return None
        except NotRegular as error:
            raise _Unfit(file, str(error), None) from error
        if self._settings.markers and said.get("sha256", "").lower() != names.digest(data):
            raise _Unfit(file, "its bytes are not those of its marker", data)
        return data

    def _complete(self, file: FileName, now_s: float) -> bool:
        """Whether the ERP is done with a file, as far as can be told without opening it."""
        if self._settings.markers:
            return self._drop.has("inbound", str(file) + DONE)
        try:
            written_s = (self._drop.folder("inbound") / str(file)).lstat().st_mtime
        except FileNotFoundError:
            return False
        return now_s - written_s >= self._settings.stable_s

    def _naks(self, answered: set[str], look: Look) -> None:
        """Batches of ours that the ERP refused whole."""
        for name in self._drop.names("ack"):
            file = self._ours(name.removesuffix(NAK)) if name.endswith(NAK) else None
            if file is None or file.interface not in answered:
                continue
            try:
                data = self._drop.disk.read(self._drop.folder("ack") / name, SMALL)
            except (FileNotFoundError, NotRegular, Growing):
                continue
            words = " ".join(data.decode("ascii", "replace").split())[:WHY]
            reason = (
                f"the ERP refused batch {file} whole, posted no line: {words}; mend the cause, then replay"
            )
            look.refuse(name, reason, data, to="told")

    def _ours(self, name: str) -> FileName | None:
        file = names.parse(name)
        return file if file is not None and file.company == self._settings.company else None
