"""Owners are told of what is theirs, through restarts, dead peers and full inboxes; in virtual time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio

from isthmus.app import teller
from isthmus.app.teller import Owner, Teller
from isthmus.ops.notices import ledger
from isthmus.ops.notices.channels import Channel, Gone, NotTaken
from isthmus.ops.notices.deciding import Book, Notice, Rules
from isthmus.store import audit, dead_letters, log
from isthmus.store.face import Store, Tx
from isthmus.store.open import open_memory_store
from tests.delivery.given import IN_VIRTUAL_TIME, fact, now
from tests.store.given import approved

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
RARELY = 900.0
"""For stories of many days."""
RULES = Rules(every=timedelta(minutes=15), zone=UTC)
BY_DOMAIN = {"finance": "ar", "delivery": "pmo", "intake": "ops", "operations": "ops"}


class Inbox(Channel):
    """A peer in memory. ``down`` takes nothing; what was taken is in ``got``."""

    name = "webhook"

    def __init__(self, address: str = "there") -> None:
        self.address = address
        self.down: NotTaken | None = None
        self.tried: list[str] = []
        self.got: list[Notice] = []

    async def send(self, notice: Notice, now: datetime) -> str:
        await trio.sleep(1)
        self.tried.append(notice.id)
        if self.down is not None:
            raise self.down
        self.got.append(notice)
        return "thanks"

    @property
    def told(self) -> list[tuple[str, int]]:
        return [(notice.kind, notice.count) for notice in self.got]


class Firm:
    """A store with exceptions in it, and the owners who are told of them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.inboxes = {name: Inbox() for name in ("ar", "pmo", "ops")}
        self.parked: list[str] = []
        self.quarantined: list[str] = []
        self.counted: list[tuple[str, str]] = []

    def teller(self, store: Store | None = None) -> Teller:
        owners = [Owner(name=name, rules=RULES, channels=[inbox]) for name, inbox in self.inboxes.items()]
        return Teller(
            store or self.store,
            owners,
            by_domain=BY_DOMAIN,
            now=now,
            parked=lambda: self.parked,
            quarantined=self.quarantined,
            count=lambda channel, outcome: self.counted.append((channel, outcome)),
            jitter=lambda: 0.0,
        )

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Teller]:
        """A daemon from its start to its end."""
        async with trio.open_nursery() as nursery:
            actor = self.teller()
            nursery.start_soon(actor.run)
            yield actor
            nursery.cancel_scope.cancel()

    async def refuse(self, *events: Any, **fields: Any) -> list[int]:
        def unit(tx: Tx) -> list[int]:
            found = []
            for seq, event in zip(log.append(tx, events, now()).new, events, strict=True):
                given = {"seq": seq, "subject": event.subject, **fields}
                opened = dead_letters.open_one(tx, "delivery", "erp", "period", "no", now(), **given)
                assert opened is not None
                found.append(opened)
            return found

        return await self.store.write(unit)

    async def solve(self, numbers: Sequence[int]) -> None:
        def unit(tx: Tx) -> None:
            for number in numbers:
                dead_letters.mark(tx, number, "resolved", "dora", now())

        await self.store.write(unit)


@asynccontextmanager
async def a_firm() -> AsyncIterator[Firm]:
    async with open_memory_store(now=now) as store:
        yield Firm(store)


@IN_VIRTUAL_TIME
async def test_a_thousand_exceptions_are_one_message_and_their_end_is_another() -> None:
    async with a_firm() as firm, firm.at_work():
        numbers = await firm.refuse(*(fact(f"c{n}") for n in range(1000)))
        await trio.sleep(HOUR)
        assert firm.inboxes["ar"].told == [("news", 1000)]
        await firm.solve(numbers)
        await trio.sleep(HOUR)
        assert firm.inboxes["ar"].told == [("news", 1000), ("resolved", 0)]
        assert firm.counted == [("webhook", "sent")] * 2


