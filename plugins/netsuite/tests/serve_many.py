"""Serves an account with many invoices, ten to a job.

Run by test_memory.py in a process of its own, so that only the connector's memory is measured there.
Arguments: how many. Prints the credentials as one JSON line when it serves.
"""

import json
import sys

import trio

from isthmus.sdk.simulator import started
from isthmus_netsuite.simulator import NetSuiteSimulator


async def main(count: int) -> None:
    simulator = NetSuiteSimulator()
    customer = simulator.books.add("customer", {"companyName": "Northwind"}, op="create")
    for n in range(count):
        if n % 10 == 0:
            project = {"companyName": f"Project {n}", "parent": {"id": customer.id}}
            job = simulator.books.add("job", project, op="create")
        line = {
            "item": {"id": "1"},
            "amount": f"{n}.50",
            "custcol_isth_charge": f"billing:c{n}",
            "custcol_isth_amount": f"{n}.50",
            "custcol_isth_contract": f"crm:C{n}",
        }
        invoice = {
            "entity": {"id": job.id},
            "tranId": f"INV{n}",
            "tranDate": "2026-10-05",
            "currency": {"id": "1"},
            "subsidiary": {"id": "1"},
            "approvalStatus": {"id": "2"},
            "item": {"items": [line]},
        }
        record = simulator.books.add("invoice", invoice, op="create")
        simulator.books.refresh_invoice(record, op="create")
    async with started(simulator):
        print(json.dumps(simulator.credentials()), flush=True)
        await trio.sleep_forever()


trio.run(main, int(sys.argv[1]))
