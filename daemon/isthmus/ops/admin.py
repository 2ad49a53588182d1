"""The admin socket's HTTP interface: what `isthmus status` and its sisters ask the running daemon.

Only whoever may open the unix socket gets here (mode 0660), so there is no other login. The caller's OS
user comes in the header ``x-isthmus-user`` and lands in the audit trail.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from isthmus.events.values import Instant
from isthmus.ops.desk import Desk
from isthmus.ops.errors import NotFound, Refused
from isthmus.ops.reconciling import Reconciliation
from isthmus.ops.selection import Selection
from isthmus.ops.shadowing import Shadows
from isthmus.ops.tokens import RevokeOrder, TokenOrder
from isthmus.store.errors import ReadTooLong, StoreBusy, StoreFull

T = TypeVar("T", bound=msgspec.Struct)

__all__ = [
    "Acts",
    "BackupOrder",
    "CheckQuery",
    "CloseQuery",
    "DifferenceOrder",
    "EventQuery",
    "ExceptionOrder",
    "ExceptionQuery",
    "GoLiveOrder",
    "LaneOrder",
    "LogQuery",
    "NotifyOrder",
    "OneOrder",
    "ReconcileOrder",
    "ReplayOrder",
    "ResumeOrder",
    "RewindOrder",
    "SignOrder",
    "admin_app",
]


class EventQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events: all that is given must fit."""

    kind: str | None = None
    key: str | None = None
    after: int = 0
    since: Instant | None = None
    limit: int = 50


class LogQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of the log as it was recorded."""

    after: int = 0
    limit: int = 500


class ExceptionQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which work items; ``state`` "any" takes all."""

    state: Literal["open", "retrying", "resolved", "skipped", "any"] = "open"
    where: str | None = None
    error_class: str | None = None
    limit: int = 100


