"""Brings clients that insist on ``https://<vendor host>`` to a simulator, and nowhere else.

A CONNECT proxy on loopback terminates TLS with a throw-away certificate authority and pipes what it reads
to the simulator. A host that is not listed is refused before a byte leaves the machine, and remembered.
The client needs no change, only the variables of `TlsProxy.environment`::

    async with started(simulator), tls_proxy({"login.example.com": simulator.base_url}, tmp_path) as proxy:
        await trio.run_process([...], env={**os.environ, **proxy.environment()})
        assert proxy.refused == []
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

if TYPE_CHECKING:
    import trustme

__all__ = ["TlsProxy", "tls_proxy"]

HEAD_MAX = 16 * 1024
FIRST_BYTES_S = 10.0


class TlsProxy:
    """A running proxy.

    Attributes:
        url: Where it listens, ``http://127.0.0.1:<port>``.
        ca_file: The certificate a client must trust, PEM.
        reached: Hosts that were asked for and mapped, one entry per connection.
        refused: ``host:port`` (or the URL of a plain request) that was asked for and not mapped.
    """

    def __init__(self, hosts: Mapping[str, str], authority: "trustme.CA", ca_file: Path) -> None:
        self.url = ""
        self.ca_file = ca_file
        self.reached: list[str] = []
        self.refused: list[str] = []
        self._upstream = {host.lower(): urlsplit(base_url) for host, base_url in hosts.items()}
        self._tls: dict[str, ssl.SSLContext] = {}
        for host in self._upstream:
            self._tls[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(host).configure_cert(self._tls[host])

    def environment(self) -> dict[str, str]:
        """What brings requests, urllib, httpx and curl here, in both spellings they look for."""
        proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), self.url)
        trust = dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), str(self.ca_file))
        return {**proxies, **trust, "NO_PROXY": "", "no_proxy": ""}

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection of a client, from CONNECT to its end."""
        async with stream:
            try:
                await self._serve(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
                return  # either side went away: the client sees a closed connection, as through any proxy

    async def _serve(self, stream: trio.SocketStream) -> None:
        with trio.fail_after(FIRST_BYTES_S):
            method, target = await _request_line(stream)
        host, _, port = target.rpartition(":")
        host = host.lower()
        if method != "CONNECT" or port != "443" or host not in self._upstream:
            self.refused.append(target)
            await stream.send_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return
        self.reached.append(host)
        await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        secure = trio.SSLStream(stream, self._tls[host], server_side=True, https_compatible=True)
        await secure.do_handshake()
        upstream = self._upstream[host]
        plain = await trio.open_tcp_stream(upstream.hostname or "", upstream.port or 80)
        async with plain, trio.open_nursery() as nursery:
            nursery.start_soon(_pump, secure, plain, nursery.cancel_scope)
            nursery.start_soon(_pump, plain, secure, nursery.cancel_scope)


@asynccontextmanager
async def tls_proxy(hosts: Mapping[str, str], directory: Path) -> AsyncIterator[TlsProxy]:
    """A proxy for the length of the block.

    Args:
        hosts: Base URL of the simulator by the vendor's host name.
        directory: Takes the certificate of the throw-away authority, ``ca.pem``.
    """
    import trustme

    authority = trustme.CA()
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    proxy = TlsProxy(hosts, authority, ca_file)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, proxy.serve, listeners)
        yield proxy
        nursery.cancel_scope.cancel()


async def _request_line(stream: trio.SocketStream) -> tuple[str, str]:
    """Method and target of the first request; the rest of its head is read and dropped."""
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = await stream.receive_some(4096)
        if not chunk or len(head) > HEAD_MAX:
            raise trio.BrokenResourceError("no request")
        head += chunk
    method, target, *_ = (head.split(b"\r\n", 1)[0].decode("latin-1") + "  ").split(" ")
    return method, target


async def _pump(source: trio.abc.ReceiveStream, target: trio.abc.SendStream, done: trio.CancelScope) -> None:
    """Carry bytes until ``source`` ends; then the whole connection is over."""
    try:
        while chunk := await source.receive_some(65536):
            await target.send_all(chunk)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    done.cancel()
