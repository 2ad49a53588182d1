"""The simulated Kantata behaves as the documentation of the real one says, its quirks included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from isthmus.sdk.simulator import ActRefused
from isthmus_kantata.simulator import KantataSimulator

if TYPE_CHECKING:
    from plugins.kantata.tests.conftest import Act, Clock

Row = dict[str, Any]
WEEK = {"start": "2026-11-09", "end": "2026-11-13"}


@pytest.fixture
def api(simulator: KantataSimulator) -> Any:
    """``await api("GET", "users", params=...)`` gives status and body."""
    known = simulator.credentials()

    async def call(method: str, path: str, token: str = known["token"], **options: Any) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=known["base_url"], headers=headers) as client:
            reply = await client.request(method, path, **options)
        assert reply.headers["x-request-id"]
        return reply.status_code, reply.json() if reply.content else None

    return call


async def ids(api: Any, path: str, **params: str) -> list[str]:
    _, body = await api("GET", path, params=params)
    return [result["id"] for result in body["results"]]


async def test_both_spellings_of_a_path_list_in_the_same_envelope(api: Any, project: str) -> None:
    for path in ("workspaces", "workspaces.json"):
        status, body = await api("GET", path)
        assert status == 200
        assert body["count"] == 1
        assert body["meta"] == {"count": 1, "page_count": 1, "page_number": 1, "page_size": 20}
        assert body["results"] == [{"key": "workspaces", "id": project}]
        assert body["workspaces"][project]["title"] == "Apollo"


@pytest.mark.parametrize(
    ("method", "path", "token", "status", "kind"),
    [
        pytest.param("GET", "users", "wrong", 401, "oauth", id="a wrong token"),
        pytest.param("GET", "nothing", None, 404, "system", id="an unknown path"),
        pytest.param("GET", "workspaces/1.json", None, 404, "system", id="an unknown record"),
        pytest.param("POST", "workspaces", None, 422, "validation", id="a body without the record"),
        pytest.param(
            "GET", "external_references", None, 422, "validation", id="a required filter is missing"
        ),
        pytest.param("DELETE", "workspaces/1", None, 404, "system", id="a method the path does not have"),
    ],
)
async def test_errors_have_the_vendors_body(
    api: Any, method: str, path: str, token: str | None, status: int, kind: str
) -> None:
    found, body = await api(method, path, **({"token": token} if token else {}))
    assert (found, body["errors"][0]["type"]) == (status, kind)
    assert body["errors"][0]["message"]


async def test_pages_by_number_and_by_offset_hold_the_same_records(api: Any, do: Act) -> None:
    for n in range(7):
        do("add_user", name=f"Person {n}", role="consulting")
    whole = await ids(api, "users", order="alphabetical:asc")
    numbered = [await ids(api, "users", page=str(page), per_page="3") for page in (1, 2, 3)]
    offset = [await ids(api, "users", limit="3", offset=str(start)) for start in (0, 3, 6)]
    assert [id for page in numbered for id in page] == whole
    assert [id for page in offset for id in page] == whole
    assert await ids(api, "users", offset="3") == whole, "an offset without a limit counts for nothing"


async def test_only_hides_a_miss_and_a_path_does_not(api: Any, project: str) -> None:
    assert await ids(api, "workspaces", only=f"{project},1") == [project]
    assert (await api("GET", "workspaces/1"))[0] == 404


async def test_an_archived_project_is_hidden_with_all_that_belongs_to_it(
    api: Any, do: Act, project: str, consultant: str
) -> None:
    entry = do("log_time", workspace=project, user=consultant, date="2026-10-05", hours=1, service="x")
    do("archive_project", workspace=project)
    assert await ids(api, "workspaces") == []
    assert (await api("GET", f"workspaces/{project}"))[0] == 404
    assert await ids(api, "workspaces", include_archived="true") == [project]
    assert await ids(api, "time_entries") == []
    assert await ids(api, "time_entries", from_archived_workspaces="true") == [entry["id"]]


async def test_approved_and_uninvoiced_count_as_true_whatever_their_value(
    api: Any, do: Act, project: str, consultant: str
) -> None:
    approved, loose = (
        do("log_time", workspace=project, user=consultant, date="2026-10-05", hours=n, service="x")["id"]
        for n in (1, 2)
    )
    do("approve_time", entries=[approved])
    for value in ("true", "false", "0"):
        assert await ids(api, "time_entries", approved=value) == [approved]
        assert sorted(await ids(api, "time_entries", uninvoiced=value)) == sorted([approved, loose])


async def test_a_reference_is_created_then_updated_by_its_service_name(api: Any, project: str) -> None:
    def reference(name: str, ref: str) -> Row:
        return {
            "external_reference": {
                "subject_type": "Workspace",
                "subject_id": int(project),
                "service_name": name,
                "service_model": "Invoice",
                "service_model_ref": ref,
            }
        }

    path = "external_references/create_or_update"
    (_, first), (_, second), (_, third) = [
        await api("POST", path, json=reference(name, ref))
        for name, ref in (("books", "1"), ("books", "2"), ("other", "1"))
    ]
    assert first["results"] == second["results"]
    assert third["results"] != first["results"]
    found = await ids(api, "external_references", subject_type="Workspace", service_model_ref="2")
    assert found == [second["results"][0]["id"]]
    by_ref = await ids(api, "workspaces", external_reference_service_model_refs="2,9")
    assert by_ref == [project]
    assert await ids(api, "workspaces", without_external_reference_service_name="other") == []


async def test_a_nested_reference_is_made_with_its_record(api: Any, project: str) -> None:
    nested = {"service_name": "isthmus", "service_model": "Milestone", "service_model_ref": "crm:m1"}
    story = {
        "workspace_id": int(project),
        "title": "Go live",
        "story_type": "milestone",
        "external_reference": nested,
    }
    _, body = await api("POST", "stories.json?include=external_references", json={"story": story})
    (id,) = body["stories"]
    (reference,) = body["stories"][id]["external_reference_ids"]
    assert body["external_references"][reference]["service_model_ref"] == "crm:m1"
    assert body["results"] == [{"key": "stories", "id": id}], "side loads are not among the results"


async def test_a_submission_is_approved_rejected_and_made_anew(
    api: Any, clock: Clock, do: Act, project: str, consultant: str
) -> None:
    entry = do("log_time", workspace=project, user=consultant, date="2026-10-05", hours=8, service="x")["id"]
    sheet = {"line_item_ids": [int(entry)], "title": "Week 41", "workspace_id": int(project)}
    _, body = await api("POST", "timesheet_submissions", json={"timesheet_submission": sheet})
    first = body["results"][0]["id"]
    status, _ = await api("POST", "timesheet_submissions", json={"timesheet_submission": sheet})
    assert status == 422, "an entry is on one active submission"
    clock.move(hours=1)
    for verb, approved, active in (("approve", True, first), ("reject", False, None)):
        resolution = {"resolution": {"description": "looked at"}}
        status, body = await api("PUT", f"timesheet_submissions/{first}/{verb}", json=resolution)
        assert status == 200
        assert body["timesheet_submissions"][first]["current_resolution_description"] == "looked at"
        _, body = await api("GET", f"time_entries/{entry}", params={"include": "recent_submission"})
        row = body["time_entries"][entry]
        assert (row["approved"], row["active_submission_id"]) == (approved, active)
        assert row["recent_submission_id"] == first
        assert row["updated_at"] == row["created_at"], "an approval need not touch the entry"
    assert await ids(api, "time_entries", with_timesheet_id=first) == []
    assert await ids(api, "time_entries", with_recent_timesheet_ids=first) == [entry]
    _, body = await api("POST", "timesheet_submissions", json={"timesheet_submission": sheet})
    second = body["results"][0]["id"]
    assert second != first
    assert await ids(api, "time_entries", with_recent_timesheet_ids=first) == []
    status, _ = await api("PUT", f"time_entries/{entry}", json={"time_entry": {"time_in_minutes": 30}})
    assert status == 422, "an entry that is handed in cannot be changed"


async def test_bulk_resolutions_decide_several_submissions(
    api: Any, do: Act, simulator: KantataSimulator, project: str, consultant: str
) -> None:
    sheets = []
    for day in ("2026-10-05", "2026-10-12"):
        entry = do("log_time", workspace=project, user=consultant, date=day, hours=8, service="x")
        sheets.append(simulator.books.submit("TimesheetSubmission", [entry["id"]], {}).id)
    body = {"resolution": {"submission_ids": [int(id) for id in sheets]}}
    status, answer = await api("POST", "timesheet_approvals", json=body)
    assert (status, [r["type"] for r in answer["resolutions"]]) == (200, ["approved", "approved"])
    assert sorted(await ids(api, "timesheet_submissions", statuses="approved")) == sorted(sheets)


async def test_the_trail_of_a_story_comes_only_with_only(api: Any, do: Act, project: str) -> None:
    story = do("add_milestone", workspace=project, title="Go live")["id"]
    do("complete_milestone", story=story)
    include = {"include": "story_state_changes"}
    _, listed = await api("GET", "stories", params=include)
    _, asked = await api("GET", "stories", params={**include, "only": story})
    assert "story_state_change_ids" not in listed["stories"][story]
    changes = asked["stories"][story]["story_state_change_ids"]
    assert [asked["story_state_changes"][id]["state"] for id in changes] == ["not started", "completed"]


async def test_an_allocation_names_its_resource_and_the_resource_its_person(
    api: Any, do: Act, project: str, consultant: str
) -> None:
    """Includes do not nest: whose booking it is takes a second call."""
    booked = do(
        "add_allocation", workspace=project, user=consultant, start="2026-11-09", end="2026-11-13", hours=40
    )
    include = {"include": "workspace,workspace_resource"}
    _, body = await api("GET", "workspace_allocations", params=include)
    row = body["workspace_allocations"][booked["id"]]
    assert (row["hard"], row["minutes"], row["workspace_id"]) == (True, 2400, project)
    resource = row["workspace_resource_id"]
    assert "user_id" not in body["workspace_resources"][resource]
    _, body = await api("GET", "workspace_resources", params={"only": resource, "include": "user,role"})
    assert body["workspace_resources"][resource]["user_id"] == consultant
    assert body["workspace_resources"][resource]["role_name"] == "consulting"


@pytest.mark.parametrize(
    ("params", "found"),
    [
        pytest.param({"type": "hard"}, True, id="a hard one"),
        pytest.param({"type": "soft"}, False, id="is no soft one"),
        pytest.param({"overlaps_with_date_range": "2026-11-13:2026-12-01"}, True, id="its last day counts"),
        pytest.param({"overlaps_with_date_range": "2026-11-14:2026-12-01"}, False, id="the next does not"),
        pytest.param({"updated_after": "2026-11-02T09:00:00Z"}, False, id="a strict bound"),
        pytest.param({"colour": "blue"}, True, id="an unknown filter is ignored"),
    ],
)
async def test_filters_of_allocations(
    api: Any, do: Act, project: str, consultant: str, params: dict[str, str], found: bool
) -> None:
    do("add_allocation", workspace=project, user=consultant, hours=40, **WEEK)
    assert bool(await ids(api, "workspace_allocations", **params)) is found


async def test_allocations_are_made_changed_and_deleted_over_the_api(
    api: Any, do: Act, simulator: KantataSimulator, project: str, consultant: str
) -> None:
    do("add_allocation", workspace=project, user=consultant, hours=40, **WEEK)
    (resource,) = simulator.books.all("WorkspaceResource")
    days = {"start_date": "2026-11-16", "end_date": "2026-11-20"}
    sent = {"resource_id": int(resource.id), "minutes": 60, "hard": False, **days}
    _, body = await api("POST", "workspace_allocations", json={"workspace_allocation": sent})
    id = body["results"][0]["id"]
    _, body = await api("PUT", f"workspace_allocations/{id}", json={"workspace_allocation": {"hard": True}})
    assert body["workspace_allocations"][id]["hard"] is True
    status, _ = await api("DELETE", f"workspace_allocations/{id}")
    assert status == 204
    assert await ids(api, "workspace_allocations", only=id) == []
    wrong = {**sent, "end_date": "2026-11-01"}
    status, _ = await api("POST", "workspace_allocations", json={"workspace_allocation": wrong})
    assert status == 422


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({}, 200, id="a date and an amount are enough"),
        pytest.param({"billing_type": "upon_completion"}, 422, id="on completion of what"),
        pytest.param({"billing_type": "monthly"}, 422, id="an unknown type"),
        pytest.param({"amount_in_cents": "1.00"}, 422, id="an amount in units"),
        pytest.param({"title": " "}, 422, id="no title"),
    ],
)
async def test_rules_of_billing_milestones(api: Any, project: str, change: Row, status: int) -> None:
    sent = {
        "workspace_id": int(project),
        "title": "October",
        "amount_in_cents": 100,
        "date_to_invoice": "2026-10-31",
        **change,
    }
    found, _ = await api("POST", "billing_milestones", json={"billing_milestone": sent})
    assert found == status


async def test_a_limit_that_is_used_up_is_told_without_a_word_about_it(
    api: Any, do: Act, project: str
) -> None:
    do("use_up_rate_limit", calls=1, endpoint="GET workspaces")
    assert (await api("GET", "time_entries"))[0] == 200
    status, body = await api("GET", "workspaces.json")
    assert (status, body["errors"][0]["type"]) == (429, "system")
    assert (await api("GET", "workspaces"))[0] == 200


async def test_more_references_than_a_call_may_name_are_refused(api: Any) -> None:
    refs = ",".join(str(n) for n in range(201))
    status, _ = await api("GET", "stories", params={"external_reference_service_model_refs": refs})
    assert status == 422


async def test_the_feed_keeps_nine_days_tells_some_things_twice_and_can_be_missing(
    api: Any, do: Act, clock: Clock, project: str, consultant: str
) -> None:
    for _ in range(6):
        do("log_time", workspace=project, user=consultant, date="2026-10-05", hours=1, service="x")
    params = {"subject_type": "TimeEntry", "event_types": "time_entry:created,time_entry:deleted"}
    _, body = await api("GET", "subscribed_events", params=params)
    told = [event["subject_id"] for event in body["subscribed_events"].values()]
    assert len(set(told)) == 6
    assert len(told) > 6
    clock.move(days=10)
    assert await ids(api, "subscribed_events", **params) == []
    do("switch_feed", on=False)
    assert (await api("GET", "subscribed_events"))[0] == 403


async def test_a_slow_transaction_shows_up_with_an_earlier_stamp(api: Any, do: Act, project: str) -> None:
    do("slow_down", behind_s=90, writes=1)
    late = do("add_workspace", title="Gemini")["id"]
    assert await ids(api, "workspaces", order="updated_at:asc") == [late, project]


async def test_a_revoked_token_is_refused_and_its_successor_taken(
    api: Any, do: Act, simulator: KantataSimulator
) -> None:
    before = simulator.credentials()["token"]
    do("revoke_token")
    assert (await api("GET", "users", token=before))[0] == 401
    assert (await api("GET", "users", token=simulator.credentials()["token"]))[0] == 200


async def test_updated_after_is_a_strict_bound_in_any_zone(
    api: Any, clock: Clock, do: Act, project: str
) -> None:
    clock.move(seconds=1)
    later = do("add_workspace", title="Gemini")["id"]
    assert await ids(api, "workspaces", updated_after="2026-11-02T09:00:00Z") == [later]
    assert await ids(api, "workspaces", updated_after="2026-11-02T01:00:01-08:00") == []


def test_state_survives_a_restart(tmp_path: Path, clock: Clock) -> None:
    first = KantataSimulator(now=clock)
    first.restore(tmp_path / "state.json")
    project = first.acts()["add_workspace"](title="Apollo")["id"]
    first.books.refer(
        "Workspace",
        project,
        {"service_name": "isthmus", "service_model": "Project", "service_model_ref": "crm:006"},
    )
    first.save()
    again = KantataSimulator(now=clock)
    again.restore(tmp_path / "state.json")
    assert again.books.me().id == first.books.me().id
    story = again.acts()["add_milestone"](workspace="crm:006", title="Go live")
    assert story["workspace_id"] == project
    assert again.acts()["add_workspace"](title="Gemini")["id"] != project
    assert [r.fields["service_model_ref"] for r in again.books.references("Workspace", project)] == [
        "crm:006"
    ]


def test_a_month_of_work_is_the_same_for_the_same_seed(clock: Clock) -> None:
    def month(seed: int) -> list[tuple[str, int]]:
        simulator = KantataSimulator(now=clock)
        acts = simulator.acts()
        project = acts["add_workspace"](title="Apollo")["id"]
        made = acts["work_month"](workspace=project, users=3, month="2026-10", entries=40, seed=seed)
        assert len(made["entries"]) == 40
        rows = list(simulator.books.all("TimeEntry"))
        assert all(row.fields["approved"] for row in rows)
        return [(row.fields["date_performed"], row.fields["time_in_minutes"]) for row in rows]

    assert month(1) == month(1)
    assert month(1) != month(2)


@pytest.mark.parametrize(
    ("act", "arguments"),
    [
        pytest.param("log_time", {"hours": "0.001"}, id="hours that are no whole minutes"),
        pytest.param("log_time", {"date": "05.10.2026"}, id="a date in another form"),
        pytest.param("log_time", {"workspace": "crm:nowhere"}, id="a project nobody knows"),
        pytest.param("move_project", {"status": "Parked"}, id="a status the account does not have"),
        pytest.param("approve_time", {"entries": []}, id="nothing to approve"),
        pytest.param("withdraw_expense", {"expense": "1"}, id="an expense nobody knows"),
    ],
)
async def test_an_act_that_is_not_possible_says_why(
    do: Act, project: str, consultant: str, act: str, arguments: Row
) -> None:
    defaults: dict[str, Row] = {
        "log_time": {"user": consultant, "date": "2026-10-05", "hours": 8, "service": "x"},
        "move_project": {},
        "approve_time": {},
        "withdraw_expense": {},
    }
    given = {**defaults[act], **arguments}
    if act in ("log_time", "move_project"):
        given.setdefault("workspace", project)
    with pytest.raises(ActRefused, match=r"\w"):
        do(act, **given)


async def test_the_vocabulary_describes_every_act(simulator: KantataSimulator) -> None:
    async with httpx.AsyncClient(base_url=simulator.base_url) as client:
        about = (await client.get("/_sim")).json()
        assert all(about["acts"].values())
        known = simulator.credentials()
        assert about["credentials"] == json.loads(json.dumps(known))
        reply = await client.post("/_sim/do", json={"act": "add_workspace", "title": "Apollo"})
        assert reply.status_code == 200
        ledger = (await client.get("/_sim/ledger")).json()["records"]
    assert [record["kind"] for record in ledger].count("Workspace") == 1
