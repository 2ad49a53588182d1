"""What a look at the ERP's side finds, whichever way its facts travel, and the cursor behind it."""

from datetime import datetime

import msgspec

from isthmus.sdk import Refused
from isthmus_legacy_erp.batch import Batch
from isthmus_legacy_erp.names import FileName, digest

WHY = 200


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done with a file, or was done about a batch, once the page that tells it is recorded."""

    name: str
    to: str
    """archive, reject, drop (a second copy), told (a refusal of the ERP that was passed on), or held (a
    staged batch whose totals disagree)."""
    sha256: str = ""
    """Of the bytes that were read; a file with others stays. Empty for what is no regular file."""
    why: str = ""
    """For the ERP's people, in the NAK."""


class Gap(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Identities that are not there: rolled back, or not committed yet. Both ends are missing."""

    first: int
    last: int
    missed_at: datetime


class Cursor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How far each interface was read, and what is to be tidied up when this comes back."""

    last: dict[str, int] = {}
    """The last number read of each interface; of staged periods the last change, by period and ledger."""
    moves: list[Move] = []
    top: int = 0
    """The highest identity read from the ERP's table."""
    gaps: list[Gap] = []
    """Below ``top``, what may still be committed."""


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A batch or document of the ERP, whole and checked."""

    file: FileName
    batch: Batch
    place: str
    """How a person finds it: a file in ``inbound`` or ``archive``, a row of a table."""


class Look(msgspec.Struct, kw_only=True):
    """What one look found."""

    last: dict[str, int] = {}
    moves: list[Move] = []
    top: int = 0
    gaps: list[Gap] = []
    arrived: list[Arrived] = []
    refused: list[Refused] = []
    conflicts: list[str] = []
    """Files that claim a number under which other bytes were read."""
    more: bool = False
    gap: str | None = None
    """Why the stream cannot go on, while later things are there: what is missing, and whom to ask."""

    def refuse(self, name: str, reason: str, data: bytes | None, *, to: str = "reject") -> None:
        """Report something as refused, and have it moved once that is recorded."""
        raw = name.encode() if data is None else data
        self.refused.append(Refused(reason=reason, place=name, raw=raw))
        sha256 = "" if data is None else digest(data)
        self.moves.append(Move(name=name, to=to, sha256=sha256, why=reason[:WHY]))

    def cursor(self) -> Cursor:
        """To look with after this one was recorded."""
        return Cursor(last=self.last, moves=self.moves, top=self.top, gaps=self.gaps)
