"""The one way out over HTTP, with the rules no connector has to remember.

- Credentials go only to the configured origin: scheme, host and port. A link to anywhere else, such as a
  server-supplied ``next`` page, is refused before a byte is sent.
- Redirects are never followed; environment proxies are not used unless asked for.
- A whole call has one deadline; a decoded body has a size and a ratio limit, checked while it streams.
- A write without an answer is `Unsure`, a read without one is `Retryable`.
- 429, and 503 with Retry-After, are `Throttled`; nothing else is judged here: the connector knows its
  vendor's errors. `fate_of` is the default table for what the vendor's table does not name.
"""

import math
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import httpx
import msgspec
import trio

from isthmus.sdk.errors import ConnectorError, Fatal, Rejected, Retryable, Throttled, Unsure

__all__ = [
    "Auth",
    "Http",
    "HttpLimits",
    "Observe",
    "Reply",
    "TokenAuth",
    "fate_of",
    "open_http",
    "over_socket",
]

SECRET_MIN = 8
"""Shorter parts of a credential header are words such as ``Bearer``."""

RETRY_AFTER_MAX_S = 86400.0
"""The longest pause a peer is believed to mean."""

Observe = Callable[[str, str, float], None]
"""Called once per call with method, outcome and seconds; outcomes are ok retryable throttled unsure fatal."""


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Patience and budgets of one origin."""

    deadline_s: float = 30.0
    max_body_bytes: int = 32 * 1024 * 1024
    max_ratio: int = 100
    """Decoded to received bytes; past it (and past 1 MiB) a body is a bomb."""
    concurrency: int = 8
    per_second: float | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    trust_env: bool = False


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that was read to its end. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as plain values.

        Numbers with a point come as strings of their digits, so that money never passes a float.

        Raises:
            Retryable: the body is no JSON; a proxy's error page under a 200 is a passing fault.
        """
        try:
            return _json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Retryable(f"answer {self.status} is not the JSON it should be: {error}") from error

    def words(self) -> str:
        """The start of the body, for a person."""
        return " ".join(self.body[:500].decode("utf-8", "replace").split())


_json = msgspec.json.Decoder(float_hook=str)


class Auth(Protocol):
    """Gives each request its credentials."""

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        """The headers for one request to the configured origin."""

    def refused(self, reply: Reply) -> bool:
        """Whether ``reply`` says that the credentials expired; then `renew` is called, once per call."""

    def renew(self) -> None:
        """Forget what was cached, so that the next `headers` logs in again."""


class TokenAuth:
    """A bearer token fetched on first use and once more when the peer says that it expired.

    ``fetch`` logs in and returns the token; calls that need it at the same time share one login.
    """

    def __init__(
        self,
        fetch: Callable[[], Any],
        *,
        expired: Callable[[Reply], bool] = lambda reply: reply.status == 401,
        scheme: str = "Bearer",
    ) -> None:
        self._fetch = fetch
        self._expired = expired
        self._scheme = scheme
        self._token: str | None = None
        self._lock = trio.Lock()

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        async with self._lock:
            if self._token is None:
                self._token = await self._fetch()
            return {"authorization": f"{self._scheme} {self._token}"}

    def refused(self, reply: Reply) -> bool:
        return self._expired(reply)

    def renew(self) -> None:
        self._token = None


