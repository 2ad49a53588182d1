"""Every fault the simulator can play, at every request of every read and write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import trio
from plugins.runn.tests.test_sink import burn, customer, demand, outlook, project, resource, stage

from isthmus.events import BusinessEvent
from isthmus.sdk import (
    ConnectorError,
    Delivery,
)
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext, deliver_patiently, read_patiently
from isthmus_runn.simulator import RunnSimulator
from isthmus_runn.source import Plan

if TYPE_CHECKING:
    from plugins.runn.tests.conftest import OpenRunn

LATE_S = 0.05
FAULTS = [
    pytest.param({"fault": "status", "status": 500}, id="500"),
    pytest.param({"fault": "status", "status": 503}, id="503"),
    pytest.param({"fault": "throttle", "retry_after_s": 0.01}, id="429"),
    pytest.param({"fault": "lose_response"}, id="no answer"),
    pytest.param({"fault": "late_commit", "delay_s": LATE_S}, id="done a little later"),
    pytest.param({"fault": "delay", "delay_s": 0.01}, id="a slow answer"),
    pytest.param({"fault": "drip", "delay_s": 0.2}, id="an answer that drips"),
    pytest.param({"fault": "truncate"}, id="half an answer"),
    pytest.param({"fault": "wrong_body"}, id="an empty 200"),
    pytest.param({"fault": "wrong_body", "body": "<html>"}, id="a page instead"),
    pytest.param({"fault": "wrong_body", "body": {"statusCode": 500, "message": "no"}}, id="a false success"),
]


def _timeout_s(fault: dict[str, Any]) -> float:
    """Short only where the fault is to outlast it: a busy machine is no fault."""
    return 0.3 if fault["fault"] == "drip" else 10.0


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_any_request_of_a_read_costs_a_pull_and_no_fact(
    runn: RunnSimulator, open_runn: OpenRunn, fault: dict[str, Any]
) -> None:
    runn.add_client("Acme")
    runn.add_project("Rollout", "Acme", confirmed=True)
    runn.add_person("Rosa Meier", "Consultant", "rosa@example.com")
    booked = [runn.assign("Rosa Meier", "Rollout", "2026-10-12", "2026-10-16", 480)[0] for _ in range(5)]
    for row in booked[:3]:
        runn.end_assignment(row["id"])
    for stream in Plan.streams:
        for skip in range(6):
            runn.faults.faults.clear()
            async with open_runn(timeout_s=_timeout_s(fault)) as opened:  # nothing is known from before
                assert opened.source is not None
                whole, _ = await read_patiently(opened.source, stream)
            runn.faults.add([Fault(**fault, match=Match(method="GET"), skip=skip)])
            async with open_runn(timeout_s=_timeout_s(fault)) as opened:
                assert opened.source is not None
                told, _ = await read_patiently(opened.source, stream)
                assert told == whole, f"{stream}, request {skip + 1}"


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_any_request_of_a_write_makes_nothing_twice(
    runn: RunnSimulator, open_runn: OpenRunn, ctx: FakeContext, fault: dict[str, Any]
) -> None:
    facts: list[Callable[[], BusinessEvent]] = [customer, project, resource, burn, demand, outlook]
    async with open_runn(timeout_s=_timeout_s(fault)) as opened:
        assert opened.sink is not None
        for event in [*(fact() for fact in facts), stage("active")]:
            for skip in range(3):
                runn.faults.faults[:] = [Fault(**fault, skip=skip)]
                delivery = Delivery(key=event.id, lane="planner", event=event)
                ctx.keep((await deliver_patiently(opened.sink, delivery, wait_s=4 * LATE_S)).links)
    runn.faults.faults.clear()
    await trio.sleep(2 * LATE_S)
    kinds = ("client", "project", "person", "actual")
    assert [len(list(runn.ledger.of_kind(kind))) for kind in kinds] == [1, 1, 1, 1]


async def test_every_error_of_the_connector_is_one_the_daemon_knows(open_runn: OpenRunn) -> None:
    """Nothing else may come out of a read or a write: it would be taken for a bug."""
    async with open_runn(base_url="http://127.0.0.1:9") as opened:
        assert opened.source is not None and opened.sink is not None
        for stream in Plan.streams:
            with pytest.raises(ConnectorError):
                await opened.source.pull(stream, None)
        with pytest.raises(ConnectorError):
            await opened.sink.deliver(Delivery(key="k", lane="planner", event=customer()))
