"""Asynchronous requests: NetSuite queues them, answers with a job, and knows an idempotency key again.

The key says which job took a request first, and nothing else says what became of it: the proof is the
record, read back under our key. A job's result only explains why there is none.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import trio

from isthmus.sdk import ConnectorError, Rejected, Reply, Retryable, Throttled, Unsure
from isthmus_netsuite.client import Client
from isthmus_netsuite.errors import error_of, problem_of

NAMESPACE = uuid.UUID("8b0f7a52-6c0e-5d0b-9a51-6f1d0d4f8a10")
USED = "IDEMPOTENCY_ERROR"
COLLECTION = {"content-type": "application/vnd.oracle.resource+json; type=collection"}
"""The body is a batch: ``items``, of one record type."""
POLL_FIRST_S = 0.1
POLL_MAX_S = 5.0
_PATH = re.compile(r"/services/rest/async/v1/job/[^/?#]+")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A queued request. ``ours`` is False when the key was known: it is the job of the first request."""

    path: str
    ours: bool


class Jobs:
    """Queues requests and waits for them."""

    def __init__(self, client: Client, *, patience_s: float) -> None:
        self._client = client
        self._patience_s = patience_s

    async def submit(
        self, method: str, path: str, body: object, *, key: str, headers: Mapping[str, str] | None = None
    ) -> Job:
        """Queue a request, once per key.

        Raises:
            Unsure: the answer names no job.
        """
        sent = {"prefer": "respond-async", "x-netsuite-idempotency-key": key, **(headers or {})}
        reply = await self._client.write(method, path, body, headers=sent, accept=_used)
        job = urlsplit(reply.headers.get("location", "")).path
        if (reply.ok and reply.status != 202) or _PATH.fullmatch(job) is None:
            raise Unsure(
                f"a queued {method} was answered {reply.status} without its job", peer_words=reply.words()
            )
        return Job(path=job, ours=reply.ok)

    async def wait(self, job: Job) -> None:
        """Wait until a job has ended, well or badly.

        Raises:
            Unsure: it has not within the patience; it may yet.
        """
        pause = POLL_FIRST_S
        words = "it is still queued"
        with trio.move_on_after(self._patience_s):
            while True:
                try:
                    told = (await self._client.send("GET", job.path)).json()
                    if isinstance(told, dict) and told.get("completed") is True:
                        return
                except (Retryable, Throttled, Rejected) as error:  # a refusal to tell is none of the write
                    words = str(error)
                await trio.sleep(pause)
                pause = min(2 * pause, POLL_MAX_S)
        raise Unsure(f"{job.path} has not ended within {self._patience_s:g} s: {words}")

    async def error_of(self, job: Job) -> ConnectorError:
        """Why an ended job of one record left none, in the peer's words."""
        listed = (await self._client.send("GET", f"{job.path}/task/")).json()
        for task in _items(listed):
            reply = await self._client.send("GET", _result(job, task), accept=lambda reply: True)
            if not reply.ok or "o:errorDetails" in _object(reply):
                return error_of(reply, write=True)
        return Unsure(f"{job.path} ended without an error, but there is no record")


def idempotency_key(once: str, n: int = 0) -> str:
    """The key of the n-th request for a delivery, the same whenever it is asked for: a UUID (RFC 4122)."""
    return str(uuid.uuid5(NAMESPACE, f"{once}\n{n}"))


def _used(reply: Reply) -> bool:
    return USED in problem_of(reply).codes


def _items(listed: Any) -> list[Any]:
    items = listed.get("items") if isinstance(listed, dict) else None
    return items if isinstance(items, list) else []


def _result(job: Job, task: Any) -> str:
    """Where a task tells its result: by its id, or by the last part of its own link."""
    id = task.get("id")
    if id is None:
        links = {link.get("rel"): str(link.get("href", "")) for link in task.get("links", [])}
        id = links.get("self", "").rstrip("/").rsplit("/", 1)[-1]
    return f"{job.path}/task/{id}/result"


def _object(reply: Reply) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(reply.body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
