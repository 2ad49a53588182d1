"""Who may call: access tokens for signed assertions, and OAuth 1.0a signatures."""

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from oauthlib.common import Request as SignedRequest
from oauthlib.oauth1.rfc5849 import signature
from starlette.responses import JSONResponse, Response

from isthmus_netsuite.auth import ASSERTION_TYPE, TOKEN_PATH
from isthmus_netsuite.simulator.problems import invalid_login

ALGORITHMS = ["PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
SCOPES = {"rest_webservices", "restlets", "suite_analytics"}
TOKEN_LIFE = timedelta(minutes=60)
CLOCK_SKEW_S = 300


@cache
def key_pair() -> tuple[str, str]:
    """PEMs of a private and a public key, made once per process: NetSuite asks for RSA of 3072 bits."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return secret.decode(), public.decode()


class Gate:
    """Checks credentials against what ``memory`` holds: certificates, tokens given, nonces seen."""

    def __init__(
        self, memory: Callable[[], dict[str, Any]], now: Callable[[], datetime], rng: random.Random
    ) -> None:
        self._memory = memory
        self._now = now
        self._random = rng

    def setup(self) -> None:
        """The integration record and its credentials."""
        private, public = key_pair()
        names = ("consumer_key", "consumer_secret", "token_id", "token_secret")
        self._memory().update(
            client_id=self._word(),
            private_key=private,
            certificates={self._word()[:40]: public},
            tokens={},
            nonces={},
            tba={name: self._word() for name in names},
        )

    def _word(self) -> str:
        return f"{self._random.getrandbits(256):064x}"

    def trade(self, raw: bytes, audiences: set[str]) -> Response:
        """The token endpoint: an access token for a client assertion."""
        form = dict(parse_qsl(raw.decode("utf-8", "replace")))
        if form.get("grant_type") != "client_credentials":
            return _refused("unsupported_grant_type", 400)
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            return _refused("invalid_request", 400)
        try:
            claims = self._claims(form.get("client_assertion", ""), audiences)
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            return _refused("invalid_grant", 400)
        if claims.get("iss") != self._memory()["client_id"]:
            return _refused("invalid_client", 401)
        scope = claims.get("scope", "")
        wanted = set(scope if isinstance(scope, list) else str(scope).replace(" ", ",").split(","))
        if not wanted or not wanted <= SCOPES:
            return _refused("invalid_scope", 400)
        token = f"{self._random.getrandbits(384):096x}"
        tokens = self._memory()["tokens"]
        now = self._now()
        for old in [old for old, until in tokens.items() if datetime.fromisoformat(until) <= now]:
            del tokens[old]
        tokens[token] = (now + TOKEN_LIFE).isoformat()
        return JSONResponse(
            {"access_token": token, "expires_in": "3600", "token_type": "bearer"},
            headers={"cache-control": "no-store"},
        )

    def token_info(self) -> dict[str, Any]:
        """Who calls: account, role and user of the token."""
        return {
            "companyId": self._memory()["account"],
            "companyName": "Simulated account",
            "roleName": "Isthmus",
            "roleId": 1000,
            "userId": 1,
            "scope": ["restlets", "rest_webservices"],
        }

    def _claims(self, assertion: str, audiences: set[str]) -> dict[str, Any]:
        """The claims of an assertion that is signed, meant for us, and valid now for an hour at most."""
        kid = jwt.get_unverified_header(assertion)["kid"]
        public = self._memory()["certificates"][kid]
        claims: dict[str, Any] = jwt.decode(
            assertion,
            public,
            algorithms=ALGORITHMS,
            audience=list(audiences),
            options={"require": ["iss", "aud", "iat", "exp"], "verify_exp": False, "verify_iat": False},
        )
        now = self._now().timestamp()
        issued, expires = float(claims["iat"]), float(claims["exp"])
        if not (issued - CLOCK_SKEW_S <= now < expires) or expires - issued > 3600:
            raise ValueError("not valid now")
        return claims

    def check(self, method: str, urls: list[str], headers: Mapping[str, str]) -> None:
        """Let a request with a valid token or signature pass.

        Args:
            urls: under which the client may have signed it; behind a TLS proxy the scheme is not ours.

        Raises:
            Problem: 401.
        """
        given = headers.get("authorization", "")
        if given.lower().startswith("bearer "):
            until = self._memory()["tokens"].get(given[7:].strip())
            if until is not None and datetime.fromisoformat(until) > self._now():
                return
        elif given.lower().startswith("oauth ") and self._signed(method, urls, given):
            return
        raise invalid_login()

    def _signed(self, method: str, urls: list[str], given: str) -> bool:
        pairs = [part.strip().partition("=") for part in given[6:].split(",")]
        sent = {name: unquote(value.strip('"')) for name, _, value in pairs}
        tba, nonces = self._memory()["tba"], self._memory()["nonces"]
        account = str(self._memory()["account"])
        stamp = sent.get("oauth_timestamp", "")
        if (
            sent.get("realm") != account
            or sent.get("oauth_consumer_key") != tba["consumer_key"]
            or sent.get("oauth_token") != tba["token_id"]
            or sent.get("oauth_signature_method") != "HMAC-SHA256"
            or not stamp.isdecimal()
            or abs(self._now().timestamp() - int(stamp)) > CLOCK_SKEW_S
            or sent.get("oauth_nonce", "") in nonces
        ):
            return False
        for url in urls:
            params = signature.collect_parameters(
                uri_query=url.partition("?")[2], headers={"Authorization": given}, with_realm=False
            )
            request = SignedRequest(url, http_method=method)
            request.signature = sent.get("oauth_signature")
            request.params = params
            if signature.verify_hmac_sha256(request, tba["consumer_secret"], tba["token_secret"]):
                nonces[sent["oauth_nonce"]] = int(stamp)
                for old in [nonce for nonce, at in nonces.items() if at < int(stamp) - 2 * CLOCK_SKEW_S]:
                    del nonces[old]
                return True
        return False


def token_urls(bases: list[str]) -> set[str]:
    return {base + TOKEN_PATH for base in bases}


def _refused(error: str, status: int) -> Response:
    return JSONResponse({"error": error}, status_code=status)
