"""Serves a fake org with so many accounts, in a process of its own; prints where, and how to log in.

Run by tests that measure their own process. Arguments: how many accounts, a file with the app's key.
"""

import json
import sys
from pathlib import Path

import trio

from isthmus.sdk.simulator import started
from isthmus_salesforce.simulator import Salesforce


async def main(accounts: int, key: str) -> None:
    simulator = Salesforce()
    simulator.memory["private_key"] = key
    for n in range(accounts):
        simulator.acts()["add_account"](name=f"Customer {n}", BillingCity="Berlin", Tax_Id__c=f"DE{n:09}")
    async with started(simulator):
        print(json.dumps(simulator.credentials()), flush=True)
        await trio.sleep_forever()


trio.run(main, int(sys.argv[1]), Path(sys.argv[2]).read_text())
