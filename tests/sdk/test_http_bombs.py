"""Answers made to exhaust: each ends early or by the deadline, and takes next to no memory."""

import gc
import gzip
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trio

from isthmus.sdk.body import Body, BodyBroken, BodyTooLarge
from isthmus.sdk.errors import ConnectorError, Rejected, Retryable, Unsure
from isthmus.sdk.http import HttpLimits, open_http
from isthmus.sdk.reply import Reply
from tests.sdk.wire import Answer, Stream, peer, reply, says

MIB = 1024 * 1024
HEAD = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\n"
PATIENCE_S = 0.6


def _block() -> bytes:
    """A MiB of zeros, packed so that it can be repeated inside one stream."""
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)


BLOCK = _block()
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
TWO_GB = 2048


async def bomb(stream: Stream, request: bytes) -> None:
    """Two GB of zeros in two MB of gzip, sent as fast as they are taken."""
    packed = len(GZIP_HEAD) + TWO_GB * len(BLOCK)
    await stream.send_all(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % packed + GZIP_HEAD)
    for _ in range(TWO_GB // 16):
        await stream.send_all(BLOCK * 16)


def test_the_bomb_is_one() -> None:
    inflate = zlib.decompressobj(wbits=31)
    assert len(inflate.decompress(GZIP_HEAD + BLOCK * 4)) == 4 * MIB
    assert TWO_GB * MIB == 2 * 1024**3
    assert TWO_GB * len(BLOCK) < 3 * MIB


@asynccontextmanager
async def held_little(most: int) -> AsyncIterator[None]:
    """Fails when the block needs more than so many bytes at once, above what is held already."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < most, f"{(peak - before) / MIB:.1f} MiB"


@pytest.mark.parametrize(
    ("limits", "words", "most"),
    [
        pytest.param(HttpLimits(), "inflates more than 100 times", 8 * MIB, id="by its ratio"),
        pytest.param(
            HttpLimits(max_ratio=100_000, max_body_bytes=8 * MIB), "larger than", 32 * MIB, id="by its size"
        ),
    ],
)
async def test_two_gb_in_two_mb_are_refused_before_they_are_unpacked(
    limits: HttpLimits, words: str, most: int
) -> None:
    async with peer(bomb) as origin, open_http(origin.url, limits=limits) as http, held_little(most):
        with pytest.raises(Rejected, match=words):
            await http.get("bomb")


async def test_httpx_alone_would_unpack_it() -> None:
    """The mutant: without our limits the client goes on, here until it is stopped at 256 MiB."""
    unpacked = 0
    async with (
        peer(bomb) as origin,
        httpx.AsyncClient() as careless,
        careless.stream("GET", origin.url) as response,
    ):
        async for chunk in response.aiter_bytes():
            unpacked += len(chunk)
            if unpacked > 256 * MIB:
                break
    assert unpacked > 256 * MIB


@pytest.mark.parametrize(
    "encoding", ["deflate", "br", "zstd", "compress", "gzip, gzip", "gzip,br", "identity, gzip"]
)
async def test_no_encoding_is_unpacked_that_was_not_asked_for(encoding: str) -> None:
    answer = reply(200, gzip.compress(bytes(MIB)), content_encoding=encoding)
    async with peer(says(answer)) as origin, open_http(origin.url) as http:
        with pytest.raises(Retryable, match="was not asked for"):
            await http.get("x")
    assert b"accept-encoding: gzip\r\n" in origin.heard[0].lower()


def taken(*chunks: bytes, encoding: str = "gzip", max_bytes: int = 8 * MIB, max_ratio: int = 100) -> bytes:
    body = Body(encoding, max_bytes=max_bytes, max_ratio=max_ratio)
    for chunk in chunks:
        body.take(chunk)
    return body.whole()


WHOLE = gzip.compress(b'{"rows": []}')


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([WHOLE], id="in one piece"),
        pytest.param([WHOLE[n : n + 1] for n in range(len(WHOLE))], id="byte by byte"),
        pytest.param([b"", WHOLE, b""], id="with empty pieces"),
    ],
)
def test_a_body_is_the_same_however_it_arrives(chunks: list[bytes]) -> None:
    assert taken(*chunks) == b'{"rows": []}'


@pytest.mark.parametrize(
    ("chunks", "error", "words"),
    [
        pytest.param([WHOLE, WHOLE], BodyBroken, "something follows", id="a second body behind the first"),
        pytest.param([WHOLE + b"{}"], BodyBroken, "something follows", id="text behind the body"),
        pytest.param([WHOLE[:-1]], BodyBroken, "ends early", id="one byte short"),
        pytest.param([b"{}"], BodyBroken, "incorrect header", id="no gzip at all"),
        pytest.param([WHOLE[:-8] + bytes(8)], BodyBroken, "incorrect data check", id="a wrong checksum"),
        pytest.param([gzip.compress(bytes(9 * MIB))], BodyTooLarge, "inflates", id="many equal bytes"),
    ],
)
def test_a_compressed_body_that_is_not_whole_is_never_taken_for_one(
    chunks: list[bytes], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        taken(*chunks)


def test_what_arrives_is_limited_also_where_it_unpacks_to_nothing() -> None:
    """Empty deflate blocks: bytes without end that become none."""
    packer = zlib.compressobj(wbits=31)
    empty = packer.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(BodyTooLarge, match="larger than"):
        taken(empty, *[b"\x00\x00\x00\xff\xff" * 1000] * 2000)


CROWDED = [
    pytest.param(b"[" + b"[]," * 3_000_000 + b"[]]", id="three million empty lists"),
    pytest.param(b"{" + b'"a":0,' * 1_000_000 + b'"a":0}', id="a million equal keys"),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, id="a hundred thousand deep"),
    pytest.param(b'{"a":' * 100_000 + b"0" + b"}" * 100_000, id="a hundred thousand deep in objects"),
    pytest.param(b"[" + b"9" * 5_000 + b"]", id="a number of five thousand digits"),
]


@pytest.mark.parametrize("body", CROWDED)
async def test_json_made_to_exhaust_is_refused_before_it_is_built(body: bytes) -> None:
    async with held_little(MIB):
        with pytest.raises(Retryable, match="is not the JSON it should be"):
            Reply(status=200, headers={}, body=body).json()


async def endless(stream: Stream, request: bytes) -> None:
    await stream.send_all(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(b"10000\r\n" + bytes(65536) + b"\r\n")


async def endless_slowly(stream: Stream, request: bytes) -> None:
    await stream.send_all(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(b"1\r\nx\r\n")
        await trio.sleep(0.05)


async def endless_headers(stream: Stream, request: bytes) -> None:
    await stream.send_all(HEAD)
    while True:
        await stream.send_all(b"x-more: " + b"m" * 8000 + b"\r\n")


async def endless_promises(stream: Stream, request: bytes) -> None:
    while True:
        await stream.send_all(b"HTTP/1.1 102 Wait\r\n\r\n")
        await trio.sleep(0.01)


NASTY: list[tuple[str, Answer]] = [
    ("a body without end", endless),
    ("a body without end, byte by byte", endless_slowly),
    ("headers without end", endless_headers),
    ("promises without end", endless_promises),
    ("a byte a second", says(HEAD + b"content-length: 1000\r\n\r\n", *[b"x"] * 1000, pause_s=1)),
    ("nothing at all", says(b"", pause_s=60)),
    ("two GB in two MB", bomb),
]


@pytest.mark.parametrize("answer", [pytest.param(answer, id=name) for name, answer in NASTY])
async def test_whatever_a_peer_does_a_call_ends_and_holds_little(answer: Answer) -> None:
    limits = HttpLimits(deadline_s=PATIENCE_S, max_body_bytes=4 * MIB)
    async with peer(answer) as origin, open_http(origin.url, limits=limits) as http:
        async with held_little(24 * MIB):
            with trio.fail_after(20 * PATIENCE_S), pytest.raises(ConnectorError) as read:
                await http.get("items")
            with trio.fail_after(20 * PATIENCE_S), pytest.raises(Unsure):
                await http.post("items", json={})
        assert not isinstance(read.value, Unsure)
        assert len(origin.heard) == 2, "nothing is sent twice"


@asynccontextmanager
async def unaccepting() -> AsyncIterator[str]:
    """An address that listens and whose queue is full: a connection to it is never made."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(8):
            queued = socket.socket()
            queued.setblocking(False)
            queued.connect_ex(listener.getsockname())
            waiting.append(queued)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for queued in waiting:
                queued.close()


async def test_a_peer_that_accepts_no_connection_leaves_no_doubt_about_a_write() -> None:
    """Nothing was sent, and that is known: the connection has only a part of the deadline."""
    async with unaccepting() as url, open_http(url, limits=HttpLimits(deadline_s=PATIENCE_S)) as http:
        with trio.fail_after(20 * PATIENCE_S), pytest.raises(Retryable, match="no connection") as error:
            await http.post("items", json={})
    assert not isinstance(error.value, Unsure)
