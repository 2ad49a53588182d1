"""Tokens: what opens, what does not, what is kept of them, and who is told."""

import ast
import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from isthmus.ops import tokens
from isthmus.ops.errors import NotFound, Refused
from isthmus.ops.serve import MAX_HEADER_BYTES
from isthmus.ops.tokens import TTL_MAX, TokenOrder, identify, mint
from isthmus.services import door
from isthmus.services.problems import Problems
from isthmus.store import audit
from isthmus.store.face import Tx
from isthmus.store.services import Token
from tests.services.rig import NOW, Site, problem

GOOD = "isthmus_0123456789ab_" + "a" * 64


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" ", id="a blank"),
        pytest.param(b"x", id="a letter"),
        pytest.param(GOOD.encode(), id="unknown, in the right form"),
        pytest.param(GOOD[:-1].encode(), id="a digit short"),
        pytest.param(GOOD.upper().encode(), id="in capitals"),
        pytest.param("tökén".encode(), id="UTF-8"),
        pytest.param(b"\xff\xfe\x80", id="bytes that are no text"),
        pytest.param(b"isthmus_0123456789ab_" + "١".encode() * 64, id="digits of another script"),
        pytest.param(b"Bearer " + GOOD.encode(), id="Bearer twice"),
        pytest.param(b"isthmus_' OR 1=1 --_" + b"a" * 64, id="SQL"),
        pytest.param(b"a" * 15_000, id="as long as headers may be"),
    ],
)
async def test_what_is_no_token_is_answered_with_401(site: Site, given: bytes) -> None:
    answer = await site.ask("readFeed", token=given)
    assert (answer.status_code, problem(answer)) == (401, "bad-token")
    assert answer.headers["www-authenticate"] == 'Bearer realm="isthmus", error="invalid_token"'


async def test_a_token_of_a_megabyte_is_refused_and_never_breaks_anything(site: Site) -> None:
    """The listener stops reading headers at 16 KiB; without it the door itself says 401."""
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            answer = await client.get(
                site.url + "/api/v1/feed", headers={"authorization": "Bearer " + "a" * 1_000_000}
            )
        except httpx.TransportError:
            pass  # it hung up while we were still sending
        else:
            assert answer.status_code == 431
    assert MAX_HEADER_BYTES < 1_000_000
    headers = [(b"authorization", b"Bearer " + b"a" * 1_000_000)]
    with pytest.raises(Problems, match="no token of ours"):
        await door.Door(site.inner, lambda: site.now).admit(headers)
    assert (await site.ask("readFeed")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param([], "no-token", id="none"),
        pytest.param([("authorization", "Basic dXNlcjpwYXNz")], "bad-token", id="another scheme"),
        pytest.param([("authorization", f"Bearer {GOOD}")] * 2, "bad-token", id="two headers"),
        pytest.param([("authorization", "Bearer")], "bad-token", id="no token behind Bearer"),
        pytest.param([("x-api-key", GOOD)], "no-token", id="another header"),
    ],
)
async def test_there_is_one_way_to_show_a_token(
    site: Site, headers: list[tuple[str, str]], code: str
) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(site.url + "/api/v1/feed", headers=headers)
    assert (answer.status_code, problem(answer)) == (401, code)


async def test_a_token_opens_its_scopes_until_it_expires_or_is_revoked(site: Site) -> None:
    token = await site.token("feed:read", name="bi", ttl=timedelta(hours=1))
    assert (await site.ask("readFeed", token=token)).status_code == 200
    refused = await site.ask("submitTime", token=token, json={})
    assert (refused.status_code, problem(refused)) == (403, "missing-scope")
    assert 'scope="time:submit"' in refused.headers["www-authenticate"]
    assert "the token bi has feed:read" in refused.json()["detail"]
    site.now += timedelta(minutes=59, seconds=59)
    assert (await site.ask("readFeed", token=token)).status_code == 200
    site.now += timedelta(seconds=1)
    assert problem(await site.ask("readFeed", token=token)) == "expired-token"
    site.now -= timedelta(minutes=30)
    await site.desk.revoke("bi", by="root", why="left")
    assert problem(await site.ask("readFeed", token=token)) == "revoked-token"


