"""The one way out over HTTP, with the rules no connector has to remember.

- Credentials go only to the configured origin: scheme, host and port. A link to anywhere else, such as a
  server-supplied ``next`` page, is refused before a byte is sent.
- Redirects are never followed; environment proxies are not used unless asked for.
- TLS is verified, 1.2 at least, with the firm's own authority where one is set.
- A whole call has one deadline; a body has a size and a ratio limit, checked while it streams.
- Answers and errors come without the credentials of the request.
- A write without an answer is `Unsure`, a read without one is `Retryable`.
- 429, and 503 with Retry-After, are `Throttled`; nothing else is judged here: the connector knows its
  vendor's errors. `fate_of` is the default table for what the vendor's table does not name.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import msgspec
import trio

from isthmus.sdk.body import Body, BodyBroken, BodyTooLarge
from isthmus.sdk.errors import Fatal, Rejected, Retryable, Throttled, Unsure
from isthmus.sdk.links import Origin, check_base, origin_of, resolve, shown
from isthmus.sdk.reply import Reply, fate_of, retry_after
from isthmus.sdk.scrub import SECRET_MIN
from isthmus.sdk.secret import Secret
from isthmus.sdk.tls import client_context, expires_at, why_refused

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
    "recorded_transport",
]

Observe = Callable[[str, str, float], None]
"""Called once per call with method, outcome and seconds; outcomes are ok retryable throttled unsure fatal."""

CONNECT_SHARE = 0.7
"""Of the deadline, for the connection: if that is not there by then, it is known that nothing was sent."""


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Patience and budgets of one origin."""

    deadline_s: float = 30.0
    max_body_bytes: int = 32 * 1024 * 1024
    max_ratio: int = 100
    """Decoded to received bytes; past it (and past 1 MiB) a body is a bomb."""
    concurrency: int = 8
    per_second: float | None = None
    ca_file: Path | None = None
    """PEM of the only authorities to trust, instead of the system's."""
    client_cert: Path | None = None
    """PEM of our certificate with its key, for a peer that asks for one."""
    trust_env: bool = False


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
        self._token: Secret | None = None
        self._lock = trio.Lock()

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        async with self._lock:
            if self._token is None:
                self._token = Secret(await self._fetch())
            return {"authorization": f"{self._scheme} {self._token.reveal()}"}

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
        certified: Callable[[datetime], None],
    ) -> None:
        self._client = client
        self._base = base_url.rstrip("/") + "/"
        self._wire_origin = _wire_origin(httpx.URL(self._base))
        self._auth = auth
        self._limits = limits
        self._observe = observe
        self._certified = certified
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
                retry_after_s=retry_after(reply.headers.get("retry-after")),
                peer_words=reply.words(),
            )
        return reply

    def _resolve(self, path: str) -> str:
        """``path`` as a URL of our origin, as both the standard library and httpx read it."""
        joined = resolve(self._base, path)
        try:
            sent_to = httpx.URL(joined)
        except (ValueError, httpx.InvalidURL) as error:
            raise Fatal(f"a link of the peer is malformed: {shown(path)!r}") from error
        if sent_to.userinfo or _wire_origin(sent_to) != self._wire_origin:
            raise Fatal(
                f"a link of the peer leaves {self._wire_origin[1]}: {sent_to.scheme}://{sent_to.host}"
            )
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
                    reply = _scrubbed(await self._exchange(request), request, form)
        except httpx.LocalProtocolError:
            message = (
                f"{place}: cannot be sent: a header is malformed; is there a line break in a credential?"
            )
            raise Fatal(message) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Retryable(f"{place}: no connection: {why_refused(error) or _kind(error)}") from None
        except (trio.TooSlowError, httpx.TransportError, BodyBroken, BodyTooLarge) as error:
            if isinstance(error, BodyTooLarge) and not write:
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
            self._look_at_certificate(response)
            body = await _read(response, self._limits)
        finally:
            with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
                await response.aclose()
        return Reply(status=response.status_code, headers=dict(response.headers), body=body)

    def _look_at_certificate(self, response: httpx.Response) -> None:
        stream = response.extensions.get("network_stream")
        ends = None if stream is None else expires_at(stream.get_extra_info("ssl_object"))
        if ends is not None:
            self._certified(ends)

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
    certified: Callable[[datetime], None] = lambda until: None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Http]:
    """A client of the origin of ``base_url``.

    Args:
        headers: Sent with every request.
        certified: Told with each answer until when the peer's certificate is valid.

    Raises:
        Fatal: ``base_url`` is no http(s) URL, or carries credentials; or a certificate file cannot be used.
    """
    limits = limits or HttpLimits()
    check_base(base_url)
    try:
        secure = httpx.URL(base_url).scheme == "https"
    except httpx.InvalidURL:
        raise Fatal(f"{shown(base_url)!r} is no base URL") from None
    verify: ssl.SSLContext | bool = False  # plain http: loading authorities would only cost time
    if secure:
        verify = client_context(limits.ca_file, limits.client_cert)
    async with httpx.AsyncClient(
        verify=verify,
        headers=dict(headers or {}),
        timeout=httpx.Timeout(limits.deadline_s, connect=limits.deadline_s * CONNECT_SHARE),
        trust_env=limits.trust_env,
        follow_redirects=False,
        transport=transport,
        limits=httpx.Limits(max_connections=limits.concurrency, max_keepalive_connections=limits.concurrency),
    ) as client:
        yield Http(client, base_url, auth=auth, limits=limits, observe=observe, certified=certified)


