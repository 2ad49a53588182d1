"""Parked actors are written down, and go on when a person says so."""

from datetime import UTC, datetime

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from isthmus.app.parking import StoreParking
from isthmus.store import audit, lanes
from isthmus.store.errors import StoreFull
from isthmus.store.open import open_memory_store

NOW = datetime(2026, 10, 30, 12, tzinfo=UTC)


async def test_a_parked_actor_is_written_down_and_goes_on_when_resumed(autojump_clock: MockClock) -> None:
    async with open_memory_store() as store:
        parking = StoreParking(store, lambda: NOW)
        await parking.park("erp", "401")
        assert parking.reasons == {"erp": "401"}
        state = await store.read(lambda tx: lanes.get(tx, "erp"))
        assert state is not None and (state.state, state.reason) == ("parked", "401")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(parking.wait_resumed, "erp")
            await wait_all_tasks_blocked()
            assert await parking.resume("erp", "sre", "new key")
        assert parking.reasons == {}
        acts = [entry.act for entry in await store.read(lambda tx: audit.page(tx))]
        assert acts == ["park", "resume"]
        assert not await parking.resume("erp", "sre", "again"), "it is not parked any more"


async def test_a_resume_that_comes_before_the_wait_is_not_lost(autojump_clock: MockClock) -> None:
    async with open_memory_store() as store:
        parking = StoreParking(store, lambda: NOW)
        await parking.park("erp", "401")
        await parking.resume("erp", "sre", "new key")
        with trio.fail_after(1):
            await parking.wait_resumed("erp")


async def test_a_connector_and_a_lane_of_one_name_go_on_together(autojump_clock: MockClock) -> None:
    """As `psa` and `psa` in the sample configuration."""
    async with open_memory_store() as store:
        parking = StoreParking(store, lambda: NOW)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for reason in ("401 on login", "401 on write"):
                    await parking.park("psa", reason)
                    nursery.start_soon(parking.wait_resumed, "psa")
                    await wait_all_tasks_blocked()
                assert parking.reasons == {"psa": "401 on login; 401 on write"}
                assert await parking.resume("psa", "sre", "new key")


async def test_a_start_tries_every_parked_actor_again(autojump_clock: MockClock) -> None:
    async with open_memory_store() as store:
        await StoreParking(store, lambda: NOW).park("erp", "401")
        again = StoreParking(store, lambda: NOW)
        await again.forget_all()
        assert again.reasons == {}
        state = await store.read(lambda tx: lanes.get(tx, "erp"))
        assert state is not None and state.state == "running"


async def test_a_full_disk_does_not_make_a_parked_actor_into_a_dead_daemon(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_memory_store() as store:
        write, full = store.write, [True] * 3

        async def full_for_a_while(unit: object) -> object:
            if full:
                full.pop()
                await trio.lowlevel.checkpoint()
                raise StoreFull("no space")
            return await write(unit)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "write", full_for_a_while)
        parking = StoreParking(store, lambda: NOW)
        await parking.park("erp", "401")
        state = await store.read(lambda tx: lanes.get(tx, "erp"))
        assert state is not None and state.state == "parked"
