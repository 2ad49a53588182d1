"""Each error answer and what becomes of it."""

from typing import Any

import msgspec
import pytest

from isthmus.sdk import Fatal, Rejected, Reply, Retryable, Throttled, Unsure
from isthmus_netsuite.errors import TABLE, Detail, error_of, fits


def answer(status: int, code: str, detail: str) -> Reply:
    body = {"title": "x", "status": status, "o:errorDetails": [{"detail": detail, "o:errorCode": code}]}
    return Reply(status=status, headers={}, body=msgspec.json.encode(body))


CASES = [
    pytest.param(401, "INVALID_LOGIN", "Invalid login attempt.", True, Fatal, None, id="a refused login"),
    pytest.param(
        403,
        "INSUFFICIENT_PERMISSION",
        "Permission Violation",
        True,
        Fatal,
        None,
        id="a missing permission",
    ),
    pytest.param(400, "INVALID_LOGIN_ATTEMPT", "no", True, Fatal, None, id="a refused login, as 400"),
    pytest.param(400, "INSUFFICIENT_PERMISSION", "no", True, Fatal, None, id="a missing permission, as 400"),
    pytest.param(
        400, "USER_ERROR", "There is no open accounting period.", True, Rejected, "period", id="no period"
    ),
    pytest.param(400, "INVALID_KEY_OR_REF", "ref 9", True, Rejected, "missing", id="an unknown id, as 400"),
    pytest.param(
        400, "SSS_REQUEST_LIMIT_EXCEEDED", "limit", True, Throttled, None, id="too many calls, as 400"
    ),
    pytest.param(429, "", "blocked", True, Throttled, None, id="too many calls, as 429"),
    pytest.param(400, "IDEMPOTENCY_ERROR", "used", True, Unsure, None, id="an idempotency key seen before"),
    pytest.param(
        400, "RCRD_HAS_BEEN_CHANGED", "changed", True, Retryable, None, id="someone saved in between"
    ),
    pytest.param(
        400,
        "USER_ERROR",
        "You cannot post: its accounting period Oct 2026 is closed.",
        True,
        Rejected,
        "period",
        id="a closed period",
    ),
    pytest.param(
        400,
        "USER_ERROR",
        "This transaction falls into a locked accounting period",
        True,
        Rejected,
        "period",
        id="a locked period, in other words",
    ),
    pytest.param(
        400, "USER_ERROR", "This entity already exists.", True, Rejected, "duplicate", id="a name taken"
    ),
    pytest.param(400, "DUP_RCRD", "dup", True, Rejected, "duplicate", id="a duplicate by code"),
    pytest.param(404, "NONEXISTENT_ID", "no instance", True, Rejected, "missing", id="an unknown record"),
    pytest.param(
        400,
        "USER_ERROR",
        "Invalid Field Value 999 for the following field: customer",
        True,
        Rejected,
        "missing",
        id="a reference to nothing",
    ),
    pytest.param(
        400,
        "INVALID_CONTENT",
        "Unknown field name 'x'",
        True,
        Rejected,
        "value",
        id="an unknown property",
    ),
    pytest.param(
        400,
        "USER_ERROR",
        "Please enter value(s) for: Item",
        True,
        Rejected,
        "value",
        id="a missing value",
    ),
    pytest.param(
        500, "UNEXPECTED_ERROR", "An unexpected error", True, Unsure, None, id="a write that broke inside"
    ),
    pytest.param(500, "UNEXPECTED_ERROR", "error", False, Retryable, None, id="a read that broke inside"),
    pytest.param(503, "", "maintenance", True, Retryable, None, id="maintenance"),
]


@pytest.mark.parametrize(("status", "code", "detail", "write", "fate", "reason"), CASES)
def test_the_fate_of_an_error(
    status: int, code: str, detail: str, write: bool, fate: type[Exception], reason: str | None
) -> None:
    error = error_of(answer(status, code, detail), write=write)
    assert type(error) is fate
    assert getattr(error, "reason", None) == reason
    assert detail in (error.peer_words or "")


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: f"{rule.status} {rule.code} {rule.detail}")
def test_every_row_of_the_table_decides_a_case(rule: Any) -> None:
    def decides(status: Any, code: Any, detail: Any) -> bool:
        told = Detail(code=code, detail=detail)
        return next((row for row in TABLE if fits(row, status, told)), None) is rule

    assert any(decides(*case.values[:3]) for case in CASES)


def test_every_detail_is_told_with_its_place_and_the_gravest_decides() -> None:
    details = [
        {"detail": "Please enter value(s) for: Item", "o:errorCode": "USER_ERROR", "o:errorPath": "item"},
        {
            "detail": "limit must be a number",
            "o:errorCode": "INVALID_PARAMETER",
            "o:errorQueryParam": "limit",
        },
        {"detail": "The accounting period is locked", "o:errorCode": "USER_ERROR", "o:errorPath": "tranDate"},
        {"detail": "no such id", "o:errorCode": "NONEXISTENT_ID", "o:errorUrlPath": "id"},
        {"detail": "not strict", "o:errorCode": "INVALID_HEADER", "o:errorHeader": "Prefer"},
    ]
    body = {"title": "Bad Request", "status": 400, "o:errorDetails": details}
    error = error_of(Reply(status=400, headers={}, body=msgspec.json.encode(body)), write=True)
    assert isinstance(error, Rejected) and error.reason == "period"
    assert error.peer_words == (
        "USER_ERROR at item: Please enter value(s) for: Item; "
        "INVALID_PARAMETER at limit: limit must be a number; "
        "USER_ERROR at tranDate: The accounting period is locked; "
        "NONEXISTENT_ID at id: no such id; "
        "INVALID_HEADER at Prefer: not strict"
    )


def test_a_proxys_page_keeps_its_own_words() -> None:
    error = error_of(Reply(status=502, headers={}, body=b"<h1>Bad gateway</h1>"), write=False)
    assert type(error) is Retryable
    assert error.peer_words == "<h1>Bad gateway</h1>"