@IN_VIRTUAL_TIME
async def test_everybody_hears_of_their_own() -> None:
    async with a_firm() as firm, firm.at_work():
        await firm.refuse(fact("c1"), fact("c2"))
        await firm.refuse(approved(1))
        await firm.store.write(
            lambda tx: dead_letters.open_one(tx, "intake", "crm", "EventRefused", "no hours", now())
        )
        await trio.sleep(HOUR)
        assert {name: inbox.told for name, inbox in firm.inboxes.items()} == {
            "ar": [("news", 2)],
            "pmo": [("news", 1)],
            "ops": [("news", 1)],
        }


@IN_VIRTUAL_TIME
async def test_who_is_assigned_one_that_was_told_to_somebody_else_is_told_as_well() -> None:
    async with a_firm() as firm, firm.at_work():
        first, _ = await firm.refuse(fact("c1"), fact("c2"))
        await trio.sleep(HOUR)
        await firm.store.write(lambda tx: dead_letters.assign(tx, first, "pmo"))
        await trio.sleep(HOUR)
        assert firm.inboxes["pmo"].told == [("news", 1)]
        assert firm.inboxes["ar"].told == [("news", 2)]


@IN_VIRTUAL_TIME
async def test_what_stands_still_is_told_to_operations_and_that_it_moves_again() -> None:
    async with a_firm() as firm, firm.at_work():
        firm.parked += ["netsuite-us", "acme.things"]
        firm.quarantined.append("isthmus-broken")
        await trio.sleep(HOUR)
        (notice,) = firm.inboxes["ops"].got
        assert {(group.error_class, group.where) for group in notice.groups} == {
            ("parked", "netsuite-us"),
            ("parked", "acme.things"),
            ("quarantined", "isthmus-broken"),
        }
        firm.parked.clear()
        firm.quarantined.clear()
        await trio.sleep(HOUR)
        assert [kind for kind, _ in firm.inboxes["ops"].told] == ["news", "resolved"]


@IN_VIRTUAL_TIME
async def test_a_restart_neither_repeats_nor_forgets() -> None:
    async with a_firm() as firm:
        async with firm.at_work():
            await firm.refuse(fact("c1"))
            await trio.sleep(20 * MINUTE)
            await firm.refuse(fact("c2"))
            await trio.sleep(5 * MINUTE)
        async with firm.at_work():
            await trio.sleep(HOUR)
        assert firm.inboxes["ar"].told == [("news", 1), ("news", 1)]
        for _ in range(20):
            async with firm.at_work():
                await trio.sleep(2 * MINUTE)
        assert len(firm.inboxes["ar"].got) == 2


class Amnesia(Teller):
    """A mutant that keeps nothing over a restart."""

    async def _keep(self, name: str, book: Book) -> None:
        _kept[name] = book


_kept: dict[str, Book] = {}


@IN_VIRTUAL_TIME
async def test_mutant_a_teller_that_keeps_nothing_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Firm, "teller", _forgetful)
    monkeypatch.setattr(ledger, "load", lambda tx, name: _kept.get(name, Book()))
    async with a_firm() as firm:
        await firm.refuse(fact("c1"))
        for _ in range(2):
            _kept.clear()
            async with firm.at_work():
                await trio.sleep(HOUR)
        assert firm.inboxes["ar"].told == [("news", 1), ("news", 1)]


def _forgetful(firm: Firm) -> Teller:
    owners = [Owner(name="ar", rules=RULES, channels=[firm.inboxes["ar"]])]
    return Amnesia(firm.store, owners, by_domain=BY_DOMAIN, now=now, parked=list)


