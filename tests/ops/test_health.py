"""The ops listener over real sockets: what it tells, to whom, and what clients cannot do to it."""

import socket
import stat
from pathlib import Path

import pytest
import trio
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from isthmus.ops.guard import BodyLimit, HostGuard
from isthmus.ops.health import HealthCheck, ops_app
from isthmus.ops.metrics import Metrics
from isthmus.ops.serve import SocketTaken, serve

Checks = list[HealthCheck]
GOOD = HealthCheck(name="loop", ok=True)
BAD = HealthCheck(name="writer", ok=False, detail="no answer for 12 s")


class Listener:
    """A served application, and a client that shows exactly what came back."""

    def __init__(self, url: str) -> None:
        self.port = int(url.rpartition(":")[2])
        self.live: Checks = [GOOD]
        self.ready: Checks = [GOOD]

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def ask(self, request: str, *headers: str, host: str | None = "localhost") -> tuple[int, str]:
        """Status and whole answer of one request on a connection of its own."""
        lines = [f"{request} HTTP/1.1", *([f"Host: {host}"] if host is not None else []), *headers]
        return await self.send("\r\n".join([*lines, "Connection: close", "", ""]).encode())

    async def send(self, data: bytes) -> tuple[int, str]:
        async with await self.connect() as stream:
            await stream.send_all(data)
            answer = await read_all(stream)
        return int(answer.split(" ", 2)[1]), answer


async def read_all(stream: trio.SocketStream) -> str:
    answer = b""
    with trio.fail_after(5):
        while piece := await stream.receive_some():
            answer += piece
    return answer.decode()


@pytest.fixture
async def listener(nursery: trio.Nursery) -> Listener:
    holder: list[Listener] = []
    app = ops_app(Metrics(), lambda: holder[0].live, lambda: holder[0].ready, hosts=["metrics.acme.example"])
    holder.append(Listener(await nursery.start(serve, app, ("127.0.0.1", 0))))
    return holder[0]


