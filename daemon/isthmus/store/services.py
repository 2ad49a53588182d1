"""Tokens of callers, and what they were answered under their idempotency keys."""

import json
from collections.abc import Sequence
from datetime import datetime

import msgspec

from isthmus.store.face import Row, Tx
from isthmus.store.instants import from_text, maybe_from_text

FORGET_AT_ONCE = 20
"""Old answers that one new one takes away: more than one, so that they never pile up."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One token; its text is known to its holder only."""

    id: str
    name: str
    source: str
    """The submitter; several tokens may be of one, so that a token can be replaced."""
    scopes: list[str]
    digest: bytes
    """SHA-256 of the token's text."""
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered, and a digest of the question."""

    fingerprint: bytes
    status: int
    body: bytes


def add_token(tx: Tx, token: Token) -> None:
    tx.run(
        "api_token_add",
        id=token.id,
        name=token.name,
        source=token.source,
        scopes=json.dumps(token.scopes),
        digest=token.digest,
        now=token.created_at,
        by=token.created_by,
        expires_at=token.expires_at,
    )


def token(tx: Tx, token_id: str) -> Token | None:
    row = tx.one("api_token_get", id=token_id)
    return None if row is None else _token(row)


def token_named(tx: Tx, name: str) -> Token | None:
    """The one that has the name now; a revoked one has it no more."""
    row = tx.one("api_token_named", name=name)
    return None if row is None else _token(row)


def tokens(tx: Tx) -> Sequence[Token]:
    """Every one there ever was, by name."""
    return [_token(row) for row in tx.all("api_tokens_all")]


def revoke_token(tx: Tx, token_id: str, by: str, now: datetime) -> bool:
    """False when it was revoked already, or never was."""
    return tx.run("api_token_revoke", id=token_id, by=by, now=now) == 1


def answer(tx: Tx, source: str, key: str) -> Answer | None:
    row = tx.one("api_answer_get", source=source, key=key)
    return None if row is None else Answer(fingerprint=bytes(row[0]), status=row[1], body=bytes(row[2]))


def remember(tx: Tx, source: str, key: str, given: Answer, now: datetime, *, forget_before: datetime) -> None:
    """Keep an answer under a key that has none, and let some go that are older than ``forget_before``."""
    tx.run(
        "api_answer_add",
        source=source,
        key=key,
        fingerprint=given.fingerprint,
        status=given.status,
        body=given.body,
        now=now,
    )
    tx.run("api_answers_forget", before=forget_before, limit=FORGET_AT_ONCE)


def _token(row: Row) -> Token:
    token_id, name, source, scopes, digest, created_at, created_by, expires_at, revoked_at, revoked_by = row
    return Token(
        id=token_id,
        name=name,
        source=source,
        scopes=json.loads(scopes),
        digest=bytes(digest),
        created_at=from_text(created_at),
        created_by=created_by,
        expires_at=from_text(expires_at),
        revoked_at=maybe_from_text(revoked_at),
        revoked_by=revoked_by,
    )