class Http:
    """A client of one origin. Open it with ``ctx.http``."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_url: str,
        *,
        auth: Auth | None,
        limits: HttpLimits,
        observe: Observe,
    ) -> None:
        self._client = client
        self._base = base_url.rstrip("/") + "/"
        self._origin = _origin(self._base)
        self._wire_origin = _wire_origin(httpx.URL(self._base))
        self._auth = auth
        self._limits = limits
        self._observe = observe
        self._slots = trio.CapacityLimiter(limits.concurrency)
        self._next_at = 0.0

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Reply:
        return await self.request("POST", path, **options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        write: bool | None = None,
    ) -> Reply:
        """Send one request and read the whole answer, whatever its status.

        Args:
            path: relative to the base URL, or a link the peer gave; one to another origin is refused.
            json: encoded with decimals as strings.
            write: whether a lost answer leaves doubt; None takes it from the method.

        Raises:
            Unsure: a write was sent and no answer came.
            Retryable: nothing was sent, or a read broke off.
            Throttled: 429, or 503 with Retry-After.
            Fatal: the link leaves the configured origin.
        """
        url = self._resolve(path)
        if write is None:
            write = method not in ("GET", "HEAD", "OPTIONS")
        body = content
        sent = {"accept-encoding": "gzip", **(headers or {})}
        if json is not None:
            body = msgspec.json.encode(json)
            sent.setdefault("content-type", "application/json")
        reply = await self._call(method, url, params, body, form, sent, write)
        if self._auth is not None and self._auth.refused(reply):
            self._auth.renew()
            reply = await self._call(method, url, params, body, form, sent, write)
        if reply.status == 429 or (reply.status == 503 and "retry-after" in reply.headers):
            raise Throttled(
                f"{method} {urlsplit(url).path} answered {reply.status}",
                retry_after_s=_retry_after(reply.headers.get("retry-after")),
                peer_words=reply.words(),
            )
        return reply

    def _resolve(self, path: str) -> str:
        """``path`` as a URL of our origin, as both the standard library and httpx read it."""
        shown = path.partition("?")[0][:80]
        if path.startswith("//") or "\\" in path or any(ord(c) < 33 for c in path):
            raise Fatal(f"a link of the peer is malformed: {shown!r}")
        try:
            joined = urljoin(self._base, path or ".")
            parts = urlsplit(joined)
            sent_to = httpx.URL(joined)
        except (ValueError, httpx.InvalidURL) as error:
            raise Fatal(f"a link of the peer is malformed: {shown!r}") from error
        userinfo = parts.username is not None or parts.password is not None or sent_to.userinfo
        ours = _origin(joined) == self._origin and _wire_origin(sent_to) == self._wire_origin
        if userinfo or not ours:
            raise Fatal(f"a link of the peer leaves {self._origin[1]}: {parts.scheme}://{parts.hostname}")
        return joined

    async def _call(
        self,
        method: str,
        url: str,
        params: Mapping[str, str | int] | None,
        body: bytes | None,
        form: Mapping[str, str] | None,
        headers: Mapping[str, str],
        write: bool,
    ) -> Reply:
        began = trio.current_time()
        sent = False
        outcome = "retryable"
        place = f"{method} {urlsplit(url).path}"
        try:
            with trio.fail_after(self._limits.deadline_s):
                async with self._slots:
                    await self._pace()
                    credentials = await self._credentials(method, url)
                    request = self._client.build_request(
                        method,
                        url,
                        params=params,
                        content=body,
                        data=form,
                        headers={**headers, **credentials},
                    )
                    sent = True
                    reply = _scrubbed(await self._exchange(request), credentials)
        except httpx.LocalProtocolError:
            message = (
                f"{place}: cannot be sent: a header is malformed; is there a line break in a credential?"
            )
            raise Fatal(message) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Retryable(f"{place}: no connection: {_kind(error)}") from None
        except (trio.TooSlowError, httpx.TransportError, httpx.DecodingError, _TooLarge) as error:
            if isinstance(error, _TooLarge) and not write:
                raise Rejected(f"{place}: {error}") from None
            if not sent:
                raise Retryable(f"{place}: not sent within {self._limits.deadline_s:g} s") from None
            if write:
                outcome = "unsure"
                raise Unsure(f"{place}: sent, no answer: {_kind(error)}") from None
            raise Retryable(f"{place}: no answer: {_kind(error)}") from None
        else:
            outcome = "throttled" if reply.status == 429 else "ok" if reply.status < 500 else "retryable"
            return reply
        finally:
            self._observe(method, outcome, trio.current_time() - began)

    async def _credentials(self, method: str, url: str) -> Mapping[str, str]:
        """The headers of one request. A login without an answer leaves no doubt about the request itself."""
        if self._auth is None:
            return {}
        try:
            return await self._auth.headers(method, url)
        except Unsure as error:
            raise Retryable(f"no login: {error}", peer_words=error.peer_words) from error

    async def _exchange(self, request: httpx.Request) -> Reply:
        response = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            body = await _read(response, self._limits)
        finally:
            with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
                await response.aclose()
        return Reply(status=response.status_code, headers=dict(response.headers), body=body)

    async def _pace(self) -> None:
        """Space calls evenly when the origin has a rate."""
        if self._limits.per_second is None:
            return
        now = trio.current_time()
        at = max(now, self._next_at)
        self._next_at = at + 1 / self._limits.per_second
        await trio.sleep_until(at)


@asynccontextmanager
async def open_http(
    base_url: str,
    *,
    auth: Auth | None = None,
    limits: HttpLimits | None = None,
    headers: Mapping[str, str] | None = None,
    observe: Observe = lambda method, outcome, seconds: None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Http]:
    """A client of the origin of ``base_url``.

    Raises:
        Fatal: ``base_url`` is no http(s) URL, or carries credentials.
    """
    limits = limits or HttpLimits()
    refusal = f"{base_url.split('@')[-1]!r} is no base URL; write https://host without a user name"
    try:
        parts = urlsplit(base_url)
        httpx.URL(base_url)
    except (ValueError, httpx.InvalidURL):
        raise Fatal(refusal) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise Fatal(refusal)
    verify: ssl.SSLContext | bool = False  # plain http: loading authorities would only cost time
    if parts.scheme == "https":
        verify = ssl.create_default_context(cafile=str(limits.ca_file) if limits.ca_file else None)
        verify.minimum_version = ssl.TLSVersion.TLSv1_2
        if limits.client_cert is not None:
            verify.load_cert_chain(str(limits.client_cert))
    async with httpx.AsyncClient(
        verify=verify,
        headers=dict(headers or {}),
        timeout=limits.deadline_s,
        trust_env=limits.trust_env,
        follow_redirects=False,
        transport=transport,
        limits=httpx.Limits(max_connections=limits.concurrency, max_keepalive_connections=limits.concurrency),
    ) as client:
        yield Http(client, base_url, auth=auth, limits=limits, observe=observe)


def over_socket(path: Path) -> httpx.AsyncBaseTransport:
    """A transport to a server on a unix socket, such as the daemon's admin socket."""
    return httpx.AsyncHTTPTransport(uds=str(path))


