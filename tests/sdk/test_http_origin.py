"""Credentials reach the configured origin and nothing else, whatever a peer's link or redirect says."""

from collections.abc import AsyncIterator

import pytest

from isthmus.sdk.errors import Fatal
from isthmus.sdk.http import Http, TokenAuth, fate_of, open_http
from tests.sdk.wire import Peer, peer, reply, says

TOKEN = "secret-of-the-origin"
HOME, AWAY = "stays at the origin", "is refused"

LINKS = [
    # relative: always ours
    ("items", HOME),
    ("/items", HOME),
    ("items?page=2", HOME),
    ("?page=2", HOME),
    ("./items", HOME),
    ("../../items", HOME),
    ("/items?next=http://127.0.0.2:{decoy}/x", HOME),
    ("items?u=//127.0.0.2:{decoy}/", HOME),
    ("/@127.0.0.2:{decoy}/x", HOME),
    ("@127.0.0.2:{decoy}", HOME),
    ("/items#http://127.0.0.2:{decoy}", HOME),
    ("/%2f%2f127.0.0.2:{decoy}/", HOME),
    ("/.//127.0.0.2:{decoy}/x", HOME),
    ("http:items", HOME),
    ("http:/127.0.0.2:{decoy}/x", HOME),
    ("", HOME),
    # absolute: ours
    ("http://127.0.0.1:{port}/items", HOME),
    ("http://127.0.0.1:{port}", HOME),
    ("HTTP://127.0.0.1:{port}/items", HOME),
    ("http://127.0.0.1:0{port}/items", HOME),
    ("http://127.0.0.1:{port}/a/../../items", HOME),
    ("http://127.0.0.1:{port}?@127.0.0.2:{decoy}/", HOME),
    ("http://127.0.0.1:{port}#@127.0.0.2:{decoy}/", HOME),
    # another host
    ("http://127.0.0.2:{decoy}/x", AWAY),
    ("http://127.0.0.2:{port}/x", AWAY),
    ("http://localhost:{port}/x", AWAY),
    ("http://LOCALHOST:{decoy}/x", AWAY),
    ("http://127.0.0.1.:{port}/x", AWAY),
    ("http://127.0.0.1.example.com:{port}/x", AWAY),
    ("http://x127.0.0.1:{port}/", AWAY),
    ("http://127.0.0.10:{port}/", AWAY),
    ("http:///x", HOME),
    ("http://:{port}/x", AWAY),
    # other spellings of loopback addresses
    ("http://127.1:{port}/", AWAY),
    ("http://2130706433:{port}/", AWAY),
    ("http://2130706434:{decoy}/", AWAY),
    ("http://0x7f000002:{decoy}/", AWAY),
    ("http://0177.0.0.2:{decoy}/", AWAY),
    ("http://[::ffff:127.0.0.2]:{decoy}/", AWAY),
    ("http://[::1]:{port}/", AWAY),
    ("http://[127.0.0.2:{decoy}/", AWAY),
    ("http://127\u30020\u30020\u30022:{decoy}/", AWAY),
    ("http://\uff11\uff12\uff17.0.0.2:{decoy}/", AWAY),
    ("http://127.0.0.2%2f@127.0.0.1:{port}/", AWAY),
    ("http://127.0.0.1\u2100.example:{port}/", AWAY),
    ("http://xn--127-0-0-2:{decoy}/", AWAY),
    ("http://b\u00fccher.127.0.0.1:{port}/", AWAY),
    ("http://127.0.0.%31:{port}/", AWAY),
    ("http://017700000002:{decoy}/", AWAY),
    ("http://127.0.2:{decoy}/", AWAY),
    ("http://127.0.0.2.:{decoy}/", AWAY),
    ("http://[::ffff:7f00:2]:{decoy}/", AWAY),
    ("http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/", AWAY),
    ("http://0.0.0.0:{port}/", AWAY),
    ("http://127.0.0.1%00.example:{port}/", AWAY),
    # user names
    ("http://127.0.0.1:{port}@127.0.0.2:{decoy}/x", AWAY),
    ("http://127.0.0.1@127.0.0.2:{decoy}/x", AWAY),
    ("http://user:pass@127.0.0.1:{port}/x", AWAY),
    ("http://@127.0.0.2:{decoy}/x", AWAY),
    ("http://127.0.0.1:{port};@127.0.0.2:{decoy}/", AWAY),
    # another port or scheme
    ("http://127.0.0.1:{other}/x", AWAY),
    ("http://127.0.0.1/x", AWAY),
    ("http://127.0.0.1:/x", AWAY),
    ("http://127.0.0.1:{port}0/x", AWAY),
    ("http://127.0.0.1:+{port}/x", AWAY),
    ("https://127.0.0.1:{port}/x", AWAY),
    ("https:x", AWAY),
    ("ftp://127.0.0.1:{port}/x", AWAY),
    ("file:///etc/passwd", AWAY),
    ("javascript:alert(1)", AWAY),
    # what browsers mend
    ("//127.0.0.2:{decoy}/x", AWAY),
    ("///127.0.0.2:{decoy}/x", AWAY),
    ("\\\\127.0.0.2:{decoy}\\x", AWAY),
    ("/\\127.0.0.2:{decoy}/x", AWAY),
    ("http://127.0.0.1:{port}\\@127.0.0.2:{decoy}/", AWAY),
    (" http://127.0.0.2:{decoy}/x", AWAY),
    ("ht\ttp://127.0.0.2:{decoy}/x", AWAY),
    ("/items\r\nx-injected: 1", AWAY),
    ("http://127.0.0.1:{port}/\x00", AWAY),
    ("/\x7f", AWAY),
    ("/" + "a" * 70_000, AWAY),
]


