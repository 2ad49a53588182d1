"""Logging in, both ways, against an account that checks."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import jwt
import msgspec
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from isthmus.sdk import Fatal, Opened, Reply, Secret
from isthmus.sdk.http import open_http
from isthmus.sdk.testing import FakeContext
from isthmus_netsuite.auth import ASSERTION_TYPE, TOKEN_PATH, Assertions, TokenBased
from isthmus_netsuite.settings import NetSuiteSettings
from isthmus_netsuite.simulator import NetSuiteSimulator

OpenWith = Callable[..., AbstractAsyncContextManager[Opened]]
SettingsOf = Callable[..., NetSuiteSettings]


@pytest.fixture
def settings_of(simulator: NetSuiteSimulator) -> SettingsOf:
    """The simulator's own credentials: RSA of 3072 bits and PS256."""

    def made(**changes: Any) -> NetSuiteSettings:
        given = simulator.credentials() | changes
        return msgspec.convert(given, NetSuiteSettings, dec_hook=lambda _, value: Secret(value))

    return made


async def ask(opened: Opened) -> int:
    """One signed call; how many events there are does not matter."""
    assert opened.source is not None
    return len((await opened.source.pull("invoices", None)).events)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="PS256 by default"),
        pytest.param({"algorithm": "PS512"}, id="PS512"),
        pytest.param({"auth": "tba"}, id="token-based, OAuth 1.0a"),
    ],
)
async def test_logins_that_work(changes: dict[str, Any], open_with: OpenWith) -> None:
    async with open_with(**changes) as opened:
        assert await ask(opened) == 0


async def test_an_elliptic_key_logs_in(simulator: NetSuiteSimulator, open_with: OpenWith) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    certificate_id = simulator.credentials()["certificate_id"]
    simulator.memory["certificates"][certificate_id] = public.decode()
    async with open_with(algorithm="ES256", private_key=pem) as opened:
        assert await ask(opened) == 0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_id": "0" * 64}, id="another client id"),
        pytest.param({"certificate_id": "unknown"}, id="a certificate that is not there"),
        pytest.param({"auth": "tba", "tba_token_secret": "wrong"}, id="a wrong token secret"),
        pytest.param({"auth": "tba", "tba_consumer_key": "wrong"}, id="a wrong consumer key"),
        pytest.param({"auth": "tba", "account": "7654321"}, id="another account's realm"),
    ],
)
async def test_wrong_credentials_are_fatal_and_never_told(
    changes: dict[str, Any], open_with: OpenWith
) -> None:
    async with open_with(**changes) as opened:
        with pytest.raises(Fatal) as caught:
            await ask(opened)
    assert caught.value.peer_words
    assert not any(str(value) in str(caught.value) for value in changes.values() if value != "tba")


async def test_a_key_of_the_wrong_kind_is_fatal_before_anything_is_sent(open_with: OpenWith) -> None:
    with pytest.raises(Fatal, match="private_key cannot sign PS256") as caught:
        async with open_with(private_key="-----BEGIN NOTHING-----"):
            pass
    assert "NOTHING" not in str(caught.value)


async def test_a_strangers_key_is_refused(open_with: OpenWith) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = stranger.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    async with open_with(private_key=pem) as opened:
        with pytest.raises(Fatal, match="refused the login"):
            await ask(opened)


async def test_an_expired_token_is_renewed_once(simulator: NetSuiteSimulator, opened: Opened) -> None:
    await ask(opened)
    first = dict(simulator.memory["tokens"])
    simulator.acts()["expire_tokens"]()
    await ask(opened)
    assert len(simulator.memory["tokens"]) == 1
    assert simulator.memory["tokens"].keys().isdisjoint(first)


async def test_calls_that_wait_for_the_same_token_share_a_login(
    simulator: NetSuiteSimulator, opened: Opened
) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(ask, opened)
    assert len(simulator.memory["tokens"]) == 1


# What the token endpoint refuses