async def test_a_scrape_gets_text_or_openmetrics_as_it_asks(listener: Listener) -> None:
    status, answer = await listener.ask("GET /metrics")
    assert (status, "text/plain; version=0.0.4" in answer) == (200, True)
    assert "isthmus_process_start_time_seconds" in answer
    status, answer = await listener.ask("GET /metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert (status, "application/openmetrics-text" in answer, "# EOF" in answer) == (200, True, True)


async def test_the_status_code_is_the_contract_and_a_failure_says_which_check(listener: Listener) -> None:
    assert (await listener.ask("GET /livez"))[0] == 200
    listener.live = [GOOD, BAD]
    status, answer = await listener.ask("GET /livez")
    assert status == 503
    assert "[+]loop ok\n[-]writer failed: no answer for 12 s\nlivez check failed" in answer
    assert (await listener.ask("GET /readyz"))[0] == 200


async def test_verbose_lists_every_check(listener: Listener) -> None:
    assert "[+]" not in (await listener.ask("GET /readyz"))[1]
    assert "[+]loop ok\nreadyz check passed" in (await listener.ask("GET /readyz?verbose"))[1]


async def test_only_reading_is_served(listener: Listener) -> None:
    assert (await listener.ask("POST /metrics", "Content-Length: 0"))[0] == 405
    assert (await listener.ask("HEAD /livez"))[0] == 200
    assert (await listener.ask("GET /admin"))[0] == 404


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz", "/nowhere"])
@pytest.mark.parametrize(
    ("host", "served"),
    [
        pytest.param("localhost", True, id="localhost"),
        pytest.param("LOCALHOST:9477", True, id="in capitals, with a port"),
        pytest.param("127.0.0.1:1", True, id="the address"),
        pytest.param("[::1]:9477", True, id="IPv6 loopback"),
        pytest.param("metrics.acme.example", True, id="a name of the configuration"),
        pytest.param("evil.example", False, id="a rebound name"),
        pytest.param("127.0.0.1.evil.example", False, id="a name that begins like the address"),
        pytest.param("localhost.evil.example:9477", False, id="a name that begins like localhost"),
        pytest.param("evil.example:127.0.0.1", False, id="the address as a port"),
        pytest.param("localhost@evil.example", False, id="ours as user of another"),
        pytest.param("127.0.0.2", False, id="another loopback address"),
        pytest.param("", False, id="an empty one"),
    ],
)
async def test_only_requests_for_our_own_names_are_served(
    listener: Listener, path: str, host: str, served: bool
) -> None:
    status, answer = await listener.ask(f"GET {path}", host=host)
    assert (status not in (400, 421)) == served, answer
    assert served or "isthmus_" not in answer


async def test_a_second_host_or_another_one_in_the_request_line_is_no_way_around(listener: Listener) -> None:
    assert (await listener.ask("GET /metrics", "Host: localhost", host="evil.example"))[0] in (400, 421)
    assert (await listener.ask("GET /metrics", "Host: evil.example"))[0] in (400, 421)
    status, answer = await listener.ask("GET http://evil.example/metrics")
    assert (status, "isthmus_" in answer) == (404, False)
    assert (await listener.send(b"GET /metrics HTTP/1.0\r\n\r\n"))[0] in (400, 421)


async def test_mutant_without_the_guard_a_rebound_name_is_served(nursery: trio.Nursery) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("secret")(scope, receive, send)

    url = await nursery.start(serve, app, ("127.0.0.1", 0))
    assert (await Listener(url).ask("GET /", host="evil.example"))[0] == 200


@pytest.fixture
async def echo(nursery: trio.Nursery) -> Listener:
    """Answers with the length of the body it was given, at most 1,000 bytes within 0.2 s."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        await PlainTextResponse(str(len(body)))(scope, receive, send)

    app: ASGIApp = HostGuard(BodyLimit(answer, max_bytes=1000, deadline_s=0.2))
    return Listener(await nursery.start(serve, app, ("127.0.0.1", 0)))


async def test_a_body_is_bounded_in_size_whatever_its_header_says(echo: Listener) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    assert (await echo.send(head + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000))[0] == 200
    assert (await echo.send(head + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001))[0] == 413
    chunks = b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"
    assert (await echo.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks))[0] == 413


async def test_a_body_is_bounded_in_time(echo: Listener) -> None:
    status, _ = await echo.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
    assert status == 408


async def test_headers_are_bounded_in_size(listener: Listener) -> None:
    async def pour(stream: trio.SocketStream) -> None:
        while True:
            await stream.send_all(b"x" * 100_000)

    async with await listener.connect() as stream:
        await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ")
        with pytest.raises(trio.BrokenResourceError), trio.fail_after(5):
            await pour(stream)


async def test_dripping_clients_lose_their_place_and_nobody_else_waits(nursery: trio.Nursery) -> None:
    app = ops_app(Metrics(), lambda: [GOOD], lambda: [GOOD])
    url = await nursery.start(
        lambda task_status: serve(app, ("127.0.0.1", 0), headers_within_s=0.5, task_status=task_status)
    )
    listener = Listener(url)
    dropped: list[int] = []
    all_dropped = trio.Event()

    async def drip() -> None:
        stream = await listener.connect()
        async with stream:
            try:
                for letter in b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 1000:
                    await stream.send_all(bytes([letter]))
                    with trio.move_on_after(0.05):
                        if await stream.receive_some() == b"":
                            break
            except trio.BrokenResourceError:
                pass
        dropped.append(1)
        if len(dropped) == 100:
            all_dropped.set()

    async with trio.open_nursery() as drips:
        for _ in range(100):
            drips.start_soon(drip)
        await trio.sleep(0.1)
        for _ in range(5):
            with trio.fail_after(0.25):
                assert (await listener.ask("GET /livez"))[0] == 200
            await trio.sleep(0.05)
        with trio.fail_after(5):
            await all_dropped.wait()


async def test_a_client_that_does_not_read_is_given_up(nursery: trio.Nursery) -> None:
    gave_up = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("x" * 20_000_000)(scope, receive, send)
        gave_up.set()

    url = await nursery.start(
        lambda task_status: serve(app, ("127.0.0.1", 0), send_within_s=0.2, task_status=task_status)
    )
    async with await Listener(url).connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with trio.fail_after(5):
            await gave_up.wait()


async def test_a_unix_socket_is_for_the_group_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    app = ops_app(Metrics(), lambda: [GOOD], lambda: [GOOD])
    async with trio.open_nursery() as nursery:
        assert await nursery.start(serve, app, path) == str(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert "200" in await read_all(stream)
        with pytest.raises(SocketTaken):
            await serve(app, path)
        nursery.cancel_scope.cancel()
    assert not path.exists()


async def test_what_a_killed_daemon_left_is_replaced_but_nothing_else(tmp_path: Path) -> None:
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(left))
    app = ops_app(Metrics(), lambda: [GOOD], lambda: [GOOD])
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, app, left)
        nursery.cancel_scope.cancel()
    file = tmp_path / "file"
    file.write_text("keep me")
    with pytest.raises(SocketTaken):
        await serve(app, file)
    assert file.read_text() == "keep me"
