"""The books are sealed a few seconds after they were written, and anchored outside the file."""

from pathlib import Path

import pytest
import trio

from isthmus.app.sealer import ANCHOR_EVERY_S, EVERY_S, PAGE, Sealer
from isthmus.store import anchors, audit, log, seals
from isthmus.store.open import open_memory_store
from tests.delivery.given import IN_VIRTUAL_TIME, fact, now


@IN_VIRTUAL_TIME
async def test_what_is_written_is_sealed_within_seconds_and_an_idle_daemon_writes_nothing(
    tmp_path: Path,
) -> None:
    async with open_memory_store(now=now) as store, trio.open_nursery() as nursery:
        nursery.start_soon(Sealer(store, now, tmp_path / "anchors").run)
        await store.write(lambda tx: log.append(tx, [fact(f"c{n}") for n in range(PAGE + 5)], now()))
        await trio.sleep(2 * EVERY_S)
        assert await store.read(lambda tx: seals.upto(tx, seals.LOG)) == PAGE + 5
        acts = await store.read(audit.last)
        await trio.sleep(20 * EVERY_S)
        assert await store.read(audit.last) == acts
        nursery.cancel_scope.cancel()


@IN_VIRTUAL_TIME
async def test_the_chain_is_anchored_every_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file itself is written by a thread, which virtual time does not wait for."""
    anchored: list[float] = []

    async def note(self: Sealer) -> None:
        anchored.append(trio.current_time() // ANCHOR_EVERY_S)

    monkeypatch.setattr(Sealer, "anchor", note)
    async with open_memory_store(now=now) as store, trio.open_nursery() as nursery:
        nursery.start_soon(Sealer(store, now, tmp_path / "anchors").run)
        await trio.sleep(4.5 * ANCHOR_EVERY_S)
        nursery.cancel_scope.cancel()
    assert anchored == [1, 2, 3, 4]


async def test_an_anchor_is_the_end_of_the_chain_and_is_kept_once(tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    async with open_memory_store(now=now) as store:
        sealer = Sealer(store, now, file)
        for name in ("c", "d"):
            await store.write(lambda tx, name=name: log.append(tx, [fact(name)], now()))  # type: ignore[misc]
            await sealer.seal()
            for _ in range(2):
                await sealer.anchor()
            act, digest = await store.read(audit.last)
            assert (anchors.read(file)[-1].act, anchors.read(file)[-1].hash) == (act, digest.hex())
    assert [kept.act for kept in anchors.read(file)] == [1, 2]
