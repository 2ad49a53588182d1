"""A client that others wrote for Certinia PSA, unchanged, books a week that isthmus then reads."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
import trio

from isthmus.events import TimeApproved
from isthmus.sdk import Secret
from isthmus.sdk.simulator import started
from isthmus.sdk.testing import FakeContext
from isthmus.sdk.testing.tls_proxy import tls_proxy
from isthmus_salesforce.connector import SalesforceConnector
from isthmus_salesforce.settings import SalesforceSettings
from isthmus_salesforce.simulator import Salesforce

SCRIPT = Path(__file__).with_name("drive_salesforce_timecard.py")


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the client needs pydantic 1, which ended there")
async def test_salesforce_timecard_books_and_submits_a_week(tmp_path: Path, app_key: str) -> None:
    assert find_spec("salesforce_timecard"), "salesforce-timecard is not installed; run make setup"
    simulator = Salesforce()
    simulator.memory["private_key"] = app_key
    acts = simulator.acts()
    anna = acts["add_resource"]("Anna Weber", email="integration@acme.example")["resource"]
    project = acts["add_project"]("Rollout", Isthmus_Key__c="crm:006A")["project"]
    acts["add_project"]("Internal", pse__Allow_Timecards_Without_Assignment__c=True)
    today = datetime.now(UTC).date()
    monday = today - timedelta(days=today.weekday() + 7)
    ends_on = (today + timedelta(days=90)).isoformat()
    acts["assign"](project, anna, "Consultant", monday.isoformat(), ends_on)
    config = tmp_path / "pse.json"
    login = acts["allow_password_login"]()
    config.write_text(
        json.dumps(
            {"username": login["username"], "password": login["password"], "token": login["security_token"]}
        )
    )

    async with started(simulator):
        async with tls_proxy(dict.fromkeys(simulator.hosts, simulator.base_url), tmp_path) as proxy:
            with trio.fail_after(60):
                ran = await trio.run_process(
                    [sys.executable, str(SCRIPT), str(config), monday.isoformat()],
                    env={**os.environ, **proxy.environment()},
                    capture_stdout=True,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
        assert ran.returncode == 0, ran.stdout.decode()
        seen = json.loads(ran.stdout.splitlines()[-1])
        card = seen.pop("submitted")
        assert seen == {
            "contact": anna,
            "assignments": {"Rollout - Consultant": True},
            "global": ["Internal"],
            "cards": [["Internal", None, None], ["Rollout - Consultant", 8.0, 6.5]],
            "left": ["Submitted"],
        }
        assert proxy.refused == []
        assert set(proxy.reached) == {"login.salesforce.com", simulator.my_domain}

        acts["approve_week"](card)
        given = simulator.credentials()
        given |= {name: Secret(given[name]) for name in ("private_key", "client_secret")}
        settings = SalesforceSettings(**given, pack="certinia-psa")
        ahead = FakeContext("psa", now=lambda: datetime.now(UTC) + timedelta(minutes=1))
        async with SalesforceConnector().open(settings, ahead) as opened:
            assert opened.source is not None
            page = await opened.source.pull("timecards", None)
    told = [event for event in page.events if isinstance(event, TimeApproved)]
    assert [(event.worked_on, str(event.hours), event.note) for event in told] == [
        (monday, "8.00", "workshop"),
        (monday + timedelta(days=1), "6.50", "follow-up"),
    ]
    assert {event.project for event in told} == {"crm:006A"}