class ExceptionOrder(Selection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Do something about these exceptions, or about every open one that fits."""

    why: str = ""
    dry_run: bool = False
    not_there: bool = False
    """Skip: somebody looked, what is in doubt did not arrive."""
    to: str = ""
    """Assign: whose work they are."""


class OneOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Do something about one exception."""

    id: int
    why: str = ""
    receipt: str = ""
    """Resolve: the other system's record."""
    text: str = ""
    """Note: what was found out."""
    changes: dict[str, Any] = {}
    """Edit: fields of what is sent, as JSON values."""
    dry_run: bool = False


class ReplayOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Owe events to a lane again; ``after`` and ``until`` are sequence numbers."""

    lane: str
    kind: str | None = None
    key: str | None = None
    after: int = 0
    until: int | None = None
    since: Instant | None = None
    before: Instant | None = None
    why: str = ""
    dry_run: bool = False


class BackupOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Back the store up into a file of the daemon's machine, or among its own backups."""

    to: str | None = None


class CheckQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Look at the file; ``full`` compares every index with its table."""

    full: bool = False


class CloseQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a period can be closed."""

    entity: str | None = None


class SignOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Record who found a period ready."""

    period: str
    entity: str | None = None
    why: str = ""
    anyway: bool = False


class NotifyOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send an owner a test message."""

    owner: str


class RewindOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read a stream again from where it stood at ``to``; None: from its beginning."""

    connector: str
    stream: str
    to: Instant | None = None
    why: str = ""
    dry_run: bool = False


class ReconcileOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Compare a pair now; days left out are those of the configuration."""

    pair: str
    since: date | None = None
    until: date | None = None


class DifferenceOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Explain or repair one difference."""

    id: int
    why: str = ""
    dry_run: bool = False


class ResumeOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let a parked actor go on."""

    actor: str
    why: str = ""


class GoLiveOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settle what a lane decided in shadow, and let it send."""

    lane: str
    send_missing: bool = False
    """Send what the other system does not have; else each becomes an exception."""
    why: str = ""
    dry_run: bool = False


class LaneOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop a lane, or let it go on."""

    lane: str
    why: str = ""


class PauseAct(Protocol):
    """An act about one lane."""

    async def __call__(self, name: str, *, by: str, why: str) -> None: ...


class Acts(msgspec.Struct, frozen=True, kw_only=True):
    """What only the running daemon can do or say."""

    status: Callable[[], Awaitable[object]]
    resume: Callable[[str, str, str], Awaitable[bool]]
    """Actor, who, why."""
    poll: Callable[[str | None], int]
    """Look at one connector's streams now, or at all; how many streams."""
    kinds_of: Callable[[str], frozenset[str] | None]
    """What a lane takes; None for no such lane."""
    shadows: Shadows
    pause: PauseAct
    unpause: PauseAct
    notify_test: Callable[[str, str], Awaitable[Sequence[object] | None]]
    """Owner, who; what the peers answered, None for somebody who is not told."""
    pairs: Reconciliation
    """Comparisons of systems."""


def admin_app(desk: Desk, acts: Acts) -> ASGIApp:
    """The app behind the admin socket. Answers are JSON; errors are ``{"error": text}``."""

    async def status(request: Request) -> object:
        return await acts.status()

    async def events(request: Request) -> object:
        query = _query(request, EventQuery)
        return await desk.events(
            kind=query.kind, key=query.key, after=query.after, since=query.since, limit=query.limit
        )

    async def log_page(request: Request) -> object:
        query = _query(request, LogQuery)
        return await desk.log_page(after=query.after, limit=query.limit)

    async def event(request: Request) -> object:
        return await desk.event(request.path_params["id"])

    async def trace(request: Request) -> object:
        return await desk.trace(request.path_params["key"])

    async def explained(request: Request) -> object:
        return await desk.explain(request.path_params["key"])

    async def exceptions(request: Request) -> object:
        query = _query(request, ExceptionQuery)
        return await desk.work.list(
            state=None if query.state == "any" else query.state,
            where=query.where,
            error_class=query.error_class,
            limit=query.limit,
        )

    async def exception(request: Request) -> object:
        return await desk.work.show(request.path_params["id"])

    async def verified(request: Request) -> object:
        return await desk.verify()

    async def retry(request: Request) -> object:
        order = await _order(request, ExceptionOrder)
        return await desk.work.retry(order, by=_who(request), why=order.why, dry_run=order.dry_run)

    async def skip(request: Request) -> object:
        order = await _order(request, ExceptionOrder)
        return await desk.work.skip(
            order, by=_who(request), why=order.why, not_there=order.not_there, dry_run=order.dry_run
        )

    async def assign(request: Request) -> object:
        order = await _order(request, ExceptionOrder)
        return await desk.work.assign(order, order.to, by=_who(request))

    async def resolve(request: Request) -> object:
        order = await _order(request, OneOrder)
        return await desk.work.resolve(order.id, order.receipt, by=_who(request), why=order.why)

    async def approve(request: Request) -> object:
        order = await _order(request, OneOrder)
        return await desk.work.approve(order.id, by=_who(request), why=order.why)

    async def edit(request: Request) -> object:
        order = await _order(request, OneOrder)
        return await desk.work.edit(
            order.id, order.changes, by=_who(request), why=order.why, dry_run=order.dry_run
        )

    async def note(request: Request) -> object:
        order = await _order(request, OneOrder)
        return await desk.work.note(order.id, order.text, by=_who(request))

    async def tokens(request: Request) -> object:
        return await desk.tokens.list()

    async def issue(request: Request) -> object:
        return await desk.tokens.issue(await _order(request, TokenOrder), by=_who(request))

    async def revoke(request: Request) -> object:
        order = await _order(request, RevokeOrder)
        await desk.tokens.revoke(order.name, by=_who(request), why=order.why)
        return {"revoked": order.name}

    async def replay(request: Request) -> object:
        order = await _order(request, ReplayOrder)
        kinds = acts.kinds_of(order.lane)
        if kinds is None:
            raise NotFound(f"no delivery lane {order.lane!r}; 'isthmus status' lists the lanes")
        return await desk.replay(
            order.lane,
            by=_who(request),
            why=order.why,
            kind=order.kind,
            key=order.key,
            after=order.after,
            until=order.until,
            since=order.since,
            before=order.before,
            kinds=kinds,
            dry_run=order.dry_run,
        )

    async def backup(request: Request) -> object:
        order = await _order(request, BackupOrder)
        return await desk.back_up(None if order.to is None else Path(order.to), by=_who(request))

    async def check(request: Request) -> object:
        return await desk.check(full=_query(request, CheckQuery).full)

    async def close_check(request: Request) -> object:
        return await desk.close_report(request.path_params["period"], _query(request, CloseQuery).entity)

    async def close_sign(request: Request) -> object:
        order = await _order(request, SignOrder)
        return await desk.sign_close(
            order.period, order.entity, by=_who(request), why=order.why, anyway=order.anyway
        )

    async def comparisons(request: Request) -> object:
        return await acts.pairs.newest()

    async def comparison(request: Request) -> object:
        return await acts.pairs.show(request.path_params["which"])

    async def compare(request: Request) -> object:
        order = await _order(request, ReconcileOrder)
        return await acts.pairs.compare(order.pair, order.since, order.until, by=_who(request))

    async def explain_difference(request: Request) -> object:
        order = await _order(request, DifferenceOrder)
        return await acts.pairs.explain(order.id, by=_who(request), why=order.why)

    async def repair(request: Request) -> object:
        order = await _order(request, DifferenceOrder)
        return await acts.pairs.repair(order.id, by=_who(request), why=order.why, dry_run=order.dry_run)

    async def cursors(request: Request) -> object:
        return await desk.cursors()

    async def rewind(request: Request) -> object:
        order = await _order(request, RewindOrder)
        done = await desk.rewind(
            order.connector,
            order.stream,
            order.to,
            by=_who(request),
            why=order.why,
            dry_run=order.dry_run,
        )
        if not order.dry_run:
            acts.poll(order.connector)
        return done

    async def shadow_report(request: Request) -> object:
        return await acts.shadows.report(request.path_params["lane"])

    async def go_live(request: Request) -> object:
        order, who = await _order(request, GoLiveOrder), _who(request)
        done = await acts.shadows.go_live(
            order.lane, by=who, why=order.why, send_missing=order.send_missing, dry_run=order.dry_run
        )
        if not order.dry_run:
            await acts.resume(order.lane, who, f"gone live: {order.why}")
        return done

    async def pause(request: Request) -> object:
        order = await _order(request, LaneOrder)
        await acts.pause(order.lane, by=_who(request), why=order.why)
        return {"paused": order.lane}

    async def unpause(request: Request) -> object:
        order = await _order(request, LaneOrder)
        await acts.unpause(order.lane, by=_who(request), why=order.why)
        return {"resumed": order.lane}

    async def resume(request: Request) -> object:
        order = await _order(request, ResumeOrder)
        if not await acts.resume(order.actor, _who(request), order.why):
            raise NotFound(f"{order.actor!r} is not parked; 'isthmus status' shows what is")
        return {"resumed": order.actor}

    async def notify_test(request: Request) -> object:
        order = await _order(request, NotifyOrder)
        answers = await acts.notify_test(order.owner, _who(request))
        if answers is None:
            raise NotFound(f"nobody tells {order.owner!r} anything; name them in [notify], then restart")
        return answers

    async def poll(request: Request) -> object:
        return {"streams": acts.poll(request.query_params.get("connector"))}

    routes = [
        ("GET", "/v1/status", status),
        ("GET", "/v1/events", events),
        ("GET", "/v1/events/{id:path}", event),
        ("GET", "/v1/log", log_page),
        ("GET", "/v1/trace/{key:path}", trace),
        ("GET", "/v1/billing/explain/{key:path}", explained),
        ("GET", "/v1/exceptions", exceptions),
        ("GET", "/v1/audit/verify", verified),
        ("GET", "/v1/exceptions/{id:int}", exception),
        ("POST", "/v1/exceptions/retry", retry),
        ("POST", "/v1/exceptions/skip", skip),
        ("POST", "/v1/exceptions/assign", assign),
        ("POST", "/v1/exceptions/resolve", resolve),
        ("POST", "/v1/exceptions/approve", approve),
        ("POST", "/v1/exceptions/edit", edit),
        ("POST", "/v1/exceptions/note", note),
        ("GET", "/v1/tokens", tokens),
        ("POST", "/v1/tokens", issue),
        ("POST", "/v1/tokens/revoke", revoke),
        ("POST", "/v1/events/replay", replay),
        ("POST", "/v1/db/backup", backup),
        ("GET", "/v1/db/check", check),
        ("GET", "/v1/close/{period}", close_check),
        ("POST", "/v1/close/sign", close_sign),
        ("GET", "/v1/reconcile", comparisons),
        ("GET", "/v1/reconcile/{which}", comparison),
        ("POST", "/v1/reconcile/run", compare),
        ("POST", "/v1/reconcile/explain", explain_difference),
        ("POST", "/v1/reconcile/repair", repair),
        ("GET", "/v1/cursors", cursors),
        ("POST", "/v1/cursors/rewind", rewind),
        ("GET", "/v1/shadow/{lane}", shadow_report),
        ("POST", "/v1/lanes/go-live", go_live),
        ("POST", "/v1/lanes/pause", pause),
        ("POST", "/v1/lanes/resume", unpause),
        ("POST", "/v1/resume", resume),
        ("POST", "/v1/notify/test", notify_test),
        ("POST", "/v1/poll", poll),
    ]
    return Starlette(
        routes=[Route(path, _answering(answer), methods=[method]) for method, path, answer in routes]
    )


Answer = Callable[[Request], Awaitable[object]]


def _answering(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Turns a value into an answer, and what is wrong with a question into a sentence."""

    async def endpoint(request: Request) -> Response:
        try:
            return _json(await answer(request))
        except NotFound as error:
            return _json({"error": str(error)}, 404)
        except Refused as error:
            return _json({"error": str(error)}, 409)
        except msgspec.ValidationError as error:
            return _json({"error": str(error)}, 400)
        except (ReadTooLong, StoreBusy, StoreFull) as error:
            return _json({"error": str(error)}, 503)

    return endpoint


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def _query(request: Request, type: type[T]) -> T:
    values: dict[str, Any] = dict(request.query_params)
    return msgspec.convert(values, type, strict=False)


async def _order(request: Request, type: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.body(), type=type)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        raise msgspec.ValidationError(str(error)) from error


def _who(request: Request) -> str:
    return request.headers.get("x-isthmus-user", "unknown")[:64]
