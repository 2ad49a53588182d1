"""What an admin says about one ERP company, and about its drop directory or staging tables."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from isthmus.events import Currency
from isthmus.sdk import Secret

Encoding = Literal["utf-8", "utf-8-sig", "iso8859-15", "cp1252", "cp850", "cp037", "cp500", "cp1140"]
LineEnd = Literal["lf", "crlf", "none"]
Sign = Literal["leading", "trailing", "overpunch", "overpunch-ascii"]
Decimals = Literal["implied", "point", "comma"]
Unmappable = Literal["reject", "transliterate"]

Interface = Literal["customers", "projects", "charges", "responses", "receivables", "periods"]
Company = Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{1,10}$")]
Seq = Annotated[int, msgspec.Meta(ge=1, le=99_999_999)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Identifier = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,29}$")]


class TextRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How values become bytes. A layout file may state its own under ``text``."""

    encoding: Encoding
    line_end: LineEnd
    sign: Sign
    decimals: Decimals
    unmappable: Unmappable = "reject"

    @property
    def charset(self) -> str:
        """The encoding of one field: a byte order mark stands before the file only."""
        return "utf-8" if self.encoding == "utf-8-sig" else self.encoding


class Staging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The database with the staging tables."""

    url: str
    """``postgresql://user@host:5432/database`` or ``sqlite:////path/file.db``, without a password."""
    password: Secret | None = None
    """Of the user in ``url``."""
    reader_url: str | None = None
    """The same database for an account that may only read; everything but writing batches goes there."""
    reader_password: Secret | None = None
    schema: Identifier | None = None
    """Where the tables are; where not said, the account's own default."""
    lock_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """How long to wait for a lock of the ERP before trying again later."""
    statement_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """How long one statement may take."""
    trailing_s: Seconds = 600.0
    """How long an identity that is missing in ``isth_out`` may still be committed."""
    rows_per_page: Annotated[int, msgspec.Meta(gt=0)] = 500
    """Rows of ``isth_out`` read in one pull."""


class LegacyErpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one instance: one ERP company behind one drop directory, or one set of staging tables."""

    interface: Literal["files", "sql"] = "files"
    """How batches travel: numbered files in ``drop_dir``, or rows in the tables of ``staging``."""
    drop_dir: Path | None = None
    """Holds ``outbound inbound ack archive reject .tmp``, all on one file system; created when missing."""
    staging: Staging | None = None
    """The database with the tables of ``interface = "sql"``."""
    company: Company
    """The company as the ERP writes it; part of every file name and header."""
    currency: Currency
    """The one currency of this company's ledger; a charge in another is refused."""
    encoding: Encoding | None = None
    """Of every file, in both directions. Field widths count bytes of it. Of staging tables: what the
    database can hold, UTF-8 where not said."""
    line_end: LineEnd | None = None
    """After every record; ``none`` for fixed blocks."""
    sign: Sign | None = None
    """Where the sign of a number stands: a ``+`` or ``-`` of its own before or after the digits, or
    overpunched on the last digit: as on a mainframe (``{ABCDEFGHI``, ``}JKLMNOPQR``), or as GnuCOBOL and
    other ASCII compilers do by default (``0..9``, ``pqrstuvwxy``)."""
    decimals: Decimals | None = None
    """Whether the decimal point is implied by the layout, or written as a point or a comma."""
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
    """The probe complains when the ERP leaves a batch alone for longer."""

    def __post_init__(self) -> None:
        needed = {
            "files": ("drop_dir", "encoding", "line_end", "sign", "decimals"),
            "sql": ("staging",),
        }[self.interface]
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f'interface "{self.interface}" needs {", ".join(missing)}')
        if self.interface == "sql" and self.layouts:
            raise ValueError("layouts are of files; the columns of staging tables are fixed")

    def first(self, interface: str) -> int:
        """The first number of an interface's files."""
        return self.first_seq.get(interface, 1)

    @property
    def text(self) -> TextRules:
        """How values become bytes. Of rows only the widths and the characters matter."""
        return TextRules(
            encoding=self.encoding or "utf-8",
            line_end=self.line_end or "none",
            sign=self.sign or "leading",
            decimals=self.decimals or "point",
            unmappable=self.unmappable,
        )
