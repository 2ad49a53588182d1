"""File names and markers: ``<interface>_<company>_<number>_<UTC>.dat`` and ``<file>.done`` beside it."""

import hashlib
import re
from datetime import UTC, datetime

import msgspec

NAME = re.compile(
    r"(?P<interface>[a-z][a-z-]{0,29})_(?P<company>[A-Z0-9]{1,10})_(?P<seq>[0-9]{8})"
    r"_(?P<created>[0-9]{8}T[0-9]{6}Z)\.dat",
    re.ASCII,
)
DONE, ACK, NAK = ".done", ".ack", ".nak"
RESPONSE = "-response"
SEQ_MAX = 99_999_999


class FileName(msgspec.Struct, frozen=True, kw_only=True):
    """What the name of a file says: which interface and company, and its number, gap-free from 1."""

    interface: str
    company: str
    seq: int
    created: str

    def __str__(self) -> str:
        return f"{self.interface}_{self.company}_{self.seq:08d}_{self.created}.dat"

    @property
    def shelf(self) -> str:
        """The name in ``archive``: without the time, so that a number is found without a search."""
        return f"{self.interface}_{self.company}_{self.seq:08d}.dat"

    @property
    def batch_id(self) -> str:
        """The name inside: in the header, and in staging tables."""
        return f"{self.interface}-{self.company}-{self.seq:08d}"


def parse(name: str) -> FileName | None:
    """The parts of a file name; None where it is not one of ours."""
    found = NAME.fullmatch(name)
    if found is None:
        return None
    return FileName(
        interface=found["interface"],
        company=found["company"],
        seq=int(found["seq"]),
        created=found["created"],
    )


def stamp(at: datetime) -> str:
    """A time as it stands in a file name, in UTC."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def marker(values: dict[str, object]) -> bytes:
    """The text of a marker: one ``name=value`` per line, ASCII."""
    return "".join(f"{name}={value}\n" for name, value in values.items()).encode("ascii")


def read_marker(data: bytes) -> dict[str, str]:
    """The values of a marker; what is no ``name=value`` is left out."""
    lines = data.decode("ascii", "replace").splitlines()
    return {
        name.strip(): value.strip()
        for name, equals, value in (line.partition("=") for line in lines)
        if equals
    }