def fate_of(reply: Reply, *, write: bool, words: str | None = None) -> ConnectorError:
    """The error for an answer that is not a success and that the vendor's own table does not name."""
    text = words or reply.words()
    message = f"the peer answered {reply.status}: {text[:200]}"
    if reply.status in (401, 403):
        return Fatal(message, peer_words=text)
    if reply.status in (408, 425) or reply.status >= 500:
        if write and reply.status in (500, 502, 504):
            return Unsure(message, peer_words=text)
        return Retryable(message, peer_words=text)
    if 300 <= reply.status < 400:
        return Fatal(f"the peer redirects ({reply.status}); set the base URL to where it really is")
    return Rejected(message, peer_words=text)


async def _read(response: httpx.Response, limits: HttpLimits) -> bytes:
    """The decoded body, never more in memory than its limit."""
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding in ("gzip", "x-gzip"):
        inflate = zlib.decompressobj(wbits=31)
    elif encoding in ("identity", ""):
        inflate = None
    else:
        raise httpx.DecodingError(f"content-encoding {encoding!r} was not asked for")
    received = 0
    body = bytearray()
    async for chunk in response.aiter_raw():
        received += len(chunk)
        if inflate is None:
            body += chunk
        else:
            try:
                body += inflate.decompress(chunk, limits.max_body_bytes + 1 - len(body))
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
        if len(body) > limits.max_body_bytes:
            raise _TooLarge(f"the answer is larger than {limits.max_body_bytes} bytes")
        if len(body) > 1024 * 1024 and len(body) > limits.max_ratio * received:
            raise _TooLarge(f"the answer inflates more than {limits.max_ratio} times")
    if inflate is not None and received and not inflate.eof:
        raise httpx.DecodingError("the compressed body ends early")
    return bytes(body)


class _TooLarge(Exception):
    """The answer is past a limit; what that means depends on whether something was written."""


def _scrubbed(reply: Reply, credentials: Mapping[str, str]) -> Reply:
    """An error answer without the credentials it was given: some peers quote the request they refuse."""
    if reply.ok:
        return reply
    body = reply.body
    for value in credentials.values():
        for part in value.split():
            if len(part) >= SECRET_MIN:
                body = body.replace(part.encode(), b"***")
    return msgspec.structs.replace(reply, body=body)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        port = 0
    return parts.scheme, (parts.hostname or "").lower(), port


def _wire_origin(url: httpx.URL) -> tuple[str, str, int]:
    """The origin httpx would connect to: its own reading of the URL, with international names encoded."""
    return _origin(f"{url.scheme}://{url.netloc.decode('ascii').rpartition('@')[2]}")


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header in either of its forms; more than a day is not believed."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    if not math.isfinite(seconds):
        return None
    return min(max(0.0, seconds), RETRY_AFTER_MAX_S)


def _kind(error: BaseException) -> str:
    """The name of a transport error; its text may hold a URL with a secret in it."""
    return type(error).__name__
