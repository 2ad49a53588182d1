"""Every fault works on every path and method of every vendor's fake: a table, not a promise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from starlette.types import ASGIApp, Receive, Scope, Send

from isthmus.runtime.simulators import simulator_class
from isthmus.sdk.simulator import Fault, Match, Simulator, started
from isthmus.sdk.simulator.middleware import FaultMiddleware

PATHS = {
    "kantata": [
        ("GET", "/api/v1/users.json"),
        ("GET", "/api/v1/time_entries"),
        ("POST", "/api/v1/workspaces"),
        ("PUT", "/api/v1/stories/1"),
        ("POST", "/api/v1/external_references.json"),
        ("DELETE", "/api/v1/external_references/1"),
        ("GET", "/nothing/here"),
    ],
    "netsuite": [
        ("POST", "/services/rest/auth/oauth2/v1/token"),
        ("POST", "/services/rest/query/v1/suiteql"),
        ("GET", "/services/rest/record/v1/customer/1"),
        ("PUT", "/services/rest/record/v1/customer/eid:isth:crm:1"),
        ("POST", "/services/rest/record/v1/invoice"),
        ("PATCH", "/services/rest/record/v1/job/1"),
        ("DELETE", "/services/rest/record/v1/invoice/1"),
        ("GET", "/services/rest/async/v1/job/1"),
    ],
    "runn": [
        ("GET", "/projects/"),
        ("GET", "/activity-log/"),
        ("POST", "/clients/"),
        ("PATCH", "/projects/1"),
        ("PUT", "/people/1"),
        ("DELETE", "/assignments/1"),
    ],
    "salesforce": [
        ("POST", "/services/oauth2/token"),
        ("GET", "/services/data"),
        ("GET", "/services/data/v64.0/query?q=SELECT+Id+FROM+Account"),
        ("POST", "/services/data/v64.0/composite"),
        ("PATCH", "/services/data/v64.0/sobjects/Account/Key__c/1"),
        ("DELETE", "/services/data/v64.0/sobjects/Account/001"),
    ],
}
"""legacy-erp speaks no HTTP: what goes wrong there are acts of its users."""
FAULTS = ["status", "throttle", "lose_response", "late_commit", "delay", "drip", "truncate", "wrong_body"]
TABLE = [
    pytest.param(plugin, method, path, id=f"{plugin} {method} {path.partition('?')[0]}")
    for plugin, paths in PATHS.items()
    for method, path in paths
]
BROKEN = (httpx.RemoteProtocolError, httpx.ReadError)


class World:
    """A vendor's fake, a client of it, and how often its own code ran."""

    def __init__(self, simulator: Simulator, client: httpx.AsyncClient) -> None:
        self.simulator = simulator
        self.client = client
        self.ran = 0

    async def ask(self, method: str, path: str) -> tuple[int, bytes]:
        reply = await self.client.request(method, path)
        return reply.status_code, reply.content

    def plan(self, fault: Any, method: str, path: str, **more: Any) -> None:
        match = Match(method=method, path_prefix=path.partition("?")[0])
        self.simulator.faults.add([Fault(fault=fault, match=match, **more)])


@pytest.fixture
async def world_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    @asynccontextmanager
    async def opened(plugin: str) -> AsyncIterator[World]:
        simulator = simulator_class(plugin)()
        async with started(simulator), httpx.AsyncClient(base_url=simulator.base_url) as client:
            world = World(simulator, client)
            worlds.append(world)
            yield world

    worlds: list[World] = []
    original = FaultMiddleware.__init__

    def counting(self: FaultMiddleware, app: ASGIApp, simulator: Simulator) -> None:
        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            worlds[-1].ran += scope["type"] == "http"
            await app(scope, receive, send)

        original(self, counted, simulator)

    monkeypatch.setattr(FaultMiddleware, "__init__", counting)
    return opened


@pytest.mark.parametrize(("plugin", "method", "path"), TABLE)
async def test_every_fault_on_every_path(world_of: Any, plugin: str, method: str, path: str) -> None:
    async with world_of(plugin) as world:
        whole = await world.ask(method, path)
        met = 0
        for fault in FAULTS:
            world.ran = 0
            world.plan(fault, method, path, status=418, body={"why": "tea"}, delay_s=0.0, retry_after_s=7)
            with trio.fail_after(20):
                await globals()[f"_{fault}"](world, method, path, whole)
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert world.ran == (fault not in ("status", "throttle")), f"{fault}: what was to be done"
            met += 1
            assert world.simulator.faults.faults.pop().fired == 1
        assert met == len(FAULTS)


async def _status(world: World, method: str, path: str, whole: tuple[int, bytes]) -> None:
    assert await world.ask(method, path) == (418, b'{"why":"tea"}')


async def _throttle(world: World, method: str, path: str, whole: tuple[int, bytes]) -> None:
    reply = await world.client.request(method, path)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "7")


async def _lose_response(world: World, method: str, path: str, whole: tuple[int, bytes]) -> None:
    with pytest.raises(BROKEN):
        await world.ask(method, path)


_late_commit = _truncate = _lose_response


async def _delay(world: World, method: str, path: str, whole: tuple[int, bytes]) -> None:
    status, body = await world.ask(method, path)
    assert (status, bool(body)) == (whole[0], bool(whole[1]))


_drip = _delay


async def _wrong_body(world: World, method: str, path: str, whole: tuple[int, bytes]) -> None:
    assert await world.ask(method, path) == (200, b'{"why":"tea"}')


@pytest.mark.parametrize("plugin", PATHS)
async def test_a_fault_fires_as_often_as_planned_and_only_where_it_matches(
    world_of: Any, plugin: str
) -> None:
    (method, path), (other_method, other_path), *_ = PATHS[plugin]
    async with world_of(plugin) as world:
        world.plan("status", method, path, status=418, times=2, skip=1)
        statuses = [(await world.ask(method, path))[0] for _ in range(5)]
        assert [status == 418 for status in statuses] == [False, True, True, False, False]
        world.plan("status", method, path, status=418)
        assert (await world.ask(other_method, other_path))[0] != 418
        assert (await world.ask(method, path))[0] == 418


@pytest.mark.parametrize("plugin", [*PATHS, "legacy-erp"])
async def test_the_kits_own_paths_are_never_faulty(world_of: Any, plugin: str) -> None:
    """And each vocabulary says what its acts do."""
    async with world_of(plugin) as world:
        world.simulator.faults.add([Fault(fault="lose_response", times=99)])
        about = (await world.client.get("/_sim")).json()
        assert about["plugin"] == plugin
        assert about["credentials"]
        assert all(about["acts"].values()), "an act without a sentence"
        assert (await world.client.get("/_sim/ledger")).json().keys() == {"records"}
        (planned,) = (await world.client.get("/_sim/faults")).json()
        assert (planned["fault"], planned["fired"]) == ("lose_response", 0)
        assert (await world.client.delete("/_sim/faults")).json() == []
        assert (await world.client.post("/_sim/do", json={"act": "no such act"})).status_code == 400
