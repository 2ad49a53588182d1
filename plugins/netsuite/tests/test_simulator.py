"""The account behaves as NetSuite does, for any client."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from isthmus.sdk import Http, Reply, TokenAuth
from isthmus.sdk.http import open_http
from isthmus.sdk.simulator import ActRefused, started
from isthmus_netsuite.settings import NetSuiteSettings
from isthmus_netsuite.simulator import NetSuiteSimulator

RECORDS = "/services/rest/record/v1"


@pytest.fixture
async def http(simulator: NetSuiteSimulator) -> AsyncIterator[Http]:
    """A client that is logged in; its token was given by the account."""

    async def token() -> str:
        simulator.memory["tokens"]["t"] = "2099-01-01T00:00:00+00:00"
        return "t"

    async with open_http(simulator.base_url, auth=TokenAuth(token)) as client:
        yield client


def detail(reply: Reply) -> tuple[int, str]:
    body = reply.json()
    assert body["status"] == reply.status and body["title"]
    return reply.status, body["o:errorDetails"][0]["o:errorCode"]


async def ask(http: Http, q: str, limit: int = 1000, offset: int = 0) -> Any:
    path = f"/services/rest/query/v1/suiteql?limit={limit}&offset={offset}"
    return (await http.request("POST", path, json={"q": q}, headers={"prefer": "transient"})).json()


CUSTOMER = {"companyName": "Northwind"}


async def test_a_record_is_written_read_changed_and_deleted(http: Http, simulator: NetSuiteSimulator) -> None:
    made = await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER)
    assert (made.status, made.body) == (204, b"")
    assert made.headers["location"] == f"{simulator.base_url}{RECORDS}/customer/2"
    changed = await http.request("PATCH", f"{RECORDS}/customer/2", json={"email": "a@example.com"})
    assert changed.status == 204
    told = (await http.get(f"{RECORDS}/customer/2")).json()
    assert (told["id"], told["companyName"], told["email"]) == ("2", "Northwind", "a@example.com")
    assert (await http.request("DELETE", f"{RECORDS}/customer/2")).status == 204
    assert detail(await http.get(f"{RECORDS}/customer/2")) == (404, "NONEXISTENT_ID")


async def test_an_upsert_makes_one_record_per_external_id(http: Http, simulator: NetSuiteSimulator) -> None:
    for name in ("Northwind", "Northwind SE"):
        reply = await http.request("PUT", f"{RECORDS}/customer/eid:CID%2F1", json={"companyName": name})
        assert reply.headers["location"].endswith("/customer/2")
    (record,) = simulator.ledger.of_kind("customer")
    assert (record.external_key, record.fields["companyName"]) == ("CID/1", "Northwind SE")
    assert [write.op for write in record.writes] == ["upsert", "upsert"]
    again = await http.request("POST", f"{RECORDS}/customer", json={**CUSTOMER, "externalId": "CID/1"})
    assert detail(again) == (400, "USER_ERROR")


@pytest.mark.parametrize(
    ("method", "path", "body", "refusal"),
    [
        pytest.param("PUT", "customer/2", CUSTOMER, (400, "INVALID_PARAMETER"), id="PUT by internal id"),
        pytest.param("POST", "customer", {}, (400, "USER_ERROR"), id="a required field is missing"),
        pytest.param(
            "POST",
            "job",
            {"companyName": "x", "parent": {"id": "99"}},
            (400, "USER_ERROR"),
            id="a dead reference",
        ),
        pytest.param("POST", "spaceship", {}, (404, "NOT_FOUND"), id="an unknown type"),
        pytest.param(
            "POST",
            "accountingPeriod",
            {},
            (403, "INSUFFICIENT_PERMISSION"),
            id="a type the role may not write",
        ),
        pytest.param("PATCH", "customer/99", {}, (404, "NONEXISTENT_ID"), id="an unknown id"),
        pytest.param(
            "POST", "customer", {**CUSTOMER, "isInactive": "no"}, (400, "INVALID_CONTENT"), id="no boolean"
        ),
    ],
)
async def test_what_the_record_service_refuses(
    method: str, path: str, body: dict[str, Any], refusal: tuple[int, str], http: Http
) -> None:
    assert detail(await http.request(method, f"{RECORDS}/{path}", json=body)) == refusal


@pytest.mark.parametrize(
    ("validation", "status"),
    [
        pytest.param("Error", 400, id="refused when asked for"),
        pytest.param("error", 400, id="in small letters too"),
        pytest.param("Ignore", 204, id="else dropped in silence"),
    ],
)
async def test_a_misspelt_property(validation: str, status: int, http: Http) -> None:
    headers = {"x-netsuite-propertynamevalidation": validation}
    body = {**CUSTOMER, "emial": "a@example.com"}
    assert (await http.request("POST", f"{RECORDS}/customer", json=body, headers=headers)).status == status


async def test_sublists_are_links_until_they_are_expanded(http: Http, simulator: NetSuiteSimulator) -> None:
    await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER)
    line = {"item": {"id": "1"}, "quantity": 2, "rate": 0.1}
    body = {"entity": {"id": "2"}, "item": {"items": [line]}}
    await http.request("POST", f"{RECORDS}/invoice", content=msgspec.json.encode(body))
    closed = (await http.get(f"{RECORDS}/invoice/1")).json()
    assert closed["item"].keys() == {"links"}
    assert closed["entity"]["refName"] == "C00001 Northwind"
    told = (await http.get(f"{RECORDS}/invoice/1?expandSubResources=true")).json()
    assert (told["item"]["items"][0]["rate"], told["total"]) == ("0.1", "0.20")


@pytest.mark.parametrize(
    ("replace", "lines"),
    [pytest.param("", 2, id="appends lines"), pytest.param("?replace=item", 1, id="unless told to replace")],
)
async def test_an_update_of_a_sublist(replace: str, lines: int, http: Http) -> None:
    await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER)
    body = {"entity": {"id": "2"}, "item": {"items": [{"item": {"id": "1"}, "rate": 5}]}}
    for _ in range(2):
        await http.request("PUT", f"{RECORDS}/invoice/eid:I1{replace}", json=body)
    told = (await http.get(f"{RECORDS}/invoice/eid:I1/item")).json()
    assert told["totalResults"] == lines


async def test_collections_come_in_pages(http: Http) -> None:
    for n in range(5):
        await http.request("POST", f"{RECORDS}/customer", json={"companyName": f"C{n}"})
    page = (await http.get(f"{RECORDS}/customer?limit=2&offset=2")).json()
    assert [item["id"] for item in page["items"]] == ["4", "5"]
    assert (page["count"], page["hasMore"], page["totalResults"]) == (2, True, 5)
    assert {link["rel"] for link in page["links"]} == {"self", "first", "last", "next", "previous"}
    filtered = (await http.get(f"{RECORDS}/customer?q=companyName%20IS%20%22C3%22")).json()
    assert [item["id"] for item in filtered["items"]] == ["5"]
    assert detail(await http.get(f"{RECORDS}/customer?limit=2&offset=1")) == (400, "INVALID_PARAMETER")


# SuiteQL


@pytest.mark.parametrize(
    ("q", "rows"),
    [
        pytest.param(
            "SELECT ID, Symbol FROM Currency WHERE symbol = 'EUR'",
            [{"id": "2", "symbol": "EUR"}],
            id="lower-case names",
        ),
        pytest.param("SELECT 1 AS one, NULL AS two FROM dual", [{"one": "1"}], id="nulls are left out"),
        pytest.param("SELECT COUNT(*) n FROM currency", [{"n": "6"}], id="an alias without AS"),
        pytest.param("SELECT NVL(externalid, '-') x FROM currency WHERE id = 1", [{"x": "-"}], id="NVL"),
        pytest.param(
            "SELECT DECODE(symbol, 'USD', 1, 0) x FROM currency WHERE id=1", [{"x": "1"}], id="DECODE"
        ),
        pytest.param(
            "SELECT id FROM currency ORDER BY id FETCH FIRST 1 ROWS ONLY", [{"id": "1"}], id="FETCH FIRST"
        ),
        pytest.param("SELECT TOP 1 id FROM currency ORDER BY id DESC", [{"id": "6"}], id="TOP"),
        pytest.param(
            "SELECT id FROM currency WHERE (symbol, id) > ('JPY', 4) ORDER BY id",
            [{"id": "1"}, {"id": "6"}],
            id="a tuple as keyset",
        ),
        pytest.param(
            "SELECT BUILTIN.DF(s.currency) c FROM subsidiary s WHERE s.id = 2",
            [{"c": "Euro"}],
            id="BUILTIN.DF names what an id means",
        ),
        pytest.param(
            "SELECT s.name, c.symbol FROM subsidiary s "
            "INNER JOIN currency c ON c.id = s.currency WHERE s.id = 2",
            [{"name": "Europe", "symbol": "EUR"}],
            id="a join",
        ),
        pytest.param(
            "SELECT closed, TO_CHAR(startdate, 'YYYY-MM-DD') d FROM accountingperiod "
            "WHERE periodname = 'Oct 2026'",
            [{"closed": "F", "d": "2026-10-01"}],
            id="T/F and TO_CHAR",
        ),
        pytest.param(
            "SELECT startdate FROM accountingperiod WHERE periodname = 'Oct 2026'",
            [{"startdate": "10/1/2026"}],
            id="a bare date is in the user's format",
        ),
        pytest.param(
            "SELECT periodname FROM accountingperiod WHERE isyear = 'F' AND isquarter = 'F' "
            "AND startdate <= TO_DATE('2026-10-20', 'YYYY-MM-DD') "
            "AND enddate >= TO_DATE('20.10.2026', 'DD.MM.YYYY')",
            [{"periodname": "Oct 2026"}],
            id="dates compare as dates",
        ),
        pytest.param(
            "SELECT TO_CHAR(SYSDATE, 'YYYY-MM-DD HH24:MI') t FROM dual",
            [{"t": "2026-10-20 10:00"}],
            id="SYSDATE in the account's zone",
        ),
        pytest.param("SELECT id FROM transaction; ", [], id="a closing semicolon"),
        pytest.param(
            "SELECT 'transaction FETCH FIRST 1 ROWS ONLY' t FROM dual",
            [{"t": "transaction FETCH FIRST 1 ROWS ONLY"}],
            id="literals are left alone",
        ),
    ],
)
async def test_suiteql(q: str, rows: list[dict[str, str]], http: Http) -> None:
    items = (await ask(http, q))["items"]
    assert [{name: value for name, value in item.items() if name != "links"} for item in items] == rows


async def test_suiteql_comes_in_pages(http: Http) -> None:
    page = await ask(http, "SELECT id FROM currency ORDER BY id", limit=4, offset=4)
    assert [item["id"] for item in page["items"]] == ["5", "6"]
    assert (page["count"], page["hasMore"], page["totalResults"], page["offset"]) == (2, False, 6, 4)


@pytest.mark.parametrize(
    ("q", "headers", "refusal"),
    [
        pytest.param("SELECT 1 FROM dual", {}, (400, "INVALID_HEADER"), id="without Prefer: transient"),
        pytest.param("SELECT x FROM dual", None, (400, "INVALID_PARAMETER"), id="an unknown column"),
        pytest.param("SELECT id FROM nowhere", None, (400, "INVALID_PARAMETER"), id="an unknown table"),
        pytest.param("DELETE FROM currency", None, (400, "INVALID_PARAMETER"), id="a write"),
        pytest.param("PRAGMA user_version", None, (400, "INVALID_PARAMETER"), id="another language"),
        pytest.param("", None, (400, "INVALID_CONTENT"), id="no query"),
    ],
)
async def test_what_suiteql_refuses(
    q: str, headers: dict[str, str] | None, refusal: tuple[int, str], http: Http
) -> None:
    sent = {"prefer": "transient"} if headers is None else headers
    reply = await http.request("POST", "/services/rest/query/v1/suiteql", json={"q": q}, headers=sent)
    assert detail(reply) == refusal
    assert (await ask(http, "SELECT COUNT(*) n FROM currency"))["items"][0]["n"] == "6"


# Asynchronous requests

ASYNC = {"prefer": "respond-async"}
BATCH = {**ASYNC, "content-type": "application/vnd.oracle.resource+json; type=collection"}


async def finished(http: Http, answer: Reply) -> tuple[str, list[Reply]]:
    """How a job ended, and what its tasks answered."""
    assert answer.status == 202 and answer.headers["preference-applied"] == "respond-async"
    job = answer.headers["location"]
    with trio.fail_after(5):
        while not (told := (await http.get(job)).json())["completed"]:  # noqa: ASYNC110  a job is polled
            await trio.sleep(0.01)
    tasks = (await http.get(f"{job}/task/")).json()["items"]
    return told["progress"], [await http.get(f"{job}/task/{task['id']}/result") for task in tasks]


async def test_an_asynchronous_request_answers_later(http: Http, simulator: NetSuiteSimulator) -> None:
    simulator.acts()["slow_jobs"](3600)
    queued = await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER, headers=ASYNC)
    job = (await http.get(queued.headers["location"])).json()
    assert (job["completed"], job["progress"]) == (False, "pending")
    assert list(simulator.ledger.of_kind("customer")) == []
    simulator.jobs.perform(job["id"])
    progress, (result,) = await finished(http, queued)
    assert (progress, result.status, result.headers["location"]) == (
        "succeeded",
        204,
        f"{simulator.base_url}{RECORDS}/customer/2",
    )


async def test_a_key_that_was_used_names_the_first_job(http: Http, simulator: NetSuiteSimulator) -> None:
    headers = {**ASYNC, "x-netsuite-idempotency-key": "k1"}
    first = await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER, headers=headers)
    again = await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER, headers=headers)
    assert detail(again) == (400, "IDEMPOTENCY_ERROR")
    assert (again.json()["title"], again.headers["location"]) == ("Conflict", first.headers["location"])
    await finished(http, first)
    assert len(list(simulator.ledger.of_kind("customer"))) == 1
    simulator.acts()["forget_idempotency_keys"]()
    await finished(http, await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER, headers=headers))
    assert len(list(simulator.ledger.of_kind("customer"))) == 2


async def test_a_key_has_no_effect_on_a_synchronous_request(http: Http, simulator: NetSuiteSimulator) -> None:
    headers = {"x-netsuite-idempotency-key": "k1"}
    for _ in range(2):
        await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER, headers=headers)
    assert len(list(simulator.ledger.of_kind("customer"))) == 2


async def test_an_error_of_a_job_is_its_result(http: Http) -> None:
    progress, (result,) = await finished(
        http, await http.request("POST", f"{RECORDS}/customer", json={}, headers=ASYNC)
    )
    assert progress == "failed"
    assert detail(result) == (400, "USER_ERROR")


async def test_a_batch_keeps_what_is_sound_and_tells_what_is_not(
    http: Http, simulator: NetSuiteSimulator
) -> None:
    items = [{"externalId": f"E{n}", "companyName": "" if n == 3 else f"C{n}"} for n in range(6)]
    answer = await http.request("PUT", f"{RECORDS}/customer", json={"items": items}, headers=BATCH)
    progress, results = await finished(http, answer)
    assert (progress, sorted(result.status for result in results)) == ("failed", [204] * 5 + [400])
    assert {record.external_key for record in simulator.ledger.of_kind("customer")} == {
        f"E{n}" for n in range(6) if n != 3
    }


@pytest.mark.parametrize(
    ("method", "body", "headers", "refusal"),
    [
        pytest.param("PUT", {"items": [CUSTOMER] * 101}, BATCH, (400, "INVALID_CONTENT"), id="over 100"),
        pytest.param("PUT", {"items": []}, BATCH, (400, "INVALID_CONTENT"), id="nothing"),
        pytest.param("PUT", {"items": [CUSTOMER]}, BATCH, (400, "INVALID_CONTENT"), id="no external id"),
        pytest.param(
            "POST",
            {"items": [CUSTOMER]},
            {"content-type": BATCH["content-type"]},
            (400, "INVALID_HEADER"),
            id="a batch that wants its answer at once",
        ),
    ],
)
async def test_what_a_batch_must_not_be(
    method: str, body: dict[str, Any], headers: dict[str, str], refusal: tuple[int, str], http: Http
) -> None:
    reply = await http.request(method, f"{RECORDS}/customer", json=body, headers=headers)
    assert detail(reply) == refusal


async def test_a_job_that_waited_when_the_account_went_down_runs_when_it_is_back(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    headers = {**ASYNC, "authorization": "Bearer t"}
    async with started(NetSuiteSimulator(), state_file=state) as first:
        first.memory["tokens"]["t"] = "2099-01-01T00:00:00+00:00"
        first.acts()["slow_jobs"](60)
        async with open_http(first.base_url) as client:
            queued = await client.request("POST", f"{RECORDS}/customer", json=CUSTOMER, headers=headers)
        first.acts()["slow_jobs"](0)
        first.save()
    async with started(NetSuiteSimulator(), state_file=state) as second:

        async def token() -> str:
            return "t"

        async with open_http(second.base_url, auth=TokenAuth(token)) as client:
            assert (await finished(client, queued))[0] == "succeeded"


async def test_a_search_may_show_a_change_later_under_its_own_stamp(
    http: Http, simulator: NetSuiteSimulator, clock: Any
) -> None:
    simulator.acts()["lag_search"](30)
    await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER)
    q = "SELECT TO_CHAR(lastmodifieddate, 'HH24:MI:SS') t FROM customer"
    assert (await ask(http, q))["items"] == []
    clock.advance(30)
    assert [item["t"] for item in (await ask(http, q))["items"]] == ["10:00:00"]


# Users and their month


async def test_a_month_that_closes_before_the_next_post_refuses_it(
    http: Http, simulator: NetSuiteSimulator
) -> None:
    await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER)
    body = {"entity": {"id": "2"}, "item": {"items": [{"item": {"id": "1"}, "rate": 5}]}}
    await http.request("POST", f"{RECORDS}/invoice", json=body)
    simulator.acts()["close_period_before_next_post"]("2026-10")
    q = "SELECT closed FROM accountingperiod WHERE periodname = 'Oct 2026'"
    assert (await ask(http, q))["items"][0]["closed"] == "F"
    assert detail(await http.request("POST", f"{RECORDS}/invoice", json=body)) == (400, "USER_ERROR")
    assert (await ask(http, q))["items"][0]["closed"] == "T"


async def test_a_month_that_is_closed_takes_nothing(http: Http, simulator: NetSuiteSimulator) -> None:
    await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER)
    body = {
        "entity": {"id": "2"},
        "tranDate": "2026-09-30",
        "item": {"items": [{"item": {"id": "1"}, "rate": 5}]},
    }
    await http.request("POST", f"{RECORDS}/invoice", json=body)
    simulator.acts()["close_period"]("2026-09")
    assert detail(await http.request("POST", f"{RECORDS}/invoice", json=body)) == (400, "USER_ERROR")
    moved = await http.request("PATCH", f"{RECORDS}/invoice/1", json={"tranDate": "2026-10-01"})
    assert detail(moved) == (400, "USER_ERROR")
    assert detail(await http.request("DELETE", f"{RECORDS}/invoice/1")) == (400, "USER_ERROR")
    assert simulator.acts()["release_invoices"]() == []


@pytest.mark.parametrize(
    ("act", "arguments"),
    [
        pytest.param("pay_invoice", {"invoice": "INV9"}, id="an invoice that is not there"),
        pytest.param("pay_invoice", {"invoice": "1", "amount": "0"}, id="a payment of nothing"),
        pytest.param("pay_invoice", {"invoice": "1", "amount": "5.01"}, id="more than is open"),
        pytest.param("close_period", {"period": "October"}, id="a month in words"),
        pytest.param("close_period", {"period": "2026-10", "ledger": "gl"}, id="an unknown ledger"),
        pytest.param("release_invoices", {"project": "nobody"}, id="an unknown project"),
        pytest.param("edit_record", {"kind": "invoice", "id": "7", "fields": {}}, id="an unknown record"),
    ],
)
async def test_acts_that_are_refused(
    act: str, arguments: dict[str, Any], http: Http, simulator: NetSuiteSimulator
) -> None:
    await http.request("POST", f"{RECORDS}/customer", json=CUSTOMER)
    body = {
        "entity": {"id": "2"},
        "approvalStatus": {"id": "2"},
        "item": {"items": [{"item": {"id": "1"}, "rate": 5}]},
    }
    await http.request("POST", f"{RECORDS}/invoice", json=body)
    with pytest.raises(ActRefused):
        simulator.acts()[act](**arguments)


async def test_work_that_sums_below_zero_waits_and_a_void_frees_what_was_billed(
    http: Http, simulator: NetSuiteSimulator
) -> None:
    await http.request("POST", f"{RECORDS}/customer", json={**CUSTOMER, "currency": {"id": "2"}})
    await http.request("POST", f"{RECORDS}/job", json={"companyName": "P", "parent": {"id": "2"}})
    bill = {"employee": {"id": "1"}, "customer": {"id": "3"}, "item": {"id": "1"}, "tranDate": "2026-10-05"}

    async def add(hours: str) -> None:
        body = {**bill, "hours": hours, "rate": 100, "isBillable": True}
        assert (await http.request("POST", f"{RECORDS}/timeBill", json=body)).status == 204

    await add("-2:00")
    assert simulator.acts()["release_invoices"]() == []
    await add("5:00")
    (invoice,) = simulator.acts()["release_invoices"](project="3")
    assert (invoice["total"], invoice["currency"]) == ("300.00", "EUR")
    assert simulator.acts()["release_invoices"]() == []
    simulator.acts()["void_invoice"](invoice["id"])
    (again,) = simulator.acts()["release_invoices"]()
    assert again["total"] == "300.00"


async def test_the_account_survives_a_restart(
    tmp_path: Path, http: Http, settings_of: Callable[..., NetSuiteSettings]
) -> None:
    state = tmp_path / "state.json"
    async with started(NetSuiteSimulator(), state_file=state) as first:
        first.memory["tokens"]["t"] = "2099-01-01T00:00:00+00:00"
        async with open_http(first.base_url) as client:
            await client.request(
                "PUT", f"{RECORDS}/customer/eid:K1", json=CUSTOMER, headers={"authorization": "Bearer t"}
            )
            closed = {"act": "close_period", "period": "2026-09"}
            assert (await client.request("POST", "/_sim/do", json=closed)).status == 200
        held = first.credentials()
    async with started(NetSuiteSimulator(seed=9), state_file=state) as second:
        assert second.credentials() | {"base_url": ""} == held | {"base_url": ""}
        async with open_http(second.base_url) as client:
            await client.request(
                "PUT", f"{RECORDS}/customer/eid:K1", json=CUSTOMER, headers={"authorization": "Bearer t"}
            )
        assert len(list(second.ledger.of_kind("customer"))) == 1
        assert isinstance(second, NetSuiteSimulator)
        assert second.suiteql.run("SELECT externalid FROM customer", 10, 0)[0] == [{"externalid": "K1"}]


async def test_paths_outside_are_answered_as_netsuite_does(http: Http, simulator: NetSuiteSimulator) -> None:
    assert detail(await http.get("/services/rest/nothing/v1")) == (404, "NOT_FOUND")
    async with open_http(simulator.base_url) as stranger:
        assert detail(await stranger.get(f"{RECORDS}/customer/1")) == (401, "INVALID_LOGIN")
    limits = await http.get("/services/rest/system/v1/governanceLimits")
    assert limits.json()["accountConcurrencyLimit"] == 15
    assert "companyName" in (await http.get(f"{RECORDS}/metadata-catalog/customer")).json()["properties"]
