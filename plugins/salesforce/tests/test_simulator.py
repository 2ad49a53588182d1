"""The simulator's protocol, as clients that others wrote rely on it."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from isthmus.sdk import Opened, Secret
from isthmus.sdk.simulator import ActRefused, Fault, Match, Simulator, started
from isthmus.sdk.testing import FakeContext
from isthmus_salesforce.connector import SalesforceConnector
from isthmus_salesforce.settings import SalesforceSettings
from isthmus_salesforce.simulator import Salesforce
from isthmus_salesforce.simulator.org import long_id

BASE = "/services/data/v64.0"
KEYED = f"{BASE}/sobjects/Invoice__c/Isthmus_Key__c"


async def log_in(sim: Simulator, http: httpx.AsyncClient) -> None:
    credentials = sim.credentials()
    form = {"grant_type": "client_credentials"}
    basic = (credentials["client_id"], credentials["client_secret"])
    answer = await http.post("/services/oauth2/token", data=form, auth=basic)
    http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"


@pytest.fixture
async def http(sim: Salesforce) -> AsyncIterator[httpx.AsyncClient]:
    """A client that is logged in with the app's secret."""
    async with httpx.AsyncClient(base_url=sim.base_url, verify=False) as client:
        await log_in(sim, client)
        yield client


async def test_an_upsert_creates_once_and_then_updates(sim: Salesforce, http: httpx.AsyncClient) -> None:
    first = await http.patch(f"{KEYED}/erp%3A1%2F2", json={"Total__c": 100.5})
    again = await http.patch(f"{KEYED}/erp%3A1%2F2", json={"Status__c": "Paid"})
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (again.status_code, again.json()["created"]) == (200, False)
    (record,) = sim.ledger.of_kind("Invoice__c")
    assert (record.external_key, record.fields["Total__c"], record.fields["Status__c"]) == (
        "erp:1/2",
        100.5,
        "Paid",
    )
    assert [write.op for write in record.writes] == ["upsert", "upsert"]