class World:
    """The origin, and decoys: another port of its host, and another host."""

    def __init__(self, origin: Peer, other: Peer, decoy: Peer, http: Http) -> None:
        self.origin = origin
        self.decoys = (other, decoy)
        self.http = http

    def heard_elsewhere(self) -> int:
        return sum(decoy.connections for decoy in self.decoys)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async def token() -> str:
        return TOKEN

    async with (
        peer(says(reply())) as origin,
        peer(says(reply())) as other,
        peer(says(reply()), host="127.0.0.2") as decoy,
        open_http(f"{origin.url}/api/v1", auth=TokenAuth(token), headers={"x-api-key": TOKEN}) as http,
    ):
        yield World(origin, other, decoy, http)


def test_there_are_at_least_sixty_forms() -> None:
    assert len({form for form, _ in LINKS}) >= 60


@pytest.mark.parametrize(
    ("form", "fate"), [pytest.param(form, fate, id=f"{form[:50]!a} {fate}") for form, fate in LINKS]
)
async def test_a_link_of_the_peer(world: World, form: str, fate: str) -> None:
    other, decoy = world.decoys
    link = form.format(port=world.origin.port, other=other.port, decoy=decoy.port)
    if fate is AWAY:
        with pytest.raises(Fatal):
            await world.http.get(link)
        assert world.origin.heard == []
    else:
        assert (await world.http.get(link)).ok
        (request,) = world.origin.heard
        assert request.count(TOKEN.encode()) == 2
        assert f"host: 127.0.0.1:{world.origin.port}".encode() in request.lower()
    assert world.heard_elsewhere() == 0


@pytest.mark.parametrize(
    "form", [form for form, fate in LINKS if fate is AWAY], ids=lambda form: f"{form[:50]!a}"
)
async def test_a_write_to_a_link_elsewhere_is_not_sent_either(world: World, form: str) -> None:
    other, decoy = world.decoys
    with pytest.raises(Fatal):
        await world.http.post(
            form.format(port=world.origin.port, other=other.port, decoy=decoy.port), json={"n": 1}
        )
    assert world.origin.heard == []
    assert world.heard_elsewhere() == 0


async def test_the_decoys_do_hear_what_is_sent_to_them(world: World) -> None:
    """The mutant: a client that follows any link is heard by the decoy."""
    async with open_http(world.decoys[1].url, headers={"x-api-key": TOKEN}) as careless:
        await careless.get("x")
    assert world.heard_elsewhere() == 1
    assert TOKEN.encode() in world.decoys[1].heard[0]


@pytest.mark.parametrize("method", [pytest.param("GET", id="GET"), pytest.param("POST", id="POST")])
@pytest.mark.parametrize("status", [pytest.param(n, id=str(n)) for n in (301, 302, 303, 307, 308)])
async def test_a_redirect_is_an_answer_and_never_followed(method: str, status: int) -> None:
    async def token() -> str:
        return TOKEN

    async with peer(says(reply()), host="127.0.0.2") as decoy:
        moved = reply(status, b"moved", location=f"{decoy.url}/elsewhere")
        async with (
            peer(says(moved)) as origin,
            open_http(origin.url, auth=TokenAuth(token), headers={"x-api-key": TOKEN}) as http,
        ):
            answer = await http.request(method, "items", json={"a": 1} if method == "POST" else None)
            assert answer.status == status
            assert isinstance(fate_of(answer, write=method == "POST"), Fatal)
            assert [request.split(b" ")[0].decode() for request in origin.heard] == [method]
        assert decoy.connections == 0


@pytest.mark.parametrize(
    "base_url",
    [
        pytest.param("http://user:pass@127.0.0.1:1/", id="credentials in the URL"),
        pytest.param("ftp://127.0.0.1/", id="another scheme"),
        pytest.param("127.0.0.1:8080", id="no scheme"),
        pytest.param("http://", id="no host"),
        pytest.param("http://[::1", id="half an address"),
        pytest.param("http://host\x7f/", id="a character no host has"),
        pytest.param("file:///etc/passwd", id="a file"),
    ],
)
async def test_a_base_url_that_cannot_work_is_fatal_and_hides_its_password(base_url: str) -> None:
    with pytest.raises(Fatal) as fatal:
        async with open_http(base_url):
            pass
    assert "pass@" not in str(fatal.value)


async def test_an_international_host_name_is_its_own_origin() -> None:
    async with open_http("https://b\u00fccher.example/api") as http:
        assert http._resolve("items") == "https://b\u00fccher.example/api/items"
        with pytest.raises(Fatal):
            http._resolve("https://bucher.example/api/items")


async def test_environment_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(says(reply())) as origin, peer(says(reply()), host="127.0.0.2") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        async with open_http(origin.url) as http:
            await http.get("items")
        assert (len(origin.heard), proxy.connections) == (1, 0)
