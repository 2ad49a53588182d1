"""A client that others wrote, unchanged, finds in the simulator what it expects of Salesforce."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from isthmus.sdk.simulator import started
from isthmus.sdk.testing.tls_proxy import tls_proxy
from isthmus_salesforce.simulator import Salesforce

pytest.importorskip("simple_salesforce")
SCRIPT = Path(__file__).with_name("drive_simple_salesforce.py")


async def test_simple_salesforce_works_unchanged(tmp_path: Path, app_key: str) -> None:
    simulator = Salesforce()
    simulator.memory["private_key"] = app_key
    names = [f"Customer {n:02}" for n in range(20)]
    for name in names:
        simulator.acts()["add_account"](name=name, External_Key__c="same" if name < "Customer 02" else None)
    simulator.acts()["limit_batches"](rows=7)
    key_file = tmp_path / "app.pem"
    key_file.write_text(app_key)

    async with started(simulator):
        given = {**simulator.credentials(), "key_file": str(key_file), "my_domain": simulator.my_domain}
        hosts = dict.fromkeys(simulator.hosts, simulator.base_url)
        async with tls_proxy(hosts, tmp_path) as proxy:
            with trio.fail_after(60):
                ran = await trio.run_process(
                    [sys.executable, str(SCRIPT), json.dumps(given)],
                    env={**os.environ, **proxy.environment()},
                    capture_stdout=True,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
    assert ran.returncode == 0, ran.stdout.decode()
    assert json.loads(ran.stdout.splitlines()[-1]) == {
        "instance": simulator.my_domain,
        "sandbox": False,
        "by_secret": 20,
        "wrong_app": True,
        "password": True,
        "accounts": names,
        "owner": "consultant@isthmus.example",
        "lazily": 20,
        "named": [
            *("Account", "Opportunity", "Contract", "Contract_Line__c", "Invoice__c", "Contact", "Lead"),
            *("Product2", "OpportunityLineItem", "User", "Organization", "pse__Proj__c"),
            *("pse__Proj__History", "pse__Schedule__c", "pse__Assignment__c", "pse__Milestone__c"),
            *("pse__Timecard_Header__c", "pse__Timecard__c", "pse__Expense__c"),
        ],
        "fields": 16,
        "upserts": [201, 200],
        "invoice": ["INV-1", 12345678.9, "Paid"],
        "contact": "Jones",
        "deleted": 204,
        "gone": True,
        "bad_query": "INVALID_FIELD",
        "bad_body": "INVALID_FIELD",
        "missing": "REQUIRED_FIELD_MISSING",
        "nowhere": "NOT_FOUND",
        "several": True,
        "usage": True,
        "renewed": True,
        "expired": "INVALID_SESSION_ID",
        "elsewhere": "refused",
    }
    assert proxy.refused == ["example.com:443"]
    assert set(proxy.reached) == {"login.salesforce.com", simulator.my_domain}
    (invoice,) = simulator.ledger.of_kind("Invoice__c")
    assert (invoice.external_key, invoice.fields["Status__c"]) == ("erp:1", "Paid")
