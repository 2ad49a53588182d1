"""Queued requests: what becomes of them, whatever is lost on the way."""

import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio

from isthmus.events import ChargeDetermined
from isthmus.sdk import (
    ConnectorError,
    Delivery,
    DeliveryClass,
    Opened,
    Receipt,
    Rejected,
    Retryable,
    Sink,
    Throttled,
    Unsure,
)
from isthmus.sdk.simulator import Fault, Match
from isthmus_netsuite import records as records_module
from isthmus_netsuite.jobs import idempotency_key
from isthmus_netsuite.simulator import NetSuiteSimulator

MakeCharge = Callable[..., ChargeDetermined]
OpenWith = Callable[..., AbstractAsyncContextManager[Opened]]
RECORDS = "/services/rest/record/v1"
JOBS = "/services/rest/async/v1/job"
QUEUED: dict[str, Any] = {"writes": "async"}
BY_FIELD: dict[str, Any] = {"record_key": "custom_field"}


def sent(event: ChargeDetermined) -> Delivery:
    return Delivery(key=event.id, lane="netsuite", event=event)


def bills(simulator: NetSuiteSimulator) -> int:
    return len(list(simulator.ledger.of_kind("timeBill")))


def plan(simulator: NetSuiteSimulator, fault: Any, prefix: str, **more: Any) -> None:
    method = more.pop("method", None)
    simulator.faults.add([Fault(fault=fault, match=Match(method=method, path_prefix=prefix), **more)])


async def test_a_queued_charge_is_one_job_under_the_deliverys_key(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, charge: MakeCharge
) -> None:
    delivery = sent(charge())
    async with open_with(**QUEUED) as opened:
        assert opened.sink is not None
        receipt = await opened.sink.deliver(delivery)
        assert (await opened.sink.deliver(delivery)).remote_id == receipt.remote_id == "timeBill/1"
    assert simulator.memory["idempotency"] == {idempotency_key(delivery.key): "1"}


@pytest.mark.parametrize(
    "latency_s", [pytest.param(0.0, id="done already"), pytest.param(0.3, id="still waiting")]
)
async def test_a_lost_answer_leads_to_the_first_job(
    latency_s: float,
    shell: None,
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    charge: MakeCharge,
) -> None:
    simulator.acts()["slow_jobs"](latency_s)
    plan(simulator, "lose_response", RECORDS, method="PUT")
    async with open_with(**QUEUED) as opened:
        assert opened.sink is not None
        with pytest.raises(Unsure):
            await opened.sink.deliver(sent(charge()))
        assert (await opened.sink.deliver(sent(charge()))).remote_id == "timeBill/1"
    assert (len(simulator.memory["jobs"]), bills(simulator)) == (1, 1)


@pytest.mark.parametrize(
    ("keys", "made"),
    [
        pytest.param(idempotency_key, 1, id="the same key leads to the same job"),
        pytest.param(lambda once, n: str(uuid.uuid4()), 2, id="the mutant: a new key makes a second record"),
    ],
)
async def test_what_still_waits_in_the_queue_cannot_be_looked_up_but_its_key_is_known(
    keys: Callable[[str, int], str],
    made: int,
    shell: None,
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    charge: MakeCharge,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(records_module, "idempotency_key", keys)
    simulator.acts()["slow_jobs"](3600)
    async with open_with(**QUEUED, **BY_FIELD, job_patience_s=0.1) as opened:
        assert opened.sink is not None
        with pytest.raises(Unsure, match=r"job/1 has not ended within 0\.1 s: it is still queued"):
            await opened.sink.deliver(sent(charge()))
        assert await opened.sink.find(sent(charge())) is None
        with pytest.raises(Unsure):
            await opened.sink.deliver(sent(charge()))
    for job in simulator.jobs.waiting():
        simulator.jobs.perform(job)
    assert bills(simulator) == made


async def test_replays_after_the_keys_are_forgotten_double_nothing(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, charge: MakeCharge
) -> None:
    deliveries = [sent(charge(f"billing:c{n}")) for n in range(8)]
    async with open_with(**QUEUED, **BY_FIELD) as opened:
        assert opened.sink is not None
        first = [(await opened.sink.deliver(delivery)).remote_id for delivery in deliveries]
        simulator.acts()["forget_idempotency_keys"]()
        assert [(await opened.sink.deliver(delivery)).remote_id for delivery in deliveries] == first
    assert bills(simulator) == 8


async def test_a_job_that_failed_says_why_and_its_key_does_not_stand_in_the_way(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, charge: MakeCharge
) -> None:
    """The key of a failed job is used up: when finance has opened the period, the next one is taken."""
    async with open_with(**QUEUED) as opened:
        assert opened.sink is not None
        for _ in range(2):
            simulator.acts()["close_period_before_next_post"]("2026-10")
            with pytest.raises(Rejected, match="accounting period Oct 2026 is closed") as caught:
                await opened.sink.deliver(sent(charge()))
            assert caught.value.reason == "period"
            simulator.acts()["reopen_period"]("2026-10")
        assert (await opened.sink.deliver(sent(charge()))).remote_id == "timeBill/1"
    key = sent(charge()).key
    assert list(simulator.memory["idempotency"]) == [idempotency_key(key, n) for n in range(3)]


async def test_after_many_failed_jobs_a_person_is_asked(
    shell: None,
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    charge: MakeCharge,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(records_module, "REQUESTS_MAX", 1)
    async with open_with(**QUEUED) as opened:
        assert opened.sink is not None
        simulator.acts()["close_period_before_next_post"]("2026-10")
        with pytest.raises(Rejected, match="is closed"):
            await opened.sink.deliver(sent(charge()))
        simulator.acts()["reopen_period"]("2026-10")
        with pytest.raises(Rejected, match="set writes to direct"):
            await opened.sink.deliver(sent(charge()))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 202}, id="202 without a Location"),
        pytest.param({"status": 202, "headers": {"location": f"{RECORDS}/job/7"}}, id="a record's Location"),
        pytest.param({"status": 204, "headers": {"location": f"{JOBS}/7"}}, id="no 202"),
        pytest.param(
            {"status": 400, "body": {"o:errorDetails": [{"o:errorCode": "IDEMPOTENCY_ERROR"}]}},
            id="a known key without its job",
        ),
    ],
)
async def test_an_answer_without_its_job_leaves_doubt(
    fault: dict[str, Any],
    shell: None,
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    charge: MakeCharge,
) -> None:
    plan(simulator, "status", RECORDS, method="PUT", **fault)
    async with open_with(**QUEUED) as opened:
        assert opened.sink is not None
        with pytest.raises(Unsure, match="without its job"):
            await opened.sink.deliver(sent(charge()))
        await opened.sink.deliver(sent(charge()))
    assert bills(simulator) == 1


