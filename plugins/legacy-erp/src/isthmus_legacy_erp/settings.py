"""What an admin says about one ERP company and its drop directory; nothing here is guessed."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from isthmus.events import Currency

Encoding = Literal["utf-8", "iso8859-15", "cp1252", "cp850", "cp037", "cp500", "cp1140"]
LineEnd = Literal["lf", "crlf", "none"]
Sign = Literal["leading", "trailing", "overpunch"]
Decimals = Literal["implied", "point"]
Unmappable = Literal["reject", "transliterate"]

Interface = Literal["customers", "projects", "charges", "responses", "receivables", "periods"]
Company = Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{1,10}$")]
Seq = Annotated[int, msgspec.Meta(ge=1, le=99_999_999)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class TextRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How values become bytes. A layout file may state its own under ``text``."""

    encoding: Encoding
    line_end: LineEnd
    sign: Sign
    decimals: Decimals
    unmappable: Unmappable = "reject"


class LegacyErpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one instance: one ERP company behind one drop directory."""

    drop_dir: Path
    """Holds ``outbound inbound ack archive reject .tmp``, all on one file system; created when missing."""
    company: Company
    """The company as the ERP writes it; part of every file name and header."""
    currency: Currency
    """The one currency of this company's ledger; a charge in another is refused."""
    encoding: Encoding
    """Of every file, in both directions. Field widths count bytes of it."""
    line_end: LineEnd
    """After every record; ``none`` for fixed blocks."""
    sign: Sign
    """Where the sign of a number stands: a ``+`` or ``-`` of its own before or after the digits, or
    overpunched on the last digit (``{ABCDEFGHI``, ``}JKLMNOPQR``)."""
    decimals: Decimals
    """Whether the decimal point is implied by the layout or written."""
    unmappable: Unmappable = "reject"
    """A character the encoding lacks: refuse the record, or write free text with a plain letter instead.
    Keys and references are never rewritten."""
    layouts: dict[Interface, Path] = {}
    """Layout files that replace those in the package, by interface."""
    first_seq: dict[str, Seq] = {}
    """The first number by interface, where an older integration has used up the ones before it;
    1 where not said. Responses have the numbers of the batches they answer."""
    markers: bool = True
    """The ERP writes ``<file>.done`` after each file. Without, a file is taken once it is stable."""
    stable_s: Seconds = 30.0
    """Without markers: how long size and time of a file must have stood still."""
    max_file_bytes: Annotated[int, msgspec.Meta(gt=0)] = 64 * 1024 * 1024
    """A larger inbound file is refused unread."""
    files_per_page: Annotated[int, msgspec.Meta(gt=0)] = 10
    """Inbound files read in one pull."""
    pickup_s: Seconds = 3600.0
    """The probe complains when the ERP leaves a batch unread for longer."""

    def first(self, interface: str) -> int:
        """The first number of an interface's files."""
        return self.first_seq.get(interface, 1)

    @property
    def text(self) -> TextRules:
        return TextRules(
            encoding=self.encoding,
            line_end=self.line_end,
            sign=self.sign,
            decimals=self.decimals,
            unmappable=self.unmappable,
        )
