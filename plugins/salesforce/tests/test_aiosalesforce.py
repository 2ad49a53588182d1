"""A second client that others wrote, unchanged: both logins, batches, and composites with references."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import trio

from isthmus.sdk.simulator import started
from isthmus.sdk.testing.tls_proxy import tls_proxy
from isthmus_salesforce.simulator import Salesforce

SCRIPT = Path(__file__).with_name("drive_aiosalesforce.py")


async def test_aiosalesforce_works_unchanged(tmp_path: Path, app_key: str) -> None:
    assert find_spec("aiosalesforce"), "aiosalesforce is not installed; run make setup"
    simulator = Salesforce()
    simulator.memory["private_key"] = app_key
    key_file = tmp_path / "app.pem"
    key_file.write_text(app_key)
    async with started(simulator):
        given = {**simulator.credentials(), "key_file": str(key_file), "my_domain": simulator.my_domain}
        async with tls_proxy(dict.fromkeys(simulator.hosts, simulator.base_url), tmp_path) as proxy:
            with trio.fail_after(60):
                ran = await trio.run_process(
                    [sys.executable, str(SCRIPT), json.dumps(given)],
                    env={**os.environ, **proxy.environment()},
                    capture_stdout=True,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
    assert ran.returncode == 0, ran.stdout.decode()
    by_secret, by_key = json.loads(ran.stdout.splitlines()[-1])
    assert by_secret == {
        "calls": 15_000,
        "phone": "1",
        "created": True,
        "names": ["Acme"],
        "batch": [200, 1, 201],
        "composite": [201, 201],
        "joined": ["Second"],
        "gone": "ENTITY_IS_DELETED",
    }
    assert by_key == {**by_secret, "created": False}
    assert (proxy.refused, set(proxy.reached)) == ([], {simulator.my_domain})
