"""Logging in: OAuth 2.0 client credentials with a signed assertion, or token-based (OAuth 1.0a)."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import jwt
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA256
from oauthlib.oauth1 import Client as OAuth1Client

from isthmus.sdk import Fatal, Http, Reply, Retryable, Secret
from isthmus_netsuite.settings import NetSuiteSettings

TOKEN_PATH = "/services/rest/auth/oauth2/v1/token"  # noqa: S105  a path
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFE = timedelta(minutes=5)


class Assertions:
    """Signs the JWTs that stand for the client's secret; the key is read once."""

    def __init__(self, settings: NetSuiteSettings) -> None:
        """Read the key.

        Raises:
            Fatal: the private key does not fit the algorithm, or is no PEM.
        """
        self._settings = settings
        try:
            self._algorithm = jwt.get_algorithm_by_name(settings.algorithm)
            self._key = self._algorithm.prepare_key((settings.private_key or Secret("")).reveal())
            self._algorithm.sign(b"", self._key)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise Fatal(
                f"private_key cannot sign {settings.algorithm}: {type(error).__name__}; give the PEM of the "
                "certificate's private key (RSA for PS..., EC for ES...)"
            ) from None

    def made(self, now: datetime) -> str:
        """An assertion that is valid for some minutes."""
        claims = {
            "iss": self._settings.client_id,
            "scope": "rest_webservices",
            "aud": self._settings.origin + TOKEN_PATH,
            "iat": int(now.timestamp()),
            "exp": int((now + ASSERTION_LIFE).timestamp()),
        }
        return jwt.encode(
            claims,
            self._key,
            algorithm=self._settings.algorithm,
            headers={"kid": self._settings.certificate_id},
        )


def login(http: Http, assertions: Assertions, now: Callable[[], datetime]) -> Callable[[], Awaitable[str]]:
    """A function that trades a fresh assertion for an access token (60 minutes, no refresh token)."""

    async def fetch() -> str:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertions.made(now()),
        }
        reply = await http.request("POST", TOKEN_PATH, form=form, write=False)
        if reply.status in (400, 401, 403):
            raise Fatal(
                "NetSuite refused the login; check client_id, certificate_id, private_key, the role's "
                "permission 'Log in using OAuth 2.0 Access Tokens' and this machine's clock",
                peer_words=reply.words(),
            )
        if not reply.ok:
            raise Retryable(f"the token endpoint answered {reply.status}", peer_words=reply.words())
        token = reply.json().get("access_token")
        if not isinstance(token, str) or not token:
            raise Retryable("the token endpoint answered without an access_token")
        return token

    return fetch


class TokenBased:
    """Signs each request; there is nothing to renew.

    Query parameters are part of what is signed, so they must be in the URL, not beside it.
    """

    def __init__(self, settings: NetSuiteSettings, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._now = now

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        s = self._settings
        assert s.tba_consumer_key and s.tba_consumer_secret and s.tba_token_id and s.tba_token_secret
        client = OAuth1Client(
            s.tba_consumer_key.reveal(),
            client_secret=s.tba_consumer_secret.reveal(),
            resource_owner_key=s.tba_token_id.reveal(),
            resource_owner_secret=s.tba_token_secret.reveal(),
            signature_method=SIGNATURE_HMAC_SHA256,
            realm=s.account,
            timestamp=str(int(self._now().timestamp())),
        )
        _, headers, _ = client.sign(url, http_method=method)
        return {"authorization": str(headers["Authorization"])}

    def refused(self, reply: Reply) -> bool:
        return False

    def renew(self) -> None:
        """Nothing is cached."""