async def test_polling_outlasts_throttles_and_lost_answers(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, charge: MakeCharge
) -> None:
    for fault in ("throttle", "lose_response", "status", "wrong_body"):
        plan(simulator, fault, JOBS)
    async with open_with(**QUEUED) as opened:
        assert opened.sink is not None
        await opened.sink.deliver(sent(charge()))
    assert all(fault.fired for fault in simulator.faults.faults)


async def test_a_job_that_nobody_knows_any_more_leaves_doubt(
    shell: None, simulator: NetSuiteSimulator, open_with: OpenWith, charge: MakeCharge
) -> None:
    simulator.acts()["slow_jobs"](0.5)
    missing = {
        "status": 404,
        "body": {"o:errorDetails": [{"o:errorCode": "NONEXISTENT_ID", "detail": "gone"}]},
    }
    plan(simulator, "status", JOBS, times=100, **missing)
    async with open_with(**QUEUED, job_patience_s=0.2) as opened:
        assert opened.sink is not None
        with pytest.raises(Unsure, match="gone"):
            await opened.sink.deliver(sent(charge()))


@pytest.mark.parametrize(
    ("result", "error"),
    [
        pytest.param({"status": 500}, Unsure, id="a job that broke inside may have written"),
        pytest.param({"status": 403}, None, id="a missing permission is fatal"),
        pytest.param(
            {"status": 200, "body": {"o:errorDetails": [{"o:errorCode": "USER_ERROR", "detail": "no"}]}},
            Rejected,
            id="an error under 200",
        ),
        pytest.param({"status": 200, "body": {"links": []}}, Unsure, id="nothing that explains it"),
    ],
)
async def test_what_a_jobs_result_may_say(
    result: dict[str, Any],
    error: type[ConnectorError] | None,
    shell: None,
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    charge: MakeCharge,
) -> None:
    simulator.acts()["close_period_before_next_post"]("2026-10")
    plan(simulator, "status", f"{JOBS}/1/task/1/result", **result)
    async with open_with(**QUEUED) as opened:
        assert opened.sink is not None
        with pytest.raises(error or ConnectorError) as caught:
            await opened.sink.deliver(sent(charge()))
    assert error is not None or type(caught.value).__name__ == "Fatal"


# Whatever breaks, wherever


MODES: list[Any] = [
    pytest.param({}, id="direct"),
    pytest.param(QUEUED, id="queued"),
    pytest.param(BY_FIELD, id="direct by custom field"),
    pytest.param({**QUEUED, **BY_FIELD}, id="queued by custom field"),
]
FAULTS: list[Any] = [
    pytest.param({"fault": "lose_response"}, id="the answer is lost"),
    pytest.param({"fault": "late_commit", "delay_s": 0.02}, id="done after the connection broke"),
    pytest.param({"fault": "truncate"}, id="half an answer"),
    pytest.param({"fault": "wrong_body"}, id="an empty 200"),
    pytest.param({"fault": "status", "status": 500}, id="500"),
    pytest.param({"fault": "throttle"}, id="429"),
]


@pytest.mark.parametrize("settings", MODES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_any_call_neither_loses_nor_doubles(
    settings: dict[str, Any],
    fault: dict[str, Any],
    shell: None,
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    charge: MakeCharge,
) -> None:
    simulator.acts()["slow_jobs"](0.0)
    async with open_with(**settings) as opened:
        assert opened.sink is not None
        await delivered(opened.sink, sent(charge("billing:warm")))
        for call in range(50):
            planned = Fault(skip=call, **fault)
            simulator.faults.faults[:] = [planned]
            receipt = await delivered(opened.sink, sent(charge(f"billing:c{call}")))
            assert receipt.remote_id == f"timeBill/{call + 2}"
            if not planned.fired:
                break
    assert call > 2 and not planned.fired
    keys = [record.fields["custcol_isth_charge"] for record in simulator.ledger.of_kind("timeBill")]
    assert keys == ["billing:warm", *(f"billing:c{n}" for n in range(call + 1))]


async def delivered(sink: Sink, delivery: Delivery) -> Receipt:
    """Deliver as the daemon does: again under the same key, of class B after a look."""
    for _ in range(10):
        try:
            return await sink.deliver(delivery)
        except (Retryable, Throttled):
            if sink.delivery_class(delivery.event) is DeliveryClass.B:
                await trio.sleep(0.05)  # the peer's worst commit time
                if (found := await sink.find(delivery)) is not None:
                    return found
    raise AssertionError("never delivered")
