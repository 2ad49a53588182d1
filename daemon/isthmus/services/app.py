"""The application behind ``[services] listen``: every operation, checked and answered the same way."""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from isthmus.events.values import decode_hook
from isthmus.events.work import TimeApproved, TimeUnapproved
from isthmus.ops.explain import explain
from isthmus.ops.financials import project_financials
from isthmus.ops.guard import LOOPBACK_HOSTS, BodyLimit, HostGuard
from isthmus.ops.invoices import invoice
from isthmus.ops.story import tell
from isthmus.services.document import encoded
from isthmus.services.door import Door, check_scope
from isthmus.services.feed import FeedQuery, feed_page
from isthmus.services.intake import Order, Turned, take
from isthmus.services.limits import RateLimit
from isthmus.services.operations import OPERATIONS, PREFIX, Operation, TimeStatus
from isthmus.services.problems import FieldError, Problems, problem_response
from isthmus.services.submissions import Submission, submitter, whole
from isthmus.store import crosswalk
from isthmus.store import log as event_log
from isthmus.store.errors import ReadTooLong, StoreBusy, StoreFailed, StoreFull
from isthmus.store.face import Store, Tx
from isthmus.store.services import Token

__all__ = ["Surroundings", "services_app"]

log = logging.getLogger(__name__)

