"""Who calls, and whether they may: the bearer token of a request."""

from collections.abc import Callable, Iterable
from datetime import datetime

from isthmus.ops.tokens import identify, token_id
from isthmus.services.problems import Problems
from isthmus.store import services
from isthmus.store.face import Store

__all__ = ["Door", "check_scope", "given_token"]


class Door:
    """Lets callers in. The token's row is read each time, so that a revoked one opens nothing any more."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def admit(self, headers: Iterable[tuple[bytes, bytes]]) -> services.Token:
        """The caller's token.

        Raises:
            Problems: there is none, or it is not valid (any more).
        """
        given = given_token(headers)
        number = token_id(given)
        row = None if number is None else await self._store.read(lambda tx: services.token(tx, number))
        if not identify(given, row) or row is None:
            raise _unauthorized("bad-token", "this is no token of ours; 'isthmus api token new' makes one")
        if row.revoked_at is not None:
            raise _unauthorized("revoked-token", f"the token {row.name} was revoked")
        if row.expires_at <= self._now():
            at = f"{row.expires_at:%Y-%m-%d %H:%M} UTC"
            raise _unauthorized("expired-token", f"the token {row.name} expired on {at}")
        return row


def check_scope(token: services.Token, scope: str) -> None:
    """Refuse a token that does not have the scope.

    Raises:
        Problems: it has others.
    """
    if scope in token.scopes:
        return
    challenge = f'Bearer realm="isthmus", error="insufficient_scope", scope="{scope}"'
    detail = f"this needs {scope}; the token {token.name} has {', '.join(token.scopes)}"
    raise Problems("missing-scope", detail, headers={"www-authenticate": challenge})


def given_token(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """What stands behind ``Bearer`` in the one Authorization header, whatever bytes that are.

    Raises:
        Problems: there is no such header, or more than one, or it is of another scheme.
    """
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        raise _unauthorized("no-token", "send a token in the header Authorization: Bearer ...", asked=True)
    scheme, _, token = found[0].partition(b" ")
    if len(found) > 1 or scheme.lower() != b"bearer":
        raise _unauthorized("bad-token", "there must be one Authorization header, and it must say Bearer")
    return token.strip(b" ")


def _unauthorized(code: str, detail: str, *, asked: bool = False) -> Problems:
    challenge = 'Bearer realm="isthmus"' + ("" if asked else ', error="invalid_token"')
    return Problems(code, detail, headers={"www-authenticate": challenge})
