"""A page at a time: what is held does not grow with what there is."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from isthmus.sdk import Secret
from isthmus.sdk.testing import FakeContext, peak_of_reading
from isthmus_netsuite.connector import NetSuite
from isthmus_netsuite.settings import NetSuiteSettings

SCRIPT = Path(__file__).with_name("serve_many.py")


@asynccontextmanager
async def account_of(count: int) -> AsyncIterator[dict[str, Any]]:
    """Credentials of an account with ``count`` invoices, in a process of its own."""
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, stdout=subprocess.PIPE, check=False)
        process = await nursery.start(run, [sys.executable, str(SCRIPT), str(count)])
        line = b""
        with trio.fail_after(60):
            while not line.endswith(b"\n"):
                chunk = await process.stdout.receive_some()
                assert chunk, "the account did not start"
                line += chunk
        yield json.loads(line)
        nursery.cancel_scope.cancel()


async def peak_for(count: int) -> int:
    async with account_of(count) as held:
        changes = {"auth": "tba", "page_size": 400, "settle_s": 0.0}
        settings = msgspec.convert(held | changes, NetSuiteSettings, dec_hook=lambda _, value: Secret(value))
        async with NetSuite().open(settings, FakeContext("netsuite")) as opened:
            assert opened.source is not None
            await opened.source.pull("periods", None)  # what is loaded once is not counted
            read, peak = await peak_of_reading(opened.source, "invoices")
    assert read == count
    return peak


async def test_ten_thousand_invoices_take_the_memory_of_a_thousand() -> None:
    small, large = await peak_for(1_000), await peak_for(10_000)
    # What waits for the garbage collector makes some difference; growing with the invoices makes ten times.
    assert large < 3 * small, f"{large} bytes for 10,000 invoices, {small} for 1,000"
