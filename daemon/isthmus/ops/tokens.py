"""Tokens of those who call the services: made, listed, revoked, and told from what is none.

A token is ``isthmus_<id>_<secret>``. The id finds its row; the secret has 256 random bits, so one plain
digest of the whole is enough at rest, and a slow one would only help whoever floods us with wrong tokens.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from isthmus.ops.errors import NotFound, Refused
from isthmus.store import audit, services
from isthmus.store.face import Store, Tx

__all__ = [
    "SCOPES",
    "Issued",
    "Scope",
    "TokenDesk",
    "TokenLine",
    "TokenOrder",
    "identify",
    "mint",
    "token_id",
]

Scope = Literal[
    "projects:read",
    "time:read",
    "time:submit",
    "contracts:submit",
    "forecast:submit",
    "invoices:read",
    "feed:read",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)

TTL_MAX = timedelta(days=400)
"""A year, and time to replace it."""
_FORM = re.compile(rb"isthmus_([0-9a-f]{12})_[0-9a-f]{64}")
_NOBODY = bytes(32)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class TokenOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token that somebody asks for."""

    name: str
    """Who calls; it stands in the audit trail."""
    scopes: list[str]
    ttl_s: Annotated[float, Meta(gt=0)]
    source: str | None = None
    """The submitter, part of the keys of what it submits; the name where not given."""


class RevokeOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token that is to open nothing any more."""

    name: str
    why: str = ""


class TokenLine(msgspec.Struct, frozen=True, kw_only=True):
    """One token in a list; ``state`` is valid, expired or revoked."""

    name: str
    id: str
    source: str
    scopes: list[str]
    state: str
    expires_at: datetime
    created_at: datetime
    created_by: str
    revoked_at: datetime | None
    revoked_by: str


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A new token. Its text is nowhere else, and is not shown again."""

    name: str
    token: str
    expires_at: datetime


def mint() -> tuple[str, str]:
    """A new token: its id and its text."""
    number = secrets.token_hex(6)
    return number, f"isthmus_{number}_{secrets.token_hex(32)}"


def token_id(given: bytes) -> str | None:
    """The id of something that has the form of a token; None for anything else."""
    found = _FORM.fullmatch(given)
    return None if found is None else found[1].decode()


def digest_of(given: bytes) -> bytes:
    return hashlib.sha256(given).digest()


def identify(given: bytes, row: services.Token | None) -> bool:
    """Whether ``given`` is the token of a row; it takes as long where there is no row."""
    kept = _NOBODY if row is None else row.digest
    return hmac.compare_digest(digest_of(given), kept) and row is not None


class TokenDesk:
    """What an admin does about tokens; every act is in the audit trail."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def issue(self, order: TokenOrder, *, by: str) -> Issued:
        """Make a token.

        Raises:
            Refused: the name is in use, or what is asked for makes no token.
        """
        _check(order)
        ttl, at = timedelta(seconds=order.ttl_s), self._now()
        number, text = mint()
        token = services.Token(
            id=number,
            name=order.name,
            source=order.source or order.name,
            scopes=sorted(set(order.scopes)),
            digest=digest_of(text.encode()),
            created_at=at,
            created_by=by,
            expires_at=at + ttl,
        )

        def unit(tx: Tx) -> bool:
            if services.token_named(tx, token.name) is not None:
                return False
            services.add_token(tx, token)
            detail = {"token": number, "name": token.name, "source": token.source, "scopes": token.scopes}
            audit.append(tx, by, "token.issued", detail, at)
            return True

        if not await self._store.write(unit):
            raise Refused(f"there is a token {token.name!r} already; revoke it, or choose another name")
        return Issued(name=token.name, token=text, expires_at=token.expires_at)

    async def list(self) -> Sequence[TokenLine]:
        """Every token there ever was, by name."""
        at = self._now()
        return [
            TokenLine(
                name=each.name,
                id=each.id,
                source=each.source,
                scopes=each.scopes,
                state="revoked" if each.revoked_at else "expired" if each.expires_at <= at else "valid",
                expires_at=each.expires_at,
                created_at=each.created_at,
                created_by=each.created_by,
                revoked_at=each.revoked_at,
                revoked_by=each.revoked_by,
            )
            for each in await self._store.read(services.tokens)
        ]

    async def revoke(self, name: str, *, by: str, why: str) -> None:
        """Take a token back; it opens nothing from the next request on.

        Args:
            name: The token's name, or its id.

        Raises:
            NotFound: there is no such token, or it was revoked before.
        """
        at = self._now()

        def unit(tx: Tx) -> bool:
            found = services.token_named(tx, name) or services.token(tx, name)
            if found is None or not services.revoke_token(tx, found.id, by, at):
                return False
            detail = {"token": found.id, "name": found.name, "reason": why}
            audit.append(tx, by, "token.revoked", detail, at)
            return True

        if not await self._store.write(unit):
            raise NotFound(f"no token {name!r} to revoke; 'isthmus api token list' shows them")


def _check(order: TokenOrder) -> None:
    for name in (order.name, order.source):
        if name is not None and not _NAME.fullmatch(name):
            raise Refused(f"{name!r} cannot be a name; use lower-case letters, digits and dashes")
    strange = sorted(set(order.scopes) - set(SCOPES))
    if strange or not order.scopes:
        wrong = f"there is no scope {strange[0]!r}" if strange else "a token without a scope opens nothing"
        raise Refused(f"{wrong}; scopes are {', '.join(SCOPES)}")
    if order.ttl_s > TTL_MAX.total_seconds():
        raise Refused(f"a token lives {TTL_MAX.days} days at most; make a new one before it ends")
