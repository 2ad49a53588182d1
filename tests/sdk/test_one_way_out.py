"""One factory, no other way out: nothing else in the daemon or in a plugin opens a connection."""

from pathlib import Path

import pytest

from isthmus.sdk.testing import ways_out

ROOT = Path(__file__).parents[2]

KNOWN = {
    "daemon/isthmus": {
        "sdk/http.py: httpx",  # the factory
        "store/_bridge.py: asyncio",  # the loop that aiosqlite needs; it has no network
        "ops/serve.py: socket",  # listens
        "ops/serve.py: trio.open_tcp_listeners",
        "ops/serve.py: trio.socket",
        "ops/notify.py: socket",  # tells systemd, over a unix socket
        "ops/notices/mail.py: smtplib",  # to the local mail server, which has no HTTP
        "sdk/simulator/server.py: trio.open_tcp_listeners",  # a fake vendor listens on loopback
        "sdk/testing/lost.py: httpx",  # a transport between a test and its fake vendor
        "sdk/testing/tls_proxy.py: trio.open_tcp_listeners",
        "sdk/testing/tls_proxy.py: trio.open_tcp_stream",  # from a test's client to a fake vendor
        "demo/process.py: subprocess",  # the demo starts, and kills, a daemon
    },
    "plugins/kantata/src": set(),
    "plugins/legacy-erp/src": {
        # Staging tables are reached by the database's own driver; there is no HTTP to it.
        "isthmus_legacy_erp/staging/database.py: sqlalchemy.create_engine",
    },
    "plugins/netsuite/src": set(),
    "plugins/runn/src": set(),
    "plugins/salesforce/src": set(),
}


def test_every_plugin_is_looked_at() -> None:
    there = {f"plugins/{path.name}/src" for path in (ROOT / "plugins").iterdir() if (path / "src").is_dir()}
    assert there | {"daemon/isthmus"} == KNOWN.keys()


@pytest.mark.parametrize("part", KNOWN)
def test_nothing_opens_a_connection_past_the_factory(part: str) -> None:
    assert ways_out(ROOT / part, allowed=KNOWN[part]) == []


@pytest.mark.parametrize("part", [part for part, known in KNOWN.items() if known])
def test_nothing_is_excused_that_is_no_longer_there(part: str) -> None:
    found = {": ".join((line.split(":")[0], line.rpartition(": ")[2])) for line in ways_out(ROOT / part)}
    assert found >= KNOWN[part]


@pytest.mark.parametrize(
    ("code", "what"),
    [
        pytest.param("import requests", "requests", id="an HTTP client"),
        pytest.param("import httpx", "httpx", id="the factory's own client"),
        pytest.param("import urllib.request", "urllib.request", id="the standard library's"),
        pytest.param("from urllib import request", "urllib.request", id="from its package"),
        pytest.param("from urllib.request import urlopen as f", "urllib.request", id="renamed"),
        pytest.param("import http.client as quiet", "http.client", id="one layer down"),
        pytest.param("from socket import create_connection", "socket", id="a bare socket"),
        pytest.param(
            "import trio\nasync def f():\n    await trio.open_tcp_stream('h', 1)",
            "trio.open_tcp_stream",
            id="trio's stream",
        ),
        pytest.param("import trio as t\ns = t.socket.socket()", "trio.socket", id="trio's socket, renamed"),
        pytest.param("from trio import open_tcp_stream as o", "trio.open_tcp_stream", id="taken out"),
        pytest.param("from trio import socket", "trio.socket", id="trio's socket, taken out"),
        pytest.param("import asyncio", "asyncio", id="another loop"),
        pytest.param("import smtplib", "smtplib", id="mail"),
        pytest.param("def f():\n    import aiohttp", "aiohttp", id="inside a function"),
        pytest.param("__import__('requests')", "requests", id="by name"),
        pytest.param("import importlib\nimportlib.import_module('urllib3.x')", "urllib3", id="a longer one"),
        pytest.param("from importlib import import_module as i\ni('socket')", "socket", id="renamed too"),
        pytest.param("import subprocess\nsubprocess.run(['curl', 'x'])", "subprocess", id="another program"),
        pytest.param("import os\nos.system('curl x')", "os.system", id="a shell"),
        pytest.param("if not TYPE_CHECKING:\n    import httpx", "httpx", id="for all but a type checker"),
        pytest.param("if TYPE_CHECKING:\n    x = 1\nelse:\n    import httpx", "httpx", id="else for real"),
        pytest.param("import psycopg", "psycopg", id="a database driver"),
    ],
)
def test_a_planted_way_out_is_found(tmp_path: Path, code: str, what: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "planted.py").write_text(f'"""A module."""\n\n{code}\n')
    found = ways_out(tmp_path)
    assert found
    assert found[0].startswith("sub/planted.py:")
    assert found[0].endswith(f": {what}")
    assert ways_out(tmp_path / "sub" / "planted.py", allowed={f"planted.py: {what}"}) == []


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("from urllib.parse import quote", id="reading an address"),
        pytest.param("import httpxtra", id="a name that begins alike"),
        pytest.param("import ssl, email, trio\ntrio.open_nursery()", id="what connects to nothing"),
        pytest.param("async def f(ctx):\n    return ctx.http('https://x')", id="ctx.http"),
        pytest.param("def f(self):\n    self.socket = 'a field'", id="a field of that name"),
        pytest.param("from . import socket", id="a module of its own"),
        pytest.param("import typing\nif typing.TYPE_CHECKING:\n    import httpx", id="for types only"),
    ],
)
def test_what_is_no_way_out_is_left_alone(tmp_path: Path, code: str) -> None:
    (tmp_path / "fine.py").write_text(code)
    assert ways_out(tmp_path) == []
