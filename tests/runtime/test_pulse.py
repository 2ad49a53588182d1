"""Who blocks the loop is named, in real time: a blocked loop cannot report itself."""

import logging
import threading
import time

import pytest
import trio

from isthmus.runtime.pulse import watch_loop


def a_driver_that_blocks(seconds: float) -> None:
    """What a plugin must not do."""
    time.sleep(seconds)


async def watch(seconds: float, block_s: float) -> list[float]:
    late: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: watch_loop(late.append, every_s=0.02, blocked_after_s=0.1))
        await trio.sleep(0.1)
        if block_s:
            a_driver_that_blocks(block_s)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
    return late


async def test_the_code_that_blocks_the_loop_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    late = await watch(0.15, block_s=0.5)
    (record,) = [record for record in caplog.records if record.message == "loop.blocked"]
    assert "a_driver_that_blocks" in vars(record)["reason"]
    assert "test_pulse.py" in vars(record)["reason"]
    assert max(late) > 0.35


async def test_a_loop_that_turns_is_left_in_peace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    late = await watch(0.3, block_s=0.0)
    assert len(late) > 5
    assert [record.message for record in caplog.records] == []


async def test_the_onlooker_ends_with_the_watch() -> None:
    before = threading.active_count()
    await watch(0.05, block_s=0.0)
    for thread in threading.enumerate():
        if thread.name == "isthmus-loop-watch":
            await trio.to_thread.run_sync(thread.join, 2.0)
            assert not thread.is_alive()
    assert threading.active_count() <= before + 1, "trio keeps the thread that joined"
