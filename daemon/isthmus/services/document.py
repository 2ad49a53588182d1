"""The OpenAPI document: made of the operations and their Structs, so that it cannot say anything else."""

from functools import cache
from importlib import metadata
from typing import Any

import msgspec

from isthmus.events.values import DECIMAL_FORM, Amount, Hours
from isthmus.services.feed import EVENT_TYPES, AnyEvent
from isthmus.services.operations import OPERATIONS, PREFIX, IdempotencyKey, Operation, problems_of
from isthmus.services.problems import PROBLEMS, Problem

__all__ = ["encoded", "openapi"]

_REFS = "#/components/schemas/{name}"
_KEY = {"type": "string", "minLength": 1, "maxLength": 400}
_ABOUT = """Services of isthmus by business domain. What is submitted enters as canonical events, is on the
disk before it is acknowledged, and counts once however often it is sent. Decimals are strings. Every answer
that is no success is a problem (RFC 9457); decide by its `type`. A request whose headers far exceed 16 KiB
is turned away by the listener with 431."""


@cache
def openapi() -> dict[str, Any]:
    """The document of what is served, as plain values (OpenAPI 3.1)."""
    shapes = [
        shape for each in OPERATIONS for shape in (each.body, *each.answers.values()) if shape is not None
    ]
    wanted = list(
        dict.fromkeys([*shapes, *(each.query for each in OPERATIONS), Problem, IdempotencyKey, *EVENT_TYPES])
    )
    found, schemas = msgspec.json.schema_components(wanted, schema_hook=_schema, ref_template=_REFS)
    of = dict(zip(wanted, found, strict=True))
    queries = {each.query.__name__ for each in OPERATIONS}
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        query = schemas[each.query.__name__]
        paths.setdefault(PREFIX + each.path, {})[each.method.lower()] = _operation(each, of, query)
    return {
        "openapi": "3.1.0",
        "info": {"title": "isthmus", "version": metadata.version("isthmus"), "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {
                **{name: schema for name, schema in schemas.items() if name not in queries},
                "AnyEvent": {"oneOf": [of[shape] for shape in EVENT_TYPES]},
            },
            "responses": {
                str(status): _problem(status)
                for status in sorted({kind.status for kind in PROBLEMS.values()})
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


@cache
def encoded() -> bytes:
    """The document as it is served."""
    return msgspec.json.encode(openapi())


def _schema(shape: type) -> dict[str, Any]:
    if shape in (Amount, Hours):
        return {"type": "string", "pattern": f"^{DECIMAL_FORM.pattern}$"}
    if shape is AnyEvent:
        return {"$ref": _REFS.format(name="AnyEvent")}
    raise NotImplementedError(shape)


def _operation(each: Operation, of: dict[Any, Any], query: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "query", "required": name in query.get("required", ()), **_parameter(schema)}
        for name, schema in query["properties"].items()
    ]
    if each.key:
        parameters.append(
            {"name": "key", "in": "path", "required": True, "description": each.key, "schema": _KEY}
        )
    said: dict[str, Any] = {
        "operationId": each.name,
        "tags": [each.domain],
        "summary": each.summary,
        "security": [] if each.scope is None else [{"token": [each.scope]}],
    }
    if each.about:
        said["description"] = each.about
    if each.body is not None:
        header = of[IdempotencyKey]
        parameters.append(
            {"name": "Idempotency-Key", "in": "header", "required": False, **_parameter(header)}
        )
        said["requestBody"] = {"required": True, "content": {"application/json": {"schema": of[each.body]}}}
    answers = {str(status): _answer(status, each, of) for status in each.answers}
    statuses = sorted({PROBLEMS[code].status for code in problems_of(each)})
    problems = {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}
    return {**said, "parameters": parameters, "responses": {**answers, **problems}}


def _parameter(schema: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in schema.items() if name != "description"}
    return {"description": schema.get("description", ""), "schema": rest}


def _answer(status: int, each: Operation, of: dict[Any, Any]) -> dict[str, Any]:
    shape = each.answers[status]
    schema = {"type": "object"} if shape is None else of[shape]
    words = {201: "It was recorded", 200: "The same was told before" if each.body else "The answer"}
    answer: dict[str, Any] = {
        "description": words[status],
        "content": {"application/json": {"schema": schema}},
    }
    if each.body is not None:
        answer["headers"] = {
            "Idempotency-Replayed": {
                "description": "this answer was given before under the same key",
                "schema": {"enum": ["true"]},
            }
        }
    return answer


def _problem(status: int) -> dict[str, Any]:
    codes = {code: kind.title for code, kind in PROBLEMS.items() if kind.status == status}
    answer: dict[str, Any] = {
        "description": "; ".join(f"{title} (`{code}`)" for code, title in codes.items()),
        "content": {"application/problem+json": {"schema": {"$ref": _REFS.format(name="Problem")}}},
    }
    headers = {
        401: "WWW-Authenticate",
        403: "WWW-Authenticate",
        405: "Allow",
        429: "Retry-After",
        503: "Retry-After",
    }
    if status in headers:
        answer["headers"] = {headers[status]: {"schema": {"type": "string"}}}
    return answer
