"""What the probe says to the admin."""

import os
import shutil
from typing import Any

from isthmus.sdk import Opened


async def checks(opened: Opened) -> dict[str, Any]:
    assert opened.probe is not None
    return {check.name: check for check in await opened.probe.checks()}


async def test_a_healthy_drop_directory_passes_everything(bench: Any, opened: Opened) -> None:
    assert [name for name, check in (await checks(opened)).items() if not check.ok] == []


async def test_a_batch_the_erp_leaves_lying_is_named(bench: Any, opened: Opened) -> None:
    (receipt,) = await bench.send(opened, bench.charge())
    name = receipt.remote_id.partition("#")[0]
    os.utime(bench.path("outbound", name), (bench.now().timestamp(), bench.now().timestamp()))
    bench.move(minutes=59)
    assert (await checks(opened))["picked_up"].ok
    bench.move(minutes=2)
    late = (await checks(opened))["picked_up"]
    assert not late.ok
    assert name in late.detail and "1:01:00" in late.detail


async def test_a_missing_folder_is_named_and_nothing_else_is_said(bench: Any, opened: Opened) -> None:
    shutil.rmtree(bench.settings.drop_dir / "ack")
    found = await checks(opened)
    assert list(found) == ["folders"]
    assert found["folders"].detail == "cannot read and write: ack"
