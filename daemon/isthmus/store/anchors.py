"""Anchors: what the audit chain was like at some moments, kept beside the file and not in it.

A chain that was rewritten from its beginning fits together again; it does not fit its anchors. The file has a
line of JSON for each, and each is in the journal too: copy either to where whoever may write the database may
not write.
"""

import os
from datetime import datetime
from pathlib import Path

import msgspec

__all__ = ["ANCHORS_NAME", "Anchor", "append", "read"]

ANCHORS_NAME = "isthmus.anchors"


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """The chain as it was."""

    at: datetime
    act: int
    """The newest act."""
    hash: str
    """Its hash, hexadecimal; it covers everything before."""


def append(path: Path, anchor: Anchor) -> None:
    """Keep an anchor for good. What a crash left of a line is cut off first."""
    path.touch(mode=0o600)
    with path.open("r+b") as file:
        whole = file.read().rpartition(b"\n")
        file.truncate(len(whole[0]) + len(whole[1]))
        file.seek(0, os.SEEK_END)
        file.write(msgspec.json.encode(anchor) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[Anchor]:
    """All anchors, oldest first; none where there is no file. A line cut short by a crash is passed over.

    Raises:
        ValueError: a line is no anchor; the message names it.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            found.append(msgspec.json.decode(line, type=Anchor))
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}:{number}: not an anchor: {error}") from error
    return found
