"""NetSuite's error answers, in the shape the REST services give them."""

from typing import Any

from starlette.responses import JSONResponse, Response

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
}
SECTIONS = {400: 1, 401: 2, 403: 4, 404: 5, 405: 6}


class Problem(Exception):
    """A refused request: raised where it is found, answered by the dispatcher."""

    def __init__(self, status: int, code: str, detail: str, **place: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.place = place

    def answer(self, title: str | None = None) -> Response:
        section = SECTIONS.get(self.status)
        kind = f"https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html#sec10.4.{section}" if section else ""
        where = {f"o:{name}": value for name, value in self.place.items()}
        body: dict[str, Any] = {
            "type": kind or "about:blank",
            "title": title or TITLES.get(self.status, "Error"),
            "status": self.status,
            "o:errorDetails": [{"detail": self.detail, **where, "o:errorCode": self.code}],
        }
        headers = {"www-authenticate": "OAuth"} if self.status == 401 else {}
        return JSONResponse(
            body, status_code=self.status, headers=headers, media_type="application/vnd.oracle.resource+json"
        )


def invalid_login() -> Problem:
    return Problem(
        401,
        "INVALID_LOGIN",
        "Invalid login attempt. For more details, see the Login Audit Trail in the NetSuite UI at "
        "Setup > Users/Roles > User Management > View Login Audit Trail.",
    )


def unknown_property(name: str, type: str) -> Problem:
    return Problem(
        400,
        "INVALID_CONTENT",
        f"Error while accessing a resource. Unknown field name '{name}' of record '{type}'.",
        errorPath=name,
    )


def bad_value(name: str, value: object) -> Problem:
    return Problem(
        400, "INVALID_CONTENT", f"Invalid value '{str(value)[:60]}' of the field '{name}'.", errorPath=name
    )


def no_such_reference(name: str, id: object) -> Problem:
    return Problem(
        400,
        "USER_ERROR",
        f"Invalid Field Value {id} for the following field: {name}",
        errorPath=name,
    )


def no_such_record(type: str) -> Problem:
    return Problem(
        404,
        "NONEXISTENT_ID",
        f"The record instance does not exist. Provide a valid record instance ID. ({type})",
        errorUrlPath="id",
    )


def no_such_path(path: str) -> Problem:
    return Problem(404, "NOT_FOUND", f"Invalid URL: {path}", errorUrlPath=path)


def period_closed(name: str) -> Problem:
    return Problem(
        400,
        "USER_ERROR",
        f"You cannot post or change this transaction: its accounting period {name} is closed.",
        errorPath="tranDate",
    )
