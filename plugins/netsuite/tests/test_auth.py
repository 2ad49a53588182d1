"""Logging in, both ways, against an account that checks."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import cache
from typing import Any

import jwt
import msgspec
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA1, SIGNATURE_HMAC_SHA256, SIGNATURE_PLAINTEXT
from oauthlib.oauth1 import Client as OAuth1Client

from isthmus.sdk import Fatal, Opened, Reply, Secret
from isthmus.sdk.http import open_http
from isthmus.sdk.testing import FakeContext
from isthmus_netsuite.auth import ASSERTION_TYPE, TOKEN_PATH, Assertions
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


@cache
def stranger_key() -> str:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return stranger.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_a_strangers_key_is_refused(open_with: OpenWith) -> None:
    async with open_with(private_key=stranger_key()) as opened:
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
        pytest.param({}, {"alg": "PS384"}, None, id="PS384"),
        pytest.param({}, {"alg": "none"}, "invalid_grant", id="no signature"),
        pytest.param({}, {"key": "stranger"}, "invalid_grant", id="another key"),
        pytest.param({"aud": None}, {}, "invalid_grant", id="no audience"),
        pytest.param({"exp": None}, {}, "invalid_grant", id="no end"),
        pytest.param({"iat": 3600, "exp": 3900}, {}, "invalid_grant", id="from the future"),
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
    }
    for name, value in changes.items():
        claims[name] = now + value if name in ("iat", "exp") and value is not None else value
    claims = {name: value for name, value in claims.items() if value is not None}
    algorithm = header.get("alg", "PS256")
    key: str = stranger_key() if "key" in header else held["private_key"]
    signed = jwt.encode(
        claims,
        "" if algorithm == "none" else key,
        algorithm=algorithm,
        headers={"kid": header.get("kid", held["certificate_id"])},
    )
    reply = await trade(simulator, client_assertion=signed)
    if error is None:
        assert reply.json()["access_token"] in simulator.memory["tokens"]
        assert reply.json()["expires_in"] == "3600"
    else:
        assert reply.status in (400, 401)
        assert reply.json() == {"error": error}


async def test_a_public_key_is_no_shared_secret(simulator: NetSuiteSimulator, ctx: FakeContext) -> None:
    """The confusion of algorithms: everybody may know the certificate, and HMAC would take it as the key."""
    held = simulator.credentials()
    public = simulator.memory["certificates"][held["certificate_id"]]
    now = int(ctx.now().timestamp())
    claims = {
        "iss": held["client_id"],
        "scope": "rest_webservices",
        "aud": simulator.base_url + TOKEN_PATH,
        "iat": now,
        "exp": now + 300,
    }
    parts = [{"alg": "HS256", "typ": "JWT", "kid": held["certificate_id"]}, claims]
    signing = b".".join(urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=") for part in parts)
    signature = urlsafe_b64encode(hmac.digest(public.encode(), signing, "sha256")).rstrip(b"=")
    reply = await trade(simulator, client_assertion=(signing + b"." + signature).decode())
    assert (reply.status, reply.json()) == (400, {"error": "invalid_grant"})


async def test_a_token_lives_an_hour(
    simulator: NetSuiteSimulator, settings_of: SettingsOf, ctx: FakeContext, clock: Any
) -> None:
    signed = Assertions(settings_of()).made(ctx.now())
    token = (await trade(simulator, client_assertion=signed)).json()["access_token"]
    clock.advance(timedelta(minutes=59).total_seconds())
    assert (await get(simulator, token)).status == 200
    clock.advance(timedelta(minutes=2).total_seconds())
    assert (await get(simulator, token)).status == 401


# What a signed request must be (OAuth 1.0a, signed by oauthlib)

CURRENCY = "/services/rest/record/v1/currency/1"


@pytest.mark.parametrize(
    ("changes", "sent", "status"),
    [
        pytest.param({}, {}, 200, id="signed as it should be"),
        pytest.param({}, {"query": "?fields=symbol"}, 200, id="its query is signed too"),
        pytest.param({"client_secret": "wrong"}, {}, 401, id="another consumer secret"),
        pytest.param({"resource_owner_secret": "wrong"}, {}, 401, id="another token secret"),
        pytest.param({"client_key": "wrong"}, {}, 401, id="another consumer"),
        pytest.param({"resource_owner_key": "wrong"}, {}, 401, id="another token"),
        pytest.param({"realm": "1234567-sb1"}, {}, 401, id="the host's spelling of the account as realm"),
        pytest.param({"realm": None}, {}, 401, id="no realm"),
        pytest.param({"timestamp": -301}, {}, 401, id="a time five minutes old"),
        pytest.param({"timestamp": 301}, {}, 401, id="a time to come"),
        pytest.param({"timestamp": -299}, {}, 200, id="a clock that is a little off"),
        pytest.param({"signature_method": SIGNATURE_HMAC_SHA1}, {}, 401, id="HMAC-SHA1"),
        pytest.param({"signature_method": SIGNATURE_PLAINTEXT}, {}, 401, id="the secrets in clear"),
        pytest.param({}, {"path": "/services/rest/record/v1/currency/2"}, 401, id="sent to another path"),
        pytest.param({}, {"add": "?fields=name"}, 401, id="a query added on the way"),
        pytest.param({}, {"method": "DELETE"}, 401, id="another method"),
    ],
)
async def test_a_signed_request(
    changes: dict[str, Any],
    sent: dict[str, str],
    status: int,
    simulator: NetSuiteSimulator,
    ctx: FakeContext,
) -> None:
    reply = await signed_call(simulator, ctx, changes, **sent)
    assert reply.status == status
    if status == 401:
        assert reply.json()["o:errorDetails"][0]["o:errorCode"] == "INVALID_LOGIN"


async def test_a_nonce_is_taken_once(simulator: NetSuiteSimulator, ctx: FakeContext) -> None:
    statuses = [(await signed_call(simulator, ctx, {"nonce": nonce})).status for nonce in ("a", "b", "a")]
    assert statuses == [200, 200, 401]


async def test_a_refused_request_does_not_use_up_its_nonce(
    simulator: NetSuiteSimulator, ctx: FakeContext
) -> None:
    """Else a stranger could shut out the requests of others by guessing ahead."""
    forged = {"nonce": "a", "client_secret": "wrong"}
    assert (await signed_call(simulator, ctx, forged)).status == 401
    assert (await signed_call(simulator, ctx, {"nonce": "a"})).status == 200


async def test_every_call_of_the_connector_has_a_nonce_of_its_own(
    simulator: NetSuiteSimulator, open_with: OpenWith
) -> None:
    async with open_with(auth="tba") as opened:
        for _ in range(3):
            await ask(opened)
    assert len(simulator.memory["nonces"]) >= 3


async def signed_call(
    simulator: NetSuiteSimulator, ctx: FakeContext, changes: dict[str, Any], **sent: str
) -> Reply:
    """One call, signed by oauthlib with ``changes``; ``timestamp`` is seconds from now."""
    tba = simulator.memory["tba"]
    stamp = int(ctx.now().timestamp()) + changes.get("timestamp", 0)
    given: dict[str, Any] = {
        "client_key": tba["consumer_key"],
        "client_secret": tba["consumer_secret"],
        "resource_owner_key": tba["token_id"],
        "resource_owner_secret": tba["token_secret"],
        "signature_method": SIGNATURE_HMAC_SHA256,
        "realm": "1234567_SB1",
        **changes,
        "timestamp": str(stamp),
    }
    query = sent.get("query", "")
    _, headers, _ = OAuth1Client(**given).sign(simulator.base_url + CURRENCY + query, http_method="GET")
    path = sent.get("path", CURRENCY) + query + sent.get("add", "")
    async with open_http(simulator.base_url) as http:
        return await http.request(
            sent.get("method", "GET"), path, headers={"authorization": str(headers["Authorization"])}
        )


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
