"""OAuth of the fake org: JWT bearer and client credentials, sessions, userinfo."""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from html import unescape
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ORGANIZATION_ID = "00D5g000000isthEAA"
USER_ID = "0055g0000000001AAA"
PERSON_ID = "0055g0000000002AAA"
USERNAME = "integration@isthmus.example"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:sf="urn:fault.partner.soap.sforce.com"><soapenv:Body>"""
_ELEMENT = re.compile(r"<(?:\w+:)?(username|password)>([^<]*)<")
ASSERTION_MAX_S = 360
"""Clients give an assertion three to five minutes; their clock may be a minute ahead."""
LOGIN_HOSTS = ("login.salesforce.com", "test.salesforce.com")
MY_DOMAIN = "isthmus-dev-ed.my.salesforce.com"


class LoginRefused(Exception):
    """The token endpoint says no: an error word and its description."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.status = status


class Login:
    """Who may come in. Keys and sessions live in ``memory``, so that they outlast a restart."""

    def __init__(self, memory: dict[str, Any], now: Callable[[], datetime]) -> None:
        self.memory = memory
        self._now = now

    @property
    def private_key(self) -> str:
        """PEM of the key whose public half the org's app knows; made on first use."""
        if "private_key" not in self.memory:
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            self.memory["private_key"] = key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode()
        return str(self.memory["private_key"])

    @property
    def client_id(self) -> str:
        return str(self.memory.setdefault("client_id", "3MVG9" + secrets.token_hex(20)))

    @property
    def client_secret(self) -> str:
        return str(self.memory.setdefault("client_secret", secrets.token_hex(32).upper()))

    def token(self, body: bytes, headers: Mapping[str, str], base_url: str) -> dict[str, Any]:
        """Answer a token request.

        Args:
            base_url: Where this org is served; also a right audience of an assertion.

        Raises:
            LoginRefused: with the words of the token endpoint.
        """
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        host = headers.get("host", "").partition(":")[0].lower()
        match form.get("grant_type"):
            case g if g == JWT_BEARER:
                self._check_assertion(form.get("assertion", ""), base_url)
            case "client_credentials":
                if host in LOGIN_HOSTS:
                    raise LoginRefused("invalid_grant", "request not supported on this domain")
                self._check_client(form, headers.get("authorization", ""))
            case "password":
                raise LoginRefused("invalid_grant", "authentication failure")
            case _:
                raise LoginRefused("unsupported_grant_type", "grant type not supported")
        instance_url = f"https://{MY_DOMAIN}" if host.endswith(".salesforce.com") else base_url
        identity = f"{instance_url}/id/{ORGANIZATION_ID}/{USER_ID}"
        token = self._session()
        issued_at = str(int(self._now().timestamp() * 1000))
        digest = hashlib.sha256(f"{self.client_secret}{identity}{issued_at}".encode()).digest()
        return {
            "access_token": token,
            "signature": base64.b64encode(digest).decode(),
            "scope": "api",
            "instance_url": instance_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }

    def user_of(self, authorization: str) -> str | None:
        """The user of a session, from an Authorization header."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() not in ("bearer", "oauth"):
            return None
        found = self.memory.get("sessions", {}).get(token)
        return None if found is None else str(found)

    def allow_password(self) -> tuple[str, str]:
        """Open the org for SOAP login(); returns password and security token."""
        if "password" not in self.memory:
            self.memory["password"] = [secrets.token_urlsafe(12), secrets.token_urlsafe(18)]
        password, token = self.memory["password"]
        return password, token

    def soap(self, body: bytes, host: str, base_url: str) -> tuple[int, str]:
        """Status and envelope of SOAP login(); off until somebody allows it.

        Args:
            host: by which name the client came.
        """
        if "password" not in self.memory:
            return 500, _fault("INVALID_OPERATION", "SOAP API login() is disabled by default in this org.")
        asked = {name: unescape(text) for name, text in _ELEMENT.findall(body.decode("utf-8", "replace"))}
        given = f"{asked.get('username')}\n{asked.get('password')}"
        if not secrets.compare_digest(
            given.encode(), f"{USERNAME}\n{''.join(self.allow_password())}".encode()
        ):
            return 500, _fault(
                "INVALID_LOGIN", "Invalid username, password, security token; or user locked out."
            )
        token = self._session()
        instance = f"https://{MY_DOMAIN}" if host.endswith(".salesforce.com") else base_url
        return 200, (
            f"{_ENVELOPE}<loginResponse><result><passwordExpired>false</passwordExpired>"
            f"<serverUrl>{instance}/services/Soap/u/59.0/{ORGANIZATION_ID[:15]}</serverUrl>"
            f"<sessionId>{token}</sessionId><userId>{USER_ID}</userId></result></loginResponse>"
            "</soapenv:Body></soapenv:Envelope>"
        )

    def _session(self) -> str:
        token = f"{ORGANIZATION_ID[:15]}!{secrets.token_urlsafe(60)}"
        self.memory.setdefault("sessions", {})[token] = USER_ID
        return token

    def expire(self) -> int:
        """End all sessions; returns how many there were."""
        sessions: dict[str, str] = self.memory.get("sessions", {})
        self.memory["sessions"] = {}
        return len(sessions)

    def _check_assertion(self, assertion: str, base_url: str) -> None:
        audience = [f"https://{host}" for host in (*LOGIN_HOSTS, MY_DOMAIN)] + [base_url]
        required = ["iss", "sub", "aud", "exp"]
        try:
            claims = jwt.decode(
                assertion,
                _public_key(self.private_key),
                algorithms=["RS256"],
                audience=audience,
                options={"require": required, "verify_iat": False, "verify_exp": False},
            )
            expires_at = float(claims["exp"])
        except jwt.InvalidAudienceError:
            raise LoginRefused("invalid_grant", "audience is invalid") from None
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise LoginRefused("invalid_grant", "invalid assertion") from None
        if claims["iss"] != self.client_id:
            raise LoginRefused("invalid_client_id", "client identifier invalid")
        if claims["sub"] != USERNAME:
            raise LoginRefused("invalid_grant", "user hasn't approved this consumer")
        lives_s = expires_at - self._now().timestamp()
        if lives_s < 0:
            raise LoginRefused("invalid_grant", "expired authorization code")
        if lives_s > ASSERTION_MAX_S:
            raise LoginRefused("invalid_grant", "invalid assertion")

    def _check_client(self, form: dict[str, str], authorization: str) -> None:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization.lower().startswith("basic "):
            try:
                client_id, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise LoginRefused("invalid_client", "invalid client credentials") from None
        if client_id != self.client_id:
            raise LoginRefused("invalid_client_id", "client identifier invalid")
        if not secrets.compare_digest(secret.encode(), self.client_secret.encode()):
            raise LoginRefused("invalid_client", "invalid client credentials")


@cache
def _public_key(private_key: str) -> rsa.RSAPublicKey:
    private = serialization.load_pem_private_key(private_key.encode(), password=None)
    assert isinstance(private, rsa.RSAPrivateKey), "made here"
    return private.public_key()


def _fault(code: str, message: str) -> str:
    return (
        f"{_ENVELOPE}<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{message}</faultstring>"
        f"<detail><sf:LoginFault><sf:exceptionCode>{code}</sf:exceptionCode>"
        f"<sf:exceptionMessage>{message}</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>"
        "</soapenv:Body></soapenv:Envelope>"
    )


def userinfo(user: dict[str, Any], instance_url: str) -> dict[str, Any]:
    """What ``/services/oauth2/userinfo`` tells of the user of a session."""
    return {
        "sub": f"{instance_url}/id/{ORGANIZATION_ID}/{user['Id']}",
        "user_id": user["Id"],
        "organization_id": ORGANIZATION_ID,
        "preferred_username": user["Username"],
        "name": user["Name"],
        "email": user["Email"],
        "zoneinfo": user["TimeZoneSidKey"],
        "active": user["IsActive"],
        "user_type": "STANDARD",
        "urls": {
            "rest": f"{instance_url}/services/data/v{{version}}/",
            "query": f"{instance_url}/services/data/v{{version}}/query/",
            "sobjects": f"{instance_url}/services/data/v{{version}}/sobjects/",
        },
    }