def over_socket(path: Path) -> httpx.AsyncBaseTransport:
    """A transport to a server on a unix socket, such as the daemon's admin socket."""
    return httpx.AsyncHTTPTransport(uds=str(path))


def recorded_transport(answer: Callable[[str, str, bytes], Reply]) -> httpx.AsyncBaseTransport:
    """A transport without a network: ``answer`` gets method, URL and body of each request.

    What it raises reaches the caller as it is.
    """

    def handle(request: httpx.Request) -> httpx.Response:
        given = answer(request.method, str(request.url), request.content)
        return httpx.Response(given.status, headers=dict(given.headers), stream=_Given(given.body))

    return httpx.MockTransport(handle)


class _Given(httpx.AsyncByteStream):
    """A body that is streamed, since nothing here reads any other."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


async def _read(response: httpx.Response, limits: HttpLimits) -> bytes:
    """The unpacked body, never more in memory than its limit."""
    encoding = response.headers.get("content-encoding", "")
    body = Body(encoding, max_bytes=limits.max_body_bytes, max_ratio=limits.max_ratio)
    async for chunk in response.aiter_raw():
        body.take(chunk)
    return body.whole()


_OPEN_HEADERS = frozenset(
    ("accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent")
)
"""What every request says; anything else may be a credential."""
_OPEN_FIELDS = frozenset(("grant_type", "client_assertion_type", "scope"))


def _scrubbed(reply: Reply, request: httpx.Request, form: Mapping[str, str] | None) -> Reply:
    """An error answer without what it was asked with: some peers quote the request they refuse."""
    if reply.ok:
        return reply
    values = [value for name, value in request.headers.items() if name.lower() not in _OPEN_HEADERS]
    values += [value for name, value in (form or {}).items() if name not in _OPEN_FIELDS]
    body, headers = reply.body, dict(reply.headers)
    for part in sorted({part for value in values for part in value.split()}, key=len, reverse=True):
        if len(part) >= SECRET_MIN:
            body = body.replace(part.encode(), b"***")
            headers = {name: value.replace(part, "***") for name, value in headers.items()}
    return msgspec.structs.replace(reply, body=body, headers=headers)


def _wire_origin(url: httpx.URL) -> Origin:
    """The origin httpx would connect to: its own reading of the URL, with international names encoded."""
    return origin_of(f"{url.scheme}://{url.netloc.decode('ascii').rpartition('@')[2]}")


def _kind(error: BaseException) -> str:
    """A fault in words of ours; a transport error's own text may hold a URL with a secret in it."""
    if isinstance(error, BodyBroken | BodyTooLarge):
        return str(error)
    return type(error).__name__
