"""Long histories and sudden ends: memory does not grow with the org, and nothing stays open."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from isthmus.sdk import Opened, Secret
from isthmus.sdk.testing import CancelCase, CancelContract, FakeContext, peak_of_reading
from isthmus_salesforce import poll
from isthmus_salesforce.client import Batch
from isthmus_salesforce.connector import SalesforceConnector
from isthmus_salesforce.settings import SalesforceSettings
from isthmus_salesforce.simulator import Salesforce

from .test_certinia_sink import PROJECT, signed, term
from .test_sink import paid

SWIFT = {"private_key": None, "concurrency": 1}
"""One connection, and a login that signs nothing: it is made hundreds of times."""
SCRIPT = Path(__file__).with_name("serve_org.py")
Connect = Callable[..., AbstractAsyncContextManager[Opened]]


@asynccontextmanager
async def org_with(accounts: int, key: str, directory: Path) -> AsyncIterator[Opened]:
    """An open connector to an org in another process."""
    key_file = directory / "app.pem"
    key_file.write_text(key)
    async with trio.open_nursery() as nursery:
        command = [sys.executable, str(SCRIPT), str(accounts), str(key_file)]
        run = partial(trio.run_process, command, stdout=subprocess.PIPE, check=False)
        process: trio.Process = await nursery.start(run)
        assert process.stdout is not None
        given = await _line(process.stdout)
        given |= {name: Secret(given[name]) for name in ("private_key", "client_secret")}
        settings = SalesforceSettings(**given, page_size=500)
        ahead = FakeContext("crm", now=lambda: datetime.now(UTC) + timedelta(minutes=1))
        async with SalesforceConnector().open(settings, ahead) as opened:
            yield opened
        nursery.cancel_scope.cancel()


async def _line(stream: trio.abc.ReceiveStream) -> dict[str, Any]:
    told = b""
    with trio.fail_after(60):
        while not told.endswith(b"\n"):
            told += await stream.receive_some()
    found: dict[str, Any] = json.loads(told)
    return found


async def peaks(app_key: str, directory: Path, *sizes: int) -> tuple[int, ...]:
    """The most memory that reading orgs of so many accounts takes."""
    found = []
    for accounts in sizes:
        async with org_with(accounts, app_key, directory) as opened:
            assert opened.source is not None
            await opened.source.pull("accounts", None)
            read, peak = await peak_of_reading(opened.source, "accounts")
            assert read == accounts
            found.append(peak)
    return tuple(found)


async def test_ten_thousand_records_take_no_more_memory_than_a_thousand(app_key: str, tmp_path: Path) -> None:
    small, large = await peaks(app_key, tmp_path, 1_000, 10_000)
    assert large < 1.25 * small, f"{small} bytes for 1,000 records, {large} for 10,000"


async def test_a_build_that_keeps_its_pages_is_seen(
    app_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the test above."""
    kept: list[Batch] = []
    right = poll.Polled._page

    def hoards(self: Any, here: Any, batch: Batch, rows: Any, told: Any) -> Any:
        kept.append(batch)
        return right(self, here, batch, rows, told)

    monkeypatch.setattr(poll.Polled, "_page", hoards)
    small, large = await peaks(app_key, tmp_path, 500, 3_000)
    assert large > 3 * small


class TestCancellingSales(CancelContract):
    @pytest.fixture
    def cancel_case(
        self, connect: Connect, win: Callable[..., Any], sim: Salesforce, clock: Any
    ) -> CancelCase:
        """A contract with its lines is read, a payment is written."""
        win()
        clock.pass_s(1)

        async def work(opened: Opened) -> None:
            assert opened.source is not None and opened.sink is not None
            assert (await opened.source.pull("accounts", None)).events
            await opened.sink.deliver(paid())

        return CancelCase(open=partial(connect, **SWIFT), work=work)


class TestCancellingCertinia(CancelContract):
    @pytest.fixture
    def cancel_case(self, connect: Connect, sim: Salesforce, clock: Any) -> CancelCase:
        """A stage is read, the milestones of a contract are written."""
        sim.acts()["add_project"]("Rollout", Isthmus_Key__c=PROJECT)
        sim.acts()["move_project"](PROJECT, "On Hold")
        clock.pass_s(1)

        async def work(opened: Opened) -> None:
            assert opened.source is not None and opened.sink is not None
            assert (await opened.source.pull("projects", None)).events
            await opened.sink.deliver(signed(term("crm:a00L1")))

        return CancelCase(open=partial(connect, pack="certinia-psa", **SWIFT), work=work)
