"""What an admin is told before anything is sent."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from isthmus.sdk import Check, Opened
from isthmus.sdk.simulator import Fault, Match
from isthmus_netsuite.simulator import NetSuiteSimulator
from isthmus_netsuite.simulator.suiteql import SuiteQL

OpenWith = Callable[..., AbstractAsyncContextManager[Opened]]
LIMITS = "/services/rest/system/v1/governanceLimits"


async def checks(open_with: OpenWith, **settings: Any) -> dict[str, Check]:
    async with open_with(**settings) as opened:
        assert opened.probe is not None
        found = {check.name: check for check in await opened.probe.checks()}
    found.pop("clock", None)  # the test's clock stands still
    return found


@pytest.fixture
def customer_there(simulator: NetSuiteSimulator) -> None:
    simulator.acts()["create_record"]("customer", {"companyName": "Northwind"})


async def test_a_sound_account_passes(customer_there: None, opened: Opened, open_with: OpenWith) -> None:
    assert opened.probe is not None
    (clock,) = [check for check in await opened.probe.checks() if check.name == "clock"]
    assert "s from NetSuite's" in clock.detail
    found = await checks(open_with)
    assert list(found) == ["login", "reading", "custom fields", "time zone", "concurrency", "subsidiaries"]
    assert all(check.ok for check in found.values()), found
    assert found["concurrency"].detail == "15 calls at the same time for all integrations, 4 configured"


async def test_without_a_login_nothing_else_is_looked_at(open_with: OpenWith) -> None:
    found = await checks(open_with, client_id="0")
    assert list(found) == ["login"] and not found["login"].ok and found["login"].remedy


@pytest.mark.parametrize(
    ("settings", "name", "detail"),
    [
        pytest.param({"default_subsidiary": "9"}, "subsidiaries", "unknown: 9", id="an unknown subsidiary"),
        pytest.param(
            {"account_time_zone": "Europe/Berlin"},
            "time zone",
            "saved at 2026-10-20 10:00:00 by SuiteQL, at 2026-10-20 19:00:00 in Europe/Berlin",
            id="another time zone",
        ),
        pytest.param({"concurrency": 16}, "concurrency", "15 calls at the same time", id="too many calls"),
    ],
)
async def test_what_is_wrong_is_named_with_its_remedy(
    customer_there: None, settings: dict[str, Any], name: str, detail: str, open_with: OpenWith
) -> None:
    failed = [check for check in (await checks(open_with, **settings)).values() if not check.ok]
    assert [check.name for check in failed] == [name]
    assert detail in failed[0].detail and failed[0].remedy


async def test_an_account_without_customers_has_no_times_to_compare(open_with: OpenWith) -> None:
    assert (await checks(open_with))["time zone"].detail == "no customer to compare the times of"


async def test_a_role_that_may_not_ask_for_the_limit_is_no_fault(
    simulator: NetSuiteSimulator, open_with: OpenWith
) -> None:
    simulator.faults.add([Fault(fault="status", status=403, match=Match(path_prefix=LIMITS))])
    assert (await checks(open_with))["concurrency"].detail == "only an administrator is told the limit"


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        pytest.param({}, None, id="by external id it is not needed"),
        pytest.param({"record_key": "custom_field"}, "custentity_isth_key", id="by custom field it is"),
    ],
)
async def test_the_field_of_our_key(
    settings: dict[str, Any],
    missing: str | None,
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
) -> None:
    engine: SuiteQL = simulator.suiteql
    engine._db.execute("DELETE FROM customfield WHERE scriptid = 'CUSTENTITY_ISTH_KEY'")
    check = (await checks(open_with, **settings))["custom fields"]
    assert check.ok is (missing is None)
    assert missing is None or check.detail == f"missing: {missing}"
