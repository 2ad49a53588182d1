"""The ops listener: /metrics for Prometheus, /livez and /readyz for whoever restarts or routes.

Nothing here waits for what it asks about: checks answer from memory, so a hung writer is reported and does
not hang the probe. A peer that is down never fails readiness: it parks its connector.
"""

from collections.abc import Callable, Collection, Sequence

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from isthmus.ops.guard import LOOPBACK_HOSTS, BodyLimit, HostGuard
from isthmus.ops.metrics import Metrics
from isthmus.ops.serve import serve

__all__ = ["Checks", "HealthCheck", "ops_app", "serve"]


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must hold; ``detail`` says what is wrong, without business data."""

    name: str
    ok: bool
    detail: str = ""


Checks = Callable[[], Sequence[HealthCheck]]


def ops_app(metrics: Metrics, livez: Checks, readyz: Checks, *, hosts: Collection[str] = ()) -> Starlette:
    """The application behind ``ops_listen``.

    Args:
        livez: fails when only a restart helps: the loop does not turn, the writer does not answer.
        readyz: fails while the daemon starts or drains.
        hosts: further names of this machine a request may carry in its Host header.
    """

    async def show_metrics(request: Request) -> Response:
        content, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": content_type, **_HEADERS})

    def probe(name: str, checks: Checks) -> Route:
        async def answer(request: Request) -> Response:
            return _verdict(name, checks(), verbose="verbose" in request.query_params)

        return Route(f"/{name}", answer)

    return Starlette(
        routes=[Route("/metrics", show_metrics), probe("livez", livez), probe("readyz", readyz)],
        middleware=[
            Middleware(HostGuard, hosts=LOOPBACK_HOSTS | set(hosts)),
            Middleware(BodyLimit, max_bytes=1024),
        ],
    )


_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def _verdict(name: str, checks: Sequence[HealthCheck], *, verbose: bool) -> Response:
    """The status code is the contract; the text is for people, and lists all checks when one fails."""
    passed = all(check.ok for check in checks)
    lines = []
    if verbose or not passed:
        lines = [
            f"[+]{check.name} ok" if check.ok else f"[-]{check.name} failed: {check.detail}"
            for check in checks
        ]
    lines.append(f"{name} check passed" if passed else f"{name} check failed")
    return PlainTextResponse("\n".join(lines) + "\n", 200 if passed else 503, headers=_HEADERS)
