"""The fake account answers as Runn does: headers, pages, error bodies, and what users do to it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from isthmus.sdk import Throttled
from isthmus.sdk.http import Http, open_http
from isthmus.sdk.simulator import ActRefused, started
from isthmus_runn.simulator import RunnSimulator

VERSION = {"accept-version": "1.0.0"}


@pytest.fixture
async def wire(runn: RunnSimulator) -> AsyncIterator[Http]:
    token = runn.credentials()["token"]
    async with open_http(runn.base_url, headers={**VERSION, "authorization": f"Bearer {token}"}) as http:
        yield http


@pytest.fixture
async def rollout(runn: RunnSimulator) -> dict[str, Any]:
    """Ids of a client, a project, a person and their role."""
    client = runn.add_client("Acme")
    project = runn.add_project("Rollout", "Acme", confirmed=True)
    person = runn.add_person("Rosa Meier", "Consultant", "rosa@example.com")
    role = next(runn.ledger.of_kind("role"))
    return {
        "clientId": client["id"],
        "projectId": project["id"],
        "personId": person["id"],
        "roleId": role.fields["id"],
    }


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        pytest.param({**VERSION}, 401, "Unauthorized", id="no token"),
        pytest.param({**VERSION, "authorization": "Bearer x"}, 401, "Unauthorized", id="a wrong token"),
        pytest.param({}, 400, "must have required property 'accept-version'", id="no version"),
        pytest.param({"accept-version": "2.0.0"}, 400, "allowed values", id="another version"),
    ],
)
async def test_headers_runn_insists_on(
    runn: RunnSimulator, headers: dict[str, str], status: int, message: str
) -> None:
    if status != 401:
        headers = {**headers, "authorization": f"Bearer {runn.credentials()['token']}"}
    async with open_http(runn.base_url, headers=headers) as http:
        reply = await http.get("clients")
    assert reply.status == status
    assert reply.json()["statusCode"] == status
    assert message in reply.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        pytest.param("GET", "/nowhere", None, 404, "Route GET:/nowhere not found", id="an unknown path"),
        pytest.param("GET", "/projects/9", None, 404, "Project not found", id="an unknown record"),
        pytest.param("GET", "/people?limit=201", None, 400, "limit must be <= 200", id="too large a page"),
        pytest.param("GET", "/people?cursor=x", None, 400, "cursor", id="a cursor of nobody"),
        pytest.param("GET", "/actuals?modifiedAfter=now", None, 400, "modifiedAfter", id="no stamp"),
        pytest.param("POST", "/clients", {}, 400, "required property 'name'", id="a client without name"),
        pytest.param(
            "POST", "/projects", {"name": "x", "clientId": 9}, 400, "does not exist", id="no such client"
        ),
        pytest.param(
            "POST",
            "/projects",
            {"name": "x", "clientId": 9, "pricingModel": "free"},
            400,
            "allowed values",
            id="a word unknown",
        ),
        pytest.param(
            "POST",
            "/projects",
            {"name": "x", "clientId": 9, "budget": "10.00"},
            400,
            "must be number",
            id="money as text",
        ),
        pytest.param("POST", "/people", {"firstName": "R", "lastName": "M"}, 400, "'roleId'", id="no role"),
    ],
)
async def test_refusals_in_runns_words(
    wire: Http, method: str, path: str, body: object, status: int, message: str
) -> None:
    reply = await wire.request(method, path, json=body)
    assert (reply.status, reply.json()["statusCode"]) == (status, status)
    assert message in reply.json()["message"]


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p) for p in ("/clients", "/clients/", "//clients", "/clients/?limit=5")]
)
async def test_paths_as_clients_write_them(runn: RunnSimulator, path: str) -> None:
    headers = {**VERSION, "authorization": f"Bearer {runn.credentials()['token']}"}
    async with httpx.AsyncClient() as client:
        reply = await client.get(runn.base_url + path, headers=headers)
    assert (reply.status_code, reply.json()) == (200, {"values": [], "nextCursor": None})


async def test_every_answer_counts_down_the_rate(wire: Http) -> None:
    left = [int((await wire.get("me")).headers["x-ratelimit-remaining"]) for _ in range(2)]
    assert left[0] - left[1] == 1


async def test_past_the_rate_of_a_minute_nothing_is_answered(
    runn: RunnSimulator, wire: Http, clock: Any
) -> None:
    clock.step = timedelta(0)
    runn.set_rate_limit(3)
    for _ in range(3):
        assert (await wire.get("me")).ok
    with pytest.raises(Throttled):
        await wire.get("me")
    clock.time += timedelta(seconds=60)
    assert (await wire.get("me")).ok


async def pages(wire: Http, path: str, **params: str | int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        body = (await wire.get(path, params={**params, **cursor})).json()
        rows += body["values"]
        if body["nextCursor"] is None:
            return rows
        cursor = {"cursor": body["nextCursor"]}


@pytest.mark.parametrize("order", [pytest.param("asc", id="rising"), pytest.param("desc", id="falling")])
@pytest.mark.parametrize("sort", [pytest.param(s, id=f"by {s}") for s in ("id", "createdAt", "updatedAt")])
async def test_pages_hold_every_record_once(
    runn: RunnSimulator, wire: Http, clock: Any, sort: str, order: str
) -> None:
    clock.step = clock.step * 0
    for n in range(7):
        runn.add_client(f"Client {n}")
    rows = await pages(wire, "clients", limit=3, sortBy=sort, order=order)
    ids = [row["id"] for row in rows]
    assert ids == sorted(ids, reverse=order == "desc")
    assert len(ids) == 7


async def test_the_generic_filters(runn: RunnSimulator, wire: Http, rollout: dict[str, Any]) -> None:
    made = await wire.post(
        "projects",
        json={
            "name": "Keyed",
            "clientId": rollout["clientId"],
            "references": [{"referenceName": "isthmus", "externalId": "crm:p"}],
        },
    )
    assert [p["name"] for p in await pages(wire, "projects", externalId="crm:p")] == ["Keyed"]
    assert [p["name"] for p in await pages(wire, "projects", name="ROLL")] == ["Rollout"]
    assert [p["email"] for p in await pages(wire, "people", email="rosa@")] == ["rosa@example.com"]
    await wire.request("PATCH", f"projects/{made.json()['id']}", json={"isArchived": True})
    assert len(await pages(wire, "projects", includeArchived="false")) == 1
    assert len(await pages(wire, "projects")) == 2


async def test_booking_over_leave_answers_with_several_segments(
    runn: RunnSimulator, wire: Http, rollout: dict[str, Any]
) -> None:
    leave = {"personId": rollout["personId"], "startDate": "2026-10-12", "endDate": "2026-10-16"}
    assert (await wire.post("time-offs/leave", json=leave)).status == 201
    ids = {name: rollout[name] for name in ("personId", "projectId", "roleId")}
    period = {"startDate": "2026-10-05", "endDate": "2026-10-30", "minutesPerDay": 480}
    reply = await wire.post("assignments", json={**ids, **period})
    assert reply.status == 201
    assert [(s["startDate"], s["endDate"]) for s in reply.json()] == [
        ("2026-10-05", "2026-10-11"),
        ("2026-10-17", "2026-10-30"),
    ]


async def test_a_deleted_assignment_is_in_the_activity_log(
    runn: RunnSimulator, wire: Http, rollout: dict[str, Any]
) -> None:
    (booked,) = runn.assign("rosa@example.com", "Rollout", "2026-10-05", "2026-10-30", 480)
    assert (await wire.request("DELETE", f"assignments/{booked['id']}")).status == 204
    (event,) = await pages(wire, "activity-log", eventType="assignment_deleted")
    assert event["assignment"]["id"] == booked["id"]
    assert await pages(wire, "assignments") == []


async def test_actuals_are_overwritten_per_person_project_role_and_day(
    runn: RunnSimulator, wire: Http, rollout: dict[str, Any]
) -> None:
    body = {name: rollout[name] for name in ("personId", "projectId", "roleId")}
    first = await wire.post("actuals", json={**body, "date": "2026-10-05", "billableMinutes": 60})
    again = await wire.post("actuals", json={**body, "date": "2026-10-05", "billableMinutes": 90})
    assert first.json()["id"] == again.json()["id"]
    (record,) = runn.ledger.of_kind("actual")
    assert (record.fields["billableMinutes"], len(record.writes)) == (90, 2)


async def test_of_a_bulk_with_one_bad_row_nothing_is_written(
    runn: RunnSimulator, wire: Http, rollout: dict[str, Any]
) -> None:
    body = {name: rollout[name] for name in ("personId", "projectId", "roleId")}
    good = {**body, "date": "2026-10-05", "billableMinutes": 60}
    for bad in ({**good, "personId": 9}, {**good, "billableMinutes": 0}):
        assert (await wire.post("actuals/bulk", json={"actuals": [good, bad]})).status == 400
    assert list(runn.ledger.of_kind("actual")) == []


async def test_a_custom_field_does_not_count_as_a_change_of_the_project(
    runn: RunnSimulator, wire: Http, rollout: dict[str, Any]
) -> None:
    field = next(runn.ledger.of_kind("text_field")).fields["id"]
    before = (await wire.get(f"projects/{rollout['projectId']}")).json()["updatedAt"]
    path = f"projects/{rollout['projectId']}/custom-fields/text"
    assert (await wire.request("PATCH", path, json={"id": field, "value": "2026-10"})).ok
    after = (await wire.get(f"projects/{rollout['projectId']}")).json()
    assert after["updatedAt"] == before
    assert [text["value"] for text in after["customFields"]["text"]] == ["2026-10"]


async def test_the_state_file_keeps_token_records_and_rows(tmp_path: Path) -> None:
    kept = tmp_path / "runn.json"
    first = RunnSimulator(seed=1)
    async with started(first, state_file=kept):
        first.add_client("Acme")
        first.add_project("Rollout", "Acme")
        first.add_person("Rosa Meier", "Consultant")
        first.save()
    second = RunnSimulator(seed=2)
    async with started(second, state_file=kept):
        assert second.credentials()["token"] == first.credentials()["token"]
        (booked,) = second.assign("Rosa Meier", "Rollout", "2026-10-05", "2026-10-06", 60)
        assert booked["id"] == 1001


@pytest.mark.parametrize(
    ("act", "words"),
    [
        pytest.param({"act": "assign", "person": "Nobody"}, "missing", id="an act without its arguments"),
        pytest.param(
            {"act": "end_assignment", "assignment": 9}, "there is no assignment 9", id="no such record"
        ),
        pytest.param({"act": "fly"}, "with one of", id="an act nobody can do"),
    ],
)
async def test_acts_that_cannot_be_done_say_why(runn: RunnSimulator, act: dict[str, Any], words: str) -> None:
    async with open_http(runn.base_url) as http:
        reply = await http.post("_sim/do", json=act)
    assert reply.status in (400, 409)
    assert words in reply.json()["error"]


async def test_every_act_says_what_it_does(runn: RunnSimulator) -> None:
    async with open_http(runn.base_url) as http:
        about = (await http.get("_sim")).json()
    assert about["plugin"] == "runn"
    assert all(len(text) > 20 for text in about["acts"].values())


async def test_nobody_is_booked_while_on_leave(runn: RunnSimulator, rollout: dict[str, Any]) -> None:
    runn.take_leave("Rosa Meier", "2026-10-01", "2026-10-31")
    with pytest.raises(ActRefused, match="on leave"):
        runn.assign("Rosa Meier", "Rollout", "2026-10-05", "2026-10-06", 480)
