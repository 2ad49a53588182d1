"""What happens to a file of the ERP once the page that speaks of it has been recorded.

A cursor carries these moves; they are carried out when it comes back, and may be carried out again.
"""

from isthmus_legacy_erp import names
from isthmus_legacy_erp.disk import Drop, Growing, NotRegular
from isthmus_legacy_erp.look import Move
from isthmus_legacy_erp.names import ACK, DONE, NAK


def carry_out(drop: Drop, move: Move, most: int) -> None:
    """Do it, or what is left of it after a crash in the middle.

    Raises:
        OSError: a file operation failed; nothing is lost, do it again.
    """
    folder = "ack" if move.to == "told" else "inbound"
    source = drop.folder(folder) / move.name
    if drop.has(folder, move.name):
        if _sha(drop, move, most) != move.sha256:
            return
        if move.to == "drop":
            drop.disk.unlink(source)
        else:
            drop.move(source, drop.folder("archive" if move.to == "told" else move.to) / _target(drop, move))
    if move.to == "told":
        return
    marker = source.with_name(move.name + DONE)
    if move.to == "drop":
        drop.disk.unlink(marker)
    else:
        drop.move(marker, drop.folder(move.to) / (_target(drop, move) + DONE))
    reply = move.name + (NAK if move.to == "reject" else ACK)
    if not drop.has("ack", reply):
        drop.put(
            "ack", reply, names.marker({"file": move.name, "sha256": move.sha256, "why": _ascii(move.why)})
        )


def _sha(drop: Drop, move: Move, most: int) -> str | None:
    """The digest of what stands there now; empty for what is no regular file, None while it changes."""
    folder = "ack" if move.to == "told" else "inbound"
    try:
        return names.digest(drop.disk.read(drop.folder(folder) / move.name, most))
    except NotRegular:
        return ""
    except (Growing, FileNotFoundError):
        return None


def _target(drop: Drop, move: Move) -> str:
    """The name it gets: the archive is found by number; ``reject`` keeps all versions of a file."""
    if move.to == "archive":
        file = names.parse(move.name)
        assert file is not None, "only files with a fitting name are read"
        return file.shelf
    return f"{move.name}.{move.sha256[:8] or 'irregular'}" if move.to == "reject" else move.name


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("\n", " ")
