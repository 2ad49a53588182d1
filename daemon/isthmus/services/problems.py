"""What a service answers when it does not do what was asked: RFC 9457 problem details."""

import msgspec
from starlette.responses import Response

__all__ = ["PROBLEMS", "FieldError", "Kind", "Problem", "Problems", "problem_response"]


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong at one place of the question."""

    pointer: str
    """JSON pointer into the body (``/lines/0/amount``), or the name of a parameter."""
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every answer that is no success (``application/problem+json``)."""

    type: str
    """``urn:isthmus:problem:<code>``; decide by this, the sentences may change."""
    title: str
    status: int
    detail: str
    """What is wrong here, and what to do."""
    errors: list[FieldError] = []


class Kind(msgspec.Struct, frozen=True):
    """One kind of problem."""

    status: int
    title: str


PROBLEMS: dict[str, Kind] = {
    "malformed": Kind(400, "The request cannot be read"),
    "no-token": Kind(401, "A token is needed"),
    "bad-token": Kind(401, "The token is not valid"),
    "expired-token": Kind(401, "The token has expired"),
    "revoked-token": Kind(401, "The token was revoked"),
    "missing-scope": Kind(403, "The token does not have the scope"),
    "not-found": Kind(404, "There is no such thing"),
    "wrong-method": Kind(405, "The method is not served here"),
    "too-slow": Kind(408, "The body took too long"),
    "other-content": Kind(409, "This revision was told with other content"),
    "overtaken": Kind(409, "A revision as new is known"),
    "too-large": Kind(413, "The body is too large"),
    "not-json": Kind(415, "The body is not declared as JSON"),
    "wrong-host": Kind(421, "The host is not served here"),
    "invalid": Kind(422, "A value is not right"),
    "key-reused": Kind(422, "The idempotency key was used for another request"),
    "rate-limited": Kind(429, "Too many requests"),
    "broken": Kind(500, "The service broke"),
    "busy": Kind(503, "Not now"),
}
"""Every kind of problem by its code; ``README.md`` has a paragraph for each."""


class Problems(Exception):
    """Ends a request with a problem.

    Args:
        code: One of `PROBLEMS`.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: list[FieldError] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors or []
        self.headers = headers or {}


def problem_response(
    code: str, detail: str, *, errors: list[FieldError] | None = None, headers: dict[str, str] | None = None
) -> Response:
    """The answer for a problem."""
    kind = PROBLEMS[code]
    body = Problem(
        type=f"urn:isthmus:problem:{code}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        errors=errors or [],
    )
    return Response(
        msgspec.json.encode(body),
        status_code=kind.status,
        media_type="application/problem+json",
        headers={"cache-control": "no-store", **(headers or {})},
    )
