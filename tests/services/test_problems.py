"""Every problem of the document, provoked at every operation that may answer with it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import trio

from isthmus.services.operations import OPERATIONS, PREFIX, Operation, problems_of
from isthmus.services.problems import PROBLEMS
from isthmus.store.errors import StoreBusy
from tests.services.rig import BODIES, CHANGED, Site, documented, problem

Provoke = Callable[[Site, Operation, pytest.MonkeyPatch], Awaitable[httpx.Response]]


def _good(operation: Operation) -> dict[str, Any]:
    return {"json": BODIES[operation.name]} if operation.body else {}


async def _ask(site: Site, operation: Operation, **options: Any) -> httpx.Response:
    return await site.ask(
        operation.name, key="crm:p1" if operation.key else "", **{**_good(operation), **options}
    )


async def no_token(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    return await _ask(site, operation, token=None)


async def bad_token(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    return await _ask(site, operation, token="isthmus_0123456789ab_" + "0" * 64)


async def expired(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    token = await site.token()
    site.now += timedelta(days=1)
    return await _ask(site, operation, token=token)


async def revoked(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    token = await site.token(name="gone")
    await site.desk.revoke("gone", by="root", why="test")
    return await _ask(site, operation, token=token)


async def missing_scope(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    other = next(each.scope for each in OPERATIONS if each.scope not in (None, operation.scope))
    return await _ask(site, operation, token=await site.token(str(other)))


async def not_found(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    return await site.ask(operation.name, key="nobody:1")


async def too_slow(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    """A body that is announced and never comes."""
    await site.open(deadline_s=0.2)
    host, port = site.url.removeprefix("http://").split(":")
    path = PREFIX + operation.path.replace("{key}", "x")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        head = f"{operation.method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n"
        await stream.send_all(head.encode())
        raw = b""
        with trio.fail_after(10):
            while piece := await stream.receive_some():
                raw += piece
    lines, _, body = raw.partition(b"\r\n\r\n")
    first, *rest = lines.decode().split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in rest)]
    answer = httpx.Response(int(first.split()[1]), headers=headers, content=body)
    documented(operation, answer)
    return answer


async def too_large(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    return await _ask(site, operation, json=None, content=b" " * (1024 * 1024 + 1))


async def wrong_host(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    return await _ask(site, operation, headers={"host": "evil.example"})


async def invalid(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    return await _ask(site, operation, params={"strange": "1"})


async def rate_limited(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    await site.open(burst=1, rate_per_s=0.01)
    assert (await _ask(site, operation)).status_code in (200, 201, 404)
    return await _ask(site, operation)


async def broken(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    site.store.fails = ZeroDivisionError("a bug")
    patch.setattr("isthmus.services.app.encoded", lambda: 1 // 0)
    token = await site.token()
    return await _ask(site, operation, token=token)


async def busy(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    token = await site.token()
    site.store.fails = StoreBusy("a foreign program holds the database")
    return await _ask(site, operation, token=token)


async def malformed(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return await _ask(site, operation, json=None, content=b'{"entry": ', headers=headers)


async def not_json(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    return await _ask(site, operation, json=None, content=b"{}", headers={"content-type": "text/plain"})


async def other_content(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    assert (await site.submit(operation.name)).status_code == 201
    return await site.submit(operation.name, **CHANGED[operation.name])


async def overtaken(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    assert (await site.submit(operation.name, revision=9)).status_code == 201
    return await site.submit(operation.name, revision=8)


async def key_reused(site: Site, operation: Operation, patch: pytest.MonkeyPatch) -> httpx.Response:
    assert (await site.submit(operation.name, idempotency="k1")).status_code == 201
    return await site.submit(operation.name, idempotency="k1", **CHANGED[operation.name])


PROVOKE: dict[str, Provoke] = {
    "no-token": no_token,
    "bad-token": bad_token,
    "expired-token": expired,
    "revoked-token": revoked,
    "missing-scope": missing_scope,
    "not-found": not_found,
    "too-slow": too_slow,
    "too-large": too_large,
    "wrong-host": wrong_host,
    "invalid": invalid,
    "rate-limited": rate_limited,
    "broken": broken,
    "busy": busy,
    "malformed": malformed,
    "not-json": not_json,
    "other-content": other_content,
    "overtaken": overtaken,
    "key-reused": key_reused,
}


TELLS_FIRST = {"other-content", "overtaken", "key-reused", "rate-limited"}
"""Problems that a good submission comes before; nothing else leaves a fact."""


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        pytest.param(operation, code, id=f"{operation.name} {code}")
        for operation in OPERATIONS
        for code in problems_of(operation)
    ],
)
async def test_each_problem_of_the_document_is_answered_as_the_document_has_it(
    site: Site, operation: Operation, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await PROVOKE[code](site, operation, monkeypatch)
    assert (problem(answer), answer.status_code) == (code, PROBLEMS[code].status), answer.text
    assert answer.json()["title"] == PROBLEMS[code].title
    recorded = operation.body is not None and code in TELLS_FIRST
    assert len(await site.events()) == recorded


def test_every_problem_there_is_can_be_answered_by_some_operation_or_by_the_router() -> None:
    assert {code for each in OPERATIONS for code in problems_of(each)} | {"wrong-method"} == set(PROBLEMS)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        pytest.param("GET", "/", "not-found", id="nothing at the root"),
        pytest.param("GET", "/api/v1", "not-found", id="nothing at the prefix"),
        pytest.param("GET", "/api/v2/feed", "not-found", id="another version"),
        pytest.param("GET", "/api/v1/feed/", "not-found", id="a slash too many is no redirect"),
        pytest.param("GET", "/metrics", "not-found", id="the ops listener is another"),
        pytest.param("DELETE", "/api/v1/feed", "wrong-method", id="another method"),
        pytest.param(
            "OPTIONS", "/api/v1/time-entries", "wrong-method", id="no pre-flight, so no other origin"
        ),
        pytest.param("GET", "/api/v1/time-entries", "wrong-method", id="no list of entries"),
    ],
)
async def test_what_the_document_does_not_have_is_not_served(
    site: Site, method: str, path: str, code: str
) -> None:
    headers = {"authorization": f"Bearer {await site.token()}", "origin": "https://evil.example"}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.request(method, site.url + path, headers=headers)
    assert (problem(answer), answer.status_code) == (code, PROBLEMS[code].status)
    assert ("allow" in answer.headers) == (code == "wrong-method")
    assert "access-control-allow-origin" not in answer.headers


async def test_a_bug_is_told_to_the_log_and_not_to_the_caller(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    token = await site.token()
    site.store.fails = ZeroDivisionError("secret internals")
    answer = await site.ask("readFeed", token=token)
    assert answer.status_code == 500 and "internals" not in answer.text
    assert "secret internals" in caplog.text


async def test_a_request_that_takes_too_long_is_ended_and_may_be_sent_again(site: Site) -> None:
    await site.open(deadline_s=0.2)
    token = await site.token()
    site.store.slow_s = 30
    answer = await site.submit("submitTime", token=token)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "send the same again" in answer.json()["detail"]


async def test_nothing_is_taken_in_while_a_lane_is_past_its_quota(site: Site) -> None:
    site.takes = False
    answer = await site.submit("submitTime")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert await site.events() == []
    assert (await site.ask("readFeed")).status_code == 200
