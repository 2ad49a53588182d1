"""The unmodified PyPI client ``tap-mavenlink`` discovers and syncs the simulated account.

It insists on https://api.mavenlink.com, so it is brought to the simulator through a CONNECT proxy that
refuses every other host; and it was written for Pythons where ``collections`` still had ``Mapping``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from isthmus.sdk.testing.tls_proxy import TlsProxy, tls_proxy
from isthmus_kantata.simulator import KantataSimulator

if TYPE_CHECKING:
    from plugins.kantata.tests.conftest import Act

LAUNCH = """
import collections, collections.abc
for name in ("Mapping", "MutableMapping", "Sequence", "MutableSequence", "Iterable", "Callable", "Hashable"):
    setattr(collections, name, getattr(collections.abc, name))
import tap_mavenlink
tap_mavenlink.main()
"""

Row = dict[str, Any]


async def run_tap(proxy: TlsProxy, *arguments: str) -> str:
    """Its standard output; what it wrote on standard error shows when it fails."""
    done = await trio.run_process(
        [sys.executable, "-c", LAUNCH, *arguments],
        env={**os.environ, **proxy.environment()},
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode()


def records(output: str) -> Iterator[tuple[str, Row]]:
    for line in output.splitlines():
        message = json.loads(line)
        if message["type"] == "RECORD":
            yield message["stream"], message["record"]


async def test_the_tap_discovers_and_syncs_every_stream(
    simulator: KantataSimulator, do: Act, project: str, consultant: str, tmp_path: Path
) -> None:
    assert find_spec("tap_mavenlink"), "tap-mavenlink is not installed; run make setup"
    month = do("work_month", workspace=project, users=[consultant], month="2026-10", entries=230, seed=5)
    archived = do("add_workspace", title="Gemini")["id"]
    hidden = do("log_time", workspace=archived, user=consultant, date="2026-10-05", hours=1, service="x")
    do("archive_project", workspace=archived)
    expense = do(
        "add_expense",
        workspace=project,
        user=consultant,
        date="2026-10-05",
        category="Travel",
        amount_in_cents=12345,
        currency="EUR",
    )
    story = do("add_milestone", workspace=project, title="Go live")
    booked = do(
        "add_allocation",
        workspace=project,
        user=consultant,
        start="2026-11-09",
        end="2026-11-13",
        hours=40,
        hard=False,
    )
    furniture = do("furnish", workspace=project)
    config, catalog_file = tmp_path / "config.json", tmp_path / "catalog.json"
    config.write_text(json.dumps({"token": simulator.credentials()["token"], "start_date": "2026-01-01"}))

    async with tls_proxy({"api.mavenlink.com": simulator.base_url}, tmp_path) as proxy:
        catalog = json.loads(await run_tap(proxy, "--config", str(config), "--discover"))
        for stream in catalog["streams"]:
            for entry in stream["metadata"]:
                entry["metadata"]["selected"] = True
        catalog_file.write_text(json.dumps(catalog))
        output = await run_tap(proxy, "--config", str(config), "--catalog", str(catalog_file))
        assert set(proxy.reached) == {"api.mavenlink.com"}
        assert proxy.refused == []

    synced: dict[str, dict[str, Row]] = {}
    for stream, record in records(output):
        synced.setdefault(stream, {})[str(record["id"])] = record
    assert len(catalog["streams"]) == 17
    messages = {json.loads(line)["type"] for line in output.splitlines()}
    assert messages == {"SCHEMA", "RECORD"}, "the tap keeps no bookmarks: it reads everything each time"
    assert synced["time_entries"].keys() == {*month["entries"], hidden["id"]}
    assert all(synced["time_entries"][id]["approved"] for id in month["entries"])
    assert synced["workspaces"].keys() == {project, archived}
    assert synced["workspaces"][project]["title"] == "Apollo"
    assert synced["expenses"][expense["id"]]["amount_in_cents"] == 12345
    assert synced["stories"][story["id"]]["story_type"] == "milestone"
    assert {"Consultant One", "Integration"} <= {row["full_name"] for row in synced["users"].values()}
    allocation = synced["workspace_allocations"][booked["id"]]
    assert (allocation["minutes"], allocation["hard"], allocation["start_date"]) == (
        2400,
        False,
        "2026-11-09",
    )
    empty = {stream["tap_stream_id"] for stream in catalog["streams"]} - synced.keys()
    assert empty == set(), "every stream of the tap has something to read, and reads it"
    for kind, table in FURNITURE.items():
        assert furniture[kind] in synced[table]


FURNITURE = {
    "Assignment": "assignments",
    "CustomField": "custom_fields",
    "CustomFieldValue": "workspace_custom_field_values",
    "Estimate": "estimates",
    "EstimateScenario": "estimate_scenarios",
    "EstimateScenarioResource": "estimate_scenario_resources",
    "ExpenseCategory": "expense_categories",
    "Invoice": "invoices",
    "Post": "posts",
    "WorkspaceGroup": "workspace_groups",
}
"""Records isthmus does not use, by the table the tap puts them in."""


async def test_the_tap_is_told_why_when_its_token_is_wrong(
    simulator: KantataSimulator, tmp_path: Path
) -> None:
    config, catalog_file = tmp_path / "config.json", tmp_path / "catalog.json"
    config.write_text(json.dumps({"token": "revoked"}))
    async with tls_proxy({"api.mavenlink.com": simulator.base_url}, tmp_path) as proxy:
        catalog = json.loads(await run_tap(proxy, "--config", str(config), "--discover"))
        catalog["streams"] = [s for s in catalog["streams"] if s["stream"] == "users"]
        catalog["streams"][0]["metadata"] = [
            {"breadcrumb": [], "metadata": {"selected": True}},
        ]
        catalog_file.write_text(json.dumps(catalog))
        with pytest.raises(AssertionError, match="oauth"):
            await run_tap(proxy, "--config", str(config), "--catalog", str(catalog_file))
