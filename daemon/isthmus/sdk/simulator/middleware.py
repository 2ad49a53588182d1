"""Faults, carried out around a vendor's paths."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

import msgspec
import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.sdk.simulator.faults import Fault

if TYPE_CHECKING:
    from isthmus.sdk.simulator.simulator import Simulator

connection: ContextVar[trio.abc.AsyncResource | None] = ContextVar("connection", default=None)
"""The transport of the request in hand; set by the server, closed here to break it."""


class FaultMiddleware:
    """Runs a request as it is, or as its planned fault says; saves the state after each write."""

    def __init__(self, app: ASGIApp, simulator: Simulator) -> None:
        self._app = app
        self._simulator = simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_sim"):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        fault = self._simulator.faults.take(scope["method"], scope["path"], body)
        if fault is None:
            await self._run(scope, body, send)
        else:
            await self._meet(fault, scope, body, send)

    async def _run(self, scope: Scope, body: bytes, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD") or self._simulator.state_file is None:
            await self._app(scope, _replay(body), send)
            return
        # What was answered must outlast a kill, so the state is kept before the answer leaves.
        kept = _Kept()
        await self._app(scope, _replay(body), kept)
        self._simulator.save()
        await send(kept.start)
        await send({"type": "http.response.body", "body": kept.body})

    async def _meet(self, fault: Fault, scope: Scope, body: bytes, send: Send) -> None:
        match fault.fault:
            case "status" | "throttle":
                status, headers = fault.status, dict(fault.headers)
                if fault.fault == "throttle":
                    status = 429
                    if fault.retry_after_s is not None:
                        headers["retry-after"] = f"{fault.retry_after_s:g}"
                await _answer(send, status, headers, _bytes(fault.body))
            case "delay":
                await trio.sleep(fault.delay_s)
                await self._run(scope, body, send)
            case "lose_response":
                await self._run(scope, body, _Kept())
                await _break()
            case "late_commit":
                assert self._simulator.nursery is not None, "late commits need a server"
                self._simulator.nursery.start_soon(self._commit_late, fault.delay_s, scope, body)
                await _break()
            case "wrong_body":
                await self._run(scope, body, _Kept())
                await _answer(send, 200, dict(fault.headers), _bytes(fault.body))
            case "truncate":
                kept = _Kept()
                await self._run(scope, body, kept)
                if kept.body:  # an answer without a body ends with its head, so half of it is no head
                    await send(kept.start_with_length())
                    half = kept.body[: len(kept.body) // 2]
                    await send({"type": "http.response.body", "body": half, "more_body": True})
                await _break()
            case "drip":
                kept = _Kept()
                await self._run(scope, body, kept)
                await send(kept.start_with_length())
                for byte in kept.body:
                    await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
                    await trio.sleep(fault.delay_s)
                await send({"type": "http.response.body", "body": b""})

    async def _commit_late(self, delay_s: float, scope: Scope, body: bytes) -> None:
        await trio.sleep(delay_s)
        await self._run(scope, body, _Kept())


class _Kept:
    """Takes an answer instead of the client."""

    def __init__(self) -> None:
        self.start: Message = {"type": "http.response.start", "status": 200, "headers": []}
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")

    def start_with_length(self) -> Message:
        kept = [(name, value) for name, value in self.start["headers"] if name.lower() != b"content-length"]
        return {**self.start, "headers": [*kept, (b"content-length", str(len(self.body)).encode())]}


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None when the client went away before its end, so that half a request is not run."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _replay(body: bytes) -> Receive:
    """A ``receive`` that gives a body that was read already, then waits for the client to go."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await trio.sleep_forever()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _answer(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    if not any(name == b"content-type" for name, _ in pairs):
        pairs.append((b"content-type", b"application/json"))
    pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _bytes(body: object) -> bytes:
    if isinstance(body, str):
        return body.encode()
    return b"" if body is None else bytes(msgspec.json.encode(body))


async def _break() -> None:
    """Break the connection of the request in hand without another byte."""
    stream = connection.get()
    if stream is not None:
        await trio.aclose_forcefully(stream)
