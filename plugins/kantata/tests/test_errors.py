"""What each answer of Kantata means to the daemon."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from plugins.kantata.tests.conftest import Clock

from isthmus.events import ProjectCreated, ProjectStageChanged
from isthmus.sdk import (
    ConnectorError,
    Delivery,
    Fatal,
    Link,
    Opened,
    Rejected,
    Reply,
    Retryable,
    Secret,
    Throttled,
    Unsure,
)
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext
from isthmus_kantata.budgets import FIRST_S
from isthmus_kantata.client import fate
from isthmus_kantata.connector import Kantata
from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.simulator import KantataSimulator

if TYPE_CHECKING:
    from plugins.kantata.tests.conftest import Act, Psa


COMMON: dict[str, Any] = {
    "source": "crm",
    "entity": "main",
    "occurred_at": datetime(2026, 10, 1, 12, tzinfo=UTC),
    "project": "crm:006",
}
PROJECT = ProjectCreated(**COMMON, customer="crm:001", name="Apollo", stage="active")
MOVED = ProjectStageChanged(**COMMON, stage="on_hold", previous="active", changed_on=date(2026, 11, 2))


def answer(status: int, kind: str = "system", message: str = "words", field: str | None = None) -> Reply:
    error = {"type": kind, "message": message, **({"field": field} if field else {})}
    return Reply(status=status, headers={}, body=json.dumps({"errors": [error]}).encode())


@pytest.mark.parametrize(
    ("reply", "write", "error", "reason"),
    [
        pytest.param(answer(401, "oauth"), False, Fatal, None, id="a token does not expire: 401 is final"),
        pytest.param(answer(401, "oauth"), True, Fatal, None, id="also on a write"),
        pytest.param(answer(403), False, Fatal, None, id="403 on a read is about the token"),
        pytest.param(answer(403), True, Rejected, "permission", id="403 on a write is about the record"),
        pytest.param(answer(404), True, Rejected, "missing", id="404 on a write: the record is gone"),
        pytest.param(answer(404), False, Fatal, None, id="404 on a read: the base URL is wrong"),
        pytest.param(answer(400, "syntax"), False, Fatal, None, id="400 on a read cannot mend itself"),
        pytest.param(answer(400, "syntax"), True, Rejected, "value", id="400 on a write is one record"),
        pytest.param(
            answer(422, "validation", "can't be blank", "title"), True, Rejected, "missing", id="blank"
        ),
        pytest.param(
            answer(422, "validation", "has already been taken", "title"),
            True,
            Rejected,
            "duplicate",
            id="taken",
        ),
        pytest.param(
            answer(422, "validation", "is locked by a closed period"), True, Rejected, "period", id="locked"
        ),
        pytest.param(
            answer(422, "validation", "does not exist", "subject_id"), True, Rejected, "mapping", id="unknown"
        ),
        pytest.param(answer(422, "validation", "is invalid"), True, Rejected, "value", id="any other value"),
        pytest.param(answer(500), True, Unsure, None, id="500 after a write leaves doubt"),
        pytest.param(answer(503), True, Unsure, None, id="so does 503"),
        pytest.param(answer(504), False, Retryable, None, id="a read is simply read again"),
        pytest.param(answer(302), False, Fatal, None, id="a redirect is a wrong base URL"),
        pytest.param(answer(403, "oauth"), True, Fatal, None, id="oauth at 403: the token, not the record"),
        pytest.param(answer(400, "oauth"), True, Fatal, None, id="oauth whatever the status says"),
        pytest.param(answer(200, "oauth"), False, Fatal, None, id="oauth under a 200"),
        pytest.param(answer(422, "validation"), False, Fatal, None, id="validation on a read is our request"),
        pytest.param(answer(422, "syntax"), True, Rejected, "value", id="syntax is the body we sent"),
        pytest.param(answer(422, "syntax"), False, Fatal, None, id="syntax on a read"),
        pytest.param(answer(404, "validation"), True, Rejected, "missing", id="404 by its status"),
        pytest.param(
            answer(200, "validation", "is locked", "date"),
            True,
            Rejected,
            "period",
            id="a refusal under a 200",
        ),
        pytest.param(answer(200, "system"), True, Unsure, None, id="trouble under a 200 leaves doubt"),
        pytest.param(answer(200, "system"), False, Retryable, None, id="and is read again"),
        pytest.param(answer(503, "system"), False, Retryable, None, id="Kantata's three minutes are over"),
        pytest.param(answer(408), True, Unsure, None, id="408 after a write"),
        pytest.param(answer(405), True, Rejected, "value", id="any other status is about the record"),
        pytest.param(
            Reply(status=502, headers={}, body=b"<html>Bad Gateway</html>"),
            False,
            Retryable,
            None,
            id="a proxy",
        ),
    ],
)
def test_the_fate_of_an_answer(
    reply: Reply, write: bool, error: type[ConnectorError], reason: str | None
) -> None:
    found = fate(reply, write=write)
    assert type(found) is error
    assert getattr(found, "reason", None) == reason
    assert found.peer_words


def test_the_words_of_a_refusal_name_the_field() -> None:
    assert fate(answer(422, "validation", "can't be blank", "title"), write=True).peer_words == (
        "title can't be blank"
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(401, Fatal, id="401"),
        pytest.param(403, Rejected, id="403"),
        pytest.param(404, Rejected, id="404"),
        pytest.param(422, Rejected, id="422"),
        pytest.param(500, Unsure, id="500"),
        pytest.param(503, Unsure, id="503"),
    ],
)
async def test_a_delivery_meets_its_fate_over_the_wire(
    psa: Psa, simulator: KantataSimulator, status: int, error: type[ConnectorError]
) -> None:
    body = {"errors": [{"type": "system", "message": "no"}]}
    simulator.faults.add([Fault(fault="status", status=status, body=body, match=Match(method="POST"))])
    async with psa() as opened:
        assert opened.sink is not None
        with pytest.raises(error):
            await opened.sink.deliver(Delivery(key="k", lane="psa", event=PROJECT))


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        pytest.param("oauth", Fatal, id="oauth"),
        pytest.param("validation", Rejected, id="validation"),
        pytest.param("syntax", Rejected, id="syntax"),
        pytest.param("system", Unsure, id="system"),
    ],
)
async def test_an_error_under_a_200_is_no_success(
    psa: Psa, simulator: KantataSimulator, kind: str, error: type[ConnectorError]
) -> None:
    body = {"errors": [{"type": kind, "message": "no"}]}
    simulator.faults.add([Fault(fault="wrong_body", body=body, match=Match(method="POST"))])
    async with psa() as opened:
        assert opened.sink is not None
        with pytest.raises(error):
            await opened.sink.deliver(Delivery(key="k", lane="psa", event=PROJECT))


async def test_a_revoked_token_is_asked_for_once(psa: Psa, do: Act, simulator: KantataSimulator) -> None:
    async with psa() as opened:
        assert opened.source is not None
        await opened.source.pull("users", None)
        do("revoke_token")
        with pytest.raises(Fatal, match="make a new token") as caught:
            await opened.source.pull("users", None)
    assert simulator.credentials()["token"] not in f"{caught.value}{caught.value.peer_words}"


async def test_a_refused_call_rests_the_connector_longer_each_time(psa: Psa, do: Act) -> None:
    """Kantata names no pause. The second call is not even sent: the budget is closed."""
    async with psa() as opened:
        assert opened.source is not None
        do("use_up_rate_limit", calls=1)
        with pytest.raises(Throttled) as first:
            await opened.source.pull("users", None)
        with pytest.raises(Throttled, match="refused just now") as second:
            await opened.source.pull("time_entries", None)
    assert first.value.retry_after_s == FIRST_S
    assert second.value.retry_after_s == pytest.approx(FIRST_S, abs=1)


async def direct(simulator: KantataSimulator) -> AsyncIterator[Opened]:
    """The connector on a simulator in this process, without sockets, so that time can be turned."""
    context = FakeContext("psa", now=simulator.now, transport=httpx.ASGITransport(simulator.app()))
    settings = KantataSettings(
        token=Secret(simulator.credentials()["token"]), base_url="http://psa.test/api/v1"
    )
    async with Kantata().open(settings, context) as opened:
        yield opened


async def test_a_busy_endpoint_of_its_own_is_waited_for_and_stops_nothing_else(
    autojump_clock: object, clock: Clock
) -> None:
    simulator = KantataSimulator(now=clock)
    async with asynccontextmanager(direct)(simulator) as opened:
        assert opened.source is not None
        simulator.use_up_rate_limit(1, "GET workspaces")
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.source.pull, "projects", None)
            await trio.sleep(1)
            await opened.source.pull("time_entries", None)
            assert trio.current_time() - began == 1, "nothing else waits"
        assert trio.current_time() - began == FIRST_S


async def test_an_endpoint_that_stays_busy_rests_the_connector(autojump_clock: object, clock: Clock) -> None:
    simulator = KantataSimulator(now=clock)
    async with asynccontextmanager(direct)(simulator) as opened:
        assert opened.source is not None
        simulator.use_up_rate_limit(99, "GET workspaces")
        pauses = []
        for _ in range(4):
            with pytest.raises(Throttled) as caught:
                await opened.source.pull("projects", None)
            pauses.append(caught.value.retry_after_s)
            await trio.sleep(caught.value.retry_after_s or 0)
    assert pauses == [2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S, 16 * FIRST_S]


async def test_a_create_that_is_refused_for_its_rate_is_made_once(
    autojump_clock: object, clock: Clock
) -> None:
    """429 comes before anything happens, so the write is simply made again."""
    simulator = KantataSimulator(now=clock)
    async with asynccontextmanager(direct)(simulator) as opened:
        assert opened.sink is not None
        simulator.use_up_rate_limit(1, "POST workspaces")
        await opened.sink.deliver(Delivery(key="k", lane="psa", event=PROJECT))
    assert len(simulator.ledger.by_external_key("Workspace", "crm:006")) == 1


async def test_a_retry_after_is_believed_where_one_comes(psa: Psa, simulator: KantataSimulator) -> None:
    simulator.faults.add([Fault(fault="throttle", retry_after_s=17, match=Match(method="GET"))])
    async with psa() as opened:
        assert opened.source is not None
        with pytest.raises(Throttled) as caught:
            await opened.source.pull("users", None)
    assert caught.value.retry_after_s == 17


async def test_a_project_that_was_deleted_in_kantata_is_refused(
    psa: Psa, context: FakeContext, do: Act
) -> None:
    context.keep([Link(kind="project", key="crm:006", remote_id="1")])
    async with psa() as opened:
        assert opened.sink is not None
        with pytest.raises(Rejected) as caught:
            await opened.sink.deliver(Delivery(key="k", lane="psa", event=MOVED))
    assert caught.value.reason == "missing"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"time_zone": "Mars/Olympus"}, "time_zone", id="an unknown zone"),
        pytest.param({"stages": {"Parked": "waiting"}}, "stages", id="a stage that is none"),
        pytest.param(
            {"status_keys": {"done": 600}}, "status_keys|stages", id="a key for a stage that is none"
        ),
        pytest.param({"service_field": "default"}, "default_service", id="a default that is not set"),
        pytest.param({"base_url": "api.mavenlink.com"}, "base URL", id="a base URL without scheme"),
        pytest.param({"worst_commit_s": 60}, "made twice", id="less patience than Kantata's own time-out"),
    ],
)
async def test_settings_that_can_never_work_are_fatal_at_once(changes: dict[str, Any], words: str) -> None:
    settings = KantataSettings(token=Secret("t"), **changes)
    with pytest.raises(Fatal, match=words):
        async with Kantata().open(settings, FakeContext("psa")):
            pass