@pytest.mark.parametrize(
    ("changes", "header", "error"),
    [
        pytest.param({}, {}, None, id="a sound assertion is taken"),
        pytest.param({"aud": "https://elsewhere/token"}, {}, "invalid_grant", id="another audience"),
        pytest.param({"iat": -7200, "exp": -3600}, {}, "invalid_grant", id="expired"),
        pytest.param({"exp": 7200}, {}, "invalid_grant", id="valid for more than an hour"),
        pytest.param({"iss": "someone"}, {}, "invalid_client", id="another issuer"),
        pytest.param({"scope": "everything"}, {}, "invalid_scope", id="an unknown scope"),
        pytest.param({"scope": ["rest_webservices", "restlets"]}, {}, None, id="scopes as a list"),
        pytest.param({}, {"alg": "RS256"}, "invalid_grant", id="RS256 is not accepted"),
        pytest.param({}, {"kid": "unknown"}, "invalid_grant", id="an unknown certificate"),
    ],
)
async def test_the_token_endpoint(
    changes: dict[str, Any],
    header: dict[str, str],
    error: str | None,
    simulator: NetSuiteSimulator,
    ctx: FakeContext,
) -> None:
    held = simulator.credentials()
    now = ctx.now().timestamp()
    claims: dict[str, Any] = {
        "iss": held["client_id"],
        "scope": "rest_webservices",
        "aud": simulator.base_url + TOKEN_PATH,
        "iat": now,
        "exp": now + 300,
    } | {name: now + value if name in ("iat", "exp") else value for name, value in changes.items()}
    signed = jwt.encode(
        claims,
        held["private_key"],
        algorithm=header.get("alg", "PS256"),
        headers={"kid": header.get("kid", held["certificate_id"])},
    )
    reply = await trade(simulator, client_assertion=signed)
    if error is None:
        assert reply.json()["access_token"] in simulator.memory["tokens"]
        assert reply.json()["expires_in"] == "3600"
    else:
        assert reply.status in (400, 401)
        assert reply.json() == {"error": error}


async def test_a_token_lives_an_hour(
    simulator: NetSuiteSimulator, settings_of: SettingsOf, ctx: FakeContext, clock: Any
) -> None:
    signed = Assertions(settings_of()).made(ctx.now())
    token = (await trade(simulator, client_assertion=signed)).json()["access_token"]
    clock.advance(timedelta(minutes=59).total_seconds())
    assert (await get(simulator, token)).status == 200
    clock.advance(timedelta(minutes=2).total_seconds())
    assert (await get(simulator, token)).status == 401


async def test_a_signature_is_taken_once(simulator: NetSuiteSimulator, settings_of: SettingsOf) -> None:
    url = f"{simulator.base_url}/services/rest/record/v1/currency/1"
    signer = TokenBased(settings_of(auth="tba"), simulator.now)
    headers = dict(await signer.headers("GET", url))
    async with open_http(simulator.base_url) as http:
        first = await http.get("/services/rest/record/v1/currency/1", headers=headers)
        again = await http.get("/services/rest/record/v1/currency/1", headers=headers)
    assert (first.status, again.status) == (200, 401)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"private_key": None}, "also needs private_key", id="oauth2 without its key"),
        pytest.param(
            {"auth": "tba", "tba_token_id": None}, "also needs tba_token_id", id="tba without a token"
        ),
        pytest.param({"account_time_zone": "Mars"}, "no IANA zone", id="an unknown time zone"),
        pytest.param({"page_size": 1001}, "page_size", id="a page larger than NetSuite gives"),
        pytest.param({"subsidiary": "1"}, "unknown field `subsidiary`", id="a misspelt setting"),
    ],
)
async def test_settings_that_are_refused(
    changes: dict[str, Any], words: str, settings_of: SettingsOf
) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        settings_of(**changes)


def test_the_host_is_made_of_the_account() -> None:
    made = NetSuiteSettings(
        account="1234567_SB1",
        auth="tba",
        **dict.fromkeys(  # type: ignore[arg-type]
            ["tba_consumer_key", "tba_consumer_secret", "tba_token_id", "tba_token_secret"], "x"
        ),
    )
    assert made.origin == "https://1234567-sb1.suitetalk.api.netsuite.com"


async def trade(simulator: NetSuiteSimulator, **form: str) -> Reply:
    given = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, **form}
    async with open_http(simulator.base_url) as http:
        return await http.request("POST", TOKEN_PATH, form=given)


async def get(simulator: NetSuiteSimulator, token: str) -> Reply:
    async with open_http(simulator.base_url) as http:
        return await http.get(
            "/services/rest/record/v1/currency/1", headers={"authorization": f"Bearer {token}"}
        )