async def test_versions_before_46_answer_an_update_with_nothing(http: httpx.AsyncClient) -> None:
    path = KEYED.replace("v64.0", "v45.0")
    assert "created" not in (await http.patch(f"{path}/k", json={})).json()
    answer = await http.patch(f"{path}/k", json={})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"Isthmus_Key__c": "k"}, "INVALID_FIELD", id="the key in the body"),
        pytest.param({"Nope": 1}, "INVALID_FIELD", id="an unknown field"),
        pytest.param({"SystemModstamp": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE", id="a read-only field"),
        pytest.param({"Total__c": "abc"}, "JSON_PARSER_ERROR", id="text for a number"),
        pytest.param({"Number__c": "x" * 256}, "STRING_TOO_LONG", id="long text"),
        pytest.param({"Status__c": "Odd"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", id="another status"),
        pytest.param({"Account__c": "12"}, "MALFORMED_ID", id="no id"),
        pytest.param({"Account__c": "006000000000001AAA"}, "MALFORMED_ID", id="an id of another object"),
        pytest.param({"Account__c": "001000000000001AAA"}, "INVALID_CROSS_REFERENCE_KEY", id="nobody's id"),
        pytest.param({"Total__c": 1e300}, "NUMBER_OUTSIDE_VALID_RANGE", id="a number out of range"),
    ],
)
async def test_what_an_upsert_refuses(
    sim: Salesforce, http: httpx.AsyncClient, body: dict[str, Any], code: str
) -> None:
    answer = await http.patch(f"{KEYED}/k", json=body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)
    assert list(sim.ledger.of_kind("Invoice__c")) == []


async def test_several_records_with_one_external_id(sim: Salesforce, http: httpx.AsyncClient) -> None:
    ids = [sim.acts()["add_account"](name=n, External_Key__c="same")["account"] for n in "ab"]
    answer = await http.patch(f"{BASE}/sobjects/Account/External_Key__c/same", json={"Name": "c"})
    assert answer.status_code == 300
    assert answer.json() == [f"{BASE}/sobjects/Account/{id}" for id in ids]


async def test_a_unique_field_is_unique(http: httpx.AsyncClient) -> None:
    await http.patch(f"{KEYED}/k", json={})
    answer = await http.post(f"{BASE}/sobjects/Invoice__c/", json={"Isthmus_Key__c": "k"})
    assert answer.json()[0]["errorCode"] == "DUPLICATE_VALUE"


async def test_a_record_from_its_making_to_its_end(sim: Salesforce, http: httpx.AsyncClient) -> None:
    made = await http.post(f"{BASE}/sobjects/Account", json={"Name": "Acme"})
    id = made.json()["id"]
    path = f"{BASE}/sobjects/Account/{id}"
    assert made.status_code == 201
    assert (await http.patch(path, json={"Name": "Acme 2"})).status_code == 204
    assert (await http.get(f"{path[:-3]}?fields=Name")).json()["Name"] == "Acme 2", "by the short id"
    assert (await http.delete(path)).status_code == 204
    gone = await http.get(path)
    assert (gone.status_code, gone.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")
    window = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-02-01T00:00:00+00:00"}
    deleted = await http.get(f"{BASE}/sobjects/Account/deleted/", params=window)
    assert [entry["id"] for entry in deleted.json()["deletedRecords"]] == [id]


async def test_what_lacks_a_required_field_is_not_made(http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{BASE}/sobjects/Opportunity", json={"Name": "Deal"})
    (problem,) = answer.json()
    assert problem["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert problem["fields"] == ["StageName", "CloseDate"]


async def test_a_collection_answers_200_with_an_outcome_per_row(
    sim: Salesforce, http: httpx.AsyncClient
) -> None:
    kind = {"attributes": {"type": "Invoice__c"}}
    rows = [
        {**kind, "Isthmus_Key__c": "a", "Total__c": 1},
        {**kind, "Isthmus_Key__c": "b", "Status__c": "Odd"},
        {**kind, "Total__c": 2},
    ]
    path = f"{BASE}/composite/sobjects/Invoice__c/Isthmus_Key__c"
    whole = await http.patch(path, json={"allOrNone": True, "records": rows})
    assert [row["success"] for row in whole.json()] == [False, False, False]
    assert list(sim.ledger.of_kind("Invoice__c")) == []
    answer = await http.patch(path, json={"allOrNone": False, "records": rows})
    assert answer.status_code == 200
    assert [row["success"] for row in answer.json()] == [True, False, False]
    assert answer.json()[1]["errors"][0]["statusCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    many = await http.patch(path, json={"records": rows * 70})
    assert (many.status_code, many.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")


async def test_a_long_answer_comes_in_batches(sim: Salesforce, http: httpx.AsyncClient) -> None:
    for n in range(450):
        sim.acts()["add_account"](name=f"Customer {n}")
    answer = await http.get(
        f"{BASE}/query/?q=SELECT+Id+FROM+Account", headers={"Sforce-Query-Options": "batchSize=200"}
    )
    seen, sizes = list(answer.json()["records"]), [len(answer.json()["records"])]
    while not answer.json()["done"]:
        assert answer.json()["totalSize"] == 450
        answer = await http.get(
            answer.json()["nextRecordsUrl"], headers={"Sforce-Query-Options": "batchSize=200"}
        )
        seen += answer.json()["records"]
        sizes.append(len(answer.json()["records"]))
    assert sizes == [200, 200, 50]
    assert len({record["Id"] for record in seen}) == 450
    wrong = await http.get(f"{BASE}/query/01g000000000000AAA-200")
    assert wrong.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        pytest.param("/services/data/v25.0/limits", 410, "UNSUPPORTED_API_VERSION", id="a retired version"),
        pytest.param("/services/data/v99.0/limits", 404, "NOT_FOUND", id="a version of the future"),
        pytest.param(f"{BASE}/sobjects/Nothing/describe", 404, "NOT_FOUND", id="an unknown object"),
        pytest.param("/nothing", 404, "NOT_FOUND", id="an unknown path"),
        pytest.param(f"{BASE}/query", 400, "MALFORMED_QUERY", id="a query without text"),
        pytest.param(f"{BASE}/sobjects/Account/Name/x", 404, "NOT_FOUND", id="a field that is no key"),
    ],
)
async def test_what_is_not_there(http: httpx.AsyncClient, path: str, status: int, code: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)


async def test_without_a_session_nothing_is_told(sim: Salesforce, http: httpx.AsyncClient) -> None:
    assert (await http.get("/services/data", headers={"authorization": ""})).status_code == 200
    for path in (f"{BASE}/limits", f"{BASE}/query?q=SELECT+Id+FROM+Account"):
        answer = await http.get(path, headers={"authorization": "Bearer wrong"})
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")
    refused = await http.get("/services/oauth2/userinfo", headers={"authorization": "Bearer wrong"})
    assert (refused.status_code, refused.text) == (403, "Bad_OAuth_Token")


async def test_what_clients_look_at_beside_records(sim: Salesforce, http: httpx.AsyncClient) -> None:
    versions = (await http.get("/services/data/")).json()
    assert versions[-1] == {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"}
    userinfo = (await http.get("/services/oauth2/userinfo")).json()
    path = f"{sim.base_url}//services/data/v64.0/sobjects/User/{userinfo['user_id']}"
    user = (await http.get(path)).json()
    assert user["Username"] == userinfo["preferred_username"] == sim.credentials()["username"]
    organization = await http.get(f"{BASE}/query?q=SELECT IsSandbox FROM Organization LIMIT 1")
    assert organization.json()["records"][0]["IsSandbox"] is False
    limits = await http.get(f"{BASE}/limits/")
    assert limits.headers["sforce-limit-info"] == "api-usage=3/15000"
    assert limits.json()["DailyApiRequests"] == {"Max": 15000, "Remaining": 14997}
    columns = await http.get(f"{BASE}/query?q=SELECT Id,Name FROM Account&columns=true")
    assert [column["columnName"] for column in columns.json()["columnMetadata"]] == ["Id", "Name"]
    pretty = await http.get(f"{BASE}/limits", headers={"X-PrettyPrint": "1"})
    assert pretty.text.startswith('{\n  "')
    described = (await http.get(f"{BASE}/sobjects/Invoice__c/describe")).json()
    (key,) = [field for field in described["fields"] if field["name"] == "Isthmus_Key__c"]
    assert key["externalId"] and key["unique"]


def test_a_contract_becomes_active_only_by_a_change_of_status() -> None:
    org = Salesforce().org
    account = org.create(org.object("Account"), {"Name": "Acme"})
    body = {"AccountId": account.id, "StartDate": "2026-01-31", "ContractTerm": 1}
    with pytest.raises(Exception, match="valid contract status"):
        org.create(org.object("Contract"), {**body, "Status": "Activated"})
    contract = org.create(org.object("Contract"), body)
    assert (contract.fields["Status"], contract.fields["EndDate"]) == ("Draft", "2026-02-27")
    org.update(org.object("Contract"), contract, {"Status": "Activated"})
    assert contract.fields["StatusCode"] == "Activated" and contract.fields["ActivatedDate"]


def test_an_act_that_the_org_refuses_is_told() -> None:
    acts = Salesforce().acts()
    with pytest.raises(ActRefused, match="no account"):
        acts["edit_account"]("Nobody", Name="x")
    with pytest.raises(ActRefused, match="resource"):
        acts["amend_contract"]("800000000000000AAA", [], "2026-01-01", "x")


@pytest.mark.parametrize(
    ("short", "long"),
    [("001A0000006Vm9r", "001A0000006Vm9rIAC"), ("00550000001DLbo", "00550000001DLboAAG")],
)
def test_ids_have_salesforce_s_check_letters(short: str, long: str) -> None:
    assert long_id(short) == long


async def test_the_state_outlasts_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "org.json"
    async with started(Salesforce(), state_file=state) as first:
        async with httpx.AsyncClient(base_url=first.base_url, verify=False) as http:
            await log_in(first, http)
            token = http.headers["authorization"]
            await http.patch(f"{KEYED}/k", json={"Total__c": 5})
        credentials = first.credentials()
    async with started(Salesforce(), state_file=state) as second:
        async with httpx.AsyncClient(base_url=second.base_url, verify=False) as http:
            http.headers["authorization"] = token
            again = await http.patch(f"{KEYED}/k", json={"Total__c": 6})
            assert (again.status_code, again.json()["created"]) == (200, False)
        same = {name: value for name, value in second.credentials().items() if not name.endswith("_url")}
        assert same.items() <= credentials.items()


async def test_the_credentials_it_shows_are_settings(sim: Salesforce) -> None:
    async with httpx.AsyncClient(base_url=sim.base_url, verify=False) as http:
        about = (await http.get("/_sim")).json()
        assert "win_deal" in about["acts"]
        known = {field.name for field in msgspec.structs.fields(SalesforceSettings)}
        assert set(about["credentials"]) <= known
        made = (await http.post("/_sim/do", json={"act": "add_account", "name": "Acme"})).json()
        ledger = (await http.get("/_sim/ledger")).json()["records"]
    assert [(record["kind"], record["id"]) for record in ledger] == [("Account", made["account"])]
    given: dict[str, Any] = {
        name: Secret(value) if name in ("private_key", "client_secret") else value
        for name, value in about["credentials"].items()
    }
    ctx = FakeContext("crm", now=sim.now)
    async with SalesforceConnector().open(SalesforceSettings(**given), ctx) as opened:
        assert isinstance(opened, Opened) and opened.source is not None
        await opened.source.pull("accounts", None)


# -- quirks ---------------------------------------------------------------------------------------------


async def names(http: httpx.AsyncClient) -> list[str]:
    answer = await http.get(f"{BASE}/query?q=SELECT Name FROM Account ORDER BY SystemModstamp, Id")
    return [record["Name"] for record in answer.json()["records"]]


async def test_what_is_committed_late_appears_with_its_old_stamp(
    sim: Salesforce, http: httpx.AsyncClient, clock: Any
) -> None:
    """Behind what a poll has read meanwhile: that is why polls overlap."""
    acts = sim.acts()
    first = acts["add_account"](name="First")["account"]
    acts["begin_transaction"]()
    acts["add_account"](name="Late")
    acts["edit_account"](first, Name="First, renamed")
    clock.pass_s(60)
    assert await names(http) == ["First"]
    await http.post(f"{BASE}/sobjects/Account", json={"Name": "Meanwhile"})
    assert acts["commit_transaction"]() == {"committed": 2}
    assert await names(http) == ["First, renamed", "Late", "Meanwhile"]


async def test_a_locator_is_forgotten_by_command_and_after_two_days(
    sim: Salesforce, http: httpx.AsyncClient, clock: Any
) -> None:
    for n in range(3):
        sim.acts()["add_account"](name=f"Customer {n}")
    sim.acts()["limit_batches"](rows=2)
    ends: tuple[Callable[[], object], ...] = (
        sim.acts()["expire_locators"],
        partial(clock.pass_s, 2 * 86_400 + 1),
    )
    for end in ends:
        answer = await http.get(f"{BASE}/query?q=SELECT Id FROM Account")
        link = answer.json()["nextRecordsUrl"]
        assert len((await http.get(link)).json()["records"]) == 1
        end()
        gone = await http.get(link)
        assert (gone.status_code, gone.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


async def test_what_is_deleted_is_shown_by_query_all_alone(sim: Salesforce, http: httpx.AsyncClient) -> None:
    sim.acts()["delete_account"](sim.acts()["add_account"](name="Gone")["account"])
    for resource, shown in (("query", []), ("queryAll", [True])):
        answer = await http.get(f"{BASE}/{resource}?q=SELECT IsDeleted FROM Account")
        assert [record["IsDeleted"] for record in answer.json()["records"]] == shown


PATHS = {
    "a login": ("POST", "/services/oauth2/token", None),
    "a query": ("GET", f"{BASE}/query?q=SELECT Id FROM Account", None),
    "a describe": ("GET", f"{BASE}/sobjects/pse__Proj__History/describe", None),
    "the limits": ("GET", f"{BASE}/limits", None),
    "an upsert": ("PATCH", f"{KEYED}/k", {"Total__c": 1}),
    "a collection": (
        "PATCH",
        f"{BASE}/composite/sobjects/Invoice__c/Isthmus_Key__c",
        {"records": [{"Isthmus_Key__c": "k"}]},
    ),
    "a delete": ("DELETE", f"{KEYED}/k", None),
}
FAULTS: dict[str, Fault] = {
    "status": Fault(fault="status", status=503),
    "throttle": Fault(fault="throttle"),
    "lose_response": Fault(fault="lose_response"),
    "late_commit": Fault(fault="late_commit", delay_s=0.01),
    "delay": Fault(fault="delay", delay_s=0.01),
    "drip": Fault(fault="drip", delay_s=0),
    "truncate": Fault(fault="truncate"),
    "wrong_body": Fault(fault="wrong_body", body={"other": True}),
}
BREAKS = ("lose_response", "late_commit", "truncate")


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("path", PATHS)
async def test_every_fault_can_be_planned_on_every_path(
    sim: Salesforce, http: httpx.AsyncClient, path: str, kind: str
) -> None:
    method, url, body = PATHS[path]
    await http.patch(f"{KEYED}/k", json={})
    given = {name: getattr(FAULTS[kind], name) for name in Fault.__struct_fields__}
    match = Match(method=method, path_prefix=url.partition("?")[0])
    sim.faults.add([Fault(**{**given, "match": match})])
    form = {"grant_type": "client_credentials"} if body is None and method == "POST" else None
    try:
        answer = await http.request(method, url, json=body, data=form)
        met = {503: "status", 429: "throttle"}.get(answer.status_code, "answered")
    except httpx.TransportError:
        met = "broken"
    (planned,) = sim.faults.faults
    assert planned.fired == 1
    if kind in BREAKS:
        # Half of an empty body is an empty body.
        assert met == "broken" or (kind, path) == ("truncate", "a delete")
    else:
        assert met == (kind if kind in ("status", "throttle") else "answered")


# -- Certinia -------------------------------------------------------------------------------------------


def test_a_timecard_is_cut_into_splits_at_the_end_of_the_month() -> None:
    org = Salesforce()
    acts = org.acts()
    project = acts["add_project"]("Rollout")["project"]
    anna = acts["add_resource"]("Anna Weber")["resource"]
    card = acts["log_week"](project, anna, "2026-01-26", [8, 8, 8, 8, 8, 1, 2])
    splits = [org.ledger.get("pse__Timecard__c", id) for id in card["splits"]]
    shown = [
        (s.fields["pse__Start_Date__c"], s.fields["pse__End_Date__c"], s.fields["pse__Total_Hours__c"])
        for s in splits
        if s is not None
    ]
    assert shown == [("2026-01-26", "2026-01-31", 41.0), ("2026-02-01", "2026-02-01", 2.0)]
    again = acts["correct_week"](card["timecard"], [8])
    assert again["splits"] == card["splits"], "a correction keeps the splits"
    assert acts["delete_week"](card["timecard"])["splits"] == card["splits"]
    assert all(split is not None and split.fields["IsDeleted"] for split in splits)


async def test_certinia_s_objects_are_described_with_their_own_names(http: httpx.AsyncClient) -> None:
    described = (await http.get(f"{BASE}/sobjects/pse__Timecard__c/describe")).json()
    fields = {field["name"]: field for field in described["fields"]}
    assert fields["pse__Project__c"]["referenceTo"] == ["pse__Proj__c"]
    assert fields["pse__Project__c"]["relationshipName"] == "pse__Project__r"
    assert {"pse__Approved__c", "pse__Invoiced__c", "pse__Monday_Hours__c"} <= set(fields)
    history = (await http.get(f"{BASE}/sobjects/pse__Proj__History/describe")).json()
    assert "SystemModstamp" not in {field["name"] for field in history["fields"]}
    assert not history["createable"]


# -- several requests in one ----------------------------------------------------------------------------


def part(name: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    return {"referenceId": name, "method": method, "url": f"{BASE}/{path}", "body": body}


async def test_parts_of_a_composite_refer_to_each_other(sim: Salesforce, http: httpx.AsyncClient) -> None:
    deal = {"Name": "Deal", "AccountId": "@{acme.id}", "StageName": "Prospecting", "CloseDate": "2026-02-01"}
    parts = [
        part("acme", "POST", "sobjects/Account", {"Name": "Acme"}),
        part("deal", "POST", "sobjects/Opportunity", deal),
        part("read", "GET", "query?q=SELECT Id, Account.Name FROM Opportunity WHERE Id = '@{deal.id}'"),
        part("again", "GET", "sobjects/Account/@{read.records[0].Account.attributes.type}"),
    ]
    before = (await http.get(f"{BASE}/limits")).headers["sforce-limit-info"]
    answer = await http.post(f"{BASE}/composite", json={"compositeRequest": parts})
    assert answer.status_code == 200
    assert (before, answer.headers["sforce-limit-info"]) == ("api-usage=1/15000", "api-usage=2/15000")
    acme, made, read, again = answer.json()["compositeResponse"]
    assert (acme["httpStatusCode"], made["httpStatusCode"], acme["referenceId"]) == (201, 201, "acme")
    assert read["body"]["records"][0]["Account"]["Name"] == "Acme"
    assert (again["httpStatusCode"], again["body"][0]["errorCode"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(("all_or_none", "kept"), [(False, 1), (True, 0)])
async def test_a_part_that_fails_takes_the_others_with_it_only_if_asked(
    sim: Salesforce, http: httpx.AsyncClient, all_or_none: bool, kept: int
) -> None:
    parts = [
        part("good", "POST", "sobjects/Account", {"Name": "Acme"}),
        part("bad", "POST", "sobjects/Account", {"Phone": "1"}),
        part("lost", "GET", "sobjects/Account/@{bad.id}"),
    ]
    body = {"allOrNone": all_or_none, "compositeRequest": parts}
    answers = (await http.post(f"{BASE}/composite", json=body)).json()["compositeResponse"]
    codes = [answer["body"][0]["errorCode"] for answer in answers[1:]]
    assert codes == ["REQUIRED_FIELD_MISSING", "PROCESSING_HALTED"]
    assert answers[0]["httpStatusCode"] == (400 if all_or_none else 201)
    assert len(list(sim.ledger.of_kind("Account"))) == kept


async def test_a_composite_has_its_limits(http: httpx.AsyncClient) -> None:
    query = part("q", "GET", "query?q=SELECT Id FROM Account")
    for parts in ([query] * 6, [part("a", "GET", "limits")] * 26, []):
        answer = await http.post(f"{BASE}/composite", json={"compositeRequest": parts})
        assert answer.status_code == 400


async def test_a_batch_runs_its_parts_apart_or_halts(http: httpx.AsyncClient) -> None:
    parts = [
        {"method": "POST", "url": "v64.0/sobjects/Account", "richInput": {"Name": "Acme"}},
        {"method": "GET", "url": "v64.0/sobjects/Nothing/describe"},
        {"method": "GET", "url": "v64.0/query/?q=SELECT Name FROM Account"},
    ]
    answer = (await http.post(f"{BASE}/composite/batch", json={"batchRequests": parts})).json()
    assert answer["hasErrors"]
    assert [result["statusCode"] for result in answer["results"]] == [201, 404, 200]
    body = {"batchRequests": parts, "haltOnError": True}
    halted = (await http.post(f"{BASE}/composite/batch", json=body)).json()
    assert [result["statusCode"] for result in halted["results"]] == [201, 404, 412]
