"""Takes a submission into the log: once, however often it comes, and never two truths of one revision."""

from datetime import datetime, timedelta

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.ingest.record import record_facts
from isthmus.services.submissions import Submitted
from isthmus.store import audit, services
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = ["KEPT", "Order", "Taken", "Turned", "take"]

KEPT = timedelta(days=30)
"""How long the answer of an idempotency key is remembered, at least. Facts are known for good."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A submission that was understood."""

    operation: str
    token: services.Token
    fact: BusinessEvent
    key: str | None
    """The idempotency key."""
    fingerprint: bytes
    """Digest of the question; the same key with another one is refused."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to give; ``again`` when it was given before under the same key."""

    status: int
    body: bytes
    again: bool = False
    new: bool = False
    """Whether a fact came into the log."""


class Turned(msgspec.Struct, frozen=True, kw_only=True):
    """Not taken: a code of `isthmus.services.problems`, and why."""

    code: str
    detail: str


def take(tx: Tx, order: Order, now: datetime) -> Taken | Turned:
    """Decide and write down, in one transaction: the fact, the answer under its key, and the act."""
    fact, source = order.fact, order.token.source
    if order.key is not None and (before := services.answer(tx, source, order.key)) is not None:
        if before.fingerprint != order.fingerprint:
            return Turned(
                code="key-reused", detail=f"the key {order.key} came with another request; use a new one"
            )
        return Taken(status=before.status, body=before.body, again=True)
    known = event_log.by_id(tx, fact.id)
    if known is None and (newest := _newest_revision(tx, fact)) >= fact.fact_revision:
        return _turn(
            tx,
            order,
            "overtaken",
            f"revision {newest} of {fact.key} is known; a change of it has a higher one",
            now,
        )
    kept = record_facts(tx, _actor(order), [fact], now, **_detail(order))
    if kept.conflicts:
        told = f"revision {fact.fact_revision} of {fact.key} was told with other content"
        return Turned(code="other-content", detail=f"{told}; send a change as a higher one")
    position = known.seq if known is not None else kept.new[0]
    answer = services.Answer(
        fingerprint=order.fingerprint,
        status=200 if known is not None else 201,
        body=msgspec.json.encode(
            Submitted(
                event=fact.id,
                key=fact.key,
                revision=fact.fact_revision,
                outcome="recorded" if known is None else "known",
                position=position,
            )
        ),
    )
    if order.key is not None:
        services.remember(tx, source, order.key, answer, now, forget_before=now - KEPT)
    return Taken(status=answer.status, body=answer.body, new=known is None)


def _newest_revision(tx: Tx, fact: BusinessEvent) -> int:
    """What the log has of the same thing, whoever told it; 0 for nothing."""
    return event_log.newest_revision(tx, fact.subject, fact.kind.partition(".")[0] + ".")


def _turn(tx: Tx, order: Order, code: str, detail: str, now: datetime) -> Turned:
    audit.append(tx, _actor(order), "submission.refused", {**_detail(order), "problem": code}, now)
    return Turned(code=code, detail=detail)


def _actor(order: Order) -> str:
    return f"api:{order.token.name}"


def _detail(order: Order) -> dict[str, str]:
    return {"operation": order.operation, "event": order.fact.id, "token": order.token.id}
