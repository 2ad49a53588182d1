"""What each answer of Kantata means to the daemon."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from isthmus.events import ProjectCreated, ProjectStageChanged
from isthmus.sdk import ConnectorError, Delivery, Fatal, Link, Rejected, Reply, Retryable, Secret, Unsure
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext
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
    ],
)
async def test_settings_that_can_never_work_are_fatal_at_once(changes: dict[str, Any], words: str) -> None:
    settings = KantataSettings(token=Secret("t"), **changes)
    with pytest.raises(Fatal, match=words):
        async with Kantata().open(settings, FakeContext("psa")):
            pass
