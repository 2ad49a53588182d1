"""A backup counts when it was opened and found sound; it never goes over anything."""

# ruff: noqa: ASYNC240  a test may touch a small file on the loop

from pathlib import Path
from random import Random

import pytest

from isthmus.store import audit, copies, log
from isthmus.store.errors import SchemaTooNew, StoreDamaged, StoreRewound
from isthmus.store.face import Store
from isthmus.store.open import DATABASE_NAME, open_store
from tests.store.given import LATER, NOW, approved
from tests.store.test_proof import tampering


async def filled(store: Store) -> None:
    await store.write(lambda tx: log.append(tx, [approved(number) for number in range(200)], NOW))
    await store.write(lambda tx: audit.append(tx, "ada", "x", {}, NOW))


async def test_a_copy_is_taken_at_work_and_says_what_it_is(disk: Store, tmp_path: Path) -> None:
    await filled(disk)
    target = tmp_path / "friday.db"
    copy = await copies.back_up(disk, target, LATER)
    await disk.write(lambda tx: log.append(tx, [approved(999)], NOW))
    assert (copy.events, copy.acts, copy.made_at) == (200, 1, LATER)
    assert copies.read_manifest(target) == copy
    assert copy.bytes == target.stat().st_size
    assert sorted(path.name for path in tmp_path.glob("friday*")) == ["friday.db", "friday.db.json"]


async def test_a_copy_never_goes_over_anything(disk: Store, tmp_path: Path) -> None:
    target = tmp_path / "friday.db"
    target.write_text("mine")
    with pytest.raises(FileExistsError):
        await copies.back_up(disk, target, LATER)
    assert target.read_text() == "mine"


async def test_a_state_directory_is_made_of_a_copy_and_is_the_store_it_was(
    disk: Store, tmp_path: Path
) -> None:
    await filled(disk)
    target = tmp_path / "friday.db"
    await copies.back_up(disk, target, LATER)
    into = tmp_path / "restored"
    copies.put_back(target, into, LATER)
    assert into.stat().st_mode & 0o777 == 0o700
    async with open_store(into) as restored:
        assert await restored.read(log.head) == 200
    with pytest.raises(FileExistsError):
        copies.put_back(target, into, LATER)


async def test_a_copy_put_back_over_a_newer_state_is_noticed_at_the_start(tmp_path: Path) -> None:
    state, target = tmp_path / "state", tmp_path / "friday.db"
    async with open_store(state) as store:
        await filled(store)
        await copies.back_up(store, target, LATER)
        await store.write(lambda tx: log.append(tx, [approved(999)], NOW))
    (state / DATABASE_NAME).unlink()
    copies.put_back(target, state, LATER)
    with pytest.raises(StoreRewound, match="a backup was put back"):
        async with open_store(state):
            pass


@pytest.fixture
async def backup(disk: Store, tmp_path: Path) -> Path:
    await filled(disk)
    target = tmp_path / "friday.db"
    await copies.back_up(disk, target, LATER)
    return target


async def test_any_bit_that_flips_in_a_copy_is_noticed_before_it_is_used(
    backup: Path, tmp_path: Path
) -> None:
    whole, dice = backup.read_bytes(), Random(7)
    for _ in range(50):
        at = dice.randrange(len(whole) * 8)
        bad = bytearray(whole)
        bad[at // 8] ^= 1 << (at % 8)
        backup.write_bytes(bad)
        with pytest.raises(StoreDamaged, match="SHA-256 is not the one of its manifest"):
            copies.put_back(backup, tmp_path / "restored", LATER)
        assert not (tmp_path / "restored").exists()


async def test_without_a_manifest_the_file_itself_is_looked_at(backup: Path, tmp_path: Path) -> None:
    copies.manifest_of(backup).unlink()
    assert copies.put_back(backup, tmp_path / "restored", LATER).events == 200
    backup.write_bytes(backup.read_bytes()[: 40 * 4096])
    with pytest.raises(StoreDamaged):
        copies.put_back(backup, tmp_path / "again", LATER)


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to look like one" * 100])
async def test_what_is_no_database_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "odd.db"
    file.write_bytes(content)
    with pytest.raises(StoreDamaged):
        copies.verify(file, NOW)


async def test_a_copy_of_a_newer_release_is_refused(backup: Path) -> None:
    copies.manifest_of(backup).unlink()
    state = backup.parent / "newer"
    state.mkdir()
    backup.rename(state / DATABASE_NAME)
    with tampering(state) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(SchemaTooNew):
        copies.verify(state / DATABASE_NAME, NOW)


async def test_a_manifest_that_is_none_is_told(backup: Path, tmp_path: Path) -> None:
    copies.manifest_of(backup).write_text("{}")
    with pytest.raises(StoreDamaged, match=r"friday\.db\.json"):
        copies.put_back(backup, tmp_path / "restored", LATER)