DEADLINE_S = 15.0
MAX_BODY_BYTES = 1024 * 1024
_PLACE = re.compile(r" - at `(?:key in )?\$(?P<path>.*)`$")
_FIELD = re.compile(r"(?:unknown|missing required) field `(?P<name>.*)`$")
_TIME = frozenset({"time.approved", "time.unapproved"})
_KEY = re.compile(r"[!-~]{1,200}")
_REFUSED = {408: "too-slow", 413: "too-large", 421: "wrong-host"}


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the services stand on."""

    store: Store
    now: Callable[[], datetime]
    announce: Callable[[], None] = lambda: None
    """Called after new facts are in the log."""
    may_take: Callable[[], bool] = lambda: True
    """False while a lane is past its quota: then nothing is taken in, as nothing is read from sources."""
    answered: Callable[[str, int, float], None] = lambda operation, status, seconds: None
    """Hears how each request to an operation ended, and after how many seconds."""
    hosts: Collection[str] = ()
    rate_per_s: float = 20.0
    burst: int = 40
    deadline_s: float = DEADLINE_S


def services_app(around: Surroundings) -> Starlette:
    """Every operation of the table, and nothing else; no CORS, so no page of another origin may call."""
    services = _Services(around)
    routes = [
        Route(
            (PREFIX + each.path).replace("{key}", "{key:path}"),
            partial(services.answer, each),
            methods=[each.method],
            name=each.name,
        )
        for each in OPERATIONS
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(
                HostGuard, hosts=LOOPBACK_HOSTS | set(around.hosts), setting="services.hosts", refuse=_refuse
            ),
            Middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, deadline_s=around.deadline_s, refuse=_refuse),
        ],
        exception_handlers={HTTPException: _not_served},
    )
    app.router.redirect_slashes = False  # the document knows no redirects
    return app


class _Services:
    """Answers requests. A handler takes the request and its parameters, and gives a value or a response."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._store = around.store
        self._door = Door(around.store, around.now)
        self._limit = RateLimit(around.rate_per_s, around.burst, trio.current_time)
        self._handlers: Mapping[str, Callable[[Request, Any], Awaitable[object]]] = {
            "getDocument": self._document,
            "getProjectFinancials": self._project,
            "getTime": self._time,
            "getInvoice": self._invoice,
            "readFeed": self._feed,
        }

    async def answer(self, operation: Operation, request: Request) -> Response:
        """One request, from its token to its answer, within the deadline."""
        begun = trio.current_time()
        response = _busy("it took too long; whether it was recorded is not known, so send the same again")
        with trio.move_on_after(self._around.deadline_s):
            response = await self._answer(operation, request)
        self._around.answered(operation.name, response.status_code, trio.current_time() - begun)
        return response

    async def _answer(self, operation: Operation, request: Request) -> Response:
        try:
            return await self._carry_out(operation, request)
        except Problems as problem:
            return problem_response(
                problem.code, problem.detail, errors=problem.errors, headers=problem.headers
            )
        except (ReadTooLong, StoreBusy, StoreFull, StoreFailed) as error:
            log.warning("services.busy", extra={"reason": str(error)})
            return _busy(str(error))
        except Exception:  # the edge: a caller gets an answer, the log gets the story
            log.exception("services.broke", extra={"reason": operation.name})
            return problem_response("broken", "this is a bug of isthmus; its log has the story")

    async def _carry_out(self, operation: Operation, request: Request) -> Response:
        token = None
        if operation.scope is not None:
            token = await self._door.admit(request.scope["headers"])
            wait_s = self._limit.take(token.id)
            if wait_s is not None:
                raise Problems(
                    "rate-limited", f"ask again in {wait_s} s", headers={"retry-after": str(wait_s)}
                )
            check_scope(token, operation.scope)
        query = _query(request, operation.query)
        if operation.body is not None:
            assert token is not None, "nobody submits without a token"
            return await self._submit(operation, operation.body, request, token)
        value = await self._handlers[operation.name](request, query)
        return value if isinstance(value, Response) else _json(msgspec.json.encode(value))

    # What is asked

    async def _document(self, request: Request, query: object) -> Response:
        return _json(encoded())

    async def _project(self, request: Request, query: object) -> object:
        key = request.path_params["key"]
        found = await project_financials(self._store, key, self._around.now())
        return found or _nothing("project", key)

    async def _invoice(self, request: Request, query: object) -> object:
        key = request.path_params["key"]
        return await self._store.read(lambda tx: invoice(tx, key)) or _nothing("invoice", key)

    async def _time(self, request: Request, query: object) -> object:
        key = request.path_params["key"]
        return await self._store.read(lambda tx: time_status(tx, key)) or _nothing("time entry", key)

    async def _feed(self, request: Request, query: FeedQuery) -> object:
        at = self._around.now()
        return await self._store.read(lambda tx: feed_page(tx, query, at))

    # What is submitted

    async def _submit(
        self, operation: Operation, shape: type[Submission], request: Request, token: Token
    ) -> Response:
        if not self._around.may_take():
            raise _too_much()
        key = _idempotency_key(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Problems("not-json", "send the body with Content-Type: application/json")
        body = await request.body()
        now = self._around.now()
        order = Order(
            operation=operation.name,
            token=token,
            fact=_fact(body, shape, submitter(token.source), now),
            key=key,
            fingerprint=hashlib.sha256(operation.name.encode() + b"\0" + body).digest(),
        )
        taken = await self._store.write(lambda tx: take(tx, order, now))
        if isinstance(taken, Turned):
            raise Problems(taken.code, taken.detail)
        if taken.new:
            self._around.announce()
        response = _json(taken.body, taken.status)
        if taken.again:
            response.headers["idempotency-replayed"] = "true"
        return response


def time_status(tx: Tx, asked: str) -> TimeStatus | None:
    """Where a time entry stands; None when nobody told of it."""
    for key in dict.fromkeys([asked, *crosswalk.keys_of_record(tx, asked)]):
        rows = [row for row in event_log.by_subject(tx, key) if row.kind in _TIME and not row.stale]
        if rows:
            break
    else:
        return None
    event = max(rows, key=lambda row: (row.revision, row.seq)).event()
    assert isinstance(event, TimeApproved | TimeUnapproved)
    told = [each for each in explain(tell(tx, key)) if each.origin_key == key]
    return TimeStatus(
        entry=event.entry,
        revision=event.revision,
        approved=isinstance(event, TimeApproved),
        hours=event.hours if isinstance(event, TimeApproved) else None,
        answer=told[0].answer if told else [],
        parts=told[0].parts if told else [],
    )


def _fact(body: bytes, shape: type[Submission], source: str, now: datetime) -> Any:
    """The fact of a body.

    Raises:
        Problems: it is no JSON, or a value is not right; the sentence is that of the event.
    """
    try:
        given = whole(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problems("malformed", f"the body is no JSON: {str(error) or 'nested too deep'}") from error
    try:
        return msgspec.convert(given, shape, dec_hook=decode_hook).fact(source, now)
    except (msgspec.ValidationError, ValueError) as error:
        raise _invalid(error, shape) from error


def _query(request: Request, shape: type[msgspec.Struct]) -> msgspec.Struct:
    """The parameters of a request.

    Raises:
        Problems: one is not known, stands twice, or is not right.
    """
    lists = {
        field.encode_name for field in msgspec.structs.fields(shape) if "list" in str(field.type).lower()
    }
    values: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in lists:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise Problems(
                "invalid", f"{name} stands twice", errors=[FieldError(pointer=name, detail="stands twice")]
            )
        else:
            values[name] = value
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, shape, parameters=True) from error


def _invalid(error: Exception, shape: type[msgspec.Struct], *, parameters: bool = False) -> Problems:
    """The problem for a value that was refused, with its place where one is known."""
    text = str(error)
    found = _PLACE.search(text)
    words = _PLACE.sub("", text)
    steps = re.findall(r"[^.\[\]]+", found["path"]) if found is not None else []
    if (named := _FIELD.search(words)) is not None:
        steps.append(named["name"])
    elif not steps:  # a rule of the whole, whose sentence begins with the field
        steps = [name for name in re.findall(r"\w+", words) if name in shape.__struct_fields__][:1]
    pointer = ".".join(steps) if parameters else "".join(f"/{step}" for step in steps)
    return Problems("invalid", text, errors=[FieldError(pointer=pointer, detail=words)])


def _idempotency_key(request: Request) -> str | None:
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise Problems(
            "malformed", "an Idempotency-Key is one of 1 to 200 printable ASCII characters without spaces"
        )
    return given[0]


def _nothing(what: str, key: str) -> Response:
    return problem_response("not-found", f"nobody told of a {what} {key!r}")


def _busy(detail: str) -> Response:
    return problem_response("busy", detail, headers={"retry-after": "5"})


def _too_much() -> Problems:
    detail = "too much waits to be delivered, so nothing is taken in; nothing of this was recorded"
    return Problems("busy", detail, headers={"retry-after": "60"})


def _json(body: bytes, status: int = 200) -> Response:
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def _refuse(status: int, text: str) -> Response:
    return problem_response(_REFUSED[status], text)


async def _not_served(request: Request, error: Exception) -> Response:
    """What the router says no to."""
    assert isinstance(error, HTTPException)
    code = "wrong-method" if error.status_code == 405 else "not-found"
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    detail = f"{request.method} {request.url.path} is not served; see {PREFIX}/openapi.json"
    return problem_response(code, detail, headers=headers)
