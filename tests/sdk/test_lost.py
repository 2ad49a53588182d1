"""The transport that loses answers: what it loses, and what the peer did meanwhile."""

import httpx
import trio
from trio.testing import MockClock

from isthmus.sdk.testing import LosingTransport

LATEST_S = 30.0


class Peer(httpx.AsyncBaseTransport):
    """Notes what reaches it, and when."""

    def __init__(self) -> None:
        self.heard: dict[str, list[float]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = (await request.aread()).decode()
        self.heard.setdefault(body, []).append(trio.current_time())
        return httpx.Response(200)


def posted(request: httpx.Request) -> str | None:
    return request.content.decode() if request.method == "POST" else None


async def sendings_until_answered(client: httpx.AsyncClient, key: str) -> int:
    for sending in range(1, 10):
        try:
            await client.post("http://peer.test", content=key)
        except httpx.ReadError:
            continue
        return sending
    raise AssertionError(f"{key} never had an answer")


async def test_the_first_answer_of_every_key_is_lost_and_of_some_the_second(
    autojump_clock: MockClock,
) -> None:
    peer = Peer()
    start = trio.current_time()
    sendings: dict[str, int] = {}
    async with trio.open_nursery() as late:
        transport = LosingTransport(peer, late, latest_s=LATEST_S, key_of=posted)
        async with httpx.AsyncClient(transport=transport) as client:
            for n in range(200):
                sendings[f"k{n}"] = await sendings_until_answered(client, f"k{n}")
    assert set(sendings.values()) == {2, 3}
    assert transport.lost == sum(sendings.values()) - len(sendings)
    arrived = [len(peer.heard[key]) for key in sendings]
    never = sum(sendings[key] - len(peer.heard[key]) for key in sendings)
    assert min(arrived) >= 1, "what was answered had arrived"
    assert 5 < never < 40, "about one first sending in ten"
    moments = [moment - start for heard in peer.heard.values() for moment in heard]
    assert LATEST_S / 2 < max(moments) <= LATEST_S


async def test_what_has_no_key_is_answered_at_once() -> None:
    peer = Peer()
    async with trio.open_nursery() as late:
        transport = LosingTransport(peer, late, latest_s=LATEST_S, key_of=posted)
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get("http://peer.test")).status_code == 200
    assert transport.lost == 0
