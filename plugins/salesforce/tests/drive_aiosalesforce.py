"""Drives PyPI's aiosalesforce, unchanged, and prints what it saw as one JSON object.

Run by test_aiosalesforce.py in a process of its own, whose only way out is the proxy.
Arguments: a JSON object with client_id, client_secret, username, key_file, my_domain.
"""

import asyncio
import json
import sys
from typing import Any

import httpx
from aiosalesforce import Salesforce
from aiosalesforce.auth import ClientCredentialsFlow, JwtBearerFlow
from aiosalesforce.exceptions import SalesforceError

given = json.loads(sys.argv[1])


async def drive(auth: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    async with httpx.AsyncClient() as http:
        sf = Salesforce(http, base_url=f"https://{given['my_domain']}", auth=auth)
        seen["calls"] = (await sf.get_limits())["DailyApiRequests"]["Max"]
        acme = await sf.sobject.create("Account", {"Name": "Acme"})
        await sf.sobject.update("Account", acme, {"Phone": "1"})
        seen["phone"] = (await sf.sobject.get("Account", acme))["Phone"]
        kept = await sf.sobject.upsert("Invoice__c", "erp:1", "Isthmus_Key__c", {"Total__c": 5})
        seen["created"] = kept.created
        found = [record["Name"] async for record in sf.query("SELECT Name FROM Account ORDER BY Id")]
        seen["names"] = found
        async with sf.composite.batch(halt_on_error=True) as batch:
            query = batch.query("SELECT Id FROM Account")
            contact = batch.sobject.create("Contact", {"LastName": "Smith"})
        seen["batch"] = [query.status_code, len(query.records), contact.status_code]
        async with sf.composite(all_or_none=True) as composite:
            account = composite.sobject.create("Account", {"Name": "Second"})
            person = composite.sobject.create(
                "Contact", {"LastName": "Jones", "AccountId": str(account.reference.id)}
            )
        seen["composite"] = [account.status_code, person.status_code]
        joined = "SELECT Account.Name FROM Contact WHERE LastName = 'Jones'"
        seen["joined"] = [record["Account"]["Name"] async for record in sf.query(joined)]
        for name in ("Account", "Contact"):
            async for record in sf.query(f"SELECT Id FROM {name}"):
                await sf.sobject.delete(name, record["Id"])
        try:
            await sf.sobject.get("Account", acme)
        except SalesforceError as error:
            seen["gone"] = error.error_code
    return seen


async def main() -> list[dict[str, Any]]:
    by_secret = ClientCredentialsFlow(client_id=given["client_id"], client_secret=given["client_secret"])
    by_key = JwtBearerFlow(
        client_id=given["client_id"], username=given["username"], private_key_file=given["key_file"]
    )
    return [await drive(auth) for auth in (by_secret, by_key)]


print(json.dumps(asyncio.run(main())))
