"""The connector as a whole: how it is found, what it checks, what it reads back."""

from datetime import date, timedelta
from importlib import import_module
from typing import Any

import msgspec
import pytest

from isthmus.sdk import CensusRow, Link, Opened, Secret
from isthmus.sdk.simulator import Simulator
from isthmus.sdk.testing import FakeContext
from isthmus_runn.connector import Runn, isthmus_connectors
from isthmus_runn.settings import RunnSettings
from isthmus_runn.simulator import RunnSimulator


def test_the_hook_names_the_connector_and_its_simulator() -> None:
    assert isthmus_connectors() == [Runn]
    module, _, name = (Runn.simulator or "").partition(":")
    assert issubclass(getattr(import_module(module), name), Simulator)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"page_size": 201}, "page_size", id="a page larger than Runn's"),
        pytest.param({"overlap_s": 0}, "overlap_s", id="no overlap"),
        pytest.param({"tokn": "x"}, "tokn", id="a misspelt name"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, object], words: str) -> None:
    def secret(wanted: type, value: Any) -> Any:
        return Secret(value)

    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert({"token": "t", **given}, RunnSettings, dec_hook=secret)


def test_settings_never_show_the_token() -> None:
    assert "hidden" not in repr(RunnSettings(token=Secret("hidden")))


async def test_a_healthy_account_passes_every_check(planner: Opened) -> None:
    assert planner.probe is not None
    checks = await planner.probe.checks()
    assert {check.name for check in checks if check.name != "clock"} == {
        "login",
        "quota",
        "default_role",
        "forecast_field",
        "demand_field",
    }
    assert all(check.ok for check in checks if check.name != "clock")


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        pytest.param({"token": "wrong"}, "login", id="a wrong token"),
        pytest.param({"default_role": "Astronaut"}, "default_role", id="a role that is not there"),
        pytest.param({"forecast_field": "Crystal ball"}, "forecast_field", id="a field that is not there"),
        pytest.param({"demand_field": "Wishes"}, "demand_field", id="another field that is not there"),
    ],
)
async def test_a_check_that_fails_says_what_to_do(
    open_runn: Any, changes: dict[str, Any], failed: str
) -> None:
    async with open_runn(**changes) as opened:
        bad = [check for check in await opened.probe.checks() if not check.ok and check.name != "clock"]
    assert [check.name for check in bad] == [failed]
    assert bad[0].remedy


async def test_a_clock_that_is_off_is_noticed(runn: RunnSimulator, planner: Opened, clock: Any) -> None:
    assert planner.probe is not None
    clock.time += timedelta(days=400)
    checks = {check.name: check for check in await planner.probe.checks()}
    assert not checks["clock"].ok


async def test_the_census_adds_up_hours_over_roles_and_shows_budgets(
    runn: RunnSimulator, planner: Opened, ctx: FakeContext
) -> None:
    runn.add_client("Acme")
    project = runn.add_project("Rollout", "Acme", confirmed=True)
    person = runn.add_person("Rosa Meier", "Consultant")
    roles = [record.fields["id"] for record in runn.ledger.of_kind("role")]
    ctx.keep([Link(kind="project", key="crm:p", remote_id=str(project["id"]))])
    for role_id, day in ((roles[0], "2026-10-05"), (roles[1], "2026-10-05"), (roles[0], "2026-11-01")):
        body = {"projectId": project["id"], "personId": person["id"], "roleId": role_id, "date": day}
        runn._account.record_actual({**body, "billableMinutes": 90, "nonbillableMinutes": 30})
    assert planner.census is not None

    async def rows(kind: str) -> list[CensusRow]:
        assert planner.census is not None
        return [row async for row in planner.census.rows(kind, date(2026, 10, 1), date(2026, 10, 31))]

    (hours,) = await rows("burn")
    assert hours.key == f"crm:p|planner:{person['id']}|2026-10-05"
    assert str(hours.quantity) == "4.00"
    (budget,) = await rows("project")
    assert (budget.key, budget.status, budget.amount) == ("crm:p", "confirmed", None)