async def test_of_a_token_only_its_digest_is_kept(site: Site) -> None:
    token = await site.token(name="bi")

    def dump(tx: Tx) -> str:
        return repr(tx.all("api_tokens_all")) + repr(audit.page(tx))

    kept = await site.inner.read(dump)
    assert "bi" in kept
    assert token not in kept and token.rpartition("_")[2] not in kept
    assert token not in repr(await site.desk.list())


async def test_a_token_is_told_from_another_one_of_the_same_id() -> None:
    number, text = mint()
    row = _row(number, text)
    assert identify(text.encode(), row)
    other = text[:-1] + ("0" if text[-1] != "0" else "1")
    assert not identify(other.encode(), row)
    assert not identify(text.encode(), None)


def _row(number: str, text: str) -> Token:
    digest = tokens.digest_of(text.encode())
    return Token(
        id=number,
        name="n",
        source="n",
        scopes=[],
        digest=digest,
        created_at=NOW,
        created_by="",
        expires_at=NOW,
    )


def compared_with_equals(source: str) -> list[str]:
    """Comparisons by ``==`` or ``!=`` of what is named like a secret."""
    words = ("digest", "secret", "given", "text", "fingerprint_of_token")
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        if any(isinstance(each, ast.Eq | ast.NotEq) for each in node.ops)
        if any(word in ast.unparse(node) for word in words)
    ]


def test_secrets_are_compared_in_constant_time() -> None:
    for module in (tokens, door):
        assert compared_with_equals(Path(inspect.getfile(module)).read_text()) == []
    assert "hmac.compare_digest" in inspect.getsource(identify)


def test_mutant_a_plain_comparison_would_be_seen() -> None:
    assert compared_with_equals("def identify(given, row): return digest_of(given) == row.digest")


@pytest.mark.parametrize(
    ("order", "says"),
    [
        pytest.param({"name": "Bad Name"}, "lower-case letters", id="a name that cannot be one"),
        pytest.param({"source": "a.b"}, "lower-case letters", id="a source with a dot"),
        pytest.param({"scopes": []}, "without a scope opens nothing", id="no scope"),
        pytest.param({"scopes": ["time:write"]}, "no scope 'time:write'; scopes are", id="no such scope"),
        pytest.param({"ttl_s": TTL_MAX.total_seconds() + 1}, "400 days at most", id="for too long"),
        pytest.param({"ttl_s": 1e300}, "400 days at most", id="for ever"),
    ],
)
async def test_a_token_that_cannot_be_made_is_refused_with_the_remedy(
    site: Site, order: dict[str, Any], says: str
) -> None:
    asked = msgspec.structs.replace(TokenOrder(name="bi", scopes=["feed:read"], ttl_s=60.0), **order)
    with pytest.raises(Refused, match=says):
        await site.desk.issue(asked, by="root")


async def test_a_name_is_in_use_once_until_its_token_is_revoked(site: Site) -> None:
    await site.token(name="bi")
    with pytest.raises(Refused, match="there is a token 'bi' already"):
        await site.token(name="bi")
    await site.desk.revoke("bi", by="root", why="replaced")
    await site.token(name="bi")
    assert sorted(line.state for line in await site.desk.list()) == ["revoked", "valid"]
    with pytest.raises(NotFound, match="isthmus api token list"):
        await site.desk.revoke("nobody", by="root", why="")
    acts = await site.inner.read(lambda tx: [row.act for row in audit.page(tx)])
    assert acts == ["token.issued", "token.revoked", "token.issued"]


async def test_who_asks_too_often_is_told_when_to_ask_again(site: Site) -> None:
    await site.open(burst=3, rate_per_s=0.5)
    busy, calm = await site.token(name="busy"), await site.token(name="calm")
    statuses = [(await site.ask("getDocument", token=busy)).status_code for _ in range(5)]
    assert statuses == [200] * 5  # the document asks for no token, so it is not counted
    answers = [await site.ask("readFeed", token=busy) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["retry-after"] in ("1", "2")
    assert (await site.ask("readFeed", token=calm)).status_code == 200


async def test_who_asks_for_what_a_token_may_not_is_counted_too(site: Site) -> None:
    await site.open(burst=2, rate_per_s=0.01)
    token = await site.token("feed:read")
    answers = [await site.ask("getInvoice", key="erp:1", token=token) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [403, 403, 429]
