"""Backups: a copy counts when it was opened and found sound, and its hash is written beside it."""

import hashlib
import os
import shutil
from datetime import datetime
from pathlib import Path

import msgspec
import trio

from isthmus.store import audit, check, log, migrations
from isthmus.store._bridge import look_into
from isthmus.store.errors import SchemaTooNew, StoreDamaged
from isthmus.store.face import Store, Tx
from isthmus.store.lock import sync_directory
from isthmus.store.open import DATABASE_NAME

__all__ = [
    "Copy",
    "Standing",
    "back_up",
    "manifest_of",
    "put_back",
    "read_manifest",
    "standing",
    "verify",
    "write_manifest",
]

BLOCK = 1024 * 1024


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How far a store is, and whether it is sound."""

    schema: int
    generation: int
    events: int
    acts: int
    problems: list[str]
    """In SQLite's words; empty when it is sound."""


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A backup and what it is; the manifest beside it says the same."""

    file: str
    bytes: int
    sha256: str
    made_at: datetime
    schema: int
    generation: int
    events: int
    acts: int


def standing(tx: Tx, *, full: bool = False) -> Standing:
    """Look at a store, whole.

    Args:
        full: Compare every index with its table as well.
    """
    return Standing(
        schema=int((tx.one("schema_version") or (0,))[0]),
        generation=int((tx.one("lease_generation") or (0,))[0]),
        events=log.head(tx),
        acts=audit.last(tx)[0],
        problems=check.problems(tx, full=full),
    )


def verify(file: Path, made_at: datetime) -> Copy:
    """Open a copy and look whether it is sound.

    Raises:
        StoreDamaged: it is not.
        SchemaTooNew: a newer isthmus wrote it.
    """
    found = look_into(file, standing)
    if found.problems:
        raise StoreDamaged(f"{file}: {'; '.join(found.problems)[:500]}")
    known = len(migrations.load())
    if found.schema > known:
        raise SchemaTooNew(found.schema, known)
    return Copy(
        file=file.name,
        bytes=file.stat().st_size,
        sha256=_hash(file),
        made_at=made_at,
        schema=found.schema,
        generation=found.generation,
        events=found.events,
        acts=found.acts,
    )


async def back_up(store: Store, target: Path, made_at: datetime) -> Copy:
    """Copy a store at work, open the copy, look whether it is sound, write its manifest.

    Raises:
        FileExistsError: ``target`` exists.
        StoreDamaged: the copy is not sound; it is kept without a manifest, for whoever looks into it.
    """
    await store.backup(target)
    copy = await trio.to_thread.run_sync(verify, target, made_at)
    await trio.to_thread.run_sync(write_manifest, target, copy)
    return copy


def manifest_of(file: Path) -> Path:
    """Where the manifest of a backup stands."""
    return file.with_name(file.name + ".json")


def write_manifest(file: Path, copy: Copy) -> None:
    """Write what a backup is beside it; it has its name only when it is whole."""
    target = manifest_of(file)
    partial = target.with_name(target.name + ".partial")
    with partial.open("wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(copy)) + b"\n")
        out.flush()
        os.fsync(out.fileno())
    partial.rename(target)
    sync_directory(target.parent)


def read_manifest(file: Path) -> Copy | None:
    """What was written beside a backup; None where nothing is.

    Raises:
        StoreDamaged: the manifest is no manifest.
    """
    manifest = manifest_of(file)
    try:
        return msgspec.json.decode(manifest.read_bytes(), type=Copy)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise StoreDamaged(f"{manifest}: {error}") from error


def put_back(file: Path, into: Path, at: datetime) -> Copy:
    """Make a state directory of a backup; never over a store that is there.

    Raises:
        FileExistsError: there is a store in ``into``.
        StoreDamaged: the backup is not what its manifest says, or not sound.
        SchemaTooNew: a newer isthmus wrote it.
    """
    target = into / DATABASE_NAME
    if target.exists():
        raise FileExistsError(target)
    said = read_manifest(file)
    if said is not None and said.sha256 != _hash(file):
        raise StoreDamaged(f"{file}: its SHA-256 is not the one of its manifest; it was changed or cut short")
    copy = verify(file, at if said is None else said.made_at)
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    shutil.copyfile(file, partial)
    descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.chmod(0o600)
    partial.rename(target)
    sync_directory(into)
    return copy


def _hash(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as data:
        while block := data.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
