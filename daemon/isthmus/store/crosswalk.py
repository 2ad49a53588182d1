"""Our key and theirs: which record of which system is the project, customer or charge we mean."""

from datetime import datetime

import msgspec

from isthmus.store.errors import CrosswalkConflict
from isthmus.store.face import Tx
from isthmus.store.instants import from_text


class Link(msgspec.Struct, frozen=True):
    """One system's record of one of our keys."""

    kind: str
    key: str
    system: str
    remote_id: str
    linked_at: datetime


def link(tx: Tx, kind: str, key: str, system: str, remote_id: str, now: datetime) -> bool:
    """Say that ``key`` is ``remote_id`` over there. The same link again changes nothing.

    Returns:
        True when the link is new.

    Raises:
        CrosswalkConflict: the key is linked to another record, or the record to another key.
    """
    if tx.run("crosswalk_add", kind=kind, key=key, system=system, remote_id=remote_id, now=now) == 1:
        return True
    known = remote(tx, kind, key, system)
    if known == remote_id:
        return False
    if known is not None:
        raise CrosswalkConflict(f"{kind} {key} is {known} in {system}; it cannot be {remote_id} as well")
    owner = key_of(tx, system, kind, remote_id)
    raise CrosswalkConflict(f"{system} {remote_id} is {kind} {owner}; it cannot be {key} as well")


def unlink(tx: Tx, kind: str, key: str, system: str) -> bool:
    """A person takes a wrong link back; False when there was none."""
    return tx.run("crosswalk_unlink", kind=kind, key=key, system=system) == 1


def remote(tx: Tx, kind: str, key: str, system: str) -> str | None:
    """Their id for our key."""
    row = tx.one("crosswalk_remote", kind=kind, key=key, system=system)
    return None if row is None else str(row[0])


def key_of(tx: Tx, system: str, kind: str, remote_id: str) -> str | None:
    """Our key for their id."""
    row = tx.one("crosswalk_key_of", system=system, kind=kind, remote_id=remote_id)
    return None if row is None else str(row[0])


def systems_of(tx: Tx, key: str) -> list[Link]:
    """Every system that knows a key, whatever kind of thing it is."""
    return [
        Link(kind, name, system, remote_id, from_text(linked_at))
        for kind, name, system, remote_id, linked_at in tx.all("crosswalk_systems_of", key=key)
    ]


def keys_of_record(tx: Tx, remote_id: str) -> list[str]:
    """Our keys for a record id, whichever system and kind it is of."""
    return [str(row[0]) for row in tx.all("crosswalk_keys_of_record", remote_id=remote_id)]
