"""Drives PyPI's netsuite, unchanged, and prints what it saw as one JSON object.

Run by test_netsuite_client.py in a process of its own, whose only way out is the proxy.
Arguments: a JSON object with account, consumer_key, consumer_secret, token_id, token_secret.
"""

import asyncio
import json
import sys
from typing import Any

import httpx
from netsuite import Config, NetSuite, NetSuiteRestApi, TokenAuth
from netsuite.exceptions import NetsuiteAPIRequestError

given = json.loads(sys.argv[1])
seen: dict[str, Any] = {}


def client(**changes: str) -> NetSuiteRestApi:
    told = {**given, **changes}
    config = Config(account=told.pop("account"), auth=TokenAuth(**told))
    return NetSuite(config).rest_api


async def refusal(call: Any) -> Any:
    """Status and code of what the client raised."""
    try:
        await call
    except NetsuiteAPIRequestError as error:
        code = json.loads(error.response_text)["o:errorDetails"][0]["o:errorCode"]
        return [error.status_code, code]
    return None


async def pages(api: NetSuiteRestApi, q: str, limit: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        page = await api.suiteql(q, limit=limit, offset=len(rows))
        rows += page["items"]
        if not page["hasMore"]:
            return rows


async def main() -> None:
    api = client()
    seen["company"] = (await api.token_info())["companyId"]
    seen["schema"] = (await api.jsonschema("customer"))["type"]
    seen["openapi"] = sorted((await api.openapi(["customer", "job"]))["components"]["schemas"])

    seen["created"] = await api.post("/record/v1/customer", json={"companyName": "Northwind"})
    made = await api.request("POST", "/record/v1/customer", json={"companyName": "Contoso"})
    seen["location"] = httpx.URL(made.headers["location"]).path
    seen["upserts"] = [
        await api.put("/record/v1/customer/eid:CID 3ä", json={"companyName": name})
        for name in ("Fabrikam", "Fabrikam SE")
    ]
    await api.patch("/record/v1/customer/2", json={"email": "a@example.com"})
    held = await api.get("/record/v1/customer/2", params={"fields": "companyName,email"})
    seen["read"] = [held["companyName"], held["email"], "isInactive" in held]
    listed = await api.get("/record/v1/customer", params={"q": 'companyName START_WITH "Fab"', "limit": 5})
    seen["filtered"] = [item["id"] for item in listed["items"]]
    seen["deleted"] = await api.delete("/record/v1/customer/3")
    line = {"item": {"id": "1"}, "quantity": 2, "rate": 50.25}
    await api.post("/record/v1/invoice", json={"entity": {"id": "2"}, "item": {"items": [line]}})
    invoice = await api.get("/record/v1/invoice/1", params={"expandSubResources": "true"})
    seen["invoice"] = [invoice["total"], invoice["item"]["items"][0]["amount"], invoice["entity"]["refName"]]

    rows = await pages(api, "SELECT id, symbol, externalid FROM currency ORDER BY id", 4)
    seen["currencies"] = [[row["id"], row["symbol"]] for row in rows]
    seen["nulls"] = any("externalid" in row for row in rows)
    many = await asyncio.gather(
        *(api.suiteql("SELECT closed FROM accountingperiod WHERE id = 1") for _ in range(8))
    )
    seen["at_once"] = [page["items"][0]["closed"] for page in many]

    queued = await api.request(
        "POST",
        "/record/v1/customer",
        json={"companyName": "Later"},
        headers={
            "Prefer": "respond-async",
            "X-NetSuite-Idempotency-Key": "5a6e8e1c-0000-4000-8000-000000000001",
        },
    )
    job = queued.headers["location"].removeprefix("/services/rest")
    while not (status := await api.get(job))["completed"]:  # noqa: ASYNC110  a job is polled
        await asyncio.sleep(0.02)
    tasks = (await api.get(f"{job}/task/"))["items"]
    done = await api.request("GET", f"{job}/task/{tasks[0]['id']}/result")
    seen["job"] = [queued.status_code, status["progress"], len(tasks), done.status_code]

    seen["refused"] = {
        "a misspelt property": await refusal(api.post("/record/v1/customer", json={"compnyName": "x"})),
        "an unknown record": await refusal(api.get("/record/v1/customer/99")),
        "PUT by internal id": await refusal(api.put("/record/v1/customer/2", json={})),
        "an unknown column": await refusal(api.suiteql("SELECT nothing FROM currency")),
        "a wrong secret": await refusal(client(token_secret="wrong").get("/record/v1/customer/2")),
        "another account's realm": await refusal(client(account="1234567-sb1").get("/record/v1/customer/2")),
    }
    try:
        await httpx.AsyncClient().get("https://example.com/")
    except httpx.ProxyError:
        seen["elsewhere"] = "refused"
    print(json.dumps(seen))


asyncio.run(main())
