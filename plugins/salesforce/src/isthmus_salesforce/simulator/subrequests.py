"""Several requests in one call: ``/composite``, whose parts may refer to earlier ones, and its ``/batch``.

Both answer 200 whatever becomes of their parts.
"""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from isthmus_salesforce.simulator.org import Org, refused

PARTS_MAX = 25
QUERIES_MAX = 5
_REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])+)\}")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_HALTED = "The transaction was rolled back since another operation in the same transaction failed."

Call = Callable[[str, str, Any], Awaitable[tuple[int, Any]]]
"""Method, path and body of a part; gives its status and body."""


async def composite(org: Org, body: dict[str, Any], call: Call) -> dict[str, Any]:
    """Answer ``/composite``.

    Raises:
        OrgRefused: the call as a whole is wrong.
    """
    parts = _parts(body, "compositeRequest")
    if sum(_is_query(part) for part in parts) > QUERIES_MAX:
        raise refused("LIMIT_EXCEEDED", f"at most {QUERIES_MAX} queries or collections")
    mark = org.mark() if body.get("allOrNone") else None
    results: dict[str, Any] = {}
    answers = []
    for part in parts:
        name = str(part.get("referenceId"))
        try:
            url = _resolved(str(part.get("url")), results)
            sent = json.loads(_resolved(json.dumps(part.get("body")), results))
        except LookupError as missing:
            status, found = 400, _problem(f"Invalid reference specified. No value for {missing} found")
        else:
            status, found = await call(str(part.get("method")), url, sent)
            if status < 300:
                results[name] = msgspec.json.decode(msgspec.json.encode(found))
        answers.append(_answer(name, status, found))
    if mark is not None and any(answer["httpStatusCode"] >= 300 for answer in answers):
        org.back_to(mark)
        answers = [
            answer
            if answer["httpStatusCode"] >= 300
            else _answer(answer["referenceId"], 400, _problem(_HALTED))
            for answer in answers
        ]
    return {"compositeResponse": answers}


async def batch(body: dict[str, Any], call: Call) -> dict[str, Any]:
    """Answer ``/composite/batch``: parts that know nothing of each other.

    Raises:
        OrgRefused: the call as a whole is wrong.
    """
    halts = bool(body.get("haltOnError"))
    results: list[dict[str, Any]] = []
    for part in _parts(body, "batchRequests"):
        failed = any(result["statusCode"] >= 300 for result in results)
        if failed and halts:
            problem = [{"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted."}]
            results.append({"statusCode": 412, "result": problem})
            continue
        # With or without the front part of the path: clients do either.
        path = str(part.get("url")).lstrip("/").removeprefix("services/data/")
        asked = str(part.get("method")), f"/services/data/{path}"
        status, found = await call(*asked, part.get("richInput"))
        results.append({"statusCode": status, "result": found})
    return {"hasErrors": any(result["statusCode"] >= 300 for result in results), "results": results}


def _parts(body: dict[str, Any], field: str) -> list[dict[str, Any]]:
    parts = body.get(field)
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise refused("JSON_PARSER_ERROR", f"{field} must be a list of requests")
    if len(parts) > PARTS_MAX:
        raise refused("LIMIT_EXCEEDED", f"The request can contain no more than {PARTS_MAX} operations")
    return parts


def _is_query(part: dict[str, Any]) -> bool:
    return bool(re.search(r"/(query|queryAll|composite/sobjects)\b", str(part.get("url"))))


def _resolved(text: str, results: dict[str, Any]) -> str:
    """``text`` with each ``@{name.path}`` replaced by what an earlier part answered.

    Raises:
        LookupError: there is no such value.
    """

    def value(match: re.Match[str]) -> str:
        here: Any = results.get(match[1])
        for name, index in _STEP.findall(match[2]):
            try:
                here = here[int(index)] if index else here[name]
            except (LookupError, TypeError):
                raise LookupError(match[0][2:-1]) from None
        return str(here)

    return _REFERENCE.sub(value, text)


def _problem(message: str) -> list[dict[str, Any]]:
    return [{"errorCode": "PROCESSING_HALTED", "message": message}]


def _answer(name: str, status: int, body: Any) -> dict[str, Any]:
    return {"body": body, "httpHeaders": {}, "httpStatusCode": status, "referenceId": name}
