"""Logging in: both flows, wrong credentials, sessions that end, and what a probe sees."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from isthmus.sdk import ConnectorError, Fatal, Opened, Retryable, Secret, Source, Throttled
from isthmus.sdk.simulator import Fault, Match
from isthmus.sdk.testing import FakeContext
from isthmus_salesforce.certinia.settings import CertiniaSettings
from isthmus_salesforce.client import JWT_BEARER
from isthmus_salesforce.connector import SalesforceConnector
from isthmus_salesforce.settings import SalesforceSettings
from isthmus_salesforce.simulator import Salesforce

Connect = Callable[..., AbstractAsyncContextManager[Opened]]
MakeSettings = Callable[..., SalesforceSettings]
TOKEN = Match(path_prefix="/services/oauth2/token")


def source_of(opened: Opened) -> Source:
    assert opened.source is not None
    return opened.source


def logins(sim: Salesforce) -> int:
    return len(sim.memory.get("sessions", {}))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="with a signed assertion"),
        pytest.param({"private_key": None}, id="with the app's secret"),
        pytest.param({"audience": "https://test.salesforce.com"}, id="for a sandbox"),
        pytest.param({"login_url": None}, id="at the org's own domain"),
    ],
)
async def test_both_flows_let_in(sim: Salesforce, connect: Connect, changes: dict[str, Any]) -> None:
    async with connect(**changes) as opened:
        assert logins(sim) == 0, "opening asks for nothing"
        await source_of(opened).pull("accounts", None)
        await source_of(opened).pull("accounts", None)
    assert logins(sim) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"client_id": "other"}, "invalid_client_id", id="an unknown app"),
        pytest.param({"username": "nobody@isthmus.example"}, "approved", id="a user the app does not let in"),
        pytest.param({"audience": "https://example.com"}, "audience", id="a wrong audience"),
        pytest.param({"private_key": None, "client_secret": "wrong"}, "invalid_client", id="a wrong secret"),
        pytest.param({"private_key": "not a key"}, "PEM", id="a key that is none"),
    ],
)
async def test_wrong_credentials_are_fatal(
    sim: Salesforce, connect: Connect, changes: dict[str, Any], words: str
) -> None:
    async with connect(**changes) as opened:
        with pytest.raises(Fatal, match=words) as caught:
            await source_of(opened).pull("accounts", None)
    told = f"{caught.value} {caught.value.peer_words}"
    assert "PRIVATE KEY" not in told and "wrong" not in told.replace("wrong_", "")


async def test_a_key_of_somebody_else_is_fatal(sim: Salesforce, connect: Connect) -> None:
    async with connect(private_key=Salesforce().login.private_key) as opened:
        with pytest.raises(Fatal, match="invalid assertion"):
            await source_of(opened).pull("accounts", None)


async def test_a_clock_that_is_an_hour_behind_is_told(sim: Salesforce, make_settings: MakeSettings) -> None:
    now = sim.now() - timedelta(hours=1)
    ctx = FakeContext("crm", now=lambda: now)
    async with SalesforceConnector().open(make_settings(), ctx) as opened:
        with pytest.raises(Fatal, match="expired"):
            await source_of(opened).pull("accounts", None)


def assertion(key: str, algorithm: str = "RS256", **changes: Any) -> str:
    """An assertion that a client of the right app would make, but for ``changes``."""
    claims = {"aud": "https://login.salesforce.com", "exp": NOW + 170, **changes}
    return jwt.encode(claims, key, algorithm=algorithm)


NOW = int(datetime(2026, 1, 5, 9, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({}, None, id="a right one is let in"),
        pytest.param({"aud": "https://test.salesforce.com"}, None, id="and one for a sandbox"),
        pytest.param({"key": "other"}, "invalid assertion", id="signed with another key"),
        pytest.param({"aud": "https://example.com"}, "audience is invalid", id="for another audience"),
        pytest.param({"aud": None}, "invalid assertion", id="for nobody"),
        pytest.param({"exp": NOW - 1}, "expired", id="expired"),
        pytest.param({"exp": NOW + 3600}, "invalid assertion", id="that lives an hour"),
        pytest.param({"algorithm": "none"}, "invalid assertion", id="signed by nobody"),
        pytest.param({"algorithm": "HS256"}, "invalid assertion", id="signed with a shared secret"),
        pytest.param({"algorithm": "PS256"}, "invalid assertion", id="signed with PS256"),
        pytest.param({"iss": "other"}, "client identifier", id="of another app"),
        pytest.param({"sub": "nobody@acme.example"}, "approved", id="for a user who is not let in"),
    ],
)
async def test_assertions_are_verified(
    sim: Salesforce, app_key: str, changes: dict[str, Any], words: str | None
) -> None:
    """By PyJWT, in the simulator; so what the connector sends is right where it is let in."""
    given = sim.credentials()
    algorithm = changes.pop("algorithm", "RS256")
    key = {"none": "", "HS256": "a shared secret of thirty-two characters"}.get(algorithm, app_key)
    if changes.pop("key", None):
        key = Salesforce().login.private_key
    claims = {"iss": given["client_id"], "sub": given["username"], **changes}
    form = {"grant_type": JWT_BEARER, "assertion": assertion(key, algorithm, **claims)}
    async with httpx.AsyncClient(base_url=sim.base_url, verify=False) as http:
        answer = await http.post("/services/oauth2/token", data=form)
    told = answer.json()
    assert answer.status_code == (200 if words is None else 400)
    assert ("access_token" in told) is (words is None)
    assert words is None or words in told["error_description"]


async def test_a_session_that_ended_is_renewed_once(sim: Salesforce, connect: Connect) -> None:
    async with connect() as opened:
        await source_of(opened).pull("accounts", None)
        assert sim.acts()["expire_sessions"]() == {"expired": 1}
        await source_of(opened).pull("accounts", None)
        assert logins(sim) == 1


async def test_a_session_that_ends_at_once_is_not_renewed_for_ever(sim: Salesforce, connect: Connect) -> None:
    ended = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    fault = Fault(fault="status", status=401, body=ended, match=Match(path_prefix="/services/data"), times=9)
    sim.faults.add([fault])
    async with connect() as opened:
        with pytest.raises(Fatal):
            await source_of(opened).pull("accounts", None)
    assert (fault.fired, logins(sim)) == (2, 2)


@pytest.mark.parametrize(
    ("fault", "fate"),
    [
        pytest.param(Fault(fault="status", status=503, body="<html>"), Retryable, id="a login that is down"),
        pytest.param(Fault(fault="lose_response"), Retryable, id="a lost answer: asking again costs nothing"),
        pytest.param(Fault(fault="wrong_body", body={}), Retryable, id="an answer without a token"),
        pytest.param(Fault(fault="wrong_body", body="x"), Retryable, id="an answer that is no JSON"),
        pytest.param(Fault(fault="throttle"), Throttled, id="429"),
        pytest.param(
            Fault(
                fault="status",
                status=400,
                body={"error": "invalid_grant", "error_description": "login rate exceeded"},
            ),
            Throttled,
            id="too many logins",
        ),
        pytest.param(
            Fault(
                fault="status",
                status=400,
                body={"error": "unknown_error", "error_description": "retry your request"},
            ),
            Retryable,
            id="their own fault",
        ),
        pytest.param(Fault(fault="status", status=404, body="<html>"), Fatal, id="no token endpoint there"),
        pytest.param(Fault(fault="status", status=302, body=""), Fatal, id="a redirect"),
    ],
)
async def test_a_login_that_fails_otherwise(
    sim: Salesforce, connect: Connect, fault: Fault, fate: type[ConnectorError]
) -> None:
    given = {name: getattr(fault, name) for name in fault.__struct_fields__}
    sim.faults.add([Fault(**{**given, "match": TOKEN, "fired": 0})])
    async with connect() as opened:
        with pytest.raises(ConnectorError) as caught:
            await source_of(opened).pull("accounts", None)
        assert type(caught.value) is fate
        if fate is not Fatal:
            await source_of(opened).pull("accounts", None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"private_key": None, "client_secret": None}, "client_secret", id="no credentials"),
        pytest.param({"username": None}, "username", id="a key without a user"),
        pytest.param({"where": {"leads": "Id != null"}}, "where", id="a stream there is not"),
        pytest.param({"names": {"Foo__c": "Bar__c"}}, "names", id="a name that is none of ours"),
        pytest.param(
            {"pack": "certinia-psa", "where": {"accounts": "Id != null"}},
            "resources",
            id="a stream of the other pack",
        ),
        pytest.param({"certinia": CertiniaSettings(crm="crm")}, "pack", id="Certinia without its pack"),
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {
        "instance_url": "https://acme.my.salesforce.com",
        "client_id": "x",
        "username": "y",
        "private_key": Secret("z"),
    }
    with pytest.raises(ValueError, match=told):
        SalesforceSettings(**{**given, **changes})


def test_projects_of_opportunities_need_the_crm_s_name() -> None:
    with pytest.raises(ValueError, match=r"certinia\.crm"):
        CertiniaSettings(projects_by="opportunity")


@pytest.mark.parametrize("pack", ["sales", "certinia-psa"])
def test_a_field_of_either_pack_may_have_another_name(pack: Any) -> None:
    settings = SalesforceSettings(
        instance_url="https://acme.my.salesforce.com",
        client_id="x",
        client_secret=Secret("z"),
        pack=pack,
        names={"Isthmus_Key__c": "Ext__c"},
    )
    assert settings.named("pse__Project__r.Isthmus_Key__c") == "pse__Project__r.Ext__c"


async def test_a_probe_of_a_fitting_org_finds_nothing_wrong(sim: Salesforce, connect: Connect) -> None:
    async with connect() as opened:
        assert opened.probe is not None
        checks = {check.name: check for check in await opened.probe.checks()}
    # The clock of these tests stands in January, the server's own does not.
    assert [name for name, check in checks.items() if not check.ok] == ["clock"]
    assert set(checks) >= {"login", "api calls", "version", "Account", "Invoice__c"}


@pytest.mark.parametrize(
    ("changes", "name", "detail"),
    [
        pytest.param({"client_id": "other"}, "login", "invalid_client_id", id="a login that fails"),
        pytest.param({"poll_budget_pct": 0.001}, "api calls", "calls are used", id="calls that run out"),
        pytest.param({"names": {"Number__c": "No__c"}}, "Invoice__c", "no field No__c", id="a missing field"),
        pytest.param({"names": {"Invoice__c": "Bill__c"}}, "Bill__c", "NOT_FOUND", id="a missing object"),
        pytest.param(
            {"names": {"Isthmus_Key__c": "Number__c"}},
            "Invoice__c",
            "is not externalId",
            id="a key that is none",
        ),
    ],
)
async def test_a_probe_names_what_is_wrong(
    sim: Salesforce, connect: Connect, changes: dict[str, Any], name: str, detail: str
) -> None:
    async with connect(**changes) as opened:
        assert opened.probe is not None
        checks = {check.name: check for check in await opened.probe.checks()}
    assert not checks[name].ok
    assert detail in checks[name].detail
    assert checks[name].remedy
