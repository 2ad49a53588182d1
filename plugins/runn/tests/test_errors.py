"""Every answer of Runn that is no success, and its fate."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from isthmus.events import BurnRevised, CustomerChanged
from isthmus.sdk import (
    ConnectorError,
    Delivery,
    Fatal,
    Link,
    Opened,
    Rejected,
    Reply,
    Retryable,
    Throttled,
    Unsure,
)
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext
from isthmus_runn.client import error_of
from isthmus_runn.simulator import RunnSimulator

NOW = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)
CUSTOMER = CustomerChanged(
    source="crm", occurred_at=NOW, entity="acme-de", customer="crm:a", name="Acme", currency="EUR"
)
BURN = BurnRevised(
    source="burn",
    occurred_at=NOW,
    entity="acme-de",
    burn="crm:p|psa:r|2026-10-05",
    project="crm:p",
    resource="psa:r",
    worked_on=date(2026, 10, 5),
    billable_hours=Decimal(8),
    nonbillable_hours=Decimal(0),
    basis=[],
)


def said(status: int, message: str) -> Reply:
    body = msgspec.json.encode({"statusCode": status, "error": "as HTTP says", "message": message})
    return Reply(status=status, headers={}, body=body)


@pytest.mark.parametrize(
    ("status", "message", "write", "record", "fate", "reason"),
    [
        pytest.param(400, "body/budget must be number", True, True, Rejected, "value", id="an invalid body"),
        pytest.param(
            400, "headers/accept-version must be", False, False, Fatal, None, id="a retired version"
        ),
        pytest.param(400, "Timesheets are locked", True, False, Rejected, "period", id="locked timesheets"),
        pytest.param(401, "Unauthorized", True, True, Fatal, None, id="a wrong token"),
        pytest.param(403, "no write scope", True, True, Fatal, None, id="a token that may only read"),
        pytest.param(404, "Project not found", True, True, Rejected, "missing", id="a deleted record"),
        pytest.param(404, "Route not found", False, False, Fatal, None, id="a wrong base URL"),
        pytest.param(409, "exists", True, False, Rejected, "duplicate", id="a record that exists"),
        pytest.param(422, "not possible", True, False, Rejected, "value", id="an impossible request"),
        pytest.param(500, "oops", True, False, Unsure, None, id="a server error after a write"),
        pytest.param(500, "oops", False, False, Retryable, None, id="a server error after a read"),
        pytest.param(503, "later", True, False, Retryable, None, id="not now: nothing was written"),
        pytest.param(
            400, "querystring/limit must be <= 200", False, False, Rejected, "value", id="a bad query"
        ),
        pytest.param(401, "Unauthorized", False, False, Fatal, None, id="a wrong token on a read"),
        pytest.param(403, "no read scope", False, False, Fatal, None, id="a token that may not even read"),
        pytest.param(
            404, "Person not found", False, True, Rejected, "missing", id="reading a deleted record"
        ),
        pytest.param(404, "Route not found", True, False, Fatal, None, id="creating at a wrong base URL"),
        pytest.param(408, "timeout", True, False, Retryable, None, id="408: it gave up before it began"),
        pytest.param(413, "too large", True, False, Rejected, "other", id="a body that is too large"),
        pytest.param(502, "<html>", True, False, Unsure, None, id="a gateway after a write"),
        pytest.param(504, "<html>", True, True, Unsure, None, id="a gateway that waited in vain"),
        pytest.param(504, "<html>", False, False, Retryable, None, id="the same on a read"),
        pytest.param(301, "moved", False, False, Fatal, None, id="a redirect is a wrong base URL"),
    ],
)
def test_fate_of_an_answer(
    status: int, message: str, write: bool, record: bool, fate: type[ConnectorError], reason: str | None
) -> None:
    error = error_of(said(status, message), "projects/7", write=write, record=record)
    assert type(error) is fate
    assert error.peer_words in (message, None if status == 301 else message)
    if isinstance(error, Rejected):
        assert error.reason == reason


def test_a_page_instead_of_an_error_body_is_quoted_as_it_is() -> None:
    reply = Reply(status=409, headers={}, body=b"<html>conflict</html>")
    assert error_of(reply, "clients", write=True, record=False).peer_words == "<html>conflict</html>"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(None, id="an empty 200"),
        pytest.param("<html>maintenance</html>", id="a page instead"),
        pytest.param({"statusCode": 500, "message": "oops"}, id="an error under a 200"),
        pytest.param([], id="a list instead of a record"),
        pytest.param({"id": "7", "name": "Acme"}, id="an id that is no number"),
        pytest.param({"id": 7, "name": "Globex"}, id="another record"),
    ],
)
async def test_a_success_that_does_not_show_the_record_is_none(
    runn: RunnSimulator, planner: Opened, body: Any
) -> None:
    runn.faults.add([Fault(fault="wrong_body", body=body, match=Match(method="POST"))])
    assert planner.sink is not None
    with pytest.raises(Unsure):
        await planner.sink.deliver(delivery(CUSTOMER))
    assert await planner.sink.find(delivery(CUSTOMER)) is not None, "it was made, and is found"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"statusCode": 500, "message": "oops"}, id="an error under a 200"),
        pytest.param({"values": None}, id="no list"),
        pytest.param({"values": ["7"]}, id="a list of no records"),
        pytest.param({"values": [], "nextCursor": "x"}, id="a cursor that leads to itself"),
    ],
)
async def test_a_listing_that_is_none_is_read_again(runn: RunnSimulator, planner: Opened, body: Any) -> None:
    listing = Match(method="GET", path_prefix="/projects")
    runn.faults.add([Fault(fault="wrong_body", body=body, match=listing, times=5)])
    assert planner.source is not None
    with pytest.raises(Retryable):
        await planner.source.pull("assignments", None)


async def test_cursors_that_lead_in_a_circle_end_the_poll(runn: RunnSimulator, planner: Opened) -> None:
    listing = Match(method="GET", path_prefix="/projects")
    for following in ("a", "b", "a"):
        page: dict[str, Any] = {"values": [], "nextCursor": following}
        runn.faults.add([Fault(fault="wrong_body", body=page, match=listing)])
    assert planner.source is not None
    with pytest.raises(Retryable, match="circle of 2 pages"):
        await planner.source.pull("assignments", None)


async def test_a_request_without_its_version_is_refused(runn: RunnSimulator, open_runn: Any) -> None:
    """The simulator insists on Accept-Version, as Runn does; the connector never leaves it out."""
    async with httpx.AsyncClient(base_url=runn.base_url) as client:
        token = {"authorization": f"Bearer {runn.credentials()['token']}"}
        bare = await client.get("/clients", headers=token)
        retired = await client.get("/clients", headers={**token, "accept-version": "0.9.0"})
    assert (bare.status_code, retired.status_code) == (400, 400)
    for reply in (bare, retired):
        answer = Reply(status=reply.status_code, headers={}, body=reply.content)
        assert type(error_of(answer, "clients", write=False, record=False)) is Fatal


def delivery(event: Any) -> Delivery:
    return Delivery(key="k", lane="to-planner", event=event)


async def test_a_throttle_names_runns_own_delay(runn: RunnSimulator, planner: Opened) -> None:
    runn.use_up_rate_limit(1)
    assert planner.sink is not None
    with pytest.raises(Throttled) as throttled:
        await planner.sink.deliver(delivery(CUSTOMER))
    assert throttled.value.retry_after_s == 1.0
    assert (await planner.sink.deliver(delivery(CUSTOMER))).remote_id


async def test_a_wrong_token_is_fatal_and_never_shown(runn: RunnSimulator, open_runn: Any) -> None:
    async with open_runn(token="LIVE_not_this_one") as opened:
        for call in (opened.sink.deliver(delivery(CUSTOMER)), opened.source.pull("assignments", None)):
            with pytest.raises(Fatal) as fatal:
                await call
            assert "not_this_one" not in f"{fatal.value} {fatal.value.peer_words} {fatal.value!r}"


async def test_a_revoked_token_is_asked_for_once_and_not_renewed(
    runn: RunnSimulator, planner: Opened
) -> None:
    assert planner.sink is not None
    await planner.sink.deliver(delivery(CUSTOMER))
    runn.revoke_token()
    calls = runn.memory["rate"]["used"]
    with pytest.raises(Fatal, match="wrong or expired"):
        await planner.sink.deliver(delivery(CUSTOMER))
    assert runn.memory["rate"]["used"] == calls


async def test_a_token_that_may_only_read_is_fatal_for_the_sink(runn: RunnSimulator, planner: Opened) -> None:
    runn.restrict_token(["read"])
    assert planner.sink is not None and planner.source is not None
    await planner.source.pull("assignments", None)
    with pytest.raises(Fatal, match="write scope"):
        await planner.sink.deliver(delivery(CUSTOMER))


async def test_opening_needs_no_peer(open_runn: Any) -> None:
    async with open_runn(base_url="http://127.0.0.1:9") as opened:
        with pytest.raises(Retryable, match="no connection"):
            await opened.source.pull("assignments", None)


async def test_a_record_deleted_in_runn_is_rejected_as_missing(
    runn: RunnSimulator, planner: Opened, ctx: FakeContext
) -> None:
    ctx.keep([Link(kind="customer", key="crm:a", remote_id="4711")])
    assert planner.sink is not None
    with pytest.raises(Rejected) as refusal:
        await planner.sink.deliver(delivery(CUSTOMER))
    assert refusal.value.reason == "missing"


async def test_hours_in_locked_timesheets_wait_for_a_person(
    runn: RunnSimulator, planner: Opened, ctx: FakeContext
) -> None:
    runn.add_client("Acme")
    project = runn.add_project("Rollout", "Acme", confirmed=True)
    person = runn.add_person("Rosa Meier", "Consultant")
    ctx.keep(
        [
            Link(kind="project", key="crm:p", remote_id=str(project["id"])),
            Link(kind="resource", key="psa:r", remote_id=str(person["id"])),
        ]
    )
    runn.lock_timesheets("Rollout", "2026-10-31")
    assert planner.sink is not None
    with pytest.raises(Rejected, match="locked until 2026-10-31") as refusal:
        await planner.sink.deliver(delivery(BURN))
    assert refusal.value.reason == "period"


@pytest.mark.parametrize(
    ("fault", "fate"),
    [
        pytest.param(Fault(fault="status", status=500), Unsure, id="500"),
        pytest.param(Fault(fault="status", status=502, body="<html>"), Unsure, id="502 of a gateway"),
        pytest.param(Fault(fault="status", status=503), Retryable, id="503"),
        pytest.param(Fault(fault="lose_response"), Unsure, id="no answer"),
        pytest.param(Fault(fault="truncate"), Unsure, id="half an answer"),
        pytest.param(Fault(fault="drip", delay_s=0.2), Unsure, id="an answer that drips past the deadline"),
    ],
)
async def test_fate_of_a_broken_write(
    runn: RunnSimulator, open_runn: Any, fault: Fault, fate: type[ConnectorError]
) -> None:
    runn.faults.add([msgspec.structs.replace(fault, match=Match(method="POST"))])
    async with open_runn(timeout_s=0.5) as opened:
        with pytest.raises(fate) as broken:
            await opened.sink.deliver(delivery(CUSTOMER))
        assert type(broken.value) is fate
