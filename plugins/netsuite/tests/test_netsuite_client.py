"""A client that others wrote, unchanged, finds in the simulator what it expects of NetSuite."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import trio

from isthmus.sdk.simulator import started
from isthmus.sdk.testing.tls_proxy import tls_proxy
from isthmus_netsuite.simulator import NetSuiteSimulator

SCRIPT = Path(__file__).with_name("drive_netsuite.py")
HOSTS = ["1234567-sb1.suitetalk.api.netsuite.com", "1234567-sb1.restlets.api.netsuite.com"]


async def test_the_client_netsuite_works_unchanged(tmp_path: Path) -> None:
    assert find_spec("netsuite"), "netsuite is not installed; run make setup"
    async with started(NetSuiteSimulator()) as simulator:
        held = simulator.credentials()
        names = ("consumer_key", "consumer_secret", "token_id", "token_secret")
        given = {"account": held["account"], **{name: held[f"tba_{name}"] for name in names}}
        async with tls_proxy(dict.fromkeys(HOSTS, simulator.base_url), tmp_path) as proxy:
            with trio.fail_after(60):
                ran = await trio.run_process(
                    [sys.executable, "-W", "ignore", str(SCRIPT), json.dumps(given)],
                    env={**os.environ, **proxy.environment()},
                    capture_stdout=True,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
    assert ran.returncode == 0, ran.stdout.decode()
    assert json.loads(ran.stdout.splitlines()[-1]) == {
        "company": "1234567_SB1",
        "schema": "object",
        "openapi": ["customer", "job"],
        "created": None,
        "location": "/services/rest/record/v1/customer/3",
        "upserts": [None, None],
        "read": ["Northwind", "a@example.com", False],
        "filtered": ["4"],
        "deleted": None,
        "invoice": [100.5, 100.5, "C00001 Northwind"],
        "currencies": [["1", "USD"], ["2", "EUR"], ["3", "GBP"], ["4", "JPY"], ["5", "CHF"], ["6", "KWD"]],
        "nulls": False,
        "at_once": ["F"] * 8,
        "job": [202, "succeeded", 1, 204],
        "refused": {
            "a misspelt property": [400, "INVALID_CONTENT"],
            "an unknown record": [404, "NONEXISTENT_ID"],
            "PUT by internal id": [400, "INVALID_PARAMETER"],
            "an unknown column": [400, "INVALID_PARAMETER"],
            "a wrong secret": [401, "INVALID_LOGIN"],
            "another account's realm": [401, "INVALID_LOGIN"],
        },
        "elsewhere": "refused",
    }
    assert set(proxy.reached) == set(HOSTS)
    assert proxy.refused == ["example.com:443"]
    (fabrikam,) = simulator.ledger.by_external_key("customer", "CID 3ä")
    assert [write.op for write in fabrikam.writes] == ["upsert", "upsert"]
