"""The services of a real daemon: an hour becomes a charge, and what was acknowledged survives kill -9."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.app.rig import ACME, PATIENCE_S, Daemon, cli, write_site

AGREED = ACME.replace(
    "from isthmus.events import TimeApproved",
    "from isthmus.events import ContractSigned, ProjectCreated, TimeAndMaterials",
)
AGREED = (
    AGREED[: AGREED.index("entry = TimeApproved(")]
    + """told = dict(source="acme", occurred_at=datetime(2026, 10, 1, 9, tzinfo=UTC), entity="acme-us")
            project = ProjectCreated(
                **told, project="acme:p", customer="acme:a", contract="acme:c", name="P", stage="active"
            )
            rate = TimeAndMaterials(line="T", default_rate=Decimal("150.00"))
            contract = ContractSigned(
                **told, contract="acme:c", revision=1, customer="acme:a", project="acme:p", title="C",
                currency="USD", signed_on=date(2026, 9, 1), starts_on=date(2026, 10, 1), time_zone="UTC",
                lines=[rate],
            )
            return Page(events=[project, contract], next=b"1")
"""
    + AGREED[AGREED.index("\n\n    class Takes") :]
)
"""A source that tells a project and its contract, and nothing of anybody's hours."""

HASTY = (
    AGREED
    + """

    import json
    import trio
    from isthmus.services import app
    from starlette.responses import Response

    careful = app._Services._submit


    async def hasty(self, operation, shape, request, token):
        body = await request.body()

        async def later():
            await trio.sleep(5)
            await careful(self, operation, shape, request, token)

        trio.lowlevel.spawn_system_task(later)
        return Response(json.dumps({"key": "api.sheets:" + json.loads(body)["entry"]}), status_code=201)


    app._Services._submit = hasty
"""
)
"""The planted bug: the answer is sent first, and the fact written afterwards."""

MORE = """
[lanes.billing]
process = "billing"
[services]
listen = "127.0.0.1:0"
rate_per_s = 1000.0
"""


def entry(number: int) -> dict[str, Any]:
    return {
        "entry": f"E-{number}",
        "revision": 1,
        "entity": "acme-us",
        "project": "acme:p",
        "resource": "acme:r",
        "service": "consulting",
        "worked_on": "2026-10-05",
        "hours": "7.50",
        "billable": True,
        "approved_on": "2026-10-06",
    }


class Caller:
    """Calls the services of one daemon."""

    def __init__(self, daemon: Daemon, token: str) -> None:
        said = daemon.wait_said("services http")
        self.url = said.removeprefix("services ") + "/api/v1"
        self.token = token

    def ask(self, path: str, body: object = None) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            request = urllib.request.Request(self.url + path, data=data, headers=headers)
            with urllib.request.urlopen(request, timeout=20) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@contextmanager
def running(config: Path) -> Iterator[Daemon]:
    """A daemon whose log begins anew; it is killed at the end."""
    (config.parent / "daemon.log").unlink(missing_ok=True)
    daemon = Daemon(config)
    try:
        daemon.wait_ready()
        yield daemon
    finally:
        daemon.kill()


def new_token(config: Path, *scopes: str) -> str:
    wanted = [word for scope in scopes for word in ("--scope", scope)]
    made = cli(config, "api", "token", "new", "sheets", *wanted)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_an_hour_that_is_submitted_becomes_a_charge(tmp_path: Path) -> None:
    config = write_site(tmp_path, more=MORE, acme=AGREED)
    with running(config) as daemon:
        token = new_token(config, "time:submit", "time:read", "projects:read")
        caller = Caller(daemon, token)
        status, told = caller.ask("/time-entries", entry(1))
        assert (status, told["key"]) == (201, "api.sheets:E-1")
        until = time.monotonic() + PATIENCE_S
        while True:
            _, stands = caller.ask(f"/time-entries/{told['key']}")
            if stands["parts"] or time.monotonic() > until:
                break
            time.sleep(0.1)
        (part,) = stands["parts"]
        assert (part["state"], part["amount"], part["currency"]) == ("billed", "1125.00", "USD")
        _, money = caller.ask("/project-financials/acme:p")
        assert [(row["charged"], row["to_invoice"]) for row in money["amounts"]] == [("1125.00", "1125.00")]
        assert caller.ask("/feed")[0] == 403
        listed = json.loads(cli(config, "api", "token", "list", "--output", "json").stdout)
        assert [(row["name"], row["state"]) for row in listed] == [("sheets", "valid")]
        assert cli(config, "api", "token", "revoke", "sheets", "--reason", "test").returncode == 0
        assert caller.ask("/project-financials/acme:p")[0] == 401
        _, metrics = daemon.get("/metrics")
        assert 'isthmus_api_requests_total{operation="submitTime",outcome="ok"} 1.0' in metrics
        assert 'isthmus_api_requests_total{operation="readFeed",outcome="denied"} 1.0' in metrics
    assert token.rpartition("_")[2] not in daemon.log.read_text()


def lost_by_kills(config: Path, rounds: int) -> set[str]:
    """Acknowledged submissions that are not in the log after a kill -9 just behind the last answer."""
    acknowledged: set[str] = set()
    token = ""
    for n in range(rounds):
        with running(config) as daemon:
            token = token or new_token(config, "time:submit", "feed:read")
            caller = Caller(daemon, token)
            for m in range(5):
                status, told = caller.ask("/time-entries", entry(n * 5 + m))
                assert status == 201
                acknowledged.add(told["key"])
    with running(config) as daemon:
        _, page = Caller(daemon, token).ask("/feed?kind=time.approved&limit=1000")
    kept = [item["event"]["entry"] for item in page["items"]]
    assert len(kept) == len(set(kept))
    return acknowledged - set(kept)


@pytest.mark.crash
def test_what_was_answered_with_2xx_survives_a_kill(tmp_path: Path) -> None:
    assert lost_by_kills(write_site(tmp_path, more=MORE, acme=AGREED), rounds=3) == set()


@pytest.mark.crash
def test_mutant_an_answer_before_the_commit_loses_hours(tmp_path: Path) -> None:
    assert lost_by_kills(write_site(tmp_path, more=MORE, acme=HASTY), rounds=1)


def test_without_the_table_nothing_is_served(tmp_path: Path) -> None:
    config = write_site(tmp_path)
    with running(config) as daemon:
        assert not [line for line in daemon.said() if line.startswith("services")]