@IN_VIRTUAL_TIME
async def test_a_daemon_that_dies_in_the_middle_of_a_try_sends_the_same_message_again() -> None:
    async with a_firm() as firm:
        await firm.refuse(fact("c1"))
        async with firm.at_work():
            with trio.fail_after(HOUR):
                while not firm.inboxes["ar"].tried:
                    await trio.sleep(0.4)
                    book = await firm.store.read(lambda tx: ledger.load(tx, "webhook ar"))
                    if book.notice is not None:
                        break  # it is kept, and on its way
        async with firm.at_work():
            await trio.sleep(HOUR)
        assert [notice.id for notice in firm.inboxes["ar"].got] == [book.notice.id if book.notice else ""]


@IN_VIRTUAL_TIME
async def test_a_dead_webhook_holds_up_nobody_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teller, "LOOK_EVERY_S", RARELY)
    async with a_firm() as firm, firm.at_work():
        dead = firm.inboxes["ar"]
        dead.down = NotTaken("it answered 502")
        await firm.refuse(fact("c1"))
        await firm.refuse(approved(1))
        await trio.sleep(HOUR)
        assert firm.inboxes["pmo"].told == [("news", 1)]
        await trio.sleep(5 * DAY)
        await firm.refuse(fact("c2"))
        await trio.sleep(HOUR)
        dead.down = None
        await trio.sleep(2 * DAY)
        assert sum(count for kind, count in dead.told if kind == "news") == 2
        assert 1 < len(set(dead.tried)) < 6
        assert ("webhook", "given_up") in firm.counted


@IN_VIRTUAL_TIME
async def test_an_address_that_wants_no_more_is_left_alone_until_it_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(teller, "LOOK_EVERY_S", RARELY)
    async with a_firm() as firm:
        await firm.refuse(fact("c1"))
        async with firm.at_work():
            firm.inboxes["ar"].down = Gone("it answered 410")
            await trio.sleep(10 * DAY)
        assert len(firm.inboxes["ar"].tried) == 1
        firm.inboxes["ar"] = Inbox("elsewhere")
        async with firm.at_work():
            await trio.sleep(HOUR)
        assert firm.inboxes["ar"].told == [("news", 1)]


@IN_VIRTUAL_TIME
async def test_a_test_message_says_what_the_peer_answered_and_opens_an_address_again() -> None:
    async with a_firm() as firm, firm.at_work() as actor:
        inbox = firm.inboxes["ar"]
        await firm.refuse(fact("c1"))
        inbox.down = Gone("it answered 410")
        await trio.sleep(HOUR)
        (answer,) = await actor.test("ar", by="dora") or []
        assert (answer.taken, answer.answer) == (False, "it answered 410")
        inbox.down = None
        (answer,) = await actor.test("ar", by="dora") or []
        assert (answer.channel, answer.taken, answer.answer) == ("webhook", True, "thanks")
        await trio.sleep(HOUR)
        assert inbox.told == [("test", 0), ("news", 1)]
        assert await actor.test("nobody", by="dora") is None
        acts = await firm.store.read(audit.last)
        assert acts[0] >= 2


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(frozenset(), id="none"),
        pytest.param(frozenset({3}), id="one"),
        pytest.param(frozenset({1, 2, 3, 7, 9, 10, "parked crm", "quarantined x"}), id="runs and names"),
    ],
)
async def test_what_is_kept_comes_back(keys: frozenset[int | str]) -> None:
    book = Book(told=keys, tells=keys, alarmed=True, since=now(), gone="there")
    async with open_memory_store(now=now) as store:
        await store.write(lambda tx: ledger.save(tx, "webhook ar", book))
        assert await store.read(lambda tx: ledger.load(tx, "webhook ar")) == book
        assert await store.read(lambda tx: ledger.load(tx, "email ar")) == Book()


async def test_ten_thousand_told_exceptions_are_kept_in_a_few_bytes() -> None:
    async with open_memory_store(now=now) as store:
        book = Book(told=frozenset(range(1, 10_001)))
        await store.write(lambda tx: ledger.save(tx, "webhook ar", book))
        (row,) = await store.read(lambda tx: tx.all("states_page", process=ledger.NAME, after="", limit=9))
    assert len(row[1]) < 300
